//! Stores and windows: cleared with later intervals in view, on record, after a restart.

use edge::site;
use solver::market::{PPM, Price, Storage};

use super::*;

/// Battery 5 of the site: 600 kW, 1.2 MWh, at 60 % of it, charging as the bench begins.
const BATTERY: i32 = 106;
/// What it will hold at START + 10 s, seen from the gate 3 s before, Wh.
const HELD_WH: i64 = 720_500;

fn of_battery(client_id: &str, interval: i64, kind: OrderKind) -> NewOrder {
    NewOrder {
        node: 5,
        unit: Some(BATTERY),
        participant: "storage".to_owned(),
        steps: Vec::new(),
        kind,
        ..order(client_id, interval, 1, 0.0)
    }
}

fn store(energy_min_wh: i64, end_value_per_mwh: f64) -> OrderKind {
    OrderKind::Storage {
        energy_min_wh,
        energy_max_wh: 1_000_000,
        charge_efficiency: 1.0,
        discharge_efficiency: 1.0,
        wear_per_mwh: 0.0,
        end_value_per_mwh,
    }
}

fn window(end: i64, energy_wh: i64) -> OrderKind {
    OrderKind::Window {
        end: edge::clock::rfc3339_s(end),
        energy_wh,
    }
}

fn place(bench: &mut Bench, order: NewOrder) -> (u64, Record) {
    let decided = bench
        .cycle
        .decide_order(order, &bench::ada(), bench.now_us)
        .unwrap();
    let id = bench.cycle.settle_decision(&decided).unwrap().id;
    (id, decided.record.unwrap())
}

/// Runs until `s`, with everything that goes on record.
fn run(bench: &mut Bench, s: i64, records: &mut Vec<Record>) -> edge::cycle::Output {
    loop {
        let output = bench.tick();
        records.extend(output.records.iter().cloned());
        if bench.now_us > (START + s) * US {
            return output;
        }
    }
}

fn is_as_on_record(records: &[Record], clearings: u64) {
    let mut replay = Replay::new(i64::MIN, i64::MAX);
    for (number, record) in (0..).zip(records) {
        // As it is read back from disk.
        let json = serde_json::to_string(record).unwrap();
        replay.record(number, serde_json::from_str(&json).unwrap());
    }
    assert_eq!(replay.differences, []);
    assert_eq!(replay.clearings, clearings);
}

/// It holds one interval's worth more than its least. What is left at the end is worth nothing, so it
/// delivers that when it is worth most: not now, but in the interval for which the wind farm asks so much
/// that energy comes from above.
#[test]
fn a_store_waits_for_a_later_interval_that_pays_more() {
    let mut bench = Bench::new();
    let mut records = Vec::new();
    run(&mut bench, 0, &mut records);
    let (id, record) = place(
        &mut bench,
        of_battery("store", START + 10, store(HELD_WH - 1_600, 0.0)),
    );
    records.push(record);
    let (_, record) = place(&mut bench, order("calm", START + 30, 1, 3000.0));
    records.push(record);
    let output = run(&mut bench, 22, &mut records);
    let of = interval(&output, START + 10);
    assert_eq!(of.phase, "settled", "{:?}", of.message);
    let ahead = of.ahead.unwrap();
    // 10 to 60: all that are open with this one.
    assert_eq!((ahead.intervals, ahead.out_of_budget), (6, false));
    let [schedule] = &ahead.schedules[..] else {
        panic!("{ahead:?}");
    };
    assert_eq!((schedule.order, schedule.unit), (id, BATTERY));
    for (t, (p_w, expected_w)) in schedule.p_w.iter().zip([0.0, 0.0, 576e3]).enumerate() {
        assert!((p_w - expected_w).abs() < 1e3, "{t}: {schedule:?}");
    }
    let left = schedule.energy_wh.last().unwrap();
    assert!((left - (HELD_WH - 1_600) as f64).abs() < 1.0, "{left}");
    let award = of.awards.iter().find(|of| of.unit == BATTERY).unwrap();
    assert_eq!(award.p_w, schedule.p_w[0]);
    assert_eq!((award.offered_w, award.bid_w), (600e3, 600e3));
    let money: i64 = of.settlement.iter().map(|s| s.amount_micro).sum();
    assert_eq!(money, 0);
    assert!(
        interval(&output, START + 20).ahead.is_none(),
        "nobody ordered it"
    );
    is_as_on_record(&records, 2);
}

#[test]
fn what_is_left_in_a_store_is_weighed_against_the_price() {
    for (end_value, expected_w) in [(1000.0, -600e3), (0.0, 600e3)] {
        let mut bench = Bench::new();
        bench.tick();
        place(&mut bench, of_battery("s", START + 10, store(0, end_value)));
        let output = bench.until(7);
        let of = interval(&output, START + 10);
        let award = of.awards.iter().find(|of| of.unit == BATTERY).unwrap();
        assert!((award.p_w - expected_w).abs() < 1.0, "{award:?}");
        let mut orders = output.published.orders.iter();
        let placed = orders.find(|o| o.client_id == "s").unwrap();
        assert_eq!(placed.state, "awarded");
        assert!((placed.awarded_w.unwrap() - expected_w).abs() < 1.0);
        // What the battery may hold is the site file's to say, whatever the order does.
        let ahead = of.ahead.unwrap();
        let wh = ahead.schedules[0].energy_wh[0];
        assert!(
            (wh - (HELD_WH as f64 - award.p_w / 360.0)).abs() < 1.0,
            "{wh}"
        );
    }
}

/// 2500 Wh at up to 360 kW, so 1000 Wh in an interval, bought at any price: 1000, 1000, 500, in some
/// sequence, and with a restart in between nothing twice.
#[test]
fn a_window_gets_its_energy_once_and_no_more() {
    for restart in [false, true] {
        let mut bench = Bench::new();
        let mut records = Vec::new();
        run(&mut bench, 0, &mut records);
        let buys = NewOrder {
            direction: "buy".to_owned(),
            steps: vec![OrderStep {
                quantity_w: 360_000,
                price_per_mwh: 200.0,
            }],
            ..of_battery("window", START + 10, window(START + 50, 2500))
        };
        let (id, record) = place(&mut bench, buys);
        records.push(record);
        run(&mut bench, 18, &mut records);
        if restart {
            bench = Bench::starting_at(bench.now_us);
            for record in &records {
                bench.cycle.restore(record);
            }
        }
        let output = run(&mut bench, 60, &mut records);
        let mut orders = output.published.orders.iter();
        let placed = orders.find(|o| o.id == id).unwrap();
        assert_eq!(placed.state, "awarded", "{placed:?}");
        assert_eq!(placed.taken_wh, Some(2500));
        let mut taken = Vec::new();
        for start in [10, 20, 30, 40, 50] {
            let of = interval(&output, START + start);
            let award = of.awards.iter().find(|of| of.unit == BATTERY).unwrap();
            if start < 50 && of.ahead.is_some() {
                assert!((-360_000.1..=0.1).contains(&award.p_w), "{award:?}");
                taken.push(-award.energy_wh);
            }
        }
        assert_eq!(taken.iter().sum::<i64>(), 2500, "{taken:?}");
        let placed = |r: &&Record| matches!(r, Record::Market(LedgerEntry::Cleared { .. }));
        is_as_on_record(&records, records.iter().filter(placed).count() as u64);
    }
}

/// The ledger takes a step's records at once or not at all; should a gate ever be on record without
/// its clearing, it is cleared as it was closed, and once.
#[test]
fn a_gate_on_record_is_cleared_as_it_was_closed() {
    let mut bench = Bench::new();
    let mut records = Vec::new();
    run(&mut bench, 0, &mut records);
    let (_, record) = place(&mut bench, of_battery("s", START + 10, store(0, 45.0)));
    records.push(record);
    run(&mut bench, 7, &mut records);
    let closed = |r: &Record| matches!(r, Record::Market(LedgerEntry::GateClosed { .. }));
    let at = records.iter().position(closed).unwrap();
    let after = records.split_off(at + 1);
    for down_s in [0, 1, 2] {
        let mut again = Bench::starting_at((START + 8 + down_s) * US);
        for record in &records {
            again.cycle.restore(record);
        }
        // Nothing is measured, and other orders would be refused: all it needs is on record.
        for device in again.site.devices.clone() {
            again.offline.insert(device.id.to_string());
        }
        let late =
            again
                .cycle
                .decide_order(order("x", START + 10, 1, 1.0), &bench::ada(), again.now_us);
        assert_eq!(late.unwrap_err().error, "late");
        let mut then = Vec::new();
        let output = run(&mut again, 9, &mut then);
        then.retain(|r| !matches!(r, Record::Market(LedgerEntry::OrderRejected { .. })));
        match down_s {
            0 | 1 => assert_eq!(then[..2], after[..2], "{down_s}"),
            _ => assert_eq!(interval(&output, START + 10).phase, "failed"),
        }
        let cleared = then
            .iter()
            .filter(|r| matches!(r, Record::Market(LedgerEntry::Cleared { .. })));
        assert_eq!(cleared.count(), usize::from(down_s < 2));
    }
}

#[test]
fn an_explanation_is_the_same_after_a_restart() {
    let mut bench = Bench::new();
    let mut records = Vec::new();
    run(&mut bench, 7, &mut records);
    let before = bench.cycle.explain(START + 10, 101).unwrap();
    let mut again = Bench::starting_at(bench.now_us);
    for record in &records {
        again.cycle.restore(record);
    }
    assert_eq!(again.cycle.explain(START + 10, 101).unwrap(), before);
    records.retain(|r| !matches!(r, Record::Network { .. }));
    let mut without = Bench::starting_at(bench.now_us);
    for record in &records {
        without.cycle.restore(record);
    }
    let refused = without.cycle.explain(START + 10, 101).unwrap_err();
    assert!(refused.message.contains("not kept"), "{refused:?}");
}

/// An agent that offers its battery as a store does so for every interval nobody else orders for.
#[test]
fn an_agent_may_offer_its_battery_as_a_store() {
    let mut site = site::load(&bench::example()).unwrap();
    let unit = site.units.iter_mut().find(|u| u.id == BATTERY).unwrap();
    let battery = unit.battery.as_mut().unwrap();
    battery.storage = Some(Storage {
        energy_wh: 0,
        energy_min_wh: 0,
        energy_max_wh: i64::MAX,
        charge_ppm: PPM,
        discharge_ppm: PPM,
        wear: Price(0),
        end_value: Price(0),
    });
    let mut bench = Bench::of(site, START * US);
    let mut records = Vec::new();
    run(&mut bench, 3, &mut records);
    let (_, record) = place(
        &mut bench,
        NewOrder {
            steps: vec![OrderStep {
                quantity_w: 1000,
                price_per_mwh: 0.0,
            }],
            ..of_battery("own", START + 20, OrderKind::Energy)
        },
    );
    records.push(record);
    let output = run(&mut bench, 17, &mut records);
    let mut p_w = [10, 20].into_iter().map(|start| {
        let of = interval(&output, START + start);
        let award = *of
            .awards
            .iter()
            .find(|of| of.unit == BATTERY)
            .as_ref()
            .unwrap();
        (award.p_w, of.ahead.is_some())
    });
    let (stored_w, looked) = p_w.next().unwrap();
    assert!((stored_w - 600e3).abs() < 1.0 && looked, "{stored_w}");
    let (own_w, looked) = p_w.next().unwrap();
    assert!((own_w - 1000.0).abs() < 1.0 && !looked, "{own_w}");
    is_as_on_record(&records, 2);
}
