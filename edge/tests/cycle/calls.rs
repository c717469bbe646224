//! Calls by the DSO: kept at the gate, dispatched, paid for, on record.

use edge::participants::{Change, ParticipantRole};

use super::*;

const WIND: i32 = 101;

/// The DSO takes part from now on; its record.
fn dso(bench: &mut Bench) -> Record {
    let change = Change::Participant {
        name: "grid".to_owned(),
        role: ParticipantRole::Dso,
    };
    let (by, now_us) = (bench::ada(), bench.now_us);
    let record = bench.cycle.decide_change(change.clone(), &by, now_us);
    bench.cycle.settle_change(&change, now_us);
    record.unwrap().unwrap()
}

fn call(interval: i64, bounds: (Option<i64>, Option<i64>), end: Option<i64>) -> NewOrder {
    NewOrder {
        participant: "grid".to_owned(),
        steps: Vec::new(),
        kind: OrderKind::Call {
            p_min_w: bounds.0,
            p_max_w: bounds.1,
            compensation_per_mwh: 80.0,
            end: end.map(edge::clock::rfc3339_s),
        },
        ..order("call", interval, 1, 0.0)
    }
}

fn place(bench: &mut Bench, order: NewOrder) -> (u64, Record) {
    let decided = bench.cycle.decide_order(order, &bench::ada(), bench.now_us);
    let decided = decided.unwrap();
    let id = bench.cycle.settle_decision(&decided).unwrap().id;
    (id, decided.record.unwrap())
}

fn run(bench: &mut Bench, s: i64, records: &mut Vec<Record>) -> edge::cycle::Output {
    loop {
        let output = bench.tick();
        records.extend(output.records.iter().cloned());
        if bench.now_us > (START + s) * US {
            return output;
        }
    }
}

fn replayed(records: &[Record]) -> (u64, u64, u64) {
    let mut replay = Replay::new(i64::MIN, i64::MAX);
    for (number, record) in (0..).zip(records) {
        // As it is read back from disk.
        let json = serde_json::to_string(record).unwrap();
        replay.record(number, serde_json::from_str(&json).unwrap());
    }
    assert_eq!(replay.differences, []);
    (replay.clearings, replay.contracts, replay.settlements)
}

/// What the wind farm gets where nobody calls it.
fn free_wh() -> i64 {
    let output = Bench::new().until(7);
    let awards = interval(&output, START + 10).awards;
    awards.iter().find(|of| of.unit == WIND).unwrap().energy_wh
}

/// For two intervals, with a restart in between: the wind farm keeps to 2 MW, is paid for what it would
/// have got more, and is free again afterwards.
#[test]
fn a_called_unit_keeps_to_the_call_and_is_paid_for_the_difference() {
    let mut bench = Bench::new();
    let mut records = Vec::new();
    run(&mut bench, 0, &mut records);
    records.push(dso(&mut bench));
    let (id, record) = place(
        &mut bench,
        call(START + 10, (None, Some(2_000_000)), Some(START + 30)),
    );
    records.push(record);
    run(&mut bench, 14, &mut records);
    bench = Bench::starting_at(bench.now_us);
    for record in &records {
        bench.cycle.restore(record);
    }
    let output = run(&mut bench, 43, &mut records);
    for start in [10, 20] {
        let of = interval(&output, START + start);
        assert_eq!(of.phase, "settled", "{:?}", of.message);
        let award = of.awards.iter().find(|of| of.unit == WIND).unwrap();
        assert!((award.p_w - 2e6).abs() < 1.0, "{award:?}");
        let [paid] = &of.calls[..] else {
            panic!("{start}: {:?}", of.calls);
        };
        assert_eq!(
            (paid.order, &*paid.caller, &*paid.account),
            (id, "grid", "windpark")
        );
        if start == 10 {
            assert_eq!(paid.energy_wh, award.energy_wh - free_wh(), "{paid:?}");
        }
        assert!(
            (-9000..-6000).contains(&paid.energy_wh),
            "{start}: {paid:?}"
        );
        assert_eq!(paid.received_micro, -80 * paid.energy_wh);
        let rows = |account: &str| {
            let rows = of.settlement.iter().filter(|row| row.account == account);
            rows.cloned().collect::<Vec<_>>()
        };
        let [grid] = &rows("grid")[..] else {
            panic!("{:?}", of.settlement);
        };
        assert_eq!(
            (grid.amount_micro, grid.metered_wh),
            (-paid.received_micro, 0)
        );
        let [wind] = &rows("windpark")[..] else {
            panic!("{:?}", of.settlement);
        };
        assert_eq!(
            wind.contracted_wh, award.energy_wh,
            "what was contracted, not what was called off"
        );
        let sum: i64 = of.settlement.iter().map(|row| row.amount_micro).sum();
        assert_eq!(sum, 0);
        let why = bench.cycle.explain(START + start, WIND).unwrap();
        let sentence =
            "called by grid to at most 2000000 W, at 80.00 per MWh; without that it would";
        assert!(
            why.text.iter().any(|text| text.starts_with(sentence)),
            "{why:?}"
        );
        assert!(
            why.steps.iter().any(|step| step.verdict == "called"),
            "{why:?}"
        );
        let other = bench.cycle.explain(START + start, 103).unwrap();
        assert!(
            !other.text.iter().any(|text| text.contains("called")),
            "{other:?}"
        );
    }
    let free = interval(&output, START + 30);
    assert_eq!(free.calls, []);
    let award = free.awards.iter().find(|of| of.unit == WIND).unwrap();
    assert!(award.p_w > 4e6, "{award:?}");
    let mut orders = output.published.orders.iter();
    let called = orders.find(|o| o.id == id).unwrap();
    assert_eq!(called.state, "awarded");
    assert!(bench.u_max <= 1.05 && bench.loading_max <= 1.0);
    assert_eq!(replayed(&records), (4, 4, 3));
}

/// What it says at first is what counts until the gate closes, and only that.
#[test]
fn a_call_is_amended_and_cancelled_until_its_gate_closes() {
    let mut bench = Bench::new();
    bench.tick();
    let refused = bench
        .cycle
        .decide_order(
            call(START + 10, (None, Some(1)), None),
            &bench::ada(),
            bench.now_us,
        )
        .unwrap_err();
    assert_eq!(refused.error, "caller");
    dso(&mut bench);
    let (first, _) = place(&mut bench, call(START + 10, (None, Some(1_000_000)), None));
    let amended = bench.cycle.decide_amend(
        first,
        call(START + 10, (None, Some(3_000_000)), None),
        &bench::ada(),
        bench.now_us,
    );
    let amended = bench.cycle.settle_decision(&amended.unwrap()).unwrap();
    assert!(amended.id > first);
    let other = NewOrder {
        client_id: "gone".to_owned(),
        ..call(START + 20, (None, Some(0)), None)
    };
    let (gone, _) = place(&mut bench, other);
    let cancel = bench.cycle.decide_cancel(gone, &bench::ada(), bench.now_us);
    bench.cycle.settle_decision(&cancel.unwrap()).unwrap();
    let output = bench.until(7);
    let of = interval(&output, START + 10);
    let award = of.awards.iter().find(|of| of.unit == WIND).unwrap();
    assert!((award.p_w - 3e6).abs() < 1.0, "{award:?}");
    let late = bench
        .cycle
        .decide_cancel(amended.id, &bench::ada(), bench.now_us);
    assert_eq!(late.unwrap_err().error, "late");
    let output = bench.until(17);
    let of = interval(&output, START + 20);
    let award = of.awards.iter().find(|of| of.unit == WIND).unwrap();
    assert!(award.p_w > 3.5e6 && of.calls.is_empty(), "{award:?}");
}

/// A floor is asked of what sun, wind and charge give; a unit that is not there is not called.
#[test]
fn nobody_is_held_to_what_it_cannot_do() {
    let of_pv = |bounds| NewOrder {
        node: 3,
        unit: Some(93),
        ..call(START + 10, bounds, None)
    };
    let mut bench = Bench::new();
    dso(&mut bench);
    // At half of what its limit would allow the sun holds it back.
    let rated = bench
        .site
        .units
        .iter()
        .find(|u| u.id == 93)
        .unwrap()
        .p_rated_w;
    bench.units.insert(93, (0.5 * rated, 0.0));
    bench.tick();
    let (id, _) = place(&mut bench, of_pv((Some(rated as i64), None)));
    let absent = NewOrder {
        client_id: "absent".to_owned(),
        node: 9,
        unit: Some(103),
        ..call(START + 10, (None, Some(0)), None)
    };
    let (absent, _) = place(&mut bench, absent);
    bench.offline.insert("chp9".to_owned());
    let output = bench.until(7);
    let of = interval(&output, START + 10);
    assert_eq!(of.phase, "cleared", "{:?}", of.message);
    let award = of.awards.iter().find(|of| of.unit == 93).unwrap();
    // What it gives, 5 % and 1 % of its nameplate more.
    assert!(
        (award.p_w - (1.05 * 0.5 + 0.01) * rated).abs() < 2.0,
        "{award:?} of {rated}"
    );
    let state = |id| {
        let mut orders = output.published.orders.iter();
        orders.find(|o| o.id == id).unwrap().state.clone()
    };
    assert_eq!(
        (&*state(id), &*state(absent)),
        ("not_awarded", "not_awarded")
    );
    assert!(of.calls.iter().all(|of| of.order != absent));
}
