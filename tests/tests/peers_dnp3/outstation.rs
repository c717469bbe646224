//! Our outstation, opendnp3's master.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use protocols::{
    device::system_clock,
    dnp3::{
        Flags, Kind, Sample,
        app::{AnalogCommand, CommandStatus, Crob, OutputCommand},
        link::LinkConfig,
        outstation::{
            Class, ControlOperation, ControlRequest, OutstationConfig, OutstationEvent,
            PointConfig, RestartPolicy,
            server::{OutstationServer, ServerConfig, ServerEvent},
        },
    },
    point::{DoublePoint, TimeQuality, Timestamp, Value},
};
use serde_json::{Value as Json, json};
use tokio::{sync::mpsc, time::timeout};

use super::peer::{PATIENCE, Peer, indications, values};

/// 2023-11-14, to the millisecond.
const TIME_MS: i64 = 1_700_000_000_123;

pub(super) fn points() -> Vec<PointConfig> {
    let of_kind = |kind| {
        let class = match kind {
            Kind::Binary | Kind::DoubleBit => Class::One,
            Kind::Analog | Kind::AnalogOutput => Class::Two,
            _ => Class::Three,
        };
        (0..4).map(move |index| PointConfig::new(kind, index, Some(class)))
    };
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

pub(super) fn config(master: u16) -> OutstationConfig {
    OutstationConfig::new(LinkConfig::new(1, master))
}

pub(super) fn online(value: Value) -> Sample {
    Sample {
        value,
        flags: Flags::ONLINE,
        time: Some(Timestamp {
            unix_us: TIME_MS * 1000,
            quality: TimeQuality::Source,
        }),
    }
}

/// Our outstation and what it tells.
pub(super) struct Ours {
    pub(super) server: OutstationServer,
    events: mpsc::Receiver<ServerEvent>,
}

impl Ours {
    pub(super) async fn start(address: SocketAddr, masters: &[OutstationConfig]) -> Result<Self> {
        let (server, events) =
            OutstationServer::bind(address, masters, &points(), ServerConfig::default()).await?;
        Ok(Self { server, events })
    }

    pub(super) async fn anywhere(masters: &[OutstationConfig]) -> Result<Self> {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), masters).await
    }

    pub(super) fn port(&self) -> String {
        self.server.address().port().to_string()
    }

    pub(super) fn measure_all(&self) -> Result<()> {
        for index in 0..4 {
            let number = f64::from(index);
            for (kind, value) in [
                (Kind::Binary, Value::Binary(index % 2 == 1)),
                (Kind::DoubleBit, Value::DoublePoint(DoublePoint::On)),
                (Kind::BinaryOutput, Value::Binary(index == 2)),
                (
                    Kind::Counter,
                    Value::Counter(4_000_000_000 + u64::from(index)),
                ),
                (Kind::FrozenCounter, Value::Counter(5)),
                (Kind::Analog, Value::Analog(-1234.5 + number)),
                (Kind::AnalogOutput, Value::Analog(0.25 * number)),
            ] {
                ensure!(self.server.update(kind, index, online(value)));
            }
        }
        Ok(())
    }

    pub(super) async fn event(&mut self) -> Result<ServerEvent> {
        let event = timeout(PATIENCE, self.events.recv()).await?;
        event.context("the server ended")
    }

    /// The next commands, answered with `status`.
    async fn control(&mut self, status: CommandStatus) -> Result<ControlRequest> {
        loop {
            if let (session, OutstationEvent::Control(request)) = self.event().await? {
                let statuses = vec![status; request.commands.len()];
                self.server.control_done(session, request.id, &statuses);
                return Ok(request);
            }
        }
    }
}

async fn connected(ours: &Ours) -> Result<(Peer, Vec<Json>)> {
    let mut peer = Peer::start(&["master", &ours.port(), "10", "1"])?;
    let mut seen = peer.task("STARTUP_INTEGRITY_POLL").await?;
    seen.extend(peer.task("ENABLE_UNSOLICITED").await?);
    Ok((peer, seen))
}

#[tokio::test]
async fn an_integrity_poll_tells_everything_as_it_is() -> Result<()> {
    let ours = Ours::anywhere(&[config(10)]).await?;
    ours.measure_all()?;
    ensure!(ours.server.set_octets(7, b"busbar"));
    let (peer, seen) = connected(&ours).await?;
    for (name, expected) in [
        (
            "Group1Var2",
            json!([
                [0, false, 1, 0],
                [1, true, 129, 0],
                [2, false, 1, 0],
                [3, true, 129, 0]
            ]),
        ),
        (
            "Group10Var2",
            json!([
                [0, false, 1, 0],
                [1, false, 1, 0],
                [2, true, 129, 0],
                [3, false, 1, 0]
            ]),
        ),
        (
            "Group20Var1",
            json!([
                [0, 4_000_000_000_u32, 1, 0],
                [1, 4_000_000_001_u32, 1, 0],
                [2, 4_000_000_002_u32, 1, 0],
                [3, 4_000_000_003_u32, 1, 0]
            ]),
        ),
        (
            "Group21Var1",
            json!([[0, 5, 1, 0], [1, 5, 1, 0], [2, 5, 1, 0], [3, 5, 1, 0]]),
        ),
        (
            "Group30Var5",
            json!([
                [0, -1234.5, 1, 0],
                [1, -1233.5, 1, 0],
                [2, -1232.5, 1, 0],
                [3, -1231.5, 1, 0]
            ]),
        ),
        (
            "Group40Var3",
            json!([
                [0, 0.0, 1, 0],
                [1, 0.25, 1, 0],
                [2, 0.5, 1, 0],
                [3, 0.75, 1, 0]
            ]),
        ),
        ("Group110Var0", json!([[7, "busbar", null, null]])),
        // The first value of each point is an event too, with its time.
        (
            "Group2Var2",
            json!([
                [0, false, 1, TIME_MS],
                [1, true, 129, TIME_MS],
                [2, false, 1, TIME_MS],
                [3, true, 129, TIME_MS]
            ]),
        ),
        (
            "Group32Var7",
            json!([
                [0, -1234.5, 1, TIME_MS],
                [1, -1233.5, 1, TIME_MS],
                [2, -1232.5, 1, TIME_MS],
                [3, -1231.5, 1, TIME_MS]
            ]),
        ),
    ] {
        let theirs = Json::from(values(&seen, name));
        ensure!(theirs == expected, "{name}: {theirs}");
    }
    let double = values(&seen, "Group3Var2");
    ensure!(
        double.len() == 4 && double[0][1] == "DETERMINED_ON",
        "{double:?}"
    );
    // It restarted; the master cleared that.
    let iin = indications(&seen);
    ensure!(iin[0][0] & 0x80 != 0, "{iin:?}");
    ensure!(
        iin.last().is_some_and(|last| last[0] & 0x80 == 0),
        "{iin:?}"
    );
    ensure!(iin.iter().all(|iin| iin[1] == 0), "{iin:?}");
    peer.stop().await
}

#[tokio::test]
async fn every_variation_that_can_be_asked_for_is_understood() -> Result<()> {
    let ours = Ours::anywhere(&[config(10)]).await?;
    ours.measure_all()?;
    let (mut peer, _) = connected(&ours).await?;
    let mut asked = 0;
    for row in protocols::dnp3::app::VARIATIONS {
        let (group, variation) = (row.group, row.variation);
        let event = Kind::of_events(group).is_some();
        let command = matches!(group, 13 | 43);
        if variation == 0 || command || !(event || Kind::of_static(group).is_some()) {
            continue;
        }
        if event {
            // Not known to the master yet; unsolicited ones come in the default variation.
            peer.tell(json!([
                "function",
                "DISABLE_UNSOLICITED",
                [60, 2],
                [60, 3],
                [60, 4]
            ]))
            .await?;
            peer.task("USER_TASK").await?;
            let kind = Kind::of_events(group).context("an event")?;
            let (value, other) = pair(kind);
            ours.server.update(kind, 1, online(value));
            ours.server.update(kind, 1, online(other));
        }
        peer.tell(json!(["scan", [group, variation]])).await?;
        let seen = peer.task("USER_TASK").await?;
        // With the values as they are, one without flags is sent as it was asked for.
        let items = values(&seen, &format!("Group{group}Var{variation}"));
        let wanted = if event { 1 } else { 4 };
        let counters_beyond = matches!((group, variation), (30, 4));
        ensure!(
            items.len() >= wanted || counters_beyond,
            "g{group}v{variation}: {seen:?}"
        );
        asked += 1;
    }
    println!("opendnp3 understood {asked} variations");
    ensure!(asked > 40, "{asked}");
    peer.stop().await
}

fn pair(kind: Kind) -> (Value, Value) {
    match kind.unmeasured() {
        Value::Binary(_) => (Value::Binary(true), Value::Binary(false)),
        Value::DoublePoint(_) => {
            let (off, on) = (DoublePoint::Off, DoublePoint::On);
            (Value::DoublePoint(off), Value::DoublePoint(on))
        }
        Value::Counter(_) => (Value::Counter(8), Value::Counter(9)),
        Value::Analog(_) => (Value::Analog(8.0), Value::Analog(9.0)),
    }
}

#[tokio::test]
async fn events_come_unsolicited_in_order_with_the_sources_time() -> Result<()> {
    let ours = Ours::anywhere(&[config(10)]).await?;
    let (mut peer, _) = connected(&ours).await?;
    for step in 0..50_i64 {
        let mut sample = online(Value::Binary(step % 2 == 0));
        let time = sample.time.as_mut().context("a time")?;
        time.unix_us += step * 1000;
        ours.server.update(Kind::Binary, 2, sample);
    }
    let mut items = Vec::new();
    while items.len() < 50 {
        let line = peer.next().await?;
        if line["values"] == "Group2Var2" {
            ensure!(
                line["unsolicited"] == true && line["time"] == "SYNCHRONIZED",
                "{line}"
            );
            items.extend(values(&[line], "Group2Var2"));
        }
    }
    for (step, item) in (0_i64..).zip(&items) {
        let on = step % 2 == 0;
        let expected = json!([2, on, if on { 129 } else { 1 }, TIME_MS + step]);
        ensure!(*item == expected, "{step}: {item}");
    }
    // Once each: a poll has nothing left.
    peer.tell(json!(["scan", [60, 2], [60, 3], [60, 4]]))
        .await?;
    let seen = peer.task("USER_TASK").await?;
    ensure!(seen.iter().all(|line| line["values"].is_null()), "{seen:?}");
    peer.stop().await
}

#[tokio::test]
async fn commands_are_accepted_and_refused() -> Result<()> {
    let mut ours = Ours::anywhere(&[config(10)]).await?;
    let (mut peer, _) = connected(&ours).await?;
    let crob = |how: &str, index: u16| {
        json!(["operate", how, index, "crob", "PULSE_ON", "TRIP", 1, 250, 0])
    };
    let trip = OutputCommand::Crob(Crob::breaker(false, 250));

    // Selected, then operated.
    let (status, requests) = tokio::try_join!(peer.operate(crob("select", 1)), async {
        let select = ours.control(CommandStatus::Success).await?;
        let operate = ours.control(CommandStatus::Success).await?;
        Ok([select, operate])
    })?;
    ensure!(status == "SUCCESS", "{status}");
    let operations = [ControlOperation::Select, ControlOperation::Operate];
    for (request, operation) in requests.iter().zip(operations) {
        ensure!(request.operation == operation, "{request:?}");
        ensure!(request.commands == [(1, trip)], "{request:?}");
    }
    // Refused when selected: never operated.
    let refuse = ours.control(CommandStatus::Local);
    let (status, request) = tokio::try_join!(peer.operate(crob("select", 1)), refuse)?;
    ensure!(
        status == "LOCAL" && request.operation == ControlOperation::Select,
        "{status}"
    );
    // Directly, accepted and refused.
    for (ours_says, theirs) in [
        (CommandStatus::Success, "SUCCESS"),
        (CommandStatus::Blocked, "BLOCKED"),
    ] {
        let answer = ours.control(ours_says);
        let (status, request) = tokio::try_join!(peer.operate(crob("direct", 3)), answer)?;
        ensure!(status == theirs, "{status}");
        ensure!(request.commands == [(3, trip)], "{request:?}");
    }
    // There is no such output.
    let status = peer.operate(crob("direct", 99)).await?;
    ensure!(status == "NOT_SUPPORTED", "{status}");
    // Analog outputs in every variation.
    for (kind, number, expected) in [
        ("i16", json!(-7), AnalogCommand::I16(-7)),
        ("i32", json!(70_000), AnalogCommand::I32(70_000)),
        ("f32", json!(2.5), AnalogCommand::F32(2.5)),
        ("f64", json!(0.1), AnalogCommand::F64(0.1)),
    ] {
        for how in ["direct", "select"] {
            let told = peer.operate(json!(["operate", how, 0, kind, number]));
            let answers = async {
                let first = ours.control(CommandStatus::Success).await?;
                if how == "select" {
                    ours.control(CommandStatus::Success).await?;
                }
                Ok(first)
            };
            let (status, request) = tokio::try_join!(told, answers)?;
            ensure!(status == "SUCCESS", "{kind} {how}: {status}");
            let command = OutputCommand::Analog(expected);
            ensure!(request.commands == [(0, command)], "{request:?}");
        }
    }
    // Commands are events: the master has seen each, with its status.
    ours.measure_all()?;
    peer.stop().await
}

#[tokio::test]
async fn the_master_sets_the_clock_when_asked() -> Result<()> {
    let hourly = OutstationConfig {
        need_time_every: Some(Duration::from_secs(3600)),
        ..config(10)
    };
    let mut ours = Ours::anywhere(&[hourly]).await?;
    let mut peer = Peer::start(&["master", &ours.port(), "10", "1"])?;
    let seen = peer.task("LAN_TIME_SYNC").await?;
    let iin = indications(&seen);
    ensure!(iin[0][0] & 0x10 != 0, "{iin:?}");
    let unix_ms = loop {
        if let (_, OutstationEvent::TimeWritten { unix_ms }) = ours.event().await? {
            break unix_ms as i64;
        }
    };
    let off = system_clock() / 1000 - unix_ms;
    ensure!(off.abs() < 5000, "{off} ms off");
    peer.tell(json!(["scan", [60, 1]])).await?;
    let iin = indications(&peer.task("USER_TASK").await?);
    ensure!(iin.iter().all(|iin| iin[0] & 0x10 == 0), "{iin:?}");
    peer.stop().await
}

#[tokio::test]
async fn counters_classes_dead_bands_and_restarts() -> Result<()> {
    let back_in = Duration::from_secs(20);
    let allowing = OutstationConfig {
        restart: RestartPolicy::Allowed { back_in },
        ..config(10)
    };
    let mut ours = Ours::anywhere(&[allowing]).await?;
    ours.measure_all()?;
    let (mut peer, _) = connected(&ours).await?;

    peer.tell(json!(["freeze", "FreezeAndClear", [20, 0, 1, 2]]))
        .await?;
    peer.task("USER_TASK").await?;
    peer.tell(json!(["scan", [21, 1], [20, 1]])).await?;
    let seen = peer.task("USER_TASK").await?;
    let frozen = Json::from(values(&seen, "Group21Var1"));
    let expected = json!([
        [0, 5, 1, 0],
        [1, 4_000_000_001_u32, 1, 0],
        [2, 4_000_000_002_u32, 1, 0],
        [3, 5, 1, 0]
    ]);
    ensure!(frozen == expected, "{frozen}");
    let running = Json::from(values(&seen, "Group20Var1"));
    let expected = json!([
        [0, 4_000_000_000_u32, 1, 0],
        [1, 0, 1, 0],
        [2, 0, 1, 0],
        [3, 4_000_000_003_u32, 1, 0]
    ]);
    ensure!(running == expected, "{running}");

    peer.tell(json!(["function", "ASSIGN_CLASS", [60, 4], [30, 0]]))
        .await?;
    peer.task("USER_TASK").await?;
    let mut assigned = 0;
    while assigned < 4 {
        if let (_, OutstationEvent::ClassAssigned { kind, class, .. }) = ours.event().await? {
            ensure!(kind == Kind::Analog && class == Some(Class::Three));
            assigned += 1;
        }
    }
    peer.tell(json!(["dead_band", 0, 100.0])).await?;
    peer.task("USER_TASK").await?;
    peer.tell(json!([
        "function",
        "DISABLE_UNSOLICITED",
        [60, 2],
        [60, 3],
        [60, 4]
    ]))
    .await?;
    peer.task("USER_TASK").await?;
    // Within the dead band that the master wrote, then beyond.
    ours.server
        .update(Kind::Analog, 0, online(Value::Analog(-1200.0)));
    peer.tell(json!(["scan", [60, 4]])).await?;
    let seen = peer.task("USER_TASK").await?;
    ensure!(values(&seen, "Group32Var7").is_empty(), "{seen:?}");
    ours.server
        .update(Kind::Analog, 0, online(Value::Analog(-1000.0)));
    peer.tell(json!(["scan", [60, 4]])).await?;
    let seen = peer.task("USER_TASK").await?;
    ensure!(values(&seen, "Group32Var7").len() == 1, "{seen:?}");

    peer.tell(json!(["restart", "COLD"])).await?;
    let seen = peer.until(|line| !line["restart"].is_null()).await?;
    let answer = seen.last().context("nothing")?;
    ensure!(answer["restart"] == "SUCCESS", "{answer}");
    while ours.event().await?.1 != (OutstationEvent::Restart { cold: true }) {}
    peer.tell(json!(["link_status"])).await?;
    peer.until(|line| !line["link"].is_null()).await?;
    peer.stop().await
}

#[tokio::test]
async fn what_is_refused_is_refused_by_its_indication() -> Result<()> {
    let small = OutstationConfig {
        max_events: 5,
        unsolicited: None,
        ..config(10)
    };
    let ours = Ours::anywhere(&[small]).await?;
    let mut peer = Peer::start(&["master", &ours.port(), "10", "1"])?;
    let (result, seen) = peer.ended("ENABLE_UNSOLICITED").await?;
    ensure!(result == "FAILURE_BAD_RESPONSE", "{result}");
    ensure!(indications(&seen).last() == Some(&[0, 1]), "{seen:?}");
    // A restart is not allowed here: function not supported.
    peer.tell(json!(["restart", "WARM"])).await?;
    let (result, seen) = peer.ended("USER_TASK").await?;
    ensure!(result == "FAILURE_BAD_RESPONSE", "{result}");
    ensure!(indications(&seen).last() == Some(&[0, 1]), "{seen:?}");
    // Unknown object; a range beyond what is there.
    for (header, bit) in [(json!([31, 1]), 2), (json!([30, 5, 2, 9]), 4)] {
        peer.tell(json!(["scan", header])).await?;
        let (_, seen) = peer.ended("USER_TASK").await?;
        ensure!(indications(&seen).last() == Some(&[0, bit]), "{seen:?}");
    }
    // Events were lost, until they have been read.
    for step in 0..9 {
        ours.server
            .update(Kind::Binary, 0, online(Value::Binary(step % 2 == 0)));
    }
    peer.tell(json!(["scan", [60, 2]])).await?;
    let seen = peer.task("USER_TASK").await?;
    ensure!(indications(&seen).last() == Some(&[0, 8]), "{seen:?}");
    let events = values(&seen, "Group2Var2").len();
    ensure!(events == 5, "{events}");
    // The master reads everything when it hears of it, and nothing is lost any more.
    let seen = peer.until(|line| line["iin"] == json!([0, 0])).await?;
    ensure!(values(&seen, "Group2Var2").is_empty(), "{seen:?}");
    peer.stop().await
}

#[tokio::test]
async fn two_masters_each_have_their_own_events() -> Result<()> {
    let ours = Ours::anywhere(&[config(10), config(11)]).await?;
    let mut first = Peer::start(&["master", &ours.port(), "10", "1"])?;
    first.task("ENABLE_UNSOLICITED").await?;
    ours.server
        .update(Kind::Binary, 0, online(Value::Binary(true)));
    let is_event = |line: &Json| line["values"] == "Group2Var2";
    first.until(is_event).await?;
    // The second comes later and gets the same event, once.
    let mut second = Peer::start(&["master", &ours.port(), "11", "1"])?;
    let seen = second.task("ENABLE_UNSOLICITED").await?;
    ensure!(values(&seen, "Group2Var2").len() == 1, "{seen:?}");
    ours.server
        .update(Kind::Binary, 0, online(Value::Binary(false)));
    for peer in [&mut first, &mut second] {
        let seen = peer.until(is_event).await?;
        let items = values(&seen, "Group2Var2");
        ensure!(
            Json::from(items.clone()) == json!([[0, false, 1, TIME_MS]]),
            "{items:?}"
        );
    }
    first.stop().await?;
    second.stop().await
}

#[tokio::test]
async fn the_master_finds_a_restarted_outstation_and_reads_it_anew() -> Result<()> {
    let ours = Ours::anywhere(&[config(10)]).await?;
    let address = ours.server.address();
    let (mut peer, _) = connected(&ours).await?;
    drop(ours);
    let ours = loop {
        // The port is free when the old connection's task has gone.
        match Ours::start(address, &[config(10)]).await {
            Ok(ours) => break ours,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    ours.measure_all()?;
    // It says that it has restarted; the master clears that and reads everything.
    let seen = peer.until(|line| line["values"] == "Group30Var5").await?;
    ensure!(
        indications(&seen).iter().any(|iin| iin[0] & 0x80 != 0),
        "{seen:?}"
    );
    peer.task("ENABLE_UNSOLICITED").await?;
    ours.server
        .update(Kind::Binary, 0, online(Value::Binary(true)));
    peer.until(|line| line["values"] == "Group2Var2" && line["unsolicited"] == true)
        .await?;
    // And the other way round: a new master takes the place of the old.
    peer.stop().await?;
    let (peer, seen) = connected(&ours).await?;
    ensure!(values(&seen, "Group30Var5").len() == 4, "{seen:?}");
    peer.stop().await
}
