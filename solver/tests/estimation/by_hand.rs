//! Small networks whose answers are published or follow by hand.

use num_complex::Complex64;
use solver::estimation::{
    EstimationError, Estimator, Kind, Measurement, Options, Origin, Phase, UnusedReason,
};
use solver::network::{
    Connection, Grid, Line, LoadKind, Network, Node, PhaseSet, Side, Source, SymLoad,
};

use super::case::metered;

/// 1 kV and 1 MVA make one ohm the base impedance.
fn network(nodes: i32, lines: &[(i32, i32, f64, f64)], loads: &[i32]) -> Network {
    Network {
        node: (1..=nodes).map(|id| Node { id, u_rated: 1e3 }).collect(),
        line: (lines.iter().enumerate())
            .map(|(k, &(from_node, to_node, r1, x1))| Line {
                id: 10 + k as i32,
                from_node,
                to_node,
                from_status: 1,
                to_status: 1,
                r1,
                x1,
                c1: 0.0,
                tan1: 0.0,
                r0: None,
                x0: None,
                c0: None,
                tan0: None,
                i_n: None,
                phases: PhaseSet::ABC,
            })
            .collect(),
        source: vec![Source {
            id: 20,
            node: 1,
            status: 1,
            u_ref: 1.0,
            u_ref_angle: 0.0,
            sk: 1e10,
            rx_ratio: 0.1,
            z01_ratio: None,
        }],
        sym_load: (loads.iter())
            .map(|&node| SymLoad {
                id: 30 + node,
                node,
                status: 1,
                kind: LoadKind::Power,
                p_specified: 0.0,
                q_specified: 0.0,
                connection: Connection::Wye,
                u_min: None,
                u_max: None,
            })
            .collect(),
        ..Network::default()
    }
}

fn run(grid: &Grid, measurements: &[Measurement]) -> solver::estimation::Estimate {
    Estimator::new(grid)
        .run(grid, measurements, None, &Options::default())
        .unwrap()
}

/// Abur and Gómez-Expósito, examples 2.1 and 2.2: the network, the eight measurements, and the
/// published estimate; standard deviations and residuals by a dense calculation with numpy.
#[test]
fn three_buses_of_the_textbook() {
    let lines = [(1, 2, 0.01, 0.03), (1, 3, 0.02, 0.05), (2, 3, 0.03, 0.08)];
    let grid = Grid::new(&network(3, &lines, &[2, 3])).unwrap();
    let side = Side::From;
    let measurements = [
        metered(Kind::BranchP { branch: 10, side }, 0.888e6, 0.008e6),
        metered(Kind::BranchP { branch: 11, side }, 1.173e6, 0.008e6),
        metered(Kind::NodeP { node: 2 }, -0.501e6, 0.010e6),
        metered(Kind::BranchQ { branch: 10, side }, 0.568e6, 0.008e6),
        metered(Kind::BranchQ { branch: 11, side }, 0.663e6, 0.008e6),
        metered(Kind::NodeQ { node: 2 }, -0.286e6, 0.010e6),
        metered(Kind::Voltage { node: 1 }, 1.006e3, 0.004e3),
        metered(Kind::Voltage { node: 2 }, 0.968e3, 0.004e3),
    ];
    let estimate = run(&grid, &measurements);
    let voltages = [0.999_629_26, 0.974_156_07, 0.943_890_38];
    let angles = [0.0, -1.247_547_f64, -2.745_716_74];
    let sigmas = [0.002_794_09, 0.002_865_07, 0.002_966_42];
    for (k, node) in estimate.nodes.iter().enumerate() {
        let (u, angle) = (node.u.unwrap(), node.angle.unwrap());
        assert!((u.value / 1e3 - voltages[k]).abs() < 1e-7, "{u:?}");
        assert!(
            (angle.value - angles[k].to_radians()).abs() < 1e-7,
            "{angle:?}"
        );
        assert!((u.sigma / 1e3 - sigmas[k]).abs() < 1e-7, "{u:?}");
    }
    assert!((estimate.nodes[2].angle.unwrap().sigma - 0.000_517_69).abs() < 1e-7);
    assert!(
        (estimate.objective - 8.638_192_95).abs() < 1e-6,
        "{}",
        estimate.objective
    );
    assert_eq!(estimate.degrees_of_freedom, 3);
    assert!((estimate.chi_square_threshold - 11.344_9).abs() < 1e-3);
    assert!(estimate.passed && estimate.rejected.is_empty());
    let normalised = [
        0.899_955, 0.776_673, 0.776_603, 1.660_137, 1.810_453, 1.810_483, 2.225_703, 2.205_449,
    ];
    for (residual, expected) in estimate.residuals.iter().zip(normalised) {
        let found = residual.unwrap().normalised.unwrap().abs();
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}

/// Two meters of one voltage: the weighted mean, and its variance.
#[test]
fn one_node_twice_measured() {
    let grid = Grid::new(&network(1, &[], &[])).unwrap();
    let voltage = |value, sigma| metered(Kind::Voltage { node: 1 }, value, sigma);
    let estimate = run(&grid, &[voltage(1010.0, 10.0), voltage(1000.0, 5.0)]);
    let u = estimate.nodes[0].u.unwrap();
    assert!((u.value - 1002.0).abs() < 1e-9 && (u.sigma - 20.0_f64.sqrt()).abs() < 1e-9);
    // Residuals 8 and -2 of variances 100 - 20 and 25 - 20.
    let normalised = |k: usize| estimate.residuals[k].unwrap().normalised.unwrap();
    assert!((normalised(0) - 8.0 / 80.0_f64.sqrt()).abs() < 1e-9);
    assert!((normalised(1) + 2.0 / 5.0_f64.sqrt()).abs() < 1e-9);
    assert!((estimate.objective - 0.8).abs() < 1e-9);
}

/// Exactly as many measurements as unknowns: solved, and said to be beyond checking.
#[test]
fn critical_measurements_are_reported() {
    let grid = Grid::new(&network(2, &[(1, 2, 0.01, 0.03)], &[2])).unwrap();
    let mut measurements = vec![
        metered(Kind::Voltage { node: 1 }, 1e3, 1.0),
        metered(Kind::ApplianceP { appliance: 32 }, 5e5, 1e3),
        metered(Kind::ApplianceQ { appliance: 32 }, 1e5, 1e3),
    ];
    let estimate = run(&grid, &measurements);
    assert_eq!(estimate.critical, [0, 1, 2]);
    assert_eq!((estimate.degrees_of_freedom, estimate.passed), (0, true));
    assert!(
        estimate
            .residuals
            .iter()
            .all(|r| r.unwrap().normalised.is_none())
    );
    // I²R and I²X on top of the load.
    let u2 = estimate.nodes[1].u.unwrap().value / 1e3;
    let losses = (0.5_f64.powi(2) + 0.1_f64.powi(2)) / (u2 * u2);
    let source = &estimate.sources[0];
    assert!((source.p.unwrap().value / 1e6 - 0.5 - 0.01 * losses).abs() < 1e-9);
    assert!((source.q.unwrap().value / 1e6 - 0.1 - 0.03 * losses).abs() < 1e-9);
    // An error on a critical measurement moves the estimate, and no test can tell.
    measurements[1].value = 8e5;
    let wrong = run(&grid, &measurements);
    assert!(wrong.rejected.is_empty() && wrong.critical.contains(&1));
}

/// A second voltage does not tell an unmeasured load apart from another.
#[test]
fn what_is_not_measured_is_not_answered() {
    let lines = [(1, 2, 0.01, 0.03), (2, 3, 0.01, 0.03), (1, 4, 0.02, 0.05)];
    let grid = Grid::new(&network(4, &lines, &[2, 3])).unwrap();
    let side = Side::From;
    let estimate = run(
        &grid,
        &[
            metered(Kind::Voltage { node: 1 }, 1e3, 1.0),
            metered(Kind::BranchP { branch: 10, side }, 5e5, 1e3),
            metered(Kind::BranchQ { branch: 10, side }, 1e5, 1e3),
        ],
    );
    // The flow into node 2 gives its voltage; what goes on to node 3 is unknown, and node 4 is at
    // the end of a line without load.
    assert_eq!(estimate.unobservable, [3]);
    assert!(estimate.nodes[1].u.is_some() && estimate.nodes[2].u.is_none());
    assert!((estimate.nodes[3].u.unwrap().value - estimate.nodes[0].u.unwrap().value).abs() < 1e-9);
    assert!(estimate.branches[0].to.is_some() && estimate.branches[1].from.is_none());
    assert!(
        estimate
            .appliances
            .iter()
            .all(|a| a.p.is_none() && a.origin.is_none())
    );
    assert!(estimate.sources[0].p.is_some());

    // With a guess for one load, the other follows.
    let guess = |kind, value, sigma| Measurement {
        kind,
        phase: Phase::Sym,
        value,
        sigma,
        origin: Origin::Pseudo,
    };
    let estimate = run(
        &grid,
        &[
            metered(Kind::Voltage { node: 1 }, 1e3, 1.0),
            metered(Kind::BranchP { branch: 10, side }, 5e5, 1e3),
            metered(Kind::BranchQ { branch: 10, side }, 1e5, 1e3),
            guess(Kind::ApplianceP { appliance: 33 }, 2e5, 5e4),
            guess(Kind::ApplianceQ { appliance: 33 }, 4e4, 1e4),
        ],
    );
    assert!(estimate.unobservable.is_empty());
    let other = estimate.appliances[0].p.unwrap();
    assert!(
        (other.value - 3e5).abs() < 5e3 && (other.sigma - 5e4).abs() < 5e3,
        "{other:?}"
    );
    assert!(!estimate.nodes[1].rests_on_pseudo && estimate.nodes[2].rests_on_pseudo);
    assert_eq!(estimate.appliances[1].origin, Some(Origin::Pseudo));
}

#[test]
fn without_a_voltage_nothing_is_observable() {
    let grid = Grid::new(&network(2, &[(1, 2, 0.01, 0.03)], &[2])).unwrap();
    let estimate = run(
        &grid,
        &[metered(Kind::ApplianceP { appliance: 32 }, 5e5, 1e3)],
    );
    assert_eq!(estimate.unobservable, [1, 2]);
    assert!(
        estimate
            .nodes
            .iter()
            .all(|n| n.u.is_none() && n.p.is_none())
    );
}

/// Opening a line needs no new estimator; what is cut off is dead, and its meters idle.
#[test]
fn switching() {
    let lines = [(1, 2, 0.01, 0.03), (2, 3, 0.01, 0.03)];
    let mut grid = Grid::new(&network(3, &lines, &[2, 3])).unwrap();
    let measurements = [
        metered(Kind::Voltage { node: 1 }, 1e3, 1.0),
        metered(Kind::ApplianceP { appliance: 32 }, 5e5, 1e3),
        metered(Kind::ApplianceQ { appliance: 32 }, 1e5, 1e3),
        metered(Kind::ApplianceP { appliance: 33 }, 2e5, 1e3),
        metered(Kind::ApplianceQ { appliance: 33 }, f64::NAN, 1e3),
        metered(Kind::ApplianceQ { appliance: 33 }, 2e4, 1e3),
        metered(
            Kind::BranchCurrent {
                branch: 11,
                side: Side::From,
            },
            1.0,
            1.0,
        ),
    ];
    let mut estimator = Estimator::new(&grid);
    let options = Options::default();
    let before = estimator.run(&grid, &measurements, None, &options).unwrap();
    let reasons: Vec<_> = before.unused.iter().map(|u| (u.index, u.reason)).collect();
    assert_eq!(
        reasons,
        [
            (4, UnusedReason::NotFinite),
            (6, UnusedReason::CurrentBelowNoise)
        ]
    );
    assert!(before.nodes[2].energised && before.unobservable.is_empty());

    grid.set_branch_status(11, false, true).unwrap();
    let after = estimator
        .run(&grid, &measurements, Some(&before.u), &options)
        .unwrap();
    assert!(!after.nodes[2].energised && after.u[2] == Complex64::ZERO);
    assert!(after.nodes[2].u.unwrap().value == 0.0 && after.appliances[1].p.unwrap().value == 0.0);
    let idle = after
        .unused
        .iter()
        .filter(|u| u.reason == UnusedReason::NotEnergised);
    assert_eq!(idle.map(|u| u.index).collect::<Vec<_>>(), [3, 5, 6]);
    assert!((after.branches[0].to.unwrap().p.value + 5e5).abs() < 1.0);
    assert!(after.branches[1].from.unwrap().p.value == 0.0);
}

/// A line open at its far end, of which the node has another way: meters at the near end take part, those
/// at the far end do not. Without charging and with nothing behind it nothing enters it.
#[test]
fn each_end_has_its_own_switch() {
    let lines = [(1, 2, 0.01, 0.03), (1, 2, 0.02, 0.04)];
    let mut grid = Grid::new(&network(2, &lines, &[2])).unwrap();
    let flow = |side| metered(Kind::BranchP { branch: 11, side }, 2e3, 1e3);
    let measurements = [
        metered(Kind::Voltage { node: 1 }, 1e3, 1.0),
        metered(Kind::ApplianceP { appliance: 32 }, 5e5, 1e3),
        metered(Kind::ApplianceQ { appliance: 32 }, 1e5, 1e3),
        flow(Side::From),
        flow(Side::To),
    ];
    for (from, to, idle) in [
        (true, false, vec![4]),
        (false, true, vec![3]),
        (false, false, vec![3, 4]),
    ] {
        grid.set_branch_status(11, from, to).unwrap();
        let estimate = run(&grid, &measurements);
        let unused: Vec<usize> = estimate.unused.iter().map(|u| u.index).collect();
        assert_eq!(unused, idle);
        let seen = 2 - idle.len();
        assert!(
            (estimate.objective - 4.0 * seen as f64).abs() < 1e-6,
            "{}",
            estimate.objective
        );
        assert_eq!(estimate.degrees_of_freedom, seen);
    }
}

#[test]
fn mistakes_of_the_caller() {
    let grid = Grid::new(&network(2, &[(1, 2, 0.01, 0.03)], &[2])).unwrap();
    let mut estimator = Estimator::new(&grid);
    let options = Options::default();
    let voltage = metered(Kind::Voltage { node: 1 }, 1e3, 1.0);
    let mut error = |m: Measurement| {
        estimator
            .run(&grid, &[voltage.clone(), m], None, &options)
            .unwrap_err()
            .to_string()
    };
    let unknown = error(metered(Kind::Voltage { node: 7 }, 1e3, 1.0));
    assert_eq!(unknown, "measurement 1: the grid has no node 7");
    let unknown = error(metered(Kind::ApplianceP { appliance: 2 }, 1e3, 1.0));
    assert_eq!(
        unknown,
        "measurement 1: the grid has no load or generator 2"
    );
    assert!(error(metered(Kind::Voltage { node: 1 }, 1e3, 0.0)).contains("is not above zero"));
    assert!(error(metered(Kind::Voltage { node: 1 }, 1e3, f64::NAN)).contains("is not above zero"));
    let single = Measurement {
        phase: Phase::B,
        ..voltage.clone()
    };
    assert!(error(single).contains("phase B"));
    let start = [Complex64::ONE];
    let length = estimator.run(
        &grid,
        std::slice::from_ref(&voltage),
        Some(&start),
        &options,
    );
    assert_eq!(
        length,
        Err(EstimationError::StartLength {
            found: 1,
            expected: 2
        })
    );
    let other = Grid::new(&network(3, &[(1, 2, 0.01, 0.03)], &[2])).unwrap();
    let error = estimator
        .run(&other, &[voltage], None, &options)
        .unwrap_err();
    assert!(matches!(
        error,
        EstimationError::OtherGrid { found_nodes: 3, .. }
    ));
}
