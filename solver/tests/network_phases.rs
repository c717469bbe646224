//! The attributes beyond power-grid-model's format: read, written, and what a faulty file is
//! answered with. Format: `docs/network-format.md`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use solver::network::pgm_json;

fn feeder(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ieee");
    fs::read_to_string(root.join(name).join("input.json")).expect("the case is in the repository")
}

#[test]
fn what_is_written_reads_the_same() {
    for name in ["4_dy", "13", "34", "37", "123"] {
        let network = pgm_json::read(&feeder(name)).expect("the case is right");
        assert_eq!(network.frequency(), 60.0);
        let again = pgm_json::read(&pgm_json::write(&network)).expect("what was written is right");
        assert_eq!(again, network, "IEEE {name}");
    }
}

/// A line of phases b and c, and what may hang on it.
fn small() -> Value {
    json!({
        "version": "1.0", "type": "input", "is_batch": false, "attributes": {},
        "data": {
            "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}, {"id": 3, "u_rated": 10e3}],
            "source": [{"id": 10, "node": 1, "status": 1, "u_ref": 1.0}],
            "asym_line": [{"id": 4, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1, "phases": "bc",
                "r_bb": 1.0, "x_bb": 1.0, "r_cb": 0.1, "x_cb": 0.1, "r_cc": 1.0, "x_cc": 1.0,
                "c_bb": 0.0, "c_cb": 0.0, "c_cc": 0.0}],
            "step_voltage_regulator": [{"id": 5, "from_node": 1, "to_node": 3, "from_status": 1, "to_status": 1,
                "phases": "cb", "connection": "delta", "u_set": 120.0, "u_band": 2.0, "pt_ratio": 80.0,
                "ct_rating": 100.0, "r_compensation": 3.0}],
            "link": [{"id": 6, "from_node": 1, "to_node": 3, "from_status": 1, "to_status": 1, "phases": "b"}],
            "shunt": [{"id": 7, "node": 2, "status": 1, "g1": 0.0, "b1": 1e-4, "phases": "b", "u_on": 9.8e3, "u_off": 10.4e3}],
            "asym_load": [{"id": 8, "node": 2, "status": 1, "type": 0, "connection": "delta",
                "p_specified": [0.0, 1e3, 0.0], "q_specified": [0.0, 0.0, 0.0]}]
        }
    })
}

fn problems(document: &Value) -> Vec<String> {
    match pgm_json::read(&document.to_string()) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems(),
    }
}

#[test]
fn every_fault_is_named_with_component_id_and_attribute() {
    assert_eq!(problems(&small()), Vec::<String>::new());
    let faults = [
        (
            "asym_line",
            "phases",
            json!("bb"),
            "asym_line 4, `phases`: must be one to three of the phases a, b, c",
        ),
        (
            "asym_line",
            "phases",
            json!(2),
            "asym_line 4, `phases`: must be one to three of the phases a, b, c",
        ),
        (
            "asym_line",
            "r_cb",
            Value::Null,
            "asym_line 4, `r_cb`: is missing",
        ),
        (
            "asym_line",
            "c_cc",
            Value::Null,
            "asym_line 4, `c_cc`: is missing",
        ),
        (
            "asym_line",
            "r_aa",
            json!(1.0),
            "asym_line 4, `r_aa`: value 1 is impossible: it has the phases bc only",
        ),
        (
            "asym_line",
            "c_ba",
            json!(1e-9),
            "asym_line 4, `c_ba`: value 0.000000001 is impossible: it has the phases bc only",
        ),
        (
            "step_voltage_regulator",
            "phases",
            json!("abc"),
            "step_voltage_regulator 5, `phases`: can't be: a unit in delta stands between two phases",
        ),
        (
            "step_voltage_regulator",
            "connection",
            json!("star"),
            "step_voltage_regulator 5, `connection`: must be \"wye\" or \"delta\"",
        ),
        (
            "step_voltage_regulator",
            "regulator_type",
            json!("c"),
            "step_voltage_regulator 5, `regulator_type`: must be \"a\" or \"b\"",
        ),
        (
            "step_voltage_regulator",
            "tap_pos",
            json!(17),
            "step_voltage_regulator 5, `tap_pos`: value 17 is impossible: the taps are -16 to 16",
        ),
        (
            "step_voltage_regulator",
            "tap_size",
            json!(0.07),
            "step_voltage_regulator 5, `tap_size`: value 0.07 is impossible",
        ),
        (
            "step_voltage_regulator",
            "u_band",
            Value::Null,
            "step_voltage_regulator 5, `u_band`: is missing",
        ),
        (
            "step_voltage_regulator",
            "ct_rating",
            Value::Null,
            "step_voltage_regulator 5, `ct_rating`: is missing",
        ),
        (
            "step_voltage_regulator",
            "from_node",
            json!(9),
            "step_voltage_regulator 5, `from_node`: there is no node 9",
        ),
        (
            "shunt",
            "phases",
            json!("a"),
            "shunt 7, `phases`: can't be: its node does not have them all",
        ),
        (
            "shunt",
            "connection",
            json!("delta"),
            "shunt 7, `phases`: can't be: a delta stands between two or three phases",
        ),
        (
            "shunt",
            "b0",
            json!(0.0),
            "shunt 7, `b0`: can't be: without three phases it is that of each of them",
        ),
        (
            "shunt",
            "u_off",
            Value::Null,
            "shunt 7, `u_off`: is missing",
        ),
        (
            "shunt",
            "u_off",
            json!(9.7e3),
            "shunt 7, `u_off`: value 9700 is impossible: it must be above u_on",
        ),
        (
            "asym_load",
            "p_specified",
            json!([1.0, 0.0, 0.0]),
            "asym_load 8, `p_specified`: value 1 is impossible: its phases do not reach the node",
        ),
        (
            "asym_load",
            "u_min",
            json!(0.0),
            "asym_load 8, `u_min`: value 0 is impossible",
        ),
    ];
    for (table, attribute, value, expected) in faults {
        let mut document = small();
        document["data"][table][0][attribute] = value;
        let found = problems(&document);
        assert!(
            found.iter().any(|p| p.starts_with(expected)),
            "{expected}, found {found:?}"
        );
    }
}

#[test]
fn a_misspelt_attribute_is_not_left_out() {
    let mut document = small();
    let line = &mut document["data"]["asym_line"][0];
    line["phases"] = Value::Null;
    line["phasse"] = json!("bc");
    let found = problems(&document);
    let expected =
        "asym_line 4, `phasse`: is no attribute of this component; is it misspelt for `phases`?";
    assert!(found.iter().any(|p| p == expected), "{found:?}");
}

#[test]
fn what_needs_three_phases_says_so() {
    let mut document = small();
    document["data"]["sym_gen"] = json!([{"id": 20, "node": 2, "status": 1, "type": 0}]);
    document["data"]["transformer"] = json!([{"id": 21, "from_node": 1, "to_node": 3, "from_status": 1, "to_status": 1,
        "phases": "a", "u1": 10e3, "u2": 10e3, "sn": 630e3, "uk": 0.06, "pk": 6e3, "i0": 0.01, "p0": 800.0,
        "winding_from": 2, "winding_to": 1, "clock": 5, "tap_side": 0, "tap_min": 0, "tap_max": 0, "tap_size": 0.0}]);
    document["system_frequency"] = json!(-50);
    let found = problems(&document);
    assert!(
        found[0].starts_with("file, `system_frequency`: must be a frequency in Hz"),
        "{found:?}"
    );
    document["system_frequency"] = json!(50);
    let found = problems(&document).join("\n");
    assert!(
        found.contains("sym_gen 20, `node`: can't be: not all phases reach it"),
        "{found}"
    );
    assert!(
        found.contains("transformer 21, `phases`: can't be: only wye-n to wye-n"),
        "{found}"
    );
}

#[test]
fn updates_are_checked_against_the_phases() {
    let network = pgm_json::read(&small().to_string()).expect("it is right");
    let update = |table: &str, row: Value| {
        let document = json!({"version": "1.0", "type": "update", "is_batch": true, "attributes": {}, "data": [{table: [row]}]});
        match pgm_json::read_update(&document.to_string(), &network) {
            Ok(scenarios) => {
                assert_eq!(scenarios[0].changes.len(), 1);
                Vec::new()
            }
            Err(error) => error.problems(),
        }
    };
    assert_eq!(
        update("step_voltage_regulator", json!({"id": 5, "tap_pos": -3})),
        Vec::<String>::new()
    );
    let found = update(
        "asym_load",
        json!({"id": 8, "p_specified": [0.0, 1.0, 2.0]}),
    );
    assert_eq!(
        found,
        [
            "scenario 0: asym_load 8, `p_specified`: value 2 is impossible: its phases do not reach the node"
        ]
    );
    let found = update("asym_line", json!({"id": 4, "phases": "b"}));
    assert_eq!(
        found,
        ["scenario 0: asym_line 4, `phases`: can't be changed by an update"]
    );
}
