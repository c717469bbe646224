//! Reading and writing power-grid-model's JSON, and what a faulty file is answered with.

use proptest::prelude::*;
use serde_json::{Value, json};
use solver::network::{Grid, NetworkError, UpdateError, pgm_json};
use solver::powerflow::{Options, PowerFlow, PowerFlowError, SymOutput};

const CIGRE: &str = include_str!("../../sim-rtu/data/cigre_mv.json");

fn small() -> Value {
    json!({
        "version": "1.0", "type": "input", "is_batch": false, "attributes": {},
        "data": {
            "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}, {"id": 3, "u_rated": 400.0}],
            "line": [{"id": 4, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
                "r1": 0.1, "x1": 0.1, "c1": 1e-6, "tan1": 0.0, "i_n": 300.0}],
            "transformer": [{"id": 5, "from_node": 2, "to_node": 3, "from_status": 1, "to_status": 1,
                "u1": 10e3, "u2": 400.0, "sn": 630e3, "uk": 0.06, "pk": 6e3, "i0": 0.01, "p0": 800.0,
                "winding_from": 2, "winding_to": 1, "clock": 5, "tap_side": 0, "tap_min": -3,
                "tap_max": 3, "tap_nom": 1, "tap_size": 250.0}],
            "source": [{"id": 6, "node": 1, "status": 1, "u_ref": 1.0}],
            "sym_load": [{"id": 7, "node": 3, "status": 1, "type": 0, "p_specified": 1e5, "q_specified": 1e4}]
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
fn what_is_written_reads_the_same() {
    let network = pgm_json::read(CIGRE).unwrap();
    assert_eq!(network.sym_gen.len(), 15);
    let text = pgm_json::write(&network);
    assert_eq!(pgm_json::read(&text).unwrap(), network);
    assert_eq!(text.lines().filter(|l| l.contains("\"id\"")).count(), 66);
}

#[test]
fn an_unset_tap_is_the_nominal_one_and_null_is_absent() {
    let mut document = small();
    document["data"]["line"][0]["i_n"] = Value::Null;
    document["data"]["source"][0]["sk"] = Value::Null;
    let network = pgm_json::read(&document.to_string()).unwrap();
    assert_eq!(network.transformer[0].tap_pos, 1);
    assert_eq!(network.line[0].i_n, None);
    assert_eq!(network.source[0].sk, 1e10);
    document["data"]["line"][0]["i_n"] = json!("inf");
    let unlimited = pgm_json::read(&document.to_string()).unwrap();
    assert_eq!(unlimited, network);
}

#[test]
fn rows_may_be_arrays_with_their_attributes_listed_once() {
    let plain = pgm_json::read(&small().to_string()).unwrap();
    let mut document = small();
    document["attributes"] = json!({"node": ["u_rated", "id"]});
    document["data"]["node"] = json!([[10e3, 1], [10e3, 2], [400.0, 3]]);
    assert_eq!(pgm_json::read(&document.to_string()).unwrap(), plain);
    document["data"]["node"] = json!([[10e3, 1], [10e3], [400.0, 3]]);
    let problems = problems(&document);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("node in row 1: must be an object, or an array"));
}

/// Shape first: nothing is computed from a file that can't be read entirely.
#[test]
fn everything_unreadable_is_named_at_once() {
    let mut document = small();
    let data = &mut document["data"];
    data["line"][0]["r1"] = json!("0.1");
    data["line"][0].as_object_mut().unwrap().remove("x1");
    data["line"][0]["tan_0"] = json!(3);
    data["transformer"][0]["clock"] = json!(500);
    data["sym_load"][0]["type"] = json!(7);
    data["sym_load"][0]["node"] = json!(1.5);
    data["source"][0].as_object_mut().unwrap().remove("id");
    data["asym_lime"] = json!([{"id": 90}, {"id": 91}]);
    data["shunt"] = json!({"id": 92});
    assert_eq!(
        problems(&document),
        [
            "asym_lime: is not supported (2 in the file)",
            "line 4, `tan_0`: is no attribute of this component; is it misspelt for `tan0`?",
            "line 4, `r1`: must be a finite number, is \"0.1\"",
            "line 4, `x1`: is missing",
            "shunt: must be an array of components, is an object",
            "source in row 0, `id`: is missing",
            "sym_load 7, `node`: must be an integer, is 1.5",
            "sym_load 7, `type`: must be 0 (power), 1 (impedance) or 2 (current), is 7",
            "transformer 5, `clock`: must be an 8-bit integer, is 500",
        ]
    );
}

#[test]
fn everything_impossible_is_named_at_once() {
    let mut document = small();
    let data = &mut document["data"];
    data["node"][0]["u_rated"] = json!(0);
    data["line"][0]["to_node"] = json!(77);
    data["line"][0]["i_n"] = json!(-1);
    data["line"][0]["from_status"] = json!(2);
    data["transformer"][0]["uk"] = json!(6);
    data["transformer"][0]["clock"] = json!(6);
    data["transformer"][0]["tap_pos"] = json!(9);
    data["transformer"][0]["sn"] = json!(-630e3);
    data["source"][0]["sk"] = json!(-1e9);
    data["sym_load"][0]["id"] = json!(4);
    assert_eq!(
        problems(&document),
        [
            "sym_load 4, `id`: is already used by line",
            "node 1, `u_rated`: value 0 is impossible: it must be above zero",
            "line 4, `to_node`: there is no node 77",
            "line 4, `from_status`: value 2 is impossible: it is neither 0 nor 1",
            "line 4, `i_n`: value -1 is impossible: it must be above zero",
            "transformer 5, `sn`: value -630000 is impossible: it must be above zero",
            "transformer 5, `uk`: value 6 is impossible: it must be below 1 (it is relative)",
            "transformer 5, `clock`: value 6 is impossible: these windings give an odd clock number",
            "transformer 5, `tap_pos`: value 9 is impossible: the taps are -3 to 3",
            "source 6, `sk`: value -1000000000 is impossible: it must be above zero",
        ]
    );
}

#[test]
fn what_is_no_input_data_set_is_refused() {
    let error = pgm_json::read("{\"data\": [}").unwrap_err();
    assert!(
        matches!(
            error,
            NetworkError::NotJson {
                line: 1,
                column: 11,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        problems(&json!([]))[0],
        "file, `data`: must be an object with `data`, is an array of 0"
    );
    assert_eq!(
        problems(&json!({"type": "input"})),
        ["file, `data`: is missing"]
    );
    let batch = json!({"type": "update", "is_batch": true, "data": []});
    assert_eq!(
        problems(&batch),
        [
            "file, `type`: must be \"input\", is \"update\"",
            "file, `is_batch`: must be false, is true",
            "file, `data`: must be an object of component tables, is an array of 0",
        ]
    );
}

/// A typed network is checked as a file is: not-a-number can't come from JSON.
#[test]
fn not_a_number_is_impossible() {
    let mut network = pgm_json::read(CIGRE).unwrap();
    network.line[0].r1 = f64::NAN;
    network.sym_load[0].p_specified = f64::INFINITY;
    let error = Grid::new(&network).unwrap_err();
    assert_eq!(
        error.problems(),
        [
            "line 15, `r1`: value NaN is impossible: it must be finite",
            "sym_load 31, `p_specified`: value inf is impossible: it must be finite",
        ]
    );
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut grid = Grid::new(&pgm_json::read(CIGRE).unwrap()).unwrap();
    let before = grid.clone();
    assert_eq!(
        grid.set_tap(91, 10).unwrap_err().to_string(),
        "transformer 91 has taps -9 to 9, not 10"
    );
    assert!(matches!(
        grid.set_tap(15, 0),
        Err(UpdateError::UnknownId { .. })
    ));
    assert!(grid.set_branch_status(0, true, true).is_err());
    assert!(grid.set_appliance(31, f64::NAN, 0.0).is_err());
    assert!(grid.set_source(30, -1.0, 0.0).is_err());
    assert!(grid.set_shunt_status(30, true).is_err());
    assert_eq!(grid, before);
}

fn update_problems(data: &Value) -> Vec<String> {
    let network = pgm_json::read(&small().to_string()).expect("it is whole");
    let update = json!({"version": "1.0", "type": "update", "is_batch": true, "attributes": {}, "data": data});
    match pgm_json::read_update(&update.to_string(), &network) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems(),
    }
}

#[test]
fn everything_wrong_in_a_batch_is_named_at_once() {
    let data = json!([
        {"sym_load": [{"p_specified": 5e4}], "source": [{"id": 6, "u_ref": 1.02}]},
        {"sym_load": [{"id": 8, "p_specified": 5e4}, {"id": 7, "node": 1}],
         "transformer": [{"id": 5, "tap_pos": 4}],
         "node": [{"u_rated": 1.0}]},
        {"line": [{"id": 4, "from_status": 2}, {"id": 4, "to_status": "open"}],
         "source": [{"id": 6, "u_reff": 1.0}]},
        [],
    ]);
    assert_eq!(
        update_problems(&data),
        [
            "scenario 1: node: has 1 rows without ids for 3 in the input",
            "scenario 1: sym_load 8, `id`: is not in the input",
            "scenario 1: sym_load 7, `node`: can't be changed by an update",
            "scenario 1: transformer 5, `tap_pos`: value 4 is impossible: the taps are -3 to 3",
            "scenario 2: line 4, `from_status`: value 2 is impossible: it is neither 0 nor 1",
            "scenario 2: line 4, `to_status`: must be an integer, is \"open\"",
            "scenario 2: source 6, `u_reff`: is no attribute of this component; is it misspelt for `u_ref`?",
            "scenario 3: file, `data`: must be an object of component tables, is an array of 0",
        ]
    );
}

#[test]
fn a_component_updated_twice_keeps_both_changes() {
    let network = pgm_json::read(&small().to_string()).unwrap();
    let update = json!({"type": "update", "is_batch": false, "data": {"sym_load": [
        {"id": 7, "p_specified": 1.0}, {"id": 7, "q_specified": 2.0}, {"id": 7, "p_specified": null}]}});
    let mut scenarios = pgm_json::read_update(&update.to_string(), &network).unwrap();
    let mut grid = Grid::new(&network).unwrap();
    grid.exchange(&mut scenarios[0]).unwrap();
    let load = &grid.network().sym_load[0];
    assert_eq!((load.p_specified, load.q_specified), (1.0, 2.0));
    grid.exchange(&mut scenarios[0]).unwrap();
    assert_eq!(grid, Grid::new(&network).unwrap());
}

#[test]
fn references_of_regulators_and_sensors_are_checked() {
    let mut document = small();
    let data = &mut document["data"];
    data["link"] =
        json!([{"id": 10, "from_node": 1, "to_node": 9, "from_status": 1, "to_status": 1}]);
    data["voltage_regulator"] = json!([
        {"id": 11, "regulated_object": 7, "status": 1, "u_ref": 1.0, "q_min": "-inf", "q_max": 1e6},
        {"id": 12, "regulated_object": 7, "status": 1, "u_ref": 1.0},
        {"id": 13, "regulated_object": 5, "status": 1}]);
    data["transformer_tap_regulator"] = json!([
        {"id": 14, "regulated_object": 5, "status": 1, "control_side": 2, "u_set": 400.0, "u_band": 10.0}]);
    data["sym_power_sensor"] = json!([
        {"id": 15, "measured_object": 4, "measured_terminal_type": 4, "power_sigma": "inf"}]);
    data["asym_voltage_sensor"] = json!([
        {"id": 16, "measured_object": 1, "u_sigma": 1.0, "u_measured": [1.0, 2.0]}]);
    assert_eq!(
        problems(&document),
        [
            "asym_voltage_sensor 16, `u_measured`: must be three finite numbers, of the phases a, b, c, is an array of 2"
        ]
    );
    document["data"]["asym_voltage_sensor"] = json!([]);
    assert_eq!(
        problems(&document),
        [
            "voltage_regulator 12, `regulated_object`: 7 is already regulated by 11",
            "link 10, `to_node`: there is no node 9",
            "transformer_tap_regulator 14, `control_side`: value 2 is impossible: the transformer has no such side",
            "voltage_regulator 13, `regulated_object`: 5 is no load or generator",
            "voltage_regulator 13, `u_ref`: is missing",
            "sym_power_sensor 15, `measured_object`: 4 is no load",
        ]
    );
}

/// Reading what is written gives the same, every kind of component included.
#[test]
fn every_component_is_written_as_it_was_read() {
    for case in [
        "mixed-by-phase",
        "three-winding-transformer",
        "dummy-test-batch-shunt",
    ] {
        let root =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/power_flow");
        let text = std::fs::read_to_string(root.join(case).join("input.json")).unwrap();
        let network = pgm_json::read(&text).unwrap();
        assert_eq!(pgm_json::read(&pgm_json::write(&network)).unwrap(), network);
    }
    let mut document = small();
    document["data"]["voltage_regulator"] = json!([
        {"id": 11, "regulated_object": 7, "status": 1, "u_ref": 1.0, "q_min": "-inf", "q_max": 1e6}]);
    document["data"]["fault"] = json!([{"id": 12, "status": 1, "fault_object": 2}]);
    let network = pgm_json::read(&document.to_string()).unwrap();
    assert_eq!(network.voltage_regulator[0].q_min, Some(f64::NEG_INFINITY));
    assert_eq!(pgm_json::read(&pgm_json::write(&network)).unwrap(), network);
}

#[test]
fn a_power_flow_without_solution_says_where() {
    let mut grid = Grid::new(&pgm_json::read(CIGRE).unwrap()).unwrap();
    let mut solver = PowerFlow::new(&grid);
    grid.set_appliance(48, 80e6, 20e6).unwrap();
    let error = solver
        .run(&grid, &[], None, &Options::default())
        .unwrap_err();
    let PowerFlowError::NotConverged {
        node, mismatch_w, ..
    } = error
    else {
        panic!("{error}");
    };
    assert!([13, 14].contains(&node) && mismatch_w > 1e5, "{error}");
    // The same solver answers again when the load is gone.
    grid.set_appliance(48, 0.0, 0.0).unwrap();
    assert!(solver.run(&grid, &[], None, &Options::default()).is_ok());
}

#[test]
fn the_output_is_a_sym_output_data_set() {
    let grid = Grid::new(&pgm_json::read(&small().to_string()).unwrap()).unwrap();
    let output = SymOutput::solve(&grid, &Options::default()).unwrap();
    let document: Value = serde_json::from_str(&output.to_json()).unwrap();
    assert_eq!(document["type"], "sym_output");
    assert_eq!(document["is_batch"], false);
    assert_eq!(document["data"]["node"][2]["id"], 3);
    let load = &document["data"]["sym_load"][0];
    assert_eq!(load["p"].as_f64().unwrap().round(), 1e5);
    let pf = 1e5 / 1e5_f64.hypot(1e4);
    assert!((load["pf"].as_f64().unwrap() - pf).abs() < 1e-12);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let grid = Grid::new(&pgm_json::read(CIGRE).unwrap()).unwrap();
    let other = Grid::new(&pgm_json::read(&small().to_string()).unwrap()).unwrap();
    let mut solver = PowerFlow::new(&grid);
    let options = Options::default();
    let error = solver.run(&other, &[], None, &options).unwrap_err();
    assert_eq!(error, PowerFlowError::OtherGrid);
    let mut injections = vec![num_complex::Complex64::ZERO; 3];
    let error = solver.run(&grid, &injections, None, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "injections has 3 values for a grid of 15 nodes"
    );
    injections.resize(15, num_complex::Complex64::ZERO);
    injections[4].im = f64::NAN;
    let error = solver.run(&grid, &injections, None, &options).unwrap_err();
    assert_eq!(error.to_string(), "injections of node 4 is not finite");
}

/// Replaces the value at a place in the document, given by one number per level.
fn replace(value: &mut Value, path: &[prop::sample::Index], replacement: Value) {
    match (path.split_first(), value) {
        (Some((index, rest)), Value::Object(map)) if !map.is_empty() => {
            let at = index.index(map.len());
            let child = map.values_mut().nth(at).expect("below its length");
            replace(child, rest, replacement);
        }
        (Some((index, rest)), Value::Array(list)) if !list.is_empty() => {
            let at = index.index(list.len());
            replace(&mut list[at], rest, replacement);
        }
        (_, value) => *value = replacement,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever one value is replaced by, reading answers, and what it accepts can be solved
    /// or is refused with an error.
    #[test]
    fn no_value_makes_it_panic(
        path in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        replacement in prop_oneof![
            Just(Value::Null),
            Just(json!({})),
            Just(json!([])),
            Just(json!("x")),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-12_i64..12).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-1.0_f64..1.0).prop_map(Value::from),
        ],
    ) {
        let mut document = small();
        replace(&mut document, &path, replacement);
        if let Ok(network) = pgm_json::read(&document.to_string()) {
            let grid = Grid::new(&network).expect("reading has checked it");
            let _ = PowerFlow::new(&grid).run(&grid, &[], None, &Options::default());
        }
    }

    #[test]
    fn no_text_makes_it_panic(at in 0..CIGRE.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = CIGRE.as_bytes().to_vec();
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let _ = pgm_json::read(&String::from_utf8_lossy(&bytes));
    }
}
