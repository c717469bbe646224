//! A site file with many problems: every one is named with its place, in one go.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

use std::{fs, path::Path};

use edge::site::{self, Place};

fn example() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    fs::read_to_string(file).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let problems = site::parse(&file, text).map(|_| ()).unwrap_err();
    let strip = |p: site::Problem| {
        let text = p.to_string();
        text.replace(&format!("{}:", file.display()), "")
    };
    problems.into_iter().map(strip).collect()
}

/// Replaces the first `from`, which must be there; the line it is in.
fn spoil(text: &mut String, from: &str, to: &str) -> usize {
    let at = text.find(from).unwrap_or_else(|| panic!("no {from}"));
    let line = text[..at].matches('\n').count() + 1;
    *text = text.replacen(from, to, 1);
    line
}

#[test]
fn the_example_is_right() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let site = site::load(&file).unwrap();
    assert_eq!(
        (site.devices.len(), site.units.len(), site.loads.len()),
        (24, 15, 18)
    );
    let states = site::fallback::states(&site).unwrap();
    for state in states {
        assert_eq!(
            state.violations,
            Vec::<String>::new(),
            "{}",
            state.assumption
        );
    }
}

#[test]
fn every_problem_is_named_with_its_place() {
    let mut text = example();
    let mut expected = Vec::new();
    // what it says, what is written instead, the path, part of the message
    for (from, to, path, message) in [
        (
            "u_max_pu = 1.05",
            "u_max_pu = 0.90",
            "limits.u_max_pu",
            "from 1 to 1.5",
        ),
        (
            "currency = \"EUR\"",
            "currency = \"Euro\"",
            "market.currency",
            "ISO 4217",
        ),
        (
            "period_s = 1",
            "period_s = 30",
            "estimation.period_s",
            "from 0.2 to 5",
        ),
        (
            "gate_s = 3 ",
            "gate_s = 30 ",
            "market.gate_s",
            "below interval_s",
        ),
        (
            "lease_s = 15",
            "lease_s = 9 ",
            "dispatch.lease_s",
            "above market.interval_s",
        ),
        ("id = 14\nname", "id = 13\nname", "node[14].id", "twice"),
        (
            "branch = 15, side",
            "branch = 999, side",
            "bays[2].branch",
            "no line or transformer 999",
        ),
        (
            "loads = [31, 41]",
            "loads = [31, 39]",
            "bays[4].loads[1]",
            "another node",
        ),
        (
            "side = \"to\" },\n  { bay = 2, branch = 17",
            "side = \"two\" },\n  { bay = 2, branch = 17",
            "bays[0].side",
            "none of from, to",
        ),
        ("id = 101\n", "id = 999\n", "unit[8].id", "no generator 999"),
        (
            "kind = \"wind\"",
            "kind = \"wnid\"",
            "unit[8].kind",
            "none of pv, wind",
        ),
        (
            "fallback_p_w = 800000",
            "fallback_p_w = 8e6   ",
            "unit[8].fallback_p_w",
            "from 0 to 7500000",
        ),
        (
            "device = \"chp9\"",
            "device = \"rtu8\"",
            "unit[10].device",
            "takes no setpoints",
        ),
        (
            "energy_wh = 1200000",
            "energy_kwh = 1200  ",
            "unit[13].energy_kwh",
            "did you mean `energy_wh`?",
        ),
        (
            "sigma_pct = 30\n",
            "sigma_pct = nan\n",
            "load[0].sigma_pct",
            "from 1 to 300",
        ),
    ] {
        let line = spoil(&mut text, from, to);
        expected.push((line, path, message));
    }
    let found = problems(&text);
    for (line, path, message) in expected {
        // The place may be on one of the lines that the spoiled text covers.
        let named = found.iter().any(|p| {
            (line..line + 2).any(|l| p.starts_with(&format!("{l}:")))
                && p.contains(path)
                && p.contains(message)
        });
        assert!(
            named,
            "line {line}, {path}: {message} not in\n{}",
            found.join("\n")
        );
    }
    for missing in ["node 14 of the network", "generator 101 of the network"] {
        assert!(found.iter().any(|p| p.contains(missing)), "{missing}");
    }
}

#[test]
fn history_is_bounded_whether_the_site_says_so_or_not() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let site = site::load(&file).unwrap();
    assert_eq!((site.history.days, site.history.bytes), (30, 1 << 30));
    let own = example() + "\n[history]\ndays = 7\nmax_mb = 200\n";
    let site = site::parse(&file, &own).unwrap();
    assert_eq!((site.history.days, site.history.bytes), (7, 200 << 20));
    let found = problems(&(example() + "\n[history]\ndays = 0\nmax_gb = 1\n"));
    for named in ["history.days", "history.max_mb", "history.max_gb"] {
        assert!(
            found.iter().any(|p| p.contains(named)),
            "{named}: {found:?}"
        );
    }
}

/// Files that are not there.
const TLS: &str =
    "hold_s = 300\ntls = { certificate = \"a.pem\", key = \"a.key\", authorities = \"ca.pem\" } ";

const IEC104_ADDRESS: &str = "address = 10                # common address";
const TLS_104: &str =
    "address = 10\ntls = { certificate = \"a.pem\", key = \"a.key\", authorities = \"ca.pem\" } ";
const MODBUS_ADDRESS: &str = "address = \"127.0.0.1:15203\"\n";
const TLS_MODBUS: &str = "address = \"127.0.0.1:15203\"\nframing = \"rtu\"\n\
     tls = { certificate = \"/c.pem\", key = \"/k\", authorities = \"/c.pem\", name = \"d\" }\n";

#[test]
fn who_may_poll_and_who_is_polled_is_checked() {
    let found = |from: &str, to: &str| {
        let mut text = example();
        spoil(&mut text, from, to);
        problems(&text)
    };
    let none = "[[dnp3.master]]\nname = \"control-centre\"\naddress = 1\nip = \"127.0.0.1\"\ncommands = true\n";
    for (from, to, named) in [
        (
            "ip = \"127.0.0.1\"",
            "ip = \"scada.example\"",
            "dnp3.master[0].ip: `scada.example` is no IP address",
        ),
        (
            "address = 1\n",
            "address = 10\n",
            "dnp3.master: `control-centre`: name or address",
        ),
        (
            "address = 1\n",
            "address = 65520\n",
            "dnp3.master[0].address",
        ),
        (
            "hold_s = 300",
            "hold_s = 5",
            "dnp3.hold_s: must be a number from 10 to 900",
        ),
        (none, "", "dnp3.master: must be 1 to 8 masters"),
        (
            "ips = [\"127.0.0.1\"]",
            "ips = [\"127.0.0.1\", \"scada.example\"]",
            "iec104.master[0].ips: must be 1 to 4 IP addresses",
        ),
        (
            "ips = [\"127.0.0.1\"]",
            "ips = []",
            "iec104.master[0].ips: must be 1 to 4 IP addresses",
        ),
        (
            "address = 10                # common address",
            "address = 65535",
            "iec104.address: must be a whole number from 1 to 65534",
        ),
        (
            "[estimation]",
            "[[iec104.master]]\nname = \"other\"\nips = [\"127.0.0.1\"]\ncommands = false\n[estimation]",
            "iec104.master: `other`: name or address is another master's too",
        ),
        ("hold_s = 300", TLS, "dnp3.tls: "),
        (
            "hold_s = 300",
            TLS,
            "dnp3.master[0].certificate_sha256: missing",
        ),
        (
            "commands = true\n",
            "commands = true\ncertificate_sha256 = \"00\"\n",
            "dnp3.master[0].certificate_sha256: unknown key",
        ),
        (
            "master_address = 1\n",
            "master_address = 10\n",
            "device[0].master_address: is the device's own",
        ),
        (
            "master_address = 1\n",
            "master_address = 1\nintegrity_s = 0.5\n",
            "device[0].integrity_s: must not be below poll_s",
        ),
        (
            "master_address = 1\n",
            "master_address = 1\nunit_id = 1\n",
            "device[0].unit_id: unknown key",
        ),
        (
            "master_address = 1\n",
            "master_address = 1\ntls = { certificate = \"a\", key = \"b\", authorities = \"c\", name = \"d\" }\n",
            "device[0].tls: ",
        ),
        (IEC104_ADDRESS, TLS_104, "iec104.tls: "),
        (
            IEC104_ADDRESS,
            TLS_104,
            "iec104.master[0].certificate_sha256: missing",
        ),
        (MODBUS_ADDRESS, TLS_MODBUS, "device[3].tls: goes with plain"),
        (MODBUS_ADDRESS, TLS_MODBUS, "device[3].tls: /c.pem: "),
    ] {
        let found = found(from, to);
        assert!(
            found.iter().any(|p| p.contains(named)),
            "{named}: {found:?}"
        );
    }
}

#[test]
fn an_unreadable_network_does_not_hide_the_rest() {
    let mut text = example();
    spoil(&mut text, "network.json", "nowhere.json");
    spoil(&mut text, "poll_s", "pol_s");
    let found = problems(&text);
    assert!(
        found
            .iter()
            .any(|p| p.contains("nowhere.json cannot be read"))
    );
    assert!(found.iter().any(|p| p.contains("did you mean `poll_s`?")));
}

/// The appliance's model is balanced: a network by phase is refused, each kind of it by name.
#[test]
fn a_network_by_phase_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/network.json");
    let network = fs::read_to_string(file).unwrap();
    let mut network: serde_json::Value = serde_json::from_str(&network).unwrap();
    let node = network["data"]["node"][1]["id"].clone();
    network["data"]["asym_gen"] = serde_json::json!([{
        "id": 77001, "node": node, "status": 1, "type": 0,
        "p_specified": [1e3, 0.0, 0.0], "q_specified": [0.0, 0.0, 0.0],
    }]);
    let by_phase = folder.path().join("network.json");
    fs::write(&by_phase, network.to_string()).unwrap();
    let mut text = example();
    spoil(&mut text, "network.json", by_phase.to_str().unwrap());
    let found = problems(&text);
    assert!(found[0].contains("asym_gen 77001 is by phase"), "{found:?}");
}

#[test]
fn settlement_waits_as_long_as_intervals_are_at_hand() {
    let site = |settle_s: &str| {
        let mut text = example();
        spoil(
            &mut text,
            "[market]\n",
            &format!("[market]\nsettle_s = {settle_s}\n"),
        );
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
        site::parse(&file, &text).map(|site| site.market.settle_s)
    };
    // Intervals of 10 s.
    for settle_s in [2, 800] {
        assert_eq!(site(&settle_s.to_string()).unwrap(), settle_s);
    }
    for settle_s in ["1", "801", "2.5", "-1"] {
        let problem = site(settle_s).unwrap_err()[0].to_string();
        assert!(problem.contains("market.settle_s"), "{problem}");
    }
}

#[test]
fn what_is_not_toml_is_named_with_its_place() {
    let found = problems("[site]\nname = \nstate = \"x\n");
    assert!(found[0].starts_with("2:"), "{found:?}");
    assert!(found.iter().any(|p| p.starts_with("3:")), "{found:?}");
    assert!(!problems("").is_empty());
}

#[test]
fn no_spoiled_byte_panics() {
    // Every hundredth byte of a valid file made something else.
    let text = example();
    for at in (0..text.len()).step_by(97) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = b"]\"=x\n0"[at % 6];
        let _ = site::parse(Path::new("site.toml"), &String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_gate_that_no_step_fits_into_is_refused() {
    let mut text = example();
    spoil(&mut text, "period_s = 1", "period_s = 3");
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("market.gate_s: must be above estimation.period_s, which is 3"));
    spoil(&mut text, "period_s = 3", "period_s = 2.9");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    assert!(site::parse(&file, &text).is_ok());
}

#[test]
fn a_lease_as_long_as_an_interval_is_refused() {
    let mut text = example();
    spoil(&mut text, "lease_s = 15", "lease_s = 10");
    let found = problems(&text);
    assert!(
        found[0].contains("dispatch.lease_s: must be above"),
        "{found:?}"
    );
    spoil(&mut text, "lease_s = 10", "lease_s = 11");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    assert!(site::parse(&file, &text).is_ok());
}

/// The stressed noon that the market is there for: pandapower has 1.109 pu at the worst node, and a
/// line above its rating.
#[test]
fn a_fallback_that_breaks_limits_is_named() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let mut site = site::load(&file).unwrap();
    for unit in &mut site.units {
        unit.fallback_p_w = unit.p_rated_w;
    }
    let states = site::fallback::states(&site).unwrap();
    let noon = &states[1];
    assert_eq!(noon.assumption, "units at fallback, no load");
    assert!(noon.u_max.1 > 1.1, "{noon:?}");
    assert!(noon.loading.unwrap().1 > 1.0, "{noon:?}");
    let node = format!("node {} at {:.4} pu, outside", noon.u_max.0, noon.u_max.1);
    assert!(
        noon.violations.iter().any(|v| v.starts_with(&node)),
        "{noon:?}"
    );
    let line = format!("line {} at", noon.loading.unwrap().0);
    assert!(
        noon.violations.iter().any(|v| v.starts_with(&line)),
        "{noon:?}"
    );
    let at_rest = &states[2];
    assert_eq!(at_rest.violations, Vec::<String>::new(), "no unit feeds in");
}

#[test]
fn an_rtu_over_iec_104_is_known_by_its_common_address() {
    let mut text = example();
    text.push_str(
        r#"
[[device]]
id = "rtu-104"
profile = "iec104-rtu"
address = "127.0.0.1:2405"
common_address = 7
poll_s = 10
timeout_s = 2
"#,
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let site = site::parse(&file, &text).unwrap();
    let mut devices = site.devices.iter();
    let rtu = devices.find(|d| d.id.as_str() == "rtu-104").unwrap();
    let site::Wire::Iec104 { rtu: station, map } = &rtu.wire else {
        panic!("{:?}", rtu.wire);
    };
    assert_eq!((station.address, station.clock_sync), (7, false));
    assert_eq!((map.points.len(), map.commands.len()), (72, 8));
    spoil(&mut text, "common_address = 7", "unit_id = 7");
    let found = problems(&text);
    assert!(
        found.iter().any(|p| p.contains("common_address: missing")),
        "{found:?}"
    );
}

#[test]
fn an_ied_has_the_points_of_its_profile_and_of_its_table() {
    let mut text = example();
    text.push_str(
        r#"
[[device]]
id = "ied"
profile = "iec61850"
address = "127.0.0.1:10102"
ied = "F1"
poll_s = 1
timeout_s = 2
reports = ["LD0/LLN0.BR.brcb01"]
points = [
  { name = "bay1_p", ref = "LD0/MMXU1.TotW.mag.f[MX]", scale = 1000, unit = "W" },
  { name = "bay1_closed", ref = "LD0/XCBR1.Pos.stVal[ST]", kind = "closed" },
]
commands = [{ name = "bay1_breaker", ref = "LD0/CSWI1.Pos", interlock_check = true }]
bays = [{ bay = 1, branch = 18, side = "from" }]
"#,
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let site = site::parse(&file, &text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let wire = |id: &str| {
        let mut devices = site.devices.iter();
        let device = devices.find(|d| d.id.as_str() == id).unwrap();
        match &device.wire {
            site::Wire::Iec61850 { ied, map } => (ied.name.clone(), map.clone()),
            other => panic!("{other:?}"),
        }
    };
    let (name, map) = wire("ied");
    assert_eq!(name, "F1");
    let counts = (map.reports.len(), map.points.len(), map.commands.len());
    assert_eq!(counts, (1, 2, 1));
    assert_eq!(map.points[0].scale, 1000.0);
    let (name, map) = wire("bay-t2");
    assert_eq!(name, "BAYT2");
    assert_eq!((map.points.len(), map.commands.len()), (9, 2));

    for (good, bad, expected) in [
        ("ied = \"F1\"\n", "", "ied: missing"),
        ("TotW.mag.f[MX]", "TotW.mag.f", "names no attribute"),
        ("TotW.mag.f[MX]", "TotW.mag.f[XX]", "points[0].ref: `XX`"),
        (
            "kind = \"closed\"",
            "kind = \"shut\"",
            "points[1].kind: `shut`",
        ),
        ("LLN0.BR.brcb01", "LLN0.XX.brcb01", "no control block"),
        (
            "interlock_check",
            "interlok_check",
            "did you mean `interlock_check`?",
        ),
        (
            "ied = \"F1\"\n",
            "ied = \"F1\"\nunit_id = 1\n",
            "unit_id: unknown key",
        ),
        ("name = \"bay1_p\"", "name = \"p\"", "no point bay1_p"),
    ] {
        let mut wrong = text.clone();
        // Only the new device's table.
        let at = wrong.find("id = \"ied\"").unwrap();
        let mut table = wrong.split_off(at);
        spoil(&mut table, good, bad);
        let found = problems(&(wrong + &table));
        assert!(
            found.iter().any(|p| p.contains(expected)),
            "{expected}: {found:#?}"
        );
    }
}

#[test]
fn lines_and_what_is_on_them_are_checked() {
    let by_tcp = "address = \"127.0.0.1:15107\"\nunit_id = 1\n";
    let line = "\n[[line]]\nid = \"bus\"\nport = \"ttyS0\"\n";
    let right = example() + line + "parity = \"none\"\nbaud = 9600\n";
    let right = right.replacen(by_tcp, "line = \"bus\"\nunit_id = 7\n", 1);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let site = site::parse(&file, &right).unwrap();
    let battery = site.devices.iter().find(|d| d.id.as_str() == "bat10");
    let Place::Line { line: name, config } = &battery.unwrap().place else {
        panic!("on a line");
    };
    assert_eq!((&**name, config.baud, config.stop_bits), ("bus", 9600, 2));
    assert_eq!(config.path, file.with_file_name("ttyS0").to_str().unwrap());

    // what stands for the battery's place, what follows the line, the path, part of the message
    for (place, rest, path, message) in [
        (
            "line = \"buss\"\nunit_id = 7\n",
            "",
            "device[23].line",
            "no usable line `buss`",
        ),
        (
            "line = \"bus\"\nunit_id = 0\n",
            "",
            "device[23].unit_id",
            "1 to 247",
        ),
        (
            "line = \"bus\"\naddress = \"127.0.0.1:502\"\nunit_id = 7\n",
            "",
            "device[23].address",
            "not both",
        ),
        (by_tcp, "baud = 299\n", "line[0].baud", "from 300"),
        (by_tcp, "parity = \"mark\"\n", "line[0].parity", "even"),
        (
            by_tcp,
            "stop_bits = 3\n",
            "line[0].stop_bits",
            "from 1 to 2",
        ),
        (by_tcp, line, "line[1].port", "line `bus` already"),
    ] {
        let text = (example() + line + rest).replacen(by_tcp, place, 1);
        let found = problems(&text);
        let named = |p: &String| p.contains(path) && p.contains(message);
        assert!(found.iter().any(named), "{path}: {found:#?}");
    }
    let converter = example().replacen("unit_id = 1", "framing = \"rtu\"\nunit_id = 1", 1);
    let devices = site::parse(&file, &converter).unwrap().devices;
    let by_rtu = devices
        .iter()
        .filter(|d| matches!(d.place, Place::RtuOverTcp(_)));
    assert_eq!(by_rtu.count(), 1);
}

const ABOVE: &str = r#"
[above]
endpoint = "opc.tcp://area.example:4840"
user = "north"
password_file = "password"
pki = "pki"
award_s = 2
fallback = "schedule"
spread_per_mwh = 12.5
meter = { import = "feeder/import", export = "feeder/export" }

[[above.schedule]]
from = "00:00"
exchange_w = -5000

[[above.schedule]]
from = "06:30"
exchange_w = 20000
"#;

#[test]
fn a_market_above_is_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let device = site::load(&file).unwrap().devices[0].id.to_string();
    let text = example() + &ABOVE.replace("feeder/", &format!("{device}/"));
    let above = site::parse(&file, &text).unwrap().above.unwrap();
    assert_eq!((&*above.user, &*above.tenant), ("north", "north"));
    assert_eq!(above.pki.folder, file.parent().unwrap().join("pki"));
    assert_eq!(above.terms.schedule, [(0, -5_000), (23_400, 20_000)]);
    assert_eq!(above.terms.spread.per_mwh(), 12.5);
    assert_eq!(
        above.meter.unwrap().export.as_str(),
        format!("{device}/export")
    );
}

#[test]
fn what_is_wrong_with_a_market_above_is_named() {
    let mut text = example() + ABOVE;
    for (from, to) in [
        ("opc.tcp://area", "http://area"),
        ("award_s = 2", "award_s = 3"),
        ("spread_per_mwh = 12.5", "spread_per_mwh = -1"),
        ("from = \"00:00\"", "from = \"01:00\""),
        ("from = \"06:30\"", "from = \"24:00\""),
        ("user = \"north\"", "user = \"\""),
    ] {
        spoil(&mut text, from, to);
    }
    let found = problems(&text);
    for expected in [
        "above.endpoint: `http://area.example:4840` is not an endpoint",
        "above.award_s: must be below market.gate_s, which is 3",
        "above.spread_per_mwh: must be a number from 0",
        "above.schedule[0].from: the first must be 00:00",
        "above.schedule[1].from: `24:00` is not a time of day",
        "above.user: must not be empty",
    ] {
        assert!(
            found.iter().any(|of| of.contains(expected)),
            "{expected}: {found:#?}"
        );
    }
    // A device of the meter that is not there, and a fallback without what it falls back to.
    let unscheduled = &ABOVE[..ABOVE.find("[[").unwrap()];
    let found = problems(&(example() + unscheduled)).join("\n");
    assert!(found.contains("there is no device `feeder`"), "{found}");
    assert!(found.contains("wants [[above.schedule]] tables"), "{found}");
}
