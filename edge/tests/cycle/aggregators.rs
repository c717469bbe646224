//! Participants that are settled in the market above: nothing is left of them here, and all of it goes up.

use edge::{
    above::{Entry, Event, Fallback, passed},
    cycle::Output,
    metering::Standing,
};
use protocols::opcua::message::{Aggregated, Refused, Total, Up};
use solver::market::{Meter, MeterQuality, Party, Settlement, Statement, StatementReason};

use super::{
    above::{FIRST, Tied, site_above},
    *,
};

/// The batteries' owner, and the wind park's.
const PASSED: [&str; 2] = ["storage", "windpark"];

fn tied() -> Tied {
    let mut site = site_above(Fallback::Schedule);
    if let Some(above) = &mut site.above {
        above.aggregators = PASSED.map(str::to_owned).to_vec();
    }
    Tied::of(site)
}

fn settled(tied: &Tied, start: i64) -> Settlement {
    let found = tied.records.iter().find_map(|record| match record {
        Record::Market(LedgerEntry::Settled(of)) if of.interval == start => Some(of.clone()),
        _ => None,
    });
    found.unwrap()
}

fn totals(tied: &Tied, start: i64) -> Vec<Total> {
    let found = tied.records.iter().filter_map(|record| match record {
        Record::Above(Entry::Totalled { total, .. }) if total.interval == start => {
            Some(total.clone())
        }
        _ => None,
    });
    found.collect()
}

fn statement<'s>(of: &'s Settlement, party: &Party) -> &'s Statement {
    of.statements.iter().find(|of| of.party == *party).unwrap()
}

fn party(name: &str) -> Party {
    Party::Participant(name.to_owned())
}

/// All records of an interval that a correction rests on.
fn of_interval(tied: &Tied, start: i64) -> Vec<Record> {
    let of = |record: &&Record| match record {
        Record::Market(entry) => match entry {
            LedgerEntry::GateClosed { interval, .. }
            | LedgerEntry::Contracted { interval, .. }
            | LedgerEntry::Metered { interval, .. } => *interval == start,
            LedgerEntry::Settled(of) => of.interval == start,
            LedgerEntry::Resettled { correction, .. } => correction.interval == start,
            _ => false,
        },
        _ => false,
    };
    tied.records.iter().filter(of).cloned().collect()
}

/// The meter of a wind park says so much more than it did, Wh; on record with what it changes.
fn more(tied: &mut Tied, start: i64, wh: i64) -> Settlement {
    let standing = Standing::of(start, &of_interval(tied, start)).unwrap();
    let wind = party("windpark");
    let was = standing.now.iter().find(|of| of.party == wind).unwrap();
    let meter = Meter {
        delivered_wh: was.delivered_wh + wh,
        quality: MeterQuality::Replaced,
        ..was.clone()
    };
    let entry = standing.resettled(vec![meter]);
    let LedgerEntry::Resettled { correction, .. } = entry.clone() else {
        panic!("{entry:?}")
    };
    let changes = [entry.clone()];
    let cycle = &mut tied.bench.cycle;
    for start in cycle.forgotten_above(&changes) {
        let of_it = |record: &&Record| match record {
            Record::Above(entry) => entry.interval() == start,
            _ => false,
        };
        let records: Vec<Record> = tied.records.iter().filter(of_it).cloned().collect();
        cycle.remember_above(&records);
    }
    let totals = cycle.corrected_totals(&changes, tied.bench.now_us);
    for record in [Record::Market(entry)].into_iter().chain(totals) {
        tied.bench.cycle.restore(&record);
        tied.records.push(record);
    }
    correction
}

#[test]
fn what_passes_up_is_nothing_here() {
    let mut tied = tied();
    let output = tied.until(33);
    for start in [FIRST, FIRST + 10] {
        let settlement = settled(&tied, start);
        assert_eq!(settlement.sum().0, 0);
        let [total] = &totals(&tied, start)[..] else {
            panic!("one total of {start}")
        };
        let names: Vec<&str> = total.aggregators.iter().map(|of| &*of.name).collect();
        assert_eq!(names, PASSED);
        let upstream = statement(&settlement, &Party::Upstream);
        for of in &total.aggregators {
            let own = statement(&settlement, &party(&of.name));
            let (up, before) = own.lines.split_last().unwrap();
            assert_eq!(own.balance.0, 0);
            assert_eq!(up.reason, StatementReason::SettledAbove);
            assert_eq!(up.counterparty, Party::Upstream);
            let sums = before.iter().fold((0, 0), |(wh, money), line| {
                (wh + line.energy_wh, money + line.received.0)
            });
            assert_eq!(sums, (of.delivered_wh, of.amount));
            assert_eq!((up.energy_wh, up.received.0), (-sums.0, -sums.1));
            let theirs = upstream
                .lines
                .iter()
                .find(|of| of.counterparty == own.party);
            let theirs = theirs.unwrap();
            assert_eq!((theirs.energy_wh, theirs.received.0), sums);
        }
        let lines = upstream.lines.iter().map(|line| line.received.0);
        assert_eq!(lines.sum::<i64>(), upstream.balance.0);
        // Wind is metered: what passes up is what it delivered.
        let metered = Standing::of(start, &of_interval(&tied, start)).unwrap().now;
        let wind = metered
            .iter()
            .find(|of| of.party == party("windpark"))
            .unwrap();
        assert!(wind.delivered_wh > 0);
        assert_eq!(total.aggregators[1].delivered_wh, wind.delivered_wh);
        // Others are settled here.
        assert_ne!(statement(&settlement, &party("prosumers")).balance.0, 0);
    }
    let replay = tied.replay();
    assert_eq!((replay.settlements, replay.differences), (2, vec![]));
    // Shown as metered once, and the rows sum to nothing.
    let shown = interval(&output, FIRST).settlement;
    let wind: i64 = shown
        .iter()
        .filter(|row| row.account == "windpark")
        .map(|row| row.metered_wh)
        .sum();
    let total = &totals(&tied, FIRST)[0];
    assert_eq!(wind, total.aggregators[1].delivered_wh);
    assert_eq!(shown.iter().map(|row| row.amount_micro).sum::<i64>(), 0);
}

#[test]
fn a_correction_makes_another_total_however_long_ago_it_was() {
    let mut tied = tied();
    tied.until(33);
    let first = totals(&tied, FIRST).remove(0);
    let correction = more(&mut tied, FIRST, 250);
    assert_eq!(correction.sum().0, 0);
    let wind = statement(&correction, &party("windpark"));
    assert_eq!(wind.balance.0, 0);
    let second = totals(&tied, FIRST).remove(1);
    assert_eq!(second.sequence, 2);
    assert_eq!(
        (second.import_wh, second.export_wh),
        (first.import_wh, first.export_wh)
    );
    let wind = |of: &Total| of.aggregators[1].clone();
    assert_eq!(wind(&second).delivered_wh, wind(&first).delivered_wh + 250);
    assert_ne!(wind(&second).amount, wind(&first).amount);
    assert_eq!(second.aggregators[0], first.aggregators[0]);
    // What went up is what is on record, corrections included, and so it is after a restart.
    let on_record = |tied: &Tied| -> Vec<Aggregated> {
        let of = tied.records.iter().filter_map(|record| match record {
            Record::Market(
                LedgerEntry::Settled(of) | LedgerEntry::Resettled { correction: of, .. },
            ) if of.interval == FIRST => Some(of),
            _ => None,
        });
        passed::of(of)
    };
    assert_eq!(on_record(&tied), second.aggregators);
    tied.restart();
    let output = tied.until(34);
    answer_all(&mut tied, &output);
    // So long after that it is not in mind any more.
    tied.bench.now_us += 2_000 * US;
    tied.until(2_040);
    let third = more(&mut tied, FIRST, -100);
    assert_eq!(statement(&third, &party("windpark")).balance.0, 0);
    let third = totals(&tied, FIRST).remove(2);
    assert_eq!(third.sequence, 3);
    assert_eq!(on_record(&tied), third.aggregators);
    assert_eq!(wind(&third).delivered_wh, wind(&first).delivered_wh + 150);
    let output = tied.until(2_041);
    let above = output.published.above.as_ref().unwrap();
    assert!(above.outbox.contains(&Up::Total(third)));
    assert_eq!(tied.replay().differences, []);
}

/// Answers everything that is to be sent.
fn answer_all(tied: &mut Tied, output: &Output) {
    let above = output.published.above.as_ref().unwrap();
    for up in above.outbox.iter().cloned() {
        tied.hear(Event::Answer {
            up,
            answer: Ok(None),
        });
    }
}

/// The area does not know it yet: the alarm says so until it does, and closings do not wait behind the total.
#[test]
fn a_total_that_has_to_wait_is_alarmed() {
    let mut tied = tied();
    let output = tied.until(34);
    let outbox = &output.published.above.as_ref().unwrap().outbox;
    let kind = |up: &Up| match up {
        Up::Offer(_) => 0,
        Up::Closing(_) => 1,
        Up::Total(_) => 2,
    };
    let kinds: Vec<i32> = outbox.iter().map(kind).collect();
    assert!(kinds.is_sorted() && kinds.contains(&1), "{kinds:?}");
    let total = outbox.iter().find(|up| kind(up) == 2).unwrap().clone();
    let reason = "the area's site file has no aggregator windpark with tenant north".to_owned();
    tied.hear(Event::Answer {
        up: total.clone(),
        answer: Err(Refused::Unavailable { reason }),
    });
    let output = tied.until(35);
    let text = alarm(&output, "document_waits").unwrap();
    assert!(
        text.contains("no aggregator windpark with tenant north"),
        "{text}"
    );
    let outbox = &output.published.above.as_ref().unwrap().outbox;
    assert!(outbox.contains(&total), "it is still to be sent");
    // That a later one is kept does not mean that this one is.
    let later = outbox.iter().rfind(|up| kind(up) == 2).unwrap().clone();
    assert!(later.interval() > total.interval());
    tied.hear(Event::Answer {
        up: later,
        answer: Ok(None),
    });
    let output = tied.until(36);
    assert!(alarm(&output, "document_waits").is_some());
    tied.hear(Event::Answer {
        up: total,
        answer: Ok(None),
    });
    let output = tied.until(37);
    assert_eq!(alarm(&output, "document_waits"), None);
}
