//! Those that are settled above.

use protocols::opcua::message::Aggregated;
use solver::market::{Money, Party, Settlement, StatementLine, StatementReason};

use super::*;

/// What a correction changes for those that are settled above goes up with the next total, however long ago the
/// interval was; the last award stays the last.
#[test]
fn a_correction_of_long_ago_goes_up_with_the_next_total() {
    let flex = |delivered_wh, amount| Aggregated {
        name: "flex-co".to_owned(),
        delivered_wh,
        amount,
    };
    let mut of = tenant(Fallback::LastAward);
    let mut records = Vec::new();
    for (k, w) in [(0, 4_000), (1, 5_000)] {
        let start = START + 900 * k;
        let entry = of.offered(offer(start), before(start, 300));
        keep(&mut of, &mut records, entry);
        let down = Down::Award(award(start, 1, w));
        let entry = of.received(down, before(start, 200));
        keep(&mut of, &mut records, entry);
        let entry = of.decide(start, LENGTH_S, before(start, 60), &SITE);
        keep(&mut of, &mut records, entry);
        let metered = Some((1_000, false));
        let entry = of.totalled(start, metered, vec![flex(300, 12_600)], 0);
        assert!(keep(&mut of, &mut records, entry));
        let entry = of.totalled(start, metered, vec![flex(300, 12_600)], 0);
        assert_eq!(entry, None, "the same");
    }
    for up in of.outbox(9) {
        let entry = of.answered(&up, Ok(None), 0);
        keep(&mut of, &mut records, entry);
    }
    of.forget_before(START + 90_000);
    assert_eq!(of.intervals().count(), 0);
    let change = correction(START, "flex-co", -20, -700);
    assert_eq!(of.corrected(START, [&change], 0), None, "not in mind");
    for entry in records.iter().filter(|of| of.interval() == START) {
        of.apply(entry);
    }
    let entry = of.corrected(START, [&change, &change], 0);
    assert!(keep(&mut of, &mut records, entry));
    let total = of.interval(START).unwrap().total.clone().unwrap();
    assert_eq!(total.aggregators, [flex(260, 11_200)]);
    assert_eq!((total.sequence, total.import_wh), (2, 1_000));
    assert_eq!(of.outbox(9), [Up::Total(total)]);
    let nothing = correction(START, "flex-co", 0, 0);
    assert_eq!(of.corrected(START, [&nothing], 0), None);
    // It had no part in it before, and comes in its place.
    let other = correction(START, "a-co", 5, 6);
    let entry = of.corrected(START, [&other], 0);
    keep(&mut of, &mut records, entry);
    let total = of.interval(START).unwrap().total.clone().unwrap();
    let names: Vec<_> = total.aggregators.iter().map(|of| &*of.name).collect();
    assert_eq!((total.sequence, &*names), (3, &["a-co", "flex-co"][..]));
    let next = START + 1_800;
    let (closing, _) = closed_with(of.decide(next, 900, before(next, 0), &SITE).unwrap());
    assert_eq!(closing.exchange_w, 5_000, "of the second interval");
}

/// Of one participant, and what of it passes up.
fn correction(interval: i64, name: &str, delivered_wh: i64, received: i64) -> Settlement {
    let line = StatementLine {
        reason: StatementReason::Correction,
        counterparty: Party::Network,
        unit: Some(7),
        node: 2,
        energy_wh: delivered_wh,
        reactive_varh: 0,
        price: Price(0),
        received: Money(received),
        quality: None,
    };
    let party = Party::Participant(name.to_owned());
    let mut made = Settlement {
        interval,
        statements: Vec::new(),
    };
    let other = line.other_side(party.clone());
    made.credit(&party, vec![line]);
    made.credit(&Party::Network, vec![other]);
    made.pass_up(&[name.to_owned()]);
    made
}
