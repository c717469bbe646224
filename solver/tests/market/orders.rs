//! Which orders are accepted.

mod calls;
mod kinds;

use solver::market::{
    Accepted, Bounds, Capability, Direction, NewOrder, Order, OrderId, Price, Product, Registry,
    Rejection, Step, Terms, Unit,
    rules::{self, Context},
};

const NOW_US: i64 = 1_800_000_001 * 1_000_000;

const PRODUCT: Product = Product {
    length_s: 10,
    gate_lead_s: 3,
    publish_lead_s: 1,
    settle_delay_s: 2,
    horizon: 6,
};

const BOUNDS: Bounds = Bounds {
    price_min: Price(-500_000_000),
    price_max: Price(3_000_000_000),
    max_steps: 4,
    max_orders: 3,
};

fn registry() -> Registry {
    let unit = |id, participant: &str, node, low: f64, high: f64| Unit {
        id,
        participant: participant.to_owned(),
        node,
        capability: Capability {
            p_min_w: low,
            p_max_w: high,
            q_max_var: 1500.0,
            s_max_va: None,
        },
        dispatchable: id != 4,
    };
    let mut registry = Registry::new(
        [10, 11],
        [
            unit(1, "anna", 10, 0.0, 5000.0),
            unit(2, "anna", 11, -3000.0, 3000.0),
            unit(3, "bert", 11, -2000.0, 0.0),
            unit(4, "bert", 10, -2000.0, 0.0),
            unit(5, "cora", 10, 0.0, 100.0),
            unit(6, "cora", 10, 0.0, 100.0),
        ],
    );
    registry.callers.insert(DSO.to_owned());
    registry
}

/// Who runs the network.
const DSO: &str = "grid";

fn request() -> NewOrder {
    NewOrder {
        client_id: "a1".to_owned(),
        participant: "anna".to_owned(),
        node: 11,
        unit: Some(2),
        interval: 1_800_000_010,
        direction: Direction::Sell,
        steps: vec![step(1000, 20), step(1000, 30)],
        terms: Terms::default(),
    }
}

fn step(quantity_w: i64, price: i64) -> Step {
    Step {
        quantity_w,
        price: Price(price * 1_000_000),
    }
}

fn decide(request: &NewOrder, standing: &[Order], now_us: i64) -> Result<Accepted, Rejection> {
    decide_beside(request, standing, &[], now_us)
}

fn decide_beside(
    request: &NewOrder,
    standing: &[Order],
    cancelled: &[Order],
    now_us: i64,
) -> Result<Accepted, Rejection> {
    let registry = registry();
    let standing: Vec<&Order> = standing.iter().collect();
    let cancelled: Vec<&Order> = cancelled.iter().collect();
    let context = Context {
        registry: &registry,
        product: &PRODUCT,
        bounds: &BOUNDS,
        standing: &standing,
        cancelled: &cancelled,
        now_us,
        next_id: OrderId(7),
    };
    rules::accept(request, &context)
}

fn amend(new: &NewOrder, old: &Order) -> Result<Order, Rejection> {
    let registry = registry();
    let context = Context {
        registry: &registry,
        product: &PRODUCT,
        bounds: &BOUNDS,
        standing: &[old],
        cancelled: &[],
        now_us: NOW_US,
        next_id: OrderId(8),
    };
    rules::amend(new, old, &context)
}

fn accepted(request: &NewOrder, standing: &[Order]) -> Order {
    match decide(request, standing, NOW_US) {
        Ok(Accepted::New(order)) => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_order_gets_its_id() {
    let order = accepted(&request(), &[]);
    assert_eq!((order.id, order.unit), (OrderId(7), 2));
    // The only unit of its owner at the node need not be named.
    let order = accepted(
        &NewOrder {
            unit: None,
            ..request()
        },
        &[],
    );
    assert_eq!(order.unit, 2);
}

#[test]
fn every_rule_refuses_with_its_name_and_a_way_out() {
    type Change = fn(&mut NewOrder);
    let cases: &[(&str, &str, &str, Change)] = &[
        ("client_id", "0 bytes", "1 to 64", |o| o.client_id.clear()),
        ("client_id", "65 bytes", "1 to 64", |o| {
            o.client_id = "x".repeat(65)
        }),
        ("client_id", "other than printable", "1 to 64", |o| {
            o.client_id = "a\nb".to_owned()
        }),
        ("node", "node 12", "10, 11", |o| o.node = 12),
        ("unit", "unit 99 is not registered", "11: 2", |o| {
            o.unit = Some(99)
        }),
        ("unit", "not registered to \"anna\"", "11: 2", |o| {
            o.unit = Some(3)
        }),
        ("unit", "at node 10, not 11", "11: 2", |o| o.unit = Some(1)),
        ("unit", "has 2 at node 10", "10: 5, 6", |o| {
            (o.participant, o.node, o.unit) = ("cora".to_owned(), 10, None);
        }),
        ("unit", "has 0 at node 11", "has a unit: 10", |o| {
            (o.participant, o.unit) = ("cora".to_owned(), None);
        }),
        (
            "dispatchable",
            "unit 4 takes no setpoints",
            "dispatchable",
            |o| {
                (o.participant, o.node, o.unit) = ("bert".to_owned(), 10, Some(4));
            },
        ),
        (
            "interval_aligned",
            "10 s long",
            "from 2027-01-15T08:00:10Z to 2027-01-15T08:01:00Z, in steps of 10 s",
            |o| o.interval += 5,
        ),
        (
            "late",
            "the gate of interval 2027-01-15T08:00:00Z closed at 2027-01-15T07:59:57Z, 4.0 s ago",
            "from 2027-01-15T08:00:10Z",
            |o| o.interval -= 10,
        ),
        (
            "late",
            "2020-01-01T00:00:00Z closed at 2019-12-31T23:59:57Z, 2571 days ago",
            "from",
            |o| o.interval = 1_577_836_800,
        ),
        // before any calendar
        ("late", "days ago", "from", |o| o.interval = i64::MIN + 8),
        ("horizon", "too far ahead", "to 2027-01-15T08:01:00Z", |o| {
            o.interval += 60
        }),
        ("horizon", "too far ahead", "to 2027-01-15T08:01:00Z", |o| {
            o.interval = i64::MAX - 7
        }),
        ("step_count", "0 steps", "1 to 4", |o| o.steps.clear()),
        ("step_count", "5 steps", "1 to 4", |o| {
            o.steps = vec![step(1, 1); 5]
        }),
        ("quantity", "step 1 is 0 W", "at least 1 W", |o| {
            o.steps[1].quantity_w = 0
        }),
        ("quantity", "step 0 is -5 W", "at least 1 W", |o| {
            o.steps[0].quantity_w = -5
        }),
        ("price_bounds", "step 1 is 3001", "-500 to 3000", |o| {
            o.steps[1] = step(1, 3001)
        }),
        ("price_bounds", "step 0 is -501", "-500 to 3000", |o| {
            o.steps[0] = step(1, -501)
        }),
        ("monotone", "from 40 to 30", "rise", |o| {
            o.steps[0] = step(1, 40)
        }),
        ("monotone", "from 20 to 30", "fall", |o| {
            o.direction = Direction::Buy
        }),
        ("capability", "4000 W and the 0 W", "at most 3000 W", |o| {
            o.steps[0].quantity_w = 3000
        }),
        ("capability", "can deliver", "at most 3000 W", |o| {
            o.steps = vec![step(i64::MAX, 1), step(i64::MAX, 1)];
        }),
    ];
    for (rule, message, way_out, change) in cases {
        let mut order = request();
        change(&mut order);
        let rejection = decide(&order, &[], NOW_US).unwrap_err();
        assert_eq!(rejection.rule, *rule, "{rejection}");
        assert!(rejection.message.contains(message), "{rule}: {rejection}");
        assert!(rejection.accepted.contains(way_out), "{rule}: {rejection}");
        assert!(rules::names().any(|name| name == *rule));
    }
}

#[test]
fn what_stands_counts_towards_the_capability() {
    let first = accepted(&request(), &[]);
    let mut second = NewOrder {
        client_id: "a2".to_owned(),
        ..request()
    };
    let rejection = decide(&second, std::slice::from_ref(&first), NOW_US).unwrap_err();
    assert_eq!(rejection.rule, "capability");
    assert!(rejection.accepted.contains("at most 1000 W"), "{rejection}");
    second.interval += 10;
    accepted(&second, std::slice::from_ref(&first));
}

#[test]
fn nobody_sells_to_himself_at_a_gain() {
    let sale = accepted(&request(), &[]);
    let mut purchase = NewOrder {
        client_id: "a2".to_owned(),
        direction: Direction::Buy,
        steps: vec![step(1000, 21)],
        ..request()
    };
    let rejection = decide(&purchase, std::slice::from_ref(&sale), NOW_US).unwrap_err();
    assert_eq!(rejection.rule, "self_crossing");
    assert!(
        rejection.accepted.contains("at most 20 per MWh"),
        "{rejection}"
    );
    purchase.steps = vec![step(1000, 20)];
    accepted(&purchase, &[sale]);
}

#[test]
fn the_same_client_id_is_the_same_order() {
    let standing = [accepted(&request(), &[])];
    assert_eq!(
        decide(&request(), &standing, NOW_US),
        Ok(Accepted::Repeated(standing[0].clone()))
    );
    // also when the unit is left out, and when the gate has closed since
    let again = NewOrder {
        unit: None,
        ..request()
    };
    let later = NOW_US + 3_600_000_000;
    assert_eq!(
        decide(&again, &standing, later),
        Ok(Accepted::Repeated(standing[0].clone()))
    );
    let other = NewOrder {
        steps: vec![step(1, 1)],
        ..request()
    };
    let rejection = decide(&other, &standing, NOW_US).unwrap_err();
    assert_eq!(rejection.rule, "duplicate");
    // Another participant's ids are its own.
    let stranger = NewOrder {
        participant: "bert".to_owned(),
        unit: Some(3),
        direction: Direction::Buy,
        steps: vec![step(1000, 20)],
        ..request()
    };
    accepted(&stranger, &standing);
}

#[test]
fn a_cancelled_order_keeps_its_client_id_and_nothing_else() {
    let whole = NewOrder {
        steps: vec![step(3000, 20)],
        ..request()
    };
    let cancelled = [accepted(&whole, &[])];
    let again = decide_beside(&whole, &[], &cancelled, NOW_US);
    assert_eq!(again, Ok(Accepted::Repeated(cancelled[0].clone())));
    let other = decide_beside(&request(), &[], &cancelled, NOW_US);
    assert_eq!(other.unwrap_err().rule, "duplicate");
    // Its power is free again.
    let instead = NewOrder {
        client_id: "instead".to_owned(),
        ..whole.clone()
    };
    assert!(matches!(
        decide_beside(&instead, &[], &cancelled, NOW_US),
        Ok(Accepted::New(_))
    ));
    let beside = decide(&instead, &cancelled, NOW_US).unwrap_err();
    assert_eq!(beside.rule, "capability");
}

#[test]
fn a_unit_has_so_many_orders_for_an_interval() {
    let order = |k: u64, interval| {
        let request = NewOrder {
            client_id: format!("c{k}"),
            interval,
            steps: vec![step(1, 20)],
            ..request()
        };
        accepted(&request, &[])
    };
    let of = request().interval;
    let standing = [order(1, of), order(2, of), order(3, of + 10)];
    let cancelled = [order(4, of)];
    let one_more = NewOrder {
        client_id: "one-more".to_owned(),
        steps: vec![step(1, 20)],
        ..request()
    };
    accepted(&one_more, &standing);
    let rejection = decide_beside(&one_more, &standing, &cancelled, NOW_US).unwrap_err();
    assert_eq!(rejection.rule, "order_count");
    assert!(rejection.accepted.contains("at most 3"), "{rejection}");
}

#[test]
fn an_amended_order_keeps_its_place_only_where_it_asks_for_no_more() {
    let old = accepted(&request(), &[]);
    let amended = |change: &dyn Fn(&mut NewOrder)| {
        let mut new = request();
        change(&mut new);
        amend(&new, &old)
    };
    let id = |change: &dyn Fn(&mut NewOrder)| amended(change).unwrap().id;
    assert_eq!(amended(&|_| ()).unwrap(), old);
    assert_eq!(id(&|new| new.steps[1].quantity_w -= 1), old.id);
    assert_eq!(id(&|new| new.steps[1].price.0 += 1), old.id);
    assert_eq!(id(&|new| new.steps.truncate(1)), old.id);
    for worse in [
        &(|new: &mut NewOrder| new.steps[1].quantity_w += 1) as &dyn Fn(&mut NewOrder),
        &|new| new.steps[0].price.0 -= 1,
        &|new| new.steps.push(step(1, 40)),
        &|new| new.terms.must = true,
    ] {
        assert_ne!(id(worse), old.id);
    }
    for (rule, other) in [
        (
            "amend",
            &(|new: &mut NewOrder| new.client_id = "b".to_owned()) as &dyn Fn(&mut NewOrder),
        ),
        ("quantity", &|new| new.steps[0].quantity_w = 0),
        ("client_id", &|new| new.client_id = String::new()),
    ] {
        assert_eq!(amended(other).unwrap_err().rule, rule);
    }
}
