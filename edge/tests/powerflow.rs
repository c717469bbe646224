//! `busbar powerflow` as a program: its answers and exit statuses.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/cases/power_flow")
        .join(name)
}

fn busbar(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_busbar"))
        .arg("powerflow")
        .args(arguments)
        .output()
        .expect("the program was built for this test")
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("the repository's paths are text")
}

#[test]
fn a_batch_by_phase_goes_to_a_file() {
    let folder = case("mixed-by-phase");
    let (input, update) = (folder.join("input.json"), folder.join("update_batch.json"));
    let file = std::env::temp_dir().join(format!("busbar-powerflow-{}.json", std::process::id()));
    let output = busbar(&[
        text(&input),
        "--update",
        text(&update),
        "--asymmetric",
        "--output",
        text(&file),
    ]);
    assert!(output.status.success(), "{output:?}");
    let written = std::fs::read_to_string(&file).expect("the program wrote it");
    std::fs::remove_file(&file).expect("it is ours");
    let document: Value = serde_json::from_str(&written).expect("it is JSON");
    assert_eq!(document["type"], "asym_output");
    assert_eq!(document["is_batch"], true);
    assert_eq!(document["data"].as_array().map(Vec::len), Some(6));
    let u_pu = &document["data"][0]["node"][0]["u_pu"];
    assert_eq!(u_pu.as_array().map(Vec::len), Some(3));
}

#[test]
fn taps_change_by_the_strategy_asked_for() {
    let input = case("tap-single-trafo-min-voltage-tap").join("input.json");
    let output = busbar(&[text(&input), "--tap-changing", "min"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let expected = case("tap-single-trafo-min-voltage-tap").join("sym_output.json");
    let expected = std::fs::read_to_string(expected).expect("the case has it");
    let expected: Value = serde_json::from_str(&expected).expect("it is JSON");
    let position = |d: &Value| d["data"]["transformer_tap_regulator"][0]["tap_pos"].clone();
    assert_eq!(position(&found), position(&expected));
}

/// Links without impedance: five sections of a busbar at one voltage, by power-grid-model's reference;
/// with the 1e6 S that they have otherwise it falls along them.
#[test]
fn links_are_ideal_when_asked_for() {
    let input = case("links-merge-line-to-super-node-itself").join("input.json");
    let angle = |arguments: &[&str], node: usize| {
        let output = busbar(&[&[text(&input)], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let found: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        found["data"]["node"][node]["u_angle"]
            .as_f64()
            .expect("a number")
    };
    let ideal = ["--links", "ideal"];
    assert!((angle(&ideal, 0) + 0.003_024_528_982_491_5).abs() < 1e-9);
    assert_eq!(angle(&ideal, 0), angle(&ideal, 2));
    assert_ne!(angle(&[], 0), angle(&[], 2));
    let current = [
        "--links",
        "ideal",
        "--method",
        "current",
        "--tap-changing",
        "any",
    ];
    assert!((angle(&current, 4) + 0.029_930_229_512_183_66).abs() < 1e-8);
}

#[test]
fn exit_statuses_say_what_is_wrong() {
    let input = case("1os2msr").join("input.json");
    let status = |arguments: &[&str]| busbar(arguments).status.code();
    assert_eq!(status(&[text(&input)]), Some(0));
    assert_eq!(status(&[text(&input), "--tolerance", "-1"]), Some(2));
    assert_eq!(status(&[text(&input), "--method", "current"]), Some(0));
    assert_eq!(status(&[text(&input), "--method", "gauss"]), Some(2));
    assert_eq!(status(&["/nowhere/input.json"]), Some(65));
    let updates = case("non-existent-id-update-batch");
    let (base, batch) = (
        updates.join("input.json"),
        updates.join("update_batch.json"),
    );
    let output = busbar(&[text(&base), "--update", text(&batch)]);
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("scenario 0: sym_load") && said.contains("is not in the input"),
        "{said}"
    );
    // Voltages that two set at once.
    let input = case("pv-node-source").join("input.json");
    assert_eq!(status(&[text(&input)]), Some(1));
}

/// The IEEE 13-node feeder: phases that a node lacks are null, regulators stand where OpenDSS's do.
#[test]
fn a_feeder_of_one_and_two_phases_is_regulated() {
    let input = case("../ieee/13").join("input.json");
    let output = busbar(&[text(&input), "--asymmetric", "--tap-changing", "any"]);
    assert!(output.status.success(), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let data = &found["data"];
    let taps = data["step_voltage_regulator"].as_array().expect("rows");
    let taps: Vec<_> = taps.iter().map(|r| r["tap_pos"].as_i64()).collect();
    assert_eq!(taps, [Some(9), Some(6), Some(9)]);
    let expected = std::fs::read_to_string(case("../ieee/13").join("asym_output.json"));
    let expected: Value =
        serde_json::from_str(&expected.expect("the case has it")).expect("it is JSON");
    let nodes = data["node"].as_array().expect("rows");
    for (node, expected) in nodes
        .iter()
        .zip(expected["data"]["node"].as_array().expect("rows"))
    {
        for p in 0..3 {
            match (node["u_pu"][p].as_f64(), expected["u_pu"][p].as_f64()) {
                (None, None) => assert!(node["u_pu"][p].is_null()),
                (Some(u), Some(v)) => assert!((u - v).abs() < 1e-4, "{node}"),
                (u, v) => panic!("{u:?} for {v:?} at {node}"),
            }
        }
    }
    let symmetric = busbar(&[text(&input)]);
    assert_eq!(symmetric.status.code(), Some(65));
    let said = String::from_utf8_lossy(&symmetric.stderr);
    assert!(
        said.contains("asym_line 23 can only be computed by phase: it lacks phases"),
        "{said}"
    );
}

/// A load of 300 MW is past what any voltage can bring over the line: that scenario is named, the
/// others are answered.
#[test]
fn a_scenario_without_solution_stops_no_other() {
    let folder = tempfile::tempdir().expect("there is room");
    let write = |name: &str, document: Value| {
        let file = folder.path().join(name);
        std::fs::write(&file, document.to_string()).expect("it is ours");
        file
    };
    let data = json!({
        "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}],
        "line": [{"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
            "r1": 0.5, "x1": 0.4, "c1": 0.0, "tan1": 0.0, "i_n": 400.0}],
        "source": [{"id": 4, "node": 1, "status": 1, "u_ref": 1.0}],
        "sym_load": [{"id": 5, "node": 2, "status": 1, "type": 0, "p_specified": 1e6,
            "q_specified": 2e5}],
    });
    let document = |kind: &str, data: Value| {
        json!({"version": "1.0", "type": kind, "is_batch": data.is_array(), "attributes": {},
            "data": data})
    };
    let load = |p: f64| json!({"sym_load": [{"id": 5, "p_specified": p}]});
    let input = write("input.json", document("input", data));
    let alone = |k: usize, p: f64| {
        let update = document("update", json!([load(p)]));
        let update = write(&format!("{k}.json"), update);
        let output = busbar(&[text(&input), "--update", text(&update)]);
        assert!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        answer["data"][0].clone()
    };
    let loads = json!([load(1e6), load(3e8), load(2e6), load(-4e8)]);
    let update = write("update.json", document("update", loads));
    let output = busbar(&[text(&input), "--update", text(&update)]);
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let expected = json!([alone(0, 1e6), {}, alone(2, 2e6), {}]);
    assert_eq!(answer["data"], expected);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("scenario 1: "), "{said}");
    assert!(lines[1].starts_with("scenario 3: "), "{said}");
    assert_eq!(lines[2], "2 of 4 scenarios solved");
    let both = busbar(&["-", "--update", "-"]);
    assert_eq!(both.status.code(), Some(2));
}
