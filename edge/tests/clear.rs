//! `busbar clear` as a program: the shipped example, its files and exit statuses.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

fn shipped(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/market");
    folder.join(name)
}

fn example() -> PathBuf {
    shipped("feeder.json")
}

fn example_json() -> Value {
    let text = std::fs::read_to_string(example()).expect("the example is shipped");
    serde_json::from_str(&text).expect("it is JSON")
}

fn busbar(arguments: &[&str], input: Option<&str>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_busbar"))
        .arg("clear")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built for this test");
    let mut stdin = child.stdin.take().expect("it is piped");
    if let Some(input) = input {
        // A program that is used wrongly does not read it.
        let _ = stdin.write_all(input.as_bytes());
    }
    drop(stdin);
    child.wait_with_output().expect("the program runs")
}

/// Status and what was said of a case that comes from standard input.
fn said(case: &Value) -> (Option<i32>, String) {
    let output = busbar(&["-"], Some(&case.to_string()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn the_example_is_cleared_and_explained() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("result.json");
    let (case, result) = (example(), file.to_str().expect("it is text"));
    let case = case.to_str().expect("it is text");
    let output = busbar(&[case, "--explain", "31", "--output", result], None);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in [
        "optimal",
        "sunnyside",
        "limits that bind",
        "highest voltage at node 3",
        "it sets the price here",
    ] {
        assert!(table.contains(expected), "{expected} is missing:\n{table}");
    }
    let text = std::fs::read_to_string(&file).expect("it was written");
    let result: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(result["type"], "market_result");
    assert_eq!(result["clearing"]["status"]["kind"], "optimal");
    assert_eq!(result["explanations"][0]["unit"], 31);
    let asked = busbar(&[case, "--explain", "31", "--json"], None);
    let shown: Value = serde_json::from_slice(&asked.stdout).expect("it is JSON");
    assert_eq!(shown, result, "one result, whether to a file or shown");
}

/// The shipped case with a call: what it changes against the same case without, and what is paid for that.
#[test]
fn the_example_with_a_call_is_cleared_and_paid() {
    let json = |path: &Path| -> Value {
        let output = busbar(&[path.to_str().expect("it is text"), "--json"], None);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("it is JSON")
    };
    let power = |awards: &Value| -> f64 {
        let mut awards = awards.as_array().expect("it is a list").iter();
        let own = awards.find(|of| of["unit"] == 31).expect("it is there");
        own["p_w"].as_f64().expect("it is a number")
    };
    let (plain, called) = (json(&example()), json(&shipped("calls.json")));
    let without = power(&called["without_calls"]);
    assert!((without - power(&plain["clearing"]["awards"])).abs() < 1e-6);
    let kept = power(&called["clearing"]["awards"]);
    assert!((kept - 3e6).abs() < 100.0, "{kept}");
    // A quarter of an hour, at 12 per MWh.
    let changed = (kept / 4.0).round() - (without / 4.0).round();
    let paid = &called["calls"][0];
    assert_eq!(paid["energy_wh"].as_f64(), Some(changed));
    assert_eq!(paid["received"].as_f64(), Some(-12.0 * changed));
    assert!(plain.get("calls").is_none() && plain.get("without_calls").is_none());
    let calls = shipped("calls.json");
    let case = calls.to_str().expect("it is text");
    let table = busbar(&[case, "--explain", "31"], None);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    for expected in ["paid by", "grid", "called by grid to at most 3000000 W"] {
        assert!(table.contains(expected), "{expected} is missing:\n{table}");
    }
    // One that is kept anyway costs nothing, and changes nothing.
    let text = std::fs::read_to_string(&calls).expect("the example is shipped");
    let mut idle: Value = serde_json::from_str(&text).expect("it is JSON");
    idle["calls"]["orders"][0]["terms"]["kind"]["p_max_w"] = json!(5_500_000);
    let output = busbar(&["-", "--json"], Some(&idle.to_string()));
    let idle: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(idle["clearing"], plain["clearing"]);
    assert!(idle.get("calls").is_none());
}

/// The shipped case by phase: prices of each phase, a phase's voltage that binds; its capacitors, and an interval
/// after it.
#[test]
fn the_example_by_phase_is_cleared() {
    let by_phase = shipped("by-phase.json");
    let case = by_phase.to_str().expect("it is text");
    let output = busbar(&[case, "--json"], None);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let clearing = &result["clearing"];
    assert_eq!(clearing["status"]["kind"], "optimal");
    let bound = clearing["binding"].as_array().expect("it is a list");
    assert!(
        bound.iter().any(|of| of["phase"].is_string()),
        "no limit of a phase binds: {bound:?}"
    );
    let prices = clearing["phase_prices"].as_array().expect("it is a list");
    // 14 nodes, of which some have one or two phases.
    assert!((25..42).contains(&prices.len()), "{}", prices.len());
    let table = busbar(&[case], None);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("limits that bind"), "{table}");
    let text = std::fs::read_to_string(&by_phase).expect("the example is shipped");
    let mut with_controls: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut ahead = with_controls.clone();
    with_controls["case"]["controls"] = json!({"shunts": [36, 37]});
    ahead["later"] = json!([ahead["case"]]);
    let cost = |case: &Value| {
        let output = busbar(&["-", "--json"], Some(&case.to_string()));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let result: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let cost = result["clearing"]["cost_per_h"].as_f64();
        (cost.expect("it is a number"), result)
    };
    let as_it_is = clearing["cost_per_h"].as_f64().expect("it is a number");
    let (moved, result) = cost(&with_controls);
    // At noon the feeder has more than it can do with, and the capacitors lift its voltage.
    assert!(moved < as_it_is - 0.01, "{moved} {as_it_is}");
    let positions = &result["clearing"]["positions"];
    assert!(!positions.as_array().expect("it is a list").is_empty());
    let (first, result) = cost(&ahead);
    assert!((first - as_it_is).abs() < 1e-4, "{first} {as_it_is}");
    let intervals = result["horizon"]["intervals"].as_array();
    assert_eq!(intervals.expect("it is a list").len(), 2);
}

#[test]
fn a_network_of_its_own_is_found_beside_the_case() {
    let folder = tempfile::tempdir().expect("there is room");
    let mut case = example_json();
    let network = case["network"].take();
    case.as_object_mut().expect("it is one").remove("network");
    case["network_file"] = json!("network.json");
    let write = |name: &str, value: &Value| {
        std::fs::write(folder.path().join(name), value.to_string()).expect("there is room");
    };
    write("case.json", &case);
    let path = folder.path().join("case.json");
    let path = path.to_str().expect("it is text");
    let missing = busbar(&[path], None);
    assert_eq!(missing.status.code(), Some(65), "{missing:?}");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("network.json"));
    write("network.json", &network);
    let output = busbar(&[path, "--json"], None);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let inline = busbar(&[example().to_str().expect("it is text"), "--json"], None);
    assert_eq!(output.stdout, inline.stdout);
}

#[test]
fn a_limit_that_cannot_be_kept_is_named_with_status_1() {
    let mut case = example_json();
    case["case"]["limits"]["u_max_pu"] = json!(0.96);
    let output = busbar(&["-"], Some(&case.to_string()));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        table.contains("not kept: highest voltage at node"),
        "{table}"
    );
}

#[test]
fn more_load_than_the_network_carries_is_status_1() {
    let mut case = example_json();
    case["case"]["fixed"][0]["p_w"] = json!(-1e9);
    let (status, said) = said(&case);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("more than the network can carry"), "{said}");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    type Change = fn(&mut Value);
    let wrong: [(Change, &str); 9] = [
        (
            |case| case["case"]["orders"][1]["direction"] = json!("lend"),
            "case.orders[1].direction: unknown variant `lend`",
        ),
        (
            |case| case["case"]["units"][0]["capability"]["p_max"] = json!(1),
            "case.units[0].capability.p_max: unknown field `p_max`",
        ),
        (
            |case| case["version"] = json!("9.0"),
            "version: unknown variant `9.0`",
        ),
        (
            |case| case["case"]["orders"][0]["unit"] = json!(99),
            "order 1 is for unit 99",
        ),
        (
            |case| case["case"]["fixed"][0]["node"] = json!(77),
            "names node 77",
        ),
        (
            |case| case["network_file"] = json!("x.json"),
            "one of them, not both",
        ),
        (
            |case| {
                case.as_object_mut().expect("it is one").remove("network");
            },
            "neither network nor network_file",
        ),
        (
            |case| case["network"]["data"]["line"][0]["r1"] = json!("thick"),
            "line",
        ),
        (
            |case| case["case"]["interface"][0]["export_price"] = json!(60_000_000),
            "buying to sell has no end",
        ),
    ];
    for (change, expected) in wrong {
        let mut case = example_json();
        change(&mut case);
        let (status, said) = said(&case);
        assert_eq!(status, Some(65), "{said}");
        assert!(said.contains(expected), "{expected} is missing: {said}");
    }
    let cut = busbar(&["-"], Some("{\"version\": \"1.0\", "));
    assert_eq!(cut.status.code(), Some(65));
    assert!(
        String::from_utf8_lossy(&cut.stderr).contains("line 1"),
        "{cut:?}"
    );
}

#[test]
fn wrong_usage_is_status_2() {
    let case = example();
    let case = case.to_str().expect("it is text");
    for arguments in [
        vec![case, "--explain", "99"],
        vec![case, "--json", "--output", "x.json"],
        vec![case, "--explain", "pv"],
        vec![],
    ] {
        let output = busbar(&arguments, None);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}
