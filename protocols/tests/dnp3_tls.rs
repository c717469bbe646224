//! DNP3 under TLS over a real socket: who shows the right certificate is served, nobody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

#[path = "common/certificates.rs"]
mod certificates;

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use certificates::Fixture;

use protocols::{
    dnp3::{
        Flags, Kind, Sample,
        link::LinkConfig,
        master::{AssociationConfig, MasterEvent, client::MasterClient},
        outstation::{
            OutstationConfig, PointConfig,
            server::{OutstationServer, ServerConfig},
        },
    },
    point::Value,
    tcp::{ClientConfig, ClientEvent},
    tls::{Fingerprint, TlsClient, TlsFiles},
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

async fn outstation(files: &TlsFiles, shows: Option<Fingerprint>) -> OutstationServer {
    let master = OutstationConfig {
        certificate: shows,
        ..OutstationConfig::new(LinkConfig::new(10, 1))
    };
    let points = [PointConfig::new(Kind::Analog, 0, None)];
    let config = ServerConfig {
        tls: Some(files.server().unwrap()),
        ..ServerConfig::default()
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let (server, mut events) = OutstationServer::bind(any, &[master], &points, config)
        .await
        .unwrap();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let sample = Sample {
        value: Value::Analog(42.0),
        flags: Flags::ONLINE,
        time: None,
    };
    server.update(Kind::Analog, 0, sample);
    server
}

/// What a master gets: the value, or why there is no connection.
async fn read(server: &OutstationServer, tls: Option<TlsClient>) -> Result<f64, String> {
    let client = ClientConfig {
        tls,
        ..ClientConfig::new(server.address().to_string())
    };
    let association = AssociationConfig::new(LinkConfig::new(1, 10));
    let (_client, mut events) = MasterClient::start(client, &[association]);
    let answer = async {
        loop {
            match events.recv().await.unwrap().1 {
                ClientEvent::Session(MasterEvent::Measurements { measurements, .. }) => {
                    let Value::Analog(value) = measurements[0].sample.value else {
                        panic!("{measurements:?}");
                    };
                    return Ok(value);
                }
                ClientEvent::Disconnected { error, .. } => return Err(error),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, answer).await.unwrap()
}

#[tokio::test]
async fn a_master_with_the_right_certificate_is_served_and_nobody_else() {
    let f = Fixture::new().unwrap();
    let (outstation_files, master) = (f.end("outstation").unwrap(), f.end("master").unwrap());
    let shown = Fingerprint::of_file(&master.certificate).unwrap();
    let server = outstation(&outstation_files, Some(shown)).await;
    let tls = |files: &TlsFiles| Some(files.client("127.0.0.1").unwrap());
    assert_eq!(read(&server, tls(&master)).await, Ok(42.0));
    // Of the same authority, but another's certificate.
    let another = f.end("another").unwrap();
    assert!(read(&server, tls(&another)).await.is_err());
    // Of an authority that we do not believe.
    let stranger = f.stranger("stranger").unwrap();
    assert!(read(&server, tls(&stranger)).await.is_err());
    assert!(read(&server, None).await.is_err(), "without TLS");
    assert_eq!(read(&server, tls(&master)).await, Ok(42.0));
}

#[tokio::test]
async fn a_master_does_not_speak_with_an_outstation_that_is_not_the_one() {
    let f = Fixture::new().unwrap();
    let master = f.end("master").unwrap();
    // Signed by another authority; then, for another name.
    let false_one = f.stranger("false").unwrap();
    let server = outstation(&false_one, None).await;
    let tls = Some(master.client("127.0.0.1").unwrap());
    let error = read(&server, tls.clone()).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    let server = outstation(&f.end("outstation").unwrap(), None).await;
    assert_eq!(read(&server, tls).await, Ok(42.0));
    let elsewhere = Some(master.client("rtu.example").unwrap());
    let error = read(&server, elsewhere).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let f = Fixture::new().unwrap();
    let files = f.end("outstation").unwrap();
    assert!(files.server().is_ok());
    let said = |files: &TlsFiles| files.server().unwrap_err().to_string();
    let open = fs::Permissions::from_mode(0o640);
    fs::set_permissions(&files.key, open).unwrap();
    assert!(said(&files).contains("mode 640"), "{}", said(&files));
    let other = f.end("other").unwrap();
    let mixed = TlsFiles {
        key: other.key.clone(),
        ..files.clone()
    };
    assert!(said(&mixed).contains("do not fit"), "{}", said(&mixed));
    let empty = TlsFiles {
        certificate: other.key.clone(),
        ..other.clone()
    };
    assert!(
        said(&empty).contains("has no certificate"),
        "{}",
        said(&empty)
    );
    let missing = TlsFiles {
        authorities: f.dir.path().join("nowhere.pem"),
        ..other
    };
    assert!(said(&missing).contains("nowhere.pem"), "{}", said(&missing));
}
