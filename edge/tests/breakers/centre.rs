//! The control centre's masters.

use std::time::Duration;

use protocols::{
    dnp3::{
        app::{CommandStatus, Crob, OutputCommand},
        link::LinkConfig,
        master::{self, AssociationConfig, MasterEvent, Outcome, Request, Select},
    },
    iec104::{
        Command, CommandValue,
        master::{self as master104, MasterConfig},
    },
    tcp::{ClientConfig, ClientEvent, ClientEvents},
};
use tokio::time::{sleep, timeout};

use super::PATIENCE;

/// Over DNP3, selecting first.
pub(crate) struct Dnp3 {
    client: master::client::MasterClient,
    events: ClientEvents<MasterEvent>,
}

impl Dnp3 {
    pub(crate) fn start(port: u16) -> Self {
        let config = AssociationConfig {
            response_timeout: PATIENCE,
            ..AssociationConfig::new(LinkConfig::new(1, 10))
        };
        let address = ClientConfig::new(format!("127.0.0.1:{port}"));
        let (client, events) = master::client::MasterClient::start(address, &[config]);
        Self { client, events }
    }

    pub(crate) async fn operate(&mut self, index: u16, close: bool) {
        let command = OutputCommand::Crob(Crob::breaker(close, 100));
        let request = Request::Operate(Select::BeforeOperate, vec![(index, command)]);
        let id = self.client.request(10, request);
        let done = async {
            loop {
                if let (_, ClientEvent::Session(MasterEvent::Done { id: of, outcome })) =
                    self.events.recv().await.unwrap()
                    && of == id
                {
                    return outcome;
                }
            }
        };
        let outcome = timeout(PATIENCE, done).await.unwrap();
        assert_eq!(outcome, Outcome::Commands(vec![CommandStatus::Success]));
    }
}

/// Over IEC 104, selecting first.
pub(crate) struct Iec104 {
    client: master104::client::MasterClient,
    events: ClientEvents<master104::MasterEvent>,
}

impl Iec104 {
    pub(crate) fn start(port: u16) -> Self {
        let config = MasterConfig {
            answer_timeout: Duration::from_secs(30),
            ..MasterConfig::new(10)
        };
        let address = ClientConfig::new(format!("127.0.0.1:{port}"));
        let (client, events) = master104::client::MasterClient::start(address, config);
        Self { client, events }
    }

    pub(crate) async fn operate(&mut self, ioa: u32, close: bool) {
        use master104::{MasterEvent, Outcome, Request};
        let command = Command::new(ioa, CommandValue::Double(close));
        let done = async {
            loop {
                let request = Request::Command {
                    command,
                    select: true,
                };
                let id = self.client.request(request);
                let outcome = loop {
                    if let (_, ClientEvent::Session(MasterEvent::Done { id: of, outcome })) =
                        self.events.recv().await.unwrap()
                        && of == id
                    {
                        break outcome;
                    }
                };
                match outcome {
                    // Not connected yet.
                    Outcome::NotSent => sleep(Duration::from_millis(50)).await,
                    outcome => return outcome,
                }
            }
        };
        assert_eq!(timeout(PATIENCE, done).await.unwrap(), Outcome::Done);
    }
}
