//! Who polls and who is polled: masters, devices, their certificates and lines.

use std::path::Path;

use edge::site::{self, Place};

use super::{example, problems, spoil};

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
