//! The other side of every wire: the devices, and the control centre that sees what becomes of their changes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use protocols::{
    device::system_clock,
    dnp3::{
        Kind,
        link::LinkConfig,
        master::{AssociationConfig, MasterEvent, client::MasterClient},
    },
    iec61850::{
        Reference,
        server::{MmsServer, Refusal, Shown},
    },
    modbus::server::{ExceptionCode, RegisterServer, Registers, ServerConfig, Table},
    point::{Quality, TimeQuality, Timestamp, Value},
    tcp::{ClientConfig, ClientEvent},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, stdin},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    plan::{FIRST, IED_POINTS, MASTER, MEASURED, OUTSTATION, POINTS, Plan, SEQUENCE, UNITS},
    tell,
};

/// A voltage before and after a change, V: by a standard deviation of its meter.
const VOLTS: [f32; 2] = [20_000.0, 20_020.0];
/// Between two changes of one device's voltage: at least, and by chance so much more.
const BETWEEN_S: (f64, f64) = (2.0, 2.0);

const MODEL: &str = include_str!("../../../../sim-rtu/scl/bay.icd");

/// Changes of voltages that are to be seen, by the device's place among those with a bay.
type Awaited = Arc<Mutex<BTreeMap<usize, (f32, Instant)>>>;

/// A Modbus device: its voltage stands unless it is changed, its powers are nothing, all else is
/// another number with each read.
#[derive(Default)]
struct Meter {
    volts: AtomicU32,
    reads: AtomicU32,
}

impl Registers for Meter {
    fn read(&self, _: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let tick = self.reads.fetch_add(1, Ordering::Relaxed) % 1000;
        let point = |k: usize| match k {
            0 => f32::from_bits(self.volts.load(Ordering::Relaxed)),
            1..=3 => 0.0,
            _ => k as f32 + 1e-3 * tick as f32,
        };
        let words: Vec<u16> = (0..POINTS)
            .flat_map(|k| {
                let bits = point(k).to_bits();
                [(bits >> 16) as u16, bits as u16]
            })
            .collect();
        let from = usize::from(address.wrapping_sub(FIRST));
        let span = words.get(from..from + usize::from(count));
        span.map(<[u16]>::to_vec)
            .ok_or(ExceptionCode::IllegalDataAddress)
    }

    fn write(&self, _: Table, _: u16, _: &[u16]) -> Result<(), ExceptionCode> {
        Err(ExceptionCode::IllegalFunction)
    }
}

/// An IED, and the references of its points.
struct Ied {
    server: MmsServer,
    references: Vec<Reference>,
}

impl Ied {
    fn show(&self, point: usize, number: f64) {
        let shown = Shown {
            value: Value::Analog(number),
            quality: Quality::GOOD,
            time: Timestamp {
                unix_us: system_clock(),
                quality: TimeQuality::Source,
            },
        };
        self.server.show(&self.references[point - 1], shown);
    }

    /// Everything but voltage and powers is another number each second.
    fn next(&self, second: usize) {
        for point in SEQUENCE..=IED_POINTS {
            let number = match point {
                SEQUENCE => second as f64,
                _ => point as f64 + 1e-3 * (second % 1000) as f64,
            };
            self.show(point, number);
        }
    }
}

/// The model of an IED: that of the simulator's bay controller, and a hundred measured values in a report.
fn scl() -> String {
    let (mut members, mut objects) = (String::new(), String::new());
    for k in 1..=IED_POINTS {
        let _ = write!(
            members,
            "<FCDA ldInst=\"LD0\" lnClass=\"GGIO\" lnInst=\"1\" doName=\"AnIn{k}\" fc=\"MX\"/>"
        );
        let _ = write!(objects, "<DO name=\"AnIn{k}\" type=\"MV_T\"/>");
    }
    let report = format!(
        "<DataSet name=\"dsAll\">{members}</DataSet>\
         <ReportControl name=\"urcbAll\" datSet=\"dsAll\" buffered=\"false\" bufTime=\"20\" intgPd=\"60000\" confRev=\"1\">\
         <TrgOps dchg=\"true\" qchg=\"true\" period=\"true\" gi=\"true\"/>\
         <OptFields seqNum=\"true\" timeStamp=\"true\" dataSet=\"true\" reasonCode=\"true\" configRef=\"true\"/>\
         <RptEnabled max=\"2\"/></ReportControl>\
         <DOI name=\"Mod\">"
    );
    let node = format!(
        "<LNodeType id=\"GGIO_T\" lnClass=\"GGIO\"><DO name=\"Beh\" type=\"Beh_T\"/>{objects}</LNodeType></DataTypeTemplates>"
    );
    MODEL
        .replacen("<DOI name=\"Mod\">", &report, 1)
        .replacen(
            "</LDevice>",
            "<LN lnClass=\"GGIO\" inst=\"1\" lnType=\"GGIO_T\"/></LDevice>",
            1,
        )
        .replacen("</DataTypeTemplates>", &node, 1)
}

/// Serves `modbus` and `ieds` devices until standard input ends; `DIR` on a line of its own: the appliance's
/// plan is written there, `measure`: its control centre begins to look.
pub(crate) async fn run(modbus: usize, ieds: usize) -> Result<()> {
    let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (mut meters, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..modbus.div_ceil(UNITS) {
        let meter = Arc::new(Meter::default());
        meter.volts.store(VOLTS[0].to_bits(), Ordering::Relaxed);
        let config = ServerConfig {
            max_connections: 4 * UNITS,
            ..ServerConfig::default()
        };
        servers.push(RegisterServer::bind(inside, Arc::clone(&meter), config).await?);
        meters.push(meter);
    }
    let scl = scl();
    let mut bays = Vec::new();
    for k in 0..ieds {
        let obey = Arc::new(|_: (&str, Value, bool)| Err(Refusal::NotSupported));
        let server = MmsServer::bind(inside, &scl, &format!("IED{k}"), obey).await?;
        let reference = |point| format!("LD0/GGIO1.AnIn{point}.mag.f[MX]").parse();
        let references: Result<Vec<Reference>, _> = (1..=IED_POINTS).map(reference).collect();
        let ied = Arc::new(Ied {
            server,
            references: references.map_err(anyhow::Error::msg)?,
        });
        ied.show(1, VOLTS[0].into());
        bays.push(ied);
    }
    let plan = Plan {
        modbus: servers.iter().map(|s| s.address().port()).collect(),
        ieds: bays.iter().map(|b| b.server.address().port()).collect(),
        dnp3: TcpListener::bind(inside)?.local_addr()?.port(),
    };
    tell(&serde_json::to_value(&plan)?);
    tokio::spawn(seconds(bays.clone()));
    let mut lines = BufReader::new(stdin()).lines();
    let mut centre = None;
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "measure" => centre = Some(Centre::start(&plan, &meters, &bays)),
            "result" => {
                let centre = centre.as_ref().context("nothing was measured")?;
                tell(&centre.result(meters.len()));
            }
            dir => std::fs::write(Path::new(dir).join("plan.json"), serde_json::to_vec(&plan)?)?,
        }
    }
    Ok(())
}

async fn seconds(bays: Vec<Arc<Ied>>) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        second.tick().await;
        for bay in &bays {
            bay.next(number);
            // Not all at one moment: no substation's IEDs are.
            tokio::task::yield_now().await;
        }
    }
}

/// The control centre.
struct Centre {
    /// By the device's place: how long each change took, s.
    took: Arc<Mutex<Vec<(usize, f64)>>>,
    awaited: Awaited,
}

impl Centre {
    fn start(plan: &Plan, meters: &[Arc<Meter>], bays: &[Arc<Ied>]) -> Self {
        let centre = Self {
            took: Arc::default(),
            awaited: Awaited::default(),
        };
        tokio::spawn(look(
            plan.dnp3,
            Arc::clone(&centre.took),
            Arc::clone(&centre.awaited),
        ));
        for (k, meter) in meters.iter().enumerate() {
            let meter = Arc::clone(meter);
            let change = move |volts: f32| meter.volts.store(volts.to_bits(), Ordering::Relaxed);
            tokio::spawn(changes(k, change, Arc::clone(&centre.awaited)));
        }
        for (k, bay) in bays.iter().enumerate() {
            let bay = Arc::clone(bay);
            let change = move |volts: f32| bay.show(1, volts.into());
            tokio::spawn(changes(
                meters.len() + k,
                change,
                Arc::clone(&centre.awaited),
            ));
        }
        centre
    }

    fn result(&self, meters: usize) -> serde_json::Value {
        let took = self
            .took
            .lock()
            .map(|took| took.clone())
            .unwrap_or_default();
        let awaited = self.awaited.lock().map(|a| a.len()).unwrap_or_default();
        let of = |is_polled: bool| {
            let mut of: Vec<f64> = took
                .iter()
                .filter(|(k, _)| (*k < meters) == is_polled)
                .map(|(_, s)| 1e3 * s)
                .collect();
            of.sort_by(f64::total_cmp);
            let at = |share: f64| {
                of.get(((of.len() as f64 * share) as usize).min(of.len().saturating_sub(1)))
            };
            json!({ "changes": of.len(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": of.last() })
        };
        json!({ "polled": of(true), "reported": of(false), "awaited": awaited })
    }
}

/// Changes a device's voltage now and then, once the last change was seen.
async fn changes(place: usize, change: impl Fn(f32), awaited: Awaited) {
    let mut random = StdRng::seed_from_u64(place as u64);
    let mut next = 1;
    loop {
        let wait = BETWEEN_S.0 + BETWEEN_S.1 * random.random::<f64>();
        sleep(Duration::from_secs_f64(wait)).await;
        let volts = VOLTS[next];
        {
            let Ok(mut awaited) = awaited.lock() else {
                return;
            };
            if awaited.contains_key(&place) {
                continue;
            }
            awaited.insert(place, (volts, Instant::now()));
        }
        change(volts);
        next = 1 - next;
    }
}

/// Notes when changes come as events.
async fn look(port: u16, took: Arc<Mutex<Vec<(usize, f64)>>>, awaited: Awaited) {
    let association = AssociationConfig::new(LinkConfig::new(MASTER, OUTSTATION));
    let address = ClientConfig::new(format!("127.0.0.1:{port}"));
    let (_client, mut events) = MasterClient::start(address, &[association]);
    while let Some((_, event)) = events.recv().await {
        let ClientEvent::Session(MasterEvent::Measurements { measurements, .. }) = event else {
            continue;
        };
        let now = Instant::now();
        for measurement in measurements {
            let is_voltage = measurement.kind == Kind::Analog && measurement.event;
            let Some(offset) = measurement
                .index
                .checked_sub(MEASURED)
                .filter(|_| is_voltage)
            else {
                continue;
            };
            let place = usize::from(offset / 4);
            let Value::Analog(volts) = measurement.sample.value else {
                continue;
            };
            let Ok(mut awaited) = awaited.lock() else {
                return;
            };
            let seen = awaited
                .get(&place)
                .filter(|(of, _)| (f64::from(*of) - volts).abs() < 1.0);
            if let Some((_, since)) = seen.copied()
                && let Ok(mut took) = took.lock()
            {
                took.push((place, (now - since).as_secs_f64()));
                awaited.remove(&place);
            }
        }
    }
}
