//! The ledger on disk: what was appended, what was damaged, what another build wrote.

use std::{fs, os::unix::fs::PermissionsExt as _};

use protocols::opcua::message::{Basis, Closing, Total};
use solver::market::{
    Direction, LedgerEntry, Money, Order, OrderId, Party, Price, Settlement, Statement, Step, Terms,
};

use super::{file::FORMAT, *};
use crate::above::{Document, Entry};

fn order(id: u64) -> Record {
    Record::Market(LedgerEntry::OrderAccepted {
        at_us: 17,
        order: Order {
            id: OrderId(id),
            client_id: format!("c{id}"),
            participant: "p".to_owned(),
            unit: 93,
            interval: 1_800_000_000,
            direction: Direction::Sell,
            terms: Terms::default(),
            steps: vec![Step {
                quantity_w: 5,
                price: Price(20_000_000),
            }],
        },
        by: None,
    })
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let cancelled = Record::OrderCancelled {
        at_us: 18,
        order: OrderId(1),
        by: Some("user ada".to_owned()),
    };
    {
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.append(&[order(1), order(2)], 17, false).unwrap();
        ledger
            .append(std::slice::from_ref(&cancelled), 17, false)
            .unwrap();
        assert!(matches!(
            Ledger::open(dir.path()),
            Err(LedgerError::InUse(_))
        ));
    }
    let ledger = Ledger::open(dir.path()).unwrap();
    assert_eq!(
        ledger.recent(0).unwrap().records,
        [order(1), order(2), cancelled]
    );
    let file = fs::metadata(dir.path().join("ledger.redb")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

fn failed(interval: i64) -> Record {
    Record::Market(LedgerEntry::ClearingFailed {
        interval,
        reason: "no estimate".to_owned(),
    })
}

#[test]
fn a_restart_sees_every_order_however_many_and_no_more_than_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let old = [order(1), failed(100), order(2), failed(110)];
    let new: Vec<Record> = (3..5000).map(order).collect();
    ledger.append(&old, 17, false).unwrap();
    ledger.append(&new, 17, false).unwrap();
    ledger.append(&[failed(120)], 17, false).unwrap();
    let recent = ledger.recent(0).unwrap().records;
    assert_eq!(recent[0], old[3], "the first from before");
    assert_eq!(recent.len(), 1 + new.len() + 1);
    assert_eq!(ledger.recent(10).unwrap().records[0], old[1]);
}

#[test]
fn what_repeats_itself_is_kept_in_little() {
    let long = Record::Market(LedgerEntry::ClearingFailed {
        interval: 10,
        reason: "no estimate; ".repeat(1000),
    });
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger
        .append(std::slice::from_ref(&long), 17, false)
        .unwrap();
    assert_eq!(ledger.recent(0).unwrap().records, [long]);
    let kept = ledger.kept(0).len();
    assert!(kept < 1000, "{kept} bytes of 13000");
}

/// Else a number would be given twice.
#[test]
fn a_restart_sees_the_last_number_however_old_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let failures: Vec<Record> = (0..3000).map(|k| failed(10 * k)).collect();
    ledger.append(&[order(1), order(2)], 17, false).unwrap();
    ledger.append(&failures, 17, false).unwrap();
    assert_eq!(ledger.recent(1000).unwrap().records[0], order(2));
}

#[test]
fn a_damaged_ledger_is_refused_not_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.redb");
    fs::write(&file, b"this is no ledger").unwrap();
    assert!(matches!(
        Ledger::open(dir.path()),
        Err(LedgerError::Storage { .. })
    ));
    assert_eq!(fs::read(&file).unwrap(), b"this is no ledger");
}

/// Two signed intervals and something after them.
fn small(directory: &std::path::Path) -> Ledger {
    let ledger = Ledger::open(directory).unwrap();
    ledger.append(&[order(1), failed(100)], 5, true).unwrap();
    ledger.append(&[order(2), failed(110)], 15, true).unwrap();
    ledger.append(&[order(3)], 25, false).unwrap();
    ledger
}

#[test]
fn a_ledger_as_written_is_found_good_by_its_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = small(dir.path());
    let key = ledger.key().unwrap().public();
    let report = ledger.verify(&[key]).unwrap();
    assert_eq!(
        (report.records, report.checkpoints, report.unsigned),
        (7, 2, 1)
    );
    assert_eq!(report.keys.into_iter().collect::<Vec<_>>(), [key]);
    let other = Key::open(tempfile::tempdir().unwrap().path())
        .unwrap()
        .public();
    let error = ledger.verify(&[other]).unwrap_err();
    assert!(matches!(
        error,
        LedgerError::Damaged {
            fault: Fault::Stranger { number: 2, .. },
            ..
        }
    ));
    // Nothing new is not signed twice; what is new is, and vouches for all before.
    ledger.append(&[], 26, true).unwrap();
    ledger.append(&[], 27, true).unwrap();
    let report = ledger.verify(&[key]).unwrap();
    assert_eq!((report.records, report.unsigned), (8, 0));
}

#[test]
fn a_receipt_is_of_the_record_and_found_in_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = small(dir.path());
    let receipt = ledger.append(&[order(4)], 30, true).unwrap().unwrap();
    let row = ledger
        .rows(receipt.number)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!((row.hash, row.record()), (receipt.hash, Ok(order(4))));
    assert_eq!(ledger.append(&[], 30, true).unwrap(), None);
}

#[test]
fn any_byte_of_any_row_that_is_flipped_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = small(dir.path());
    let kept: Vec<Vec<u8>> = (0..7).map(|number| ledger.kept(number)).collect();
    Ledger::check(&kept).unwrap();
    let mut flipped = 0;
    for number in 0..7 {
        for at in 0..kept[number].len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut rows = kept.clone();
                rows[number][at] ^= bit;
                assert!(
                    Ledger::check(&rows).is_err(),
                    "row {number}, byte {at}, bit {bit:x}"
                );
                flipped += 1;
                if flipped % 200 == 0 {
                    let name = u64::try_from(number).unwrap();
                    ledger.tamper(name, Some(&rows[number]));
                    assert!(
                        ledger.verify(&[]).is_err(),
                        "row {number}, byte {at}, bit {bit:x}"
                    );
                    ledger.tamper(name, Some(&kept[number]));
                }
            }
        }
    }
    ledger.verify(&[]).unwrap();
    assert!(flipped > 1000, "{flipped}");
}

#[test]
fn a_row_taken_out_or_exchanged_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = small(dir.path());
    let rows: Vec<Vec<u8>> = (0..7).map(|number| ledger.kept(number)).collect();
    for number in 0..6 {
        let (this, next) = (&rows[number as usize], &rows[number as usize + 1]);
        ledger.tamper(number, None);
        let error = ledger.verify(&[]).unwrap_err();
        assert!(matches!(
            error,
            LedgerError::Damaged {
                fault: Fault::Order { .. },
                ..
            }
        ));
        ledger.tamper(number, Some(next));
        ledger.tamper(number + 1, Some(this));
        assert!(ledger.verify(&[]).is_err(), "{number}");
        ledger.tamper(number, Some(this));
        ledger.tamper(number + 1, Some(next));
    }
    ledger.verify(&[]).unwrap();
}

#[test]
fn a_chain_made_anew_without_the_key_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = small(dir.path());
    let forged = serde_json::to_string(&order(9)).unwrap();
    ledger.rechain(3, &forged);
    let error = ledger.verify(&[]).unwrap_err();
    assert!(matches!(
        error,
        LedgerError::Damaged {
            fault: Fault::Signature { number: 5, .. },
            ..
        }
    ));
}

#[test]
fn the_ledger_of_an_earlier_build_is_taken_over_whole() {
    let dir = tempfile::tempdir().unwrap();
    let old = [order(1), failed(100), order(2), failed(110)];
    Ledger::of_format(dir.path(), None, &old);
    assert!(
        Ledger::look(dir.path())
            .unwrap_err()
            .to_string()
            .contains("takes it over")
    );
    {
        let ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(ledger.recent(1000).unwrap().records, old);
        let rows: Vec<Row> = ledger.rows(0).unwrap().map(|row| row.unwrap()).collect();
        let times: Vec<i64> = rows.iter().map(|row| row.at_us).collect();
        assert_eq!(times, [17, 100_000_000, 17, 110_000_000]);
        ledger.append(&[order(3)], 5, true).unwrap();
        assert_eq!(ledger.verify(&[]).unwrap().records, 6);
    }
    // Once; and an earlier build does not take it for an empty one.
    let ledger = Ledger::open(dir.path()).unwrap();
    assert_eq!(ledger.verify(&[]).unwrap().unsigned, 0);
    assert_eq!(ledger.recent(1000).unwrap().records.len(), 6);
}

#[test]
fn the_ledger_of_a_newer_build_is_refused_by_name_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    Ledger::of_format(dir.path(), Some(FORMAT + 1), &[]);
    for _ in 0..2 {
        let error = Ledger::open(dir.path()).unwrap_err();
        assert!(
            matches!(error, LedgerError::Newer { found, .. } if found == FORMAT + 1),
            "{error}"
        );
        assert!(error.to_string().contains("newer Busbar"), "{error}");
    }
}

#[test]
fn a_record_of_another_build_stops_the_restart_but_not_the_auditor() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.append(&[order(1)], 5, false).unwrap();
    ledger.rechain(0, r#"{"record":"of_tomorrow","x":1}"#);
    let error = ledger.recent(0).unwrap_err().to_string();
    assert!(error.contains("intact, but of another build"), "{error}");
    assert_eq!(ledger.verify(&[]).unwrap().records, 1);
}

/// The orders, contracts and settlements that an early build wrote are of a form that is none any more.
fn of_an_early_build(interval: i64, last: &str) -> Vec<String> {
    let entry = |entry: &str, rest: &str| {
        format!(r#"{{"record":"market","entry":"{entry}","interval":{interval},{rest}}}"#)
    };
    vec![
        entry(
            "gate_closed",
            r#""case":{"orders":[{"id":7}],"fixed":[{"owner":{"order":{"id":9}}}]}"#,
        ),
        entry("cleared", r#""clearing":{}"#),
        entry("contracted", r#""contracts":[{"participant":"p"}]"#),
        entry(last, r#""statements":[]"#),
    ]
}

#[test]
fn what_an_early_build_has_settled_is_passed_over_and_what_it_owes_is_not() {
    for (last, goes_on) in [
        ("settled", true),
        ("voided", true),
        ("delivering", false),
        ("metered", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let old = of_an_early_build(1000, last);
        let place = vec![failed(1); old.len()];
        ledger.append(&place, 5, false).unwrap();
        for (number, json) in (0..).zip(&old) {
            ledger.rechain(number, json);
        }
        ledger.append(&[failed(1100)], 6, true).unwrap();
        match (ledger.recent(1000), goes_on) {
            (Ok(recent), true) => {
                assert_eq!(
                    recent.passed_over,
                    if last == "settled" { 3 } else { 4 },
                    "{last}"
                );
                assert_eq!(
                    recent.next_order, 10,
                    "numbers go on behind those of its loads"
                );
                assert!(recent.records.contains(&failed(1100)));
            }
            (Err(LedgerError::Record { .. }), false) => {}
            (other, _) => panic!("{last}: {other:?}"),
        }
        assert_eq!(ledger.verify(&[]).unwrap().records, 6);
    }
}

/// What `p` receives and the network pays, or what is said of that.
fn settled_as(interval: i64, of_p: i64, of_network: i64) -> Record {
    let statement = |party, balance| Statement {
        party,
        lines: Vec::new(),
        balance: Money(balance),
    };
    let p = Party::Participant("p".to_owned());
    Record::Market(LedgerEntry::Settled(Settlement {
        interval,
        statements: vec![statement(p, of_p), statement(Party::Network, of_network)],
    }))
}

fn settled(interval: i64, balance: i64) -> Record {
    settled_as(interval, balance, -balance)
}

/// Format 2 had no index: it is made of the records when they are taken over.
#[test]
fn a_ledger_without_an_index_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    let accounts =
        |ledger: &Ledger| -> Vec<i128> { ledger.accounts().unwrap().into_values().collect() };
    {
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger
            .append(&[settled(100, 5), settled(200, 7)], 5, false)
            .unwrap();
        ledger.without_index();
    }
    {
        let ledger = Ledger::look(dir.path()).unwrap();
        assert_eq!(accounts(&ledger), [12, -12]);
        assert_eq!(ledger.intervals(100..200).unwrap(), [100]);
    }
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.append(&[settled(300, -20)], 6, false).unwrap();
    assert_eq!(accounts(&ledger), [-8, 8]);
    assert_eq!(ledger.verify_accounts().unwrap(), 2);
    let mut intervals = Vec::new();
    ledger
        .settlements(0..301, |of| intervals.push(of.interval))
        .unwrap();
    assert_eq!(intervals, [100, 200, 300]);
}

#[test]
fn an_account_that_is_not_what_was_settled_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    assert_eq!(ledger.verify_accounts().unwrap(), 0);
    ledger.append(&[settled(100, 5)], 5, false).unwrap();
    assert_eq!(ledger.verify_accounts().unwrap(), 2);
    ledger.set_account(&Party::Participant("p".to_owned()), 6);
    let found = ledger.verify_accounts().unwrap_err().to_string();
    assert!(found.contains("account of p says 6"), "{found}");
    assert!(found.contains("sums to 5"), "{found}");
    ledger.set_account(&Party::Participant("p".to_owned()), 5);
    // Nobody's account but one that the record does not know.
    ledger.set_account(&Party::Upstream, 1);
    let found = ledger.verify_accounts().unwrap_err().to_string();
    assert!(found.contains("the grid above says 1"), "{found}");

    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.append(&[settled_as(100, 5, -4)], 5, false).unwrap();
    let found = ledger.verify_accounts().unwrap_err().to_string();
    assert!(found.contains("sums to 1 micro"), "{found}");
}

#[test]
fn a_network_goes_on_record_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let json = "{}".to_owned();
    let digest = Hash::of(json.as_bytes());
    let network = Record::Network { digest, json };
    ledger
        .append(&[order(1), network.clone(), failed(1)], 5, false)
        .unwrap();
    ledger
        .append(&[network.clone(), failed(2)], 6, false)
        .unwrap();
    assert_eq!(ledger.network(digest).unwrap(), Some(1));
    let kept = ledger.recent(1000).unwrap().records;
    assert_eq!(kept, [order(1), network, failed(1), failed(2)]);
}

fn exported(ledger: &Ledger, from_us: i64, to_us: i64) -> Vec<u8> {
    let mut text = Vec::new();
    ledger.export(from_us, to_us, &mut text).unwrap();
    text
}

#[test]
fn an_export_stands_on_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = small(dir.path());
    let key = ledger.key().unwrap().public();
    for (from, to, records) in [
        (i64::MIN, i64::MAX, 7),
        (0, 15, 3),
        (15, 26, 4),
        (99, 100, 0),
    ] {
        let text = exported(&ledger, from, to);
        let report = verify_export(text.as_slice(), &[key]).unwrap();
        assert_eq!(
            (report.records, report.unsigned),
            (records, 0),
            "{from} to {to}"
        );
    }
}

#[test]
fn any_byte_of_an_export_that_is_flipped_or_missing_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    let text = exported(&small(dir.path()), 0, 16);
    let caught = |text: &[u8]| verify_export(text, &[]).is_err();
    assert!(!caught(&text));
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut flipped = text.clone();
            flipped[at] ^= 1 << bit;
            assert!(caught(&flipped), "byte {at}, bit {bit}");
        }
        assert!(caught(&text[..at]), "cut at {at}");
        let mut longer = text.clone();
        longer.insert(at, b' ');
        assert!(caught(&longer), "a blank at {at}");
    }
}

#[test]
fn holds_that_were_not_given_back_are_known_however_old_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let commanded = |unit, holder, p_w: Option<f64>| Record::Commanded {
        at_us: 18,
        holder,
        by: "user ada".to_owned(),
        unit,
        hold: p_w.map(|p_w| Hold {
            p_w,
            q_var: 0.0,
            until_us: 86_400_000_000,
        }),
    };
    let (scada, operator) = (Holder::Scada, Holder::Operator);
    {
        let ledger = Ledger::open(dir.path()).unwrap();
        let records = [
            commanded(101, operator, Some(1e6)),
            commanded(101, scada, Some(2e6)),
            commanded(102, operator, Some(3e6)),
            commanded(101, operator, Some(4e6)),
            commanded(102, operator, None),
            commanded(103, operator, None),
        ];
        ledger.append(&records, 17, false).unwrap();
        // As it is without an index of them: it is made again.
        ledger.without_index();
    }
    let ledger = Ledger::open(dir.path()).unwrap();
    let standing = [
        commanded(101, scada, Some(2e6)),
        commanded(101, operator, Some(4e6)),
    ];
    assert_eq!(ledger.holds().unwrap(), standing);
}

#[test]
fn a_hold_on_record_of_an_early_build_is_the_control_centres() {
    let json = r#"{"record":"commanded","at_us":1,"by":"dso","unit":101,"hold":null}"#;
    let Record::Commanded { holder, .. } = serde_json::from_str(json).unwrap() else {
        panic!("{json}");
    };
    assert_eq!(holder, Holder::Scada);
}

/// An interval whose corrected total is not answered comes back whole: with its closing, which was answered long ago.
#[test]
fn an_interval_with_something_to_send_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let closed = |interval| {
        Record::Above(Entry::Closed {
            at_us: 0,
            closing: Closing {
                interval,
                sequence: 1,
                basis: Basis::Zero,
                award: None,
                exchange_w: 0,
                price: 0,
            },
            length_s: 900,
            interface: Vec::new(),
        })
    };
    let totalled = |interval, sequence| {
        Record::Above(Entry::Totalled {
            at_us: 0,
            total: Total {
                interval,
                sequence,
                import_wh: 5,
                export_wh: 0,
                replaced: false,
                aggregators: Vec::new(),
            },
        })
    };
    let answered = |interval, sequence| {
        Record::Above(Entry::Answered {
            at_us: 0,
            interval,
            document: Document::Total,
            sequence,
            refused: None,
            hash: None,
        })
    };
    for start in [0, 900] {
        let all = [closed(start), totalled(start, 1), answered(start, 1)];
        ledger.append(&all, 0, false).unwrap();
    }
    assert_eq!(ledger.unsent().unwrap(), []);
    ledger.append(&[totalled(0, 2)], 0, false).unwrap();
    let whole = [closed(0), totalled(0, 1), answered(0, 1), totalled(0, 2)];
    assert_eq!(ledger.unsent().unwrap(), whole);
    let other = [closed(900), totalled(900, 1), answered(900, 1)];
    assert_eq!(ledger.above(900).unwrap(), other);
    // As found again where an index was lost.
    drop(ledger);
    let ledger = Ledger::open(dir.path()).unwrap();
    ledger.without_index();
    drop(ledger);
    let ledger = Ledger::open(dir.path()).unwrap();
    assert_eq!(ledger.unsent().unwrap(), whole);
}
