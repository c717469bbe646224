//! Our station, lib60870's master.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use protocols::{
    device::system_clock,
    iec104::{
        CommandValue, ControlKind, Kind, Qds, Sample,
        station::{
            CommandConfig, ControlAnswer, ControlOperation, ControlRequest, GroupConfig,
            PointConfig, SelectMode, StationConfig, StationEvent,
            server::{ServerEvent, StationServer},
        },
    },
    point::{DoublePoint, TimeQuality, Timestamp, Value},
    tls::TlsServer,
};
use serde_json::{Value as Json, json};
use tokio::{sync::mpsc, time::timeout};

use super::peer::{PATIENCE, Peer};

/// 2023-11-14, to the millisecond.
pub(super) const TIME_MS: i64 = 1_700_000_000_123;

/// One point of each kind at its address, with what it shows, and how lib60870 says that.
pub(super) fn points() -> Vec<(u32, Kind, Value, Json)> {
    vec![
        (1, Kind::Single, Value::Binary(true), json!(true)),
        (
            2,
            Kind::Double,
            Value::DoublePoint(DoublePoint::On),
            json!("ON"),
        ),
        (3, Kind::Step, Value::Analog(-7.0), json!(-7)),
        (
            4,
            Kind::Bitstring,
            Value::Counter(0xDEAD_BEEF),
            json!(0xDEAD_BEEF_u32),
        ),
        (5, Kind::Normalized, Value::Analog(-0.5), json!(-0.5)),
        (6, Kind::Scaled, Value::Analog(-1234.0), json!(-1234)),
        (7, Kind::Float, Value::Analog(20_125.5), json!(20_125.5)),
        (8, Kind::Counter, Value::Counter(123_456), json!(123_456)),
    ]
}

pub(super) fn config() -> StationConfig {
    let kinds = [
        ControlKind::Single,
        ControlKind::Double,
        ControlKind::Step,
        ControlKind::Normalized,
        ControlKind::Scaled,
        ControlKind::Float,
    ];
    let command = |(ioa, kind)| CommandConfig {
        ioa,
        kind,
        select: match kind {
            ControlKind::Double => SelectMode::Required,
            _ => SelectMode::Optional,
        },
    };
    let point = |(ioa, kind, ..): (u32, Kind, Value, Json)| PointConfig {
        group: (ioa == 7).then_some(4),
        ..PointConfig::new(ioa, kind)
    };
    StationConfig {
        points: points().into_iter().map(point).collect(),
        commands: (101..).zip(kinds).map(command).collect(),
        groups: vec![GroupConfig::default()],
        select_timeout: Duration::from_millis(500),
        clock_sync: true,
        lost_events: Some(9),
        ..StationConfig::new(3)
    }
}

/// Our station and what it tells.
pub(super) struct Ours {
    pub(super) server: StationServer,
    events: mpsc::Receiver<ServerEvent>,
}

impl Ours {
    pub(super) async fn start(address: SocketAddr, config: StationConfig) -> Result<Self> {
        Self::secured(address, config, None).await
    }

    pub(super) async fn secured(
        address: SocketAddr,
        config: StationConfig,
        tls: Option<TlsServer>,
    ) -> Result<Self> {
        let (server, events) = StationServer::bind(address, config, tls, system_clock).await?;
        Ok(Self { server, events })
    }

    pub(super) async fn anywhere(config: StationConfig) -> Result<Self> {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), config).await
    }

    pub(super) fn measure(&self, ioa: u32, value: Value, qds: Qds, time_ms: i64) -> Result<()> {
        let time = Some(Timestamp {
            unix_us: time_ms * 1000,
            quality: TimeQuality::Source,
        });
        ensure!(self.server.update(ioa, Sample { value, qds, time }));
        Ok(())
    }

    pub(super) fn measure_all(&self) -> Result<()> {
        for (ioa, _, value, _) in points() {
            self.measure(ioa, value, Qds::empty(), TIME_MS)?;
        }
        Ok(())
    }

    /// The next command, answered.
    pub(super) async fn control(&mut self, answer: ControlAnswer) -> Result<ControlRequest> {
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await?;
            if let (_, StationEvent::Control(request)) = event.context("the server ended")? {
                self.server.answer(request.id, answer);
                return Ok(request);
            }
        }
    }

    pub(super) async fn told(
        &mut self,
        is: impl Fn(&StationEvent) -> bool,
    ) -> Result<StationEvent> {
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await?;
            let (_, event) = event.context("the server ended")?;
            if is(&event) {
                return Ok(event);
            }
        }
    }
}

/// Their master, which knows our points of types without time (`plain`) or with it (`timed`).
pub(super) fn master(port: u16, types: &str) -> Result<Peer> {
    let arguments = ["master", "127.0.0.1", &port.to_string(), types];
    Peer::run("iec104_peers.py", &arguments)
}

/// Their master, connected.
pub(super) async fn connected(ours: &Ours, types: &str) -> Result<Peer> {
    let mut peer = master(ours.server.address().port(), types)?;
    peer.until(|line| line["state"] == "OPEN").await?;
    Ok(peer)
}

/// Whether what they were told to do succeeded, and all that happened meanwhile.
pub(super) async fn ask(peer: &mut Peer, command: Json) -> Result<(bool, Vec<Json>)> {
    let name = command[0].clone();
    peer.tell(command).await?;
    let mut seen = peer.until(|line| line["done"] == name).await?;
    let ok = seen.pop().context("nothing")?["ok"] == true;
    // What was received by then is told by then, but for a callback that is under way.
    seen.extend(peer.finished().await?);
    Ok((ok, seen))
}

/// Causes of the frames of a type, a refusal as its negative.
fn causes(seen: &[Json], name: &str) -> Vec<i64> {
    let of = seen.iter().filter(|line| line["frame"] == name);
    of.filter_map(|line| {
        let cause = line["cot"].as_i64()?;
        Some(if line["negative"] == true {
            -cause
        } else {
            cause
        })
    })
    .collect()
}

/// Waits until as many frames of a type have been told as are expected: their threads tell of a frame
/// sometime after it was answered. Their causes are to be the expected ones.
async fn expect(peer: &mut Peer, mut seen: Vec<Json>, name: &str, causes: &[i64]) -> Result<()> {
    while self::causes(&seen, name).len() < causes.len() {
        seen.extend(peer.until(|line| line["frame"] == name).await?);
    }
    let found = self::causes(&seen, name);
    ensure!(
        found == causes,
        "{name}: {found:?}, not {causes:?}: {seen:?}"
    );
    Ok(())
}

/// Waits likewise for values with a cause.
async fn values(
    peer: &mut Peer,
    seen: &mut Vec<Json>,
    cause: i64,
    n: usize,
) -> Result<Vec<(u64, Json)>> {
    while told(seen, cause).len() < n {
        seen.extend(
            peer.until(|l| l["cot"] == cause && !l["point"].is_null())
                .await?,
        );
    }
    Ok(told(seen, cause))
}

/// What was told of points with a cause: address and value.
fn told(seen: &[Json], cause: i64) -> Vec<(u64, Json)> {
    let of = seen
        .iter()
        .filter(|line| line["cot"] == cause && !line["point"].is_null());
    of.filter_map(|line| Some((line["point"].as_u64()?, line["value"].clone())))
        .collect()
}

#[tokio::test]
async fn everything_is_interrogated() -> Result<()> {
    let ours = Ours::anywhere(config()).await?;
    ours.measure_all()?;
    let mut peer = connected(&ours, "plain").await?;
    let expected: Vec<(u64, Json)> = points()
        .into_iter()
        .map(|(ioa, _, _, said)| (u64::from(ioa), said))
        .collect();
    // By our address, and as all stations.
    for address in [3, 65535] {
        let (ok, mut seen) = ask(&mut peer, json!(["interrogate", address, 20])).await?;
        ensure!(ok, "{seen:?}");
        let values = values(&mut peer, &mut seen, 20, 8).await?;
        ensure!(values[..7] == expected[..7], "{values:?}");
        ensure!(values[7..] == [(9, json!(false))], "{values:?}");
        let others = seen
            .iter()
            .filter(|l| !l["frame"].is_null() && l["address"] != 3);
        ensure!(others.count() == 0, "{seen:?}");
        expect(&mut peer, seen, "C_IC_NA_1", &[7, 10]).await?;
    }
    for (asked, cause, point) in [
        (json!(["interrogate", 3, 24]), 24, 6),
        (json!(["counters", 3, 5, 0]), 37, 7),
        (json!(["read", 3, 7]), 5, 6),
    ] {
        let (ok, mut seen) = ask(&mut peer, asked).await?;
        ensure!(ok, "{seen:?}");
        let values = values(&mut peer, &mut seen, cause, 1).await?;
        ensure!(values == [expected[point].clone()], "{values:?}");
    }
    let (ok, seen) = ask(&mut peer, json!(["counters", 3, 5, 1])).await?;
    ensure!(ok, "{seen:?}");
    peer.stop().await
}

#[tokio::test]
async fn changes_come_by_themselves_in_order_with_time_and_quality() -> Result<()> {
    let ours = Ours::anywhere(config()).await?;
    ours.measure_all()?;
    let mut peer = connected(&ours, "timed").await?;
    peer.until(|l| l["frame"] == "M_IT_TB_1").await?;
    for step in 0..100 {
        let value = Value::Binary(step % 2 == 1);
        ours.measure(1, value, Qds::empty(), TIME_MS + i64::from(step))?;
    }
    for (ioa, qds) in [
        (7, Qds::IV),
        (6, Qds::OV),
        (5, Qds::NT),
        (3, Qds::SB),
        (2, Qds::BL),
    ] {
        let (_, _, value, _) = points()[ioa - 1].clone();
        ours.measure(ioa as u32, value, qds, TIME_MS + 1000)?;
    }
    // Their threads tell of points one by one and in any order; the frames are told as they came.
    let mut seen = Vec::new();
    let mut switched: Vec<Vec<u64>> = Vec::new();
    while switched.len() < 100 {
        let more = peer.until(|l| l["frame"] == "M_SP_TB_1").await?;
        let frame = more.last().context("nothing")?;
        let octets = frame["objects"].as_array().into_iter().flatten();
        let octets: Vec<u64> = octets.filter_map(Json::as_u64).collect();
        switched.extend(octets.chunks(11).map(<[u64]>::to_vec));
        seen.extend(more);
    }
    for (step, object) in (0..).zip(&switched) {
        // The address, the value without anything against it, and the time's milliseconds.
        ensure!(object[..4] == [1, 0, 0, step % 2], "{step}: {object:?}");
        ensure!(
            object[4] + 256 * object[5] == 20_123 + step,
            "{step}: {object:?}"
        );
    }
    let told = |seen: &[Json]| {
        let bad = seen
            .iter()
            .filter(|l| l["quality"].as_array().is_some_and(|q| !q.is_empty()));
        bad.cloned().collect::<Vec<Json>>()
    };
    while told(&seen).len() < 5 {
        seen.push(peer.next().await?);
    }
    let events = told(&seen);
    for (ioa, name) in [
        (7, "Invalid"),
        (6, "Overflow"),
        (5, "NonTopical"),
        (3, "Substituted"),
        (2, "Blocked"),
    ] {
        let event = events
            .iter()
            .find(|l| l["point"] == ioa)
            .context("no event")?;
        ensure!(event["quality"] == json!([name]), "{event}");
        ensure!(event["time"] == TIME_MS + 1000, "{event}");
    }
    ensure!(!seen.iter().any(|l| !l["unexpected"].is_null()), "{seen:?}");
    peer.stop().await
}

#[tokio::test]
async fn commands_are_confirmed_and_terminated_or_refused() -> Result<()> {
    let mut ours = Ours::anywhere(config()).await?;
    let mut peer = connected(&ours, "plain").await?;
    let rows = [
        (101, "C_SC_NA_1", json!(true), CommandValue::Single(true)),
        (103, "C_RC_NA_1", json!("HIGHER"), CommandValue::Step(true)),
        (
            104,
            "C_SE_NA_1",
            json!(0.25),
            CommandValue::Normalized(0.25),
        ),
        (105, "C_SE_NB_1", json!(-77), CommandValue::Scaled(-77)),
        (106, "C_SE_NC_1", json!(1e6), CommandValue::Float(1e6)),
    ];
    for (ioa, name, said, value) in rows {
        for (answer, expected) in [
            (ControlAnswer::Done, &[7, 10][..]),
            (ControlAnswer::Refused, &[-7]),
        ] {
            let command = json!(["command", 3, ioa, name, said, false]);
            let (done, request) = tokio::try_join!(ask(&mut peer, command), ours.control(answer))?;
            let (ok, seen) = done;
            ensure!(ok == (answer == ControlAnswer::Done), "{name}: {seen:?}");
            ensure!(request.command.value == value, "{request:?}");
            ensure!(request.operation == ControlOperation::Execute);
            expect(&mut peer, seen, name, expected).await?;
        }
    }
    // A command with time, from now, and from an hour ago.
    let now_ms = system_clock() / 1000;
    let command = json!(["command", 3, 101, "C_SC_NA_1", true, false]);
    let (done, _) = tokio::try_join!(ask(&mut peer, command), ours.control(ControlAnswer::Done))?;
    ensure!(done.0);
    let wrong = json!(["command", 3, 200, "C_SC_TA_1", true, false, now_ms]);
    let (ok, seen) = ask(&mut peer, wrong).await?;
    ensure!(!ok, "{seen:?}");
    expect(&mut peer, seen, "C_SC_TA_1", &[-47]).await?;
    peer.stop().await
}

#[tokio::test]
async fn what_has_to_be_selected_is_selected_first() -> Result<()> {
    let mut ours = Ours::anywhere(config()).await?;
    let mut peer = connected(&ours, "plain").await?;
    let execute = |select| json!(["command", 3, 102, "C_DC_NA_1", "ON", select]);
    let (ok, seen) = ask(&mut peer, execute(false)).await?;
    ensure!(!ok, "{seen:?}");
    expect(&mut peer, seen, "C_DC_NA_1", &[-7]).await?;
    let both = async {
        let selected = ours.control(ControlAnswer::Done).await?;
        let executed = ours.control(ControlAnswer::Done).await?;
        Ok([selected, executed])
    };
    let ((ok, seen), requests) = tokio::try_join!(ask(&mut peer, execute(true)), both)?;
    ensure!(ok, "{seen:?}");
    let operations = requests.map(|request| request.operation);
    ensure!(operations == [ControlOperation::Select, ControlOperation::ExecuteSelected]);
    ensure!(
        requests
            .iter()
            .all(|r| r.command.value == CommandValue::Double(true))
    );
    // Refused at the selection: they do not execute.
    let refused = ours.control(ControlAnswer::Refused);
    let ((ok, seen), _) = tokio::try_join!(ask(&mut peer, execute(true)), refused)?;
    ensure!(!ok, "{seen:?}");
    peer.stop().await
}

#[tokio::test]
async fn clock_and_tests_are_answered() -> Result<()> {
    let mut ours = Ours::anywhere(config()).await?;
    let mut peer = connected(&ours, "plain").await?;
    let before = system_clock() / 1000;
    let (ok, seen) = ask(&mut peer, json!(["clock", 3])).await?;
    ensure!(ok, "{seen:?}");
    expect(&mut peer, seen, "C_CS_NA_1", &[7]).await?;
    let written = |event: &StationEvent| matches!(event, StationEvent::TimeWritten { .. });
    let StationEvent::TimeWritten { unix_ms } = ours.told(written).await? else {
        anyhow::bail!("no time");
    };
    let after = system_clock() / 1000;
    let unix_ms = i64::try_from(unix_ms)?;
    ensure!(
        (before..=after).contains(&unix_ms),
        "{before} {unix_ms} {after}"
    );
    // Without a time lib60870's wrapper says that it failed, against its own station too.
    let (ok, seen) = ask(&mut peer, json!(["test", 3, true])).await?;
    ensure!(ok, "{seen:?}");
    expect(&mut peer, seen, "C_TS_TA_1", &[7]).await?;
    let (_, seen) = ask(&mut peer, json!(["interrogate", 4, 20])).await?;
    expect(&mut peer, seen, "C_IC_NA_1", &[-46]).await?;
    peer.stop().await
}

#[tokio::test]
async fn either_side_may_restart() -> Result<()> {
    let ours = Ours::anywhere(config()).await?;
    ours.measure_all()?;
    let peer = connected(&ours, "timed").await?;
    peer.stop().await?;
    // What happens while there is no master is told to the next one, in order.
    for step in 1..=40 {
        let value = Value::Binary(step % 2 == 0);
        ours.measure(1, value, Qds::empty(), TIME_MS + step)?;
    }
    let mut peer = connected(&ours, "timed").await?;
    let last = |l: &Json| l["frame"] == "M_SP_TB_1" && l["cot"] == 3;
    let seen = peer.until(last).await?;
    let frames: Vec<&Json> = seen.iter().filter(|l| last(l)).collect();
    // The octets: 11 an object.
    let objects: Vec<u64> = frames
        .iter()
        .flat_map(|frame| frame["objects"].as_array().into_iter().flatten())
        .filter_map(Json::as_u64)
        .collect();
    let milliseconds: Vec<u64> = objects.chunks(11).map(|o| o[4] + 256 * o[5]).collect();
    ensure!(milliseconds.first() == Some(&20_124), "{milliseconds:?}");
    ensure!(milliseconds.is_sorted(), "{milliseconds:?}");
    // Our station goes, comes back with its port, and says so.
    let address = ours.server.address();
    drop(ours);
    peer.until(|l| l["state"].is_string() && l["state"] != "OPEN")
        .await?;
    let ours = Ours::start(address, config()).await?;
    ours.measure_all()?;
    peer.until(|l| l["initialised"] == 3).await?;
    let (ok, seen) = ask(&mut peer, json!(["interrogate", 3, 20])).await?;
    ensure!(ok, "{seen:?}");
    expect(&mut peer, seen, "C_IC_NA_1", &[7, 10]).await?;
    peer.stop().await
}

#[tokio::test]
async fn one_connection_of_a_group_is_served() -> Result<()> {
    let ours = Ours::anywhere(config()).await?;
    ours.measure_all()?;
    let mut first = connected(&ours, "timed").await?;
    ask(&mut first, json!(["interrogate", 3, 20])).await?;
    let mut second = connected(&ours, "timed").await?;
    ask(&mut second, json!(["interrogate", 3, 20])).await?;
    ours.measure(1, Value::Binary(false), Qds::empty(), TIME_MS + 1)?;
    second.until(|l| l["point"] == 1 && l["cot"] == 3).await?;
    let seen = first.finished().await?;
    ensure!(
        !seen
            .iter()
            .any(|l| l["point"] == 1 && l["cot"] == 3 && l["value"] == false),
        "{seen:?}"
    );
    first.stop().await?;
    second.stop().await
}
