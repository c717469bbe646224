//! `busbar estimate` as a program: its answers beside power-grid-model's, its report and exit
//! statuses.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/cases/state_estimation")
        .join(name)
}

fn json_of(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the case has it");
    serde_json::from_str(&text).expect("it is JSON")
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("the repository's paths are text")
}

fn busbar(arguments: &[&str], input: Option<&Value>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_busbar"))
        .arg("estimate")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built for this test");
    let mut stdin = child.stdin.take().expect("it is piped");
    if let Some(input) = input {
        // A program that is used wrongly does not read it.
        let _ = stdin.write_all(input.to_string().as_bytes());
    }
    drop(stdin);
    child.wait_with_output().expect("the program runs")
}

/// Status, answer, report and what was said, of an input that comes from standard input.
fn estimate(input: &Value, options: &[&str]) -> (Option<i32>, Value, Value, String) {
    let folder = tempfile::tempdir().expect("there is room");
    let report = folder.path().join("report.json");
    let mut arguments = vec!["-", "--report", text(&report)];
    arguments.extend(options);
    let output = busbar(&arguments, Some(input));
    let report = match report.exists() {
        true => json_of(&report),
        false => Value::Null,
    };
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), answer, report, said)
}

/// Every number of `expected` at the same place in `found`, as near as asked.
fn compare(place: &str, found: &Value, expected: &Value, near: &impl Fn(f64, f64) -> bool) {
    match expected {
        Value::Array(values) => {
            for (k, value) in values.iter().enumerate() {
                compare(&format!("{place}[{k}]"), &found[k], value, near);
            }
        }
        Value::Object(values) => {
            for (name, value) in values {
                compare(&format!("{place}.{name}"), &found[name], value, near);
            }
        }
        Value::Number(expected) => {
            let expected = expected.as_f64().expect("it is a number");
            let found = found.as_f64();
            let fits = found.is_some_and(|found| near(found, expected));
            assert!(fits, "{place}: {found:?}, expected {expected}");
        }
        _ => {}
    }
}

/// Magnitudes of the nodes' voltages and of the flows, with the tolerances of the case; angles and
/// batches are in the solver's tests.
#[test]
fn answers_are_those_of_power_grid_model() {
    for (name, options) in [
        ("cigre-mv-fully-metered", &["--keep-bad-data"][..]),
        ("transmission-case", &["--keep-bad-data"]),
        ("meshed-two-sources", &["--keep-bad-data"]),
    ] {
        let folder = case(name);
        let params = json_of(&folder.join("params.json"));
        let (status, answer, ..) = estimate(&json_of(&folder.join("input.json")), options);
        assert_eq!(status, Some(0), "{name}");
        let expected = json_of(&folder.join("sym_output.json"));
        let atol = &params["atol"];
        let rtol = params["rtol"].as_f64().expect("the case has it");
        for (table, attributes) in [
            ("node", &["u_pu", "u", "energized"][..]),
            ("line", &["p_from", "q_to", "i_from"]),
        ] {
            for (k, row) in expected["data"][table]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                for attribute in attributes {
                    let named = atol.get(attribute).or_else(|| atol.get("default"));
                    let atol = named.unwrap_or(atol).as_f64().expect("the case has it");
                    let near = |found: f64, expected: f64| {
                        (found - expected).abs() <= atol + rtol * expected.abs()
                    };
                    let place = format!("{name} {table} {} {attribute}", row["id"]);
                    let found = &answer["data"][table][k][attribute];
                    compare(&place, found, &row[attribute], &near);
                }
            }
        }
    }
}

#[test]
fn a_batch_goes_to_files() {
    let folder = case("sensor-update-initially-empty");
    let (input, update) = (folder.join("input.json"), folder.join("update_batch.json"));
    let written = tempfile::tempdir().expect("there is room");
    let (states, report) = (
        written.path().join("states.json"),
        written.path().join("report.json"),
    );
    let output = busbar(
        &[
            text(&input),
            "--update",
            text(&update),
            "--output",
            text(&states),
            "--report",
            text(&report),
        ],
        None,
    );
    let scenarios = json_of(&update)["data"].as_array().map(Vec::len);
    let (states, report) = (json_of(&states), json_of(&report));
    assert_eq!(
        (&states["type"], &states["is_batch"]),
        (&json!("sym_output"), &json!(true))
    );
    assert_eq!(states["data"].as_array().map(Vec::len), scenarios);
    assert_eq!(report["type"], "estimation_report");
    assert_eq!(report["data"].as_array().map(Vec::len), scenarios);
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("scenarios solved"), "{said}");
}

/// The input of a case with one attribute of one sensor changed.
fn changed(
    name: &str,
    sensor: (&str, usize),
    attribute: &str,
    value: impl Fn(f64) -> Value,
) -> Value {
    let mut input = json_of(&case(name).join("input.json"));
    let place = &mut input["data"][sensor.0][sensor.1][attribute];
    *place = value(place.as_f64().unwrap_or_default());
    input
}

#[test]
fn bad_data_is_named_by_sensor() {
    // The largest power that is measured, its sign turned.
    let name = "cigre-mv-fully-metered";
    let input = json_of(&case(name).join("input.json"));
    let sensors = input["data"]["sym_power_sensor"]
        .as_array()
        .expect("it has some");
    let power = |k: &usize| sensors[*k]["p_measured"].as_f64().unwrap_or_default().abs();
    let largest = (0..sensors.len()).max_by(|a, b| power(a).total_cmp(&power(b)));
    let largest = largest.expect("it has some");
    let (status, _, clean, _) = estimate(&input, &[]);
    assert_eq!(status, Some(0));
    assert_eq!(clean["data"]["bad_data"], json!([]));
    assert_eq!(clean["data"]["chi_square"]["passed"], true);
    let input = changed(name, ("sym_power_sensor", largest), "p_measured", |p| {
        (-p).into()
    });
    let (status, _, report, said) = estimate(&input, &[]);
    assert_eq!(status, Some(0), "{said}");
    let bad = report["data"]["bad_data"].as_array().expect("it is a list");
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert_eq!(bad[0]["sensor"], sensors[largest]["id"]);
    assert_eq!(
        (&bad[0]["quantity"], &bad[0]["suspicion"]),
        (&json!("p"), &json!("sign_flipped"))
    );
    assert_eq!(bad[0]["object"], sensors[largest]["measured_object"]);
    assert!(
        said.contains("bad data: sym_power_sensor") && said.contains("sign flipped"),
        "{said}"
    );
    let (_, _, kept, said) = estimate(&input, &["--keep-bad-data"]);
    assert_eq!(kept["data"]["bad_data"], json!([]));
    assert_eq!(kept["data"]["chi_square"]["passed"], false);
    assert!(said.contains("not passed"), "{said}");
}

#[test]
fn every_figure_has_its_standard_deviation() {
    let name = "node-injection-with-injection-sensor-sym-sensors";
    let input = json_of(&case(name).join("input.json"));
    for (options, phases) in [(&[][..], 1), (&["--asymmetric"], 3)] {
        let (status, answer, report, said) = estimate(&input, options);
        assert_eq!(status, Some(0), "{said}");
        let sigmas = report["data"]["standard_deviations"]
            .as_object()
            .expect("they are there");
        let tables = answer["data"].as_object().expect("it has tables");
        let computed = tables
            .iter()
            .filter(|(table, _)| !table.ends_with("sensor"));
        for (table, rows) in computed {
            let of = &sigmas[table];
            assert_eq!(
                of.as_array().map(Vec::len),
                rows.as_array().map(Vec::len),
                "{table}"
            );
            for (name, value) in of[0].as_object().expect("it is a row") {
                let values = value.as_array().map_or(1, Vec::len);
                assert!(name == "id" || values == phases, "{table} {name}: {value}");
            }
        }
    }
}

/// Two nodes, a line, a load that nobody measures.
fn unmeasured() -> Value {
    json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}],
        "line": [{"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
            "r1": 0.2, "x1": 0.2, "c1": 0.0, "tan1": 0.0}],
        "source": [{"id": 4, "node": 1, "status": 1, "u_ref": 1.0}],
        "sym_load": [{"id": 5, "node": 2, "status": 1, "type": 0,
            "p_specified": 1e6, "q_specified": 2e5}],
        "sym_voltage_sensor": [{"id": 6, "measured_object": 1, "u_sigma": 20.0,
            "u_measured": 10e3}],
    }})
}

#[test]
fn what_is_missing_is_enough_once_it_is_there() {
    let mut input = unmeasured();
    let (status, answer, report, said) = estimate(&input, &[]);
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(report["data"]["status"], "not_observable");
    assert_eq!(report["data"]["unobservable_nodes"], json!([2]));
    assert_eq!(answer["data"]["node"][1]["u_pu"], Value::Null);
    assert!((answer["data"]["node"][0]["u_pu"].as_f64()).is_some_and(|u| (u - 1.0).abs() < 1e-9));
    let part = &report["data"]["unobservable_parts"][0];
    let wanted = json!([{"quantity": ["p", "q"], "object": 5, "object_type": "sym_load"}]);
    assert_eq!(part["sensors_that_would_help"], wanted);
    assert!(
        said.contains("not observable: node 2; what would help: p, q at sym_load 5"),
        "{said}"
    );
    input["data"]["sym_power_sensor"] = json!([{"id": 7, "measured_object": 5,
        "measured_terminal_type": 4, "power_sigma": 1e3, "p_measured": 1e6, "q_measured": 2e5}]);
    let (status, _, report, said) = estimate(&input, &[]);
    assert_eq!(status, Some(0), "{said}");
    // Nothing confirms any of them.
    assert_eq!(report["data"]["critical"].as_array().map(Vec::len), Some(3));
    assert!(said.contains("critical"), "{said}");
}

#[test]
fn exit_statuses_say_what_is_wrong() {
    let status = |input: &Value, options: &[&str]| {
        let (status, _, _, said) = estimate(input, options);
        (status, said)
    };
    let says = |input: &Value, words: &[&str]| {
        let (status, said) = status(input, &[]);
        assert_eq!(status, Some(65), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    let mut wrong = unmeasured();
    wrong["data"]["sym_voltage_sensor"][0]["measured_object"] = json!(99);
    says(&wrong, &["sym_voltage_sensor 6", "measured_object", "99"]);
    let mut wrong = unmeasured();
    wrong["data"]["sym_voltage_sensor"][0]["u_sigma"] = json!(-1.0);
    says(&wrong, &["sym_voltage_sensor 6", "u_sigma"]);
    let mut wrong = unmeasured();
    wrong["data"]["sym_voltage_sensor"][0]["id"] = json!(5);
    says(&wrong, &["5", "already used"]);
    says(&json!("not a network"), &["file"]);
    assert_eq!(status(&unmeasured(), &["--tolerance", "-1"]).0, Some(2));
    assert_eq!(status(&unmeasured(), &["--no-such-option"]).0, Some(2));
    // Both can't go to the same place.
    let output = busbar(&["-", "--report", "-"], Some(&unmeasured()));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        busbar(&["/nowhere/input.json"], None).status.code(),
        Some(65)
    );
    // A line of one phase has no positive sequence.
    let mut single = unmeasured();
    single["data"]["line"][0]["phases"] = json!("a");
    single["data"]
        .as_object_mut()
        .expect("it is one")
        .remove("sym_load");
    says(
        &single,
        &[
            "line 3 can only be computed by phase: it lacks phases",
            "--asymmetric",
        ],
    );
    // By phase a line needs its zero sequence.
    let (code, said) = status(&unmeasured(), &["--asymmetric"]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("line 3"), "{said}");
}
