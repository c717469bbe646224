//! `[iec104]`: who connects to the appliance; and RTUs that it connects to.

use std::net::IpAddr;

use super::{
    dnp3::hold,
    model::{Iec104, Iec104Master, Rtu104},
    read::Table,
    tls,
};

/// Redundancy groups, each with events of its own.
const MAX_MASTERS: usize = 8;
/// Addresses of one of them.
const MAX_IPS: usize = 4;

pub(super) fn read(table: &Table<'_, '_>) -> Option<Iec104> {
    let listen = table.address("listen");
    let address = address(table, "address");
    let hold = hold(table);
    let tls = tls::server(table);
    let secure = table.has("tls");
    let tables = table.tables("master");
    let masters: Vec<Option<Iec104Master>> = tables.iter().map(|m| master(m, secure)).collect();
    table.finish();
    if masters.is_empty() || masters.len() > MAX_MASTERS {
        table.problem("master", format!("must be 1 to {MAX_MASTERS} masters"));
    }
    let masters: Vec<Iec104Master> = masters.into_iter().collect::<Option<_>>()?;
    for (k, master) in masters.iter().enumerate() {
        let same = |other: &Iec104Master| {
            other.name == master.name || other.ips.iter().any(|ip| master.ips.contains(ip))
        };
        if masters[..k].iter().any(same) {
            let text = format!("`{}`: name or address is another master's too", master.name);
            table.problem("master", text);
        }
    }
    Some(Iec104 {
        listen: listen?,
        address: address?,
        hold: hold?,
        tls,
        masters,
    })
}

fn master(table: &Table<'_, '_>, secure: bool) -> Option<Iec104Master> {
    let name = table.name("name").map(str::to_owned);
    let texts = table.texts("ips");
    let ips: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    if ips.len() < texts.len() || ips.is_empty() || ips.len() > MAX_IPS {
        table.problem("ips", format!("must be 1 to {MAX_IPS} IP addresses"));
    }
    let commands = table.boolean("commands");
    let certificate = tls::certificate(table, secure);
    table.finish();
    Some(Iec104Master {
        name: name?,
        ips,
        certificate: certificate?,
        commands: commands?,
    })
}

/// Which station a device is.
pub(super) fn rtu(table: &Table<'_, '_>) -> Option<Rtu104> {
    let address = address(table, "common_address");
    let clock_sync = match table.has("clock_sync") {
        true => table.boolean("clock_sync"),
        false => Some(false),
    };
    Some(Rtu104 {
        address: address?,
        clock_sync: clock_sync?,
    })
}

fn address(table: &Table<'_, '_>, key: &'static str) -> Option<u16> {
    let address = table.integer(key, 1..=0xFFFE)?;
    u16::try_from(address).ok()
}
