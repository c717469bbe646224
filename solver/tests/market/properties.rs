//! What holds of any clearing: random feeders, some meshed, behind a weak grid, where voltages
//! and currents bind.

use num_complex::Complex64;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use solver::{
    market::{
        Direction,
        clearing::{Award, BranchLimit, Case, Clearing, NodeLimit, Options, Status, clear},
    },
    network::{Connection, Grid, Id, LoadKind, Network, S_BASE_VA, SymGen},
    powerflow::{self, PowerFlow, Solution, flows},
};

use crate::random::sample;

/// Limits that often cannot be kept.
fn harden(case: &mut Case, network: &Network, rng: &mut StdRng) {
    case.limits.u_min_pu = rng.random_range(0.9..1.05);
    case.limits.u_max_pu = rng.random_range(0.95..1.1);
    for line in &network.line {
        case.limits.branches.push(BranchLimit {
            branch: line.id,
            loading_max: rng.random_range(0.0..0.5),
        });
    }
}

fn run(network: &Network, case: &Case) -> Clearing {
    clear(&Grid::new(network).unwrap(), case, &Options::default()).unwrap()
}

fn holds_limits(clearing: &Clearing) -> bool {
    !matches!(clearing.status, Status::LeastViolation { .. })
}

/// Currency per MWh below which a price counts as equal to another.
const PRICE_TOLERANCE: f64 = 0.02;

/// Whether every order's fill is one its owner would choose at the nodal price.
fn worst_regret(case: &Case, clearing: &Clearing) -> f64 {
    let price = |unit: Id| {
        let node = case.units.iter().find(|of| of.id == unit).unwrap().node;
        clearing
            .prices
            .iter()
            .find(|at| at.node == node)
            .unwrap()
            .p_per_mwh
    };
    let mut worst: f64 = 0.0;
    for (order, fill) in case.orders.iter().zip(&clearing.fills) {
        let mut left = fill.quantity_w;
        for step in &order.steps {
            let taken = left.clamp(0.0, step.quantity_w as f64);
            left -= taken;
            // A few watts are the interior point method's.
            if taken > 1e-4 * step.quantity_w as f64 + 5.0 {
                worst = worst.max(match order.direction {
                    Direction::Sell => step.price.per_mwh() - price(order.unit),
                    Direction::Buy => price(order.unit) - step.price.per_mwh(),
                });
            }
        }
    }
    worst
}

/// A power flow of the awards and what else there is, on a network of its own.
fn power_flow(mut network: Network, case: &Case, awards: &[Award]) -> (Grid, Solution) {
    let mut at_node = vec![Complex64::ZERO; network.node.len()];
    for power in &case.fixed {
        at_node[power.node as usize] += Complex64::new(power.p_w, power.q_var);
    }
    for (unit, award) in case.units.iter().zip(awards) {
        at_node[unit.node as usize] += Complex64::new(award.p_w, award.q_var);
    }
    for (node, s) in at_node.iter().enumerate() {
        network.sym_gen.push(SymGen {
            id: 2000 + node as Id,
            node: node as Id,
            status: 1,
            kind: LoadKind::Power,
            p_specified: s.re,
            q_specified: s.im,
            connection: Connection::Wye,
            u_min: None,
            u_max: None,
        });
    }
    let grid = Grid::new(&network).unwrap();
    let options = powerflow::Options::default();
    let solution = PowerFlow::new(&grid)
        .run(&grid, &[], None, &options)
        .unwrap();
    (grid, solution)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn balance_and_limits_hold_in_a_power_flow_of_the_awards(seed in any::<u64>()) {
        let (network, case) = sample(seed);
        let clearing = run(&network, &case);
        for (unit, award) in case.units.iter().zip(&clearing.awards) {
            let of = &unit.capability;
            prop_assert!(award.p_w >= of.p_min_w - 1.0 && award.p_w <= of.p_max_w + 1.0);
            prop_assert!(award.q_var.abs() <= of.q_max_var + 1.0);
            let s = award.p_w.hypot(award.q_var);
            prop_assert!(of.s_max_va.is_none_or(|most| s <= most * 1.0001 + 1.0));
        }
        let (grid, solution) = power_flow(network, &case, &clearing.awards);
        let import = solution.sources[0] * S_BASE_VA;
        prop_assert!((import.re - clearing.exchange[0].p_w).abs() < 1.0);
        prop_assert!((import.im - clearing.exchange[0].q_var).abs() < 1.0);
        if holds_limits(&clearing) {
            for u in &solution.u {
                prop_assert!((0.9499..1.0501).contains(&u.norm()), "{}", u.norm());
            }
            for flow in flows(&grid, &solution.u).branches {
                prop_assert!(flow.loading < 1.001, "{}", flow.loading);
            }
        }
    }

    #[test]
    fn no_award_is_worse_than_its_limit_price(seed in any::<u64>()) {
        let (network, case) = sample(seed);
        let clearing = run(&network, &case);
        if clearing.status == Status::Optimal {
            let regret = worst_regret(&case, &clearing);
            prop_assert!(regret < PRICE_TOLERANCE, "{regret} per MWh");
        }
    }

    #[test]
    fn the_sequence_of_orders_and_units_makes_no_difference(seed in any::<u64>()) {
        let (network, case) = sample(seed);
        let clearing = run(&network, &case);
        let mut rng = StdRng::seed_from_u64(!seed);
        let mut shuffled = case.clone();
        shuffled.orders.shuffle(&mut rng);
        shuffled.units.shuffle(&mut rng);
        let other = run(&network, &shuffled);
        prop_assert_eq!(&clearing.prices, &other.prices);
        prop_assert_eq!(clearing.cost_per_h, other.cost_per_h);
        for award in &clearing.awards {
            prop_assert!(other.awards.contains(award), "{award:?}");
        }
        for fill in &clearing.fills {
            prop_assert!(other.fills.contains(fill), "{fill:?}");
        }
    }

    #[test]
    fn a_limit_more_never_saves_anything(seed in any::<u64>()) {
        let (network, mut case) = sample(seed);
        let free = run(&network, &case);
        let mut rng = StdRng::seed_from_u64(!seed);
        let node = rng.random_range(1..network.node.len() as Id);
        case.limits.nodes.push(NodeLimit { node, u_min_pu: 0.97, u_max_pu: 1.02 });
        case.limits.branches.push(BranchLimit { branch: 101, loading_max: 0.5 });
        let held = run(&network, &case);
        if holds_limits(&free) && holds_limits(&held) {
            // 20 W at 50 per MWh: blocks nearly full or empty are rounded to that.
            let slack = 1e-5 * free.cost_per_h.abs() + 1e-3;
            prop_assert!(held.cost_per_h > free.cost_per_h - slack, "{free:?} {held:?}");
        }
    }

    #[test]
    fn it_ends_and_says_what_it_violates_whatever_the_limits(seed in any::<u64>()) {
        let (network, mut case) = sample(seed);
        let mut rng = StdRng::seed_from_u64(!seed);
        harden(&mut case, &network, &mut rng);
        case.interface[0].import_max_w = Some(rng.random_range(0.0..1e6));
        case.interface[0].export_max_w = Some(rng.random_range(0.0..1e6));
        let clearing = run(&network, &case);
        let check = &clearing.ac_check;
        let holds = check.violation_u_pu <= 1e-4 && check.violation_rating <= 1e-3;
        match &clearing.status {
            Status::LeastViolation { violated, .. } => {
                prop_assert!(!holds && !violated.is_empty(), "{clearing:?}");
            }
            _ => prop_assert!(holds, "{clearing:?}"),
        }
        let cap = case.orders.iter().flat_map(|of| &of.steps).map(|of| of.price.per_mwh());
        let cap = cap.fold(50.0, f64::max);
        if !holds {
            prop_assert!(clearing.prices.iter().all(|at| at.p_per_mwh.abs() <= cap));
        }
    }
}

/// Most random feeders are cleared to the optimum; the rest end with what they violate, or with a
/// gap. Counts, so that a change that makes the search give up shows.
#[test]
fn nearly_all_random_feeders_end_optimal() {
    let (mut optimal, mut iterations) = (0, 0);
    let cases = 100;
    for seed in 0..cases {
        let (network, case) = sample(seed);
        let clearing = run(&network, &case);
        optimal += u32::from(clearing.status == Status::Optimal);
        iterations += clearing.iterations;
    }
    assert!(optimal >= 95, "{optimal} of {cases} optimal");
    assert!(
        iterations < 600,
        "{iterations} programmes for {cases} cases"
    );
}

/// The search stops a hair short of the optimum, so a limit that binds may be a hair exceeded.
/// Where even that counts, limits are tightened until none is.
#[test]
fn what_exceeds_a_limit_is_tightened_until_it_holds() {
    let strict = Options {
        tolerance_u_pu: 1e-9,
        tolerance_rating: 1e-9,
        ..Options::default()
    };
    let mut exceeded = 0;
    for seed in 0..100 {
        let (network, mut case) = sample(seed);
        if seed % 2 == 1 {
            harden(&mut case, &network, &mut StdRng::seed_from_u64(!seed));
        }
        let clearing = run(&network, &case);
        let check = clearing.ac_check;
        if clearing.status != Status::Optimal
            || check.violation_u_pu.max(check.violation_rating) <= 1e-9
        {
            continue;
        }
        exceeded += 1;
        let grid = Grid::new(&network).unwrap();
        let clearing = clear(&grid, &case, &strict).unwrap();
        assert_eq!(clearing.status, Status::Optimal, "{seed}");
        assert!(
            clearing.tightened.iter().any(|of| of.by > 0.0),
            "{seed}: {:?}",
            clearing.tightened
        );
        let check = clearing.ac_check;
        assert!(
            check.violation_u_pu <= 1e-9 && check.violation_rating <= 1e-9,
            "{seed}: {check:?}"
        );
    }
    assert!(exceeded > 0, "no sample exceeds a limit: choose others");
}

/// Excess over the limits, weighted as [`clear`] says, in a power flow of the awards.
fn harm(network: &Network, case: &Case, awards: &[Award]) -> f64 {
    let (grid, solution) = power_flow(network.clone(), case, awards);
    let limits = &case.limits;
    let voltage = solution.u.iter().map(|u| {
        // Both: limits may cross.
        let excess = (u.norm() - limits.u_max_pu).max(0.0) + (limits.u_min_pu - u.norm()).max(0.0);
        10.0 * excess
    });
    let flows = flows(&grid, &solution.u).branches;
    let current = grid.branches.iter().zip(flows).map(|(branch, flow)| {
        let own = limits.branches.iter().find(|of| of.branch == branch.id);
        let most = branch
            .i_max
            .unwrap()
            .map(|i| i * own.map_or(1.0, |of| of.loading_max));
        let excess = |i: f64, most: f64| ((i - most) / most.max(0.01)).max(0.0);
        excess(flow.i_from, most[0]) + excess(flow.i_to, most[1])
    });
    voltage.sum::<f64>() + current.sum::<f64>()
}

/// A search cut short may stand where it does harm. Then awards are cut back as long as that
/// helps, so that it never does more harm than no awards at all.
#[test]
fn a_search_cut_short_does_no_more_harm_than_no_awards() {
    let (mut curtailed, mut safe_only_by_curtailment) = (0, 0);
    for seed in 0..400 {
        let options = Options {
            max_iterations: 1 + (seed / 200) as u32,
            ..Options::default()
        };
        let (network, mut case) = sample(seed);
        if seed % 2 == 1 {
            harden(&mut case, &network, &mut StdRng::seed_from_u64(!seed));
        }
        let clearing = clear(&Grid::new(&network).unwrap(), &case, &options).unwrap();
        let harm = |awards: &[Award]| harm(&network, &case, awards);
        let (done, none) = (harm(&clearing.awards), harm(&[]));
        assert!(
            done <= 1.001 * none + 2e-3,
            "{seed}: {done} against {none}: {clearing:?}"
        );
        match clearing.status {
            Status::LeastViolation {
                curtailed: true,
                violated,
            } => {
                assert!(!violated.is_empty(), "{seed}");
                curtailed += 1;
            }
            Status::Feasible { gap_per_h } => {
                assert!(gap_per_h.is_finite());
                safe_only_by_curtailment += u32::from(gap_per_h > 1e3);
            }
            _ => {}
        }
    }
    assert!(
        curtailed > 0 && safe_only_by_curtailment > 0,
        "{curtailed} {safe_only_by_curtailment}"
    );
}
