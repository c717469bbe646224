//! From award to setpoint, who may command, and whether the device obeys.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

use proptest::prelude::*;
use solver::{
    dispatch::{
        ActivePower, Authority, Clamp, Control, DispatchError, Fallback, Power, Quantity, Reading,
        Request, Setpoint, Tolerance, UnitControl, Way, arbitrate, setpoint, shares,
        verify_readback, verify_response,
    },
    market::{Capability, Product, clearing::Award},
};

const PRODUCT: Product = Product {
    length_s: 10,
    gate_lead_s: 3,
    publish_lead_s: 1,
    settle_delay_s: 2,
    horizon: 6,
};

const START: i64 = 1_800_000_000;
const START_US: i64 = START * 1_000_000;

/// A 5 kVA battery.
fn battery() -> UnitControl {
    UnitControl {
        unit: 7,
        capability: Capability {
            p_min_w: -4000.0,
            p_max_w: 4000.0,
            q_max_var: 4500.0,
            s_max_va: Some(5000.0),
        },
        control: Control::Set,
        lease_s: 25.0,
        ramp_w_per_s: Some(500.0),
        fallback: Fallback {
            p: ActivePower::Set(0.0),
            q_var: 0.0,
        },
    }
}

fn award(p_w: f64, q_var: f64) -> Award {
    Award {
        unit: 7,
        p_w,
        q_var,
    }
}

fn dispatched(p_w: f64, q_var: f64) -> Setpoint {
    setpoint(&award(p_w, q_var), START, &PRODUCT, &battery(), START_US).unwrap()
}

#[test]
fn a_setpoint_carries_all_that_makes_it_safe() {
    let point = dispatched(-3000.0, 1000.0);
    assert_eq!(point.p, ActivePower::Set(-3000.0));
    assert_eq!(point.q_var, 1000.0);
    assert_eq!(point.expires_us, START_US + 10_000_000);
    assert_eq!((point.lease_s, point.ramp_w_per_s), (25.0, Some(500.0)));
    assert_eq!(point.fallback, battery().fallback);
    assert_eq!(point.clamped, []);
    let limited = UnitControl {
        control: Control::Limit,
        ..battery()
    };
    let point = setpoint(&award(3000.0, 0.0), START, &PRODUCT, &limited, START_US).unwrap();
    assert_eq!(point.p, ActivePower::Limit(3000.0));
}

#[test]
fn nameplate_cuts_active_power_first_and_reactive_power_beside_it() {
    let point = dispatched(9000.0, -4000.0);
    assert_eq!(point.p, ActivePower::Set(4000.0));
    assert_eq!(point.q_var, -3000.0); // 5, 4, 3
    assert_eq!(
        point.clamped,
        [
            Clamp {
                quantity: Quantity::P,
                from: 9000.0,
                to: 4000.0
            },
            Clamp {
                quantity: Quantity::Q,
                from: -4000.0,
                to: -3000.0
            },
        ]
    );
}

#[test]
fn what_must_not_be_dispatched_is_refused() {
    let at = |now_us| setpoint(&award(1.0, 0.0), START, &PRODUCT, &battery(), now_us);
    assert!(at(START_US + 9_999_999).is_ok());
    assert_eq!(
        at(START_US + 12_500_000),
        Err(DispatchError::Stale {
            unit: 7,
            interval: START,
            late_s: 2.5
        })
    );
    assert_eq!(
        at(START_US + 12_500_000).unwrap_err().to_string(),
        "award of unit 7 is stale: interval 2027-01-15T08:00:00Z ended 2.5 s ago"
    );
    assert!(matches!(
        at(START_US + 10_000_000),
        Err(DispatchError::Stale { .. })
    ));
    let with = |award: Award, control: UnitControl| {
        setpoint(&award, START, &PRODUCT, &control, START_US).unwrap_err()
    };
    let nan = with(award(f64::NAN, 0.0), battery());
    assert!(matches!(nan, DispatchError::NotFinite { .. }), "{nan}");
    let other = with(
        Award {
            unit: 8,
            ..award(0.0, 0.0)
        },
        battery(),
    );
    assert_eq!(
        other,
        DispatchError::OtherUnit {
            award: 8,
            control: 7
        }
    );
    for lease_s in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = with(
            award(0.0, 0.0),
            UnitControl {
                lease_s,
                ..battery()
            },
        );
        assert!(matches!(error, DispatchError::NoLease { .. }), "{error}");
    }
    for (ramp_w_per_s, p_w) in [(0.0, 0.0), (f64::NAN, 0.0), (500.0, f64::NAN)] {
        let control = UnitControl {
            ramp_w_per_s: Some(ramp_w_per_s),
            fallback: Fallback {
                p: ActivePower::Set(p_w),
                q_var: 0.0,
            },
            ..battery()
        };
        let error = with(award(0.0, 0.0), control);
        assert!(matches!(error, DispatchError::BadControl { .. }), "{error}");
    }
    let mut crossed = battery();
    crossed.capability.p_min_w = 5000.0;
    let error = with(award(0.0, 0.0), crossed);
    assert!(
        matches!(error, DispatchError::BadCapability { .. }),
        "{error}"
    );
}

#[test]
fn scada_outranks_operator_outranks_safety_outranks_market() {
    let request = |authority, p_w: f64, expires_us| Request {
        authority,
        setpoint: Setpoint {
            expires_us,
            ..dispatched(p_w, 0.0)
        },
    };
    let later = START_US + 1;
    let done = arbitrate(
        vec![
            request(Authority::Market, 1.0, later),
            request(Authority::Safety, 2.0, later),
            request(Authority::Scada, 3.0, START_US),
            request(Authority::Operator, 4.0, later),
            request(Authority::Operator, 5.0, later),
        ],
        START_US,
    );
    let watts = |request: &Request| request.setpoint.p.watts();
    // SCADA's has expired; of the operator's two the later one counts.
    assert_eq!(done.winner.as_ref().map(watts), Some(5.0));
    assert_eq!(
        done.losers.iter().map(watts).collect::<Vec<_>>(),
        [4.0, 2.0, 1.0]
    );
    assert_eq!(done.expired.iter().map(watts).collect::<Vec<_>>(), [3.0]);
    assert_eq!(arbitrate(Vec::new(), START_US).winner, None);
}

#[test]
fn read_back_and_response_are_compared_within_tolerance() {
    let tolerance = Tolerance {
        absolute: 50.0,
        relative: 0.02,
    };
    let point = dispatched(4000.0, 1000.0);
    let reading = |p: f64, q: f64| Reading {
        p_w: Some(p),
        q_var: Some(q),
    };
    assert_eq!(
        verify_readback(&point, &reading(3925.0, 1045.0), &tolerance),
        []
    );
    let off = verify_readback(&point, &reading(3915.0, f64::NAN), &tolerance);
    assert_eq!(off.len(), 2);
    assert_eq!(
        (off[0].quantity, off[0].asked, off[0].read),
        (Quantity::P, 4000.0, 3915.0)
    );
    assert_eq!(off[0].tolerance, 80.0);
    assert_eq!(off[1].quantity, Quantity::Q);
    assert_eq!(verify_readback(&point, &Reading::default(), &tolerance), []);
    // A limit is kept by delivering less, a set value is not.
    let limit = Setpoint {
        p: ActivePower::Limit(4000.0),
        ..point.clone()
    };
    let low = Reading {
        p_w: Some(100.0),
        q_var: None,
    };
    assert_eq!(verify_response(&limit, &low, &tolerance), []);
    assert_eq!(verify_response(&point, &low, &tolerance).len(), 1);
    let high = Reading {
        p_w: Some(4100.0),
        q_var: None,
    };
    assert_eq!(verify_response(&limit, &high, &tolerance).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_setpoint_is_past_a_rating(
        p_w in -1e9..1e9f64,
        q_var in -1e9..1e9f64,
        low in -1e6..0.0f64,
        high in 0.0..1e6f64,
        q_max_var in 0.0..1e6f64,
        s_max in 0.0..1e6f64,
    ) {
        let control = UnitControl {
            capability: Capability { p_min_w: low, p_max_w: high, q_max_var, s_max_va: Some(s_max) },
            ..battery()
        };
        let point = setpoint(&award(p_w, q_var), START, &PRODUCT, &control, START_US).unwrap();
        let p = point.p.watts();
        prop_assert!(p >= low && p <= high);
        prop_assert!(point.q_var.abs() <= q_max_var);
        prop_assert!(p.hypot(point.q_var) <= s_max * (1.0 + 1e-12));
    }
}

fn way(from: (f64, f64), to: (f64, f64), ramp_w_per_s: f64, q_lag_s: f64) -> Way {
    let power = |(p_w, q_var)| Power { p_w, q_var };
    Way {
        from: power(from),
        to: power(to),
        ramp_w_per_s,
        q_lag_s,
    }
}

#[test]
fn all_units_take_the_slowest_ones_time() {
    let ways = [
        way((0.0, 0.0), (1000.0, 0.0), 1000.0, 0.0),
        // 2400 W at 300 W/s: 8 s, downwards too
        way((1200.0, 500.0), (-1200.0, -300.0), 300.0, 0.0),
        way((5.0, 0.0), (f64::NAN, 0.0), 300.0, 0.0),
    ];
    assert_eq!(shares(&ways, 2.0, 60.0), [0.25, 0.5, 0.75, 1.0]);
    assert_eq!(shares(&ways, 2.0, 4.0), [0.5, 1.0]);
    // a feeder beyond its limits, and nobody to wait for
    assert_eq!(shares(&ways, 2.0, 0.0), [1.0]);
    assert_eq!(shares(&[], 2.0, 60.0), [1.0]);
}

#[test]
fn a_way_is_straight_and_ends_at_the_award() {
    let way = way((1200.0, 500.0), (-1200.0, -300.0), 300.0, 0.0);
    let told = |begin, end| {
        let Power { p_w, q_var } = way.told((begin, end), 1.0);
        (p_w, q_var)
    };
    assert_eq!(told(0.0, 0.25), (600.0, 300.0));
    assert_eq!(told(0.25, 0.75), (-600.0, -100.0));
    assert_eq!(told(0.75, 1.0), (-1200.0, -300.0));
}

/// A device of first order, simulated: its reactive power is on the straight line at every stage's
/// end, and what it is told never leaves what is between here and the award.
#[test]
fn reactive_power_that_lags_keeps_up() {
    let lagging = way((1200.0, 500.0), (-1200.0, -300.0), 480.0, 2.0);
    let quick = way((0.0, 0.0), (100.0, 100.0), 480.0, 0.5);
    let shares = shares(&[lagging, quick], 1.0, 60.0);
    // By hand: fifths while 5 s are what active power takes, then 1 - exp(-1/2) of what is left.
    for (share, hand) in shares.iter().zip([0.2, 0.4, 0.6, 0.757_388, 0.852_848]) {
        assert!((share - hand).abs() < 1e-6, "{share} {hand}");
    }
    for way in [lagging, quick] {
        let (mut q_var, mut begin) = (way.from.q_var, 0.0);
        for &end in &shares {
            let told = way.told((begin, end), 1.0);
            let (low, high) = (
                way.from.q_var.min(way.to.q_var),
                way.from.q_var.max(way.to.q_var),
            );
            assert!((low..=high).contains(&told.q_var), "{told:?}");
            q_var += (told.q_var - q_var) * (1.0 - (-1.0 / way.q_lag_s).exp());
            let line = way.from.q_var + end * (way.to.q_var - way.from.q_var);
            let off = (q_var - line).abs() / (high - low);
            // The last stage is cut short: a twentieth is close enough.
            assert!(off < if end < 1.0 { 1e-9 } else { 0.05 }, "{off} at {end}");
            begin = end;
        }
    }
}
