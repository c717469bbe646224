//! Our client and our server, with a wire between them that lies: nobody panics, and once it is honest again all
//! goes on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use protocols::{
    device::{DeviceEvent, DeviceState, Ports},
    iec61850::{
        ObjectMap,
        device::{Iec61850Config, Place, run},
        server::{MmsServer, Shown},
    },
    point::{DeviceId, DoublePoint, Quality, TimeQuality, Timestamp, Value},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

const MAP: &str = r#"
reports = ["LD0/LLN0.BR.brcbStatus01", "LD0/LLN0.RP.urcbMeas01"]
point = [
  { name = "p", ref = "LD0/MMXU1.TotW.mag.f[MX]" },
  { name = "closed", ref = "LD0/XCBR1.Pos.stVal[ST]", kind = "closed" },
  { name = "mode", ref = "LD0/LLN0.Mod.stVal[ST]" },
]
"#;

/// Which octet in so many is another one; 0: none.
type Lies = Arc<AtomicU64>;

/// A wire to `target` with lies in what the server says, or the client, and how many there were.
async fn wire(target: SocketAddr, lies: Lies, by_server: bool, told: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut seed = 1_u64;
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(target).await else {
                continue;
            };
            seed += 1;
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            let honest = Lies::default();
            let (up, down) = match by_server {
                true => (honest, Arc::clone(&lies)),
                false => (Arc::clone(&lies), honest),
            };
            tokio::spawn(pass(near_read, far_write, up, seed, Arc::clone(&told)));
            tokio::spawn(pass(far_read, near_write, down, !seed, Arc::clone(&told)));
        }
    });
    address
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    lies: Lies,
    mut seed: u64,
    told: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let rate = lies.load(Ordering::Relaxed);
        for octet in &mut buffer[..count] {
            // xorshift64.
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            if rate > 0 && seed.is_multiple_of(rate) {
                *octet = (seed >> 32) as u8;
                told.fetch_add(1, Ordering::Relaxed);
            }
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn server() -> MmsServer {
    let scl = include_str!("../../sim-rtu/scl/bay.icd");
    let any = "127.0.0.1:0".parse().unwrap();
    let server = MmsServer::bind(any, scl, "B", Arc::new(|_| Ok(()))).await;
    server.unwrap()
}

fn show(server: &MmsServer, closed: bool) {
    let position = match closed {
        true => DoublePoint::On,
        false => DoublePoint::Off,
    };
    let shown = Shown {
        value: Value::DoublePoint(position),
        quality: Quality::GOOD,
        time: Timestamp {
            unix_us: 1_700_000_000_000_000,
            quality: TimeQuality::Source,
        },
    };
    assert!(server.show(&"LD0/XCBR1.Pos.stVal[ST]".parse().unwrap(), shown));
}

type Events = mpsc::Receiver<(DeviceId, DeviceEvent)>;

/// The client, and its end: dropped, it stops.
fn client(address: SocketAddr) -> (Events, tokio::task::JoinHandle<()>, CancellationToken) {
    let map: ObjectMap = toml::from_str(MAP).unwrap();
    assert_eq!(map.problems(), Vec::<String>::new());
    let place = Place {
        address: address.to_string(),
        tls: None,
        timeout: Duration::from_millis(300),
    };
    let quick = Duration::from_millis(50);
    let config = Iec61850Config {
        poll: quick,
        min_retry: quick,
        max_retry: quick,
        ..Iec61850Config::new(place, "B".into(), map)
    };
    let (tell, events) = mpsc::channel(64);
    let (_orders, commands) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let ports = Ports {
        device: DeviceId::new("d"),
        events: tell,
        commands,
        stop: stop.clone(),
    };
    (events, tokio::spawn(run(config, ports)), stop)
}

async fn until(events: &mut Events, wanted: impl Fn(&DeviceEvent) -> bool) {
    let found = async { while !wanted(&events.recv().await.expect("the client has ended").1) {} };
    timeout(PATIENCE, found).await.expect("in time");
}

fn is_online(event: &DeviceEvent) -> bool {
    *event == DeviceEvent::State(DeviceState::Online)
}

fn says_closed(event: &DeviceEvent, closed: bool) -> bool {
    match event {
        DeviceEvent::Updates(updates) => updates
            .iter()
            .any(|u| u.point.name() == "closed" && u.value == Value::Binary(closed)),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_of_a_server_end_no_client() {
    let server = server().await;
    show(&server, true);
    let (lies, told) = (Lies::default(), Arc::default());
    let address = wire(server.address(), Arc::clone(&lies), true, Arc::clone(&told)).await;
    let (mut events, task, stop) = client(address);
    until(&mut events, is_online).await;
    // From one octet in ten to one in three thousand: what goes wrong lies ever deeper.
    for rate in [10, 30, 100, 300, 1000, 3000] {
        lies.store(rate, Ordering::Relaxed);
        let offline =
            |event: &DeviceEvent| matches!(event, DeviceEvent::State(DeviceState::Offline { .. }));
        for _ in 0..10 {
            until(&mut events, offline).await;
        }
    }
    assert!(told.load(Ordering::Relaxed) > 100);
    lies.store(0, Ordering::Relaxed);
    show(&server, false);
    until(&mut events, |event| says_closed(event, false)).await;
    until(&mut events, is_online).await;
    stop.cancel();
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_of_a_client_end_no_server_and_no_other_client() {
    let server = server().await;
    show(&server, true);
    let (lies, told) = (Lies::new(AtomicU64::new(40)), Arc::default());
    let address = wire(server.address(), lies, false, Arc::clone(&told)).await;
    let (mut liar, _task, _stop) = client(address);
    let (mut honest, task, stop) = client(server.address());
    until(&mut honest, is_online).await;
    for round in 0..30 {
        until(&mut liar, |event| {
            matches!(event, DeviceEvent::State(DeviceState::Offline { .. }))
        })
        .await;
        let closed = round % 2 == 1;
        show(&server, closed);
        until(&mut honest, |event| says_closed(event, closed)).await;
    }
    assert!(told.load(Ordering::Relaxed) > 30);
    stop.cancel();
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_answers_nothing_or_nonsense_is_offline_and_says_why() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x03\x00\x00\x00",
        b"\x03\x00\xff\xff\x02\xf0\x80",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                // The client may have gone already.
                let _ = stream.write_all(answer).await;
                held.push(stream);
            }
        });
        let (mut events, _task, _stop) = client(address);
        until(&mut events, |event| match event {
            DeviceEvent::State(DeviceState::Offline { error, .. }) => {
                error.contains("no association")
            }
            _ => false,
        })
        .await;
    }
}
