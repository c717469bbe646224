//! A solve that is repeated with new values allocates nothing: structure and workspace are there
//! from the first one.

use std::fs;
use std::path::Path;

use solver::estimation::{
    AsymEstimator, AsymTracker, Estimator, EstimatorOf, Form, Options as FitOptions, Readings,
    Start, Tracker, TrackerOf,
};
use solver::network::{Grid, Scenario, pgm_json};
use solver::powerflow::{
    AsymOutput, AsymPowerFlow, AsymSolution, Method, Options, PowerFlow, Solution, SymOutput,
};

/// A file of a golden case.
fn read(kind: &str, name: &str, file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    fs::read_to_string(folder.join(kind).join(name).join(file)).expect("it is there")
}

/// A golden case's network and its scenarios of new load values.
fn case(name: &str) -> (Grid, Vec<Scenario>) {
    let read = |file| read("power_flow", name, file);
    let network = pgm_json::read(&read("input.json")).expect("a network");
    let scenarios = pgm_json::read_update(&read("update_batch.json"), &network).expect("a batch");
    (Grid::new(&network).expect("a possible network"), scenarios)
}

/// How often `solve` allocates in each scenario, after a first run of all of them.
fn allocations(
    grid: &mut Grid,
    scenarios: &mut [Scenario],
    mut solve: impl FnMut(&Grid),
) -> Vec<u64> {
    let mut round = |counts: &mut Vec<u64>| {
        for scenario in scenarios.iter_mut() {
            grid.exchange(scenario).expect("read for this network");
            counts.push(allocation_counter::measure(|| solve(grid)).count_total);
            grid.exchange(scenario).expect("read for this network");
        }
    };
    round(&mut Vec::new());
    let mut counts = Vec::new();
    round(&mut counts);
    assert!(!counts.is_empty());
    counts
}

fn options(method: Method) -> Options {
    Options {
        method,
        ..Options::default()
    }
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 100])));
    assert_eq!(counted.count_total, 1);
}

/// Loads of all kinds, sources, taps and switches change in these.
const BY_PHASE: [&str; 3] = [
    "mixed-by-phase",
    "three-winding-transformer",
    "transformer-taps",
];
const SYMMETRIC: [&str; 5] = [
    "zip-loads",
    "islands-and-open-ends",
    "mixed-by-phase",
    "three-winding-transformer",
    "transformer-taps",
];

#[test]
fn a_repeated_power_flow_allocates_nothing() {
    for name in SYMMETRIC {
        for method in [Method::Newton, Method::Current] {
            let (mut grid, mut scenarios) = case(name);
            let mut solver = PowerFlow::new(&grid);
            let (mut solution, mut output) = (Solution::default(), SymOutput::default());
            let counts = allocations(&mut grid, &mut scenarios, |grid| {
                solver
                    .run_into(grid, &[], None, &options(method), &mut solution)
                    .expect("a solution");
                output.refresh(grid, &solution);
            });
            assert!(
                counts.iter().all(|&n| n == 0),
                "{name}, {method:?}: {counts:?}"
            );
        }
    }
}

#[test]
fn a_repeated_power_flow_by_phase_allocates_nothing() {
    for name in BY_PHASE {
        for method in [Method::Newton, Method::Current] {
            let (mut grid, mut scenarios) = case(name);
            let mut solver = AsymPowerFlow::new(&grid).expect("zero-sequence data");
            let (mut solution, mut output) = (AsymSolution::default(), AsymOutput::default());
            let counts = allocations(&mut grid, &mut scenarios, |grid| {
                solver
                    .run_into(grid, None, &options(method), &mut solution)
                    .expect("a solution");
                output.refresh(grid, solver.phases(), &solution);
            });
            assert!(
                counts.iter().all(|&n| n == 0),
                "{name}, {method:?}: {counts:?}"
            );
        }
    }
}

/// How often a run from where the last one ended, one from no load and what is `put_out` of it
/// allocate, all meters reading something else each time.
fn of_tracking<F: Form, const P: usize, const B: usize>(
    grid: &Grid,
    estimator: EstimatorOf<F>,
    mut put_out: impl FnMut(&TrackerOf<F, P, B>),
) -> Vec<u64> {
    let mut readings = Readings::new::<F>(grid.network());
    let mut measured = readings.measurements();
    let mut tracker = TrackerOf::new(estimator, grid, &readings, &FitOptions::default())
        .expect("an observable network");
    let starts = [Start::Last, Start::Flat];
    let runs = starts.into_iter().cycle().take(10).enumerate();
    let counts = runs.map(|(round, start)| {
        for (k, m) in measured.iter_mut().enumerate() {
            let off = [0.7, -0.4, -0.3][(k + round) % 3];
            m.value += off * m.sigma;
        }
        let run = allocation_counter::measure(|| {
            readings.take(&measured);
            let tracked = tracker.run(grid, &readings, start).expect("it converges");
            assert!(!tracked.orthogonal, "the slow way");
            put_out(&tracker);
        });
        run.count_total
    });
    // The first run from no load makes the room for its factor, and output its tables.
    counts.skip(2).collect()
}

#[test]
fn repeated_tracking_allocates_nothing() {
    for name in [
        "cigre-mv-fully-metered",
        "distribution-case",
        "transmission-case",
    ] {
        let network = pgm_json::read(&read("state_estimation", name, "input.json"));
        let grid = Grid::new(&network.expect("a network")).expect("a possible network");
        let mut output = SymOutput::default();
        let counts = of_tracking(&grid, Estimator::new(&grid), |tracker: &Tracker| {
            tracker.put_out(&grid, &mut output);
        });
        assert_eq!(counts, [0; 8], "{name}");
    }
}

#[test]
fn repeated_tracking_by_phase_allocates_nothing() {
    for name in ["distribution-case", "transmission-case"] {
        let network = pgm_json::read(&read("state_estimation", name, "input.json"));
        let grid = Grid::new(&network.expect("a network")).expect("a possible network");
        let mut output = AsymOutput::default();
        let estimator = AsymEstimator::new(&grid).expect("zero-sequence data");
        let counts = of_tracking(&grid, estimator, |tracker: &AsymTracker| {
            tracker.put_out(&grid, &mut output);
        });
        assert_eq!(counts, [0; 8], "{name}");
    }
}
