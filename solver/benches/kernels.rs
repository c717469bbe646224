//! The inner kernels: factor and solution of each kind of entry, power flow, estimator's fit. All on a
//! made-up radial network: `cargo bench -p busbar-solver`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use num_complex::Complex64;
use serde_json::{Value, json};
use solver::estimation::{
    Asym, AsymEstimator, Estimator, EstimatorOf, Form, Options as FitOptions, Readings, Start, Sym,
    TrackerOf,
};
use solver::network::{Grid, Matrix3, Sequences, pgm_json};
use solver::powerflow::{
    AsymOutput, AsymPowerFlow, AsymSolution, Method, Options, PowerFlow, Solution, SymOutput,
};
use solver::sparse::{Block, Entry, Lu};

/// Nodes: more than fits into the innermost cache.
const NODES: usize = 1000;

/// The node before each: feeders of a hundred nodes whose every third node has a branch of two.
fn parent(k: usize) -> usize {
    match k % 100 {
        0 => 0,
        at if at % 3 == 1 => k - 1,
        _ => k - k.min(2),
    }
}

/// The network, with a load and a meter of it, of the voltage too, at each node.
fn network(by_phase: bool) -> Value {
    let each = |value: f64| {
        if by_phase {
            json!([value, value, value])
        } else {
            json!(value)
        }
    };
    let id = |table: usize, k: usize| table * 10 * NODES + k;
    let nodes = (0..NODES).map(|k| json!({"id": id(0, k), "u_rated": 10e3}));
    let lines = (1..NODES).map(|k| {
        json!({"id": id(1, k), "from_node": parent(k), "to_node": k, "from_status": 1, "to_status": 1,
               "r1": 0.02, "x1": 0.02, "c1": 1e-8, "tan1": 0.0, "r0": 0.08, "x0": 0.06, "c0": 1e-8,
               "tan0": 0.0})
    });
    let loads = (1..NODES).map(|k| {
        let p = 2e3 + (k % 7) as f64 * 100.0;
        json!({"id": id(2, k), "node": k, "status": 1, "type": 0, "p_specified": each(p),
               "q_specified": each(0.3 * p)})
    });
    let powers = (1..NODES).map(|k| {
        let p = 2.1e3 + (k % 5) as f64 * 100.0;
        json!({"id": id(3, k), "measured_object": id(2, k), "measured_terminal_type": 4,
               "power_sigma": 200.0, "p_measured": each(p), "q_measured": each(0.3 * p)})
    });
    let u = if by_phase {
        10e3 / 3.0_f64.sqrt()
    } else {
        10e3
    };
    let voltages = (0..NODES).map(|k| {
        let mut meter = json!({"id": id(4, k), "measured_object": k, "u_sigma": 0.01 * u,
                               "u_measured": each(u)});
        if k == 0 {
            let third = std::f64::consts::TAU / 3.0;
            let angles = if by_phase {
                json!([0.0, -third, third])
            } else {
                json!(0.0)
            };
            meter["u_angle_measured"] = angles;
        }
        meter
    });
    let kind = if by_phase { "asym" } else { "sym" };
    let mut data = json!({
        "node": nodes.collect::<Vec<_>>(), "line": lines.collect::<Vec<_>>(),
        "source": [{"id": id(5, 0), "node": 0, "status": 1, "u_ref": 1.0}],
    });
    data[format!("{kind}_load")] = json!(loads.collect::<Vec<_>>());
    data[format!("{kind}_power_sensor")] = json!(powers.collect::<Vec<_>>());
    data[format!("{kind}_voltage_sensor")] = json!(voltages.collect::<Vec<_>>());
    json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": data})
}

fn grid(by_phase: bool) -> Grid {
    let network = pgm_json::read(&network(by_phase).to_string()).expect("the network is right");
    Grid::new(&network).expect("the network is right")
}

fn factor<E: Entry>(c: &mut Criterion, name: &str, off: E, vector: E::Vector) {
    let edges: Vec<(usize, usize)> = (1..NODES).map(|k| (parent(k), k)).collect();
    let mut lu = Lu::<E>::new(NODES, &edges);
    let slots: Vec<_> = (edges.iter())
        .flat_map(|&(i, j)| [(i, j), (j, i)])
        .filter_map(|(i, j)| lu.slot(i, j))
        .collect();
    let own: Vec<_> = (0..NODES).filter_map(|k| lu.slot(k, k)).collect();
    c.bench_function(&format!("factor of {name}"), |b| {
        b.iter(|| {
            lu.clear();
            for &slot in &own {
                // Ten of one, as large as all its neighbours together.
                for _ in 0..10 {
                    lu.add(slot, &E::IDENTITY);
                }
            }
            for &slot in &slots {
                lu.add(slot, &off);
            }
            lu.factor().expect("it is heavy on the diagonal");
        });
    });
    let mut x = vec![vector; NODES];
    c.bench_function(&format!("solution with {name}"), |b| {
        b.iter(|| {
            x.fill(vector);
            lu.solve_in_order(black_box(&mut x));
        });
    });
}

fn factors(c: &mut Criterion) {
    let y = Complex64::new(0.3, -0.2);
    let one = Complex64::ONE;
    factor::<Complex64>(c, "complex numbers", y, one);
    let phases = Matrix3::balanced(y, y * 0.1);
    factor::<Matrix3>(c, "three phases", phases, [one; 3]);
    factor::<Sequences>(c, "three sequences", Sequences([y; 3]), [one; 3]);
    factor::<Block<2>>(c, "2 by 2 blocks", [[0.1; 2]; 2], [1.0; 2]);
    factor::<Block<6>>(c, "6 by 6 blocks", [[0.1; 6]; 6], [1.0; 6]);
}

fn power_flows(c: &mut Criterion) {
    for method in [Method::Newton, Method::Current] {
        let options = Options {
            method,
            ..Options::default()
        };
        let grid = grid(false);
        let (mut solver, mut solution) = (PowerFlow::new(&grid), Solution::default());
        c.bench_function(&format!("power flow, symmetric, {method:?}"), |b| {
            b.iter(|| {
                let solved = solver.run_into(&grid, &[], None, &options, &mut solution);
                solved.expect("it converges");
            });
        });
        let mut output = SymOutput::default();
        if method == Method::Current {
            c.bench_function("output, symmetric", |b| {
                b.iter(|| output.refresh(&grid, black_box(&solution)));
            });
        }
    }
    for method in [Method::Newton, Method::Current] {
        let options = Options {
            method,
            ..Options::default()
        };
        let grid = grid(true);
        let mut solver = AsymPowerFlow::new(&grid).expect("it has a zero sequence");
        let mut solution = AsymSolution::default();
        c.bench_function(&format!("power flow by phase, {method:?}"), |b| {
            b.iter(|| {
                let solved = solver.run_into(&grid, None, &options, &mut solution);
                solved.expect("it converges");
            });
        });
        let mut output = AsymOutput::default();
        if method == Method::Current {
            c.bench_function("output by phase", |b| {
                b.iter(|| output.refresh(&grid, solver.phases(), black_box(&solution)));
            });
        }
    }
}

fn fit<F: Form, const P: usize, const B: usize>(
    c: &mut Criterion,
    name: &str,
    grid: &Grid,
    estimator: EstimatorOf<F>,
) {
    let readings = Readings::new::<F>(grid.network());
    let options = FitOptions::default();
    let tracker = TrackerOf::<F, P, B>::new(estimator, grid, &readings, &options);
    let mut tracker = tracker.expect("everything is measured");
    for (start, name) in [
        (Start::Flat, format!("fit, {name}, flat")),
        (Start::Last, format!("fit, {name}, from the last")),
    ] {
        c.bench_function(&name, |b| {
            b.iter(|| {
                let fitted = tracker.run(grid, &readings, start).is_ok();
                assert!(fitted);
            });
        });
    }
}

fn fits(c: &mut Criterion) {
    let one = grid(false);
    fit::<Sym, 1, 4>(c, "symmetric", &one, Estimator::new(&one));
    let three = grid(true);
    let estimator = AsymEstimator::new(&three).expect("it has a zero sequence");
    fit::<Asym, 3, 12>(c, "by phase", &three, estimator);
}

criterion_group!(kernels, factors, power_flows, fits);
criterion_main!(kernels);
