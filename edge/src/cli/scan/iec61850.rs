//! `busbar scan iec61850`: IEDs as `[[device]]` tables.

use std::{fmt::Write as _, fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use protocols::iec61850::{
    Kind,
    device::Place,
    proposal::{Proposal, of_host, of_scl},
};

use super::super::{EX_DATAERR, say, say_error};

/// How long each answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(in crate::cli) struct Iec61850Arguments {
    /// The IED: an address, with a port unless it is 102.
    #[arg(
        value_name = "HOST",
        required_unless_present = "scl",
        conflicts_with = "scl"
    )]
    host: Option<String>,
    /// An SCL file (ICD, CID, SCD) instead of an IED that answers.
    #[arg(long, value_name = "FILE")]
    scl: Option<PathBuf>,
}

pub(super) fn scan(arguments: &Iec61850Arguments) -> anyhow::Result<ExitCode> {
    let found = match (&arguments.scl, &arguments.host) {
        (Some(file), _) => {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            match of_scl(&text) {
                Ok(found) => found,
                Err(error) => {
                    say_error(&format!("{}: {error}", file.display()));
                    return Ok(ExitCode::from(EX_DATAERR));
                }
            }
        }
        (None, Some(host)) => {
            let place = Place {
                address: with_port(host),
                tls: None,
                timeout: TIMEOUT,
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let found = runtime
                .block_on(of_host(&place))
                .map_err(anyhow::Error::msg);
            vec![found.with_context(|| place.address.clone())?]
        }
        // The command line asks for one of them.
        (None, None) => Vec::new(),
    };
    for proposal in &found {
        say(&table(proposal));
    }
    Ok(ExitCode::SUCCESS)
}

fn with_port(host: &str) -> String {
    let bare = host.parse::<std::net::Ipv6Addr>().is_ok();
    match host.rsplit_once(':') {
        _ if bare => format!("[{host}]:102"),
        Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => format!("{host}:102"),
    }
}

/// One IED as a table that `busbar check` accepts in a site file.
fn table(proposal: &Proposal) -> String {
    let Proposal { ied, address, map } = proposal;
    let mut text = String::from("[[device]]\n");
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{arguments}");
    };
    line(format_args!("id = \"{}\"", ied.to_ascii_lowercase()));
    line(format_args!("profile = \"iec61850\""));
    match address {
        Some(address) => line(format_args!("address = \"{address}\"")),
        None => line(format_args!(
            "address = \"192.0.2.1:102\"  # the file does not say"
        )),
    }
    line(format_args!("ied = \"{ied}\""));
    line(format_args!("poll_s = 1"));
    line(format_args!("timeout_s = 2"));
    let reports: Vec<String> = map
        .reports
        .iter()
        .map(|report| format!("\"{report}\""))
        .collect();
    line(format_args!("reports = [{}]", reports.join(", ")));
    line(format_args!("points = ["));
    for point in &map.points {
        let kind = Kind::ALL.iter().find(|(_, kind)| *kind == point.kind);
        let kind = match kind {
            Some((word, kind)) if *kind != Kind::Analog => format!(", kind = \"{word}\""),
            _ => String::new(),
        };
        let unit = match point.unit.as_str() {
            "" => String::new(),
            unit => format!(", unit = \"{unit}\""),
        };
        line(format_args!(
            "  {{ name = \"{}\", ref = \"{}\"{kind}{unit} }},",
            point.name, point.reference
        ));
    }
    line(format_args!("]"));
    line(format_args!("commands = ["));
    for command in &map.commands {
        line(format_args!(
            "  {{ name = \"{}\", ref = \"{}\" }},",
            command.name, command.reference
        ));
    }
    line(format_args!("]"));
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site;

    #[test]
    fn what_is_proposed_is_accepted_in_a_site_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let scl = fs::read_to_string(root.join("../sim-rtu/scl/bay.icd")).unwrap();
        let file = root.join("examples/cigre-mv/site.toml");
        let mut text = fs::read_to_string(&file).unwrap();
        for proposal in of_scl(&scl).unwrap() {
            text += "\n";
            text += &table(&proposal);
        }
        let site = site::parse(&file, &text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut devices = site.devices.iter();
        let device = devices.find(|d| d.id.as_str() == "template").unwrap();
        assert!(device.profile.has_point("bay1_p"));
    }

    #[test]
    fn the_port_is_102_unless_it_is_given() {
        for (host, address) in [
            ("192.0.2.7", "192.0.2.7:102"),
            ("192.0.2.7:10102", "192.0.2.7:10102"),
            ("2001:db8::7", "[2001:db8::7]:102"),
            ("[2001:db8::7]:10102", "[2001:db8::7]:10102"),
            ("ied.example", "ied.example:102"),
        ] {
            assert_eq!(with_port(host), address);
        }
    }
}
