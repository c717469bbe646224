//! Networks of up to a thousand nodes, where power-grid-model's symmetric estimator gives up on
//! the meshed one.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use solver::estimation::{AsymEstimator, Estimator, Kind, Measurement, Options, Phase};
use solver::network::{
    AsymLoad, Connection, Grid, Line, LoadKind, Network, Node, PhaseSet, S_BASE_VA, Side, Source,
    SymLoad,
};
use solver::powerflow::{self, AsymOutput, AsymPowerFlow, PowerFlow};

use super::case::metered;

/// Lines between consecutive nodes, from `parent(k)` to `k`; every third node loaded.
fn network(nodes: i32, parent: impl Fn(i32) -> i32, closing: &[(i32, i32)]) -> Network {
    let mut random = StdRng::seed_from_u64(41);
    let tree = (1..nodes).map(|k| (parent(k), k));
    let line = (tree.chain(closing.iter().copied()).enumerate())
        .map(|(k, (from_node, to_node))| Line {
            id: 10_000 + k as i32,
            from_node,
            to_node,
            from_status: 1,
            to_status: 1,
            r1: random.random_range(0.001..0.02),
            x1: random.random_range(0.001..0.01),
            c1: 1e-8,
            tan1: 0.0,
            r0: Some(0.04),
            x0: Some(0.03),
            c0: Some(5e-9),
            tan0: Some(0.0),
            i_n: None,
            phases: PhaseSet::ABC,
        })
        .collect();
    Network {
        node: (0..nodes).map(|id| Node { id, u_rated: 10e3 }).collect(),
        line,
        source: vec![Source {
            id: 30_000,
            node: 0,
            status: 1,
            u_ref: 1.02,
            u_ref_angle: 0.0,
            sk: 1e10,
            rx_ratio: 0.1,
            z01_ratio: None,
        }],
        sym_load: ((1..nodes).step_by(3))
            .map(|node| SymLoad {
                id: 20_000 + node,
                node,
                status: 1,
                kind: LoadKind::Power,
                p_specified: random.random_range(1e3..2e4),
                q_specified: random.random_range(0.0..5e3),
                connection: Connection::Wye,
                u_min: None,
                u_max: None,
            })
            .collect(),
        ..Network::default()
    }
}

/// True values of all loads, flows at both ends of all branches and every tenth voltage, so that
/// the optimum is the true state; standard deviations over eight orders of magnitude in weight.
fn check(network: &Network) {
    let grid = Grid::new(network).unwrap();
    let exact = powerflow::Options {
        tolerance: 1e-12,
        max_iterations: 50,
        ..Default::default()
    };
    let u = PowerFlow::new(&grid)
        .run(&grid, &[], None, &exact)
        .unwrap()
        .u;
    let flows = powerflow::flows(&grid, &u);
    let mut measurements: Vec<Measurement> = Vec::new();
    for (k, &u) in u.iter().enumerate().step_by(10) {
        measurements.push(metered(
            Kind::Voltage {
                node: grid.node_id[k],
            },
            u.norm() * 10e3,
            10.0,
        ));
    }
    for (k, (b, flow)) in grid.branches.iter().zip(&flows.branches).enumerate() {
        let sigma = if k % 2 == 0 { 1.0 } else { 1e4 };
        for (side, s) in [(Side::From, flow.s_from), (Side::To, flow.s_to)] {
            measurements.push(metered(
                Kind::BranchP { branch: b.id, side },
                s.re * S_BASE_VA,
                sigma,
            ));
            measurements.push(metered(
                Kind::BranchQ { branch: b.id, side },
                s.im * S_BASE_VA,
                sigma,
            ));
        }
    }
    for (a, s) in grid.appliances.iter().zip(&flows.appliances) {
        let appliance = a.id;
        measurements.push(metered(
            Kind::ApplianceP { appliance },
            -s.re * S_BASE_VA,
            10.0,
        ));
        measurements.push(metered(
            Kind::ApplianceQ { appliance },
            -s.im * S_BASE_VA,
            10.0,
        ));
    }
    let estimate = Estimator::new(&grid)
        .run(&grid, &measurements, None, &Options::default())
        .unwrap();
    assert!(estimate.unobservable.is_empty() && estimate.rejected.is_empty());
    assert!(estimate.objective < 1e-6, "{}", estimate.objective);
    for (found, expected) in estimate.u.iter().zip(&u) {
        let turned = expected * u[0].conj() / u[0].norm();
        assert!((found - turned).norm() < 1e-8, "{found} {turned}");
    }
}

/// The same by phase: loads of each phase, of which phase a takes half.
fn check_by_phase(mut network: Network) {
    for l in network.sym_load.drain(..) {
        let share = |x: f64| [0.5 * x, 0.3 * x, 0.2 * x];
        network.asym_load.push(AsymLoad {
            id: l.id,
            node: l.node,
            status: 1,
            kind: l.kind,
            p_specified: share(l.p_specified),
            q_specified: share(l.q_specified),
            connection: l.connection,
            u_min: None,
            u_max: None,
        });
    }
    let grid = Grid::new(&network).unwrap();
    let exact = powerflow::Options {
        tolerance: 1e-12,
        max_iterations: 50,
        ..Default::default()
    };
    let mut flow = AsymPowerFlow::new(&grid).unwrap();
    let truth = flow.run(&grid, None, &exact).unwrap();
    let output = AsymOutput::new(&grid, flow.phases(), &truth);
    let measurements = by_phase(&output);
    let estimate = AsymEstimator::new(&grid)
        .unwrap()
        .run(&grid, &measurements, None, &Options::default())
        .unwrap();
    assert!(estimate.unobservable.is_empty() && estimate.rejected.is_empty());
    assert!(estimate.objective < 1e-6, "{}", estimate.objective);
    assert!(estimate.gradient_norm < 1e-4, "{}", estimate.gradient_norm);
    for (found, expected) in estimate.u.iter().zip(&truth.u) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).norm() < 1e-7, "{found} {expected}");
        }
    }
}

/// True values as in [`check`], of each phase.
fn by_phase(output: &AsymOutput) -> Vec<Measurement> {
    let mut measurements = Vec::new();
    let mut add = |kind, values: [f64; 3], sigma| {
        for (phase, value) in [Phase::A, Phase::B, Phase::C].into_iter().zip(values) {
            measurements.push(Measurement {
                phase,
                ..metered(kind, value, sigma)
            });
        }
    };
    for node in output.node.iter().step_by(10) {
        add(Kind::Voltage { node: node.id }, node.u, 10.0);
    }
    let source = &output.node[0];
    add(Kind::VoltageAngle { node: source.id }, source.u_angle, 1e-3);
    for (k, l) in output.line.iter().enumerate() {
        let (sigma, branch) = (if k % 2 == 0 { 1.0 } else { 1e4 }, l.id);
        for (side, p, q) in [(Side::From, l.p_from, l.q_from), (Side::To, l.p_to, l.q_to)] {
            add(Kind::BranchP { branch, side }, p, sigma);
            add(Kind::BranchQ { branch, side }, q, sigma);
        }
    }
    for l in &output.asym_load {
        let appliance = l.id;
        add(Kind::ApplianceP { appliance }, l.p, 10.0);
        add(Kind::ApplianceQ { appliance }, l.q, 10.0);
    }
    measurements
}

#[test]
fn fully_measured_ring_by_phase() {
    check_by_phase(network(978, |k| k - 1, &[(977, 0)]));
}

#[test]
fn radial_feeders_by_phase() {
    check_by_phase(network(300, |k| if k <= 10 { 0 } else { k - 10 }, &[]));
}

#[test]
fn fully_measured_ring() {
    check(&network(978, |k| k - 1, &[(977, 0)]));
}

#[test]
fn radial_feeders_with_a_hub() {
    check(&network(1500, |k| if k <= 30 { 0 } else { k - 30 }, &[]));
}

#[test]
fn meshed_ladder() {
    let rungs: Vec<(i32, i32)> = (0..450).step_by(9).map(|k| (k, 899 - k)).collect();
    check(&network(900, |k| k - 1, &rungs));
}
