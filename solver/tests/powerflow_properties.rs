//! What holds for every power flow, on seeded random networks.

use num_complex::Complex64;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use solver::network::{
    Connection, Grid, Line, LoadKind, Network, Node, PhaseSet, Shunt, Source, SymGen, SymLoad,
    Transformer, UpdateError,
};
use solver::powerflow::{AsymOutput, AsymPowerFlow, Method, Options, PowerFlow, SymOutput, flows};

/// Medium-voltage feeders with some ties, low-voltage ends behind transformers, loads of all
/// kinds, generators, shunts, one to three sources.
fn random_network(rng: &mut StdRng) -> Network {
    let nodes = rng.random_range(2..60);
    let mut network = Network::default();
    let mut id = 0..;
    let mut next = || id.next().expect("ids do not run out");
    for _ in 0..nodes {
        network.node.push(Node {
            id: next(),
            u_rated: 10e3,
        });
    }
    let ties = rng.random_range(0..6);
    for k in 1..nodes + ties {
        let from = rng.random_range(0..nodes.min(k));
        let to = if k < nodes {
            k
        } else {
            rng.random_range(0..nodes)
        };
        if from != to {
            let open = k >= nodes && rng.random_bool(0.3);
            network.line.push(random_line(rng, next(), from, to, open));
        }
    }
    for k in 0..nodes {
        match rng.random_range(0..4) {
            0 => {
                let low = next();
                network.node.push(Node {
                    id: low,
                    u_rated: 400.0,
                });
                let transformer = random_transformer(rng, next(), k, low);
                network.transformer.push(transformer);
                network.sym_load.push(random_load(rng, next(), low));
            }
            1 => network.sym_load.push(random_load(rng, next(), k)),
            2 => {
                let p_specified = rng.random_range(0.0..2e5);
                network.sym_gen.push(SymGen {
                    id: next(),
                    node: k,
                    status: 1,
                    kind: LoadKind::Power,
                    p_specified,
                    q_specified: rng.random_range(-5e4..5e4),
                    connection: Connection::Wye,
                    u_min: None,
                    u_max: None,
                });
            }
            _ => network.shunt.push(Shunt {
                id: next(),
                node: k,
                status: 1,
                g1: 1e-7,
                b1: rng.random_range(-1e-4..1e-4),
                g0: None,
                b0: None,
                phases: PhaseSet::ABC,
                connection: Connection::Wye,
                u_on: None,
                u_off: None,
            }),
        }
    }
    for _ in 0..rng.random_range(1..4) {
        network.source.push(Source {
            id: next(),
            node: rng.random_range(0..nodes),
            status: 1,
            u_ref: rng.random_range(0.98..1.04),
            u_ref_angle: rng.random_range(-0.01..0.01),
            sk: 10.0_f64.powf(rng.random_range(7.5..10.0)),
            rx_ratio: 0.1,
            z01_ratio: None,
        });
    }
    network
}

fn random_line(rng: &mut StdRng, id: i32, from_node: i32, to_node: i32, open: bool) -> Line {
    let km = rng.random_range(0.05..1.5);
    Line {
        id,
        from_node,
        to_node,
        from_status: 1,
        to_status: i8::from(!open),
        r1: 0.16 * km,
        x1: 0.11 * km,
        c1: 2.5e-7 * km,
        tan1: 0.002,
        r0: None,
        x0: None,
        c0: None,
        tan0: None,
        i_n: Some(300.0),
        phases: PhaseSet::ABC,
    }
}

fn random_transformer(rng: &mut StdRng, id: i32, from_node: i32, to_node: i32) -> Transformer {
    Transformer {
        id,
        from_node,
        to_node,
        from_status: 1,
        to_status: 1,
        u1: 10.25e3,
        u2: 400.0,
        sn: 630e3,
        uk: 0.05,
        pk: 6e3,
        i0: 0.01,
        p0: 900.0,
        winding_from: 2,
        winding_to: 1,
        clock: [1, 5, 7, 11][rng.random_range(0..4)],
        tap_side: 0,
        tap_pos: rng.random_range(-2..=2),
        tap_min: -2,
        tap_max: 2,
        tap_nom: 0,
        tap_size: 250.0,
        uk_min: None,
        uk_max: None,
        pk_min: None,
        pk_max: None,
        i0_zero_sequence: None,
        p0_zero_sequence: None,
        r_grounding_from: None,
        x_grounding_from: None,
        r_grounding_to: None,
        x_grounding_to: None,
        phases: PhaseSet::ABC,
    }
}

fn random_load(rng: &mut StdRng, id: i32, node: i32) -> SymLoad {
    let kinds = [LoadKind::Power, LoadKind::Impedance, LoadKind::Current];
    SymLoad {
        id,
        node,
        status: 1,
        kind: kinds[rng.random_range(0..3)],
        p_specified: rng.random_range(1e3..1.5e5),
        q_specified: rng.random_range(-1e4..5e4),
        connection: Connection::Wye,
        u_min: None,
        u_max: None,
    }
}

fn solve(grid: &Grid) -> Vec<Complex64> {
    let solution = PowerFlow::new(grid).run(grid, &[], None, &Options::default());
    solution.expect("these networks are lightly loaded").u
}

fn assert_close(a: &[Complex64], b: &[Complex64], what: &str, seed: u64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).norm() < 1e-9, "{what}, seed {seed}: {a} and {b}");
    }
}

/// What sources and generators deliver is what loads, shunts and branches take; and so at each
/// node.
#[test]
fn power_balances() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let grid = Grid::new(&random_network(&mut rng)).unwrap();
        let u = solve(&grid);
        let flows = flows(&grid, &u);
        let shunts = grid.y_shunt.iter().zip(&u);
        let shunts: Complex64 = shunts.map(|(y, u)| y.conj() * u.norm_sqr()).sum();
        let delivered: Complex64 = flows.appliances.iter().sum::<Complex64>() + flows.supplied();
        let balance = delivered - flows.loss() - shunts;
        assert!(balance.norm() < 1e-8, "seed {seed}: {balance}");
        let mut at_node = flows.nodes.clone();
        for (a, s) in grid.appliances.iter().zip(&flows.appliances) {
            at_node[a.node] -= s;
        }
        for (a, s) in grid.sources.iter().zip(&flows.sources) {
            at_node[a.node] -= s;
        }
        for (k, s) in at_node.iter().enumerate() {
            assert!(s.norm() < 1e-6, "seed {seed}, node {k}: {s}");
        }
        // A source's own equation, where its admittance leaves it digits.
        for (s, power) in grid.sources.iter().zip(&flows.sources) {
            let own = u[s.node] * (s.y * (s.u_ref - u[s.node])).conj();
            assert!(
                (own - power).norm() < 1e-6,
                "seed {seed}: {own} and {power}"
            );
        }
        let lossy = flows.branches.iter().all(|b| b.loss().re >= -1e-12);
        assert!(lossy, "seed {seed}: a branch gains power");
    }
}

#[test]
fn starts_and_order_do_not_matter() {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut network = random_network(&mut rng);
        let grid = Grid::new(&network).unwrap();
        let mut solver = PowerFlow::new(&grid);
        let options = Options::default();
        let cold = solver.run(&grid, &[], None, &options).unwrap();
        let warm = solver.run(&grid, &[], Some(&cold.u), &options).unwrap();
        assert_close(&cold.u, &warm.u, "warm", seed);
        assert!(warm.iterations <= 2, "seed {seed}: {}", warm.iterations);
        let flat = vec![Complex64::ZERO; cold.u.len()];
        let flat = solver.run(&grid, &[], Some(&flat), &options).unwrap();
        assert_close(&cold.u, &flat.u, "flat", seed);
        // The same network in another order.
        network.node.shuffle(&mut rng);
        network.line.shuffle(&mut rng);
        network.sym_load.shuffle(&mut rng);
        let shuffled = Grid::new(&network).unwrap();
        let u = solve(&shuffled);
        let u: Vec<Complex64> = grid
            .node_id
            .iter()
            .map(|&id| u[shuffled.index_of_node(id).unwrap()])
            .collect();
        assert_close(&cold.u, &u, "shuffled", seed);
    }
}

/// With balanced loads every phase is the symmetric power flow's, a third of a turn apart; and a
/// power flow by phase serves a changed grid as one built for it.
#[test]
fn balanced_phases_are_the_symmetric_power_flow() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut network = random_network(&mut rng);
        for l in &mut network.line {
            (l.r0, l.x0) = (Some(3.0 * l.r1), Some(4.0 * l.x1));
            (l.c0, l.tan0) = (Some(0.6 * l.c1), Some(0.0));
        }
        for s in &mut network.shunt {
            (s.g0, s.b0) = (Some(s.g1), Some(s.b1));
        }
        let mut grid = Grid::new(&network).unwrap();
        let mut solver = AsymPowerFlow::new(&grid).unwrap();
        let options = Options::default();
        for method in [
            Method::Newton,
            Method::Current,
            Method::Current,
            Method::Newton,
        ] {
            let options = Options { method, ..options };
            let by_phase = solver.run(&grid, None, &options).unwrap();
            let warm = solver.run(&grid, Some(&by_phase.u), &options);
            assert!(warm.unwrap().iterations <= 2, "seed {seed}");
            let symmetric = solve(&grid);
            for (turns, phase) in [(0.0, 0), (-1.0, 1), (1.0, 2)] {
                let turn = Complex64::from_polar(1.0, turns * std::f64::consts::TAU / 3.0);
                let own: Vec<Complex64> = by_phase.u.iter().map(|u| u[phase]).collect();
                let turned: Vec<Complex64> = symmetric.iter().map(|u| u * turn).collect();
                assert_close(&own, &turned, "by phase", seed);
            }
            let output = AsymOutput::new(&grid, solver.phases(), &by_phase);
            let expected = SymOutput::solve(&grid, &options).unwrap();
            for (s, expected) in output.source.iter().zip(&expected.source) {
                let total: f64 = s.p.iter().sum();
                assert!((total - expected.p).abs() < 1e-2, "seed {seed}: {total}");
            }
            change(&mut grid, &mut rng).unwrap();
        }
    }
}

/// Changes leave the same grid as building it anew, and one power flow serves them all.
#[test]
fn a_changed_grid_is_a_rebuilt_grid() {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut grid = Grid::new(&random_network(&mut rng)).unwrap();
        let mut solver = PowerFlow::new(&grid);
        for _ in 0..8 {
            change(&mut grid, &mut rng).unwrap();
        }
        let rebuilt = Grid::new(grid.network()).unwrap();
        assert_eq!(grid, rebuilt, "seed {seed}");
        let changed = solver.run(&grid, &[], None, &Options::default()).unwrap();
        assert_close(&changed.u, &solve(&rebuilt), "changed", seed);
        for (u, energised) in changed.u.iter().zip(&grid.energised) {
            assert_eq!(*u != Complex64::ZERO, *energised, "seed {seed}");
        }
        let output = SymOutput::new(&grid, &changed);
        for (node, energised) in output.node.iter().zip(&grid.energised) {
            assert_eq!(node.energized == 1, *energised, "seed {seed}");
        }
    }
}

fn change(grid: &mut Grid, rng: &mut StdRng) -> Result<(), UpdateError> {
    let pick = |len: usize, rng: &mut StdRng| rng.random_range(0..len.max(1));
    let network = grid.network().clone();
    match rng.random_range(0..5) {
        0 => {
            if let Some(t) = network
                .transformer
                .get(pick(network.transformer.len(), rng))
            {
                grid.set_tap(t.id, rng.random_range(-2..=2))?;
            }
        }
        1 => {
            let branch = grid.branches[pick(grid.branches.len(), rng)].id;
            let (from, to) = (rng.random_bool(0.7), rng.random_bool(0.7));
            grid.set_branch_status(branch, from, to)?;
        }
        2 => {
            if let Some(a) = grid.appliances.get(pick(grid.appliances.len(), rng)) {
                let id = a.id;
                grid.set_appliance(id, rng.random_range(0.0..1e5), 1e4)?;
                grid.set_appliance_status(id, rng.random_bool(0.8))?;
            }
        }
        3 => {
            let source = network.source[pick(network.source.len(), rng)].id;
            grid.set_source(source, 1.01, 0.0)?;
            grid.set_source_status(source, rng.random_bool(0.8))?;
        }
        _ => {
            if let Some(s) = network.shunt.get(pick(network.shunt.len(), rng)) {
                grid.set_shunt_status(s.id, rng.random_bool(0.5))?;
            }
        }
    }
    Ok(())
}

/// What factors are kept by: the same revision means the same admittances and switch states, and
/// powers alone leave it.
#[test]
fn the_revision_follows_admittances_only() {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut grid = Grid::new(&random_network(&mut rng)).unwrap();
        for _ in 0..8 {
            let before = grid.clone();
            assert!(before.revision().is(grid.revision()));
            change(&mut grid, &mut rng).unwrap();
            let strength = |g: &Grid| -> Vec<(bool, Complex64)> {
                g.sources.iter().map(|s| (s.closed, s.y)).collect()
            };
            let same = before.branches == grid.branches
                && before.y_shunt == grid.y_shunt
                && before.energised == grid.energised
                && strength(&before) == strength(&grid);
            assert!(
                same || !before.revision().is(grid.revision()),
                "seed {seed}"
            );
        }
        let before = grid.revision().clone();
        if let Some(a) = grid.appliances.first() {
            let id = a.id;
            grid.set_appliance(id, 1.0, 2.0).unwrap();
            grid.set_appliance_status(id, false).unwrap();
        }
        grid.set_source(grid.sources[0].id, 1.02, 0.1).unwrap();
        assert!(before.is(grid.revision()), "seed {seed}");
    }
}
