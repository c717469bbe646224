//! What the estimator asks for where the measurements are not enough.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use solver::estimation::{
    AsymEstimator, Estimate, Estimator, Form, Kind, Measurement, Options, Phase, Suggestion,
};
use solver::network::{Connection, Grid, Id, LoadKind, Side, SymLoad};

use super::case::metered;
use super::feeder::Feeder;
use super::random;

fn suggested<F: Form>(estimate: &Estimate<F>) -> Vec<Suggestion> {
    let parts = estimate.missing.iter();
    parts
        .flat_map(|part| part.sensors.iter().copied())
        .collect()
}

/// The true value of what a suggestion asks for.
fn answer(feeder: &Feeder, suggestion: &Suggestion) -> Measurement {
    measured(feeder, suggestion.kind)
}

fn measured(feeder: &Feeder, kind: Kind) -> Measurement {
    let sigma = match kind {
        Kind::Voltage { .. } => 50.0,
        _ => 5e3,
    };
    metered(kind, feeder.truth(kind), sigma)
}

/// Some of the sensors one could have; one of power measures active and reactive.
fn some(feeder: &Feeder, random: &mut StdRng) -> Vec<Measurement> {
    let grid = &feeder.grid;
    let nodes = grid
        .node_id
        .iter()
        .map(|&node| vec![Kind::Voltage { node }]);
    let appliances = grid.appliances.iter().map(|a| {
        let appliance = a.id;
        vec![
            Kind::ApplianceP { appliance },
            Kind::ApplianceQ { appliance },
        ]
    });
    let branches = grid.branches.iter().flat_map(|b| {
        let branch = b.id;
        [Side::From, Side::To].map(|side| {
            vec![
                Kind::BranchP { branch, side },
                Kind::BranchQ { branch, side },
            ]
        })
    });
    let mut sensors: Vec<Vec<Kind>> = nodes.chain(appliances).chain(branches).collect();
    sensors.shuffle(random);
    let count = random.random_range(0..sensors.len());
    let kinds = sensors[..count].iter().flatten();
    kinds.map(|&kind| measured(feeder, kind)).collect()
}

/// Everything that has a value gets one.
fn is_complete(feeder: &Feeder, estimate: &Estimate) -> bool {
    let grid = &feeder.grid;
    let shared = |node| {
        grid.sources
            .iter()
            .filter(|s| s.closed && s.node == node)
            .count()
            > 1
    };
    estimate.unobservable.is_empty()
        && estimate.missing.is_empty()
        && estimate
            .nodes
            .iter()
            .all(|n| n.u.is_some() && n.angle.is_some() && n.p.is_some())
        && estimate
            .branches
            .iter()
            .all(|b| b.from.is_some() && b.to.is_some())
        && estimate
            .appliances
            .iter()
            .all(|a| a.p.is_some() && a.q.is_some())
        && (estimate.sources.iter().zip(&grid.sources))
            .all(|(s, behind)| shared(behind.node) || (s.p.is_some() && s.q.is_some()))
}

/// Complete, and every voltage known to this share of its rated value, and to as many radians: losses
/// and charging of lines determine it on paper, but hardly.
fn is_known(feeder: &Feeder, measurements: &[Measurement], share: f64) -> bool {
    let mut estimator = Estimator::new(&feeder.grid);
    let Ok(estimate) = estimator.run(&feeder.grid, measurements, None, &Options::default()) else {
        return false;
    };
    let mut voltages = estimate.nodes.iter().zip(&feeder.grid.u_rated);
    is_complete(feeder, &estimate)
        && estimate
            .nodes
            .iter()
            .all(|n| n.angle.is_some_and(|angle| angle.sigma < share))
        && voltages.all(|(n, u_rated)| n.u.is_some_and(|u| u.sigma < share * u_rated))
}

/// On random grids with random measurements: with the suggestions everything is observable, and
/// without any one of them it is not.
#[test]
fn suggestions_are_enough_and_none_is_idle() {
    let mut random = StdRng::seed_from_u64(61);
    let (mut incomplete, mut suggestions, mut failed) = (0, 0, 0);
    for round in 0..200 {
        let (nodes, ties) = (random.random_range(2..25), random.random_range(0..4));
        let sources = random.random_range(1..3);
        let network = random::network(&mut random, nodes, ties, sources);
        let feeder = Feeder::solved(random::grid(&mut random, &network, 0.1));
        let mut measurements = some(&feeder, &mut random);
        let mut estimator = Estimator::new(&feeder.grid);
        let options = Options::default();
        let Ok(estimate) = estimator.run(&feeder.grid, &measurements, None, &options) else {
            failed += 1;
            continue;
        };
        let missing = suggested(&estimate);
        assert_eq!(
            missing.is_empty(),
            is_complete(&feeder, &estimate),
            "round {round}"
        );
        incomplete += usize::from(!missing.is_empty());
        suggestions += missing.len();
        let before = measurements.len();
        measurements.extend(missing.iter().map(|s| answer(&feeder, s)));
        for k in 0..missing.len() {
            let mut fewer = measurements.clone();
            fewer.remove(before + k);
            assert!(
                !is_known(&feeder, &fewer, 0.02),
                "round {round}: {:?} is idle",
                missing[k]
            );
        }
        if !missing.is_empty() {
            let enough = is_known(&feeder, &measurements, 0.1);
            assert!(enough, "round {round}: {missing:?}");
        }
    }
    println!("{incomplete} of 200 incomplete, {suggestions} suggestions, {failed} not solved");
    assert!(incomplete > 100 && failed < 20);
}

/// A line to two loads at one node, of which one is measured, and no voltage: the level, the other
/// load.
#[test]
fn what_is_missing_is_named_by_place() {
    let mut random = StdRng::seed_from_u64(62);
    let mut network = random::network(&mut random, 3, 0, 1);
    let load = |id, node| SymLoad {
        id,
        node,
        status: 1,
        connection: Connection::Wye,
        u_min: None,
        u_max: None,
        kind: LoadKind::Power,
        p_specified: 1e5,
        q_specified: 2e4,
    };
    (network.sym_load, network.sym_gen) = (vec![load(31, 2), load(32, 2), load(33, 1)], vec![]);
    let feeder = Feeder::solved(Grid::new(&network).unwrap());
    let appliance = |appliance| {
        [
            Kind::ApplianceP { appliance },
            Kind::ApplianceQ { appliance },
        ]
    };
    let plan = |kinds: &[[Kind; 2]]| -> Vec<Measurement> {
        let kinds = kinds.iter().flatten();
        kinds.map(|&kind| measured(&feeder, kind)).collect()
    };
    let named = |measurements: &[Measurement]| -> Vec<(Vec<Id>, Vec<Kind>)> {
        let missing = feeder.estimate(measurements).missing.into_iter();
        missing
            .map(|part| {
                let kinds = part.sensors.iter().map(|s| s.kind);
                (part.nodes, kinds.collect())
            })
            .collect()
    };
    let metered = plan(&[appliance(31), appliance(33)]);
    let level = Kind::Voltage { node: 0 };
    let [p, q] = appliance(32);
    assert_eq!(named(&metered), [(vec![0, 1, 2], vec![level, p, q])]);
    // With the voltage and the line's flow only the loads' shares are open, and no node.
    let side = Side::From;
    let flow = |branch| {
        [
            Kind::BranchP { branch, side },
            Kind::BranchQ { branch, side },
        ]
    };
    let mut metered = plan(&[flow(1001), flow(1002), appliance(33)]);
    metered.push(measured(&feeder, level));
    let [p, q] = appliance(31);
    assert_eq!(named(&metered), [(vec![], vec![p, q])]);
}

/// By phase every phase of a sensor counts by itself.
#[test]
fn suggestions_by_phase_are_enough() {
    let mut random = StdRng::seed_from_u64(63);
    let mut asked = 0;
    for round in 0..12 {
        let nodes = random.random_range(2..9);
        let network = random::network(&mut random, nodes, 1, 1);
        let feeder = Feeder::solved(random::grid(&mut random, &network, 0.1));
        let mut measurements = some(&feeder, &mut random);
        let mut estimator = AsymEstimator::new(&feeder.grid).unwrap();
        let mut run = |measurements: &[Measurement]| {
            let options = Options::default();
            estimator.run(&feeder.grid, measurements, None, &options)
        };
        let missing = suggested(&run(&measurements).unwrap());
        assert!(missing.iter().all(|s| s.phase != Phase::Sym));
        asked += missing.len();
        for suggestion in &missing {
            let whole = measured(&feeder, suggestion.kind);
            let share = match suggestion.kind {
                Kind::Voltage { .. } => 3.0_f64.sqrt(),
                _ => 3.0,
            };
            measurements.push(Measurement {
                phase: suggestion.phase,
                value: whole.value / share,
                sigma: whole.sigma / share,
                ..whole
            });
        }
        let estimate = run(&measurements).unwrap();
        assert!(
            estimate.missing.is_empty() && estimate.unobservable.is_empty(),
            "round {round}: {:?}",
            estimate.missing
        );
    }
    println!("{asked} suggestions");
    assert!(asked > 30);
}
