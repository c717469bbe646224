//! The shipped profiles of power meters, on pymodbus servers with the meters' registers.

use std::fs;

use anyhow::{Result, ensure};
use busbar_tests::stack::workspace;
use protocols::{
    modbus::{Way, device, map::RegisterMap},
    point::Value,
};

use super::{Ours, PeerServer, link};

fn registers(profile: &str) -> Result<RegisterMap> {
    let file = workspace().join(format!("edge/profiles/{profile}.toml"));
    let mut profile: toml::Table = toml::from_str(&fs::read_to_string(file)?)?;
    let registers = profile.remove("registers");
    let registers = registers.ok_or_else(|| anyhow::anyhow!("no registers"))?;
    let map: RegisterMap = registers.try_into()?;
    ensure!(map.problems().is_empty(), "{:?}", map.problems());
    Ok(map)
}

/// What both are served with: 12.5 A, 399.25 V between phases, 8.5 kW and -1.25 kvar, 50.01 Hz, energies.
async fn reads(profile: &str, model: &str) -> Result<()> {
    let peer = PeerServer::start(&["meter", model]).await?;
    let config = device::ModbusConfig {
        link: link(Way::Tcp(peer.address())),
        map: registers(profile)?,
    };
    let mut ours = Ours::start(|ports| device::run(config, ports));
    // The first poll finds out what is refused.
    ours.poll().await?;
    ours.poll().await?;
    for (name, expected) in [
        ("bay1_i", 12.5),
        ("bay1_u", 399.25),
        ("bay1_p", 8500.0),
        ("bay1_q", -1250.0),
        ("bay1_f", 50.01),
        ("bay1_energy_in", 1_234_500.0),
        ("bay1_energy_out", 6_250.0),
    ] {
        let value = match ours.good(name)? {
            Value::Analog(value) => value,
            Value::Counter(count) => count as f64,
            other => anyhow::bail!("{name}: {other:?}"),
        };
        // Single precision, of 50.01 Hz.
        ensure!((value / expected - 1.0).abs() < 1e-6, "{name}: {value}");
    }
    peer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_sdm630_is_read() -> Result<()> {
    reads("eastron-sdm630", "sdm630").await
}

#[tokio::test]
async fn a_pm5000_is_read() -> Result<()> {
    reads("schneider-pm5000", "pm5000").await
}
