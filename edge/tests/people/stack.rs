//! The appliance and its web server in this process.

use std::{path::Path, sync::OnceLock};

use edge::{
    clock::{now_us, rfc3339_s},
    run::{Running, start},
    site::Site,
    store::users::UserStore,
    web,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    bench::silent,
    client::{Answer, Client},
};

pub(crate) const INTERVAL_S: i64 = 900;

pub(crate) struct Stack {
    /// Operator `ada`.
    pub(crate) ada: Client,
    running: Running,
    server: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Stack {
    /// Starts on a state directory; the first time, `ada` is enrolled.
    pub(crate) async fn start(state: &Path) -> Self {
        Self::of(state, |_| {}).await
    }

    /// The same with something in the site file.
    pub(crate) async fn of(state: &Path, change: impl FnOnce(&mut Site)) -> Self {
        let stop = CancellationToken::new();
        let mut site = silent(state);
        change(&mut site);
        let running = start(site, stop.clone()).unwrap();
        let users = UserStore::open(state).unwrap();
        let code = users.enrolment_code();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ada = Client::new(listener.local_addr().unwrap());
        let handle = running.handle.clone();
        let server = tokio::spawn(web::serve(listener, handle, users, stop.clone()));
        let mut login = json!({ "user": "ada", "password": "correct horse" });
        let answer = match code {
            Some(code) => {
                login["code"] = json!(code);
                ada.post("/api/v1/enrol", &login).await
            }
            None => ada.post("/api/v1/login", &login).await,
        };
        ada.keep(&answer);
        Self {
            ada,
            running,
            server,
            stop,
        }
    }

    pub(crate) async fn stopped(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
        self.running.stopped().await.unwrap();
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        let path = format!("/api/v1/market/{path}");
        self.ada.send("PUT", &path, &json, body.to_string()).await
    }

    /// A new token of a participant: its id and a program with it.
    pub(crate) async fn program(&self, participant: &str) -> (String, Program) {
        let path = format!("/api/v1/market/participants/{participant}/tokens");
        let issued = self.ada.post(&path, &json!({ "label": "robot" })).await;
        assert_eq!(issued.status, 201, "{:?}", issued.body);
        let issued = issued.json();
        let program = Program {
            client: Client::new(self.ada.server),
            token: issued["token"].as_str().unwrap().to_owned(),
        };
        (issued["id"].as_str().unwrap().to_owned(), program)
    }
}

/// Who asks with a token.
pub(crate) struct Program {
    pub(crate) client: Client,
    pub(crate) token: String,
}

impl Program {
    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("authorization", &*bearer),
            ("content-type", "application/json"),
        ];
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let path = format!("/api/v1/{path}");
        self.client.send(method, &path, &headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Value::Null).await
    }
}

/// An order for the interval after the next ones' gates.
pub(crate) fn order(client_id: &str, (participant, unit, node): (&str, i32, i32)) -> Value {
    // The same for all orders of a run, even one at the end of an interval.
    static START: OnceLock<i64> = OnceLock::new();
    let start = *START.get_or_init(|| (now_us() / 1_000_000 / INTERVAL_S + 3) * INTERVAL_S);
    json!({
        "client_id": client_id, "participant": participant, "node": node, "unit": unit,
        "interval": rfc3339_s(start), "direction": "sell",
        "steps": [{ "quantity_w": 1000, "price_per_mwh": 30.0 }],
    })
}
