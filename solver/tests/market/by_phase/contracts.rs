//! Who trades with whom on a network by phase: distance, fee, and the price of the phase that power is of.

use solver::{
    market::{
        Contract, Distances, GridFee, Money, Party, Price, Rulebook,
        clearing::{Case, Clearing, NodePower, Options, Owner, PhaseName, PhasePower, clear},
        contracts,
    },
    network::Id,
};

use super::{A, B, C, SUN, case, feeder, grid, price};

/// Positive-sequence distance of lines, pu on 1 MVA, by numpy from the impedance matrices of the case: one over the
/// magnitude of what is on the admittance's diagonal less what is beside it, each counted by phase and a third.
const LINES: [(Id, f64); 8] = [
    (18, 0.013522429335884035),
    (19, 0.0045097301835058745),
    (20, 0.009012699152378834),
    (25, 0.003449628442789614),
    (26, 0.007850967062056421),
    (27, 0.018643041927979276),
    (28, 0.03774296067965849),
    (29, 5.778476331360946e-09),
];

fn along(lines: &[Id]) -> f64 {
    let of = |id: &Id| LINES.iter().find(|of| of.0 == *id).unwrap().1;
    lines.iter().map(of).sum()
}

/// 684 to 611 by hand: 300 ft of 1.3292 + j1.3475 ohm a mile, times 3, over 4.16 kV squared.
#[test]
fn distance_is_along_the_lines_that_phases_have() {
    let grid = grid(&feeder());
    let mut distances = Distances::new(&grid);
    for (a, b, lines) in [
        (12, 13, &[27][..]),
        (2, 11, &[18, 19, 20, 29, 25]),
        // Two phases that have no line in common.
        (13, 14, &[27, 28]),
        (5, 13, &[26, 27]),
    ] {
        let found = distances.between(a, b).unwrap();
        assert!(
            (found - along(lines)).abs() < 2e-9,
            "{a} {b}: {found} {}",
            along(lines)
        );
    }
    let by_hand = 3.0 * 300.0 / 5280.0 * 1.3292_f64.hypot(1.3475) / (4.16 * 4.16);
    assert!((along(&[27]) - by_hand).abs() < 1e-6, "{by_hand}");
}

fn phase_price(clearing: &Clearing, node: Id, phase: PhaseName) -> f64 {
    let mut prices = clearing.phase_prices.iter();
    prices
        .find(|of| (of.node, of.phase) == (node, phase))
        .unwrap()
        .p_per_mwh
}

fn near(price: Price, per_mwh: f64) -> bool {
    (price.per_mwh() - per_mwh).abs() < 1e-6
}

/// A household at 675: 30 kW in all, of which 24 are of phase a.
fn with_household(mut case: Case) -> Case {
    case.fixed.push(NodePower {
        node: 11,
        p_w: -30e3,
        q_var: 0.0,
        owner: Some(Owner {
            unit: 700,
            participant: "household".to_owned(),
            order: None,
        }),
    });
    let by_phase = case.by_phase.as_mut().unwrap();
    for (phase, p_w) in [(A, -14e3), (B, 7e3), (C, 7e3)] {
        by_phase.fixed.push(PhasePower {
            node: 11,
            phase,
            p_w,
            q_var: 0.0,
            unit: Some(700),
        });
    }
    case
}

#[test]
fn contracts_are_at_the_prices_of_phases_and_fees_by_distance() {
    let grid = grid(&feeder());
    let case = with_household(case());
    let clearing = clear(&grid, &case, &Options::default()).unwrap();
    let per_pu = 100.0;
    let rulebook = Rulebook {
        grid_fee: GridFee {
            per_pu: price(per_pu),
            ..GridFee::default()
        },
        ..Rulebook::default()
    };
    let made = contracts(&grid, &case, &clearing, &[], &rulebook);
    let sold = |unit: Id| {
        made.contracts
            .iter()
            .filter(move |of| of.seller.unit == Some(unit))
    };
    for (&(unit, node, phase, ..), award) in SUN.iter().zip(&clearing.awards) {
        let wh: i64 = sold(unit).map(|of| of.energy_wh).sum();
        assert!(
            (wh as f64 - award.p_w / 4.0).abs() <= 0.5,
            "{unit}: {wh} {award:?}"
        );
        let Some(phase) = phase else { continue };
        let at = phase_price(&clearing, node, phase);
        assert!(
            sold(unit).all(|of| near(of.seller_price, at)),
            "{unit} {at}"
        );
    }
    // 24 and 3 and 3 kW of 30.
    let of = |phase| phase_price(&clearing, 11, phase);
    let household = 0.8 * of(A) + 0.1 * of(B) + 0.1 * of(C);
    let bought: Vec<&Contract> = made
        .contracts
        .iter()
        .filter(|of| of.buyer.unit == Some(700))
        .collect();
    assert_eq!(bought.iter().map(|of| of.energy_wh).sum::<i64>(), 7500);
    assert!(
        bought.iter().all(|of| near(of.buyer_price, household)),
        "{household} {bought:?}"
    );
    assert!(
        (of(A) - of(B)).abs() > 1.0,
        "phases have a price of their own"
    );
    // What is not for sale is bought by the residual supplier, phase by phase; the household's parts are not.
    let fixed = &case.by_phase.as_ref().unwrap().fixed;
    let loads = fixed
        .iter()
        .filter(|of| of.unit.is_none())
        .map(|of| (of.p_w / 4.0).round() as i64);
    let residual = made
        .contracts
        .iter()
        .filter(|of| of.buyer.party == Party::Residual);
    assert_eq!(
        residual.map(|of| of.energy_wh).sum::<i64>(),
        -loads.sum::<i64>()
    );
    let mut distances = Distances::new(&grid);
    let mut far = 0;
    for of in made.contracts.iter().filter(|of| of.distance_pu.is_some()) {
        let distance = distances.between(of.seller.node, of.buyer.node).unwrap();
        assert_eq!(of.distance_pu, Some(distance));
        assert!(near(of.fee_per_mwh, per_pu * distance), "{of:?}");
        far += usize::from(distance > 0.01);
    }
    assert!(far > 0);
    let rent: Vec<Money> = made.contracts.iter().map(Contract::rent).collect();
    assert_eq!(made.rent, rent.into_iter().sum());
}

/// A line rated at what its fullest phase has is a full way: the fee rises by the whole of what it may.
#[test]
fn a_way_is_as_full_as_its_fullest_phase() {
    let fee = |rated: Option<f64>, utilisation: f64| {
        let mut input = feeder();
        let lines = input["data"]["asym_line"].as_array_mut().unwrap();
        if let Some(amperes) = rated {
            lines.iter_mut().find(|row| row["id"] == 27).unwrap()["i_n"] = amperes.into();
        }
        let grid = grid(&input);
        let mut case = case();
        // Node 13 sells to node 12, and nothing else is there.
        case.units.retain(|unit| unit.id == 501);
        case.orders.retain(|order| order.unit == 501);
        let by_phase = case.by_phase.as_mut().unwrap();
        by_phase.units.retain(|of| of.unit == 501);
        by_phase.fixed.clear();
        by_phase.fixed.push(PhasePower {
            node: 12,
            phase: C,
            p_w: -60e3,
            q_var: 0.0,
            unit: None,
        });
        case.orders[0].steps[0].quantity_w = 60_000;
        // Without the feeder's loads the capacitors lift it.
        case.limits.u_max_pu = 1.2;
        case.units[0].capability.q_max_var = 0.0;
        let clearing = clear(&grid, &case, &Options::default()).unwrap();
        let rulebook = Rulebook {
            grid_fee: GridFee {
                per_pu: price(1000.0),
                utilisation,
                ..GridFee::default()
            },
            ..Rulebook::default()
        };
        let made = contracts(&grid, &case, &clearing, &[], &rulebook);
        let sold = |of: &&Contract| (of.seller.node, of.buyer.node) == (13, 12);
        let of = made.contracts.iter().find(sold).unwrap();
        let u = clearing.u[3 * grid.index_of_node(13).unwrap() + 2].norm();
        // The capacitor of 100 kvar at node 13 gives its current too.
        let current = clearing.awards[0].p_w.hypot(100e3 * u * u) / (u * 4160.0 / 3f64.sqrt());
        (of.fee_per_mwh.per_mwh(), current)
    };
    let (idle, current) = fee(None, 0.5);
    assert!((idle - 1000.0 * along(&[27])).abs() < 1e-3, "{idle}");
    let (half, _) = fee(Some(2.0 * current), 0.5);
    assert!((half / idle - 1.25).abs() < 1e-3, "{half} {idle}");
    let (full, _) = fee(Some(1.001 * current), 0.5);
    assert!((full / idle - 1.5).abs() < 2e-3, "{full} {idle}");
}
