//! A server in front of a made-up loop: two devices, three nodes, one open interval.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use edge::{
    cycle::{HoldCommand, NotSwitched, Refusal, SwitchCommand},
    feed::Feed,
    links::End,
    published::{Handle, OrderAsk, Published, Request},
    store::{Ledger, users::UserStore},
    web::{self, api::*},
};
use protocols::opcua::Pki;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    client::{Client, PATIENCE},
    shown::{explanation, state},
};

pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const START: &str = "2026-06-21T12:00:00Z";

pub(crate) struct Appliance {
    pub(crate) published: watch::Sender<Arc<Published>>,
    pub(crate) client: Client,
    pub(crate) code: String,
    pub(crate) stop: CancellationToken,
    server: Option<JoinHandle<anyhow::Result<()>>>,
    made_up_loop: JoinHandle<()>,
    directory: PathBuf,
}

impl Appliance {
    /// Before enrolment.
    pub(crate) async fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("busbar-web-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let users = UserStore::open(&directory).unwrap();
        let code = users.enrolment_code().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap());
        let (published, seen) = watch::channel(Arc::new(state()));
        let (requests, asked) = mpsc::channel(8);
        let made_up_loop = tokio::spawn(answer(asked, published.clone()));
        let handle = Handle {
            ledger: Arc::new(Ledger::open(&directory).unwrap()),
            published: seen,
            feed: Feed::default(),
            requests,
            links: Arc::new([links(&directory)]),
        };
        let stop = CancellationToken::new();
        let server = tokio::spawn(web::serve(listener, handle, users, stop.clone()));
        Self {
            published,
            client,
            code,
            stop,
            server: Some(server),
            made_up_loop,
            directory,
        }
    }

    /// With operator `ada` logged in.
    pub(crate) async fn enrolled(name: &str) -> Self {
        let mut appliance = Self::new(name).await;
        let enrolment = json!({ "code": appliance.code, "user": "ada", "password": PASSWORD });
        let answer = appliance.client.post("/api/v1/enrol", &enrolment).await;
        appliance.client.keep(&answer);
        appliance
    }

    /// A viewer, added by the operator and logged in.
    pub(crate) async fn viewer(&self) -> Client {
        let bob = json!({ "user": "bob", "password": PASSWORD, "role": "viewer" });
        let answer = self.client.post("/api/v1/users", &bob).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        let mut viewer = Client::new(self.client.server);
        let answer = viewer.post("/api/v1/login", &login("bob", PASSWORD)).await;
        viewer.keep(&answer);
        viewer
    }

    /// Publishes the state changed.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Published)) {
        let mut now = Published::clone(&self.published.borrow());
        change(&mut now);
        self.published.send_replace(Arc::new(now));
    }

    /// Ends the loop, as if it had crashed.
    pub(crate) async fn loop_crashes(&mut self) {
        self.made_up_loop.abort();
        let _ = (&mut self.made_up_loop).await;
        // Dropping the sender tells the server that nothing will come.
        let last = self.published.borrow().clone();
        self.published = watch::Sender::new(last);
    }

    /// Stops the server as SIGTERM would.
    pub(crate) async fn stopped(&mut self) {
        self.stop.cancel();
        let server = self.server.take().unwrap();
        timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn login(user: &str, password: &str) -> Value {
    json!({ "user": user, "password": password })
}

pub(crate) fn order() -> Value {
    json!({
        "client_id": "a1", "node": 3, "unit": 93, "participant": "prosumers", "interval": START,
        "direction": "sell", "steps": [{ "quantity_w": 50_000, "price_per_mwh": 20.0 }],
    })
}

/// SHA-256 of `south.pem`, as `openssl x509 -fingerprint -sha256` has it.
pub(crate) const SOUTH: &str = "ead74ff353598c2137524a3b3c9ac2e8423a7253b7ded6232e90fc9a4de56137";

/// A link to a market above that has turned South away.
fn links(directory: &Path) -> End {
    let pki = Pki::new(directory.join("pki"));
    let rejected = pki.folder.join("rejected");
    std::fs::create_dir_all(&rejected).unwrap();
    std::fs::write(rejected.join("south.pem"), include_str!("south.pem")).unwrap();
    End { link: "above", pki }
}

fn problem<T>(error: &str) -> Result<T, Problem> {
    Err(Problem {
        error: error.to_owned(),
        message: "made up".to_owned(),
        accepted: None,
    })
}

fn about_order(
    ask: OrderAsk,
    published: &watch::Sender<Arc<Published>>,
) -> Result<OrderView, Problem> {
    let known = |id: u64| {
        let orders = &published.borrow().orders;
        orders.iter().find(|order| order.id == id).cloned()
    };
    match ask {
        OrderAsk::Place(order) => place(order, published),
        OrderAsk::Amend(id, order) => match known(id) {
            Some(_) => place(order, published),
            None => problem("unknown_order"),
        },
        OrderAsk::Cancel(id) => match known(id) {
            Some(order) if order.placed_by == "agent" => problem("not_placed"),
            Some(order) => Ok(OrderView {
                state: "cancelled".to_owned(),
                ..order
            }),
            None => problem("unknown_order"),
        },
    }
}

/// The made-up loop.
async fn answer(mut asked: mpsc::Receiver<Request>, published: watch::Sender<Arc<Published>>) {
    while let Some(request) = asked.recv().await {
        match request {
            Request::Order { ask, answer, .. } => {
                let _ = answer.send(about_order(ask, &published));
            }
            Request::Command {
                command, answer, ..
            } => {
                let _ = answer.send(hold(command, &published));
            }
            Request::Switch {
                command, answer, ..
            } => {
                let _ = answer.send(switch(&command));
            }
            Request::Register { change, answer, .. } => {
                let mut now = Published::clone(&published.borrow());
                let checked = now.register.check(&change, edge::clock::now_us());
                let done = checked.map(|()| Arc::make_mut(&mut now.register).apply(&change, 0));
                published.send_replace(Arc::new(now));
                let _ = answer.send(done.map(|()| None));
            }
            Request::MeterValues { answer, .. } => {
                let _ = answer.send(Ok(None));
            }
            Request::Explain { unit, answer, .. } => {
                let _ = answer.send(match unit {
                    93 => Ok(explanation()),
                    _ => problem("not_explained"),
                });
            }
            Request::Above { answer, .. } => {
                let _ = answer.send(());
            }
            Request::Link { answer, .. } => {
                let _ = answer.send(Ok(()));
            }
            Request::Call { answer, .. } => {
                let _ = answer.send(problem("no_area"));
            }
            Request::AcknowledgeAlarm { id, user, answer } => {
                let alarm = published
                    .borrow()
                    .alarms
                    .iter()
                    .find(|alarm| alarm.id == id)
                    .cloned();
                let _ = answer.send(alarm.map_or(problem("unknown_alarm"), |alarm| {
                    Ok(AlarmView {
                        acknowledged_by: Some(user),
                        ..alarm
                    })
                }));
            }
        }
    }
}

/// The only breaker is closed, and does not open.
fn switch(command: &SwitchCommand) -> Result<(), NotSwitched> {
    match (command.breaker.as_str(), command.close) {
        ("rtu1/bay1_breaker", true) => Err(NotSwitched::AlreadyThere),
        ("rtu1/bay1_breaker", false) => Ok(()),
        _ => Err(NotSwitched::Unknown),
    }
}

/// Holds unit 93, whose nameplate is 100 kW.
fn hold(command: HoldCommand, published: &watch::Sender<Arc<Published>>) -> Result<(), Refusal> {
    if command.unit != 93 {
        return Err(Refusal::Unknown);
    }
    let held = command.hold.map(|(p_w, q_var)| HoldView {
        unit: 93,
        origin: "operator".to_owned(),
        by: command.by,
        p_w,
        q_var,
        until: format!("in {} s", command.lasts.as_secs()),
        in_force: true,
    });
    if held.as_ref().is_some_and(|held| held.p_w > 100e3) {
        return Err(Refusal::OutOfRange);
    }
    published.send_modify(|now| {
        Arc::make_mut(now).held = Arc::new(held.into_iter().collect());
    });
    Ok(())
}

fn place(order: NewOrder, published: &watch::Sender<Arc<Published>>) -> Result<OrderView, Problem> {
    match order.node {
        3 => {}
        9 => return problem("late"),
        _ => return problem("node"),
    }
    let accepted = OrderView {
        id: 2,
        client_id: order.client_id,
        participant: order.participant,
        unit: order.unit.unwrap_or(93),
        node: order.node,
        interval: order.interval,
        direction: order.direction,
        steps: order.steps,
        kind: order.kind,
        must: false,
        counterparty: None,
        placed_by: "api".to_owned(),
        state: "accepted".to_owned(),
        awarded_w: None,
        taken_wh: None,
        receipt: None,
    };
    published.send_modify(|now| {
        let now = Arc::make_mut(now);
        Arc::make_mut(&mut now.orders).insert(0, accepted.clone());
    });
    Ok(accepted)
}
