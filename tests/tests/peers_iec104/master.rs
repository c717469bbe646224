//! Our master, lib60870's station.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use protocols::{
    device::system_clock,
    iec104::{
        Cause, Command, CommandValue, Kind, Qds,
        master::{MasterConfig, MasterEvent, Measurement, Outcome, Request, client::MasterClient},
    },
    point::{TimeQuality, Timestamp, Value},
    tcp::{ClientConfig, ClientEvent, ClientEvents},
    tls::TlsClient,
};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::{
    peer::{PATIENCE, Peer},
    station::{TIME_MS, ask, points},
};

/// Our master and what it tells.
pub(super) struct Ours {
    client: MasterClient,
    events: ClientEvents<MasterEvent>,
    /// Everything measured so far.
    seen: Vec<Measurement>,
}

fn config() -> MasterConfig {
    MasterConfig {
        clock_sync: true,
        // lib60870's wrapper confirms commands, and leaves it at that.
        termination: false,
        answer_timeout: Duration::from_secs(20),
        ..MasterConfig::new(3)
    }
}

impl Ours {
    pub(super) fn start(port: u64) -> Self {
        Self::secured(port, None)
    }

    pub(super) fn secured(port: u64, tls: Option<TlsClient>) -> Self {
        let address = ClientConfig {
            tls,
            min_retry: Duration::from_millis(50),
            max_retry: Duration::from_millis(200),
            ..ClientConfig::new(format!("127.0.0.1:{port}"))
        };
        let (client, events) = MasterClient::start(address, config());
        Self {
            client,
            events,
            seen: Vec::new(),
        }
    }

    async fn event(&mut self) -> Result<ClientEvent<MasterEvent>> {
        let event = timeout(PATIENCE, self.events.recv()).await?;
        let (_, event) = event.context("the client ended")?;
        if let ClientEvent::Session(MasterEvent::Measurements(measurements)) = &event {
            self.seen.extend(measurements);
        }
        Ok(event)
    }

    /// Waits until everything has been interrogated.
    pub(super) async fn interrogated(&mut self) -> Result<()> {
        loop {
            let event = self.event().await?;
            if let ClientEvent::Session(MasterEvent::Interrogated { complete, .. }) = event {
                ensure!(complete, "not answered");
                return Ok(());
            }
        }
    }

    /// Asks and waits for the outcome.
    pub(super) async fn ask(&mut self, request: Request) -> Result<Outcome> {
        let id = self.client.request(request);
        loop {
            if let ClientEvent::Session(MasterEvent::Done { id: done, outcome }) =
                self.event().await?
                && done == id
            {
                return Ok(outcome);
            }
        }
    }

    async fn measured(&mut self, is: impl Fn(&Measurement) -> bool) -> Result<Measurement> {
        loop {
            if let Some(found) = self.seen.iter().find(|m| is(m)) {
                return Ok(*found);
            }
            self.event().await?;
        }
    }
}

pub(super) async fn peer(arguments: &[&str]) -> Result<(Peer, u64)> {
    let mut peer = Peer::run("iec104_peers.py", &[&["station"], arguments].concat())?;
    let first = peer.until(|line| !line["port"].is_null()).await?;
    let port = first.last().context("nothing")?["port"].as_u64();
    Ok((peer, port.context("no port")?))
}

#[tokio::test]
async fn everything_is_interrogated_at_the_beginning_and_changes_follow() -> Result<()> {
    let (mut peer, port) = peer(&[]).await?;
    for (ioa, _, _, said) in points() {
        ask(&mut peer, json!(["set", ioa, said, [], null])).await?;
    }
    let before = system_clock() / 1000;
    let mut ours = Ours::start(port);
    ours.interrogated().await?;
    for (ioa, kind, value, _) in points() {
        let told = ours.measured(|m| m.ioa == ioa).await?;
        ensure!(told.kind == kind && told.sample.value == value, "{told:?}");
        ensure!(told.sample.qds == Qds::empty(), "{told:?}");
        let cause = match kind {
            Kind::Counter => Cause::COUNTERS,
            _ => Cause::INTERROGATED,
        };
        ensure!(told.cause == cause, "{told:?}");
    }
    let clock = peer.until(|l| !l["clock"].is_null()).await?;
    let clock = clock.last().context("nothing")?["clock"].as_i64();
    let after = system_clock() / 1000;
    ensure!(
        clock.is_some_and(|c| (before..=after).contains(&c)),
        "{clock:?}"
    );
    // By themselves, with their time and what speaks against them.
    for (ioa, kind, value, said) in points() {
        let at = ioa + 10;
        ours.seen.clear();
        let flags: &[&str] = match kind {
            Kind::Counter => &["Adjusted"],
            Kind::Single => &["Substituted", "Invalid"],
            // Which lib60870's wrapper does not send.
            Kind::Bitstring => &[],
            _ => &["NonTopical"],
        };
        ask(&mut peer, json!(["set", at, said, flags, TIME_MS])).await?;
        ask(&mut peer, json!(["transmit", at])).await?;
        let told = ours
            .measured(|m| m.ioa == at && m.cause == Cause::SPONTANEOUS)
            .await?;
        ensure!(told.kind == kind && told.sample.value == value, "{told:?}");
        let expected = match kind {
            Kind::Counter => Qds::CA,
            Kind::Single => Qds::SB | Qds::IV,
            Kind::Bitstring => Qds::empty(),
            _ => Qds::NT,
        };
        ensure!(told.sample.qds == expected, "{told:?}");
        let time = Timestamp {
            unix_us: TIME_MS * 1000,
            quality: TimeQuality::Source,
        };
        ensure!(told.sample.time == Some(time), "{told:?}");
    }
    peer.stop().await
}

/// Every command that there is, and what it is to them.
fn commands() -> [(u32, CommandValue, Json); 5] {
    [
        (101, CommandValue::Single(true), json!(true)),
        (103, CommandValue::Step(false), json!("LOWER")),
        (104, CommandValue::Normalized(0.5), json!(0.5)),
        (105, CommandValue::Scaled(-99), json!(-99)),
        (106, CommandValue::Float(-2.5), json!(-2.5)),
    ]
}

#[tokio::test]
async fn commands_end_as_their_station_says() -> Result<()> {
    let (mut peer, port) = peer(&[]).await?;
    let mut ours = Ours::start(port);
    ours.interrogated().await?;
    for (ioa, value, said) in commands() {
        let command = Command::new(ioa, value);
        let request = Request::Command {
            command,
            select: false,
        };
        let outcome = ours.ask(request).await?;
        ensure!(outcome == Outcome::Done, "{command:?}: {outcome:?}");
        let seen = peer.until(|l| l["command"] == ioa).await?;
        let told = seen.last().context("nothing")?;
        ensure!(told["value"] == said, "{told}");
    }
    let double = |select| Request::Command {
        command: Command::new(102, CommandValue::Double(true)),
        select,
    };
    let outcome = ours.ask(double(false)).await?;
    ensure!(
        outcome == Outcome::Refused(Cause::ACTIVATION_CON),
        "{outcome:?}"
    );
    let outcome = ours.ask(double(true)).await?;
    ensure!(outcome == Outcome::Done, "{outcome:?}");
    let too_much = Request::Command {
        command: Command::new(104, CommandValue::Normalized(0.95)),
        select: false,
    };
    let outcome = ours.ask(too_much).await?;
    ensure!(
        outcome == Outcome::Refused(Cause::ACTIVATION_CON),
        "{outcome:?}"
    );
    let unknown = Request::Command {
        command: Command::new(999, CommandValue::Single(true)),
        select: false,
    };
    // They refuse it, and say after that that there is no such object.
    let outcome = ours.ask(unknown).await?;
    ensure!(
        outcome == Outcome::Refused(Cause::ACTIVATION_CON),
        "{outcome:?}"
    );
    peer.stop().await
}

/// Everything else that a master asks.
pub(super) async fn exercise(ours: &mut Ours) -> Result<()> {
    for request in [
        Request::Test,
        Request::Clock,
        Request::Read(7),
        Request::Interrogation(20),
        Request::Counters(5),
        Request::Command {
            command: Command::new(102, CommandValue::Double(false)),
            select: true,
        },
    ] {
        let outcome = ours.ask(request).await?;
        ensure!(outcome == Outcome::Done, "{request:?}: {outcome:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_station_that_restarts_is_interrogated_again() -> Result<()> {
    let (mut peer, port) = peer(&[]).await?;
    ask(&mut peer, json!(["set", 7, 1.0, [], null])).await?;
    let mut ours = Ours::start(port);
    ours.interrogated().await?;
    exercise(&mut ours).await?;
    peer.stop().await?;
    loop {
        if let ClientEvent::Disconnected { .. } = ours.event().await? {
            break;
        }
    }
    let outcome = ours.ask(Request::Test).await?;
    ensure!(outcome == Outcome::NotSent, "{outcome:?}");
    ours.seen.clear();
    let (mut peer, _) = self::peer(&[&port.to_string()]).await?;
    ask(&mut peer, json!(["set", 7, 2.0, [], null])).await?;
    ours.interrogated().await?;
    let outcome = ours.ask(Request::Interrogation(20)).await?;
    ensure!(outcome == Outcome::Done, "{outcome:?}");
    ours.measured(|m| m.ioa == 7 && m.sample.value == Value::Analog(2.0))
        .await?;
    peer.stop().await
}
