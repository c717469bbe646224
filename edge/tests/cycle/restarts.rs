//! Killed in any state of an interval's life, and started again from the record: it goes on from there,
//! nothing is done twice and nothing is lost.

use super::*;

/// A state of the interval that starts at START + 10: the second in which it is killed, and with it on
/// record up to which entry of that second, or all of them.
type State = (&'static str, i64, Option<fn(&LedgerEntry) -> bool>);

const STATES: [State; 9] = [
    ("open", 3, None),
    (
        "gate closed",
        7,
        Some(|e| matches!(e, LedgerEntry::GateClosed { .. })),
    ),
    ("cleared", 7, None),
    ("published", 9, None),
    (
        "delivering",
        10,
        Some(|e| matches!(e, LedgerEntry::Delivering { .. })),
    ),
    ("delivering for a while", 14, None),
    ("delivered", 20, None),
    (
        "metered",
        22,
        Some(|e| matches!(e, LedgerEntry::Metered { .. })),
    ),
    ("settled", 22, None),
];

/// Ticks up to a second, with everything that goes on record; the last output.
fn run(bench: &mut Bench, s: i64, records: &mut Vec<Record>) -> edge::cycle::Output {
    loop {
        let output = bench.tick();
        records.extend(output.records.iter().cloned());
        if bench.now_us > (START + s) * US {
            return output;
        }
    }
}

/// Begun, with an order that waits for the interval at START + 30.
fn begun() -> (Bench, Vec<Record>) {
    let mut bench = Bench::new();
    let mut records = Vec::new();
    run(&mut bench, 1, &mut records);
    let waiting = order("waiting", START + 30, 1_000_000, 21.5);
    let decided = bench
        .cycle
        .decide_order(waiting, &bench::ada(), bench.now_us);
    let decided = decided.unwrap();
    bench.cycle.settle_decision(&decided).unwrap();
    records.extend(decided.record);
    (bench, records)
}

fn entries(records: &[Record], wanted: impl Fn(&LedgerEntry) -> bool) -> Vec<&LedgerEntry> {
    let market = records.iter().filter_map(|record| match record {
        Record::Market(entry) => Some(entry),
        _ => None,
    });
    market.filter(|entry| wanted(entry)).collect()
}

fn done_once(records: &[Record], of: i64, state: &str) {
    let times = |wanted: &dyn Fn(&LedgerEntry) -> bool| entries(records, wanted).len();
    for (what, count) in [
        (
            "closed",
            times(&|e| matches!(e, LedgerEntry::GateClosed { interval, .. } if *interval == of)),
        ),
        (
            "cleared",
            times(&|e| matches!(e, LedgerEntry::Cleared { interval, .. } if *interval == of)),
        ),
        (
            "contracted",
            times(&|e| matches!(e, LedgerEntry::Contracted { interval, .. } if *interval == of)),
        ),
        ("begun", times(&begins(of))),
        (
            "settled",
            times(&|e| matches!(e, LedgerEntry::Settled(of_it) if of_it.interval == of)),
        ),
    ] {
        assert_eq!(count, 1, "{state}: {of} {what}");
    }
}

#[test]
fn a_restart_in_any_state_goes_on_from_there() {
    let cleared = |records: &[Record]| {
        let of = |e: &LedgerEntry| matches!(e, LedgerEntry::Cleared { interval, .. } if *interval == START + 10);
        entries(records, of).first().map(|entry| (*entry).clone())
    };
    let (mut bench, mut records) = begun();
    run(&mut bench, 43, &mut records);
    let expected = cleared(&records).unwrap();
    for (state, s, until) in STATES {
        let (mut bench, mut records) = begun();
        run(&mut bench, s - 1, &mut records);
        let mut last = bench.tick().records;
        if let Some(is_last) = until {
            let at = last
                .iter()
                .position(|r| matches!(r, Record::Market(e) if is_last(e)));
            last.truncate(at.expect(state) + 1);
        }
        records.extend(last);
        // As it is read back from disk.
        let json = serde_json::to_string(&records).unwrap();
        bench.restart(&serde_json::from_str::<Vec<Record>>(&json).unwrap());
        let output = run(&mut bench, 43, &mut records);
        for of in [10, 20, 30] {
            let shown = interval(&output, START + of);
            assert_eq!(shown.phase, "settled", "{state}: {of}, {:?}", shown.message);
            let sum: i64 = shown.settlement.iter().map(|row| row.amount_micro).sum();
            assert_eq!(sum, 0, "{state}: {of}");
            done_once(&records, START + of, state);
        }
        if s >= 7 {
            assert_eq!(cleared(&records).as_ref(), Some(&expected), "{state}");
        }
        let mut orders = output.published.orders.iter();
        let waited = orders.find(|o| o.client_id == "waiting").expect(state);
        assert_eq!(waited.state, "awarded", "{state}");
        let accepted = entries(&records, |e| matches!(e, LedgerEntry::OrderAccepted { .. }));
        assert_eq!(accepted.len(), 1, "{state}");
        let mut replay = Replay::new(i64::MIN, i64::MAX);
        for (number, record) in (0..).zip(records) {
            replay.record(number, record);
        }
        assert_eq!(replay.differences, [], "{state}");
        assert_eq!((replay.clearings, replay.settlements), (4, 3), "{state}");
    }
}
