//! By hand, on a source and two lines.

use super::*;
use crate::{
    market::clearing::{Interface, LimitSet, Status, VoltageCorner, clear, price_parts},
    network::pgm_json,
};

/// 20 kV: source at 1; lines of 1 Ω without reactance from 1 to 2 and from 1 to 3, 100 A each (3.46 MVA).
const NETWORK: &str = r#"{"version":"1.0","type":"input","is_batch":false,"attributes":{},"data":{
    "node":[{"id":1,"u_rated":20000},{"id":2,"u_rated":20000},{"id":3,"u_rated":20000}],
    "line":[
      {"id":4,"from_node":1,"to_node":2,"from_status":1,"to_status":1,"r1":1,"x1":0.1,"c1":0,"tan1":0,"i_n":100},
      {"id":5,"from_node":1,"to_node":3,"from_status":1,"to_status":1,"r1":1,"x1":0.1,"c1":0,"tan1":0,"i_n":100}],
    "source":[{"id":6,"node":1,"status":1,"u_ref":1.0}]}}"#;

fn base(import: i64, export: i64) -> Case {
    Case {
        duration_s: 900,
        fixed: Vec::new(),
        units: Vec::new(),
        orders: Vec::new(),
        limits: LimitSet {
            u_min_pu: 0.9,
            u_max_pu: 1.1,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        interface: vec![Interface {
            import_price: Price(import),
            export_price: Price(export),
            ..interface()
        }],
        controls: Default::default(),
        by_phase: None,
        voltages: Vec::new(),
        start: None,
    }
}

fn interface() -> Interface {
    serde_json::from_str(r#"{"source":6,"import_price":0,"export_price":0}"#).unwrap()
}

fn tenant(name: &str, unit: Id, node: Id, corners: &[(i64, i64)]) -> Tenant {
    let corner = |&(exchange_w, price)| Corner {
        exchange_w,
        price: Price(price),
        q_var: 0,
    };
    Tenant {
        name: name.to_owned(),
        unit,
        node,
        curve: corners.iter().map(corner).collect(),
        expected_w: 0,
        q_min_var: 0.0,
        q_max_var: 0.0,
        voltage: None,
        import_max_w: 10_000_000,
        export_max_w: 10_000_000,
    }
}

fn awards(own: &Case, tenants: &[Tenant], fee: &GridFee) -> (Vec<TenantAward>, Clearing) {
    let grid = Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap();
    let area = Area::new(&grid, own, tenants, &Options::default()).unwrap();
    let clearing = clear(&grid, &area.case, &Options::default()).unwrap();
    (area.awards(&grid, &clearing, fee), clearing)
}

#[test]
fn surplus_serves_the_neighbour_then_the_grid_above() {
    // Surplus of up to 2 MW at 20 or more; a load that needs 1 MW and takes 0.5 MW more below 60.
    let south = tenant("south", 10, 2, &[(-2_000_000, 20_000_000), (0, 0)]);
    let north = tenant("north", 11, 3, &[(1_000_000, 60_000_000), (1_500_000, 0)]);
    let (given, clearing) = awards(
        &base(100_000_000, 40_000_000),
        &[south, north],
        &GridFee::default(),
    );
    assert_eq!(given[0].exchange_w, -2_000_000);
    assert_eq!(given[1].exchange_w, 1_500_000);
    // What is left goes up, less losses: so the price is the export price, but for losses on the way.
    assert!(clearing.exchange[0].p_w < -480_000.0 && clearing.exchange[0].p_w > -500_000.0);
    // Marginal losses by hand: 2 R P / U² = 2 · 1 · 2e6 / (20e3)² = 1 % less where it is fed in, and
    // 0.75 % more where 1.5 MW are taken.
    let near = |price: Price, per_mwh: f64| (price.per_mwh() - per_mwh).abs() < 0.02;
    assert!(near(given[0].price, 40.0 * 0.99), "{:?}", given[0]);
    assert!(near(given[1].price, 40.0 * 1.0075), "{:?}", given[1]);
}

#[test]
fn a_full_line_holds_the_dear_one_back() {
    // 100 A at 20 kV carry 3.464 MVA.
    let south = tenant("south", 10, 2, &[(-6_000_000, 20_000_000), (0, 0)]);
    let (given, clearing) = awards(
        &base(100_000_000, 40_000_000),
        &[south],
        &GridFee::default(),
    );
    let most = 3f64.sqrt() * 20e3 * 100.0;
    let sent = -given[0].exchange_w as f64;
    // The line's rating holds at its voltage, up to 0.9 % above that of its start.
    assert!(sent > most && sent < 1.01 * most, "{sent}");
    // It is the marginal one; prices are as exact as the search.
    assert!(
        (given[0].price.per_mwh() - 20.0).abs() < 1e-3,
        "{:?}",
        given[0]
    );
    assert!(!clearing.binding.is_empty());
}

#[test]
fn what_must_be_is_served_whatever_the_price() {
    let north = tenant("north", 11, 3, &[(700_000, -5_000_000), (900_000, 0)]);
    let out = tenant("out", 12, 2, &[(-500_000, 90_000_000), (-300_000, 0)]);
    let (given, _) = awards(
        &base(100_000_000, 40_000_000),
        &[north, out],
        &GridFee::default(),
    );
    assert_eq!(given[0].exchange_w, 700_000);
    assert_eq!(
        given[1].exchange_w, -500_000,
        "the neighbour's load pays 100"
    );
    let (given, _) = awards(
        &base(10_000_000, 4_000_000),
        &[tenant(
            "out",
            12,
            2,
            &[(-500_000, 90_000_000), (-300_000, 0)],
        )],
        &GridFee::default(),
    );
    assert_eq!(given[0].exchange_w, -300_000, "no more than it must");
}

#[test]
fn a_connection_and_a_fixed_exchange() {
    let mut south = tenant("south", 10, 2, &[(-2_000_000, 20_000_000), (0, 0)]);
    south.export_max_w = 800_000;
    let fixed = tenant("fixed", 11, 3, &[(123_456, 0)]);
    let (given, _) = awards(
        &base(100_000_000, 40_000_000),
        &[south, fixed],
        &GridFee::default(),
    );
    assert_eq!(given[0].exchange_w, -800_000);
    assert_eq!(given[1].exchange_w, 123_456);
}

#[test]
fn reactive_power_is_what_goes_with_the_award() {
    // 1 MW must be, 2 MW at a price; expected is halfway between, and more could be given.
    for (worth, q_var) in [(60_000_000, 100_000), (150_000_000, 300_000)] {
        let mut south = tenant("south", 10, 2, &[(1_000_000, worth), (2_000_000, 0)]);
        (south.curve[0].q_var, south.curve[1].q_var) = (100_000, 300_000);
        (south.expected_w, south.q_min_var, south.q_max_var) = (1_500_000, 0.0, 900_000.0);
        let (given, clearing) = awards(
            &base(100_000_000, 40_000_000),
            &[south],
            &GridFee::default(),
        );
        assert_eq!(given[0].q_var, q_var, "{:?}", given[0]);
        // The source's is the same but for what the line takes.
        assert!((clearing.exchange[0].q_var - q_var as f64).abs() < 2_000.0);
    }
}

#[test]
fn reactive_power_besides_is_called_on_where_limits_need_it() {
    // 2 MW over 1 Ω take 20 kV down to 0.995 pu.
    let mut south = tenant("south", 10, 2, &[(2_000_000, 0)]);
    (south.expected_w, south.q_min_var, south.q_max_var) = (2_000_000, -2_000_000.0, 0.0);
    let mut own = base(100_000_000, 40_000_000);
    own.limits.u_min_pu = 0.9952;
    let (given, clearing) = awards(&own, &[south.clone()], &GridFee::default());
    assert!(
        !matches!(clearing.status, Status::LeastViolation { .. }),
        "{:?}",
        clearing.status
    );
    assert_eq!(given[0].exchange_w, 2_000_000);
    // By hand: (R P + X Q) / U is 0.0048 · 20 kV, with the source's 0.04 Ω (R/X 0.1) before the line.
    let expected = (0.0048 * 0.9952 * 4e8 - 1.004 * 2e6) / 0.1398;
    assert!(
        (given[0].q_var as f64 - expected).abs() < 0.03 * expected.abs(),
        "{} {expected}",
        given[0].q_var
    );
    south.q_min_var = 0.0;
    let (_, clearing) = awards(&own, &[south], &GridFee::default());
    assert!(
        clearing.awards[0].p_w > -1_950_000.0,
        "what must be is cut: {:?}",
        clearing.awards
    );
}

/// What 1 pu more or less of 1.0 costs.
fn voltage(below: f64, above: f64) -> Voltage {
    let corner = |(u_pu, cost_per_h)| VoltageCorner { u_pu, cost_per_h };
    Voltage {
        r_ohm: 1.004,
        x_ohm: 0.1398,
        corners: [(0.9, -0.1 * below), (1.0, 0.0), (1.1, 0.1 * above)]
            .map(corner)
            .to_vec(),
    }
}

#[test]
fn a_voltage_is_what_neighbours_are_asked_to_do_for_it() {
    // Both at node 2, behind 1.004 + 0.1398j Ω (the line and the source's 0.04 Ω, R/X 0.1). A Mvar there is
    // 0.1398 / 400 of voltage, so that it is worth the 1 per Mvarh it counts from 2861 per pu and h on, and besides the losses of all 0.6 Mvar,
    // at most 2 · 1.004 · 0.6 / 400 at 40, from 3206 on.
    let grid = Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap();
    for (above, called) in [(2_600.0, false), (3_500.0, true)] {
        let mut south = tenant("south", 10, 2, &[(-2_000_000, 20_000_000), (0, 0)]);
        south.voltage = Some(voltage(above, above));
        let mut north = tenant("north", 11, 2, &[(0, 0)]);
        (north.q_min_var, north.q_max_var) = (-400_000.0, 600_000.0);
        let own = base(100_000_000, 40_000_000);
        let tenants = [south, north];
        let area = Area::new(&grid, &own, &tenants, &Options::default()).unwrap();
        let clearing = clear(&grid, &area.case, &Options::default()).unwrap();
        let given = area.awards(&grid, &clearing, &GridFee::default());
        assert_eq!(
            given[1].q_var,
            if called { 600_000 } else { 0 },
            "{clearing:?}"
        );
        // What it does itself does not count: it sends all it has at the price without its voltage, ...
        assert_eq!(given[0].exchange_w, -2_000_000);
        let sent_at = given[0].price.per_mwh();
        assert!((sent_at - 40.0 * 0.99).abs() < 0.05, "{:?}", given[0]);
        // ... while a load at its node lowers its voltage by 1.004 / 400 per MW, but for the 0.3 % that R P lifts it.
        let at = clearing.prices.iter().find(|at| at.node == 2).unwrap();
        let worth = above * 1.004 / 400.0;
        assert!(
            (sent_at - at.p_per_mwh - worth).abs() < 0.02 * worth,
            "{at:?}"
        );
        let of = clearing.voltages[0];
        assert!((of.slope_per_h - above).abs() < 1e-3 * above, "{of:?}");
        // By hand: the source's 1 pu, but for what north takes.
        let q = given[1].q_var as f64;
        assert!((of.u_pu - (1.0 - q * 0.1398 / 4e8)).abs() < 3e-4, "{of:?}");
        for parts in price_parts(&grid, &area.case, &clearing).unwrap() {
            assert!(parts.rest_p_per_mwh.abs() < 0.01, "{parts:?}");
            assert!(parts.rest_q_per_mvarh.abs() < 0.01, "{parts:?}");
        }
    }
}

#[test]
fn a_voltage_that_is_dearer_than_all_else_is_worth_no_more() {
    // 2 MW at 100 over 0.01 pu.
    let mut south = tenant("south", 10, 2, &[(-2_000_000, 20_000_000), (0, 0)]);
    south.voltage = Some(voltage(0.0, 1e9));
    let grid = Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap();
    let own = base(100_000_000, 40_000_000);
    let area = Area::new(&grid, &own, &[south.clone()], &Options::default()).unwrap();
    let corners = &area.case.voltages[0].corners;
    assert!((corners[2].cost_per_h - 0.1 * 2.0 * 100.0 / 0.01).abs() < 1e-6);
    let refused = |change: &dyn Fn(&mut Voltage)| {
        let mut odd = south.clone();
        change(odd.voltage.as_mut().unwrap());
        let error = Area::new(&grid, &own, &[odd], &Options::default()).unwrap_err();
        assert!(
            error.to_string().contains("south: what the voltage"),
            "{error}"
        );
    };
    refused(&|of| of.corners.truncate(1));
    refused(&|of| of.corners[1].cost_per_h = f64::NAN);
    refused(&|of| of.corners[1].u_pu = 0.9005);
    refused(&|of| of.corners[2].u_pu = 3.1);
    refused(&|of| of.x_ohm = -1.0);
    refused(&|of| of.r_ohm = f64::INFINITY);
}

#[test]
fn the_fee_is_by_distance_to_the_interface() {
    let south = tenant("south", 10, 2, &[(1_000_000, 0)]);
    let fee = GridFee {
        base: Price(1_000_000),
        per_pu: Price(100_000_000),
        ..GridFee::default()
    };
    let (given, _) = awards(&base(100_000_000, 40_000_000), &[south], &fee);
    // |1 + 0.1j| Ω on 1 MVA and 20 kV: 1.004988 / 400 = 0.00251247 pu.
    assert_eq!(given[0].grid_fee, Price(1_251_247));
}

#[test]
fn curves_that_are_none_are_refused_by_name() {
    let own = base(1, 1);
    let grid = Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap();
    let refused = |corners: &[(i64, i64)]| {
        Area::new(
            &grid,
            &own,
            &[tenant("north", 11, 3, corners)],
            &Options::default(),
        )
        .unwrap_err()
        .to_string()
    };
    assert!(refused(&[]).contains("north has a curve without"));
    assert!(refused(&[(5, 1), (5, 0)]).contains("must rise, at corner 1"));
    assert!(refused(&[(5, 1), (6, 1), (7, 0)]).contains("must fall, at corner 1"));
    assert!(refused(&[(i64::MIN, 1)]).contains("must rise, at corner 0"));
    let mut odd = tenant("north", 11, 3, &[(0, 0)]);
    (odd.q_min_var, odd.q_max_var) = (1.0, f64::NAN);
    assert!(Area::new(&grid, &own, &[odd], &Options::default()).is_err());
}
