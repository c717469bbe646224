//! Rules of calls.

use solver::market::{Call, Kind};

use super::*;

const INTERVAL: i64 = 1_800_000_010;

fn call(bounds: (Option<i64>, Option<i64>)) -> NewOrder {
    of(Call {
        p_min_w: bounds.0,
        p_max_w: bounds.1,
        compensation: Price(80_000_000),
        end: None,
    })
}

fn of(call: Call) -> NewOrder {
    NewOrder {
        client_id: "c1".to_owned(),
        participant: DSO.to_owned(),
        steps: Vec::new(),
        terms: Terms {
            kind: Kind::Call(call),
            ..Terms::default()
        },
        ..request()
    }
}

fn call_in(order: &NewOrder) -> Call {
    match order.terms.kind {
        Kind::Call(call) => call,
        _ => panic!("{order:?}"),
    }
}

#[test]
fn whoever_runs_the_network_calls_anybodys_unit_beside_its_orders() {
    let own = accepted(&request(), &[]);
    for (bounds, unit, node) in [
        ((None, Some(500)), 2, 11),
        ((Some(-3000), None), 2, 11),
        ((Some(-1000), Some(-1000)), 3, 11),
        ((Some(0), Some(5000)), 1, 10),
    ] {
        let order = NewOrder {
            unit: Some(unit),
            node,
            ..call(bounds)
        };
        let called = accepted(&order, std::slice::from_ref(&own));
        assert_eq!((called.unit, &*called.participant), (unit, DSO));
    }
    // And the unit is ordered for beside it: nothing of the call counts as ordered.
    let called = accepted(&call((None, Some(500))), &[]);
    accepted(&request(), std::slice::from_ref(&called));
    // Sent again it is the same one, also once it was cancelled.
    let again = decide(
        &call((None, Some(500))),
        std::slice::from_ref(&called),
        NOW_US,
    );
    assert_eq!(again, Ok(Accepted::Repeated(called.clone())));
    let other = decide(
        &call((None, Some(501))),
        std::slice::from_ref(&called),
        NOW_US,
    );
    assert_eq!(other.unwrap_err().rule, "duplicate");
}

#[test]
fn a_call_is_refused_by_a_rule_that_says_what_would_be_accepted() {
    let cap = || call((None, Some(500)));
    let by = |participant: &str| NewOrder {
        participant: participant.to_owned(),
        ..cap()
    };
    let at = |unit, node| NewOrder {
        unit,
        node,
        ..cap()
    };
    let until = |end| {
        of(Call {
            end: Some(end),
            ..call_in(&cap())
        })
    };
    let paid = |compensation| {
        of(Call {
            compensation: Price(compensation),
            ..call_in(&cap())
        })
    };
    let steps = NewOrder {
        steps: vec![step(1, 1)],
        ..cap()
    };
    let buys = NewOrder {
        direction: Direction::Buy,
        ..cap()
    };
    let must = NewOrder {
        terms: Terms {
            must: true,
            ..cap().terms
        },
        ..cap()
    };
    for (order, rule, message, way_out) in [
        (
            by("anna"),
            "caller",
            "does not run the network",
            "role is dso: grid",
        ),
        (by("nobody"), "caller", "does not run", "grid"),
        (at(Some(9), 11), "unit", "unit 9 is not registered", "2, 3"),
        (at(Some(1), 11), "unit", "at node 10, not 11", "2, 3"),
        (at(None, 11), "unit", "has to name its unit", "2, 3"),
        (
            at(Some(4), 10),
            "dispatchable",
            "takes no setpoints",
            "dispatchable",
        ),
        (call((None, None)), "kind", "bounds nothing", "least power"),
        (
            call((Some(2), Some(1))),
            "kind",
            "at least 2 W and at most 1 W",
            "not above",
        ),
        (buys, "kind", "both directions", "direction sell"),
        (must, "kind", "only an order for energy", "without `must`"),
        (
            until(INTERVAL),
            "kind",
            "the call ends at",
            "the end of an interval",
        ),
        (
            until(INTERVAL + 1000),
            "kind",
            "the call ends at",
            "not after",
        ),
        (steps, "step_count", "1 steps", "no steps"),
        (
            paid(-1),
            "price_bounds",
            "compensation is -0.000001",
            "from 0 to 3000",
        ),
        (
            paid(3_000_000_001),
            "price_bounds",
            "3000.000001",
            "from 0 to 3000",
        ),
        (
            call((None, Some(3001))),
            "capability",
            "3001 W is beyond",
            "-3000 W to 3000 W",
        ),
        (
            call((Some(-3001), None)),
            "capability",
            "-3001 W is beyond",
            "-3000 W to 3000 W",
        ),
    ] {
        let rejection = decide(&order, &[], NOW_US).unwrap_err();
        assert_eq!(rejection.rule, rule, "{rejection}");
        assert!(rejection.message.contains(message), "{rejection}");
        assert!(rejection.accepted.contains(way_out), "{rejection}");
    }
    let late = decide(&cap(), &[], (INTERVAL - 3) * 1_000_000).unwrap_err();
    assert_eq!(late.rule, "late", "{late}");
}

#[test]
fn a_unit_follows_one_call_at_a_time() {
    let long = of(Call {
        end: Some(INTERVAL + 30),
        ..call_in(&call((None, Some(500))))
    });
    let standing = [accepted(&long, &[])];
    let second = |interval| NewOrder {
        client_id: "c2".to_owned(),
        interval,
        ..call((Some(100), None))
    };
    for interval in [INTERVAL, INTERVAL + 20] {
        let refused = decide(&second(interval), &standing, NOW_US).unwrap_err();
        assert_eq!(refused.rule, "alone", "{refused}");
        assert!(refused.accepted.contains("cancelled first"), "{refused}");
    }
    accepted(&second(INTERVAL + 30), &standing);
    let other = NewOrder {
        unit: Some(3),
        ..call((Some(-100), None))
    };
    let other = NewOrder {
        client_id: "c3".to_owned(),
        ..other
    };
    accepted(&other, &standing);
    // A call amended is another one in its place.
    let harder = of(Call {
        p_max_w: Some(400),
        ..call_in(&long)
    });
    assert_eq!(amend(&harder, &standing[0]).unwrap().id, OrderId(8));
    // Calls take no place among the owner's orders, of which there may be three.
    let calls: Vec<Order> = (1..=3)
        .map(|k| Order {
            id: OrderId(k),
            client_id: format!("x{k}"),
            ..standing[0].clone()
        })
        .collect();
    assert!(decide_beside(&request(), &[], &calls, NOW_US).is_ok());
    let fourth = decide_beside(&call((None, Some(1))), &[], &calls, NOW_US);
    assert_eq!(fourth.unwrap_err().rule, "order_count");
}
