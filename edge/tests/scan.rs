//! `busbar scan modbus` on devices that answer, and what it proposes in a site file.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
};

use protocols::modbus::{
    server::{ExceptionCode, RegisterServer, Registers, ServerConfig, Table},
    sunspec::Image,
};
use tokio::process::Command;

/// Input registers and nothing else.
struct Inputs(BTreeMap<u16, u16>);

impl Registers for Inputs {
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let end = u32::from(address) + u32::from(count);
        if table != Table::Input || end > 382 {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        let all = (address..).take(count.into());
        Ok(all
            .map(|at| self.0.get(&at).copied().unwrap_or_default())
            .collect())
    }

    fn write(&self, _: Table, _: u16, _: &[u16]) -> Result<(), ExceptionCode> {
        Err(ExceptionCode::IllegalFunction)
    }
}

/// A gateway behind which nobody answers.
struct Gateway;

impl Registers for Gateway {
    fn read(&self, _: Table, _: u16, _: u16) -> Result<Vec<u16>, ExceptionCode> {
        Err(ExceptionCode::GatewayTargetDevice)
    }

    fn write(&self, _: Table, _: u16, _: &[u16]) -> Result<(), ExceptionCode> {
        Err(ExceptionCode::GatewayTargetDevice)
    }
}

async fn serve(registers: impl Registers) -> RegisterServer {
    let any = "127.0.0.1:0".parse().unwrap();
    RegisterServer::bind(any, Arc::new(registers), ServerConfig::default())
        .await
        .unwrap()
}

async fn scan(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busbar"));
    command.args(["scan", "modbus"]).args(arguments);
    command.output().await.unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// An inverter whose name would break a comment, and a site file.
fn inverter() -> Mutex<Image> {
    let mut image = Image::new(40_000, &[1, 103, 120, 121, 123]).unwrap();
    image.set_text(1, "Mn", "Sun\n[web]").unwrap();
    image.set_text(1, "Md", "X1").unwrap();
    image.set_text(1, "SN", "0007").unwrap();
    image.set(120, "WRtg_SF", 0.0).unwrap();
    image.set(120, "WRtg", 5000.0).unwrap();
    Mutex::new(image)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_a_site_files_devices() {
    // An SDM630: 400.0 V between phases at input register 206, as IEEE 754.
    let meter = serve(Inputs(BTreeMap::from([(206, 0x43C8)]))).await;
    let inverter = serve(inverter()).await;
    let mut proposals = String::new();
    for (server, said) in [
        (&meter, "its registers are like those of eastron-sdm630"),
        (
            &inverter,
            "Sun [web] X1 , serial number 0007, SunSpec models 1, 103, 120, 121, 123, 5000 W",
        ),
    ] {
        let found = scan(&[&server.address().to_string()]).await;
        let proposal = text(&found.stdout);
        assert!(found.status.success(), "{}", text(&found.stderr));
        assert!(proposal.contains(said), "{proposal}");
        proposals += &proposal;
    }
    let devices: toml::Table = toml::from_str(&proposals).unwrap();
    assert_eq!(
        devices["device"].as_array().unwrap().len(),
        2,
        "{proposals}"
    );
    // The tables go into a site as they are.
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv");
    let folder = tempfile::tempdir().unwrap();
    let site = fs::read_to_string(example.join("site.toml")).unwrap() + "\n" + &proposals;
    fs::write(folder.path().join("site.toml"), site).unwrap();
    fs::copy(
        example.join("network.json"),
        folder.path().join("network.json"),
    )
    .unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_busbar"));
    check
        .args(["check", "--site"])
        .arg(folder.path().join("site.toml"));
    let checked = check.output().await.unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said() {
    // Registers that no model has: no voltage at all.
    let unknown = serve(Inputs(BTreeMap::new())).await;
    let found = scan(&[&unknown.address().to_string()]).await;
    assert!(text(&found.stdout).contains("like no known model"));
    let gateway = serve(Gateway).await.address().to_string();
    let nobody = scan(&[&gateway, "--units", "1-3"]).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(nobody.stdout.is_empty(), "{}", text(&nobody.stdout));
    // Port 1 is nobody's.
    let refused = scan(&["127.0.0.1:1"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("cannot connect"));
    assert_eq!(
        scan(&["127.0.0.1", "--units", "5-2"]).await.status.code(),
        Some(2)
    );
}
