//! Rules of reactive power, stores and windows.

use solver::market::{Kind, PPM, Storage, Window};

use super::*;

fn reactive(direction: Direction, steps: Vec<Step>) -> NewOrder {
    NewOrder {
        client_id: "q1".to_owned(),
        direction,
        steps,
        terms: Terms {
            kind: Kind::Reactive,
            ..Terms::default()
        },
        ..request()
    }
}

#[test]
fn reactive_power_has_rules_of_its_own_besides_active_power() {
    // Prices rise in both directions, and each has all of the unit's 1500 var.
    let absorb = reactive(Direction::Buy, vec![step(1000, 0), step(500, 30)]);
    let absorb = accepted(&absorb, &[accepted(&request(), &[])]);
    let inject = reactive(Direction::Sell, vec![step(1500, 10)]);
    accepted(
        &NewOrder {
            client_id: "q2".to_owned(),
            ..inject.clone()
        },
        std::slice::from_ref(&absorb),
    );
    accepted(&request(), std::slice::from_ref(&absorb));
    let must = NewOrder {
        terms: Terms {
            must: true,
            ..inject.terms.clone()
        },
        ..inject.clone()
    };
    let with_bert = NewOrder {
        terms: Terms {
            counterparty: Some("bert".to_owned()),
            ..inject.terms.clone()
        },
        ..inject.clone()
    };
    let second = reactive(Direction::Buy, vec![step(1, 50)]);
    let falls = reactive(Direction::Buy, vec![step(1, 2), step(1, 1)]);
    let pays = reactive(Direction::Sell, vec![step(1, -1)]);
    let nothing = reactive(Direction::Sell, vec![step(0, 1)]);
    for (order, rule, message, way_out) in [
        (must, "kind", "only an order for energy", "without `must`"),
        (with_bert, "kind", "counterparty", "one for energy"),
        (
            second,
            "capability",
            "1 var and the 1500 var",
            "at most 0 var",
        ),
        (falls, "monotone", "from 2 to 1", "rise"),
        (pays, "price_bounds", "-1 per Mvarh", "0 to 3000 per Mvarh"),
        (nothing, "quantity", "0 var", "at least 1 var"),
    ] {
        let order = NewOrder {
            client_id: "q3".to_owned(),
            ..order
        };
        let rejection = decide(&order, std::slice::from_ref(&absorb), NOW_US).unwrap_err();
        assert_eq!(rejection.rule, rule, "{rejection}");
        assert!(rejection.message.contains(message), "{rejection}");
        assert!(rejection.accepted.contains(way_out), "{rejection}");
    }
    // At a higher price it keeps its place in time, whichever way it goes.
    let dearer = NewOrder {
        steps: vec![step(1000, 5), step(500, 30)],
        ..reactive(Direction::Buy, Vec::new())
    };
    assert_eq!(amend(&dearer, &absorb).unwrap().id, absorb.id);
    let cheaper = NewOrder {
        steps: vec![step(1000, 0), step(500, 20)],
        ..dearer
    };
    assert_eq!(amend(&cheaper, &absorb).unwrap().id, OrderId(8));
}

fn of_kind(kind: Kind, steps: Vec<Step>) -> NewOrder {
    NewOrder {
        client_id: "k1".to_owned(),
        steps,
        terms: Terms {
            kind,
            ..Terms::default()
        },
        ..request()
    }
}

const STORE: Storage = Storage {
    energy_wh: 0,
    energy_min_wh: 0,
    energy_max_wh: 1000,
    charge_ppm: 950_000,
    discharge_ppm: 950_000,
    wear: Price(0),
    end_value: Price(0),
};

/// Until the end of the last interval that is open.
const WINDOW: Window = Window {
    end: 1_800_000_070,
    energy_wh: 5,
};

#[test]
fn stores_and_windows_say_what_makes_sense() {
    let store = |change: &dyn Fn(&mut Storage)| {
        let mut of = STORE;
        change(&mut of);
        of_kind(Kind::Storage(of), Vec::new())
    };
    let window = |end, energy_wh| {
        let of = Window { end, energy_wh };
        of_kind(Kind::Window(of), vec![step(1000, 20)])
    };
    accepted(&store(&|_| ()), &[]);
    accepted(&window(WINDOW.end, 1), &[]);
    accepted(&window(1_800_000_020, 1), &[]);
    let asked = NewOrder {
        direction: Direction::Buy,
        ..store(&|_| ())
    };
    let berts = NewOrder {
        participant: "bert".to_owned(),
        unit: Some(3),
        ..store(&|_| ())
    };
    let curved = NewOrder {
        steps: vec![step(1, 1)],
        ..store(&|_| ())
    };
    let stepped = NewOrder {
        steps: vec![step(1, 1), step(1, 2)],
        ..window(WINDOW.end, 1)
    };
    for (order, rule, message, way_out) in [
        (asked, "kind", "not asked for", "direction sell"),
        (berts, "kind", "unit 3 is no store", "deliver and take"),
        (
            store(&|of| of.charge_ppm = 0),
            "kind",
            "charge efficiency is 0",
            "1 to 1000000",
        ),
        (
            store(&|of| of.discharge_ppm = PPM + 1),
            "kind",
            "discharge efficiency",
            "1 to 1000000",
        ),
        (
            store(&|of| of.energy_max_wh = 0),
            "kind",
            "0 Wh and 0 Wh",
            "above it",
        ),
        (
            store(&|of| of.energy_min_wh = -1),
            "kind",
            "-1 Wh",
            "at least 0 Wh",
        ),
        (
            store(&|of| of.wear = Price(-1)),
            "kind",
            "wear is -0.000001",
            "wear from 0",
        ),
        (
            store(&|of| of.end_value = Price(3_000_000_001)),
            "kind",
            "3000.000001",
            "to 3000",
        ),
        (curved, "step_count", "1 steps", "no steps"),
        (window(WINDOW.end, 0), "kind", "0 Wh", "at least 1 Wh"),
        (
            window(1_800_000_010, 1),
            "kind",
            "08:00:10Z",
            "after 2027-01-15T08:00:10Z",
        ),
        (window(1_800_000_025, 1), "kind", "08:00:25Z", "steps of 10"),
        (
            window(1_800_000_080, 1),
            "kind",
            "08:01:20Z",
            "not after 2027-01-15T08:01:10Z",
        ),
        (window(i64::MAX, 1), "kind", "ends at", "not after"),
        (stepped, "step_count", "2 steps", "1 step"),
    ] {
        let rejection = decide(&order, &[], NOW_US).unwrap_err();
        assert_eq!(rejection.rule, rule, "{rejection}");
        assert!(rejection.message.contains(message), "{rejection}");
        assert!(rejection.accepted.contains(way_out), "{rejection}");
    }
}

/// A unit is scheduled over several intervals or ordered for interval by interval, not both.
#[test]
fn what_is_scheduled_stands_alone() {
    let plain = |interval| NewOrder {
        client_id: "p".to_owned(),
        interval,
        ..request()
    };
    let store = |interval| NewOrder {
        interval,
        ..of_kind(Kind::Storage(STORE), Vec::new())
    };
    let window = |interval, end| NewOrder {
        interval,
        ..of_kind(Kind::Window(Window { end, ..WINDOW }), vec![step(1000, 20)])
    };
    let at = |s: i64| 1_800_000_000 + s;
    for (stands, comes, alone) in [
        (plain(at(20)), store(at(20)), false),
        (plain(at(20)), store(at(10)), true),
        (store(at(20)), plain(at(20)), false),
        (store(at(10)), plain(at(20)), true),
        (plain(at(30)), window(at(20), at(40)), false),
        (plain(at(40)), window(at(20), at(40)), true),
        (plain(at(10)), window(at(20), at(40)), true),
        (window(at(20), at(40)), plain(at(30)), false),
        (window(at(20), at(40)), store(at(40)), true),
        (window(at(20), at(40)), window(at(30), at(50)), false),
        (plain(at(20)), plain(at(20)), true),
    ] {
        let standing = accepted(&stands, &[]);
        let comes = NewOrder {
            client_id: "new".to_owned(),
            steps: comes
                .steps
                .iter()
                .map(|of| Step {
                    quantity_w: 1,
                    ..*of
                })
                .collect(),
            ..comes
        };
        let rule = decide(&comes, &[standing], NOW_US).err().map(|no| no.rule);
        let expected = (!alone).then(|| "alone".to_owned());
        assert_eq!(rule, expected, "{stands:?} {comes:?}");
    }
}
