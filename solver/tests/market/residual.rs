//! Residual curves: against clearings at fixed exchanges, and by hand.

use solver::{
    market::{
        Direction, Kind, Price, Step,
        clearing::{Case, Clearing, ClearingError, Interface, Options, Scheduled, Status, clear},
        layers::{Residual, ResidualOptions, residual},
    },
    network::{Grid, Id, pgm_json},
};

use crate::{parts, random};

/// A source at 1 and a line of next to nothing to 2.
const TWO_NODES: &str = r#"{"version":"1.0","type":"input","is_batch":false,"attributes":{},"data":{
    "node":[{"id":1,"u_rated":20000},{"id":2,"u_rated":20000}],
    "line":[{"id":4,"from_node":1,"to_node":2,"from_status":1,"to_status":1,"r1":0.001,"x1":0.001,"c1":0,"tan1":0,"i_n":100}],
    "source":[{"id":6,"node":1,"status":1,"u_ref":1.0,"sk":1e20}]}}"#;

/// Units that sell (above zero, W) or buy one step at a price; at node 1, where nothing is lost.
fn by_hand(load_w: f64, offers: &[(i64, i64)]) -> Case {
    let mut case = Case {
        fixed: vec![parts::fixed(1, -load_w, 0.0)],
        limits: parts::within(0.9, 1.1),
        ..parts::empty(6, Price(50_000_000), Price(40_000_000))
    };
    for (k, &(w, price)) in offers.iter().enumerate() {
        let unit = parts::unit(10 + k as Id, "p", 1, (w.min(0) as f64, w.max(0) as f64));
        let direction = if w > 0 {
            Direction::Sell
        } else {
            Direction::Buy
        };
        let steps = vec![Step {
            quantity_w: w.abs(),
            price: Price(price * 1_000_000),
        }];
        let order = parts::order(k as u64, &unit, direction, steps, Kind::Energy);
        case.orders.push(order);
        case.units.push(unit);
    }
    case
}

fn of(grid: &Grid, case: &Case) -> Residual {
    residual(grid, case, &Options::default(), &ResidualOptions::default()).unwrap()
}

fn two_nodes() -> Grid {
    Grid::new(&pgm_json::read(TWO_NODES).unwrap()).unwrap()
}

/// Exchanges in kW, prices per MWh.
fn rows(of: &Residual) -> Vec<(f64, f64)> {
    let corners = of.corners.iter();
    corners
        .map(|of| (of.exchange_w as f64 / 1e3, of.price.per_mwh()))
        .collect()
}

fn are(of: &Residual, expected: &[(f64, f64)]) {
    let rows = rows(of);
    assert_eq!(rows.len(), expected.len(), "{rows:?}");
    for (a, b) in rows.iter().zip(expected) {
        assert!(
            (a.0 - b.0).abs() < 0.002 && (a.1 - b.1).abs() < 2e-3,
            "{rows:?}"
        );
    }
}

/// 100 kW offered at 20, 50 kW asked for at 60, 30 kW of load: all of it is known without computing.
#[test]
fn two_units_by_hand() {
    let found = of(&two_nodes(), &by_hand(3e4, &[(100_000, 20), (-50_000, 60)]));
    are(&found, &[(-70.0, 60.0), (-20.0, 20.0), (80.0, 0.0)]);
    assert_eq!((found.forecast_w, found.violated.len()), (-20_000, 0));
    assert_eq!((found.q_min_var, found.q_max_var), (0, 0));
}

#[test]
fn what_it_cannot_do_without_is_the_ranges_end() {
    // Import of 30 kW must be; 10 kW more are worth 60.
    let found = of(&two_nodes(), &by_hand(3e4, &[(-10_000, 60)]));
    are(&found, &[(30.0, 60.0), (40.0, 0.0)]);
    // Export of 20 kW must be; 10 kW more at 5.
    let found = of(&two_nodes(), &by_hand(-2e4, &[(10_000, 5)]));
    are(&found, &[(-30.0, 5.0), (-20.0, 0.0)]);
}

#[test]
fn nothing_flexible_is_one_corner() {
    let found = of(&two_nodes(), &by_hand(3e4, &[]));
    are(&found, &[(30.0, 0.0)]);
}

#[test]
fn limits_of_the_interface_end_the_range() {
    let mut case = by_hand(3e4, &[(100_000, 20), (-50_000, 60)]);
    case.interface[0].import_max_w = Some(4e4);
    case.interface[0].export_max_w = Some(1e4);
    let found = of(&two_nodes(), &case);
    let rows = rows(&found);
    assert!(
        (rows[0].0 + 10.0).abs() < 0.2 && (rows[1].0 - 40.0).abs() < 0.2,
        "{rows:?}"
    );
    assert!(
        (rows[0].1 - 20.0).abs() < 0.01 && rows.len() == 2,
        "{rows:?}"
    );
}

#[test]
fn reactive_power_that_is_free_makes_a_range() {
    let mut case = by_hand(3e4, &[(100_000, 20)]);
    case.units[0].capability.q_max_var = 4e4;
    case.fixed[0].q_var = -1e4;
    let found = of(&two_nodes(), &case);
    assert!(
        (found.q_min_var + 30_000).abs() < 50 && (found.q_max_var - 50_000).abs() < 50,
        "{found:?}"
    );
}

#[test]
fn what_other_voltages_of_the_source_cost() {
    // 4 Ω, 0.01 pu on 20 kV and 1 MVA, to a unit that sells up to 5 MW at 20, where 40 is paid, below 1.02 pu.
    let line = TWO_NODES.replace("\"r1\":0.001", "\"r1\":4.0");
    let network = pgm_json::read(&line.replace("\"i_n\":100", "\"i_n\":1000")).unwrap();
    let mut case = by_hand(0.0, &[(5_000_000, 20)]);
    case.units[0].node = 2;
    case.limits.u_max_pu = 1.02;
    let found = of(&Grid::new(&network).unwrap(), &case).voltage.unwrap();
    // By hand: P = u (u - E) / R with u at 1.02, losses (u - E)² / R, cost 20 P - 40 (P - losses). At 0.96 all of it
    // is sold, at u = 1.00925; above 1.02 nothing helps, so that 0.01 pu more costs as much as 5 MW at 100.
    let expected = [
        (0.96, -90.30),
        (0.98, -75.2),
        (1.0, -39.2),
        (1.02, 0.0),
        (1.03, 500.0),
    ];
    assert_eq!(found.corners.len(), expected.len(), "{found:?}");
    for (of, (u_pu, cost_per_h)) in found.corners.iter().zip(expected) {
        assert!((of.u_pu - u_pu).abs() < 1e-9, "{found:?}");
        // The voltage limit is kept to 1e-4 pu, which is 10 kW.
        assert!((of.cost_per_h - cost_per_h).abs() < 0.2, "{found:?}");
    }
    // 20 kV, 1 GVA, R/X 0.1: 0.4 Ω.
    let behind = TWO_NODES.replace("1e20", "1e9");
    let grid = Grid::new(&pgm_json::read(&behind).unwrap()).unwrap();
    let found = of(&grid, &by_hand(3e4, &[(100_000, 20)])).voltage.unwrap();
    let x_ohm = 0.4 / 1.01f64.sqrt();
    assert!((found.x_ohm - x_ohm).abs() < 1e-6 && (found.r_ohm - 0.1 * x_ohm).abs() < 1e-6);
}

#[test]
fn limits_that_nothing_keeps_are_named() {
    let mut case = by_hand(3e4, &[(100_000, 20)]);
    case.limits.u_max_pu = 0.95;
    let found = of(&two_nodes(), &case);
    assert!(
        found.corners.len() == 1 && !found.violated.is_empty(),
        "{found:?}"
    );
}

#[test]
fn without_a_grid_above_there_is_no_curve() {
    let open = TWO_NODES.replace("\"node\":1,\"status\":1", "\"node\":1,\"status\":0");
    let grid = Grid::new(&pgm_json::read(&open).unwrap()).unwrap();
    let mut case = by_hand(3e4, &[]);
    let how = ResidualOptions::default();
    let refused = residual(&grid, &case, &Options::default(), &how).unwrap_err();
    assert_eq!(refused, ClearingError::UnknownSource { source_id: 6 });
    case.interface.clear();
    let refused = residual(&grid, &case, &Options::default(), &how).unwrap_err();
    assert!(
        refused.to_string().contains("number of interfaces"),
        "{refused}"
    );
}

/// Cleared with the exchange held: more or less of it is dearer than anything there is.
fn held(grid: &Grid, case: &Case, exchange_w: f64) -> Clearing {
    let mut case = case.clone();
    case.interface[0] = Interface {
        import_price: Price(300_000_000),
        export_price: Price(-200_000_000),
        scheduled: Some(Scheduled {
            exchange_w,
            price: Price(0),
            reactive: None,
        }),
        ..case.interface[0]
    };
    clear(grid, &case, &Options::default()).unwrap()
}

/// Cost of each exchange by the curve, against that of a clearing at it; the ends cannot be passed.
#[test]
fn curves_are_what_clearings_at_fixed_exchanges_cost() {
    let (mut compared, mut worst, mut most, mut bound): (u32, f64, u32, u32) = (0, 0.0, 0, 0);
    for seed in 0..60 {
        let (network, case) = random::sample(seed);
        let grid = Grid::new(&network).unwrap();
        let found = of(&grid, &case);
        most = most.max(found.clearings);
        if !found.violated.is_empty() {
            continue;
        }
        bound += u32::from(!found.binding.is_empty());
        let corners = &found.corners;
        for pair in corners.windows(2) {
            assert!(
                pair[0].exchange_w < pair[1].exchange_w && pair[0].price > pair[1].price
                    || pair[1] == corners[corners.len() - 1],
                "seed {seed}: {corners:?}"
            );
        }
        let (first, last) = (
            corners[0].exchange_w as f64,
            corners[corners.len() - 1].exchange_w as f64,
        );
        if last - first < 1e3 {
            continue;
        }
        let middle = 0.5 * (first + last);
        let by_curve = |x: f64| {
            let each = corners.windows(2).map(|pair| {
                let (from, to) = (pair[0].exchange_w as f64, pair[1].exchange_w as f64);
                pair[0].price.per_mwh() * (x.clamp(from, to) - middle.clamp(from, to)) * 1e-6
            });
            -each.sum::<f64>()
        };
        let base = held(&grid, &case, middle);
        for share in [0.02, 0.15, 0.35, 0.6, 0.8, 0.98] {
            let x = first + share * (last - first);
            let at = held(&grid, &case, x);
            if at.status != Status::Optimal || base.status != Status::Optimal {
                continue;
            }
            assert!(
                (at.exchange[0].p_w - x).abs() < 50.0,
                "seed {seed}: {:?} {x}",
                at.exchange
            );
            let expected = at.cost_per_h - base.cost_per_h;
            let apart = (by_curve(x) - expected).abs();
            // By how much the curve may be above the cost at either end of the comparison.
            let allowed = found.gap_per_h + 1e-3 * expected.abs().max(10.0);
            assert!(
                apart < allowed,
                "seed {seed} at {share}: {apart} {allowed} {found:?}"
            );
            worst = worst.max(apart);
            compared += 1;
        }
        // Beyond its ends it goes for more than anything offered only: as losses and limits make it.
        let steps = case.orders.iter().flat_map(|order| &order.steps);
        let prices: Vec<f64> = steps.map(|step| step.price.per_mwh()).collect();
        let dearest = prices.iter().copied().fold(50.0, f64::max);
        let cheapest = prices.iter().copied().fold(0.0, f64::min);
        let (less, more) = (
            held(&grid, &case, first - 1e5),
            held(&grid, &case, last + 1e5),
        );
        for (at, end, is_beyond) in [
            (&less, first, less.exchange[0].price_per_mwh > dearest),
            (&more, last, more.exchange[0].price_per_mwh < cheapest),
        ] {
            let near = (at.exchange[0].p_w - end).abs() < 200.0;
            assert!(
                near || is_beyond || at.status != Status::Optimal,
                "seed {seed}: {:?} {end}",
                at.exchange
            );
        }
    }
    println!(
        "{compared} exchanges compared, furthest apart {worst:.4} per h; limits bind in {bound} of 60; {most} clearings at most"
    );
    assert!(compared > 200 && bound > 3, "{compared} {bound}");
}

#[test]
fn the_voltage_behind_the_connection_may_be_the_interfaces() {
    // Of a source behind an impedance, and of an ideal one.
    for sk in ["1e9", "1e20"] {
        let network = pgm_json::read(&TWO_NODES.replace("1e20", sk)).unwrap();
        let mut other = network.clone();
        other.source[0].u_ref = 0.97;
        let mut case = by_hand(3e4, &[(100_000, 20)]);
        let options = Options::default();
        let expected = clear(&Grid::new(&other).unwrap(), &case, &options).unwrap();
        case.interface[0].u_pu = Some(0.97);
        let found = clear(&Grid::new(&network).unwrap(), &case, &options).unwrap();
        assert_eq!(found, expected);
        case.interface[0].u_pu = Some(f64::NAN);
        let refused = clear(&Grid::new(&network).unwrap(), &case, &options).unwrap_err();
        assert!(
            matches!(refused, ClearingError::BadValue { .. }),
            "{refused}"
        );
    }
}
