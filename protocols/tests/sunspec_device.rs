//! The SunSpec device task against the SunSpec register image, over a real socket.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{Running, lock, quick, serve};
use protocols::{
    device::{DeviceEvent, system_clock},
    modbus::{
        server::{ExceptionCode, Registers, Table},
        sunspec::{Image, device},
    },
    point::{Action, ActivePower, CommandStatus, DerFallback, DerSetpoint, Quality, Value},
};

/// A 5 MW inverter: 103 with the values below, ratings in 120 and 121, and the `controls`.
fn inverter(base: u16, controls: &[u16]) -> Arc<Mutex<Image>> {
    let models: Vec<u16> = [1, 103, 120, 121].iter().chain(controls).copied().collect();
    let mut image = Image::new(base, &models).unwrap();
    image.set_text(1, "Mn", "Example").unwrap();
    image.set_text(1, "Md", "PV 5000").unwrap();
    image.set_text(1, "SN", "0001").unwrap();
    let values: &[(u16, &str, f64)] = &[
        (103, "A_SF", 0.0),
        (103, "A", 360.0),
        (103, "AphA", 119.0),
        (103, "AphB", 120.0),
        (103, "AphC", 121.0),
        (103, "V_SF", 0.0),
        (103, "PPVphAB", 20_100.0),
        (103, "PPVphBC", 20_200.0),
        (103, "PPVphCA", 20_300.0),
        (103, "W_SF", 3.0),
        (103, "W", 4_000_000.0),
        (103, "Hz_SF", -2.0),
        (103, "Hz", 50.02),
        (103, "VAr_SF", 3.0),
        (103, "VAr", -1_200_000.0),
        (103, "WH_SF", 3.0),
        (103, "WH", 123_456_000.0),
        (103, "St", 4.0),
        (120, "WRtg_SF", 3.0),
        (120, "WRtg", 5_000_000.0),
        (120, "VARtg_SF", 3.0),
        (120, "VARtg", 5_500_000.0),
        (120, "VArRtg_SF", 3.0),
        (120, "VArRtgQ1", 2_200_000.0),
        (120, "VArRtgQ4", -2_200_000.0),
        (121, "WMax_SF", 3.0),
        (121, "WMax", 5_000_000.0),
    ];
    for &(model, point, value) in values {
        image.set(model, point, value).unwrap();
    }
    if controls.contains(&704) {
        implement_704(&mut image);
    }
    if controls.contains(&123) {
        implement_123(&mut image);
    }
    Arc::new(Mutex::new(image))
}

fn implement_704(image: &mut Image) {
    implement_704_without(image, "nothing");
}

fn implement_704_without(image: &mut Image, ending: &str) {
    image.set(704, "WMaxLimPct_SF", -1.0).unwrap();
    for scale in ["WSet_SF", "VarSet_SF"] {
        image.set(704, scale, 0.0).unwrap();
    }
    let points = "WMaxLimPctEna WMaxLimPct WMaxLimPctRvrt WMaxLimPctEnaRvrt WMaxLimPctRvrtTms \
        WMaxLimPctRvrtRem WSetEna WSetMod WSet WSetRvrt WSetEnaRvrt WSetRvrtTms WSetRvrtRem VarSetEna \
        VarSetMod VarSetPri VarSet VarSetRvrt VarSetEnaRvrt VarSetRvrtTms VarSetRvrtRem WRmp WRmpRef";
    for point in points
        .split_whitespace()
        .filter(|point| !point.ends_with(ending))
    {
        image.set(704, point, 0.0).unwrap();
    }
}

fn implement_123(image: &mut Image) {
    for scale in ["WMaxLimPct_SF", "VArPct_SF", "OutPFSet_SF"] {
        image.set(123, scale, -2.0).unwrap();
    }
    let points = "WMaxLimPct WMaxLimPct_RvrtTms WMaxLimPct_RmpTms WMaxLim_Ena VArMaxPct \
        VArPct_RvrtTms VArPct_Mod VArPct_Ena";
    for point in points.split_whitespace() {
        image.set(123, point, 0.0).unwrap();
    }
}

fn start(link: protocols::modbus::Link) -> Running {
    Running::start("pv3", |ports| {
        device::run(device::SunspecConfig { link }, ports)
    })
}

fn setpoint(p: ActivePower, q_var: f64, fallback: ActivePower) -> DerSetpoint {
    DerSetpoint {
        p,
        q_var,
        lease: Duration::from_secs(30),
        ramp_w_per_s: None,
        fallback: DerFallback {
            p: fallback,
            q_var: 0.0,
        },
    }
}

#[tokio::test]
async fn discovers_describes_and_measures() {
    for base in [40_000, 0, 50_000] {
        let image = inverter(base, &[704]);
        let server = serve(&image).await;
        let mut pv = start(quick(server.address()));
        let description = pv
            .until(|event| match event {
                DeviceEvent::Described(description) => Some(description),
                _ => None,
            })
            .await;
        assert_eq!(description.manufacturer, "Example");
        assert_eq!(description.serial, "0001");
        assert_eq!(description.models, [1, 103, 120, 121, 704]);
        assert_eq!(description.p_rated_w, Some(5e6));
        assert_eq!(description.s_rated_va, Some(5.5e6));
        assert_eq!(description.q_rated_var, Some(2.2e6));

        pv.poll().await;
        for (name, expected) in [
            ("p", 4e6),
            ("q", -1.2e6),
            ("u", 20_200.0),
            ("i", 120.0),
            ("f", 50.02),
            ("state", 4.0),
            ("p_limit", 5e6),
            ("lease_left", 0.0),
        ] {
            assert_eq!(pv.analog(name), expected, "{name}");
        }
        assert_eq!(pv.value("energy"), Value::Counter(123_456_000));
        assert_eq!(pv.value("controlled"), Value::Binary(false));
        // No set value is in force, and the device is no battery.
        assert_eq!(pv.quality("q_set"), Quality::INVALID);
        assert!(!pv.last.contains_key("soc"));
        assert!(!pv.last.contains_key("energy_absorbed"));
    }
}

#[tokio::test]
async fn model_701_counts_both_directions_beside_103() {
    let image = inverter(40_000, &[701]);
    {
        let mut image = lock(&image);
        image.set(701, "TotWh_SF", 0.0).unwrap();
        image.set(701, "TotWhInj", 7.0).unwrap();
        image.set(701, "TotWhAbs", 4_711.0).unwrap();
    }
    let server = serve(&image).await;
    let mut battery = start(quick(server.address()));
    battery.poll().await;
    assert_eq!(battery.value("energy"), Value::Counter(123_456_000));
    assert_eq!(battery.value("energy_absorbed"), Value::Counter(4_711));
    assert_eq!(battery.analog("p"), 4e6);
}

#[tokio::test]
async fn not_implemented_is_invalid() {
    let image = inverter(40_000, &[704]);
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    pv.until_online().await;
    *lock(&image) = {
        let mut fresh = Image::new(40_000, &[1, 103, 120, 121, 704]).unwrap();
        implement_704(&mut fresh);
        fresh
    };
    pv.poll().await;
    for name in ["p", "q", "u", "i", "f"] {
        assert_eq!(pv.quality(name), Quality::INVALID, "{name}");
    }
}

#[tokio::test]
async fn limit_through_704_is_leased_rounded_down_and_read_back() {
    let image = inverter(40_000, &[704]);
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    pv.poll().await;
    lock(&image).take_written();
    // 62.39998 % of 5 MW, in steps of 0.1 %: 62.3 %.
    let order = setpoint(
        ActivePower::Limit(3_119_999.0),
        -700_000.4,
        ActivePower::Limit(3e6),
    );
    let done = pv.command("pv3/control", Action::Der(order)).await;
    assert_eq!(done, CommandStatus::Done);
    {
        let mut image = lock(&image);
        for (point, expected) in [
            ("WMaxLimPctEna", 1.0),
            ("WMaxLimPct", 62.3),
            ("WMaxLimPctRvrt", 60.0),
            ("WMaxLimPctEnaRvrt", 1.0),
            ("WMaxLimPctRvrtTms", 30.0),
            ("VarSetEna", 1.0),
            ("VarSetMod", 4.0),
            ("VarSet", -700_000.0),
            ("VarSetRvrt", 0.0),
            ("VarSetEnaRvrt", 1.0),
            ("VarSetRvrtTms", 30.0),
            ("WSetEna", 0.0),
        ] {
            assert_eq!(image.get(704, point), Some(expected), "{point}");
        }
        // The limit shrinks: it goes before the reactive power, and times go before enables.
        let written = image.take_written();
        let at = |name| {
            written
                .iter()
                .position(|&(_, point)| point == name)
                .unwrap()
        };
        assert!(at("WMaxLimPctRvrtTms") < at("WMaxLimPctEna"));
        assert!(at("WMaxLimPctEna") < at("VarSetEna"));
        assert!(at("VarSetRvrtTms") < at("VarSet") && at("VarSet") < at("VarSetEna"));
        // The device's own clock, which nobody plays here.
        image.set(704, "WMaxLimPctRvrtRem", 29.0).unwrap();
        image.set(704, "VarSetRvrtRem", 28.0).unwrap();
    }
    pv.poll().await;
    assert!((pv.analog("p_limit") - 3_115_000.0).abs() < 1e-6);
    assert_eq!(pv.analog("q_set"), -700_000.0);
    assert_eq!(pv.analog("lease_left"), 28.0);
    assert_eq!(pv.value("controlled"), Value::Binary(true));

    // A second order renews, although nothing in it is new.
    lock(&image).take_written();
    pv.command("pv3/control", Action::Der(order)).await;
    let renewed = lock(&image).take_written();
    assert!(renewed.contains(&(704, "WMaxLimPctRvrtTms")));
}

#[tokio::test]
async fn set_value_takes_the_place_of_a_limit() {
    let image = inverter(40_000, &[704]);
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    let limit = setpoint(ActivePower::Limit(1e6), 0.0, ActivePower::Limit(1e6));
    pv.command("pv3/control", Action::Der(limit)).await;
    let mut charge = setpoint(ActivePower::Set(-2e6), 0.0, ActivePower::Set(0.0));
    // 5 % of WMax per second.
    charge.ramp_w_per_s = Some(250_000.0);
    let done = pv.command("pv3/control", Action::Der(charge)).await;
    assert_eq!(done, CommandStatus::Done);
    {
        let image = lock(&image);
        for (point, expected) in [
            ("WMaxLimPctEna", 0.0),
            ("WSetEna", 1.0),
            ("WSetMod", 1.0),
            ("WSet", -2e6),
            ("WSetRvrt", 0.0),
            ("WSetEnaRvrt", 1.0),
            ("WSetRvrtTms", 30.0),
            ("WRmp", 5.0),
            ("WRmpRef", 1.0),
        ] {
            assert_eq!(image.get(704, point), Some(expected), "{point}");
        }
    }
    pv.poll().await;
    assert_eq!(pv.analog("p_set"), -2e6);
}

#[tokio::test]
async fn models_123_and_124_set_limit_reactive_power_and_storage() {
    let image = inverter(40_000, &[123, 124]);
    {
        let mut image = lock(&image);
        for (point, value) in [
            ("WChaMax_SF", 3.0),
            ("WChaMax", 2e6),
            ("InOutWRte_SF", -2.0),
            ("OutWRte", 0.0),
            ("InWRte", 0.0),
            ("InOutWRte_RvrtTms", 0.0),
            ("StorCtl_Mod", 0.0),
            ("ChaState_SF", -1.0),
            ("ChaState", 45.5),
        ] {
            image.set(124, point, value).unwrap();
        }
    }
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    pv.poll().await;
    assert!((pv.analog("soc") - 0.455).abs() < 1e-12);
    let mut order = setpoint(ActivePower::Limit(2.5e6), -1.1e6, ActivePower::Limit(5e6));
    // From 5 MW to 2.5 MW at 0.1 MW/s: 25 s.
    order.ramp_w_per_s = Some(1e5);
    let done = pv.command("pv3/control", Action::Der(order)).await;
    assert_eq!(done, CommandStatus::Done);
    for (point, expected) in [
        ("WMaxLimPct", 50.0),
        ("WMaxLimPct_RvrtTms", 30.0),
        ("WMaxLimPct_RmpTms", 25.0),
        ("WMaxLim_Ena", 1.0),
        ("VArMaxPct", -50.0),
        ("VArPct_Mod", 2.0),
        ("VArPct_RvrtTms", 30.0),
        ("VArPct_Ena", 1.0),
    ] {
        assert_eq!(lock(&image).get(123, point), Some(expected), "{point}");
    }
    // Never written, so still not implemented.
    assert_eq!(lock(&image).get(123, "WMaxLimPct_WinTms"), None);

    let order = setpoint(ActivePower::Set(-1e6), 0.0, ActivePower::Set(0.0));
    let done = pv.command("pv3/control", Action::Der(order)).await;
    assert_eq!(done, CommandStatus::Done);
    for (point, expected) in [("OutWRte", -50.0), ("InWRte", 50.0), ("StorCtl_Mod", 3.0)] {
        assert_eq!(lock(&image).get(124, point), Some(expected), "{point}");
    }
    pv.poll().await;
    assert_eq!(pv.analog("p_limit"), 2.5e6);
    assert_eq!(pv.analog("p_set"), -1e6);
    assert_eq!(pv.quality("lease_left"), Quality::SUBSTITUTED);

    // These models cannot hold such a fallback.
    let order = setpoint(ActivePower::Limit(1e6), 0.0, ActivePower::Limit(1e6));
    let done = pv.command("pv3/control", Action::Der(order)).await;
    assert!(matches!(done, CommandStatus::Rejected(why) if why.text.contains("revert")));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_nothing_is_written() {
    let image = inverter(40_000, &[704]);
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    pv.poll().await;
    lock(&image).take_written();
    let good = setpoint(ActivePower::Limit(1e6), 0.0, ActivePower::Limit(1e6));
    let with = |change: fn(&mut DerSetpoint)| {
        let mut order = good;
        change(&mut order);
        order
    };
    for (order, reason) in [
        (with(|o| o.p = ActivePower::Limit(f64::NAN)), "no limit"),
        (with(|o| o.p = ActivePower::Limit(-1.0)), "no limit"),
        (with(|o| o.p = ActivePower::Set(1e6)), "both"),
        (with(|o| o.q_var = f64::INFINITY), "does not fit"),
        (with(|o| o.q_var = 1e10), "does not fit"),
        (with(|o| o.lease = Duration::from_millis(900)), "lease"),
        (with(|o| o.ramp_w_per_s = Some(1.0)), "ramp"),
        (with(|o| o.ramp_w_per_s = Some(f64::NAN)), "ramp"),
    ] {
        let status = pv.command("pv3/control", Action::Der(order)).await;
        let CommandStatus::Rejected(why) = status else {
            panic!("{order:?}: {status:?}");
        };
        assert!(why.text.contains(reason), "{why}");
    }
    let status = pv.command("pv3/p", Action::Der(good)).await;
    assert!(matches!(status, CommandStatus::Rejected(_)));
    let late = system_clock() - 1;
    let status = pv
        .command_expiring("pv3/control", Action::Der(good), late)
        .await;
    assert!(matches!(status, CommandStatus::NotSent(_)));
    assert_eq!(lock(&image).take_written(), []);
}

#[tokio::test]
async fn percentages_serve_devices_without_watts_and_vars() {
    let image = inverter(40_000, &[704]);
    {
        let mut fresh = Image::new(40_000, &[1, 103, 120, 121, 704]).unwrap();
        let old = lock(&image);
        for (model, point) in [(120, "VArRtg"), (121, "WMax")] {
            let scale = format!("{point}_SF");
            fresh
                .set(model, &scale, old.get(model, &scale).unwrap())
                .unwrap();
        }
        for (model, point) in [(121, "WMax"), (120, "VArRtgQ1"), (120, "VArRtgQ4")] {
            fresh
                .set(model, point, old.get(model, point).unwrap())
                .unwrap();
        }
        drop(old);
        for scale in ["WMaxLimPct_SF", "WSetPct_SF", "VarSetPct_SF"] {
            fresh.set(704, scale, -2.0).unwrap();
        }
        let points = "WSetEna WSetMod WSetPct WSetPctRvrt WSetEnaRvrt WSetRvrtTms VarSetEna \
            VarSetMod VarSetPct VarSetPctRvrt VarSetEnaRvrt VarSetRvrtTms";
        for point in points.split_whitespace() {
            fresh.set(704, point, 0.0).unwrap();
        }
        *lock(&image) = fresh;
    }
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    let order = setpoint(ActivePower::Set(-1e6), -550_000.0, ActivePower::Set(0.0));
    let done = pv.command("pv3/control", Action::Der(order)).await;
    assert_eq!(done, CommandStatus::Done);
    for (point, expected) in [
        // Of 5 MW, and of the 2.2 Mvar of quadrant 4.
        ("WSetPct", -20.0),
        ("WSetMod", 0.0),
        ("WSetEna", 1.0),
        ("VarSetPct", -25.0),
        ("VarSetMod", 1.0),
        ("VarSetEna", 1.0),
    ] {
        assert_eq!(lock(&image).get(704, point), Some(expected), "{point}");
    }
    pv.poll().await;
    assert_eq!(pv.analog("p_set"), -1e6);
    assert_eq!(pv.analog("q_set"), -550_000.0);
}

#[tokio::test]
async fn a_changed_setting_changes_the_percentages() {
    let image = inverter(40_000, &[704]);
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    pv.poll().await;
    lock(&image).set(121, "WMax", 4e6).unwrap();
    let order = setpoint(ActivePower::Limit(2e6), 0.0, ActivePower::Limit(2e6));
    pv.command("pv3/control", Action::Der(order)).await;
    assert_eq!(lock(&image).get(704, "WMaxLimPct"), Some(50.0));
}

/// A device that refuses one register.
struct Stubborn(Arc<Mutex<Image>>, u16);

impl Registers for Stubborn {
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        Registers::read(&*self.0, table, address, count)
    }

    fn write(&self, table: Table, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        let end = address + values.len() as u16;
        if (address..end).contains(&self.1) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        Registers::write(&*self.0, table, address, values)
    }
}

#[tokio::test]
async fn a_refusal_is_reported_with_its_name_and_place() {
    let image = inverter(40_000, &[704]);
    // Model 704 stands behind SunS and models of 68, 52, 28 and 32 registers; VarSet is its 38th.
    let var_set = 40_000 + 2 + 68 + 52 + 28 + 32 + 38;
    let server = serve(&Arc::new(Stubborn(Arc::clone(&image), var_set))).await;
    let mut pv = start(quick(server.address()));
    let order = setpoint(ActivePower::Limit(1e6), 1e5, ActivePower::Limit(1e6));
    let status = pv.command("pv3/control", Action::Der(order)).await;
    let refused = "Illegal data value, at VarSet of model 704";
    assert_eq!(status, CommandStatus::Rejected(refused.into()));
    // The reactive power was not enabled, and the connection is as good as before.
    assert_eq!(lock(&image).get(704, "VarSetEna"), Some(0.0));
    pv.poll().await;
}

/// A device that can be read one model at a time only.
struct Narrow(Arc<Mutex<Image>>, Vec<u16>);

impl Registers for Narrow {
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let end = address + count;
        if self.1.iter().any(|&start| address < start && start < end) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        Registers::read(&*self.0, table, address, count)
    }

    fn write(&self, table: Table, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        Registers::write(&*self.0, table, address, values)
    }
}

#[tokio::test]
async fn a_device_that_refuses_reads_across_models_is_read_model_by_model() {
    let image = inverter(40_000, &[704]);
    // 1, 103, 120, 121 and 704 begin here, and the end model.
    let starts = vec![40_002, 40_070, 40_122, 40_150, 40_182, 40_249];
    let server = serve(&Arc::new(Narrow(image, starts))).await;
    let mut pv = start(quick(server.address()));
    pv.poll().await;
    assert_eq!(pv.analog("p"), 4e6);
    assert_eq!(pv.analog("p_limit"), 5e6);
    let order = setpoint(ActivePower::Limit(1e6), 0.0, ActivePower::Limit(1e6));
    let done = pv.command("pv3/control", Action::Der(order)).await;
    assert_eq!(done, CommandStatus::Done);
}

#[tokio::test]
async fn a_device_exchanged_behind_its_gateway_is_discovered_anew() {
    let image = inverter(40_000, &[704]);
    let server = serve(&image).await;
    let mut pv = start(quick(server.address()));
    pv.until_online().await;
    *lock(&image) = Image::new(40_000, &[1, 120, 121, 103, 704]).unwrap();
    let why = pv.until_offline().await;
    assert!(why.contains("no longer at register 40"), "{why}");
    pv.until_online().await;
}

#[tokio::test]
async fn the_time_left_is_our_own_count_where_704_does_not_tell() {
    let mut untold = Image::new(40_000, &[1, 103, 120, 121, 704]).unwrap();
    implement_704_without(&mut untold, "Rem");
    untold.set(121, "WMax_SF", 3.0).unwrap();
    untold.set(121, "WMax", 5e6).unwrap();
    let server = serve(&Arc::new(Mutex::new(untold))).await;
    let mut pv = start(quick(server.address()));
    pv.poll().await;
    assert_eq!(pv.value("controlled"), Value::Binary(false));
    let order = setpoint(ActivePower::Limit(1e6), 0.0, ActivePower::Limit(1e6));
    let done = pv.command("pv3/control", Action::Der(order)).await;
    assert_eq!(done, CommandStatus::Done);
    pv.poll().await;
    assert_eq!(pv.quality("lease_left"), Quality::SUBSTITUTED);
    assert_eq!(pv.value("controlled"), Value::Binary(true));
}
