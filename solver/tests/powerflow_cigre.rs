//! The CIGRE medium-voltage network at the stressed noon, against pandapower.

use num_complex::Complex64;
use solver::network::{Grid, pgm_json};
use solver::powerflow::{Options, PowerFlow, flows};

const NETWORK: &str = include_str!("../../sim-rtu/data/cigre_mv.json");

/// Loads at 0.3, DER at five times the published power (the file's), batteries charging.
fn stressed_noon() -> Grid {
    let mut network = pgm_json::read(NETWORK).expect("the shipped network is valid");
    for load in &mut network.sym_load {
        load.p_specified *= 0.3;
        load.q_specified *= 0.3;
    }
    for generator in &mut network.sym_gen {
        if generator.id >= 106 {
            generator.p_specified *= -1.0;
        }
    }
    Grid::new(&network).expect("the shipped network is valid")
}

/// pandapower 3.5.6 `runpp`: highest and lowest voltage, losses, power from the 110 kV grid.
#[test]
fn stressed_noon_is_as_pandapower_has_it() {
    let grid = stressed_noon();
    let mut solver = PowerFlow::new(&grid);
    let solution = solver.run(&grid, &[], None, &Options::default()).unwrap();
    let highest = solution.u.iter().map(|u| u.norm()).fold(0.0, f64::max);
    assert!((highest - 1.108_699_572_586).abs() < 1e-8, "{highest}");
    let lowest = solution.u.iter().map(|u| u.norm()).fold(2.0, f64::min);
    assert!((lowest - 1.017_189_126_953).abs() < 1e-8, "{lowest}");
    let flows = flows(&grid, &solution.u);
    let loss = flows.loss().re;
    assert!((loss - 0.871_950_746_278).abs() < 1e-7, "{loss}");
    let supplied = solution.sources[0];
    let expected = Complex64::new(3.699_595_746_278, 4.460_564_395_186);
    assert!((supplied - expected).norm() < 1e-6, "{supplied}");
    assert!((flows.supplied() - supplied).norm() < 1e-12);
    // The tie from node 3 to node 8 carries the wind farm's power.
    let line = grid.index_of_branch(24).unwrap();
    assert!(flows.branches[line].loading > 1.0);
}

#[test]
fn a_warm_start_gives_the_same_answer_sooner() {
    let grid = stressed_noon();
    let mut solver = PowerFlow::new(&grid);
    let options = Options::default();
    let cold = solver.run(&grid, &[], None, &options).unwrap();
    let warm = solver.run(&grid, &[], Some(&cold.u), &options).unwrap();
    assert!(warm.iterations < cold.iterations);
    for (a, b) in cold.u.iter().zip(&warm.u) {
        assert!((a - b).norm() < 1e-12);
    }
    let again = solver.run(&grid, &[], None, &options).unwrap();
    assert_eq!(again, cold);
}

/// A tap up on the 110 kV side lowers the medium voltage; extra injections act as generators do.
#[test]
fn taps_and_injections_act() {
    let mut grid = stressed_noon();
    let mut solver = PowerFlow::new(&grid);
    let options = Options::default();
    let before = solver.run(&grid, &[], None, &options).unwrap();
    grid.set_tap(91, 4).unwrap();
    let tapped = solver.run(&grid, &[], Some(&before.u), &options).unwrap();
    let drop = before.u[7].norm() - tapped.u[7].norm();
    assert!((0.03..0.06).contains(&drop), "{drop}");
    grid.set_tap(91, 0).unwrap();
    let wind = grid.index_of_appliance(101).unwrap();
    let at = grid.appliances[wind].node;
    let mut injections = vec![Complex64::ZERO; grid.node_id.len()];
    injections[at] = grid.appliances[wind].s;
    grid.set_appliance(101, 0.0, 0.0).unwrap();
    let moved = solver.run(&grid, &injections, None, &options).unwrap();
    for (a, b) in before.u.iter().zip(&moved.u) {
        assert!((a - b).norm() < 1e-12);
    }
}

#[test]
fn open_switches_leave_dead_nodes_at_zero() {
    let mut grid = stressed_noon();
    let mut solver = PowerFlow::new(&grid);
    grid.set_branch_status(25, true, false).unwrap();
    let solution = solver.run(&grid, &[], None, &Options::default()).unwrap();
    for id in [13, 14] {
        let node = grid.index_of_node(id).unwrap();
        assert!(!grid.energised[node]);
        assert_eq!(solution.u[node], Complex64::ZERO);
    }
    // Closing the tie from node 14 to node 8 brings them back from the other feeder.
    grid.set_branch_status(29, true, true).unwrap();
    assert!(grid.energised.iter().all(|e| *e));
    let solution = solver.run(&grid, &[], None, &Options::default()).unwrap();
    assert!(solution.u.iter().all(|u| u.norm() > 0.9));
    grid.set_source_status(30, false).unwrap();
    let solution = solver.run(&grid, &[], None, &Options::default()).unwrap();
    assert!(solution.u.iter().all(|u| *u == Complex64::ZERO));
}
