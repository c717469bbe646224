//! `busbar scan modbus HOST[:PORT]`.

use std::{net::SocketAddr, ops::RangeInclusive, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use protocols::{
    device::Description,
    modbus::{
        Link, LinkError,
        map::RegisterMap,
        scan::{Seen, look},
    },
};

use super::super::{say, say_error};
use crate::site::profile::{self, Access};

/// The registered port.
const PORT: u16 = 502;

/// Arguments of `busbar scan modbus`.
#[derive(Args)]
pub(in crate::cli) struct ModbusArguments {
    /// Where: a name or an address, with a port if it is not 502.
    #[arg(value_name = "HOST[:PORT]")]
    host: String,
    /// Units to ask, e.g. 1-10: many behind a gateway, one for a device.
    #[arg(long, value_name = "FROM-TO", default_value = "1", value_parser = units)]
    units: RangeInclusive<u8>,
    /// How long to wait for each answer, s.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    timeout_s: f64,
}

fn units(text: &str) -> Result<RangeInclusive<u8>, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let number = text.parse();
        number.map_err(|_| format!("`{text}` is no unit: 0 to 255 are"))
    };
    let (from, to): (u8, u8) = (number(from)?, number(to)?);
    match from <= to {
        true => Ok(from..=to),
        false => Err(format!("{from} is above {to}")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|s| (0.05..=60.0).contains(s));
    seconds.ok_or_else(|| format!("`{text}` is not 0.05 to 60"))
}

pub(super) fn scan(arguments: &ModbusArguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(ask(arguments))
}

async fn ask(arguments: &ModbusArguments) -> anyhow::Result<ExitCode> {
    let address = address(&arguments.host).await?;
    let models = models();
    let maps: Vec<&RegisterMap> = models.iter().map(|(_, map)| map).collect();
    let timeout = Duration::from_secs_f64(arguments.timeout_s);
    let mut found = 0;
    for unit in arguments.units.clone() {
        let link = Link {
            unit,
            connect_timeout: timeout,
            request_timeout: timeout,
            ..Link::new(address.to_string())
        };
        let seen = match look(&link, &maps).await {
            Ok(seen) => seen,
            Err(error @ (LinkError::Connect { .. } | LinkError::ConnectTimeout { .. })) => {
                say_error(&format!("busbar: {error}"));
                return Ok(ExitCode::FAILURE);
            }
            Err(error) => {
                say_error(&format!("unit {unit}: {error}"));
                continue;
            }
        };
        let names: Vec<&str> = models.iter().map(|(name, _)| name.as_str()).collect();
        if let Some(proposal) = proposal(address, unit, &seen, &names, arguments.timeout_s) {
            say(&proposal);
            found += 1;
        }
    }
    if found == 0 {
        say_error(&format!("busbar: nothing known answers at {address}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The shipped models that are lists of registers.
fn models() -> Vec<(String, RegisterMap)> {
    let names = profile::names().into_iter();
    let model = |name: String| match profile::find(&name).ok()?.access {
        Access::Modbus(map) => Some((name, map)),
        _ => None,
    };
    names.filter_map(model).collect()
}

/// The first address of `host`, with or without a port.
async fn address(host: &str) -> anyhow::Result<SocketAddr> {
    let found = match tokio::net::lookup_host(host).await {
        Ok(found) => found.collect::<Vec<_>>(),
        // Without a port it is none.
        Err(_) => tokio::net::lookup_host((host, PORT))
            .await
            .with_context(|| host.to_owned())?
            .collect(),
    };
    found.first().copied().with_context(|| host.to_owned())
}

/// A `[[device]]`, or why there is none to propose.
fn proposal(
    address: SocketAddr,
    unit: u8,
    seen: &Seen,
    models: &[&str],
    timeout_s: f64,
) -> Option<String> {
    let (profile, said) = match seen {
        Seen::Nobody => return None,
        Seen::Sunspec(description) => ("sunspec", sunspec(description)),
        Seen::Registers(fitting) => {
            let mut fitting = fitting.iter().map(|&place| models[place]);
            let Some(first) = fitting.next() else {
                let unknown = format!("{address} unit {unit}: answers, but is like no known model");
                return Some(comment(&unknown));
            };
            let others: Vec<&str> = fitting.collect();
            let said = match others.is_empty() {
                true => format!("its registers are like those of {first}"),
                false => format!("like {first}, or {}", others.join(", ")),
            };
            (first, said)
        }
    };
    let comment = comment(&format!("{address} unit {unit}: {said}"));
    let id = format!("modbus-{}-{unit}", address.port());
    Some(format!(
        "{comment}\n[[device]]\nid = \"{id}\"\nprofile = \"{profile}\"\naddress = \"{address}\"\n\
         unit_id = {unit}\npoll_s = 1\ntimeout_s = {timeout_s}\n",
    ))
}

fn sunspec(of: &Description) -> String {
    let models: Vec<String> = of.models.iter().map(u16::to_string).collect();
    let rated = match of.p_rated_w {
        Some(p_w) => format!(", {p_w:.0} W"),
        None => String::new(),
    };
    format!(
        "{} {} {}, serial number {}, SunSpec models {}{rated}",
        of.manufacturer,
        of.model,
        of.version,
        of.serial,
        models.join(", ")
    )
}

/// A line of a comment, whatever the device said.
fn comment(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    format!("# {}", text.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_one_or_a_range() {
        assert_eq!(units("3"), Ok(3..=3));
        assert_eq!(units("1-10"), Ok(1..=10));
        for wrong in ["", "300", "5-2", "1-", "a"] {
            assert!(units(wrong).is_err(), "{wrong}");
        }
    }
}
