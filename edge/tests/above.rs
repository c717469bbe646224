//! The appliance as a tenant, over real OPC UA: what it has to say of its intervals comes up, whatever is
//! stopped in between. Its field is silent, so that every interval is closed with nothing; that is the same way
//! for a document as any other.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

#[path = "bench/mod.rs"]
mod bench;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use edge::{
    above::{Fallback, Terms},
    northbound::above::Wire,
    published::Handle,
    run::{self, Running},
    site::{Above, Site},
};
use protocols::opcua::{
    Account, Pki,
    message::{Closing, Receipt, Refused, Total, Up},
    pki::Subject,
    server::{MarketServer, Request, ServerConfig, Tenant},
};
use solver::market::{Imbalance, Price};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long anything may take here.
const LONG: Duration = Duration::from_secs(180);
/// Length of an interval, s.
const LENGTH: i64 = 5;

/// What the market above has taken: an interval's closing and total, and how often each was other than before.
#[derive(Default)]
struct Taken {
    intervals: BTreeMap<i64, (Option<Closing>, Option<Total>)>,
    changed: u32,
    documents: Vec<(i64, bool)>,
}

impl Taken {
    fn take(&mut self, up: &Up) -> Result<Receipt, Refused> {
        let of = self.intervals.entry(up.interval()).or_default();
        let mut account = None;
        match up {
            Up::Offer(offer) => panic!("{offer:?} of a feeder that nobody sees"),
            Up::Closing(new) => {
                self.changed += u32::from(of.0.as_ref().is_some_and(|held| held != new));
                of.0 = Some(new.clone());
            }
            Up::Total(new) => {
                self.changed += u32::from(of.1.as_ref().is_some_and(|held| held != new));
                of.1 = Some(new.clone());
                // It comes in order, so its closing is here.
                let whole = Account {
                    tenant: "north",
                    interval: new.interval,
                    award: None,
                    closing: of.0.as_ref().unwrap(),
                    total: new,
                };
                account = Some(whole.sha256_text());
            }
        }
        self.documents
            .push((up.interval(), matches!(up, Up::Total(_))));
        Ok(Receipt {
            interval: up.interval(),
            sequence: up.sequence(),
            account,
        })
    }

    fn totals(&self) -> usize {
        self.intervals.values().filter(|of| of.1.is_some()).count()
    }
}

fn subject(name: &str) -> Subject {
    Subject {
        name: name.to_owned(),
        uri: format!("urn:busbar:test:{name}"),
        hosts: vec!["127.0.0.1".to_owned()],
    }
}

/// The market above, until it is stopped.
async fn serve(config: ServerConfig, taken: Arc<Mutex<Taken>>) -> (String, CancellationToken) {
    let (requests, mut asked) = mpsc::channel(16);
    let (audit, mut heard) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let server = MarketServer::start(config, requests, audit, stop.clone());
    let server = server.await.unwrap();
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let endpoint = format!("opc.tcp://{}", server.address());
    tokio::spawn(async move {
        let _server = server;
        while let Some(request) = asked.recv().await {
            if let Request::Submit {
                document, answer, ..
            } = request
            {
                let _ = answer.send(taken.lock().unwrap().take(&document));
            }
        }
    });
    (endpoint, stop)
}

fn site(folder: &Path, above: &Above) -> Site {
    let mut site = bench::silent(&folder.join("state"));
    site.market.interval_s = u32::try_from(LENGTH).unwrap();
    site.market.gate_s = 3;
    site.above = Some(above.clone());
    site
}

fn start(site: Site) -> (Running, CancellationToken) {
    let stop = CancellationToken::new();
    let above = site.above.clone().unwrap();
    let wire = Wire::start(&site.name, &above, &stop).unwrap();
    let running = run::start(site, stop.clone()).unwrap();
    tokio::spawn(wire.serve(running.handle.clone(), stop.clone()));
    (running, stop)
}

fn shown(handle: &Handle) -> Arc<edge::web::api::AboveView> {
    Arc::clone(&handle.published.borrow().above.as_ref().unwrap().view)
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let waited = async {
        while !is() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, waited).await.expect(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_said_comes_up_once_whatever_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let area = Pki::new(folder.path().join("area"));
    let own = area.create(&subject("area"), 2048).unwrap();
    let pki = Pki::new(folder.path().join("north"));
    let certificate = pki.create(&subject("north"), 2048).unwrap();
    pki.trust(&own).unwrap();
    area.trust(&certificate).unwrap();
    let config = |listen: &str| ServerConfig {
        listen: listen.parse().unwrap(),
        endpoint: None,
        name: "area".to_owned(),
        pki: area.clone(),
        tenants: vec![Tenant {
            name: "north".to_owned(),
            user: "north-user".to_owned(),
            certificates: vec![certificate.fingerprint],
        }],
        verify: Arc::new(|user, password| (user, password) == ("north-user", "north-word")),
    };
    let taken: Arc<Mutex<Taken>> = Arc::default();
    let (endpoint, stop_server) = serve(config("127.0.0.1:0"), Arc::clone(&taken)).await;
    let listen = endpoint.strip_prefix("opc.tcp://").unwrap().to_owned();
    let password_file = folder.path().join("password");
    fs::write(&password_file, "north-word\n").unwrap();
    let above = Above {
        aggregators: Vec::new(),
        endpoint,
        user: "north-user".to_owned(),
        password_file: password_file.clone(),
        tenant: "north".to_owned(),
        pki,
        terms: Terms {
            award_s: 2,
            fallback: Fallback::Zero,
            schedule: Vec::new(),
            spread: Price(0),
            imbalance: Imbalance::default(),
        },
        meter: None,
    };
    // Others could read it.
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Wire::start("x", &above, &CancellationToken::new());
    assert!(refused.is_err_and(|error| error.to_string().contains("mode 644")));
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).unwrap();

    let totals = || taken.lock().unwrap().totals();
    let (running, stop) = start(site(folder.path(), &above));
    until("two totals", || totals() >= 2).await;
    let handle = running.handle.clone();
    let agreed = |handle: &Handle| {
        let view = shown(handle);
        view.intervals
            .iter()
            .filter(|of| of.agreed == Some(true))
            .count()
    };
    until("two agreed", || agreed(&handle) >= 2).await;
    let view = shown(&handle);
    assert!(view.connected && view.clock_ms.is_some(), "{view:?}");

    // The market above goes; what is to be said waits, and the loss is known.
    stop_server.cancel();
    until("the link is lost", || !shown(&handle).connected).await;
    until("two intervals wait", || shown(&handle).unsent >= 4).await;
    let waiting = shown(&handle);
    let alarms = Arc::clone(&handle.published.borrow().alarms);
    assert!(
        alarms
            .iter()
            .any(|of| of.code == "market_link" && of.cleared.is_none())
    );
    // So does the appliance, and comes back before it.
    stop.cancel();
    running.stopped().await.unwrap();
    drop(handle);
    let (running, stop) = start(site(folder.path(), &above));
    let handle = running.handle.clone();
    assert!(shown(&handle).unsent >= waiting.unsent);
    let before = totals();
    let (_, stop_server) = serve(config(&listen), Arc::clone(&taken)).await;
    until("what waited is there", || totals() >= before + 4).await;
    until("it is connected", || shown(&handle).connected).await;
    let last_waiting = waiting
        .intervals
        .iter()
        .filter(|of| of.hash.is_some())
        .map(|of| &of.start);
    for start in last_waiting {
        let start = edge::clock::parse_rfc3339_s(start).unwrap();
        let is_there = || {
            taken
                .lock()
                .unwrap()
                .intervals
                .get(&start)
                .is_some_and(|of| of.1.is_some())
        };
        until(&format!("total of {start}"), is_there).await;
    }
    {
        let taken = taken.lock().unwrap();
        assert_eq!(taken.changed, 0);
        // A closing before its total, always.
        for (at, (interval, is_total)) in taken.documents.iter().enumerate() {
            let closed = taken.documents[..at].contains(&(*interval, false));
            assert!(!is_total || closed, "{interval}");
        }
        // Every interval that anybody was there for, without a gap but the restart's.
        let known: Vec<i64> = taken.intervals.keys().copied().collect();
        let gaps = known.windows(2).filter(|of| of[1] - of[0] > 2 * LENGTH);
        assert_eq!(gaps.count(), 0, "{known:?}");
    }
    assert!(
        shown(&handle)
            .intervals
            .iter()
            .all(|of| of.agreed != Some(false))
    );
    stop.cancel();
    stop_server.cancel();
    running.stopped().await.unwrap();
}
