//! Stores of one phase, in front of a phase voltage that binds.

use solver::{
    market::{
        Capability, Direction, Kind, Order, OrderId, PPM, Price, Storage, Terms, Unit,
        clearing::{
            Case, ClearingError, Horizon, Limit, Options, PhaseLimit, PhaseName, PhasePower,
            Status, UnitPhase, clear, clear_horizon,
        },
    },
    network::Id,
};

use super::{A, B, C, STORES, U_MAX, awards, case, feeder, flow, grid, price};

/// Most power either way, W.
const POWER: f64 = 150e3;
/// Millionths that are stored of what is taken, and given of what is taken out.
const EFFICIENCY_PPM: u32 = 900_000;

/// An hour at noon, and one in the evening when the sun has a twentieth and energy from above is dear.
fn day() -> Vec<Case> {
    let mut noon = case();
    noon.duration_s = 3600;
    let mut evening = noon.clone();
    evening.interface[0].import_price = price(18.0);
    for order in &mut evening.orders {
        order.steps[0].quantity_w /= 20;
        order.id = OrderId(order.id.0 + 1000);
    }
    vec![noon, evening]
}

fn with_store(mut cases: Vec<Case>, unit: Id) -> Vec<Case> {
    let &(_, node, phase) = STORES.iter().find(|of| of.0 == unit).unwrap();
    for case in &mut cases {
        case.units.push(Unit {
            id: unit,
            participant: "store".to_owned(),
            node,
            capability: Capability {
                p_min_w: -POWER,
                p_max_w: POWER,
                q_max_var: 0.0,
                s_max_va: None,
            },
            dispatchable: true,
        });
        let by_phase = case.by_phase.as_mut().unwrap();
        by_phase.units.push(UnitPhase { unit, phase });
    }
    let kind = Kind::Storage(Storage {
        energy_wh: 0,
        energy_min_wh: 0,
        energy_max_wh: 1_000_000,
        charge_ppm: EFFICIENCY_PPM,
        discharge_ppm: EFFICIENCY_PPM,
        wear: Price(0),
        end_value: Price(0),
    });
    cases[0].orders.push(Order {
        id: OrderId(9000),
        client_id: "store".to_owned(),
        participant: "store".to_owned(),
        unit,
        interval: 0,
        direction: Direction::Sell,
        steps: Vec::new(),
        terms: Terms {
            kind,
            ..Terms::default()
        },
    });
    cases
}

fn cleared(cases: &[Case]) -> Horizon {
    clear_horizon(&grid(&feeder()), cases, &Options::default()).unwrap()
}

/// Cost of the day with a store that takes a power at noon and gives what it has of it in the evening, each
/// interval cleared by itself.
fn taking(taken: f64, unit: Id) -> f64 {
    let &(_, node, phase) = STORES.iter().find(|of| of.0 == unit).unwrap();
    let efficiency = f64::from(EFFICIENCY_PPM) / f64::from(PPM);
    let powers = [-taken, taken * efficiency * efficiency];
    let each = day().into_iter().zip(powers).map(|(mut case, p_w)| {
        let fixed = &mut case.by_phase.as_mut().unwrap().fixed;
        fixed.push(PhasePower {
            node,
            phase,
            p_w,
            q_var: 0.0,
            unit: None,
        });
        clear(&grid(&feeder()), &case, &Options::default()).unwrap()
    });
    let each = each.map(|of| {
        assert_eq!(of.status, Status::Optimal);
        of.cost_per_h
    });
    each.sum()
}

/// What is taken at noon is what costs least of all powers tried one by one, and what is in its way is a phase's
/// voltage: in one phase a store pays where in another it does not.
#[test]
fn a_store_of_one_phase_does_what_costs_least() {
    for (unit, _, phase) in STORES {
        let found = cleared(&with_store(day(), unit));
        let tried = (0..=30).map(|k| POWER * f64::from(k) / 30.0);
        let tried: Vec<(f64, f64)> = tried.map(|p| (taking(p, unit), p)).collect();
        let (least, at) = tried
            .into_iter()
            .reduce(|a, b| if b.0 < a.0 { b } else { a })
            .unwrap();
        let p_w = &found.stores[0].p_w;
        println!(
            "{phase:?}: {p_w:?} W for {} per day; best of those tried {least} at {at}",
            found.cost
        );
        assert!(
            found.cost < least + 1e-5 && found.cost > least - 1e-3,
            "{phase:?}: {} {least}",
            found.cost
        );
        assert!((p_w[0] + at).abs() < 5e3, "{phase:?}: {p_w:?} {at}");
        match phase {
            A => assert!(p_w[0].abs() < 1e3, "{p_w:?}"),
            B | C => assert!(p_w[0] < -100e3 && p_w[0] > -POWER + 1e3, "{p_w:?}"),
        }
        let noon = &found.intervals[0];
        assert_eq!(noon.status, Status::Optimal);
        let (u, _) = flow(&awards(noon));
        let most = u.iter().map(|of| of.2).fold(0.0, f64::max);
        assert!((most - U_MAX).abs() < 1e-5, "{most}");
        let is_bound = |(node, of)| {
            let mut binding = noon.binding.iter();
            binding.any(|b| (b.limit, b.phase) == (Limit::UMax { node }, Some(of)))
        };
        assert!(is_bound((11, B)), "{:?}", noon.binding);
        let stored = -0.9 * p_w[0];
        assert!((found.stores[0].energy_wh[0] - stored).abs() < 1e-3);
        assert!(found.stores[0].energy_wh[1].abs() < 1.0);
    }
}

/// The node's own limits hold for its other phases.
#[test]
fn a_phase_has_limits_of_its_own() {
    let cleared = |limits: &[PhaseLimit]| {
        let mut case = case();
        case.by_phase.as_mut().unwrap().limits = limits.to_vec();
        clear(&grid(&feeder()), &case, &Options::default())
    };
    let of = |node, phase| PhaseLimit {
        node,
        phase,
        u_min_pu: 0.95,
        u_max_pu: 1.035,
    };
    let one = cleared(&[of(11, B)]).unwrap();
    let all = cleared(&[of(11, A), of(11, B), of(11, C)]).unwrap();
    let none = cleared(&[]).unwrap();
    let costs = [&none, &one, &all].map(|of| of.cost_per_h);
    println!("{costs:?}");
    assert!(
        costs[0] < costs[1] - 0.01 && costs[1] < costs[2] - 0.01,
        "{costs:?}"
    );
    for (clearing, held) in [(&one, &[B][..]), (&all, &[A, B, C])] {
        assert_eq!(clearing.status, Status::Optimal);
        let (u, _) = flow(&awards(clearing));
        for phase in PhaseName::ALL {
            let at = u.iter().find(|of| (of.0, of.1) == (11, phase as usize));
            let most = if held.contains(&phase) { 1.035 } else { U_MAX };
            assert!(at.unwrap().2 < most + 1e-5, "{phase:?}: {u:?}");
        }
    }
    let (u, _) = flow(&awards(&one));
    assert!(u.iter().any(|of| of.0 == 11 && of.2 > 1.036), "{u:?}");
    // Node 13 has phase c alone.
    let refused = cleared(&[of(13, A)]);
    assert!(
        matches!(refused, Err(ClearingError::NoPhase { node: 13, .. })),
        "{refused:?}"
    );
    let refused = cleared(&[of(99, A)]);
    assert!(matches!(
        refused,
        Err(ClearingError::UnknownNode { node: 99, .. })
    ));
    let refused = cleared(&[of(11, A), of(11, A)]);
    assert!(matches!(
        refused,
        Err(ClearingError::Duplicate { id: 11, .. })
    ));
    let nan = PhaseLimit {
        u_max_pu: f64::NAN,
        ..of(11, A)
    };
    assert!(matches!(
        cleared(&[nan]),
        Err(ClearingError::BadValue { .. })
    ));
}

/// A store that is somewhere else in a later interval is none.
#[test]
fn a_store_stays_where_it_is() {
    let mut cases = with_store(day(), 601);
    cases[1]
        .by_phase
        .as_mut()
        .unwrap()
        .units
        .last_mut()
        .unwrap()
        .phase = B;
    let refused = clear_horizon(&grid(&feeder()), &cases, &Options::default());
    assert!(
        matches!(refused, Err(ClearingError::BadValue { .. })),
        "{refused:?}"
    );
}
