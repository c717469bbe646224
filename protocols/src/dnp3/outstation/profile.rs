//! The device profile document (clause 14): what the outstation does, printed from the tables and
//! defaults that it works by.

use std::{fmt::Write as _, time::Duration};

use super::{
    OutstationConfig, RestartPolicy,
    support::{INDEXED, ONE, Requests, requests},
};
use crate::dnp3::{
    Kind,
    app::{FunctionCode, MAX_FRAGMENT, VARIATIONS, Variation},
    link::{LinkConfig, MAX_ADDRESS},
};

/// The responses in which the outstation sends this object.
fn responses(row: &Variation) -> Requests {
    use FunctionCode as F;
    let response: &[F] = &[F::Response];
    let both: &[F] = &[F::Response, F::UnsolicitedResponse];
    let spans: &[u8] = &[0x00, 0x01];
    match (row.group, row.variation) {
        (12 | 41, _) => vec![(response, INDEXED)],
        (50, 1) | (52, _) => vec![(response, ONE)],
        (51, _) => vec![(both, ONE)],
        (80, _) => vec![(response, &[0x00])],
        (110, _) => vec![(response, spans)],
        (60 | 50 | 111, _) | (_, 0) => Vec::new(),
        (group, _) if Kind::of_events(group).is_some() => vec![(both, &[0x28])],
        _ => vec![(response, spans)],
    }
}

/// The functions that the outstation takes.
pub(super) fn functions() -> impl Iterator<Item = FunctionCode> {
    let sent = [FunctionCode::Response, FunctionCode::UnsolicitedResponse];
    let all = FunctionCode::ALL.into_iter();
    all.filter(move |function| !sent.contains(function))
}

/// The document, as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# DNP3 device profile of the outstation\n\n\
         Generated from the code: `cargo run -p busbar-protocols --example dnp3_profile`. A test holds it true.\n\n\
         IEEE 1815-2012. Requests and responses of subset level 3, and beyond it: double-bit inputs, dead bands,\n\
         floating point, events of outputs and of commands, octet strings, LAN time synchronisation.\n\
         Not there: file transfer, secure authentication, data sets, virtual terminal, device attributes (g0),\n\
         self-address, freeze at time, pattern control, frozen analogs.\n\n",
    );
    configuration(&mut out);
    function_table(&mut out);
    object_table(&mut out);
    out
}

/// A row of the configuration: what, its default, a note.
type Setting = (&'static str, String, &'static str);

fn configuration(out: &mut String) {
    let config = OutstationConfig::new(LinkConfig::new(1, 2));
    out.push_str("## Configuration\n\n| | default | |\n|---|---|---|\n");
    let rows = link_rows(&config).into_iter();
    for (name, value, note) in rows.chain(message_rows(&config)).chain(event_rows(&config)) {
        line(out, &[name, &value, note]);
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn link_rows(config: &OutstationConfig) -> Vec<Setting> {
    let keep_alive = config.link.keep_alive.map_or("never".to_owned(), seconds);
    let confirmed = if config.link.confirmed { "yes" } else { "no" };
    vec![
        (
            "connection",
            "TCP server; one session per master".to_owned(),
            "masters by link address",
        ),
        (
            "link addresses",
            format!("0 to {MAX_ADDRESS}"),
            "configurable",
        ),
        (
            "broadcast addresses",
            "65533, 65534, 65535".to_owned(),
            "carried out, not answered",
        ),
        (
            "link layer confirmation of our data",
            confirmed.to_owned(),
            "configurable",
        ),
        (
            "link layer time-out",
            seconds(config.link.timeout),
            "configurable",
        ),
        (
            "link layer retries",
            config.link.retries.to_string(),
            "configurable",
        ),
        (
            "link status asked for after silence",
            keep_alive,
            "configurable",
        ),
    ]
}

fn message_rows(config: &OutstationConfig) -> Vec<Setting> {
    let need_time = config.need_time_every.map_or("never".to_owned(), seconds);
    let restart = match config.restart {
        RestartPolicy::Refused => "refused",
        RestartPolicy::Allowed { .. } => "allowed",
    };
    vec![
        (
            "fragment received at most",
            format!("{MAX_FRAGMENT} octets"),
            "fixed",
        ),
        (
            "fragment sent at most",
            format!("{} octets", config.max_fragment),
            "configurable, from 249",
        ),
        (
            "responses in several fragments",
            "yes".to_owned(),
            "each but the last confirmed",
        ),
        (
            "confirmation awaited",
            seconds(config.confirm_timeout),
            "configurable",
        ),
        (
            "select stays",
            seconds(config.select_timeout),
            "configurable",
        ),
        (
            "commands in one request",
            config.max_controls.to_string(),
            "configurable",
        ),
        ("clock wanted from the master", need_time, "configurable"),
        ("cold and warm restart", restart.to_owned(), "configurable"),
    ]
}

fn event_rows(config: &OutstationConfig) -> Vec<Setting> {
    let unsolicited = config.unsolicited.unwrap_or_default();
    vec![
        (
            "unsolicited responses",
            "yes, once enabled by the master".to_owned(),
            "can be switched off",
        ),
        (
            "unsolicited retries",
            unsolicited.retries.to_string(),
            "configurable; as they were",
        ),
        (
            "unsolicited, new attempt after",
            seconds(unsolicited.retry_delay),
            "configurable",
        ),
        (
            "unsolicited, first event waits",
            seconds(unsolicited.hold),
            "configurable",
        ),
        (
            "events kept",
            format!("{} of each kind", config.max_events),
            "configurable; the oldest goes, IIN2.3",
        ),
        (
            "counters",
            "32 bits, roll over at 4294967296".to_owned(),
            "clearing is each master's own",
        ),
        (
            "event order",
            "as they happened, of all kinds".to_owned(),
            "before present values",
        ),
    ]
}

fn function_table(out: &mut String) {
    out.push_str("\n## Functions\n\n| code | function | answered |\n|---|---|---|\n");
    for function in functions() {
        let answered = if function.is_answered() { "yes" } else { "no" };
        let code = (function as u8).to_string();
        line(out, &[&code, &format!("{function:?}"), answered]);
    }
    out.push_str("\nAny other: IIN2.0. Sent: 129 Response, 130 UnsolicitedResponse.\n");
}

fn object_table(out: &mut String) {
    out.push_str(
        "\n## Objects\n\nFunction codes decimal, qualifiers hexadecimal. The variation of octet strings is their length.\n\n\
         | object | | requests | responses |\n|---|---|---|---|\n",
    );
    for row in VARIATIONS {
        let (requests, responses) = (requests(row), responses(row));
        if requests.is_empty() && responses.is_empty() {
            continue;
        }
        let number = if matches!(row.group, 110) {
            "n".to_owned()
        } else {
            row.variation.to_string()
        };
        let object = format!("g{}v{number}", row.group);
        line(
            out,
            &[&object, row.name, &list(&requests), &list(&responses)],
        );
    }
}

fn list(requests: &Requests) -> String {
    let one = |(functions, qualifiers): &(&[FunctionCode], &[u8])| {
        let codes: Vec<String> = functions.iter().map(|&f| (f as u8).to_string()).collect();
        let qualifiers: Vec<String> = qualifiers.iter().map(|q| format!("{q:02x}")).collect();
        format!("{} ({})", codes.join(", "), qualifiers.join(", "))
    };
    let all: Vec<String> = requests.iter().map(one).collect();
    all.join("; ")
}

fn line(out: &mut String, cells: &[&str]) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}
