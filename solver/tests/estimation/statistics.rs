//! Clean data: few false alarms, and errors as large as the standard deviations say.

use rand::SeedableRng;
use rand::rngs::StdRng;
use solver::estimation::{Kind, Quantity};
use solver::network::{ApplianceKind, S_BASE_VA, Side};

use super::feeder::{Feeder, noisy};

#[test]
fn clean_data_is_seldom_rejected() {
    let feeder = Feeder::new();
    let mut random = StdRng::seed_from_u64(11);
    for plan in [feeder.usual(), feeder.fully_metered()] {
        let (mut rejected, mut failed) = (0, 0);
        for _ in 0..300 {
            let estimate = feeder.estimate(&noisy(&plan, &mut random));
            rejected += usize::from(!estimate.rejected.is_empty());
            failed += usize::from(!estimate.passed);
            assert!(estimate.unobservable.is_empty());
            assert!(estimate.gradient_norm < 1e-4, "{}", estimate.gradient_norm);
        }
        println!("of 300 clean draws {rejected} rejected something, {failed} failed chi-square");
        assert!(rejected <= 6 && failed <= 9);
    }
}

/// Mean square of error over standard deviation is one, whatever is estimated.
#[test]
fn standard_deviations_are_those_of_the_errors() {
    let feeder = Feeder::new();
    let plan = feeder.usual();
    let mut random = StdRng::seed_from_u64(12);
    let names = [
        "voltage",
        "angle",
        "node power",
        "branch power",
        "current",
        "appliance",
        "source",
    ];
    let mut sums = [(0.0, 0.0_f64); 7];
    for _ in 0..200 {
        let estimate = feeder.estimate(&noisy(&plan, &mut random));
        if !estimate.rejected.is_empty() {
            continue;
        }
        let mut add = |at: usize, quantity: Option<Quantity>, truth: f64| {
            let quantity = quantity.unwrap();
            if quantity.sigma > 0.0 {
                let z = (quantity.value - truth) / quantity.sigma;
                assert!(z.abs() < 6.0, "{} {quantity:?} {truth}", names[at]);
                sums[at] = (sums[at].0 + z * z, sums[at].1 + 1.0);
            }
        };
        for (k, node) in estimate.nodes.iter().enumerate() {
            add(0, node.u, feeder.truth(Kind::Voltage { node: node.id }));
            add(1, node.angle, feeder.u[k].arg());
            add(2, node.p, feeder.truth(Kind::NodeP { node: node.id }));
            add(2, node.q, feeder.truth(Kind::NodeQ { node: node.id }));
        }
        for b in &estimate.branches {
            for (end, side) in [(b.from, Side::From), (b.to, Side::To)] {
                let i = feeder.truth(Kind::BranchCurrent { branch: b.id, side });
                add(
                    3,
                    end.map(|e| e.p),
                    feeder.truth(Kind::BranchP { branch: b.id, side }),
                );
                add(
                    3,
                    end.map(|e| e.q),
                    feeder.truth(Kind::BranchQ { branch: b.id, side }),
                );
                // The magnitude of a current near zero is not normally distributed.
                if i > 10.0 {
                    add(4, end.map(|e| e.i), i);
                }
            }
        }
        for (a, appliance) in estimate.appliances.iter().zip(&feeder.grid.appliances) {
            add(
                5,
                a.p,
                feeder.truth(Kind::ApplianceP {
                    appliance: appliance.id,
                }),
            );
            add(
                5,
                a.q,
                feeder.truth(Kind::ApplianceQ {
                    appliance: appliance.id,
                }),
            );
        }
        for (k, source) in estimate.sources.iter().enumerate() {
            add(6, source.p, feeder.flows.sources[k].re * S_BASE_VA);
            add(6, source.q, feeder.flows.sources[k].im * S_BASE_VA);
        }
    }
    for (name, (sum, count)) in names.iter().zip(sums) {
        println!("{name}: mean square {:.3} of {count}", sum / count);
        assert!((sum / count - 1.0).abs() < 0.2, "{name}: {}", sum / count);
    }
    let loads = feeder
        .grid
        .appliances
        .iter()
        .filter(|a| a.kind == ApplianceKind::Load)
        .count();
    let estimate = feeder.estimate(&plan);
    let pseudo = estimate
        .appliances
        .iter()
        .filter(|a| a.origin == Some(solver::estimation::Origin::Pseudo));
    assert_eq!(pseudo.count(), loads);
}

/// The once-a-second case: from the last estimate, the same answer in fewer iterations.
#[test]
fn a_warm_start_finds_the_same_optimum() {
    let feeder = Feeder::new();
    let measurements = noisy(&feeder.usual(), &mut StdRng::seed_from_u64(13));
    let cold = feeder.estimate(&measurements);
    let options = solver::estimation::Options::default();
    let mut estimator = solver::estimation::Estimator::new(&feeder.grid);
    let warm = estimator
        .run(&feeder.grid, &measurements, Some(&cold.u), &options)
        .unwrap();
    assert!(
        warm.iterations < cold.iterations,
        "{} {}",
        warm.iterations,
        cold.iterations
    );
    for (a, b) in cold.u.iter().zip(&warm.u) {
        assert!((a - b).norm() < 1e-8);
    }
    assert!((cold.objective - warm.objective).abs() < 1e-6 * cold.objective);
}
