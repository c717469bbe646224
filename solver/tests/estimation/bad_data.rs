//! Gross errors: found, named, and not blamed on others.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use solver::estimation::{Estimate, Kind, Measurement, Origin, Suspicion};

use super::feeder::{Feeder, noisy};

/// Meters of which an error of ten standard deviations is expected to be found.
fn detectable(feeder: &Feeder, plan: &[Measurement]) -> Vec<usize> {
    let estimate = feeder.estimate(plan);
    let limit = |k: usize| estimate.residuals[k].and_then(|r| r.detectable);
    (0..plan.len())
        .filter(|&k| plan[k].origin == Origin::Metered)
        .filter(|&k| limit(k).is_some_and(|limit| limit < 10.0 * plan[k].sigma))
        .collect()
}

fn is_named(estimate: &Estimate, index: usize) -> bool {
    (estimate.rejected.iter()).any(|r| r.index == index || r.ambiguous_with.contains(&index))
}

/// What became of single errors of fifteen standard deviations, in shares of the draws.
#[derive(Debug)]
struct Shares {
    /// Rejected, or named as equally likely to be the bad one.
    named: f64,
    /// Of the rejections for which no other meter is named: the right one.
    right: f64,
}

fn shares(feeder: &Feeder, plan: &[Measurement], seed: u64) -> Shares {
    let candidates = detectable(feeder, plan);
    let mut random = StdRng::seed_from_u64(seed);
    let (mut named, mut without_doubt, mut right) = (0, 0, 0);
    let draws = 400;
    for draw in 0..draws {
        let mut measurements = noisy(plan, &mut random);
        let k = candidates[draw % candidates.len()];
        let downwards = random.random::<bool>();
        // Downwards a current would end below its noise and not be used at all.
        let current = matches!(plan[k].kind, Kind::BranchCurrent { .. });
        let sigmas = if downwards && !current { -15.0 } else { 15.0 };
        measurements[k].value += sigmas * plan[k].sigma;
        let estimate = feeder.estimate(&measurements);
        named += usize::from(is_named(&estimate, k));
        for rejected in estimate
            .rejected
            .iter()
            .filter(|r| r.ambiguous_with.is_empty())
        {
            without_doubt += 1;
            right += usize::from(rejected.index == k);
        }
    }
    Shares {
        named: named as f64 / draws as f64,
        right: right as f64 / without_doubt as f64,
    }
}

#[test]
fn errors_of_fifteen_sigma_are_identified() {
    let feeder = Feeder::new();
    let fully_metered = shares(&feeder, &feeder.fully_metered(), 21);
    println!("{fully_metered:?}");
    assert!(fully_metered.named >= 0.95 && fully_metered.right >= 0.95);
    let usual = shares(&feeder, &feeder.usual(), 22);
    println!("{usual:?}");
    assert!(usual.named >= 0.9 && usual.right >= 0.95);
}

/// Powers large enough for a wrong sign to stand out of what the loads may do.
#[test]
fn flipped_signs_and_wrong_scales_are_named() {
    let feeder = Feeder::new();
    let plan = feeder.usual();
    let mut random = StdRng::seed_from_u64(23);
    for kind in [
        Kind::ApplianceP { appliance: 101 },
        Kind::ApplianceP { appliance: 103 },
        Kind::ApplianceP { appliance: 104 },
        Kind::BranchP {
            branch: 15,
            side: solver::network::Side::From,
        },
        Kind::BranchP {
            branch: 24,
            side: solver::network::Side::From,
        },
        Kind::BranchQ {
            branch: 15,
            side: solver::network::Side::From,
        },
    ] {
        let k = plan.iter().position(|m| m.kind == kind).unwrap();
        for (factor, suspicion) in [
            (-1.0, Suspicion::SignFlipped),
            (10.0, Suspicion::ScaleFactor(10.0)),
        ] {
            let mut measurements = noisy(&plan, &mut random);
            measurements[k].value *= factor;
            let estimate = feeder.estimate(&measurements);
            assert_eq!(
                estimate.rejected.len(),
                1,
                "{kind:?} {factor} {:?}",
                estimate.rejected
            );
            let rejected = &estimate.rejected[0];
            assert_eq!(
                (rejected.index, rejected.suspicion),
                (k, suspicion),
                "{rejected:?}"
            );
            let estimated = rejected.estimated.unwrap();
            assert!((estimated.value - plan[k].value).abs() < 5.0 * estimated.sigma);
            assert!(
                rejected.to_string().contains("normalised residual"),
                "{rejected}"
            );
        }
    }
}

#[test]
fn two_errors_at_once() {
    let feeder = Feeder::new();
    let plan = feeder.fully_metered();
    let candidates = detectable(&feeder, &plan);
    let mut random = StdRng::seed_from_u64(24);
    let (mut both, mut others) = (0, 0);
    let draws = 200;
    for _ in 0..draws {
        let mut measurements = noisy(&plan, &mut random);
        let a = random.random_range(0..candidates.len());
        let b = (a + 1 + random.random_range(0..candidates.len() - 1)) % candidates.len();
        let pair = [candidates[a], candidates[b]];
        for k in pair {
            measurements[k].value += 20.0 * plan[k].sigma;
        }
        let estimate = feeder.estimate(&measurements);
        both += usize::from(pair.iter().all(|&k| is_named(&estimate, k)));
        let innocent = |index: &usize| !pair.contains(index);
        others += (estimate.rejected.iter())
            .filter(|r| innocent(&r.index) && r.ambiguous_with.iter().all(innocent))
            .count();
    }
    println!("of {draws} pairs {both} found, {others} others rejected");
    assert!(both >= 185 && others <= 20, "{both} {others}");
}

#[test]
fn a_load_far_from_its_guess_condemns_no_meter() {
    let feeder = Feeder::new();
    let plan = feeder.usual();
    let mut random = StdRng::seed_from_u64(25);
    let mut relaxed = 0;
    for (k, m) in plan
        .iter()
        .enumerate()
        .filter(|(_, m)| m.origin == Origin::Pseudo)
    {
        for factor in [0.0, 3.5] {
            let mut measurements = noisy(&plan, &mut random);
            measurements[k].value = factor * m.value;
            let estimate = feeder.estimate(&measurements);
            assert!(
                estimate.rejected.is_empty(),
                "{:?} {factor}: {:?}",
                m.kind,
                estimate.rejected
            );
            relaxed += usize::from(estimate.relaxed.iter().any(|r| r.index == k));
        }
    }
    println!("{relaxed} guesses relaxed");
    assert!(relaxed > 0);
}

/// A load at 20 times its guess, which is meant to be good to a third: where that and meters tell
/// the same, it is the guess that gives way.
#[test]
fn a_load_at_twenty_times_its_guess_condemns_no_meter() {
    let feeder = Feeder::new();
    let plan = feeder.usual();
    let mut random = StdRng::seed_from_u64(28);
    let guesses = (0..plan.len()).filter(|&k| plan[k].origin == Origin::Pseudo);
    let (mut tried, mut relaxed) = (0, 0);
    for k in guesses {
        let mut measurements = noisy(&plan, &mut random);
        measurements[k].value = plan[k].value / 20.0;
        measurements[k].sigma = (measurements[k].value / 3.0).abs().max(1.0);
        let estimate = feeder.estimate(&measurements);
        let rejected = &estimate.rejected;
        assert!(rejected.is_empty(), "{:?}: {rejected:?}", plan[k].kind);
        tried += 1;
        relaxed += usize::from(estimate.relaxed.iter().any(|r| r.index == k));
    }
    println!("{relaxed} of {tried} guesses relaxed");
    assert!(relaxed > 0);
}

/// Every guess wrong at once, as on a holiday.
#[test]
fn a_wrong_load_model_condemns_no_meter() {
    let feeder = Feeder::new();
    let plan = feeder.usual();
    let mut measurements = noisy(&plan, &mut StdRng::seed_from_u64(26));
    for m in measurements
        .iter_mut()
        .filter(|m| m.origin == Origin::Pseudo)
    {
        m.value *= 2.5;
    }
    let estimate = feeder.estimate(&measurements);
    assert!(estimate.rejected.is_empty(), "{:?}", estimate.rejected);
    assert!(
        estimate
            .nodes
            .iter()
            .all(|n| n.rests_on_pseudo || n.u.is_some())
    );
}

/// Dead, saturated and garbled channels: one value out of this world does not stop the estimate.
#[test]
fn absurd_values_are_rejected() {
    let feeder = Feeder::new();
    let plan = feeder.usual();
    let mut random = StdRng::seed_from_u64(27);
    let side = solver::network::Side::From;
    for (kind, values) in [
        (Kind::Voltage { node: 8 }, [0.0, -20e3, 65_535.0, 1e12]),
        (Kind::Voltage { node: 0 }, [0.0, 1e3, 6.5e6, -1e300]),
        (
            Kind::BranchP { branch: 15, side },
            [1e9, -1e15, 3.2e7, 1e38],
        ),
        (
            Kind::BranchQ { branch: 21, side },
            [1e9, -1e15, 3.2e7, 1e38],
        ),
        (
            Kind::BranchCurrent { branch: 24, side },
            [1.0, 65_535.0, 1e9, 1e38],
        ),
        (Kind::ApplianceP { appliance: 101 }, [0.0, -1e8, 1e15, 1e38]),
    ] {
        let k = plan.iter().position(|m| m.kind == kind).unwrap();
        for value in values {
            let mut measurements = noisy(&plan, &mut random);
            measurements[k].value = value;
            let estimate = feeder.estimate(&measurements);
            let unused = estimate.unused.iter().any(|u| u.index == k);
            assert!(
                is_named(&estimate, k) || unused,
                "{kind:?} {value}: {:?}",
                estimate.rejected
            );
            assert!(
                estimate.rejected.len() <= 1,
                "{kind:?} {value}: {:?}",
                estimate.rejected
            );
            assert!(estimate.gradient_norm < 1e-4 && estimate.iterations < 300);
        }
    }
}
