//! DNP3 both ways: `[dnp3]`, who polls the appliance, and the keys of a `[[device]]` that it polls.

use std::{net::IpAddr, time::Duration};

use protocols::dnp3::{link::MAX_ADDRESS, master::TimeSync};

use super::{
    model::{Dnp3, Dnp3Master, Outstation},
    read::Table,
    tables::seconds,
    tls,
};

/// A command lasts so long, if the site does not say.
const HOLD: Duration = Duration::from_secs(300);
/// Sessions, each with events of its own.
const MAX_MASTERS: usize = 8;

pub(super) fn read(table: &Table<'_, '_>) -> Option<Dnp3> {
    let listen = table.address("listen");
    let address = address(table, "address");
    let der = match table.has("der") {
        true => table.address("der").map(Some),
        false => Some(None),
    };
    if der.flatten().is_some_and(|der| Some(der) == listen) {
        table.problem("der", "must not be where the outstation listens".to_owned());
    }
    let hold = hold(table);
    let tls = tls::server(table);
    let secure = table.has("tls");
    let masters = table.tables("master");
    let masters: Vec<Option<Dnp3Master>> = masters.iter().map(|m| master(m, secure)).collect();
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
        der: der?,
        hold: hold?,
        tls,
        masters,
    })
}

/// How long a command lasts.
pub(super) fn hold(table: &Table<'_, '_>) -> Option<Duration> {
    match table.has("hold_s") {
        // A restart looks back further than that.
        true => table
            .number("hold_s", 10.0..=900.0)
            .map(Duration::from_secs_f64),
        false => Some(HOLD),
    }
}

fn master(table: &Table<'_, '_>, secure: bool) -> Option<Dnp3Master> {
    let name = table.name("name").map(str::to_owned);
    let address = address(table, "address");
    let ip = table.text("ip").and_then(|text| {
        let ip = text.parse::<IpAddr>().ok();
        if ip.is_none() {
            table.problem("ip", format!("`{text}` is no IP address"));
        }
        ip
    });
    let commands = table.boolean("commands");
    let certificate = tls::certificate(table, secure);
    table.finish();
    Some(Dnp3Master {
        name: name?,
        address: address?,
        ip: ip?,
        commands: commands?,
        certificate: certificate?,
    })
}

/// How an outstation is asked, whose events are read with each poll.
pub(super) fn outstation(table: &Table<'_, '_>, poll: Option<Duration>) -> Option<Outstation> {
    let theirs = address(table, "link_address");
    let ours = address(table, "master_address");
    if theirs.is_some() && theirs == ours {
        table.problem("master_address", "is the device's own".to_owned());
    }
    let integrity = match table.has("integrity_s") {
        true => seconds(table, "integrity_s", 0.1..=86_400.0),
        false => poll,
    };
    if integrity < poll {
        table.problem("integrity_s", "must not be below poll_s".to_owned());
    }
    let unsolicited = match table.has("unsolicited") {
        true => table.boolean("unsolicited"),
        false => Some(true),
    };
    let ask_times = match table.has("ask_times") {
        true => table.boolean("ask_times"),
        false => Some(false),
    };
    let words = [
        ("lan", TimeSync::Lan),
        ("delay", TimeSync::Delay),
        ("never", TimeSync::Never),
    ];
    let time_sync = match table.has("time_sync") {
        true => table.word("time_sync", &words),
        false => Some(TimeSync::Lan),
    };
    Some(Outstation {
        address: theirs?,
        master: ours?,
        integrity: integrity?,
        unsolicited: unsolicited?,
        ask_times: ask_times?,
        time_sync: time_sync?,
    })
}

fn address(table: &Table<'_, '_>, key: &'static str) -> Option<u16> {
    let address = table.integer(key, 0..=i64::from(MAX_ADDRESS))?;
    u16::try_from(address).ok()
}
