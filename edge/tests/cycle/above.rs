//! The market above: an interval that is closed by its award, or without one; cut, killed, late, twice.

use edge::{
    above::{Document, Entry, Event, Fallback, Terms},
    site::{self, Above, Site},
};
use protocols::opcua::{
    Pki,
    message::{Award, Basis, Corner, Down, Offer, Up},
};
use solver::market::Price;

use super::*;

/// The first interval whose gate closes while the bench runs: its gate closes at 5 s, and an award is
/// waited for until 8 s.
pub(super) const FIRST: i64 = START + 10;

pub(super) fn site_above(fallback: Fallback) -> Site {
    let mut site = site::load(&bench::example()).unwrap();
    site.market.gate_s = 5;
    site.above = Some(Above {
        endpoint: "opc.tcp://192.0.2.1:4840".to_owned(),
        user: "north".to_owned(),
        password_file: "password".into(),
        tenant: "north".to_owned(),
        pki: Pki {
            folder: "pki".into(),
        },
        terms: Terms {
            award_s: 2,
            fallback,
            schedule: vec![(0, 9_000_000)],
            spread: Price(10_000_000),
            imbalance: site.market.imbalance,
        },
        meter: None,
        aggregators: Vec::new(),
    });
    site
}

/// A bench and all that went on record.
pub(super) struct Tied {
    pub(super) bench: Bench,
    pub(super) records: Vec<Record>,
}

impl Tied {
    fn new(fallback: Fallback) -> Self {
        Self::of(site_above(fallback))
    }

    pub(super) fn of(site: Site) -> Self {
        Self {
            bench: Bench::of(site, START * US),
            records: Vec::new(),
        }
    }

    /// Until the second `s` is done; the last output.
    pub(super) fn until(&mut self, s: i64) -> edge::cycle::Output {
        loop {
            let output = self.bench.tick();
            self.records.extend(output.records.iter().cloned());
            if self.bench.now_us > (START + s) * US {
                return output;
            }
        }
    }

    pub(super) fn hear(&mut self, event: Event) {
        let now_us = self.bench.now_us;
        if let Some(record) = self.bench.cycle.hear(event, now_us) {
            self.bench.cycle.restore(&record);
            self.records.push(record);
        }
    }

    fn entries(&self) -> Vec<&Entry> {
        let above = self.records.iter().filter_map(|record| match record {
            Record::Above(entry) => Some(entry),
            _ => None,
        });
        above.collect()
    }

    fn offer(&self, start: i64) -> Offer {
        let offers = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Offered { offer, .. } if offer.interval == start => Some(offer.clone()),
            _ => None,
        });
        let offers: Vec<Offer> = offers.collect();
        assert_eq!(offers.len(), 1, "{start}");
        offers[0].clone()
    }

    /// An award in the middle of the longest segment of the curve, at its price.
    fn award(&self, start: i64, sequence: u32) -> Award {
        let offer = self.offer(start);
        let length = |of: &&[Corner]| of[1].exchange_w - of[0].exchange_w;
        let longest = offer.curve.windows(2).max_by_key(length).unwrap();
        assert!(length(&longest) > 10_000, "{offer:?}");
        Award {
            interval: start,
            sequence,
            offer: offer.sequence,
            exchange_w: i64::midpoint(longest[0].exchange_w, longest[1].exchange_w),
            price: longest[0].price,
            q_var: i64::midpoint(longest[0].q_var, longest[1].q_var),
            grid_fee: 1_000_000,
            import_max_w: 50_000_000,
            export_max_w: 50_000_000,
            called_w: None,
            limits: vec!["rated current of branch 3 at its from side".to_owned()],
            u_ppm: None,
        }
    }

    pub(super) fn restart(&mut self) {
        // As it is read back from disk.
        let json = serde_json::to_string(&self.records).unwrap();
        self.records = serde_json::from_str(&json).unwrap();
        self.bench.restart(&self.records);
    }

    pub(super) fn replay(&self) -> Replay {
        let mut replay = Replay::new(i64::MIN, i64::MAX);
        for (number, record) in (0..).zip(&self.records) {
            let json = serde_json::to_string(record).unwrap();
            replay.record(number, serde_json::from_str(&json).unwrap());
        }
        replay
    }

    fn shown(output: &edge::cycle::Output, start: i64) -> edge::web::api::AboveIntervalView {
        let above = output.published.above.as_ref().unwrap();
        let start = edge::clock::rfc3339_s(start);
        let mut intervals = above.view.intervals.iter();
        intervals.find(|of| of.start == start).unwrap().clone()
    }
}

/// What stands in the record of an interval, in order.
fn story(records: &[Record], start: i64) -> Vec<&'static str> {
    let of = |record: &Record| match record {
        Record::Above(entry) if entry.interval() == start => Some(match entry {
            Entry::Offered { .. } => "offered",
            Entry::Awarded { .. } => "awarded",
            Entry::Closed { .. } => "closed",
            Entry::Totalled { .. } => "totalled",
            Entry::Answered { .. } => "answered",
        }),
        Record::Market(entry) => Some(match entry {
            LedgerEntry::GateClosed { interval, .. } if *interval == start => "gate",
            LedgerEntry::Cleared { interval, .. } if *interval == start => "cleared",
            LedgerEntry::ClearingFailed { interval, .. } if *interval == start => "failed",
            LedgerEntry::Delivering { interval, .. } if *interval == start => "delivering",
            LedgerEntry::Settled(of) if of.interval == start => "settled",
            _ => return None,
        }),
        _ => None,
    };
    records.iter().filter_map(of).collect()
}

#[test]
fn an_interval_is_closed_by_its_award() {
    let mut tied = Tied::new(Fallback::Zero);
    let output = tied.until(5);
    assert_eq!(story(&tied.records, FIRST), ["gate", "offered"]);
    let offer = tied.offer(FIRST);
    let above = output.published.above.as_ref().unwrap();
    assert_eq!(above.outbox.first(), Some(&Up::Offer(offer.clone())));
    assert!(offer.curve.len() >= 2, "{offer:?}");
    let (least, most) = (offer.curve[0], offer.curve[offer.curve.len() - 1]);
    assert!((least.exchange_w..=most.exchange_w).contains(&offer.forecast_w));
    assert!(offer.state.observed > 0.9 && offer.state.sigma_max_pu > 0.0);
    let award = tied.award(FIRST, 1);
    assert!(
        (award.exchange_w - offer.forecast_w).abs() > 5_000,
        "{offer:?}"
    );
    tied.hear(Event::Down(Down::Award(award.clone())));
    let output = tied.until(6);
    let told = ["gate", "offered", "awarded", "closed", "cleared"];
    assert_eq!(story(&tied.records, FIRST), told);
    let cleared = interval(&output, FIRST);
    assert_eq!(cleared.status.as_deref(), Some("optimal"), "{cleared:?}");
    // Exact to what the clearing calls converged.
    let off = cleared.import_w.unwrap() - award.exchange_w as f64;
    assert!(off.abs() < 100.0, "{off}");
    let agreed = cleared.contracts.iter().filter(|of| of.basis.is_some());
    let agreed: Vec<_> = agreed.collect();
    assert!(!agreed.is_empty());
    assert!(agreed.iter().all(|of| of.basis.as_deref() == Some("award")));
    let shown = Tied::shown(&output, FIRST);
    assert_eq!(
        (shown.basis.as_deref(), shown.award),
        (Some("award"), Some(1))
    );
    assert_eq!(alarm(&output, "no_award"), None);
    // The same again for the next one: the first seconds of this one are the way there from a feeder that nobody told
    // anything.
    let next = FIRST + 10;
    tied.until(15);
    let mut again = tied.award(next, 1);
    again.exchange_w = award.exchange_w;
    tied.hear(Event::Down(Down::Award(again)));
    let output = tied.until(33);
    // Delivered and metered: the bench's devices do what they are told.
    let awarded = award.exchange_w as f64 / 360.0;
    let flowed = |start: i64| {
        let shown = Tied::shown(&output, start);
        assert_eq!((shown.replaced, shown.agreed), (Some(true), None));
        (shown.import_wh.unwrap() - shown.export_wh.unwrap()) as f64
    };
    let off = (flowed(next) - awarded).abs() / awarded.abs();
    assert!(off < 0.001, "{} of {awarded}", flowed(next));
    let settled = interval(&output, FIRST);
    let sum: i64 = settled.settlement.iter().map(|row| row.amount_micro).sum();
    assert_eq!((settled.phase.as_str(), sum), ("settled", 0));
    let replay = tied.replay();
    assert_eq!(replay.differences, []);
    assert_eq!((replay.clearings, replay.settlements), (3, 2));
    // A closing that says other than the award on record does not pass.
    for record in &mut tied.records {
        if let Record::Above(Entry::Closed { closing, .. }) = record {
            closing.exchange_w += 1;
        }
    }
    let found = tied.replay().differences;
    assert!(found.iter().any(|of| of.what == "closing"), "{found:?}");
}

/// The grid above planned at 0.99 and at 1.01 pu: the clearing for good is behind that voltage, and the next curve.
#[test]
fn what_the_grid_above_is_planned_at_takes_the_place_of_the_networks_own() {
    let at = |u_ppm: i64| {
        let mut tied = Tied::new(Fallback::Zero);
        tied.until(5);
        let award = Award {
            u_ppm: Some(u_ppm),
            ..tied.award(FIRST, 1)
        };
        tied.hear(Event::Down(Down::Award(award)));
        let output = tied.until(6);
        let shown = Tied::shown(&output, FIRST);
        assert_eq!(shown.basis.as_deref(), Some("award"));
        assert_eq!(shown.awards[0].u_pu, Some(u_ppm as f64 / 1e6));
        let cleared = tied.records.iter().find_map(|record| match record {
            Record::Market(LedgerEntry::Cleared {
                interval: FIRST,
                clearing,
                ..
            }) => Some(clearing.u.clone()),
            _ => None,
        });
        tied.until(15);
        assert_eq!(tied.replay().differences, []);
        (cleared.unwrap(), tied.offer(FIRST + 10))
    };
    let ((low, after_low), (high, after_high)) = (at(990_000), at(1_010_000));
    let apart = low.iter().zip(&high).map(|(a, b)| b.norm() - a.norm());
    let most = apart.fold(0.0, f64::max);
    assert!((most - 0.02).abs() < 0.002, "{most}");
    assert_ne!(after_low.curve, after_high.curve);
}

#[test]
fn without_an_award_it_is_closed_on_time_by_the_fallback() {
    let mut tied = Tied::new(Fallback::Schedule);
    tied.hear(Event::Lost {
        reason: "no route".to_owned(),
    });
    let output = tied.until(7);
    assert_eq!(story(&tied.records, FIRST), ["gate", "offered"]);
    assert!(alarm(&output, "market_link").unwrap().contains("no route"));
    let output = tied.until(8);
    let told = ["gate", "offered", "closed", "cleared"];
    assert_eq!(story(&tied.records, FIRST), told);
    let cleared = interval(&output, FIRST);
    let bases: Vec<_> = cleared
        .contracts
        .iter()
        .filter_map(|of| of.basis.clone())
        .collect();
    assert!(!bases.is_empty() && bases.iter().all(|of| of == "schedule"));
    assert!(alarm(&output, "no_award").is_some());
    // The award comes after all: it changes nothing.
    let award = tied.award(FIRST, 1);
    tied.hear(Event::Linked {
        tenant: "north".to_owned(),
        clock_ms: -2_500,
    });
    tied.hear(Event::Down(Down::Award(award.clone())));
    tied.hear(Event::Down(Down::Award(award)));
    let output = tied.until(10);
    assert_eq!(interval(&output, FIRST).phase, "delivering");
    assert_eq!(alarm(&output, "market_link"), None);
    assert!(alarm(&output, "market_clock").unwrap().contains("-2.5 s"));
    let shown = Tied::shown(&output, FIRST);
    assert_eq!(
        (shown.basis.as_deref(), shown.exchange_w),
        (Some("schedule"), Some(9_000_000))
    );
    let late: Vec<_> = shown.awards.iter().map(|of| of.unused.as_deref()).collect();
    assert_eq!(late, [Some("late: the interval was closed already")]);
    assert_eq!(tied.replay().differences, []);
}

#[test]
fn what_the_market_above_answers_is_compared() {
    let mut tied = Tied::new(Fallback::Zero);
    let output = tied.until(23);
    let sent = |output: &edge::cycle::Output| {
        let above = output.published.above.as_ref().unwrap();
        above
            .outbox
            .iter()
            .filter(|of| of.interval() == FIRST)
            .cloned()
            .collect::<Vec<_>>()
    };
    let waiting = sent(&output);
    let kinds: Vec<Document> = waiting.iter().map(Document::of).collect();
    assert_eq!(kinds, [Document::Closing, Document::Total]);
    let hash = Tied::shown(&output, FIRST).hash.unwrap();
    let good = edge::store::Hash::parse(&hash).unwrap();
    for up in waiting {
        tied.hear(Event::Answer {
            up,
            answer: Ok(Some(good)),
        });
    }
    let output = tied.until(24);
    assert_eq!(sent(&output), []);
    assert_eq!(Tied::shown(&output, FIRST).agreed, Some(true));
    assert_eq!(alarm(&output, "account_differs"), None);
    // The next one is refused its total's hash.
    let output = tied.until(33);
    let above = output.published.above.as_ref().unwrap();
    let total = above
        .outbox
        .iter()
        .find(|of| matches!(of, Up::Total(of) if of.interval == START + 20));
    tied.hear(Event::Answer {
        up: total.unwrap().clone(),
        answer: Ok(Some(good)),
    });
    let output = tied.until(34);
    assert_eq!(Tied::shown(&output, START + 20).agreed, Some(false));
    assert!(alarm(&output, "account_differs").is_some());
}

#[test]
fn an_interval_that_cannot_be_cleared_is_closed_with_nothing() {
    let mut tied = Tied::new(Fallback::Schedule);
    tied.until(1);
    for device in tied.bench.site.devices.clone() {
        tied.bench.offline.insert(device.id.to_string());
    }
    let output = tied.until(10);
    assert_eq!(story(&tied.records, FIRST), ["failed", "closed"]);
    let shown = Tied::shown(&output, FIRST);
    assert_eq!(
        (shown.basis.as_deref(), shown.exchange_w),
        (Some("zero"), Some(0))
    );
    let output = tied.until(22);
    assert_eq!(Tied::shown(&output, FIRST).replaced, Some(true));
}

/// Killed after each entry of the record, with the award before or after that, or never: nothing is done
/// twice, nothing is lost, and it is on time.
#[test]
fn a_restart_in_any_state_keeps_its_word() {
    let states = [
        "gate",
        "offered",
        "awarded",
        "closed",
        "cleared",
        "delivering",
        "totalled",
    ];
    for state in states {
        let mut tied = Tied::new(Fallback::LastAward);
        tied.until(5);
        let award = tied.award(FIRST, 1);
        tied.hear(Event::Down(Down::Award(award.clone())));
        tied.until(22);
        let before = tied.records.clone();
        // All up to that entry, and the moment it was of.
        let is_last = |upto: usize| story(&before[..upto], FIRST).last() == Some(&state);
        let upto = (1..=before.len()).find(|&n| is_last(n)).unwrap();
        // A result and its contracts are on record together.
        let upto = upto + usize::from(state == "cleared");
        let at = match state {
            "gate" | "offered" => 5,
            "awarded" | "closed" | "cleared" => 6,
            "delivering" => 10,
            _ => 22,
        };
        let mut tied = Tied::new(Fallback::LastAward);
        tied.until(at - 1);
        tied.records = before[..upto].to_vec();
        tied.restart();
        // Again after the restart, as the wire does it; what is not offered yet is not awarded either.
        if state == "gate" {
            tied.until(at);
        }
        tied.hear(Event::Down(Down::Award(award.clone())));
        let output = tied.until(at.max(10));
        if at <= 10 {
            assert_eq!(interval(&output, FIRST).phase, "delivering", "{state}");
        }
        let output = tied.until(23);
        let mut told = story(&tied.records, FIRST);
        let expected = [
            "gate",
            "offered",
            "awarded",
            "closed",
            "cleared",
            "delivering",
            "settled",
            "totalled",
        ];
        told.sort_unstable();
        let mut sorted = expected.to_vec();
        sorted.sort_unstable();
        assert_eq!(told, sorted, "{state}");
        let shown = Tied::shown(&output, FIRST);
        assert_eq!(shown.basis.as_deref(), Some("award"), "{state}");
        assert_eq!(shown.exchange_w, Some(award.exchange_w), "{state}");
        assert_eq!(tied.replay().differences, [], "{state}");
    }
}

/// The award is on its way for longer or shorter: an interval is closed by it or without it, never late.
#[test]
fn however_late_an_award_comes_the_interval_begins_on_time() {
    for (seconds, basis) in [
        (5, Basis::Award),
        (7, Basis::Award),
        (8, Basis::Zero),
        (11, Basis::Zero),
    ] {
        let mut tied = Tied::new(Fallback::LastAward);
        tied.until(5);
        let award = tied.award(FIRST, 1);
        if seconds > 5 {
            tied.until(seconds);
        }
        tied.hear(Event::Down(Down::Award(award)));
        let output = tied.until(12);
        let word = match basis {
            Basis::Award => "award",
            _ => "zero",
        };
        assert_eq!(
            Tied::shown(&output, FIRST).basis.as_deref(),
            Some(word),
            "{seconds}"
        );
        let begun = tied.records.iter().find_map(|record| match record {
            Record::Market(LedgerEntry::Delivering { interval, at_us }) if *interval == FIRST => {
                Some(*at_us)
            }
            _ => None,
        });
        assert_eq!(begun, Some(FIRST * US), "{seconds}");
    }
}
