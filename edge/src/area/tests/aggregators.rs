//! An aggregator with orders in two of the substations, by hand.

use protocols::opcua::message::Aggregated;
use solver::market::{Settlement, StatementReason};

use super::*;
use crate::{
    invoice::{Invoice, Invoices},
    participants::{ParticipantRole, Register},
};

const AFTER: i64 = (START + LENGTH) * US;

fn flex(name: &str, delivered_wh: i64, amount: i64) -> Aggregated {
    Aggregated {
        name: name.to_owned(),
        delivered_wh,
        amount,
    }
}

fn with(total: Total, aggregators: Vec<Aggregated>) -> Up {
    Up::Total(Total {
        aggregators,
        ..total
    })
}

/// Both closed by their awards.
fn closed() -> (Market, Vec<Record>) {
    let (mut market, mut records) = cleared();
    for tenant in ["north", "south"] {
        let word = closing(&market, tenant, Basis::Award);
        records.extend(market.submit(tenant, Up::Closing(word), GATE).unwrap().0);
    }
    (market, records)
}

fn invoice(records: &[Record], account: &str) -> Invoice {
    let mut invoices = Invoices::default();
    for record in records {
        if let Record::Market(
            LedgerEntry::Settled(of) | LedgerEntry::Resettled { correction: of, .. },
        ) = record
        {
            invoices.add(of);
        }
    }
    let made = invoices.finish(|_| true).unwrap();
    made.into_iter().find(|of| of.account == account).unwrap()
}

/// South owes it 1.25 for 30 kWh that it gave, it owes north 0.4 for 8 kWh that it took: 0.85, in one account.
#[test]
fn it_has_one_account_and_a_line_for_each_substation() {
    let (mut market, mut records) = closed();
    let (south, north) = (
        with(
            total(1, 0, 500_000),
            vec![flex("flex-co", 30_000, 1_250_000)],
        ),
        with(
            total(1, 375_000, 0),
            vec![flex("flex-co", -8_000, -400_000)],
        ),
    );
    let without = accounts(&records);
    assert!(without.is_empty());
    let (new, receipt) = market.submit("south", south.clone(), AFTER).unwrap();
    let hash = market.book().deal(START, "south").unwrap().hash;
    assert_eq!(receipt.account, hash.map(|of| of.to_string()));
    records.extend(new);
    records.extend(market.submit("north", north, AFTER).unwrap().0);
    // The same again is the same: nothing more goes on record.
    let (again, receipt_again) = market.submit("south", south, AFTER).unwrap();
    assert!(again.is_empty());
    assert_eq!(receipt_again, receipt);

    let price = |of: &str| {
        let deal = market.book().deal(START, of).unwrap();
        deal.award.as_ref().unwrap().price
    };
    let accounts = accounts(&records);
    assert_eq!(accounts[&party("flex-co")], 1_250_000 - 400_000);
    // Each tenant kept to its award to the watt-hour: what is left is its energy, and the aggregator.
    assert_eq!(accounts[&party("south")], price("south") / 2 - 1_250_000);
    assert_eq!(accounts[&party("north")], -price("north") * 3 / 8 + 400_000);
    assert_eq!(accounts.values().sum::<i64>(), 0);

    let invoice = invoice(&records, "flex-co");
    let lines: Vec<_> = invoice
        .lines
        .iter()
        .map(|of| {
            let line = (&*of.reason, &*of.counterparty, of.delivered);
            (line, of.energy_wh, of.amount_micro)
        })
        .collect();
    assert_eq!(
        lines,
        [
            (("settled_above", "north", false), 8_000, -400_000),
            (("settled_above", "south", true), 30_000, 1_250_000),
        ]
    );
    assert_eq!((invoice.intervals, invoice.balance_micro), (1, 850_000));
}

#[test]
fn a_correction_changes_only_what_it_changes() {
    let (mut market, mut records) = closed();
    let mut give = |sequence, aggregators| {
        let up = with(total(sequence, 0, 500_000), aggregators);
        let (new, _) = market.submit("south", up, AFTER).unwrap();
        records.extend(new.clone());
        (accounts(&new), accounts(&records))
    };
    let (_, first) = give(1, vec![flex("flex-co", 30_000, 1_250_000)]);
    let (changed, all) = give(2, vec![flex("flex-co", 29_000, 1_210_000)]);
    assert_eq!(changed[&party("flex-co")], -40_000);
    assert_eq!(changed[&party("south")], 40_000);
    assert_eq!(all[&party("flex-co")], 1_210_000);
    assert_eq!(all[&party("south")], first[&party("south")] + 40_000);
    // It had no part in it after all.
    let (_, all) = give(3, Vec::new());
    assert_eq!(all[&party("flex-co")], 0);
    assert_eq!(all[&party("south")], first[&party("south")] + 1_250_000);
    let corrected = invoice(&records, "flex-co");
    assert_eq!((corrected.intervals, corrected.corrected), (1, 1));
    assert_eq!(corrected.balance_micro, 0);
}

/// Nothing is on record, and the same total is taken once the site file is put right, by a market that has
/// nothing but the record.
#[test]
fn one_that_the_site_file_does_not_know_waits_until_it_does() {
    let (mut market, mut records) = closed();
    let up = |name| with(total(1, 0, 500_000), vec![flex(name, 1_000, 50_000)]);
    for (tenant, name) in [
        ("south", "sun-co"),
        ("north", "sun-co"),
        ("west", "flex-co"),
    ] {
        if tenant == "west" {
            let word = closing(&market, tenant, Basis::Zero);
            records.extend(market.submit(tenant, Up::Closing(word), GATE).unwrap().0);
        }
        let refused = market.submit(tenant, up(name), AFTER).unwrap_err();
        let reason = format!("the area's site file has no aggregator {name} with tenant {tenant}");
        assert_eq!(refused, Refused::Unavailable { reason });
        assert_eq!(market.book().deal(START, tenant).unwrap().total, None);
    }
    let mut right = setup();
    right.aggregators.push(Aggregator {
        name: "sun-co".to_owned(),
        tenants: vec!["south".to_owned()],
    });
    let mut market = Market::new(Arc::new(right)).unwrap();
    for record in &records {
        market.restore(record);
    }
    market.resume(AFTER);
    let (new, receipt) = market.submit("south", up("sun-co"), AFTER).unwrap();
    assert!(receipt.account.is_some());
    assert_eq!(accounts(&new)[&party("sun-co")], 50_000);
    // It is not the same aggregator's everywhere.
    let refused = market.submit("north", up("sun-co"), AFTER);
    assert!(matches!(refused, Err(Refused::Unavailable { .. })));
}

#[test]
fn totals_that_make_no_sense_are_refused_by_name() {
    let (mut market, _) = closed();
    let mut refused = |aggregators| {
        let up = with(total(1, 0, 1), aggregators);
        match market.submit("south", up, AFTER) {
            Err(Refused::Invalid { what }) => what,
            other => panic!("{other:?}"),
        }
    };
    let twice = vec![flex("flex-co", 1, 1), flex("flex-co", 2, 2)];
    assert_eq!(refused(twice), "aggregator flex-co is there twice");
    let many = (0..257).map(|k| flex(&format!("flex-{k}"), 0, 0)).collect();
    assert_eq!(refused(many), "257 aggregators; 256 at most");
    for name in ["", "flex co", "flex\u{202e}", &"f".repeat(65)] {
        let what = refused(vec![flex(name, 0, 0)]);
        assert_eq!(what, "an aggregator's name is none", "{name}");
    }
    for (wh, amount) in [(i64::MIN, 0), (0, i64::MAX), (0, i64::MIN)] {
        let what = refused(vec![flex("flex-co", wh, amount)]);
        assert!(what.starts_with("aggregator flex-co: "), "{what}");
    }
}

/// A restart after every record comes to the same accounts.
#[test]
fn a_restart_in_between_settles_once() {
    let (_, records) = closed();
    let ups = [
        (
            "south",
            with(
                total(1, 0, 500_000),
                vec![flex("flex-co", 30_000, 1_250_000)],
            ),
        ),
        (
            "north",
            with(
                total(1, 375_000, 0),
                vec![flex("flex-co", -8_000, -400_000)],
            ),
        ),
        (
            "south",
            with(
                total(2, 0, 500_000),
                vec![flex("flex-co", 29_000, 1_210_000)],
            ),
        ),
    ];
    for restarts in [0b000, 0b001, 0b011, 0b111] {
        let mut records = records.clone();
        let restored = |records: &[Record]| {
            let mut market = market();
            for record in records {
                market.restore(record);
            }
            market.resume(AFTER);
            market
        };
        let mut market = restored(&records);
        for (k, (tenant, up)) in ups.iter().enumerate() {
            let (new, receipt) = market.submit(tenant, up.clone(), AFTER).unwrap();
            records.extend(new);
            if restarts & (1 << k) != 0 {
                market = restored(&records);
            }
            // Its answer was lost.
            let (none, again) = market.submit(tenant, up.clone(), AFTER).unwrap();
            assert!(none.is_empty());
            assert_eq!(again, receipt);
        }
        let accounts = accounts(&records);
        assert_eq!(
            accounts[&party("flex-co")],
            1_210_000 - 400_000,
            "{restarts:b}"
        );
        assert_eq!(accounts.values().sum::<i64>(), 0);
        let mut replay = Replay::new(0, i64::MAX);
        for (number, record) in (0..).zip(records) {
            replay.record(number, record);
        }
        assert_eq!((replay.clearings, replay.differences), (1, vec![]));
    }
}

/// It can be given a token, and holds nothing here that anybody could ask for.
#[test]
fn it_is_a_participant_without_a_unit() {
    let register = Register::of_area(&setup());
    let of = &register.participants["flex-co"];
    assert_eq!(of.role, ParticipantRole::Aggregator);
    assert_eq!(register.portfolio("flex-co").count(), 0);
}

fn lines(settlement: &Settlement, party: &Party) -> Vec<(StatementReason, Party, i64, i64)> {
    let of = settlement.statements.iter().find(|of| of.party == *party);
    let lines = of.unwrap().lines.iter();
    let line = |of: &solver::market::StatementLine| {
        (
            of.reason,
            of.counterparty.clone(),
            of.energy_wh,
            of.received.0,
        )
    };
    lines.map(line).collect()
}

/// On both statements, with the sign turned.
#[test]
fn both_sides_have_a_line() {
    let (mut market, _) = closed();
    let up = with(
        total(1, 0, 500_000),
        vec![flex("flex-co", 30_000, 1_250_000)],
    );
    let (new, _) = market.submit("south", up, AFTER).unwrap();
    let settled = new.iter().find_map(|record| match record {
        Record::Market(LedgerEntry::Settled(of)) => Some(of.clone()),
        _ => None,
    });
    let settled = settled.unwrap();
    let above = StatementReason::SettledAbove;
    let theirs = lines(&settled, &party("flex-co"));
    assert_eq!(theirs, [(above, party("south"), 30_000, 1_250_000)]);
    let paid = lines(&settled, &party("south")).pop().unwrap();
    assert_eq!(paid, (above, party("flex-co"), -30_000, -1_250_000));
    let order: Vec<_> = settled.statements.iter().map(|of| &of.party).collect();
    assert_eq!(order, [&party("flex-co"), &party("south"), &Party::Network]);
}
