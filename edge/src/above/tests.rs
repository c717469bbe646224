mod passed;

use protocols::opcua::message::{
    Award, Basis, Closing, Corner, Down, Offer, Refused, State, Total, Up,
};
use solver::market::{
    Imbalance, Price,
    clearing::{Interface, Scheduled},
};

use super::{Document, Entry, Fallback, Tenant, Terms};
use crate::{clock::US, store::Hash};

/// An hour before midnight, UTC.
const START: i64 = 1_800_054_000;
const LENGTH_S: u32 = 900;
const SITE: Interface = Interface {
    source: 5,
    import_price: Price(90_000_000),
    export_price: Price(30_000_000),
    import_max_w: None,
    export_max_w: Some(40_000.0),
    scheduled: None,
    u_pu: None,
};

fn terms(fallback: Fallback) -> Terms {
    Terms {
        award_s: 60,
        fallback,
        schedule: vec![(0, 1_000), (43_200, -25_000), (82_800, 7_000)],
        spread: Price(5_000_000),
        imbalance: Imbalance {
            short_price: Price(150_000_000),
            long_price: Price(10_000_000),
        },
    }
}

fn tenant(fallback: Fallback) -> Tenant {
    Tenant::new("north".to_owned(), terms(fallback))
}

/// Sells up to 20 kW, needs no more than 10 kW.
fn offer(interval: i64) -> Offer {
    let corner = |exchange_w, price| Corner {
        exchange_w,
        price,
        q_var: 0,
    };
    Offer {
        interval,
        length_s: LENGTH_S,
        sequence: 1,
        curve: vec![
            corner(-20_000, 80_000_000),
            corner(-5_000, 40_000_000),
            corner(10_000, 0),
        ],
        q_min_var: 0,
        q_max_var: 0,
        forecast_w: -5_000,
        state: State::default(),
        voltage: None,
    }
}

fn award(interval: i64, sequence: u32, exchange_w: i64) -> Award {
    Award {
        interval,
        sequence,
        offer: 1,
        exchange_w,
        price: 50_000_000,
        q_var: 300,
        grid_fee: 2_000_000,
        import_max_w: 12_000,
        export_max_w: 15_000,
        called_w: None,
        limits: Vec::new(),
        u_ppm: None,
    }
}

/// Puts an entry on record as it is read back from there.
fn keep(tenant: &mut Tenant, records: &mut Vec<Entry>, entry: Option<Entry>) -> bool {
    let Some(entry) = entry else { return false };
    let json = serde_json::to_string(&entry).unwrap();
    let entry: Entry = serde_json::from_str(&json).unwrap();
    tenant.apply(&entry);
    records.push(entry);
    true
}

fn closing(tenant: &Tenant, start: i64) -> &Closing {
    tenant.interval(start).unwrap().closing.as_ref().unwrap()
}

fn closed_with(entry: Entry) -> (Closing, Interface) {
    match entry {
        Entry::Closed {
            closing, interface, ..
        } => (closing, interface[0]),
        other => panic!("{other:?}"),
    }
}

/// A moment, s before the start.
fn before(start: i64, s: i64) -> i64 {
    (start - s) * US
}

#[test]
fn an_award_in_time_is_what_it_is_cleared_with() {
    let mut of = tenant(Fallback::Zero);
    let mut records = Vec::new();
    let now = before(START, 300);
    assert_eq!(of.decide(START, LENGTH_S, now, &SITE), None);
    let offered = of.offered(offer(START), now);
    assert!(keep(&mut of, &mut records, offered));
    assert_eq!(of.offered(offer(START), now), None);
    assert_eq!(of.decide(START, LENGTH_S, before(START, 61), &SITE), None);
    let received = of.received(Down::Award(award(START, 1, -12_000)), now);
    assert!(keep(&mut of, &mut records, received));
    let (closing, interface) = closed_with(of.decide(START, LENGTH_S, now, &SITE).unwrap());
    assert_eq!(
        closing,
        Closing {
            interval: START,
            sequence: 1,
            basis: Basis::Award,
            award: Some(1),
            exchange_w: -12_000,
            price: 50_000_000,
        }
    );
    // What is given pays the fee: 50 - 2; beyond, spread and fee are against us: 50 + 7, 50 - 7.
    let Scheduled {
        exchange_w,
        price,
        reactive,
    } = interface.scheduled.unwrap();
    assert_eq!((exchange_w, price), (-12_000.0, Price(48_000_000)));
    let reactive = reactive.unwrap();
    assert_eq!((reactive.q_var, reactive.weight), (300.0, Price(3_600_000)));
    let beyond = (interface.import_price, interface.export_price);
    assert_eq!(beyond, (Price(57_000_000), Price(43_000_000)));
    let limits = (interface.import_max_w, interface.export_max_w);
    assert_eq!(limits, (Some(12_000.0), Some(15_000.0)));
    // What is called for takes the award's place, at its price.
    let mut called = tenant(Fallback::Zero);
    called.apply(&records[0]);
    let down = Award {
        u_ppm: Some(1_012_500),
        called_w: Some(9_000),
        ..award(START, 4, -12_000)
    };
    let entry = called.received(Down::Award(down), now);
    called.apply(&entry.unwrap());
    let closed = called.decide(START, LENGTH_S, now, &SITE).unwrap();
    assert_eq!(called.u_pu(), None);
    called.apply(&closed);
    let (closing, interface) = closed_with(closed);
    assert_eq!((closing.exchange_w, closing.award), (9_000, Some(4)));
    // The voltage that is planned holds for it, and for the curve of the next.
    assert_eq!(
        (interface.u_pu, called.u_pu()),
        (Some(1.0125), Some(1.0125))
    );
    assert_eq!(interface.scheduled.unwrap().price, Price(52_000_000));
}

#[test]
fn without_an_award_the_stated_fallback_stands_within_what_can_be() {
    let close = |fallback, start: i64, offered: bool, last: Option<Award>| {
        let mut of = tenant(fallback);
        if let Some(last) = last {
            let start = last.interval;
            of.apply(&of.offered(offer(start), 0).unwrap());
            of.apply(&of.received(Down::Award(last), 0).unwrap());
            of.apply(&of.decide(start, LENGTH_S, 0, &SITE).unwrap());
        }
        if offered {
            of.apply(&of.offered(offer(start), 0).unwrap());
        }
        let now = before(start, 60);
        assert_eq!(of.decide(start, LENGTH_S, now - 1, &SITE), None);
        closed_with(of.decide(start, LENGTH_S, now, &SITE).unwrap())
    };
    let previous = START - 900;
    // basis, exchange and price of the closing, price of the exchange, beyond
    for (fallback, start, offered, last, expected) in [
        (
            Fallback::Zero,
            START,
            true,
            None,
            (Basis::Zero, 0, 90, 90, 150, 10),
        ),
        (
            Fallback::LastAward,
            START,
            true,
            None,
            (Basis::Zero, 0, 90, 90, 150, 10),
        ),
        (
            Fallback::LastAward,
            START,
            true,
            Some(award(previous, 1, 8_000)),
            (Basis::LastAward, 8_000, 50, 52, 57, 43),
        ),
        // 23:00, 12:00 and 00:00 of the schedule; noon's 25 kW are more than the 20 kW that are offered.
        (
            Fallback::Schedule,
            START,
            true,
            None,
            (Basis::Schedule, 7_000, 90, 90, 150, 10),
        ),
        (
            Fallback::Schedule,
            START - 39_600,
            true,
            None,
            (Basis::Schedule, -20_000, 30, 30, 150, 10),
        ),
        (
            Fallback::Schedule,
            START - 39_600,
            false,
            None,
            (Basis::Schedule, -25_000, 30, 30, 150, 10),
        ),
        (
            Fallback::Schedule,
            START + 3_600,
            true,
            None,
            (Basis::Schedule, 1_000, 90, 90, 150, 10),
        ),
        // The last word from above was that it can take 15 kW.
        (
            Fallback::Schedule,
            START - 39_600,
            true,
            Some(award(START - 40_500, 1, 0)),
            (Basis::Schedule, -15_000, 30, 30, 150, 10),
        ),
    ] {
        let (closing, interface) = close(fallback, start, offered, last);
        let euros = |price: i64| price / 1_000_000;
        let found = (
            closing.basis,
            closing.exchange_w,
            euros(closing.price),
            euros(interface.scheduled.unwrap().price.0),
            euros(interface.import_price.0),
            euros(interface.export_price.0),
        );
        assert_eq!(found, expected, "{fallback:?} at {start}");
        assert_eq!(closing.award, None);
    }
}

#[test]
fn an_award_that_makes_no_sense_is_on_record_and_not_used() {
    let mut of = tenant(Fallback::Zero);
    of.apply(&of.offered(offer(START), 0).unwrap());
    let good = award(START, 2, 0);
    let not = |award: Award, why: &str| {
        let entry = of.received(Down::Award(award), 0).unwrap();
        let Entry::Awarded { unused, .. } = &entry else {
            panic!("{entry:?}")
        };
        let text = unused.as_deref().unwrap();
        assert!(text.contains(why), "{text}");
        let mut after = of.clone();
        after.apply(&entry);
        assert_eq!(after.decide(START, LENGTH_S, 0, &SITE), None, "{why}");
    };
    let with = |change: &dyn Fn(&mut Award)| {
        let mut award = good.clone();
        change(&mut award);
        award
    };
    not(with(&|a| a.offer = 2), "answers offer 2, not 1");
    not(
        with(&|a| a.exchange_w = 10_001),
        "10001 W is not from -20000 to 10000",
    );
    not(with(&|a| a.exchange_w = -20_001), "as offered");
    not(with(&|a| a.called_w = Some(i64::MIN)), "as offered");
    not(with(&|a| a.price = i64::MAX), "price");
    not(with(&|a| a.grid_fee = -1), "grid fee");
    not(with(&|a| a.grid_fee = i64::MAX), "grid fee");
    not(with(&|a| a.import_max_w = -1), "limits");
    not(with(&|a| a.export_max_w = i64::MAX), "limits");
    not(with(&|a| a.q_var = i64::MIN), "reactive");
    not(with(&|a| a.u_ppm = Some(500_000)), "a voltage of 500000");
    // The one after it is used, and so is one of who has seen no offer.
    let bad = of.received(Down::Award(with(&|a| a.grid_fee = -1)), 0);
    of.apply(&bad.unwrap());
    let next = with(&|a| (a.sequence, a.offer) = (3, 0));
    of.apply(&of.received(Down::Award(next), 0).unwrap());
    let (closing, _) = closed_with(of.decide(START, LENGTH_S, 0, &SITE).unwrap());
    assert_eq!(closing.award, Some(3));
    // Without an offer nothing can be awarded.
    let without = tenant(Fallback::Zero);
    assert_eq!(without.received(Down::Award(good), 0), None);
}

#[test]
fn what_comes_twice_late_or_without_end_changes_nothing() {
    let mut of = tenant(Fallback::Zero);
    let mut records = Vec::new();
    let offered = of.offered(offer(START), 0);
    keep(&mut of, &mut records, offered);
    let down = |sequence| Down::Award(award(START, sequence, -1_000));
    let entry = of.received(down(3), 0);
    assert!(keep(&mut of, &mut records, entry));
    assert_eq!(of.received(down(3), 1), None);
    assert_eq!(of.received(down(2), 1), None);
    let entry = of.decide(START, LENGTH_S, 0, &SITE);
    assert!(keep(&mut of, &mut records, entry));
    let word = closing(&of, START).clone();
    // A newer one, after our word: on record as late.
    let entry = of.received(down(4), 2);
    assert!(keep(&mut of, &mut records, entry));
    let late = &of.interval(START).unwrap().awards[1];
    assert!(late.1.as_deref().unwrap().starts_with("late"));
    assert_eq!(of.decide(START, LENGTH_S, before(START, 0), &SITE), None);
    assert_eq!(of.give_up(START, LENGTH_S, 0), None);
    assert_eq!(*closing(&of, START), word);
    for sequence in 5..1_000 {
        let entry = of.received(down(sequence), 2);
        keep(&mut of, &mut records, entry);
    }
    assert_eq!(of.interval(START).unwrap().awards.len(), 16);
    // The record again, all of it: nothing changes.
    let once = of.clone();
    for entry in &records {
        of.apply(entry);
    }
    assert_eq!(of, once);
}

#[test]
fn what_is_not_answered_is_sent_again_in_order() {
    let mut of = tenant(Fallback::Zero);
    let mut records = Vec::new();
    let kinds = |of: &Tenant| -> Vec<(i64, Document)> {
        let all = of.outbox(100);
        assert_eq!(of.unsent(), all.len());
        let key = |up: &Up| ((up.interval() - START) / 900, Document::of(up));
        all.iter().map(key).collect()
    };
    for k in 0..3 {
        let start = START + 900 * k;
        let entry = of.offered(offer(start), 0);
        keep(&mut of, &mut records, entry);
        if k < 2 {
            let entry = of.decide(start, LENGTH_S, before(start, 60), &SITE);
            keep(&mut of, &mut records, entry);
            let entry = of.totalled(start, Some((-250, false)), Vec::new(), 0);
            keep(&mut of, &mut records, entry);
        }
    }
    // The open gate's offer cannot wait; those of closed intervals are of no use any more.
    let expected = [
        (2, Document::Offer),
        (0, Document::Closing),
        (1, Document::Closing),
        (0, Document::Total),
        (1, Document::Total),
    ];
    assert_eq!(kinds(&of), expected);
    assert_eq!(of.outbox(2).len(), 2);
    // Kept above or not: it is sent until there is a word.
    let first = of.outbox(100)[1].clone();
    let unavailable = Refused::Unavailable {
        reason: "disk full".to_owned(),
    };
    assert_eq!(of.answered(&first, Err(unavailable), 0), None);
    let entry = of.answered(&first, Ok(None), 0);
    assert!(keep(&mut of, &mut records, entry));
    assert_eq!(of.answered(&first, Ok(None), 1), None);
    // An answer to what was never sent so.
    let Up::Closing(mut other) = of.outbox(100)[1].clone() else {
        panic!()
    };
    other.exchange_w = 77;
    let other = Up::Closing(other);
    assert_eq!(of.answered(&other, Ok(None), 1), None);
    let late = Refused::Late {
        interval: START + 1_800,
        closed: 0,
    };
    let offered = of.outbox(1)[0].clone();
    let entry = of.answered(&offered, Err(late), 0);
    assert!(keep(&mut of, &mut records, entry));
    assert_eq!(kinds(&of), expected[2..]);
    // Forgotten is only what has nothing left to be sent or metered.
    of.forget_before(START + 90_000);
    assert_eq!(of.intervals().count(), 2);
    for up in of.outbox(100) {
        let entry = of.answered(&up, Ok(None), 0);
        keep(&mut of, &mut records, entry);
    }
    of.forget_before(START + 90_000);
    assert_eq!((of.intervals().count(), of.unsent()), (0, 0));
}

#[test]
fn an_interval_is_metered_once_and_its_accounts_are_compared() {
    let mut of = tenant(Fallback::Schedule);
    let mut records = Vec::new();
    assert_eq!(of.totalled(START, Some((1, false)), Vec::new(), 0), None);
    let entry = of.decide(START, LENGTH_S, before(START, 60), &SITE);
    keep(&mut of, &mut records, entry);
    assert_eq!(of.unmetered().collect::<Vec<_>>(), [(START, START + 900)]);
    // Nobody knows what flowed: as closed, 7 kW over a quarter of an hour.
    let entry = of.totalled(START, None, Vec::new(), 0);
    keep(&mut of, &mut records, entry);
    let total = |of: &Tenant| of.interval(START).unwrap().total.clone().unwrap();
    let first = Total {
        interval: START,
        sequence: 1,
        import_wh: 1_750,
        export_wh: 0,
        replaced: true,
        aggregators: Vec::new(),
    };
    assert_eq!(total(&of), first);
    assert_eq!(of.unmetered().count(), 0);
    assert_eq!(of.totalled(START, Some((1_750, true)), Vec::new(), 0), None);
    let hash = |of: &Tenant| {
        Hash(
            of.interval(START)
                .unwrap()
                .account("north")
                .unwrap()
                .sha256(),
        )
    };
    let before_correction = hash(&of);
    let sent = Up::Total(first);
    let entry = of.answered(&sent, Ok(Some(before_correction)), 0);
    keep(&mut of, &mut records, entry);
    assert_eq!(of.interval(START).unwrap().differs("north"), Some(false));
    assert_eq!(of.interval(START).unwrap().differs("south"), Some(true));
    // The meter is read after all: another number, sent again, and another hash.
    let entry = of.totalled(START, Some((-3, false)), Vec::new(), 0);
    keep(&mut of, &mut records, entry);
    let second = total(&of);
    assert_eq!(
        (second.sequence, second.import_wh, second.export_wh),
        (2, 0, 3)
    );
    assert_ne!(hash(&of), before_correction);
    assert_eq!(of.interval(START).unwrap().differs("north"), None);
    let entry = of.answered(&Up::Total(second), Ok(Some(before_correction)), 0);
    keep(&mut of, &mut records, entry);
    assert_eq!(of.interval(START).unwrap().differs("north"), Some(true));
}

type Step<'f> = &'f dyn Fn(&Tenant) -> Option<Entry>;

#[test]
fn a_restart_anywhere_goes_on_from_the_record() {
    let mut of = tenant(Fallback::LastAward);
    let mut records = Vec::new();
    let mut states = vec![of.clone()];
    for k in 0..3 {
        let start = START + 900 * k;
        let steps: [Step<'_>; 6] = [
            &|of| of.offered(offer(start), before(start, 300)),
            // No award for the second one.
            &|of| {
                let down = Down::Award(award(start, 1, 4_000));
                (k != 1)
                    .then(|| of.received(down, before(start, 200)))
                    .flatten()
            },
            &|of| of.decide(start, LENGTH_S, before(start, 60), &SITE),
            &|of| of.answered(&of.outbox(9)[0], Ok(None), before(start, 50)),
            &|of| of.totalled(start, Some((1_000, false)), Vec::new(), before(start, -902)),
            &|of| of.answered(&of.outbox(9)[0], Ok(None), before(start, -903)),
        ];
        for step in steps {
            let entry = step(&of);
            if keep(&mut of, &mut records, entry) {
                states.push(of.clone());
            }
        }
    }
    assert_eq!((records.len(), of.unsent()), (17, 0));
    let bases: Vec<Basis> = of
        .intervals()
        .map(|(_, of)| of.closing.as_ref().unwrap().basis)
        .collect();
    assert_eq!(bases, [Basis::Award, Basis::LastAward, Basis::Award]);
    for (n, state) in states.iter().enumerate() {
        let mut restarted = tenant(Fallback::LastAward);
        for entry in &records[..n] {
            restarted.apply(entry);
        }
        assert_eq!(restarted, *state, "{n}");
    }
    // Nobody was there when it began.
    let mut restarted = tenant(Fallback::LastAward);
    restarted.apply(&records[0]);
    assert_eq!(restarted.overdue(before(START, 0) - 1).count(), 0);
    assert_eq!(
        restarted.overdue(before(START, 0)).collect::<Vec<_>>(),
        [START]
    );
    let entry = restarted.give_up(START, LENGTH_S, before(START, 0));
    restarted.apply(&entry.unwrap());
    let word = closing(&restarted, START);
    assert_eq!(
        (word.basis, word.exchange_w, word.price),
        (Basis::Zero, 0, 0)
    );
    assert_eq!(restarted.overdue(before(START, 0)).count(), 0);
    // What is remembered of the last award outlives the interval that it was for.
    let mut restarted = tenant(Fallback::LastAward);
    for entry in records.iter().filter(|of| of.interval() == START + 900) {
        restarted.apply(entry);
    }
    let next = START + 1_800;
    let (closing, _) = closed_with(restarted.decide(next, 900, before(next, 0), &SITE).unwrap());
    assert_eq!(
        (closing.basis, closing.exchange_w),
        (Basis::LastAward, 4_000)
    );
}
