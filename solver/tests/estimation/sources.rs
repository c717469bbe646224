//! Several sources at one node: what each feeds in, by hand calculation.

use solver::estimation::{
    Asym, AsymEstimator, AsymTracker, Estimate, EstimationError, Estimator, Form, Kind,
    Measurement, Options, Phase, Quantity, Readings, Start, Sym, Tracker, UnusedReason,
};
use solver::network::{Grid, S_BASE_VA, pgm_json};

use super::case::metered;

const MEGA: f64 = 1e6;

/// One node with two sources and a load.
fn grid(status: [i8; 2]) -> Grid {
    let json = serde_json::json!({
        "version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 1, "u_rated": 10e3}],
        "source": [{"id": 20, "node": 1, "status": status[0], "u_ref": 1.0},
            {"id": 21, "node": 1, "status": status[1], "u_ref": 1.0}],
        "sym_load": [{"id": 30, "node": 1, "status": 1, "type": 0, "p_specified": 0.0,
            "q_specified": 0.0}],
        "shunt": [{"id": 40, "node": 1, "status": 1, "g1": 0.0, "b1": 0.0, "g0": 0.0, "b0": 0.0}],
    }});
    Grid::new(&pgm_json::read(&json.to_string()).unwrap()).unwrap()
}

/// Active powers in MW, each the same of reactive power in Mvar.
fn powers(values: &[(i32, f64, f64)]) -> Vec<Measurement> {
    let mut all = vec![metered(Kind::Voltage { node: 1 }, 10e3, 10.0)];
    for &(id, value, sigma) in values {
        let kinds = match id {
            30 => [
                Kind::ApplianceP { appliance: id },
                Kind::ApplianceQ { appliance: id },
            ],
            _ => [Kind::SourceP { source: id }, Kind::SourceQ { source: id }],
        };
        all.extend(kinds.map(|kind| metered(kind, value * MEGA, sigma * MEGA)));
    }
    all
}

fn keep_all() -> Options {
    Options {
        max_rejected: 0,
        ..Options::default()
    }
}

fn symmetric(grid: &Grid, measured: &[Measurement]) -> Result<Estimate<Sym>, EstimationError> {
    Estimator::new(grid).run(grid, measured, None, &keep_all())
}

fn by_phase(grid: &Grid, measured: &[Measurement]) -> Estimate<Asym> {
    let mut estimator = AsymEstimator::new(grid).unwrap();
    estimator.run(grid, measured, None, &keep_all()).unwrap()
}

fn near(found: Option<Quantity>, value: f64, sigma: f64) {
    let found = found.unwrap();
    let apart = (found.value / MEGA - value)
        .abs()
        .max((found.sigma / MEGA - sigma).abs());
    assert!(apart < 1e-9, "{found:?}, expected {value} ± {sigma} MW");
}

/// 6 and 5 MW feed 10 MW: the missing megawatt is shared by variances 1 : 4 : 1.
#[test]
fn meters_of_all_are_weighed_against_one_another() {
    let grid = grid([1, 1]);
    let measured = powers(&[(20, 6.0, 0.1), (21, 5.0, 0.2), (30, 10.0, 0.1)]);
    let estimate = symmetric(&grid, &measured).unwrap();
    assert!(estimate.unused.is_empty() && estimate.missing.is_empty());
    let sigma = |own: f64| (own - own * own / 0.06).sqrt();
    let [first, second] = [0, 1].map(|k| &estimate.sources[k]);
    near(first.p, 6.0 - 1.0 / 6.0, sigma(0.01));
    near(first.q, 6.0 - 1.0 / 6.0, sigma(0.01));
    near(second.p, 5.0 - 4.0 / 6.0, sigma(0.04));
    near(second.q, 5.0 - 4.0 / 6.0, sigma(0.04));
    near(estimate.appliances[0].p, 10.0 + 1.0 / 6.0, sigma(0.01));
    assert!((estimate.objective - 2.0 / 0.06).abs() < 1e-6);
    assert_eq!(estimate.degrees_of_freedom, 2);
    let readings = Readings::of(&measured);
    let mut tracker = Tracker::new(Estimator::new(&grid), &grid, &readings, &keep_all()).unwrap();
    let tracked = tracker.run(&grid, &readings, Start::Flat).unwrap().clone();
    assert_eq!(tracked.degrees_of_freedom, 2);
    for (found, expected) in tracked.sources.iter().zip([35.0 / 6.0, 13.0 / 3.0]) {
        let found = found[0] * S_BASE_VA / MEGA;
        assert!((found.re - expected).abs() < 1e-9 && (found.im - expected).abs() < 1e-9);
    }
    assert!((tracker.objective(&grid) - estimate.objective).abs() < 1e-6);
}

#[test]
fn one_without_a_meter_feeds_in_what_is_left() {
    let grid = grid([1, 1]);
    for (metered, other) in [(20, 1), (21, 0)] {
        let measured = powers(&[(metered, 6.0, 0.1), (30, 10.0, 0.2)]);
        let estimate = symmetric(&grid, &measured).unwrap();
        near(estimate.sources[other].p, 4.0, 0.05_f64.sqrt());
        near(estimate.sources[1 - other].p, 6.0, 0.1);
        assert!(estimate.missing.is_empty());
    }
}

/// Nothing tells them apart: what would is named, and the voltage is known all the same.
#[test]
fn without_meters_only_their_sum_is_known() {
    let grid = grid([1, 1]);
    let estimate = symmetric(&grid, &powers(&[(30, 10.0, 0.2)])).unwrap();
    assert!(estimate.unobservable.is_empty());
    assert!(
        estimate
            .sources
            .iter()
            .all(|s| s.p.is_none() && s.q.is_none())
    );
    near(estimate.nodes[0].p, 0.0, 0.0);
    let kinds: Vec<Kind> = (estimate.missing.iter())
        .flat_map(|part| part.sensors.iter().map(|s| s.kind))
        .collect();
    let source = 20;
    assert_eq!(kinds, [Kind::SourceP { source }, Kind::SourceQ { source }]);
}

/// What nothing tells apart is no unknown: four voltages of one, the load's powers of the load's.
#[test]
fn what_is_not_told_apart_is_not_counted() {
    let mut measured = powers(&[(30, 10.0, 0.2)]);
    measured.extend(std::iter::repeat_n(measured[0].clone(), 3));
    let grid = grid([1, 1]);
    let estimate = symmetric(&grid, &measured).unwrap();
    assert_eq!(estimate.degrees_of_freedom, 3);
    let readings = Readings::of(&measured);
    let mut tracker = Tracker::new(Estimator::new(&grid), &grid, &readings, &keep_all()).unwrap();
    let tracked = tracker.run(&grid, &readings, Start::Flat).unwrap();
    assert_eq!(tracked.degrees_of_freedom, 3);
    // Chi-square of three degrees of freedom, 99 %.
    assert!((tracked.chi_square_threshold - 11.3449).abs() < 1e-3);
}

#[test]
fn one_that_is_switched_off_feeds_in_nothing() {
    for (off, status) in [(0, [0, 1]), (1, [1, 0])] {
        let grid = grid(status);
        let measured = powers(&[(20, 6.0, 0.1), (21, 6.0, 0.1), (30, 9.0, 0.1)]);
        let estimate = symmetric(&grid, &measured).unwrap();
        near(estimate.sources[off].p, 0.0, 0.0);
        near(estimate.sources[1 - off].p, 7.5, 0.005_f64.sqrt());
        near(estimate.appliances[0].p, 7.5, 0.005_f64.sqrt());
        let unused: Vec<_> = estimate
            .unused
            .iter()
            .map(|u| (u.index, u.reason))
            .collect();
        let first = 1 + 2 * off;
        let reason = UnusedReason::NotEnergised;
        assert_eq!(unused, [(first, reason), (first + 1, reason)]);
    }
}

/// Phase a by its own meters, b and c by their equal shares.
#[test]
fn by_phase_each_phase_is_shared_by_itself() {
    let grid = grid([1, 1]);
    let mut measured = powers(&[(21, 6.0, 0.3), (30, 9.0, 0.3)]);
    measured.push(Measurement {
        phase: Phase::A,
        ..metered(Kind::SourceP { source: 20 }, 1.6 * MEGA, 0.2 * MEGA)
    });
    let estimate = by_phase(&grid, &measured);
    // 3 MW = 1.6 + 2 - 0.6, variances 0.04 : 0.01 : 0.01.
    let p = |k: usize, phase| *Asym::phase(&estimate.sources[k].p, phase);
    near(p(0, 0), 1.6 - 0.4, (0.04 - 0.0016 / 0.06_f64).sqrt());
    near(p(1, 0), 2.0 - 0.1, (0.01 - 0.0001 / 0.06_f64).sqrt());
    near(p(0, 1), 1.0, 0.02_f64.sqrt());
    near(p(1, 1), 2.0, 0.1);
    let readings = Readings::of(&measured);
    let mut tracker = AsymTracker::new(
        AsymEstimator::new(&grid).unwrap(),
        &grid,
        &readings,
        &keep_all(),
    )
    .unwrap();
    let tracked = tracker.run(&grid, &readings, Start::Flat).unwrap();
    let found = [0, 1].map(|k| tracked.sources[k][0].re * S_BASE_VA / 3.0 / MEGA);
    assert!(
        (found[0] - 1.2).abs() < 1e-9 && (found[1] - 1.9).abs() < 1e-9,
        "{found:?}"
    );
}
