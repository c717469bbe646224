//! The shipped scenarios by injected time.

use std::path::Path;

use protocols::point::Value;

use super::*;
use crate::{
    devices::{rtu::Profile as RtuModel, sunspec::BASE},
    faults::Kind,
    scenario,
};

fn loaded(name: &str) -> Loaded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    scenario::load(&folder.join(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn built(name: &str) -> Substation {
    Substation::new(&loaded(name), 0).expect("it starts")
}

/// Steps of `dt_s` up to `to_s`.
fn run(substation: &mut Substation, to_s: f64, dt_s: f64) {
    while substation.now_s + 1e-9 < to_s {
        let now_s = substation.now_s + dt_s;
        substation.step(now_s, (now_s * 1000.0) as i64);
    }
}

fn index(substation: &Substation, device: &str) -> usize {
    substation.devices().position(|d| d == device).unwrap()
}

/// A point of an RTU as the appliance reads it.
fn rtu_value(substation: &Substation, device: &str, point: &str) -> Value {
    let model = RtuModel::generic().unwrap();
    let spec = model.registers.points.iter().find(|p| p.name == point);
    let spec = spec.unwrap();
    let span = spec.span();
    let device = index(substation, device);
    let words = substation.read(device, span.table, span.address, span.count);
    let (value, quality) = spec.decode(&words.unwrap());
    assert!(quality.is_good(), "{point} reads {value:?}, {quality:?}");
    value
}

fn number(value: Value) -> f64 {
    match value {
        Value::Analog(number) => number,
        Value::Counter(count) => count as f64,
        other => panic!("{other:?} is no number"),
    }
}

fn unit(substation: &Substation, id: Id) -> UnitTruth {
    let units = substation.truth(substation.now_s).units;
    units.into_iter().find(|unit| unit.id == id).unwrap()
}

fn fault(device: &str, kind: Kind, point: Option<&str>, value: Option<f64>) -> Request {
    Request {
        device: device.into(),
        kind,
        point: point.map(str::to_owned),
        value,
        for_s: None,
    }
}

/// Against pandapower's power flow of this moment (1.1087 pu); loads move by about half a percent.
#[test]
fn the_noon_stays_stressed_when_nobody_controls_it() {
    let mut substation = built("noon.toml");
    run(&mut substation, 60.0, 0.25);
    assert_eq!(substation.history().count(), 241);
    for row in substation.history() {
        assert!((row.u_max - 1.1087).abs() < 2e-3, "{row:?}");
        assert_eq!(row.u_max_node, 7);
        assert!(row.converged && row.sim_time == "12:00:00");
    }
    let truth = substation.truth(substation.now_s);
    let line = truth.branches.iter().find(|b| b.id == 16).unwrap();
    assert!(line.loading > 1.05, "{line:?}");
    assert!(
        (unit(&substation, 106).p_w + 600e3).abs() < 1.0,
        "it charges"
    );
    assert!(truth.units.iter().all(|unit| !unit.controlled));
    // What comes in is taken by loads, devices and losses.
    let taken: f64 = truth.loads.iter().map(|load| load.p_w).sum();
    let given: f64 = truth.units.iter().map(|unit| unit.p_w).sum();
    let balance = truth.source.p_w + given - taken - truth.loss_w;
    assert!(balance.abs() < 1.0, "{balance} W are lost");
}

#[test]
fn a_whole_day_converges_and_the_sun_sets() {
    let mut substation = built("day.toml");
    run(&mut substation, 24.0 * 60.0, 1.0);
    assert!(substation.history().all(|row| row.converged));
    let pv = substation.units().position(|id| id == 93).unwrap();
    for row in substation.history() {
        let p = row.unit_p_w[pv];
        if row.sim_time.as_str() < "04:59" || row.sim_time.as_str() > "20:03" {
            assert_eq!(p, 0.0, "at {}", row.sim_time);
        }
    }
    let hour = |h: &str| {
        let mut rows = substation.history();
        rows.find(|row| row.sim_time.starts_with(h)).unwrap()
    };
    assert!(hour("12").u_max > 1.10 && hour("12").loading_max > 1.0);
    assert!(hour("21").u_max < 1.08, "{:?}", hour("21"));
    assert_eq!(substation.truth(substation.now_s).sim_time, "11:30:00");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_does_not() {
    let mut other = loaded("noon.toml");
    other.scenario.seed += 1;
    let mut runs = [loaded("noon.toml"), loaded("noon.toml"), other]
        .map(|loaded| Substation::new(&loaded, 0).unwrap());
    for substation in &mut runs {
        run(substation, 5.0, 0.25);
    }
    let [a, b, c] = &runs;
    let registers = |s: &Substation| s.read(index(s, "rtu8"), Table::Holding, 1000, 97);
    assert_eq!(a.truth(a.now_s), b.truth(b.now_s));
    assert_eq!(registers(a), registers(b));
    assert_ne!(a.truth(a.now_s), c.truth(c.now_s));
    assert_ne!(registers(a), registers(c));
}

#[test]
fn meters_read_the_truth_within_their_class() {
    let mut substation = built("noon.toml");
    run(&mut substation, 1.0, 0.25);
    let truth = substation.truth(substation.now_s);
    let u3 = truth.nodes.iter().find(|n| n.id == 3).unwrap().u_pu * 20e3;
    let line = truth.branches.iter().find(|b| b.id == 24).unwrap();
    let read = |point: &str| number(rtu_value(&substation, "rtu3", point));
    // Six standard deviations of 0.1 %, and of 0.3 % + 1000 W.
    assert!((read("bay3_u") - u3).abs() < 6.0 * 0.001 * u3);
    let sigma = 0.003 * line.p_from_w.abs() + 1000.0;
    assert!((read("bay3_p") - line.p_from_w).abs() < 6.0 * sigma);
    let load: f64 = truth
        .loads
        .iter()
        .filter(|l| [31, 41].contains(&l.id))
        .map(|l| l.p_w)
        .sum();
    let read = number(rtu_value(&substation, "rtu-main", "bay7_p"));
    assert!((read - load).abs() < 6.0 * (0.003 * load + 1000.0));
    assert_eq!(
        rtu_value(&substation, "rtu5", "bay1_closed"),
        Value::Binary(true)
    );
    assert_eq!(
        rtu_value(&substation, "rtu5", "bay1_open"),
        Value::Binary(false)
    );
}

#[test]
fn energy_counts_real_time_and_charge_moves_with_the_day() {
    let mut substation = built("day.toml");
    let before = unit(&substation, 106).soc.unwrap();
    run(&mut substation, 18.25, 0.25);
    let device = index(&substation, "bat5");
    // Model 701 follows 1, 103, 120, 121, 123 and 124; TotWhAbs is at offset 23 of it.
    let lengths = [66u16, 50, 26, 30, 24, 24];
    let model = BASE + 2 + lengths.iter().map(|length| length + 2).sum::<u16>();
    let read = |at, count| substation.read(device, Table::Holding, at, count).unwrap();
    assert_eq!(read(model, 1), [701]);
    assert_eq!(read(model + 23, 4), [0, 0, 0, 3041], "600 kW for 18.25 s");
    let moved = unit(&substation, 106).soc.unwrap() - before;
    // 600 kW, 97 % of it for 18.25 simulated minutes, of 1.2 MWh.
    assert!(
        (moved - 0.97 * 600.0 * 18.25 / 60.0 / 1200.0).abs() < 1e-6,
        "{moved}"
    );
}

#[test]
fn each_side_of_a_line_counts_energy_by_its_own_direction() {
    let mut substation = built("noon.toml");
    run(&mut substation, 36.0, 0.25);
    let truth = substation.truth(substation.now_s);
    let line = truth.branches.iter().find(|b| b.id == 20).unwrap();
    // Wind flows from node 7 to node 8; a hundredth of an hour of it, losses left out.
    let wh = line.p_from_w / 100.0;
    assert!(wh > 50e3, "{wh}");
    for (device, carries, other) in [
        ("rtu7", "bay1_energy_in", "bay1_energy_out"),
        ("rtu8", "bay1_energy_out", "bay1_energy_in"),
    ] {
        let counted = number(rtu_value(&substation, device, carries));
        assert!(
            (counted / wh - 1.0).abs() < 0.05,
            "{device}: {counted} of {wh}"
        );
        assert_eq!(number(rtu_value(&substation, device, other)), 0.0);
    }
}

#[test]
fn faults_show_in_the_registers_and_go_away_again() {
    let mut substation = built("noon.toml");
    run(&mut substation, 1.0, 0.25);
    let read = |s: &Substation, point: &str| number(rtu_value(s, "rtu8", point));
    let (u, p) = (read(&substation, "bay1_u"), read(&substation, "bay2_p"));
    let mut ids = Vec::new();
    for request in [
        fault("rtu8", Kind::Frozen, Some("bay1_u"), None),
        fault("rtu8", Kind::Sign, Some("bay2_p"), None),
        fault("rtu8", Kind::Scale, Some("bay3_u"), Some(1.0)),
        fault("rtu8", Kind::Spike, Some("bay2_u"), Some(10.0)),
    ] {
        ids.push(substation.add_fault(request).unwrap());
    }
    run(&mut substation, 3.0, 0.25);
    assert_eq!(read(&substation, "bay1_u"), u, "frozen");
    assert!(
        (read(&substation, "bay2_p") / p + 1.0).abs() < 0.1,
        "turned"
    );
    assert!(
        (read(&substation, "bay3_u") / u - 10.0).abs() < 0.1,
        "ten times"
    );
    let off = read(&substation, "bay2_u") / u - 1.0;
    assert!((off - 0.01).abs() < 0.006, "ten times 0.1 % off: {off}");
    for id in ids {
        assert!(substation.remove_fault(id));
    }
    run(&mut substation, 4.0, 0.25);
    assert_ne!(read(&substation, "bay1_u"), u);
    assert!((read(&substation, "bay2_p") / p - 1.0).abs() < 0.1);
}

#[test]
fn a_frozen_device_freezes_as_a_whole_but_still_obeys() {
    let mut substation = built("noon.toml");
    run(&mut substation, 1.0, 0.25);
    let device = index(&substation, "pv3");
    let model_103 = |s: &Substation| s.read(device, Table::Holding, BASE + 70, 50).unwrap();
    let before = model_103(&substation);
    substation
        .add_fault(fault("pv3", Kind::Frozen, None, None))
        .unwrap();
    // Model 704 follows 1, 103, 120, 121 and 123: 40 % (WMaxLimPct), then its enable.
    let model_704 = BASE + 2 + 68 + 52 + 28 + 32 + 26;
    let mut write = |at, value| substation.write(device, Table::Holding, at, &[value], 1.0);
    assert_eq!(write(model_704 + 15, 4_000), Ok(()));
    assert_eq!(write(model_704 + 14, 1), Ok(()));
    run(&mut substation, 3.0, 0.25);
    assert_eq!(model_103(&substation), before);
    assert_eq!(unit(&substation, 93).p_w, 40e3);
    substation.clear_faults();
    run(&mut substation, 4.0, 0.25);
    assert_ne!(model_103(&substation), before);
}

#[test]
fn the_scenarios_own_faults_come_and_go_in_their_time() {
    let mut loaded = loaded("noon.toml");
    loaded.scenario.fault = vec![TimedFault {
        at_s: 2.0,
        for_s: Some(3.0),
        device: "pv4".into(),
        kind: Kind::Gone,
        point: None,
        value: None,
    }];
    let mut substation = Substation::new(&loaded, 0).unwrap();
    let device = index(&substation, "pv4");
    for (to_s, wire) in [
        (1.75, server::Fault::None),
        (2.0, server::Fault::Gone),
        (4.75, server::Fault::Gone),
        (5.0, server::Fault::None),
    ] {
        run(&mut substation, to_s, 0.25);
        assert_eq!(substation.wire(device), wire, "at {to_s} s");
    }
}

#[test]
fn a_tap_order_over_the_wire_moves_the_transformer() {
    let mut substation = built("noon.toml");
    let device = index(&substation, "rtu-main");
    let mut write = |at, value| substation.write(device, Table::Holding, at, &[value], 0.0);
    assert_eq!(write(1016, 2), Ok(()));
    assert_eq!(
        write(1016, 10),
        Err(ExceptionCode::IllegalDataValue),
        "9 is the last"
    );
    assert_eq!(
        write(1096, 1),
        Err(ExceptionCode::IllegalDataAddress),
        "bay 3 has none"
    );
    run(&mut substation, 5.0, 0.25);
    let tap = number(rtu_value(&substation, "rtu-main", "bay1_tap"));
    assert_eq!(tap, 2.0);
    let u1 = substation.truth(substation.now_s).nodes[1].u_pu;
    let before = substation.history().next().unwrap();
    assert!(
        u1 < before.u_min - 0.01,
        "more turns above, less voltage below: {u1}"
    );
}

#[test]
fn a_load_step_holds_until_it_is_undone() {
    let mut substation = built("noon.toml");
    let p = |s: &Substation| {
        s.truth(s.now_s)
            .loads
            .iter()
            .find(|l| l.id == 36)
            .unwrap()
            .p_w
    };
    let step = |p_w, scale| LoadStep {
        id: 36,
        p_w,
        q_var: None,
        scale,
    };
    let own = p(&substation);
    substation.step_load(step(Some(1e6), None)).unwrap();
    run(&mut substation, 0.25, 0.25);
    assert_eq!(p(&substation), 1e6);
    substation.step_load(step(None, Some(2.0))).unwrap();
    run(&mut substation, 0.5, 0.25);
    assert!((p(&substation) / own - 2.0).abs() < 0.1);
    substation.step_load(step(None, None)).unwrap();
    run(&mut substation, 0.75, 0.25);
    assert!((p(&substation) / own - 1.0).abs() < 0.1);
    let refused = substation.step_load(step(Some(f64::NAN), None));
    assert!(matches!(
        refused,
        Err(LoadStepError::Value { key: "p_w", .. })
    ));
    let unknown = LoadStep {
        id: 4711,
        ..step(None, None)
    };
    assert_eq!(
        substation.step_load(unknown),
        Err(LoadStepError::Unknown(4711))
    );
}

mod by_phase;
