//! A server in front of a made-up loop: two devices, three nodes, one open interval.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use edge::{
    cycle::{HoldCommand, NotSwitched, Refusal, SwitchCommand},
    feed::Feed,
    links::End,
    participants::Register,
    published::{Handle, Published, Request, Upwards},
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

use super::client::{Client, PATIENCE};

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

/// The made-up loop.
async fn answer(mut asked: mpsc::Receiver<Request>, published: watch::Sender<Arc<Published>>) {
    while let Some(request) = asked.recv().await {
        match request {
            Request::PlaceOrder { order, answer, .. } => {
                let _ = answer.send(place(order, &published));
            }
            Request::CancelOrder { id, answer, .. } => {
                let order = published
                    .borrow()
                    .orders
                    .iter()
                    .find(|order| order.id == id)
                    .cloned();
                let _ = answer.send(order.map_or(problem("unknown_order"), |order| {
                    if order.placed_by == "agent" {
                        return problem("not_placed");
                    }
                    Ok(OrderView {
                        state: "cancelled".to_owned(),
                        ..order
                    })
                }));
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
            Request::AmendOrder {
                id, order, answer, ..
            } => {
                let known = published.borrow().orders.iter().any(|known| known.id == id);
                let answered = match known {
                    true => place(order, &published),
                    false => problem("unknown_order"),
                };
                let _ = answer.send(answered);
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

fn explanation() -> ExplanationView {
    let relief = ReliefView {
        unit: "A".to_owned(),
        worth_per_h: 0.17,
    };
    ExplanationView {
        interval: START.to_owned(),
        unit: 93,
        node: 3,
        p_w: 80e3,
        q_var: -10e3,
        price: PricePartsView {
            per_mwh: 36.7,
            energy_per_mwh: 50.0,
            loss_per_mwh: -0.3,
            rest_per_mwh: 0.0,
        },
        steps: vec![StepView {
            order: 1,
            direction: "sell".to_owned(),
            quantity_w: 100_000,
            taken_w: 80e3,
            limit_per_mwh: 36.7,
            verdict: "sets_the_price".to_owned(),
        }],
        limits: vec![LimitPartView {
            text: "rated current of branch 15".to_owned(),
            bound: 145.0,
            value: 145.0,
            per_mwh: -13.0,
            share: 1.0,
            relief: relief.clone(),
            behind: None,
        }],
        own_relief: vec![relief],
        text: vec!["unit PV 3 delivers 80.0 kW".to_owned()],
    }
}

/// Who takes part, by the example's site file.
fn register() -> Register {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    Register::new(&edge::site::load(&file).unwrap())
}

fn network() -> NetworkView {
    let node = |id: i32, source| NodeView {
        id,
        name: format!("Bus {id}"),
        u_rated_v: 20e3,
        u_min_pu: 0.95,
        u_max_pu: 1.05,
        x: f64::from(id),
        y: 1.0,
        source,
    };
    NetworkView {
        nodes: vec![node(1, true), node(2, false), node(3, false)],
        branches: vec![BranchView {
            id: 15,
            name: "Line 1-2".to_owned(),
            kind: "line".to_owned(),
            from: 1,
            to: 2,
            i_n_a: Some(145.0),
            s_n_va: None,
        }],
        units: vec![UnitView {
            id: 93,
            name: "PV 3".to_owned(),
            kind: "pv".to_owned(),
            node: 3,
            participant: "prosumers".to_owned(),
            device: Some("pv3".to_owned()),
            p_rated_w: 100e3,
            q_rated_var: 48.4e3,
        }],
    }
}

pub(crate) fn point(id: &str, value: f64) -> PointView {
    PointView {
        id: id.to_owned(),
        value: Some(PointValue::Number(value)),
        unit: "W".to_owned(),
        quality: vec![],
        time: Some(START.to_owned()),
        time_quality: Some("received".to_owned()),
        received: Some(START.to_owned()),
    }
}

fn device(id: &str) -> DeviceView {
    DeviceView {
        id: id.to_owned(),
        profile: "sunspec".to_owned(),
        address: "127.0.0.1:15093".to_owned(),
        state: "online".to_owned(),
        error: None,
        since: START.to_owned(),
        description: None,
        polls: 1,
        poll_ms: Some(2.0),
        late_ms: None,
    }
}

pub(crate) fn interval(start: &str, phase: &str) -> IntervalView {
    IntervalView {
        start: start.to_owned(),
        end: start.to_owned(),
        gate_closure: start.to_owned(),
        phase: phase.to_owned(),
        status: Some("optimal".to_owned()),
        message: None,
        orders: 1,
        cost_per_h: Some(585.58),
        import_w: Some(1e6),
        import_var: None,
        prices: vec![PriceView {
            node: 3,
            p_per_mwh: 50.0,
            q_per_mvarh: 0.0,
        }],
        binding: vec![],
        awards: vec![],
        ac_check: None,
        ahead: None,
        took_us: Some(900),
        contracts: vec![],
        reactive: vec![],
        settlement: vec![],
        calls: vec![],
        corrections: vec![],
    }
}

fn status() -> Status {
    let now = || START.to_owned();
    Status {
        version: "0.1.0".to_owned(),
        site: "Made up".to_owned(),
        currency: "EUR".to_owned(),
        now: now(),
        started: now(),
        health: Health::Ok,
        reasons: vec![],
        devices: 2,
        devices_online: 2,
        linked_above: None,
        interval_s: 10,
        interval: now(),
        next_interval: now(),
        gate_closure: now(),
        decided: Some(now()),
        estimated: Some(now()),
        metrics: Metrics::default(),
    }
}

fn estimate() -> NetworkState {
    NetworkState {
        time: START.to_owned(),
        estimate: EstimateView {
            ok: true,
            error: None,
            objective: 3.0,
            threshold: 9.0,
            degrees_of_freedom: 4,
            metered: 6,
            pseudo: 1,
            iterations: 3,
            took_us: 200,
        },
        nodes: vec![],
        branches: vec![],
        units: vec![],
        rejected: vec![],
        loss_w: 10.0,
    }
}

fn state() -> Published {
    let setpoint = DispatchView {
        unit: 93,
        device: "pv3".to_owned(),
        interval: START.to_owned(),
        origin: "market".to_owned(),
        p_kind: "limit".to_owned(),
        p_w: 50e3,
        q_var: 0.0,
        fallback_p_w: 40e3,
        expires: START.to_owned(),
        status: "verified".to_owned(),
        message: None,
        readback_p_w: Some(50e3),
        readback_q_var: None,
    };
    let alarm = |id| AlarmView {
        id,
        severity: "warning".to_owned(),
        code: "bad_data".to_owned(),
        source: "pv3/p".to_owned(),
        text: "pv3/p is not believed".to_owned(),
        since: START.to_owned(),
        cleared: None,
        acknowledged_by: None,
    };
    let agents = OrderView {
        id: 1,
        client_id: "agent-93".to_owned(),
        participant: "prosumers".to_owned(),
        unit: 93,
        node: 3,
        interval: START.to_owned(),
        direction: "sell".to_owned(),
        steps: vec![OrderStep {
            quantity_w: 100_000,
            price_per_mwh: 20.0,
        }],
        kind: OrderKind::default(),
        must: false,
        counterparty: None,
        placed_by: "agent".to_owned(),
        state: "accepted".to_owned(),
        awarded_w: None,
        taken_wh: None,
        receipt: None,
    };
    let interval = |start, phase| Arc::new(interval(start, phase));
    Published {
        status: Arc::new(status()),
        network: Arc::new(network()),
        register: Arc::new(register()),
        devices: Arc::new(vec![device("pv3"), device("pv33")]),
        points: Arc::new(vec![
            point("pv3/p", 1.0),
            point("pv3/q", 2.0),
            point("pv33/p", 3.0),
        ]),
        network_state: Some(Arc::new(estimate())),
        intervals: Arc::new(vec![
            interval(START, "open"),
            interval("2026-06-21T11:59:50Z", "delivering"),
        ]),
        orders: Arc::new(vec![agents]),
        dispatch: Arc::new(vec![setpoint]),
        alarms: Arc::new(vec![alarm(8), alarm(7)]),
        snapshot: Arc::default(),
        holds: Arc::default(),
        held: Arc::default(),
        breakers: Arc::new(vec![BreakerView {
            breaker: "rtu1/bay1_breaker".to_owned(),
            closed: Some(true),
        }]),
        above: Some(Upwards {
            view: Arc::new(above()),
            outbox: Arc::default(),
        }),
        area: None,
    }
}

fn above() -> AboveView {
    let award = AboveAwardView {
        sequence: 1,
        exchange_w: -20_000,
        called_w: None,
        price_per_mwh: 47.5,
        grid_fee_per_mwh: 2.0,
        q_var: 100,
        import_max_w: 1_000_000,
        export_max_w: 500_000,
        limits: vec!["rated current of branch 7 at its from side".to_owned()],
        unused: None,
    };
    let corner = |exchange_w, price_per_mwh| CornerView {
        exchange_w,
        price_per_mwh,
        q_var: 0,
    };
    AboveView {
        endpoint: "opc.tcp://192.0.2.1:4840".to_owned(),
        tenant: "north".to_owned(),
        connected: false,
        since: START.to_owned(),
        reason: Some("no route".to_owned()),
        clock_ms: Some(-12),
        certificate_days: Some(300),
        fallback: "zero".to_owned(),
        unsent: 1,
        intervals: vec![AboveIntervalView {
            start: START.to_owned(),
            offer: vec![corner(-50_000, 60.0), corner(10_000, 0.0)],
            forecast_w: Some(0),
            q_min_var: Some(-1_000),
            q_max_var: Some(1_000),
            awards: vec![award],
            basis: Some("award".to_owned()),
            award: Some(1),
            exchange_w: Some(-20_000),
            price_per_mwh: Some(47.5),
            import_wh: None,
            export_wh: None,
            replaced: None,
            refused: Vec::new(),
            hash: None,
            agreed: None,
        }],
    }
}
