//! What prices are made of, against finite differences of the power flow alone.

use num_complex::Complex64;
use solver::{
    market::{
        Price,
        clearing::{
            Case, Clearing, Interface, Limit, Options, PriceParts, Status, clear, price_parts,
        },
    },
    network::{Grid, Id, S_BASE_VA, Side, Source},
    powerflow::{self, PowerFlow, flows},
};

use crate::{feeder, random};

/// What the sources deliver and what each limit that binds is at, SI, with more load at a node.
fn state(
    grid: &Grid,
    case: &Case,
    clearing: &Clearing,
    load: (Id, Complex64),
) -> (Vec<f64>, Vec<f64>) {
    let mut injected = vec![Complex64::ZERO; grid.node_id.len()];
    let at = |node: Id| grid.node_id.iter().position(|&id| id == node).unwrap();
    for power in &case.fixed {
        injected[at(power.node)] += Complex64::new(power.p_w, power.q_var);
    }
    for (unit, award) in case.units.iter().zip(&clearing.awards) {
        injected[at(unit.node)] += Complex64::new(award.p_w, award.q_var);
    }
    injected[at(load.0)] -= load.1;
    for s in &mut injected {
        *s /= S_BASE_VA;
    }
    let options = powerflow::Options {
        tolerance: 1e-12,
        ..powerflow::Options::default()
    };
    let solved = PowerFlow::new(grid)
        .run(grid, &injected, None, &options)
        .unwrap();
    let flow = flows(grid, &solved.u);
    let branch = |id: Id, side: Side| {
        let k = grid.branches.iter().position(|of| of.id == id).unwrap();
        let (of, flow) = (&grid.branches[k], &flow.branches[k]);
        match side {
            Side::From => (flow.i_from, flow.s_from, of.from),
            Side::To => (flow.i_to, flow.s_to, of.to),
        }
    };
    let source = |id: Id| {
        let k = grid.sources.iter().position(|of| of.id == id).unwrap();
        solved.sources[k].re * S_BASE_VA
    };
    let values = clearing.binding.iter().map(|of| match of.limit {
        Limit::UMax { node } => solved.u[at(node)].norm(),
        Limit::UMin { node } => -solved.u[at(node)].norm(),
        Limit::Current { branch: id, side } => {
            let (i, _, node) = branch(id, side);
            i * grid.base_current_a(node)
        }
        Limit::Apparent { branch: id, side } => branch(id, side).1.norm() * S_BASE_VA,
        Limit::Import { source: id } => source(id),
        Limit::Export { source: id } => -source(id),
    });
    let sources = solved.sources.iter().map(|s| s.re * S_BASE_VA);
    (sources.collect(), values.collect())
}

/// Of 1 per MWh, or of what is expected where that is more.
fn relative(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / expected.abs().max(1.0)
}

/// Furthest that a part is from its finite difference, and the largest rest, currency per MWh.
fn furthest(grid: &Grid, case: &Case, clearing: &Clearing, parts: &[PriceParts]) -> (f64, f64) {
    let step = 1e3;
    let (mut apart, mut rest): (f64, f64) = (0.0, 0.0);
    for of in parts {
        for (direction, reactive) in [(Complex64::ONE, false), (Complex64::I, true)] {
            let by = |k: f64| state(grid, case, clearing, (of.node, direction * k * step));
            let ((more, more_at), (less, less_at)) = (by(1.0), by(-1.0));
            let (mut served, mut paid) = (0.0, 0.0);
            for ((more, less), exchange) in more.iter().zip(&less).zip(&clearing.exchange) {
                let share = (more - less) / (2.0 * step);
                served += share;
                paid += share * exchange.price_per_mwh;
            }
            let (energy, loss) = match reactive {
                false => (paid / served, paid - paid / served),
                true => (0.0, paid),
            };
            let found = match reactive {
                false => (of.energy_per_mwh, of.loss_p_per_mwh),
                true => (0.0, of.loss_q_per_mvarh),
            };
            apart = apart
                .max((found.0 - energy).abs())
                .max((found.1 - loss).abs());
            assert_eq!(of.limits.len(), clearing.binding.len());
            for (k, binding) in clearing.binding.iter().enumerate() {
                let slope = (more_at[k] - less_at[k]) / (2.0 * step * 1e-6);
                let expected = binding.shadow_price_per_h * slope;
                let part = of.limits[k];
                assert_eq!(part.limit, binding.limit);
                let found = if reactive {
                    part.q_per_mvarh
                } else {
                    part.p_per_mwh
                };
                apart = apart.max(relative(found, expected));
            }
        }
        rest = rest
            .max(of.rest_p_per_mwh.abs())
            .max(of.rest_q_per_mvarh.abs());
    }
    (apart, rest)
}

#[test]
fn parts_are_what_a_little_more_load_does_to_losses_and_limits() {
    let (mut cases, mut with_limits) = (0, 0);
    let mut check = |grid: &Grid, case: &Case, about: &str| {
        let clearing = clear(grid, case, &Options::default()).unwrap();
        let parts = price_parts(grid, case, &clearing).unwrap();
        let (apart, rest) = furthest(grid, case, &clearing, &parts);
        // Finite differences themselves are good to about 1e-7.
        assert!(apart < 1e-6, "{about}: a part is {apart:e} off");
        for (parts, price) in parts.iter().zip(&clearing.prices) {
            assert!(
                (parts.p_per_mwh() - price.p_per_mwh).abs() < 1e-9,
                "{about}"
            );
            assert!(
                (parts.q_per_mvarh() - price.q_per_mvarh).abs() < 1e-9,
                "{about}"
            );
        }
        if clearing.status == Status::Optimal {
            assert!(
                rest < 5e-4,
                "{about}: {rest:e} per MWh of a price is no part"
            );
            cases += 1;
            with_limits += usize::from(!clearing.binding.is_empty());
        }
    };
    for reference in [feeder::der_all(), feeder::stressed()] {
        check(&feeder::network(), &reference.case, &reference.about);
    }
    for seed in 0..60 {
        let (mut network, mut case) = random::sample(seed);
        check(
            &Grid::new(&network).unwrap(),
            &case,
            &format!("seed {seed}"),
        );
        // Fed from both ends, at two prices: the sources share in serving a node.
        network.source.push(Source {
            id: 1001,
            node: network.node.len() as Id - 1,
            ..network.source[0].clone()
        });
        case.interface.push(Interface {
            source: 1001,
            import_price: Price(60_000_000),
            export_price: Price(10_000_000),
            ..case.interface[0]
        });
        case.interface[0].import_max_w = Some(2e5);
        check(
            &Grid::new(&network).unwrap(),
            &case,
            &format!("seed {seed}, two sources"),
        );
    }
    assert!(cases > 100 && with_limits > 20, "{cases} {with_limits}");
}
