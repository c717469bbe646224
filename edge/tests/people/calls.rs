//! A call over HTTP, from the DSO's program to the invoices: the cycle on the bench, which has a time of its
//! own, behind the real server and ledger.

use std::{
    path::Path,
    process::{Command, Output},
    sync::Arc,
    thread,
};

use edge::{
    clock::rfc3339_s,
    feed::Feed,
    published::{Handle, OrderAsk, Published, Request},
    store::{Ledger, Record, users::UserStore},
    web,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    bench::{Bench, START, US, example},
    client::Client,
    stack::Program,
};

/// Runs the bench until so many seconds after its start, then says so.
type Until = (i64, oneshot::Sender<()>);

/// The loop: requests are decided on, on record next, taken over last.
struct Loop {
    bench: Bench,
    ledger: Arc<Ledger>,
    published: watch::Sender<Arc<Published>>,
}

impl Loop {
    fn tick(&mut self) {
        let at_us = self.bench.now_us;
        let output = self.bench.tick();
        self.ledger.append(&output.records, at_us, false).unwrap();
        self.published.send_replace(output.published);
    }

    fn keep(&self, record: Option<Record>) {
        let records: Vec<Record> = record.into_iter().collect();
        self.ledger
            .append(&records, self.bench.now_us, false)
            .unwrap();
    }

    fn answer(&mut self, request: Request) {
        let now_us = self.bench.now_us;
        match request {
            Request::Order {
                ask: OrderAsk::Place(order),
                by,
                answer,
            } => {
                let decided = self.bench.cycle.decide_order(order, &by, now_us);
                let _ = answer.send(decided.and_then(|decision| {
                    self.keep(decision.record.clone());
                    self.bench.cycle.settle_decision(&decision)
                }));
            }
            Request::Register { change, by, answer } => {
                let decided = self.bench.cycle.decide_change(change.clone(), &by, now_us);
                let done = decided.map(|record| {
                    self.keep(record);
                    self.bench.cycle.settle_change(&change, now_us);
                    None
                });
                // Who asked looks at what is published next: it shall be there.
                self.republish();
                let _ = answer.send(done);
            }
            Request::Explain {
                interval,
                unit,
                answer,
            } => {
                let _ = answer.send(self.bench.cycle.explain(interval, unit));
            }
            other => panic!("{other:?}"),
        }
        self.republish();
    }

    fn republish(&mut self) {
        let before = Arc::clone(&self.published.borrow());
        let after = self.bench.cycle.republish(&before, self.bench.now_us);
        self.published.send_replace(Arc::new(after));
    }
}

struct OnBench {
    ada: Client,
    until: mpsc::Sender<Until>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<anyhow::Result<()>>,
    the_loop: thread::JoinHandle<()>,
}

impl OnBench {
    async fn start(state: &Path) -> Self {
        let ledger = Arc::new(Ledger::open(state).unwrap());
        let (made, first) = oneshot::channel();
        let (requests, mut asked) = mpsc::channel(8);
        let (until, mut ticks) = mpsc::channel::<Until>(1);
        let kept = Arc::clone(&ledger);
        let the_loop = thread::spawn(move || {
            let mut bench = Bench::new();
            let output = bench.tick();
            kept.append(&output.records, bench.now_us, false).unwrap();
            let (published, watched) = watch::channel(output.published);
            made.send(watched).unwrap();
            let mut of = Loop {
                bench,
                ledger: kept,
                published,
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        Some(request) = asked.recv() => of.answer(request),
                        Some((s, done)) = ticks.recv() => {
                            while of.bench.now_us <= (START + s) * US {
                                of.tick();
                            }
                            let _ = done.send(());
                        }
                        else => return,
                    }
                }
            });
        });
        let handle = Handle {
            ledger,
            feed: Feed::default(),
            published: first.await.unwrap(),
            requests,
            links: Arc::default(),
        };
        let stop = CancellationToken::new();
        let users = UserStore::open(state).unwrap();
        let code = users.enrolment_code().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ada = Client::new(listener.local_addr().unwrap());
        let server = tokio::spawn(web::serve(listener, handle, users, stop.clone()));
        let login = json!({ "code": code, "user": "ada", "password": "correct horse" });
        let answer = ada.post("/api/v1/enrol", &login).await;
        ada.keep(&answer);
        Self {
            ada,
            until,
            stop,
            server,
            the_loop,
        }
    }

    async fn until(&self, s: i64) {
        let (done, is_done) = oneshot::channel();
        self.until.send((s, done)).await.unwrap();
        is_done.await.unwrap();
    }

    async fn program(&self, participant: &str) -> Program {
        let path = format!("/api/v1/market/participants/{participant}/tokens");
        let issued = self.ada.post(&path, &json!({ "label": "robot" })).await;
        Program {
            client: Client::new(self.ada.server),
            token: issued.json()["token"].as_str().unwrap().to_owned(),
        }
    }

    async fn stopped(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
        drop(self.until);
        self.the_loop.join().unwrap();
    }
}

fn busbar(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busbar"));
    command.args(arguments).output().unwrap()
}

fn call(client_id: &str, participant: &str) -> Value {
    json!({
        "client_id": client_id, "participant": participant, "node": 7, "unit": 101,
        "interval": rfc3339_s(START + 10), "direction": "sell",
        "kind": { "of": "call", "p_max_w": 2_000_000, "compensation_per_mwh": 80.0 },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_through_gate_clearing_settlement_and_invoice() {
    let dir = tempfile::tempdir().unwrap();
    let stack = OnBench::start(dir.path()).await;
    let role = json!({ "role": "dso" }).to_string();
    let headers = [("content-type", "application/json")];
    let path = "/api/v1/market/participants/grid";
    let answer = stack.ada.send("PUT", path, &headers, role).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let (grid, wind) = (stack.program("grid").await, stack.program("windpark").await);
    let pv = stack.program("prosumers").await;

    // Who does not run the network, and what would be accepted.
    let refused = wind
        .send("POST", "market/orders", call("c", "windpark"))
        .await;
    let words = refused.refused(422, "caller");
    assert!(words.contains("does not run the network"), "{words}");
    wind.send("POST", "market/orders", call("c", "grid"))
        .await
        .refused(403, "not_yours");
    let mut unpaid = call("c", "grid");
    unpaid["kind"]
        .as_object_mut()
        .unwrap()
        .remove("compensation_per_mwh");
    let answer = grid.send("POST", "market/orders", unpaid).await;
    assert!(answer.status == 422 && format!("{:?}", answer.body).contains("compensation_per_mwh"));

    let placed = grid.send("POST", "market/orders", call("c", "grid")).await;
    assert_eq!(placed.status, 201, "{:?}", placed.body);
    let placed = placed.json();
    let again = grid.send("POST", "market/orders", call("c", "grid")).await;
    assert_eq!(again.json()["id"], placed["id"], "the same order");
    assert_eq!(placed["kind"]["p_max_w"], 2_000_000);
    stack.until(23).await;

    // Caller and called see it, nobody else.
    let start = rfc3339_s(START + 10);
    let orders = |of: Value| {
        let orders = of.as_array().unwrap().clone().into_iter();
        orders
            .filter(|of| of["kind"]["of"] == "call")
            .collect::<Vec<_>>()
    };
    for (program, seen) in [(&grid, 1), (&wind, 1), (&pv, 0)] {
        assert_eq!(
            orders(program.get("market/orders").await.json()).len(),
            seen
        );
        let of = program
            .get(&format!("market/intervals/{start}"))
            .await
            .json();
        assert_eq!(of["phase"], "settled", "{of}");
        assert_eq!(of["calls"].as_array().unwrap().len(), seen);
    }
    assert_eq!(
        orders(grid.get("market/orders").await.json())[0]["state"],
        "awarded"
    );
    let paid = grid.get(&format!("market/intervals/{start}")).await.json()["calls"][0].clone();
    let received = paid["received_micro"].as_i64().unwrap();
    assert_eq!(received, -80 * paid["energy_wh"].as_i64().unwrap());
    assert!(received > 500_000, "{paid}");
    let why = wind
        .get(&format!("market/intervals/{start}/explain/101"))
        .await
        .json();
    assert!(
        why["text"]
            .to_string()
            .contains("called by grid to at most 2000000 W"),
        "{why}"
    );

    let invoices = stack.ada.get("/api/v1/market/invoices").await.json();
    let line = |account: &str| {
        let mut of = invoices.as_array().unwrap().iter();
        let of = of.find(|of| of["account"] == account).unwrap();
        let mut lines = of["lines"].as_array().unwrap().iter();
        lines.find(|line| line["reason"] == "call").unwrap().clone()
    };
    let (of_grid, of_wind) = (line("grid"), line("windpark"));
    assert_eq!(
        (&of_grid["counterparty"], &of_wind["counterparty"]),
        (&json!("windpark"), &json!("grid"))
    );
    assert_eq!(
        (&of_grid["amount_micro"], &of_wind["amount_micro"]),
        (&json!(-received), &json!(received))
    );
    let accounts = stack.ada.get("/api/v1/market/accounts").await.json();
    let balances = accounts.as_array().unwrap().iter();
    let sum: i64 = balances
        .map(|of| of["balance_micro"].as_i64().unwrap())
        .sum();
    assert_eq!(sum, 0, "{accounts}");
    stack.stopped().await;

    let state = dir.path().to_str().unwrap();
    let file = example();
    let site = file.to_str().unwrap();
    let of_wind = [
        "explain",
        "--state",
        state,
        "--interval",
        &start,
        "--unit",
        "101",
    ];
    let in_names = [&of_wind[..], &["--site", site, "--json"]].concat();
    let output = busbar(&in_names);
    let of_cli: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(of_cli, why, "one and the same");
    let refused = busbar(&[
        "explain",
        "--state",
        state,
        "--interval",
        &start,
        "--unit",
        "7",
    ]);
    assert_eq!(refused.status.code(), Some(1));
    for (arguments, words) in [
        (&of_wind[..], "called by grid to at most 2000000 W"),
        (&["replay", "--state", state], ": 0 differ"),
        (
            &["ledger", "verify", "--state", state],
            "accounts are the sums",
        ),
        (
            &["invoice", "--state", state, "--participant", "grid"],
            "calls, with windpark",
        ),
    ] {
        let output = busbar(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains(words),
            "{arguments:?}: {text}"
        );
    }
}
