//! Values of meters, and what they change in accounts and invoices: on intervals that the pure cycle has
//! cleared and settled, in a state directory that the appliance then goes on with.

use std::{path::Path, process::Command};

use edge::{
    clock::rfc3339_s,
    site,
    store::{Ledger, Record},
};
use serde_json::{Value, json};
use solver::market::LedgerEntry;

use super::{
    bench::{Bench, US, example},
    stack::{INTERVAL_S, Stack},
};

/// A register's time an hour ago, in which two intervals of ten seconds were settled, and one was delivered:
/// the appliance settles it when it starts, as contracted.
fn recorded(state: &Path) -> i64 {
    recorded_with(state, 2, 34)
}

/// As many seconds, where intervals are settled so long after their end.
fn recorded_with(state: &Path, settle_s: u32, seconds: i64) -> i64 {
    let start = (edge::clock::now_us() / US / INTERVAL_S - 4) * INTERVAL_S;
    let ledger = Ledger::open(state).unwrap();
    let mut site = site::load(&example()).unwrap();
    site.market.settle_s = settle_s;
    let mut bench = Bench::of(site, start * US);
    while bench.now_us < (start + seconds) * US {
        let output = bench.tick();
        let at_us = bench.now_us;
        ledger.append(&output.records, at_us, true).unwrap();
    }
    let settled = settled(&ledger, start);
    let due = |&of: &i64| of + 10 + i64::from(settle_s) < start + seconds;
    let all = [start + 10, start + 20];
    assert_eq!(settled, Vec::from_iter(all.into_iter().filter(due)));
    start
}

/// Starts of the intervals of a register's time that were settled.
fn settled(ledger: &Ledger, start: i64) -> Vec<i64> {
    let mut settled = Vec::new();
    let range = start..start + INTERVAL_S;
    ledger
        .settlements(range, |of| settled.push(of.interval))
        .unwrap();
    settled
}

fn busbar(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busbar"));
    let output = command.args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

fn sum(rows: &Value, key: &str) -> i64 {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[key].as_i64().unwrap()).sum()
}

fn of<'a>(rows: &'a Value, account: &str) -> &'a Value {
    let mut rows = rows.as_array().unwrap().iter();
    rows.find(|row| row["account"] == account).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_meters_correct_what_was_settled() {
    let dir = tempfile::tempdir().unwrap();
    let start = recorded(dir.path());
    let stack = Stack::start(dir.path()).await;
    let ada = &stack.ada;
    let get = async |path: &str| ada.get(&format!("/api/v1/market/{path}")).await.json();
    let before = get("accounts").await;
    assert_eq!(sum(&before, "balance_micro"), 0);
    stack.put("meters/DE1", &json!({ "unit": 101 })).await;
    let values = "/api/v1/market/meters/values";
    let value = |wh: i64, quality: &str| {
        json!([{ "meter": "DE1", "start": rfc3339_s(start), "length_s": 900, "delivered_wh": wh,
                 "quality": quality }])
    };

    // A megawatt-hour in 15 minutes: of the 30 s that were settled, 33 333 Wh.
    let first = ada.post(values, &value(1_000_000, "metered")).await.json();
    let (taken, corrected) = (first["taken"].as_i64(), first["corrected"].as_i64());
    assert_eq!((taken, corrected), (Some(1), Some(3)), "{first}");
    let again = ada.post(values, &value(1_000_000, "metered")).await.json();
    assert_eq!(
        again,
        json!({ "taken": 0, "unchanged": 1, "corrected": 0, "record": null })
    );
    let after = get("accounts").await;
    assert_eq!(sum(&after, "balance_micro"), 0);
    let wind = |accounts: &Value| of(accounts, "windpark")["balance_micro"].as_i64().unwrap();
    assert_ne!(wind(&before), wind(&after));

    // Another 27 Wh in those 30 s: at the price of a shortfall less or a surplus more.
    let csv = format!(
        "meter,start,length_s,delivered_wh,quality\nDE1,{},900,1000810,replaced\n",
        rfc3339_s(start)
    );
    let headers = [("content-type", "text/csv; charset=utf-8")];
    let second = ada.send("POST", values, &headers, csv).await;
    assert_eq!(second.json()["corrected"], 3, "{:?}", second.body);
    let more = wind(&get("accounts").await) - wind(&after);
    assert!(more > 0, "{more}");
    let said = get("meters/DE1/values").await;
    assert_eq!(said[0]["delivered_wh"], 1_000_810);
    assert_eq!(said[0]["quality"], "replaced");
    assert_eq!(said.as_array().unwrap().len(), 1, "the last one counts");

    let period = format!(
        "invoices?from={}&to={}",
        rfc3339_s(start),
        rfc3339_s(start + INTERVAL_S)
    );
    let invoices = get(&period).await;
    assert_eq!(sum(&invoices, "balance_micro"), 0);
    let own = of(&invoices, "windpark");
    assert_eq!(
        (&own["intervals"], &own["corrected"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(
        sum(&own["lines"], "amount_micro"),
        own["balance_micro"].as_i64().unwrap()
    );
    let reasons = own["lines"].as_array().unwrap().iter();
    assert!(reasons.clone().any(|line| line["reason"] == "correction"));
    assert!(reasons.clone().any(|line| line["reason"] == "contract"));

    // The appliance's own metering stands again: as if nobody had said anything.
    ada.post(values, &value(0, "missing")).await;
    assert_eq!(get("accounts").await, before);

    let (from, to) = (rfc3339_s(start), rfc3339_s(start + INTERVAL_S));
    let invoices = get(&period).await;
    stack.stopped().await;
    let state = dir.path().to_str().unwrap();
    let of_cli = [
        "invoice", "--state", state, "--from", &from, "--to", &to, "--json",
    ];
    let (_, text) = busbar(&of_cli);
    let of_cli: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(of_cli, invoices, "one and the same");
    let (good, text) = busbar(&["replay", "--state", state, "--from", &from, "--to", &to]);
    assert!(good && text.contains("9 corrections"), "{text}");
    let (good, text) = busbar(&["ledger", "verify", "--state", state]);
    assert!(good, "{text}");
}

/// Intervals are settled long after their end: what comes before that is no correction but what they are settled
/// on, also after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_within_the_delay_are_what_is_settled_on() {
    let dir = tempfile::tempdir().unwrap();
    // Two intervals are over and read; the end of the third, which had begun, nobody saw.
    let start = recorded_with(dir.path(), 7200, 34);
    let delayed = async || Stack::of(dir.path(), |site| site.market.settle_s = 7200).await;
    let stack = delayed().await;
    let ada = &stack.ada;
    stack.put("meters/DE1", &json!({ "unit": 101 })).await;
    let values = "/api/v1/market/meters/values";
    let value = |wh: i64, quality: &str| {
        json!([{ "meter": "DE1", "start": rfc3339_s(start), "length_s": 900, "delivered_wh": wh,
                 "quality": quality }])
    };
    let accounts = ada.get("/api/v1/market/accounts").await.json();
    assert_eq!(accounts, json!([]), "nothing is settled");
    for (wh, quality) in [(900_000, "metered"), (1_000_000, "replaced")] {
        let given = ada.post(values, &value(wh, quality)).await.json();
        assert_eq!(
            (&given["taken"], &given["corrected"]),
            (&json!(1), &json!(0)),
            "{given}"
        );
    }
    let again = ada.post(values, &value(1_000_000, "replaced")).await.json();
    assert_eq!(again["unchanged"], 1);
    stack.stopped().await;

    // A restart knows of them, whatever is left of the delay.
    let stack = delayed().await;
    let ada = &stack.ada;
    let accounts = ada.get("/api/v1/market/accounts").await.json();
    assert_eq!(accounts, json!([]));
    stack.stopped().await;
    let stack = Stack::start(dir.path()).await;
    let ada = &stack.ada;
    let accounts = ada.get("/api/v1/market/accounts").await.json();
    assert_eq!(sum(&accounts, "balance_micro"), 0);
    let period = format!(
        "/api/v1/market/invoices?from={}&to={}",
        rfc3339_s(start),
        rfc3339_s(start + INTERVAL_S)
    );
    let invoices = ada.get(&period).await.json();
    let own = of(&invoices, "windpark");
    assert_eq!(
        (&own["intervals"], &own["corrected"]),
        (&json!(3), &json!(0))
    );
    // What is taken back now is a correction of it, to what the appliance itself has metered.
    let given = ada.post(values, &value(0, "missing")).await.json();
    assert_eq!(given["corrected"], 3, "{given}");
    let corrected = ada.get("/api/v1/market/accounts").await.json();
    stack.stopped().await;

    // A megawatt-hour in 15 minutes, of which 30 s were delivered.
    let ledger = Ledger::look(dir.path()).unwrap();
    let settled_on = |start: i64| -> i64 {
        let mut said = 0;
        for record in ledger.interval(start).unwrap() {
            match record {
                Record::Market(LedgerEntry::Metered { meters, .. }) => {
                    let own = meters.iter().find(|of| of.unit == Some(101)).unwrap();
                    said = own.delivered_wh;
                }
                Record::Market(LedgerEntry::Settled(_)) => break,
                _ => {}
            }
        }
        said
    };
    let all = [10, 20, 30].map(|after| settled_on(start + after));
    assert_eq!(all.iter().sum::<i64>(), 33_333, "{all:?}");
    drop(ledger);
    // The same as where nobody had ever said anything.
    let other = tempfile::tempdir().unwrap();
    recorded_with(other.path(), 2, 34);
    let stack = Stack::start(other.path()).await;
    let plain = stack.ada.get("/api/v1/market/accounts").await.json();
    assert_eq!(corrected, plain);
    stack.stopped().await;
    let state = dir.path().to_str().unwrap();
    let (good, text) = busbar(&["replay", "--state", state]);
    assert!(good && text.contains("3 corrections"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_values_and_who_sees_them() {
    let dir = tempfile::tempdir().unwrap();
    let start = recorded(dir.path());
    let stack = Stack::start(dir.path()).await;
    stack.put("meters/DE1", &json!({ "unit": 101 })).await;
    stack
        .put("participants/grid", &json!({ "role": "dso" }))
        .await;
    let (_, wind) = stack.program("windpark").await;
    let (_, pv) = stack.program("prosumers").await;
    let (_, grid) = stack.program("grid").await;
    let values = "market/meters/values";
    let value = json!([{ "meter": "DE1", "start": rfc3339_s(start), "delivered_wh": 5,
                         "quality": "metered" }]);
    wind.send("POST", values, value.clone())
        .await
        .refused(403, "not_yours");
    let given = grid.send("POST", values, value.clone()).await;
    assert_eq!(given.json()["corrected"], 3, "{:?}", given.body);

    let own = "market/meters/DE1/values";
    assert_eq!(wind.get(own).await.json()[0]["delivered_wh"], 5);
    pv.get(own).await.refused(403, "not_yours");
    assert_eq!(pv.get("market/meters").await.json(), json!([]));
    let accounts = wind.get("market/accounts").await.json();
    assert_eq!(accounts.as_array().unwrap().len(), 1);
    assert_eq!(accounts[0]["account"], "windpark");
    let invoices = wind.get("market/invoices").await.json();
    assert_eq!(invoices.as_array().unwrap().len(), 1);
    assert_eq!(invoices[0]["account"], "windpark");
    wind.get("market/invoices?participant=prosumers")
        .await
        .refused(403, "not_yours");

    // All of them or none.
    let mut bad = value.as_array().unwrap().clone();
    bad[0]["delivered_wh"] = json!(6);
    bad.push(
        json!({ "meter": "DE2", "start": rfc3339_s(start), "delivered_wh": 5,
                     "quality": "metered" }),
    );
    let words = stack
        .ada
        .post(&format!("/api/v1/{values}"), &json!(bad))
        .await;
    let words = words.refused(404, "unknown_meter");
    assert!(words.contains("value 1"), "{words}");
    assert_eq!(wind.get(own).await.json()[0]["delivered_wh"], 5);
    let soon = json!([{ "meter": "DE1", "start": rfc3339_s(start + 40 * INTERVAL_S),
                        "delivered_wh": 5, "quality": "metered" }]);
    grid.send("POST", values, soon)
        .await
        .refused(409, "too_early");
    let none = json!([{ "meter": "DE1", "start": rfc3339_s(start), "quality": "metered" }]);
    grid.send("POST", values, none).await.refused(422, "energy");
    let headers = [("content-type", "text/csv")];
    let path = format!("/api/v1/{values}");
    for body in [&b"a,b"[..], &[0xff, 0xfe]] {
        let answer = stack.ada.send("POST", &path, &headers, body.to_vec()).await;
        answer.refused(422, "malformed_csv");
    }
    stack.stopped().await;
}
