//! Devices by injected time. 100 kW PV: q 48.4 kvar, s 112 kVA, 20 kW/s.

use super::*;

const PLATE: Nameplate = Nameplate {
    p_w: 100e3,
    q_var: 48.4e3,
    s_va: 112e3,
    ramp_w_per_s: 20e3,
};

fn pv() -> Der {
    Der::new(PLATE, None, 100e3)
}

fn battery(soc: f64) -> Der {
    let storage = Storage {
        energy_wh: 200e3,
        soc,
        efficiency: 0.97,
        autonomous_w: -100e3,
    };
    Der::new(PLATE, Some(storage), -100e3)
}

fn on(value: f64) -> Setting {
    Setting {
        enabled: true,
        value,
        ..Setting::default()
    }
}

/// Steps of 0.25 s from `from_s` to `to_s`.
fn run(der: &mut Der, from_s: f64, to_s: f64, resource_w: f64) {
    let steps = ((to_s - from_s) / 0.25).round() as u32;
    for k in 1..=steps {
        let now = from_s + f64::from(k) * 0.25;
        der.expire(now);
        der.step(now, 0.25, resource_w, 1.0);
    }
}

#[test]
fn uncontrolled_it_delivers_what_the_sun_gives_and_never_more_than_its_nameplate() {
    let mut der = pv();
    run(&mut der, 0.0, 10.0, 60e3);
    assert_eq!((der.p_w(), der.q_var()), (60e3, 0.0));
    run(&mut der, 10.0, 30.0, 500e3);
    assert_eq!(der.p_w(), 100e3);
}

#[test]
fn it_obeys_a_limit_with_its_ramp_and_reverts_at_the_lease_end() {
    let mut der = pv();
    let lease = Setting {
        timeout_s: 15.0,
        revert_enabled: true,
        revert_value: 60e3,
        ..on(40e3)
    };
    der.write(FunctionId::Limit704, lease, 0.0);
    run(&mut der, 0.0, 2.0, 100e3);
    assert_eq!(der.p_w(), 60e3, "20 kW/s downwards");
    run(&mut der, 2.0, 14.75, 100e3);
    assert_eq!(der.p_w(), 40e3);
    assert_eq!(der.effective(14.75).lease_left_s, Some(0.25));
    assert_eq!(der.expire(15.0), [FunctionId::Limit704]);
    assert_eq!(der.effective(15.0).limit_w, Some(60e3));
    assert_eq!(der.effective(15.0).lease_left_s, None);
    run(&mut der, 15.0, 16.0, 100e3);
    assert_eq!(der.p_w(), 60e3);
}

#[test]
fn wrmp_slows_increases_only() {
    let mut der = pv();
    der.ramp_up_w_per_s = Some(5e3);
    der.write(FunctionId::Limit704, on(50e3), 0.0);
    run(&mut der, 0.0, 2.5, 100e3);
    assert_eq!(der.p_w(), 50e3, "down at the device's own 20 kW/s");
    der.write(FunctionId::Limit704, on(90e3), 2.5);
    run(&mut der, 2.5, 6.5, 100e3);
    assert_eq!(der.p_w(), 70e3, "up at 5 kW/s");
    der.ramp_up_w_per_s = Some(100e3);
    run(&mut der, 6.5, 7.0, 100e3);
    assert_eq!(der.p_w(), 80e3, "never faster than its own 20 kW/s");
}

#[test]
fn model_123_reverts_to_no_limit_and_704_to_its_reversion_value() {
    let mut der = pv();
    let basic = Setting {
        timeout_s: 10.0,
        ..on(30e3)
    };
    der.write(FunctionId::Limit123, basic, 0.0);
    let full = Setting {
        timeout_s: 20.0,
        revert_enabled: true,
        revert_value: 80e3,
        ..on(50e3)
    };
    der.write(FunctionId::Limit704, full, 0.0);
    assert_eq!(
        der.effective(0.0).limit_w,
        Some(30e3),
        "the lower one holds"
    );
    assert_eq!(der.expire(10.0), [FunctionId::Limit123]);
    assert_eq!(der.effective(10.0).limit_w, Some(50e3));
    assert_eq!(der.expire(20.0), [FunctionId::Limit704]);
    assert_eq!(der.effective(20.0).limit_w, Some(80e3));
}

#[test]
fn a_set_point_holds_a_generator_below_what_the_sun_gives() {
    let mut der = pv();
    der.write(FunctionId::Set704, on(25e3), 0.0);
    run(&mut der, 0.0, 10.0, 100e3);
    assert_eq!(der.p_w(), 25e3);
    run(&mut der, 10.0, 20.0, 10e3);
    assert_eq!(der.p_w(), 10e3, "it cannot deliver what is not there");
}

#[test]
fn reactive_power_follows_with_a_lag_and_arrives() {
    let mut der = pv();
    der.write(FunctionId::Var704, on(-40e3), 0.0);
    run(&mut der, 0.0, 2.0, 100e3);
    // 1 - 1/e of the way after one time constant, 95 % after three.
    assert!(
        (der.q_var() + 0.632_12 * 40e3).abs() < 1.0,
        "{}",
        der.q_var()
    );
    run(&mut der, 2.0, 6.0, 100e3);
    assert!(
        (der.q_var() + 0.950_21 * 40e3).abs() < 1.0,
        "{}",
        der.q_var()
    );
    run(&mut der, 6.0, 20.0, 100e3);
    assert_eq!(der.q_var(), -40e3);
}

#[test]
fn reactive_power_keeps_to_box_and_circle_with_the_stated_priority() {
    let mut der = pv();
    der.nameplate.s_va = 105e3;
    der.write(FunctionId::Var704, on(-60e3), 0.0);
    run(&mut der, 0.0, 20.0, 100e3);
    let rest = (105e3f64.powi(2) - 100e3f64.powi(2)).sqrt();
    assert!((der.q_var() + rest).abs() < 1e-6, "q gives way to p");
    der.reactive_priority = true;
    run(&mut der, 20.0, 40.0, 100e3);
    assert_eq!(der.q_var(), -48.4e3, "the box");
    assert!(
        (der.p_w().hypot(der.q_var()) - 105e3).abs() < 1e-6,
        "p gives way to q"
    );
}

#[test]
fn a_power_factor_follows_the_active_power() {
    let mut der = pv();
    der.write(FunctionId::PowerFactor123, on(-0.95), 0.0);
    run(&mut der, 0.0, 30.0, 80e3);
    // tan(acos 0.95) = 0.328684
    assert!(
        (der.q_var() + 80e3 * 0.328_684_1).abs() < 0.1,
        "{}",
        der.q_var()
    );
}

#[test]
fn disconnected_it_delivers_nothing() {
    let mut der = pv();
    der.write(FunctionId::Var704, on(10e3), 0.0);
    der.write(FunctionId::Connect123, on(0.0), 0.0);
    run(&mut der, 0.0, 1.0, 100e3);
    assert_eq!((der.p_w(), der.q_var()), (0.0, 0.0));
}

#[test]
fn a_battery_by_itself_charges_until_it_is_full() {
    let mut der = battery(0.6);
    // 80 kWh missing, 97 kW go in: 49 min 29 s.
    run(&mut der, 0.0, 40.0 * 60.0, 0.0);
    assert_eq!(der.p_w(), -100e3);
    run(&mut der, 2400.0, 3600.0, 0.0);
    let soc = der.storage.expect("a battery").soc;
    assert!((soc - 1.0).abs() < 1e-9, "{soc}");
    assert_eq!(der.p_w(), 0.0);
}

#[test]
fn a_battery_discharges_on_a_set_point_and_stops_when_empty() {
    let mut der = battery(0.02);
    der.write(FunctionId::Set704, on(90e3), 0.0);
    run(&mut der, 0.0, 20.0, 0.0);
    assert_eq!(der.p_w(), 90e3, "from charging, at 20 kW/s");
    run(&mut der, 20.0, 600.0, 0.0);
    let soc = der.storage.expect("a battery").soc;
    assert!((0.0..1e-9).contains(&soc), "{soc}");
    assert!(der.p_w().abs() < 1e-3);
    assert!(der.available_w() < 1e-3);
}

#[test]
fn model_124_holds_a_battery_between_its_two_rates() {
    let mut der = battery(0.5);
    der.write(FunctionId::Charge124, on(30e3), 0.0);
    run(&mut der, 0.0, 10.0, 0.0);
    assert_eq!(der.p_w(), -30e3);
    // Charging at most -20 kW and discharging at most 20 kW is a discharge of 20 kW.
    der.write(FunctionId::Charge124, on(-20e3), 10.0);
    der.write(FunctionId::Discharge124, on(20e3), 10.0);
    run(&mut der, 10.0, 20.0, 0.0);
    assert_eq!(der.p_w(), 20e3);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn never_past_the_nameplate_nor_the_battery(
            orders in prop::collection::vec((0usize..10, -3e5..3e5f64, 0.0..20.0f64), 1..30),
            soc in 0.0..=1.0f64,
        ) {
            for mut der in [pv(), battery(soc)] {
                for (k, &(id, value, timeout_s)) in orders.iter().enumerate() {
                    let now = k as f64 * 7.0;
                    let setting = Setting { timeout_s, ..on(value) };
                    der.write(FunctionId::ALL[id], setting, now);
                    run(&mut der, now, now + 7.0, 120e3);
                    prop_assert!(der.p_w().abs() <= PLATE.p_w);
                    prop_assert!(der.q_var().abs() <= PLATE.q_var);
                    prop_assert!(der.p_w().hypot(der.q_var()) <= PLATE.s_va * (1.0 + 1e-12));
                    prop_assert!(der.storage.is_some() || der.p_w() >= 0.0);
                    let soc = der.storage.map_or(0.5, |s| s.soc);
                    prop_assert!((0.0..=1.0).contains(&soc));
                }
            }
        }
    }
}
