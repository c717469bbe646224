//! What is refused by name, and figures at the ends of their range.

use solver::market::{
    Direction, Kind, OrderId, PPM, Price, Step, Storage, Window,
    clearing::{Case, ClearingError, Options, clear_horizon},
};

use super::{copper_plate, hours, order, plain, unit, with_store};

#[test]
fn contradictions_are_refused_by_name() {
    let grid = copper_plate();
    let refused = |change: &dyn Fn(&mut Vec<Case>)| {
        let mut cases = hours(&[20.0, 60.0]);
        with_store(&mut cases, 1, plain());
        change(&mut cases);
        clear_horizon(&grid, &cases, &Options::default())
            .unwrap_err()
            .to_string()
    };
    let storage = |of: Storage| {
        move |cases: &mut Vec<Case>| cases[0].orders[0].terms.kind = Kind::Storage(of)
    };
    for (text, expected) in [
        (refused(&|cases| cases.clear()), "number of intervals is 0"),
        (
            refused(&|cases| *cases = vec![cases[0].clone(); 97]),
            "number of intervals is 97",
        ),
        (
            refused(&storage(Storage {
                charge_ppm: 0,
                ..plain()
            })),
            "charge efficiency of order 500 is 0",
        ),
        (
            refused(&storage(Storage {
                discharge_ppm: PPM + 1,
                ..plain()
            })),
            "discharge efficiency of order 500",
        ),
        (
            refused(&storage(Storage {
                energy_max_wh: -1,
                ..plain()
            })),
            "most energy of order 500 is -1",
        ),
        (
            refused(&|cases| cases[1].units.clear()),
            "order 500 is for unit 50",
        ),
        (
            refused(&|cases| {
                let order = cases[0].orders.remove(0);
                cases[1].orders.push(order);
            }),
            "interval of order 500 is 1",
        ),
        (
            refused(&|cases| {
                let mut second = cases[0].orders[0].clone();
                second.id = OrderId(501);
                cases[0].orders.push(second);
            }),
            "storage or window order of unit 50 is there twice",
        ),
        (
            refused(&|cases| {
                let window = Window {
                    end: 7200,
                    energy_wh: 0,
                };
                let steps = vec![Step {
                    quantity_w: 1,
                    price: Price(0),
                }];
                cases
                    .iter_mut()
                    .for_each(|of| of.units.push(unit(60, 1, -1.0, 1.0)));
                let of = order(600, 60, Direction::Buy, steps, Kind::Window(window));
                cases[0].orders.push(of);
            }),
            "energy of order 600 is 0",
        ),
        (
            refused(&|cases| {
                let steps = vec![Step {
                    quantity_w: 1,
                    price: Price(0),
                }];
                let of = order(600, 50, Direction::Buy, steps, Kind::Energy);
                cases[1].orders.push(of);
            }),
            "unit (scheduled by order 500) of order 600 is 50",
        ),
    ] {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
    let unknown = |cases: &mut Vec<Case>| cases[1].fixed[0].node = 9;
    let mut cases = hours(&[20.0, 60.0]);
    unknown(&mut cases);
    let error = clear_horizon(&grid, &cases, &Options::default()).unwrap_err();
    assert!(
        matches!(error, ClearingError::UnknownNode { node: 9, .. }),
        "{error}"
    );
}

/// Figures at the ends of their range: an answer or a refusal, no panic, and in its bounds.
#[test]
fn absurd_stores_and_windows_end_in_an_answer_or_a_refusal() {
    let grid = copper_plate();
    let ends = [i64::MIN, -1, 0, 1, 1_000_000, i64::MAX];
    let mut answered = 0;
    for (k, &at) in ends.iter().enumerate() {
        for which in 0..8 {
            let mut cases = hours(&[20.0, 60.0, -30.0]);
            let mut of = plain();
            match which {
                0 => of.energy_wh = at,
                1 => of.energy_min_wh = at,
                2 => of.energy_max_wh = at,
                3 => of.wear = Price(at),
                4 => of.end_value = Price(at),
                _ => {}
            }
            with_store(&mut cases, 1, of);
            for case in &mut cases {
                case.units.push(unit(60, 1, -1e6, 1e6));
                if which == 5 {
                    case.units[0].capability.p_max_w = (at as f64).max(0.0);
                    case.units[0].capability.s_max_va = Some((at as f64).max(0.0));
                }
            }
            let kind = Kind::Window(Window {
                end: if which == 6 { at } else { 7200 },
                energy_wh: if which == 7 { at } else { 1_000_000 },
            });
            let steps = vec![Step {
                quantity_w: 500_000,
                price: Price(30_000_000),
            }];
            let mut window = order(600, 60, Direction::Buy, steps, kind);
            window.interval = if which == 6 {
                ends[ends.len() - 1 - k]
            } else {
                0
            };
            cases[0].orders.push(window);
            let Ok(found) = clear_horizon(&grid, &cases, &Options::default()) else {
                continue;
            };
            answered += 1;
            assert!(found.cost.is_finite(), "{which} {at}");
            let bought: f64 = found.windows[0].p_w.iter().map(|p| -p).sum();
            assert!(
                (0.0..=1_000_000.5f64.max(at as f64)).contains(&bought),
                "{which} {at}"
            );
            let store = &found.stores[0];
            assert!(
                store.p_w.iter().all(|p| p.abs() <= 1e6 || which == 5),
                "{which} {at}"
            );
        }
    }
    assert!(answered > 30, "{answered}");
}
