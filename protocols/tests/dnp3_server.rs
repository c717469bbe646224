//! The DNP3 server's door: who gets in, who is turned away, and that nobody who misbehaves keeps
//! the others from being served.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use protocols::{
    dnp3::{
        Flags, Iin, Kind, Sample,
        link::LinkConfig,
        master::{
            AssociationConfig, MasterEvent, Measurement, Outcome, ReadHeader, ReadRange, Request,
            client::MasterClient,
        },
        outstation::{
            Class, OutstationConfig, PointConfig,
            server::{OutstationServer, ServerConfig},
        },
    },
    point::Value,
    tcp::{ClientConfig, ClientEvent, ClientEvents},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Long enough for any machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const POINTS: u16 = 300;

async fn server(masters: &[u16]) -> OutstationServer {
    let points: Vec<_> = (0..POINTS)
        .map(|index| PointConfig::new(Kind::Analog, index, Some(Class::One)))
        .collect();
    let configs: Vec<_> = masters
        .iter()
        .map(|&master| OutstationConfig::new(LinkConfig::new(1, master)))
        .collect();
    let bounds = ServerConfig {
        max_connections: 4,
        identify_timeout: Duration::from_millis(200),
        ..ServerConfig::default()
    };
    let address = "127.0.0.1:0".parse().unwrap();
    let (server, mut events) = OutstationServer::bind(address, &configs, &points, bounds)
        .await
        .unwrap();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    server
}

struct Master {
    client: MasterClient,
    events: ClientEvents<MasterEvent>,
    seen: Vec<Measurement>,
}

impl Master {
    fn start(server: &OutstationServer, address: u16) -> Self {
        let config = ClientConfig {
            min_retry: Duration::from_millis(20),
            max_retry: Duration::from_millis(100),
            ..ClientConfig::new(server.address().to_string())
        };
        let association = AssociationConfig::new(LinkConfig::new(address, 1));
        let (client, events) = MasterClient::start(config, &[association]);
        Self {
            client,
            events,
            seen: Vec::new(),
        }
    }

    async fn event(&mut self) -> MasterEvent {
        let next = async {
            loop {
                if let (_, ClientEvent::Session(event)) = self.events.recv().await.unwrap() {
                    return event;
                }
            }
        };
        let event = timeout(PATIENCE, next).await.unwrap();
        if let MasterEvent::Measurements { measurements, .. } = &event {
            self.seen.extend(measurements);
        }
        event
    }

    /// Waits until the last of the points has come, not as an event.
    async fn everything(&mut self) {
        let last = |m: &Measurement| m.index == POINTS - 1 && !m.event;
        while !self.seen.iter().any(last) {
            self.event().await;
        }
    }

    async fn ask(&mut self, request: Request) -> Outcome {
        let id = self.client.request(1, request);
        loop {
            if let MasterEvent::Done { id: done, outcome } = self.event().await
                && done == id
            {
                return outcome;
            }
        }
    }
}

fn measured(value: f64) -> Sample {
    Sample {
        value: Value::Analog(value),
        flags: Flags::ONLINE,
        time: None,
    }
}

/// Until the server closes the connection.
async fn closed(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap() {}
}

#[tokio::test]
async fn more_than_a_fragment_arrives_whole() {
    let server = server(&[10]).await;
    for index in 0..POINTS {
        assert!(server.update(Kind::Analog, index, measured(index.into())));
    }
    let mut master = Master::start(&server, 10);
    master.everything().await;
    let events = master.seen.iter().filter(|m| m.event).map(|m| m.index);
    assert_eq!(events.collect::<Vec<_>>(), (0..POINTS).collect::<Vec<_>>());
    let values = master.seen.iter().filter(|m| !m.event);
    for (index, measurement) in (0..POINTS).zip(values) {
        assert_eq!(measurement.index, index);
        assert_eq!(measurement.sample.value, Value::Analog(index.into()));
    }
}

#[tokio::test]
async fn garbage_and_silence_are_shown_the_door_while_masters_are_served() {
    let server = server(&[10, 11]).await;
    let mut first = Master::start(&server, 10);
    first.everything().await;
    let connect = || TcpStream::connect(server.address());
    let mut garbage = connect().await.unwrap();
    garbage
        .write_all(&[0x05, 0x64, 0xFF, 0x44].repeat(1000))
        .await
        .unwrap();
    let mut stranger = connect().await.unwrap();
    // Request link status of a master 99, whom nobody knows.
    stranger
        .write_all(&[0x05, 0x64, 0x05, 0xC9, 0x01, 0x00, 0x63, 0x00, 0, 0])
        .await
        .unwrap();
    let silent = connect().await.unwrap();
    let also_silent = connect().await.unwrap();
    // Full: turned away at once. Then they are shown the door, and there is room again.
    closed(connect().await.unwrap()).await;
    for stream in [garbage, stranger, silent, also_silent] {
        closed(stream).await;
    }
    let mut second = Master::start(&server, 11);
    second.everything().await;
    server.update(Kind::Analog, 3, measured(7.0));
    for master in [&mut first, &mut second] {
        let is_event = |m: &Measurement| m.event && m.index == 3;
        while !master.seen.iter().any(is_event) {
            master.event().await;
        }
    }
}

#[tokio::test]
async fn a_new_connection_takes_the_place_of_a_dead_one() {
    let server = server(&[10]).await;
    // The only master's place is free: whoever connects first is taken for it, and may be silent.
    let half_open = TcpStream::connect(server.address()).await.unwrap();
    let mut buffer = [0; 64];
    let mut half_open_reader = half_open;
    // It is told of the restart.
    let read = timeout(PATIENCE, half_open_reader.read(&mut buffer)).await;
    assert!(read.unwrap().unwrap() > 10);
    let mut master = Master::start(&server, 10);
    master.everything().await;
    closed(half_open_reader).await;
}

#[tokio::test]
async fn a_master_that_never_confirms_and_never_reads_keeps_nobody_waiting() {
    let server = server(&[10, 11]).await;
    // Asks for the delay without end as master 10 and takes no answer. A read would wait until the
    // restart is confirmed, and only the last of several; this is answered each time.
    let mut greedy = TcpStream::connect(server.address()).await.unwrap();
    let (_reader, mut writer) = greedy.split();
    const DELAY_MEASURE: u8 = 23;
    let poll = |n: u8| frame(&[0xC0 | n, 0xC0 | (n % 16), DELAY_MEASURE]);
    let polls: Vec<u8> = (0..64).cycle().take(1024).flat_map(poll).collect();
    let mut sent = 0;
    // Until nothing has been taken for a second: the server reads no more from it, and what it
    // holds for it stays as it is. One that read on would take these without end.
    while let Ok(written) = timeout(Duration::from_secs(1), writer.write_all(&polls)).await {
        written.unwrap();
        sent += polls.len();
        assert!(sent < 100_000_000, "{sent} octets taken");
    }
    let mut master = Master::start(&server, 11);
    master.everything().await;
    let header = ReadHeader {
        group: 30,
        variation: 2,
        range: ReadRange::Span(0, 9),
    };
    let outcome = master.ask(Request::Read(vec![header])).await;
    assert!(matches!(outcome, Outcome::Done(iin) if !iin.intersects(Iin::REQUEST_ERRORS)));
}

/// User data, unconfirmed, from master 10 to outstation 1.
fn frame(data: &[u8]) -> Vec<u8> {
    let mut frame = vec![
        0x05,
        0x64,
        5 + data.len() as u8,
        0xC4,
        0x01,
        0x00,
        0x0A,
        0x00,
    ];
    frame.extend(crc(&frame));
    for block in data.chunks(16) {
        frame.extend(block);
        frame.extend(crc(block));
    }
    frame
}

/// Bit by bit, as the standard's text defines it.
fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0_u16;
    for byte in bytes {
        for bit in 0..8 {
            let feedback = (crc >> 15) ^ u16::from(byte >> bit & 1) == 1;
            crc = (crc << 1) ^ if feedback { 0x3D65 } else { 0 };
        }
    }
    (!crc.reverse_bits()).to_le_bytes()
}
