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
        master::{self as master104, MasterConfig, Outcome as Outcome104, Request as Request104},
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
    /// The master of this address.
    pub(crate) fn start(port: u16, address: u16) -> Self {
        let config = AssociationConfig {
            response_timeout: PATIENCE,
            ..AssociationConfig::new(LinkConfig::new(address, 10))
        };
        let address = ClientConfig::new(format!("127.0.0.1:{port}"));
        let (client, events) = master::client::MasterClient::start(address, &[config]);
        Self { client, events }
    }

    /// Waits until the outstation answers.
    pub(crate) async fn connected(&mut self) {
        while !matches!(self.request(Request::Release).await, Outcome::Done(_)) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn operate(&mut self, index: u16, close: bool) {
        let status = self.ask(Select::BeforeOperate, index, close).await;
        assert_eq!(status, CommandStatus::Success);
    }

    /// What an outstation answers.
    pub(crate) async fn ask(&mut self, select: Select, index: u16, close: bool) -> CommandStatus {
        let command = OutputCommand::Crob(Crob::breaker(close, 100));
        match self
            .request(Request::Operate(select, vec![(index, command)]))
            .await
        {
            Outcome::Commands(statuses) => statuses[0],
            outcome => panic!("{outcome:?}"),
        }
    }

    /// Asks for something else, which ends a selection.
    pub(crate) async fn release(&mut self) {
        let outcome = self.request(Request::Release).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }

    async fn request(&mut self, request: Request) -> Outcome {
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
        timeout(PATIENCE, done).await.unwrap()
    }
}

/// A command over IEC 104.
pub(crate) fn command(ioa: u32, close: bool) -> Command {
    Command::new(ioa, CommandValue::Double(close))
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
        let command = command(ioa, close);
        let select = true;
        let outcome = self.ask(Request104::Command { command, select }).await;
        assert_eq!(outcome, Outcome104::Done);
    }

    pub(crate) async fn ask(&mut self, request: Request104) -> Outcome104 {
        use master104::MasterEvent;
        let done = async {
            loop {
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
                    Outcome104::NotSent => sleep(Duration::from_millis(50)).await,
                    outcome => return outcome,
                }
            }
        };
        timeout(PATIENCE, done).await.unwrap()
    }
}
