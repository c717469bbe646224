//! `[dnp3]`: who polls the appliance.

use std::{net::IpAddr, time::Duration};

use protocols::dnp3::link::MAX_ADDRESS;

use super::{
    model::{Dnp3, Dnp3Master},
    read::Table,
};

/// A command lasts so long, if the site does not say.
const HOLD: Duration = Duration::from_secs(300);
/// Sessions, each with events of its own.
const MAX_MASTERS: usize = 8;

pub(super) fn read(table: &Table<'_, '_>) -> Option<Dnp3> {
    let listen = table.address("listen");
    let address = address(table);
    let hold = match table.has("hold_s") {
        // A restart looks back further than that.
        true => table
            .number("hold_s", 10.0..=900.0)
            .map(Duration::from_secs_f64),
        false => Some(HOLD),
    };
    let masters: Vec<Option<Dnp3Master>> = table.tables("master").iter().map(master).collect();
    table.finish();
    if masters.is_empty() || masters.len() > MAX_MASTERS {
        table.problem("master", format!("must be 1 to {MAX_MASTERS} masters"));
    }
    let masters: Vec<Dnp3Master> = masters.into_iter().collect::<Option<_>>()?;
    for (k, master) in masters.iter().enumerate() {
        let same =
            |other: &&Dnp3Master| other.address == master.address || other.name == master.name;
        if Some(master.address) == address || masters[..k].iter().any(|other| same(&other)) {
            let text = format!(
                "`{}`: name or address is another station's too",
                master.name
            );
            table.problem("master", text);
        }
    }
    Some(Dnp3 {
        listen: listen?,
        address: address?,
        hold: hold?,
        masters,
    })
}

fn master(table: &Table<'_, '_>) -> Option<Dnp3Master> {
    let name = table.name("name").map(str::to_owned);
    let address = address(table);
    let ip = table.text("ip").and_then(|text| {
        let ip = text.parse::<IpAddr>().ok();
        if ip.is_none() {
            table.problem("ip", format!("`{text}` is no IP address"));
        }
        ip
    });
    let commands = table.boolean("commands");
    table.finish();
    Some(Dnp3Master {
        name: name?,
        address: address?,
        ip: ip?,
        commands: commands?,
    })
}

fn address(table: &Table<'_, '_>) -> Option<u16> {
    let address = table.integer("address", 0..=i64::from(MAX_ADDRESS))?;
    u16::try_from(address).ok()
}
