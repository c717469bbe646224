//! Modbus and SunSpec against pymodbus and pysunspec2 (`tests/peers/modbus_peers.py`): definitions,
//! our server to their client, their server to our client.

mod capture;
mod meters;
#[path = "../peers_dnp3/tape.rs"]
mod tape;
mod tls;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use busbar_tests::stack::workspace;
use protocols::{
    device::{DeviceEvent, DeviceState, Ports, system_clock},
    modbus::{
        Line, LineConfig, LineServer, Link, Way, device,
        map::RegisterMap,
        server::{RegisterServer, Registers, ServerConfig},
        sunspec::{self, Image, Kind, MODELS, Model},
    },
    point::{
        Action, ActivePower, Command, CommandStatus, DerFallback, DerSetpoint, DeviceId,
        DoublePoint, Origin, PointId, Quality, Update, Value,
    },
};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Long enough for any machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The peers' script with `arguments`.
fn peer(arguments: &[&str]) -> Result<tokio::process::Command> {
    let python = std::env::var_os("BUSBAR_PEERS_PYTHON").context(
        "BUSBAR_PEERS_PYTHON names no Python with the peers; run `cargo xtask test peers`, which sets them up",
    )?;
    let mut command = tokio::process::Command::new(PathBuf::from(python));
    command
        .arg(workspace().join("tests/peers/modbus_peers.py"))
        .args(arguments)
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// What the script prints.
async fn ask(arguments: &[&str]) -> Result<Json> {
    let output = timeout(PATIENCE, peer(arguments)?.output()).await??;
    ensure!(output.status.success(), "{arguments:?}: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A server of the script's.
struct PeerServer {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it printed: where it is.
    port: String,
}

impl PeerServer {
    async fn start(arguments: &[&str]) -> Result<Self> {
        let mut child = peer(arguments)?.stdin(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut port = String::new();
        timeout(PATIENCE, stdout.read_line(&mut port)).await??;
        let port = port.trim().to_owned();
        ensure!(!port.is_empty(), "the peer printed no port");
        Ok(Self {
            child,
            stdout,
            port,
        })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops it; holding registers that were written, by address.
    async fn stop(mut self) -> Result<BTreeMap<u16, u16>> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        timeout(PATIENCE, self.stdout.read_to_string(&mut text)).await??;
        ensure!(self.child.wait().await?.success());
        let written: BTreeMap<String, u16> = serde_json::from_str(&text)?;
        let numbered = written
            .into_iter()
            .map(|(address, value)| Ok((address.parse()?, value)));
        numbered.collect()
    }
}

/// A device task of ours and its last values.
struct Ours {
    events: mpsc::Receiver<(DeviceId, DeviceEvent)>,
    commands: mpsc::Sender<Command>,
    last: HashMap<String, Update>,
    _stop: DropGuard,
}

impl Ours {
    fn start<F>(run: impl FnOnce(Ports) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (event_tx, events) = mpsc::channel(64);
        let (commands, command_rx) = mpsc::channel(16);
        let stop = CancellationToken::new();
        tokio::spawn(run(Ports {
            device: DeviceId::new("d"),
            events: event_tx,
            commands: command_rx,
            stop: stop.clone(),
        }));
        Self {
            events,
            commands,
            last: HashMap::new(),
            _stop: stop.drop_guard(),
        }
    }

    async fn event(&mut self) -> Result<DeviceEvent> {
        let (_, event) = timeout(PATIENCE, self.events.recv())
            .await?
            .context("the task ended")?;
        if let DeviceEvent::State(DeviceState::Offline { error, .. }) = &event {
            bail!("offline: {error}");
        }
        if let DeviceEvent::Updates(updates) = &event {
            for update in updates {
                self.last
                    .insert(update.point.name().to_owned(), update.clone());
            }
        }
        Ok(event)
    }

    /// Waits for a poll that began after this call.
    async fn poll(&mut self) -> Result<()> {
        for _ in 0..2 {
            while !matches!(self.event().await?, DeviceEvent::Polled { .. }) {}
        }
        Ok(())
    }

    async fn command(&mut self, point: &str, action: Action) -> Result<CommandStatus> {
        let command = Command {
            id: 1,
            point: PointId::parse(point),
            action,
            origin: Origin::Market,
            expires_unix_us: system_clock() + 60_000_000,
        };
        self.commands.send(command).await?;
        loop {
            if let DeviceEvent::CommandDone { status, .. } = self.event().await? {
                return Ok(status);
            }
        }
    }

    fn good(&self, name: &str) -> Result<Value> {
        let update = self.last.get(name).with_context(|| format!("no {name}"))?;
        ensure!(update.quality == Quality::GOOD, "{update:?}");
        Ok(update.value)
    }
}

fn link(way: Way) -> Link {
    Link {
        poll_interval: Duration::from_millis(50),
        request_timeout: Duration::from_secs(20),
        ..Link::by(way)
    }
}

/// Name of a type in the model definitions, and the type's size.
fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::U16 => "uint16",
        Kind::I16 => "int16",
        Kind::U32 => "uint32",
        Kind::I32 => "int32",
        Kind::U64 => "uint64",
        Kind::Acc32 => "acc32",
        Kind::Acc64 => "acc64",
        Kind::Enum16 => "enum16",
        Kind::Bits16 => "bitfield16",
        Kind::Bits32 => "bitfield32",
        Kind::F32 => "float32",
        Kind::Sf => "sunssf",
        Kind::Str(_) => "string",
        Kind::Pad => "pad",
    }
}

#[tokio::test]
async fn every_definition_is_pysunspec2s() -> Result<()> {
    let ids: Vec<String> = MODELS.iter().map(|model| model.id.to_string()).collect();
    let arguments: Vec<&str> = ["definitions"]
        .into_iter()
        .chain(ids.iter().map(String::as_str))
        .collect();
    let theirs = ask(&arguments).await?;
    for (model, id) in MODELS.iter().zip(&ids) {
        let points = model.points.iter().map(|point| {
            let (kind, size) = (type_name(point.kind), point.kind.size());
            serde_json::json!([
                point.name,
                point.offset,
                kind,
                size,
                point.scale,
                point.writable
            ])
        });
        let ours: Vec<Json> = points.collect();
        ensure!(theirs[id]["length"] == model.length, "model {id}");
        for (our, their) in ours
            .iter()
            .zip(theirs[id]["points"].as_array().context("array")?)
        {
            ensure!(our == their, "model {id}: {our} is {their}");
        }
        ensure!(theirs[id]["points"] == Json::from(ours), "model {id}");
    }
    Ok(())
}

/// Every model, every number set to something of its own, a third of them left out.
fn full_image() -> Result<Image> {
    let ids: Vec<u16> = MODELS.iter().map(|model| model.id).collect();
    let mut image = Image::new(40_000, &ids)?;
    for model in MODELS {
        let numbers = || {
            model
                .points
                .iter()
                .filter(|p| !matches!(p.kind, Kind::Str(_) | Kind::Pad))
        };
        for (index, point) in numbers().enumerate().filter(|(_, p)| p.kind == Kind::Sf) {
            image.set(model.id, point.name, (index % 5) as f64 - 3.0)?;
        }
        for (index, point) in numbers().enumerate().filter(|(_, p)| p.kind != Kind::Sf) {
            // How many ports follow in model 714: none.
            let raw = if point.name == "NPrt" {
                0
            } else {
                index as i32 * 7 % 31
            };
            let negative =
                matches!(point.kind, Kind::I16 | Kind::I32 | Kind::F32) && index % 2 == 1;
            let signed = f64::from(if negative { -raw } else { raw });
            if index % 3 != 2 || point.name == "NPrt" {
                let exponent = image.get(model.id, point.scale).unwrap_or(0.0);
                image.set(model.id, point.name, signed * 10f64.powf(exponent))?;
            }
        }
    }
    for (point, text) in [
        ("Mn", "Example"),
        ("Md", "Everything"),
        ("SN", "0815"),
        ("Vr", "1"),
    ] {
        image.set_text(1, point, text)?;
    }
    Ok(image)
}

/// Compares a scan of pysunspec2's with the image; the number of values that are the same.
fn compare(image: &Image, scan: &Json) -> Result<usize> {
    let mut same = 0;
    let found = scan.as_array().context("no models")?;
    ensure!(found.len() == MODELS.len(), "{} models", found.len());
    for (model, theirs) in MODELS.into_iter().zip(found) {
        ensure!(theirs["id"] == model.id && theirs["length"] == model.length);
        same += compare_model(image, model, &theirs["values"])?;
    }
    Ok(same)
}

fn compare_model(image: &Image, model: &Model, theirs: &Json) -> Result<usize> {
    for point in model.points.iter().filter(|p| p.kind != Kind::Pad) {
        let their = &theirs[point.name];
        let same = match point.kind {
            Kind::Str(_) => their.as_str().unwrap_or_default() == image.text(model.id, point.name),
            // An accumulator of zero is "not implemented" to pysunspec2.
            Kind::Acc32 | Kind::Acc64 if their.is_null() => {
                image.get(model.id, point.name) == Some(0.0)
            }
            _ => match (image.get(model.id, point.name), their.as_f64()) {
                (Some(our), Some(their)) => (our - their).abs() <= 1e-9 * our.abs(),
                (our, their) => our == their,
            },
        };
        let our = image.get(model.id, point.name);
        ensure!(
            same,
            "model {} {}: {our:?} is {their}",
            model.id,
            point.name
        );
    }
    Ok(model.points.len())
}

#[tokio::test]
async fn pysunspec2_reads_and_writes_our_server() -> Result<()> {
    let image = Arc::new(Mutex::new(full_image()?));
    let address = "127.0.0.1:0".parse()?;
    let server = RegisterServer::bind(address, Arc::clone(&image), ServerConfig::default()).await?;
    let port = server.address().port().to_string();
    reads_and_writes(&image, ["scan", "write"], ["127.0.0.1", &port]).await
}

#[tokio::test]
async fn pysunspec2_reads_and_writes_our_line() -> Result<()> {
    let image = Arc::new(Mutex::new(full_image()?));
    let device: Arc<dyn Registers> = image.clone();
    let line = LineServer::open(BTreeMap::from([(31, device)]))?;
    reads_and_writes(&image, ["scan-line", "write-line"], [line.path(), "31"]).await
}

async fn reads_and_writes(
    image: &Mutex<Image>,
    [scan, write]: [&str; 2],
    [place, port]: [&str; 2],
) -> Result<()> {
    let locked = || image.lock().map_err(|_| anyhow::anyhow!("poisoned"));
    let found = ask(&[scan, place, port]).await?;
    let same = compare(&*locked()?, &found)?;
    ensure!(same > 400, "pysunspec2 reads {same} points as we set them");

    {
        let mut image = locked()?;
        image.set(704, "WMaxLimPct_SF", -1.0)?;
        image.set(704, "VarSet_SF", 0.0)?;
    }
    let scan = ask(&[write, place, port]).await?;
    let mut image = locked()?;
    compare(&image, &scan)?;
    for (point, expected) in [
        ("WMaxLimPctEna", 1.0),
        ("WMaxLimPct", 62.3),
        ("WMaxLimPctRvrt", 60.0),
        ("WMaxLimPctEnaRvrt", 1.0),
        ("WMaxLimPctRvrtTms", 30.0),
        ("VarSet", -700_000.0),
    ] {
        ensure!(image.get(704, point) == Some(expected), "{point}");
    }
    let written = image.take_written();
    ensure!(written.len() == 6, "{written:?}");
    ensure!(
        written.last() == Some(&(704, "WMaxLimPctEna")),
        "{written:?}"
    );
    Ok(())
}

const STATION: &str = r#"
    point = [
        { name = "u", table = "input", address = 0 },
        { name = "p", table = "input", address = 1, encoding = "i32" },
        { name = "missing", table = "input", address = 5 },
        { name = "energy", table = "input", address = 20, encoding = "u64", kind = "counter" },
        { name = "tap", table = "holding", address = 10, encoding = "i16", writable = true },
        { name = "set", table = "holding", address = 12, encoding = "f32", writable = true },
        { name = "breaker", table = "holding", address = 14, kind = "double_point" },
        { name = "local", table = "discrete", address = 7 },
        { name = "remote", table = "coil", address = 3, writable = true },
    ]
"#;

#[tokio::test]
async fn our_client_polls_and_commands_pymodbus() -> Result<()> {
    let server = PeerServer::start(&["station"]).await?;
    let way = Way::Tcp(server.address());
    polls_and_commands(server, way).await
}

#[tokio::test]
async fn our_client_polls_and_commands_pymodbus_by_rtu_over_tcp() -> Result<()> {
    let server = PeerServer::start(&["station-rtu"]).await?;
    let way = Way::RtuOverTcp(server.address());
    polls_and_commands(server, way).await
}

#[tokio::test]
async fn our_client_polls_and_commands_pymodbus_on_a_line() -> Result<()> {
    let server = PeerServer::start(&["station-line"]).await?;
    let line = Line::new(LineConfig::new(&server.port));
    polls_and_commands(server, Way::Serial(Arc::new(line))).await
}

async fn polls_and_commands(server: PeerServer, way: Way) -> Result<()> {
    let config = device::ModbusConfig {
        link: link(way),
        map: toml::from_str::<RegisterMap>(STATION)?,
    };
    let mut ours = Ours::start(|ports| device::run(config, ports));
    // The first poll finds out which register is refused.
    ours.poll().await?;
    ours.poll().await?;
    for (name, expected) in [
        ("u", Value::Analog(20_123.0)),
        ("p", Value::Analog(-100.0)),
        ("energy", Value::Counter(5_000_000_000)),
        ("tap", Value::Analog(-2.0)),
        ("set", Value::Analog(25.0)),
        ("breaker", Value::DoublePoint(DoublePoint::On)),
        ("local", Value::Binary(true)),
        ("remote", Value::Binary(true)),
    ] {
        let value = ours.good(name)?;
        ensure!(value == expected, "{name}: {value:?}");
    }
    // pymodbus answers this one with the exception "illegal data address".
    ensure!(ours.last["missing"].quality == Quality::INVALID);

    for (point, value) in [
        ("d/tap", Value::Analog(7.0)),
        ("d/set", Value::Analog(-1.5)),
        ("d/remote", Value::Binary(false)),
    ] {
        let status = ours.command(point, Action::Write(value)).await?;
        ensure!(status == CommandStatus::Done, "{point}: {status:?}");
    }
    ours.poll().await?;
    ensure!(ours.good("tap")? == Value::Analog(7.0));
    ensure!(ours.good("set")? == Value::Analog(-1.5));
    ensure!(ours.good("remote")? == Value::Binary(false));
    drop(ours);
    // -1.5 is 0xBFC00000.
    let expected = BTreeMap::from([(10, 7), (12, 0xBFC0), (13, 0)]);
    ensure!(server.stop().await? == expected);
    Ok(())
}

/// Every model of an inverter's measurements but that of three phases in integers, which is below.
#[tokio::test]
async fn our_client_reads_inverters_of_every_model_as_pysunspec2_encodes_them() -> Result<()> {
    let root3 = 3f64.sqrt();
    for (model, u) in [
        ("101", 230.0 * root3),
        ("102", 240.0),
        ("111", 230.0 * root3),
        ("112", 240.0),
        ("113", 230.0 * root3),
    ] {
        let server = PeerServer::start(&["inverter", model]).await?;
        let config = sunspec::device::SunspecConfig {
            link: link(Way::Tcp(server.address())),
        };
        let mut ours = Ours::start(|ports| sunspec::device::run(config, ports));
        ours.poll().await?;
        for (name, expected) in [
            ("p", 4600.0),
            ("q", -400.0),
            ("u", u),
            ("i", 20.0),
            ("f", 49.75),
            ("state", 4.0),
        ] {
            let Value::Analog(value) = ours.good(name)? else {
                bail!("{model} {name} is no number");
            };
            ensure!((value - expected).abs() < 1e-9, "{model} {name}: {value}");
        }
        ensure!(ours.good("energy")? == Value::Counter(1_234_567), "{model}");
        drop(ours);
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn our_client_reads_and_commands_what_pysunspec2_encoded() -> Result<()> {
    let server = PeerServer::start(&["inverter"]).await?;
    let config = sunspec::device::SunspecConfig {
        link: link(Way::Tcp(server.address())),
    };
    let mut ours = Ours::start(|ports| sunspec::device::run(config, ports));
    let description = loop {
        if let DeviceEvent::Described(description) = ours.event().await? {
            break description;
        }
    };
    ensure!(description.manufacturer == "Example", "{description:?}");
    ensure!(
        description.models == [1, 103, 702, 704, 713],
        "{description:?}"
    );
    ensure!(description.p_rated_w == Some(5e6), "{description:?}");
    ensure!(description.s_rated_va == Some(5.5e6), "{description:?}");
    ours.poll().await?;
    for (name, expected) in [
        ("p", 4e6),
        ("q", -1.2e6),
        ("u", 20_200.0),
        ("i", 120.0),
        ("f", 50.02),
        ("state", 4.0),
        ("soc", 0.455),
        ("p_limit", 5e6),
    ] {
        let value = ours.good(name)?;
        ensure!(value == Value::Analog(expected), "{name}: {value:?}");
    }
    ensure!(ours.good("energy")? == Value::Counter(123_456_000));

    let limit = ActivePower::Limit(3_119_999.0);
    let setpoint = DerSetpoint {
        p: limit,
        q_var: -700_000.0,
        lease: Duration::from_secs(30),
        ramp_w_per_s: None,
        fallback: DerFallback {
            p: ActivePower::Limit(3e6),
            q_var: 0.0,
        },
    };
    let status = ours.command("d/control", Action::Der(setpoint)).await?;
    ensure!(status == CommandStatus::Done, "{status:?}");
    ours.poll().await?;
    let Value::Analog(p_limit) = ours.good("p_limit")? else {
        bail!("p_limit is no number");
    };
    // 62.39998 % in steps of 0.1 %, rounded down.
    ensure!((p_limit - 3_115_000.0).abs() < 1e-6, "{p_limit}");
    ensure!(ours.good("q_set")? == Value::Analog(-700_000.0));
    drop(ours);

    // Model 704 begins behind "SunS" and models 1, 103 and 702, of 68, 52 and 52 registers.
    let base = 40_000 + 2 + 68 + 52 + 52;
    let written = server.stop().await?;
    let [high, low] = [0xFFF5, 0x51A0];
    let expected = BTreeMap::from([
        (base + 14, 1),   // WMaxLimPctEna
        (base + 15, 623), // WMaxLimPct, -1
        (base + 16, 600), // WMaxLimPctRvrt, -1
        (base + 17, 1),   // WMaxLimPctEnaRvrt
        (base + 18, 0),   // WMaxLimPctRvrtTms
        (base + 19, 30),
        (base + 35, 1),    // VarSetEna
        (base + 36, 4),    // VarSetMod: var
        (base + 38, high), // VarSet: -700000
        (base + 39, low),
        (base + 40, 0), // VarSetRvrt
        (base + 41, 0),
        (base + 44, 1), // VarSetEnaRvrt
        (base + 45, 0), // VarSetRvrtTms
        (base + 46, 30),
    ]);
    ensure!(written == expected, "{written:?}");
    Ok(())
}
