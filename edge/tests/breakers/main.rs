//! Every origin operates a breaker behind every protocol: the control centre over DNP3 and IEC 104 (their masters
//! over real sockets), an operator by what the HTTP API asks of the loop; devices over Modbus, DNP3, IEC 104 and
//! IEC 61850, the last three selected first. A selection of the control centre is one of the device.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

#[path = "../bench/mod.rs"]
mod bench;
mod centre;
mod devices;
mod late;
mod selected;

use std::{net::SocketAddr, time::Duration};

use edge::{
    cycle::{NotSwitched, SwitchCommand, SwitchStep},
    northbound::{dnp3, iec104},
    published::{Handle, Request},
    run,
    site::{Dnp3, Dnp3Master, Iec104, Iec104Master, Place, Site, Wire},
    store::{Holder, Record},
};
use protocols::point::{DeviceId, PointId};
use serde_json::json;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use devices::{Devices, Heard};

/// However slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The example, with devices of ours in the place of three RTUs, whose first breaker can be operated.
fn site(dir: &std::path::Path, devices: &Devices, free: &[u16]) -> Site {
    let mut site = bench::silent(dir);
    // Its estimates are not what this is about.
    site.estimation_period = Duration::from_secs(1);
    for device in &mut site.devices {
        let at = match (device.id.as_str(), &mut device.wire) {
            ("rtu3", Wire::Modbus { map, .. }) => {
                let coil = json!({ "name": "bay1_breaker", "table": "coil", "address": 0, "writable": true });
                map.points.retain(|point| point.name.starts_with("bay1_"));
                map.points.push(serde_json::from_value(coil).unwrap());
                devices.modbus.address()
            }
            ("rtu-main", Wire::Dnp3 { map, outstation }) => {
                let output = json!({ "name": "bay1_breaker", "kind": "binary_output", "index": 0,
                    "output": 0, "operation": "trip_close" });
                map.points.push(serde_json::from_value(output).unwrap());
                outstation.unsolicited = true;
                devices.dnp3
            }
            ("bay-t2", Wire::Iec61850 { .. }) => devices.iec61850,
            ("rtu10", Wire::Iec104 { map, .. }) => {
                let command = json!({ "name": "bay1_breaker", "ioa": 1102, "kind": "double", "select": true });
                map.commands.push(serde_json::from_value(command).unwrap());
                devices.iec104
            }
            _ => continue,
        };
        device.poll = Duration::from_millis(200);
        device.timeout = Duration::from_secs(20);
        device.place = Place::Tcp(at);
    }
    towards_centre(&mut site, free);
    site
}

/// Ports for the control centre's masters, two of DNP3 and one of IEC 104.
fn towards_centre(site: &mut Site, free: &[u16]) {
    let listen = |k: usize| SocketAddr::from(([127, 0, 0, 1], free[k]));
    let master = |name: &str, address| Dnp3Master {
        name: name.to_owned(),
        address,
        ip: [127, 0, 0, 1].into(),
        commands: true,
        certificate: None,
    };
    site.dnp3 = Some(Dnp3 {
        listen: listen(0),
        address: 10,
        der: None,
        hold: Duration::from_secs(300),
        tls: None,
        masters: vec![master("dso", 1), master("other", 2)],
    });
    site.iec104 = Some(Iec104 {
        listen: listen(1),
        address: 10,
        hold: Duration::from_secs(300),
        tls: None,
        masters: vec![Iec104Master {
            name: "dso104".to_owned(),
            ips: vec![[127, 0, 0, 1].into()],
            certificate: None,
            commands: true,
        }],
    });
}

async fn by_operator(handle: &Handle, breaker: &str, close: bool) -> Result<(), NotSwitched> {
    let (answer, answered) = oneshot::channel();
    let command = SwitchCommand {
        holder: Holder::Operator,
        by: "user ada".to_owned(),
        breaker: PointId::parse(breaker),
        close,
    };
    let request = Request::Switch {
        command,
        step: SwitchStep::Direct,
        answer,
    };
    handle.requests.send(request).await.unwrap();
    timeout(PATIENCE, answered).await.unwrap().unwrap()
}

/// Waits until a breaker stands as said.
async fn stands(handle: &Handle, breaker: &str, closed: bool) {
    let mut published = handle.published.clone();
    let seen = published.wait_for(|now| {
        let mut all = now.breakers.iter();
        all.any(|of| of.breaker == breaker && of.closed == Some(closed))
    });
    timeout(PATIENCE, seen).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_origin_operates_a_breaker_behind_every_protocol() {
    let mut all = Appliance::start().await;
    let handle = all.running.handle.clone();
    let mut expected = Vec::new();

    for (breaker, protocol) in [
        ("rtu3/bay1_breaker", "modbus"),
        ("rtu-main/bay1_breaker", "dnp3"),
        ("rtu10/bay1_breaker", "iec104"),
        ("bay-t2/bay1_breaker", "iec61850"),
    ] {
        stands(&handle, breaker, true).await;
        let output = all.output(breaker);
        // Opened and closed again by each, so that none finds it as it wants it.
        for (origin, close) in [
            ("dnp3", false),
            ("iec104", true),
            ("operator", false),
            ("dnp3", true),
        ] {
            let (holder, by) = match origin {
                "dnp3" => {
                    all.dnp3.operate(output, close).await;
                    (Holder::Scada, "dso")
                }
                "iec104" => {
                    all.iec104.operate(500_000 + u32::from(output), close).await;
                    (Holder::Scada, "dso104")
                }
                _ => {
                    by_operator(&handle, breaker, close).await.unwrap();
                    (Holder::Operator, "user ada")
                }
            };
            assert_eq!(
                all.devices.heard(protocol).await,
                Heard::operated(protocol, close),
                "{origin}"
            );
            stands(&handle, breaker, close).await;
            expected.push((holder, by.to_owned(), breaker.to_owned(), close));
        }
        // It stands so already: it is not sent, and nothing is on record.
        let again = by_operator(&handle, breaker, true).await;
        assert_eq!(again, Err(NotSwitched::AlreadyThere));
    }
    // What a device refuses is the answer, and an alarm until it does it.
    all.devices.refuse(true);
    let refused = by_operator(&handle, "rtu10/bay1_breaker", false).await;
    assert!(
        matches!(refused, Err(NotSwitched::Device(_))),
        "{refused:?}"
    );
    expected.push((
        Holder::Operator,
        "user ada".to_owned(),
        "rtu10/bay1_breaker".to_owned(),
        false,
    ));
    let mut published = handle.published.clone();
    let alarmed = |now: &std::sync::Arc<edge::published::Published>| {
        let mut alarms = now.alarms.iter();
        alarms.any(|a| a.code == "switch_failed" && a.cleared.is_none())
    };
    timeout(PATIENCE, published.wait_for(alarmed))
        .await
        .unwrap()
        .unwrap();
    for (breaker, why) in [
        ("rtu3/bay2_breaker", NotSwitched::Unknown),
        ("bay-t2-mv/bay1_breaker", NotSwitched::Offline),
    ] {
        assert_eq!(by_operator(&handle, breaker, false).await, Err(why));
    }

    let ledger = std::sync::Arc::clone(&handle.ledger);
    let records = ledger.recent(i64::from(u16::MAX)).unwrap().records;
    let switched = records.into_iter().filter_map(|record| match record {
        Record::Switched {
            holder,
            by,
            breaker,
            close,
            ..
        } => Some((holder, by, breaker, close)),
        _ => None,
    });
    assert_eq!(switched.collect::<Vec<_>>(), expected);
    drop((handle, ledger));
    all.stop().await;
}

/// The appliance between its masters and its devices.
struct Appliance {
    devices: Devices,
    /// Breakers in the order of their outputs.
    breakers: Vec<String>,
    running: run::Running,
    dnp3: centre::Dnp3,
    iec104: centre::Iec104,
    ports: [u16; 2],
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Appliance {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let devices = Devices::start().await;
        let ports = [free_port(), free_port()];
        let site = site(dir.path(), &devices, &ports);
        let breakers = site.breakers().map(|of| of.command.to_string()).collect();
        let stop = CancellationToken::new();
        let (dnp3, iec104) = (site.dnp3.as_ref().unwrap(), site.iec104.as_ref().unwrap());
        let dnp3 = dnp3::Station::bind(&site, dnp3).await.unwrap();
        let iec104 = iec104::Station::bind(&site, iec104).await.unwrap();
        let running = run::start(site, stop.clone()).unwrap();
        tokio::spawn(dnp3.serve(running.handle.clone(), stop.clone()));
        tokio::spawn(iec104.serve(running.handle.clone(), stop.clone()));
        Self {
            devices,
            breakers,
            running,
            dnp3: centre::Dnp3::start(ports[0], 1),
            iec104: centre::Iec104::start(ports[1]),
            ports,
            stop,
            _dir: dir,
        }
    }

    /// The index of a breaker's output.
    fn output(&self, breaker: &str) -> u16 {
        let of = self.breakers.iter().position(|of| of == breaker);
        u16::try_from(of.unwrap()).unwrap() + 10_000
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.stopped().await.unwrap();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_example_has_breakers_of_its_bay_controllers_only() {
    let site = edge::site::load(&bench::example()).unwrap();
    let breakers: Vec<String> = site.breakers().map(|of| of.command.to_string()).collect();
    assert_eq!(breakers, ["bay-t2/bay1_breaker", "bay-t2-mv/bay1_breaker"]);
    let sunspec = site.devices.iter().find(|d| d.id == DeviceId::new("pv3"));
    assert_eq!(sunspec.unwrap().breakers().count(), 0);
}
