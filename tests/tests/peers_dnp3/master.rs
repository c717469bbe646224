//! Our master, opendnp3's outstation.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use protocols::{
    dnp3::{
        Flags, Iin, Kind,
        app::{AnalogCommand, Crob, OutputCommand},
        link::LinkConfig,
        master::{
            AssociationConfig, MasterEvent, Measurement, Outcome, ReadHeader, ReadRange, Request,
            Select, client::MasterClient,
        },
        outstation::Class,
    },
    point::{DoublePoint, Value},
    tcp::{ClientConfig, ClientEvent, ClientEvents},
};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::peer::{PATIENCE, Peer};

pub(super) const TIME_MS: i64 = 1_700_000_000_123;

/// Our master and what it tells.
pub(super) struct Ours {
    client: MasterClient,
    events: ClientEvents<MasterEvent>,
    /// Everything measured so far.
    pub(super) seen: Vec<Measurement>,
    octets: Vec<(u16, Vec<u8>)>,
    iin: Iin,
}

pub(super) fn config() -> AssociationConfig {
    AssociationConfig {
        response_timeout: Duration::from_secs(20),
        retry_delay: Duration::from_millis(100),
        ..AssociationConfig::new(LinkConfig::new(10, 1))
    }
}

impl Ours {
    pub(super) fn start(port: u64, config: AssociationConfig) -> Self {
        let address = ClientConfig {
            min_retry: Duration::from_millis(50),
            max_retry: Duration::from_millis(200),
            ..ClientConfig::new(format!("127.0.0.1:{port}"))
        };
        let (client, events) = MasterClient::start(address, &[config]);
        Self {
            client,
            events,
            seen: Vec::new(),
            octets: Vec::new(),
            iin: Iin::empty(),
        }
    }

    async fn event(&mut self) -> Result<MasterEvent> {
        let next = async {
            loop {
                match self.events.recv().await {
                    Some((_, ClientEvent::Session(event))) => return Some(event),
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        let event = timeout(PATIENCE, next).await?;
        let event = event.context("the client ended")?;
        match &event {
            MasterEvent::Measurements { measurements, .. } => self.seen.extend(measurements),
            MasterEvent::Octets { index, octets, .. } => self.octets.push((*index, octets.clone())),
            MasterEvent::Indications { iin, .. } => self.iin = *iin,
            _ => {}
        }
        Ok(event)
    }

    /// Asks and waits for the outcome.
    pub(super) async fn ask(&mut self, request: Request) -> Result<Outcome> {
        let id = self.client.request(1, request);
        loop {
            if let MasterEvent::Done { id: done, outcome } = self.event().await?
                && done == id
            {
                return Ok(outcome);
            }
        }
    }

    /// Waits for a measurement.
    pub(super) async fn measured(
        &mut self,
        is: impl Fn(&Measurement) -> bool,
    ) -> Result<Measurement> {
        loop {
            if let Some(found) = self.seen.iter().find(|m| is(m)) {
                return Ok(*found);
            }
            self.event().await?;
        }
    }

    /// Waits until indications are or are not there.
    pub(super) async fn indicated(&mut self, iin: Iin, there: bool) -> Result<()> {
        while self.iin.contains(iin) != there {
            self.event().await?;
        }
        Ok(())
    }

    pub(super) fn present(&self, kind: Kind) -> Vec<(u16, Value, u8)> {
        let of = self.seen.iter().filter(|m| m.kind == kind && !m.event);
        of.map(|m| (m.index, m.sample.value, m.sample.flags.bits()))
            .collect()
    }
}

pub(super) async fn peer(arguments: &[&str]) -> Result<(Peer, u64)> {
    let arguments = [&["outstation", "1", "10"], arguments].concat();
    let mut peer = Peer::start(&arguments)?;
    let first = peer.until(|line| !line["port"].is_null()).await?;
    let port = first[0]["port"].as_u64().context("no port")?;
    Ok((peer, port))
}

/// Both, after the first integrity poll and with unsolicited responses enabled.
pub(super) async fn both(config: AssociationConfig) -> Result<(Peer, Ours)> {
    let (mut peer, port) = peer(&[]).await?;
    peer.tell(json!([
        "update",
        ["binary", 1, true, 1, TIME_MS],
        ["analog", 0, -2.5, 1, TIME_MS]
    ]))
    .await?;
    peer.finished().await?;
    let mut ours = Ours::start(port, config);
    ours.measured(|m| m.kind == Kind::AnalogOutput && m.index == 4)
        .await?;
    ours.indicated(Iin::DEVICE_RESTART, false).await?;
    Ok((peer, ours))
}

#[tokio::test]
async fn everything_is_read_at_the_beginning() -> Result<()> {
    let (mut peer, port) = peer(&[]).await?;
    peer.tell(json!([
        "update",
        ["binary", 1, true, 1, TIME_MS],
        ["double", 2, "DETERMINED_ON", 1, TIME_MS],
        ["analog", 0, -2.0, 1, TIME_MS],
        ["analog", 3, 1e6, 0x21, TIME_MS],
        ["counter", 4, 4_000_000_000_u32, 1, TIME_MS],
        ["binary_output", 0, true, 1, TIME_MS],
        ["analog_output", 1, 7.0, 1, TIME_MS]
    ]))
    .await?;
    peer.finished().await?;
    let mut ours = Ours::start(port, config());
    ours.measured(|m| m.kind == Kind::AnalogOutput && m.index == 4)
        .await?;
    // opendnp3 sends these in its default variations, which are integers here.
    let analog = |index, value, flags| (index, Value::Analog(value), flags);
    let expected = [
        analog(0, -2.0, 1),
        analog(1, 0.0, 2),
        analog(2, 0.0, 2),
        analog(3, 1e6, 0x21),
        analog(4, 0.0, 2),
    ];
    ensure!(
        ours.present(Kind::Analog) == expected,
        "{:?}",
        ours.present(Kind::Analog)
    );
    let binary = ours.present(Kind::Binary);
    ensure!(
        binary.len() == 5 && binary[1] == (1, Value::Binary(true), 1),
        "{binary:?}"
    );
    let double = ours.present(Kind::DoubleBit);
    ensure!(
        double.len() == 5 && double[2] == (2, Value::DoublePoint(DoublePoint::On), 1),
        "{double:?}"
    );
    let counter = ours.present(Kind::Counter);
    ensure!(
        counter.len() == 5 && counter[4] == (4, Value::Counter(4_000_000_000), 1),
        "{counter:?}"
    );
    let output = ours.present(Kind::BinaryOutput);
    ensure!(
        output.len() == 5 && output[0] == (0, Value::Binary(true), 1),
        "{output:?}"
    );
    let output = ours.present(Kind::AnalogOutput);
    ensure!(
        output.len() == 5 && output[1] == (1, Value::Analog(7.0), 1),
        "{output:?}"
    );
    ensure!(ours.present(Kind::FrozenCounter).len() == 5);
    ours.indicated(Iin::DEVICE_RESTART, false).await?;
    let strings = [(50, 4), (110, 0)].map(|(group, variation)| ReadHeader {
        group,
        variation,
        range: ReadRange::All,
    });
    // Once with everything, once by themselves; both times behind objects (g50v4) that we have no
    // use for.
    let outcome = ours.ask(Request::Read(strings.to_vec())).await?;
    ensure!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    let expected: Vec<_> = (0..10).map(|number| (number % 5, vec![0])).collect();
    ensure!(ours.octets == expected, "{:?}", ours.octets);
    peer.stop().await
}

#[tokio::test]
async fn events_come_unsolicited_in_order() -> Result<()> {
    let (mut peer, mut ours) = both(config()).await?;
    let analog =
        |index| move |m: &Measurement| m.event && m.kind == Kind::Analog && m.index == index;
    // Unsolicited responses are on once the first of these has come.
    peer.tell(json!(["update", ["analog", 4, 1.0, 1, TIME_MS]]))
        .await?;
    ours.measured(analog(4)).await?;
    let updates: Vec<Json> = (0..60)
        .map(|step| json!(["binary", 3, step % 2 == 0, 1, TIME_MS + step]))
        .collect();
    for chunk in updates.chunks(7) {
        let command = [&[json!("update")], chunk].concat();
        peer.tell(Json::from(command)).await?;
    }
    peer.tell(json!(["update", ["analog", 2, 5.0, 1, TIME_MS]]))
        .await?;
    ours.measured(analog(2)).await?;
    let events: Vec<_> = ours
        .seen
        .iter()
        .filter(|m| m.event && m.kind == Kind::Binary && m.index == 3)
        .collect();
    ensure!(events.len() == 60, "{} events", events.len());
    for (step, event) in events.iter().enumerate() {
        ensure!(
            event.sample.value == Value::Binary(step % 2 == 0),
            "{step}: {event:?}"
        );
        ensure!(event.sample.flags == Flags::ONLINE, "{step}: {event:?}");
    }
    peer.stop().await
}

#[tokio::test]
async fn events_are_polled_where_nothing_is_unsolicited() -> Result<()> {
    let polled = AssociationConfig {
        unsolicited: [false; 3],
        events_every: Some(Duration::from_millis(50)),
        ..config()
    };
    let (mut peer, mut ours) = both(polled).await?;
    peer.tell(json!(["update", ["counter", 2, 77, 1, TIME_MS]]))
        .await?;
    let event = ours
        .measured(|m| m.event && m.kind == Kind::Counter)
        .await?;
    ensure!(event.sample.value == Value::Counter(77), "{event:?}");
    // Events with a relative time, counted from a common one.
    ours.seen.clear();
    peer.tell(json!([
        "update",
        ["binary", 0, true, 1, TIME_MS],
        ["binary", 0, false, 1, TIME_MS + 500]
    ]))
    .await?;
    let events = ReadHeader {
        group: 2,
        variation: 3,
        range: ReadRange::All,
    };
    let outcome = ours.ask(Request::Read(vec![events])).await?;
    ensure!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    peer.stop().await
}

#[tokio::test]
async fn variations_are_read_as_asked_for() -> Result<()> {
    let quiet = AssociationConfig {
        unsolicited: [false; 3],
        // By hand.
        events_every: Some(Duration::from_secs(3600)),
        ..config()
    };
    let (mut peer, mut ours) = both(quiet).await?;
    let mut read = 0;
    for row in protocols::dnp3::app::VARIATIONS {
        let (group, variation) = (row.group, row.variation);
        let (event, kind) = match (Kind::of_static(group), Kind::of_events(group)) {
            (Some(kind), _) => (false, kind),
            (_, Some(kind)) => (true, kind),
            _ => continue,
        };
        // Commands make no events there, and counters are not frozen here.
        let none = matches!(kind, Kind::BinaryCommand | Kind::AnalogCommand);
        if variation == 0 || none || group == 23 {
            continue;
        }
        if event {
            let (name, values) = match kind {
                Kind::Binary => ("binary", [json!(true), json!(false)]),
                Kind::DoubleBit => ("double", [json!("DETERMINED_ON"), json!("DETERMINED_OFF")]),
                Kind::BinaryOutput => ("binary_output", [json!(true), json!(false)]),
                Kind::Counter => ("counter", [json!(1), json!(2)]),
                Kind::Analog => ("analog", [json!(1.0), json!(2.0)]),
                _ => ("analog_output", [json!(1.0), json!(2.0)]),
            };
            for value in values {
                peer.tell(json!(["update", [name, 0, value, 1, TIME_MS]]))
                    .await?;
            }
            peer.finished().await?;
        }
        ours.seen.clear();
        let range = ReadRange::All;
        let header = ReadHeader {
            group,
            variation,
            range,
        };
        let outcome = ours.ask(Request::Read(vec![header])).await?;
        ensure!(
            matches!(outcome, Outcome::Done(_)),
            "g{group}v{variation}: {outcome:?}"
        );
        let same = ours
            .seen
            .iter()
            .filter(|m| m.kind == kind && m.event == event)
            .count();
        ensure!(
            same >= if event { 2 } else { 5 },
            "g{group}v{variation}: {:?}",
            ours.seen
        );
        if event {
            let last = ours.seen.last().context("nothing")?;
            let times = matches!(row.layout, protocols::dnp3::app::Layout::Point { stamp, .. } if stamp != protocols::dnp3::app::Stamp::None);
            let time = last.sample.time.map(|time| time.unix_us);
            ensure!(
                time == times.then_some(TIME_MS * 1000),
                "g{group}v{variation}: {last:?}"
            );
        }
        read += 1;
    }
    println!("{read} variations of opendnp3's read");
    ensure!(read > 35, "{read}");
    peer.stop().await
}

#[tokio::test]
async fn lost_events_and_a_lost_outstation_are_noticed() -> Result<()> {
    let (mut peer, port) = peer(&["0", "5"]).await?;
    let quiet = AssociationConfig {
        unsolicited: [false; 3],
        events_every: Some(Duration::from_secs(3600)),
        ..config()
    };
    let mut ours = Ours::start(port, quiet);
    ours.measured(|m| m.kind == Kind::AnalogOutput && m.index == 4)
        .await?;
    ours.indicated(Iin::DEVICE_RESTART, false).await?;
    let updates: Vec<Json> = (0..9)
        .map(|step| json!(["binary", 3, step % 2 == 0, 1, TIME_MS + step]))
        .collect();
    peer.tell(Json::from([&[json!("update")], &updates[..]].concat()))
        .await?;
    peer.finished().await?;
    ours.seen.clear();
    ours.ask(Request::SyncTime).await?;
    // The overflow makes it read everything; five events were left.
    ours.indicated(Iin::EVENT_BUFFER_OVERFLOW, true).await?;
    ours.measured(|m| m.kind == Kind::AnalogOutput && m.index == 4)
        .await?;
    let events = ours.seen.iter().filter(|m| m.event).count();
    ensure!(events == 5, "{events}");
    peer.stop().await?;
    while ours.event().await?
        != (MasterEvent::Online {
            outstation: 1,
            online: false,
        })
    {}
    let id = ours.client.request(1, Request::SyncTime);
    let outcome = Outcome::Disconnected;
    while ours.event().await?
        != (MasterEvent::Done {
            id,
            outcome: outcome.clone(),
        })
    {}
    // It comes back at the same port and is read again.
    let port = port.to_string();
    ours.seen.clear();
    let (peer, _) = self::peer(&[&port]).await?;
    ours.measured(|m| m.kind == Kind::AnalogOutput && m.index == 4)
        .await?;
    peer.stop().await
}

/// Everything that a master can ask, at least once.
pub(super) async fn exercise(ours: &mut Ours) -> Result<()> {
    ours.measured(|m| m.kind == Kind::AnalogOutput && m.index == 4)
        .await?;
    let latch = vec![(0, OutputCommand::Crob(Crob::latch(true)))];
    let analog = vec![(1, OutputCommand::Analog(AnalogCommand::F32(0.5)))];
    for request in [
        Request::Operate(Select::BeforeOperate, latch),
        Request::Operate(Select::Direct, analog.clone()),
        Request::Operate(Select::DirectNoResponse, analog),
        Request::Freeze {
            range: None,
            clear: false,
        },
        Request::AssignClass {
            kind: Kind::Counter,
            range: Some((0, 2)),
            class: Some(Class::One),
        },
        Request::DeadBands(vec![(0, 1.5)]),
        Request::SyncTime,
        Request::Restart { cold: true },
    ] {
        let outcome = ours.ask(request.clone()).await?;
        let answered = !matches!(outcome, Outcome::NoAnswer | Outcome::BadAnswer);
        ensure!(answered, "{request:?}: {outcome:?}");
    }
    Ok(())
}
