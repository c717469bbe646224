//! Two ends of the link between markets, on real sockets.

use std::{path::Path, sync::Arc, time::Duration};

use protocols::opcua::{
    Pki,
    client::{ClientConfig, Event, MarketClient},
    message::{
        Aggregated, Award, Basis, Closing, Corner, Offer, Receipt, State, Total, Up, Voltage,
    },
    pki::{Certificate, Subject},
    server::{Audit, MarketServer, Request, ServerConfig, Tenant},
};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

/// Enough for the policy, and quicker to make than what the product makes.
pub(crate) const BITS: u32 = 2048;
/// How long anything may take here.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The folders of a server and some tenants that trust it, and that it trusts.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) server: Pki,
    pub(crate) tenants: Vec<(Pki, Certificate)>,
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject {
        name: name.to_owned(),
        uri: format!("urn:busbar:test:{name}"),
        hosts: vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
    }
}

impl Site {
    pub(crate) fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Pki::new(folder.path().join("server"));
        let own = server.create(&subject("area"), BITS).unwrap();
        let tenants = names.iter().map(|name| {
            let pki = Pki::new(folder.path().join(name));
            let certificate = pki.create(&subject(name), BITS).unwrap();
            pki.trust(&own).unwrap();
            server.trust(&certificate).unwrap();
            (pki, certificate)
        });
        let tenants = tenants.collect();
        Self {
            folder,
            server,
            tenants,
        }
    }

    /// Tenant `i` is called `name`, its user `name-user`, with the password `name-word`.
    pub(crate) fn server_config(&self, listen: &str) -> ServerConfig {
        let tenants = self.tenants.iter().map(|(pki, certificate)| {
            let name = name_of(&pki.folder);
            Tenant {
                user: format!("{name}-user"),
                name,
                certificates: vec![certificate.fingerprint],
            }
        });
        ServerConfig {
            listen: listen.parse().unwrap(),
            endpoint: None,
            name: "area".to_owned(),
            pki: self.server.clone(),
            tenants: tenants.collect(),
            verify: Arc::new(|user, password| {
                user.strip_suffix("-user") == password.strip_suffix("-word")
            }),
        }
    }

    pub(crate) fn client_config(&self, tenant: usize, endpoint: String) -> ClientConfig {
        let pki = self.tenants[tenant].0.clone();
        let name = name_of(&pki.folder);
        ClientConfig {
            endpoint,
            user: format!("{name}-user"),
            password: format!("{name}-word"),
            name,
            pki,
        }
    }
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

pub(crate) struct Served {
    pub(crate) server: MarketServer,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) audit: mpsc::Receiver<Audit>,
    pub(crate) stop: CancellationToken,
}

pub(crate) async fn serve(config: ServerConfig) -> Served {
    let (request_sender, requests) = mpsc::channel(16);
    let (audit_sender, audit) = mpsc::channel(256);
    let stop = CancellationToken::new();
    let server = MarketServer::start(config, request_sender, audit_sender, stop.clone());
    Served {
        server: server.await.unwrap(),
        requests,
        audit,
        stop,
    }
}

impl Served {
    pub(crate) fn endpoint(&self) -> String {
        format!("opc.tcp://{}", self.server.address())
    }

    /// Takes the next document, and answers it.
    pub(crate) async fn take(
        &mut self,
        answer: impl FnOnce(&Up) -> Result<Receipt, protocols::opcua::message::Refused>,
    ) -> (String, Up) {
        match timeout(LONG, self.requests.recv()).await.unwrap().unwrap() {
            Request::Submit {
                tenant,
                document,
                answer: to,
            } => {
                to.send(answer(&document)).unwrap();
                (tenant, document)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next audit event that is one of those looked for.
    pub(crate) async fn audited(&mut self, is: impl Fn(&Audit) -> bool) -> Audit {
        let found = async {
            loop {
                let audit = self.audit.recv().await.unwrap();
                if is(&audit) {
                    return audit;
                }
            }
        };
        timeout(LONG, found).await.expect("no such audit event")
    }
}

pub(crate) struct Linked {
    pub(crate) client: MarketClient,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn link(config: ClientConfig) -> Linked {
    let (sender, events) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let client = MarketClient::start(config, sender, stop.clone()).unwrap();
    Linked {
        client,
        events,
        stop,
    }
}

impl Linked {
    pub(crate) async fn event(&mut self) -> Event {
        timeout(LONG, self.events.recv())
            .await
            .expect("no event")
            .unwrap()
    }

    /// The next event that is one of those looked for.
    pub(crate) async fn until(&mut self, is: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.event().await;
            if is(&event) {
                return event;
            }
        }
    }

    pub(crate) async fn connected(&mut self) -> Event {
        self.until(|event| matches!(event, Event::Connected { .. }))
            .await
    }

    pub(crate) async fn lost(&mut self) -> String {
        match self
            .until(|event| matches!(event, Event::Lost { .. }))
            .await
        {
            Event::Lost { reason } => reason,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn offer() -> Up {
    let corner = |exchange_w, price, q_var| Corner {
        exchange_w,
        price,
        q_var,
    };
    Up::Offer(Offer {
        interval: 1_700_000_100,
        length_s: 900,
        sequence: 3,
        curve: vec![
            corner(-2_000_000, 140_000_000, 12_000),
            corner(-150_000, 90_000_000, -7),
            corner(1_750_000, 0, 0),
        ],
        q_min_var: -300_000,
        q_max_var: 250_000,
        forecast_w: -420_000,
        state: State {
            observed: 0.875,
            sigma_max_pu: 0.0031,
            limits: vec!["line 7 at 100 %".to_owned(), "node 4: 1.05 pu".to_owned()],
            islanded: false,
        },
        voltage: Some(Voltage {
            r_ohm: 0.4,
            x_ohm: 1.25,
            corners: vec![
                (980_000, 0),
                (1_000_000, 12_500_000),
                (1_020_000, 60_000_001),
            ],
        }),
    })
}

pub(crate) fn closing(award: Option<u32>) -> Up {
    Up::Closing(Closing {
        interval: 1_700_000_100,
        sequence: 1,
        basis: if award.is_some() {
            Basis::Award
        } else {
            Basis::Schedule
        },
        award,
        exchange_w: -415_000,
        price: 81_250_000,
    })
}

pub(crate) fn total() -> Up {
    Up::Total(Total {
        interval: 1_700_000_100,
        sequence: 2,
        import_wh: 12,
        export_wh: 104_300,
        replaced: true,
        aggregators: vec![
            aggregated("flex-co", 4_200, -1_300_000),
            aggregated("sun_2", -700, 55),
        ],
    })
}

fn aggregated(name: &str, delivered_wh: i64, amount: i64) -> Aggregated {
    Aggregated {
        name: name.to_owned(),
        delivered_wh,
        amount,
    }
}

pub(crate) fn award(interval: i64, sequence: u32) -> Award {
    Award {
        interval,
        sequence,
        offer: 3,
        exchange_w: -415_000,
        price: 81_250_000,
        q_var: -2_000,
        grid_fee: 1_200_000,
        import_max_w: 1_500_000,
        export_max_w: 900_000,
        called_w: (sequence > 1).then_some(-380_000),
        limits: vec!["transformer 2 at 98 %".to_owned()],
        u_ppm: (sequence > 1).then_some(1_013_250),
    }
}

/// Of a document that was taken.
pub(crate) fn receipt(document: &Up, account: Option<&str>) -> Receipt {
    Receipt {
        interval: document.interval(),
        sequence: document.sequence(),
        account: account.map(str::to_owned),
    }
}
