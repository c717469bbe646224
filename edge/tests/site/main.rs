//! A site file with many problems: every one is named with its place, in one go.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

mod above;
mod by_phase;
mod pki;
mod wires;

use std::{fs, path::Path};

use edge::site;

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
fn a_device_that_is_added_at_the_end_moves_no_place_at_the_control_centre() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let points = |text: &str| {
        let site = site::parse(&file, text).unwrap();
        edge::northbound::points::list(&site)
    };
    let before = points(&example());
    // First by the alphabet, with a bay.
    let after = points(&format!(
        "{}\n[[device]]\nid = \"aaa\"\nprofile = \"generic-rtu\"\naddress = \"127.0.0.1:65000\"\nunit_id = 1\npoll_s = 1\ntimeout_s = 1\n\
         bays = [{{ bay = 1, branch = 15, side = \"from\" }}]\n",
        example()
    ));
    assert!(after.len() > before.len());
    assert!(before.iter().all(|entry| after.contains(entry)));
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
