//! Shipped scenarios are right; broken ones say where.

use std::{env, fs, process};

use super::*;

fn shipped(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    folder.join(name)
}

/// Loads a changed copy of the shipped noon.
fn changed(name: &str, changes: &[(&str, &str)]) -> Result<Loaded, ScenarioError> {
    let mut text = fs::read_to_string(shipped("noon.toml")).unwrap();
    let network = shipped("../data/cigre_mv.json");
    text = text.replace("../data/cigre_mv.json", network.to_str().unwrap());
    for (from, to) in changes {
        assert!(text.contains(from), "the noon has no {from:?} to change");
        text = text.replacen(from, to, 1);
    }
    let path = env::temp_dir().join(format!("busbar-sim-{}-{name}.toml", process::id()));
    fs::write(&path, text).unwrap();
    let loaded = load(&path);
    fs::remove_file(&path).unwrap();
    loaded
}

#[test]
fn the_shipped_scenarios_are_right() {
    for name in ["noon.toml", "day.toml"] {
        let loaded = load(&shipped(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.scenario.der.len(), 15);
        assert_eq!(loaded.scenario.rtu.len(), 9);
        for der in &loaded.scenario.der {
            assert_eq!(der.port, 15_000 + der.unit as u16);
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let error = changed("key", &[("speedup", "sped_up")]).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ScenarioError::Syntax { .. }), "{text}");
    assert!(text.contains("sped_up") && text.contains("line"), "{text}");
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let error = changed(
        "problems",
        &[
            ("step_ms = 250", "step_ms = 5"),
            ("start = \"12:00\"", "start = \"25:00\""),
            ("[[12, 1.0]]", "[[24, 1.0]]"),
            ("ids = [31,", "ids = [93,"),
            ("unit = 94", "unit = 93"),
            ("port = 15095", "port = 15093"),
            ("models = [1, 103, 120", "models = [1, 120"),
            (
                "models = [1, 103, 120, 121, 123]",
                "models = [1, 103, 120, 120, 124, 802]",
            ),
            ("profile = \"wind\"", "profile = \"windy\""),
            ("p_rated_w = 200000", "p_rated_w = -1"),
            ("soc = 0.6", "soc = 6.0"),
            ("autonomous_p_w = -200000", "autonomous_p_w = -200001"),
            ("device = \"rtu5\"", "device = \"pv3\""),
            (
                "branch = 91, side = \"from\"",
                "branch = 15, side = \"from\"",
            ),
            ("bay = 7, loads", "bay = 9, loads"),
            ("loads = [40, 48]", "loads = [40, 47]"),
        ],
    )
    .unwrap_err();
    let ScenarioError::Invalid { problems, .. } = &error else {
        panic!("{error}");
    };
    for named in [
        "step_ms: 5",
        "clock.start: \"25:00\"",
        "profile[2] \"sun\": hour 24",
        "load[0]: the network has no load 93",
        "no profile for load 31",
        "der[1] \"pv4\": unit 93 has a device already",
        "no device for generator 94",
        "der[2]: der[0] listens on port 15093 too",
        "models lacks 103",
        "\"pv4\": model 120 is there twice",
        "\"pv4\": model 124 is a battery's",
        "\"pv4\": no device here has SunSpec model 802",
        "there is no profile \"windy\"",
        "p_rated_w: -1",
        "soc 6 is not",
        "autonomous_p_w -200001 is beyond",
        "is named \"pv3\" too",
        "branch 15 has no tap changer",
        "bays are numbered 1 to 8",
        "its loads are not at one node",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(named)),
            "{named:?} is not among:\n{error}"
        );
    }
    assert_eq!(problems.len(), 20, "{error}");
}

#[test]
fn faults_to_come_are_checked_too() {
    let broken = "[[fault]]\nat_s = -1\ndevice = \"pv3\"\nkind = \"spike\"\n\
        [[fault]]\nat_s = 5\ndevice = \"nobody\"\nkind = \"gone\"\n[[load]]";
    let error = changed("faults", &[("[[load]]", broken)]).unwrap_err();
    let text = error.to_string();
    for named in ["fault[0]: at_s -1", "needs a point", "no device \"nobody\""] {
        assert!(text.contains(named), "{text}");
    }
}

#[test]
fn a_network_with_problems_names_them() {
    let missing = changed("network", &[("cigre_mv.json", "no_such.json")]).unwrap_err();
    assert!(missing.to_string().contains("no_such.json"), "{missing}");
}
