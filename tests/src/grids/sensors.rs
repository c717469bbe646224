//! Meters in a network whose power flow is solved, and the objective of an estimate by what its
//! output says of each: both from data sets alone, so that anybody's output will do.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::currents;
use super::data::{Data, update};

/// Which things have a meter, and how exact it is. Loads, generators and sources always have one:
/// together with a voltage that makes everything observable.
#[derive(Clone, Copy, Debug)]
pub struct Meters {
    /// Meters of each phase instead of one for all.
    pub by_phase: bool,
    /// Share of nodes with a voltage meter; the sources' always have one.
    pub voltages: f64,
    /// Share of branch ends with a power meter.
    pub flows: f64,
    /// Share of nodes with a meter of what they inject.
    pub injections: f64,
    /// Share of those branch ends whose meter sees the current phasor instead of the power: against
    /// the local voltage, or, where angles are measured, against the network's angle.
    pub currents: f64,
    /// The voltage meters at sources measure angles as well.
    pub angle: bool,
}

/// A row of an output data set, by id.
pub(super) type Rows<'a> = BTreeMap<i64, (&'a str, &'a Value)>;

fn by_id(output: &Value) -> Rows<'_> {
    let mut rows = Rows::new();
    for (component, table) in output.as_object().into_iter().flatten() {
        for row in table.as_array().into_iter().flatten() {
            if let Some(id) = row["id"].as_i64() {
                rows.insert(id, (component.as_str(), row));
            }
        }
    }
    rows
}

/// Attributes of the power that a meter of this terminal type sees.
fn power_names(terminal: i64) -> Option<(&'static str, &'static str)> {
    Some(match terminal {
        0 => ("p_from", "q_from"),
        1 => ("p_to", "q_to"),
        2..=5 | 9 => ("p", "q"),
        6 => ("p_1", "q_1"),
        7 => ("p_2", "q_2"),
        8 => ("p_3", "q_3"),
        _ => return None,
    })
}

/// A terminal of a branch or three-winding transformer.
fn is_branch(terminal: i64) -> bool {
    matches!(terminal, 0 | 1 | 6..=8)
}

impl Meters {
    /// Adds the meters to `input`, with the values of the power flow's output.
    pub fn add(&self, input: &mut Data, output: &Value, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed ^ 0x5e75);
        let sources = input.rows("source").iter().map(|s| s["node"].clone());
        let sources: Vec<Value> = sources.collect();
        let rows = by_id(output);
        let mut meters = Vec::new();
        // Meters are made for what the network carries.
        let powers = rows
            .values()
            .filter(|(component, _)| *component == "source");
        let largest = powers.map(|(_, row)| scale(&row["p"]).max(scale(&row["q"])));
        let floor = 100.0 + 1e-4 * largest.fold(0.0, f64::max);
        let rated = input
            .rows("node")
            .iter()
            .map(|n| (n["id"].as_i64(), n["u_rated"].as_f64()));
        let rated: BTreeMap<_, _> = rated.collect();
        for (&id, &(component, row)) in &rows {
            let terminals: &[i64] = match component {
                "node" => {
                    let at_source = sources.contains(&row["id"]);
                    if at_source || random.random_bool(self.voltages) {
                        let u = rated[&Some(id)].unwrap_or(0.0);
                        let sigma = if self.by_phase { u / 3.0_f64.sqrt() } else { u } * 0.003;
                        let mut meter = json!({"measured_object": id, "u_sigma": sigma, "u_measured": row["u"]});
                        if self.angle && at_source {
                            meter["u_angle_measured"] = row["u_angle"].clone();
                        }
                        meters.push((self.component("voltage_sensor"), meter));
                    }
                    if random.random_bool(self.injections) {
                        &[9]
                    } else {
                        &[]
                    }
                }
                "source" => &[2],
                "sym_load" | "asym_load" => &[4],
                "sym_gen" | "asym_gen" => &[5],
                "three_winding_transformer" if random.random_bool(self.flows) => &[6, 7],
                "line" | "transformer" | "asym_line" | "generic_branch" => {
                    [&[][..], &[0], &[1], &[0, 1]][usize::from(random.random_bool(self.flows))
                        + 2 * usize::from(random.random_bool(self.flows))]
                }
                _ => &[],
            };
            for &terminal in terminals {
                let Some((p, q)) = power_names(terminal) else {
                    continue;
                };
                if is_branch(terminal) && currents::chosen(self.currents, &mut random) {
                    let global = self.angle && random.random_bool(0.5);
                    if let Some(meter) =
                        currents::meter(input, &rows, (id, terminal), global, floor)
                    {
                        meters.push((self.component("current_sensor"), meter));
                        continue;
                    }
                }
                let size = scale(&row[p]).hypot(scale(&row[q]));
                let meter = json!({
                    "measured_object": id, "measured_terminal_type": terminal,
                    "power_sigma": 0.02 * size + floor, "p_measured": row[p], "q_measured": row[q],
                });
                meters.push((self.component("power_sensor"), meter));
            }
        }
        for (component, meter) in meters {
            input.add(component, meter);
        }
    }

    fn component(&self, kind: &str) -> &'static str {
        match (self.by_phase, kind) {
            (true, "voltage_sensor") => "asym_voltage_sensor",
            (false, "voltage_sensor") => "sym_voltage_sensor",
            (true, "current_sensor") => "asym_current_sensor",
            (false, "current_sensor") => "sym_current_sensor",
            (true, _) => "asym_power_sensor",
            (false, _) => "sym_power_sensor",
        }
    }
}

/// Largest absolute value of a number or of those of the phases.
pub(super) fn scale(value: &Value) -> f64 {
    numbers(value).iter().fold(0.0, |a, b| a.max(b.abs()))
}

/// A number, or those of the phases.
#[must_use]
pub fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_f64).collect(),
        one => one.as_f64().into_iter().collect(),
    }
}

/// Scenarios of noisy readings of every meter, each around one of the outputs.
#[must_use]
pub fn readings(input: &Data, outputs: &[Value], seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed ^ 0x0153);
    let scenarios = outputs.iter().map(|output| {
        let rows = by_id(output);
        let mut scenario = Map::new();
        for (component, meters) in &input.tables {
            if !component.ends_with("_sensor") {
                continue;
            }
            let read = meters.iter().map(|meter| {
                let current = currents::read(input, &rows, meter, &mut random);
                current.unwrap_or_else(|| read(meter, &rows, &mut random))
            });
            scenario.insert(component.clone(), json!(read.collect::<Vec<_>>()));
        }
        scenario
    });
    update(scenarios.collect())
}

fn read(meter: &Value, rows: &Rows<'_>, random: &mut StdRng) -> Value {
    let object = meter["measured_object"].as_i64().unwrap_or(-1);
    let truth = rows.get(&object).map_or(&Value::Null, |(_, row)| *row);
    let mut noisy = |value: &Value, sigma: f64| {
        let values: Vec<f64> = (numbers(value).iter())
            .map(|v| v + sigma * normal(random))
            .collect();
        if value.is_array() {
            json!(values)
        } else {
            json!(values.first())
        }
    };
    if let Some(sigma) = meter["u_sigma"].as_f64() {
        let mut reading = json!({"id": meter["id"], "u_measured": noisy(&truth["u"], sigma)});
        if !meter["u_angle_measured"].is_null() {
            let relative = sigma / scale(&meter["u_measured"]);
            reading["u_angle_measured"] = noisy(&truth["u_angle"], relative);
        }
        return reading;
    }
    let (p, q) = meter["measured_terminal_type"]
        .as_i64()
        .and_then(power_names)
        .unwrap_or(("p", "q"));
    let sigma = meter["power_sigma"].as_f64().unwrap_or(0.0) / 2.0_f64.sqrt();
    json!({"id": meter["id"], "p_measured": noisy(&truth[p], sigma), "q_measured": noisy(&truth[q], sigma)})
}

/// A draw of the standard normal distribution (Box and Muller, 1958).
pub(super) fn normal(random: &mut StdRng) -> f64 {
    let (a, b): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

/// Sum of the squares of every meter's residual over its standard deviation; `readings` is one
/// scenario of an update data set. Powers' standard deviation is shared evenly by active and
/// reactive power; a current's are those along and across its measured direction. Meters of what is not energised do not count.
#[must_use]
pub fn objective(input: &Data, readings: &Value, output: &Value) -> f64 {
    let rows = by_id(output);
    let mut sum = 0.0;
    for (component, read) in readings.as_object().into_iter().flatten() {
        let meters = input.rows(component);
        for (meter, read) in meters.iter().zip(read.as_array().into_iter().flatten()) {
            let object = meter["measured_object"].as_i64().unwrap_or(-1);
            let Some((_, row)) = rows.get(&object) else {
                continue;
            };
            if row["energized"] == 0 {
                continue;
            }
            if component.ends_with("_current_sensor") {
                sum += currents::objective(input, &rows, meter, read).unwrap_or(f64::NAN);
                continue;
            }
            let mut add = |measured: &str, estimated: &str, sigma: f64| {
                let (a, b) = (numbers(&read[measured]), numbers(&row[estimated]));
                sum += if a.len() == b.len() {
                    let squares = a.iter().zip(&b).map(|(a, b)| ((a - b) / sigma).powi(2));
                    squares.sum::<f64>()
                } else {
                    f64::NAN
                };
            };
            if let Some(sigma) = meter["u_sigma"].as_f64() {
                add("u_measured", "u", sigma);
                if !read["u_angle_measured"].is_null() {
                    // As exact as the magnitude, against the rated voltage.
                    let u = numbers(&row["u"]).first().copied().unwrap_or(0.0);
                    let u_pu = numbers(&row["u_pu"]).first().copied().unwrap_or(0.0);
                    add("u_angle_measured", "u_angle", sigma * u_pu / u);
                }
            } else if let (Some(sigma), Some((p, q))) = (
                meter["power_sigma"].as_f64(),
                meter["measured_terminal_type"]
                    .as_i64()
                    .and_then(power_names),
            ) {
                let sigma = sigma / 2.0_f64.sqrt();
                add("p_measured", p, sigma);
                add("q_measured", q, sigma);
            }
        }
    }
    sum
}
