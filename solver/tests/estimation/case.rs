//! Cases in power-grid-model's JSON, sensors included.

use std::path::Path;

use serde_json::Value;
use solver::estimation::{Kind, Measurement, Origin, Phase};
use solver::network::{Grid, Id, Side, pgm_json};

/// A network and its measurements.
pub(crate) struct Case {
    pub(crate) grid: Grid,
    pub(crate) measurements: Vec<Measurement>,
}

impl Case {
    /// Reads an `input.json`.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut document: Value = serde_json::from_str(&text).unwrap();
        let data = document["data"].as_object_mut().unwrap();
        let mut take = |table: &str| match data.remove(table) {
            Some(Value::Array(rows)) => rows,
            _ => Vec::new(),
        };
        let (voltages, powers) = (take("sym_voltage_sensor"), take("sym_power_sensor"));
        // Estimation needs neither the kind nor the specified power, nor the source's voltage, and some cases leave them out.
        for table in ["sym_load", "sym_gen"] {
            for row in data
                .get_mut(table)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                row["type"] = 0.into();
                row["p_specified"] = 0.0.into();
                row["q_specified"] = 0.0.into();
            }
        }
        for row in data
            .get_mut("source")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if row.get("u_ref").is_none() {
                row["u_ref"] = 1.0.into();
            }
        }
        let network = pgm_json::read(&document.to_string()).unwrap();
        let mut measurements = Vec::new();
        for sensor in &voltages {
            voltage(&network_u_rated(&network), sensor, &mut measurements);
        }
        for sensor in &powers {
            power(sensor, &mut measurements);
        }
        Self {
            grid: Grid::new(&network).unwrap(),
            measurements,
        }
    }
}

fn network_u_rated(network: &solver::network::Network) -> impl Fn(Id) -> f64 + '_ {
    |id| network.node.iter().find(|n| n.id == id).unwrap().u_rated
}

/// A meter's measurement.
pub(crate) fn metered(kind: Kind, value: f64, sigma: f64) -> Measurement {
    Measurement {
        kind,
        phase: Phase::Sym,
        value,
        sigma,
        origin: Origin::Metered,
    }
}

fn number(sensor: &Value, attribute: &str) -> Option<f64> {
    match &sensor[attribute] {
        Value::String(infinite) if infinite == "inf" => Some(f64::INFINITY),
        value => value.as_f64(),
    }
}

fn voltage(u_rated: &impl Fn(Id) -> f64, sensor: &Value, into: &mut Vec<Measurement>) {
    let node = sensor["measured_object"].as_i64().unwrap() as Id;
    let (Some(value), Some(sigma)) = (number(sensor, "u_measured"), number(sensor, "u_sigma"))
    else {
        return;
    };
    into.push(metered(Kind::Voltage { node }, value, sigma));
    if let Some(angle) = number(sensor, "u_angle_measured") {
        into.push(metered(
            Kind::VoltageAngle { node },
            angle,
            sigma / u_rated(node),
        ));
    }
}

fn power(sensor: &Value, into: &mut Vec<Measurement>) {
    let object = sensor["measured_object"].as_i64().unwrap() as Id;
    let branch = |side| {
        (
            Kind::BranchP {
                branch: object,
                side,
            },
            Kind::BranchQ {
                branch: object,
                side,
            },
        )
    };
    let kinds = match sensor["measured_terminal_type"].as_i64().unwrap() {
        0 => branch(Side::From),
        1 => branch(Side::To),
        2 => (
            Kind::SourceP { source: object },
            Kind::SourceQ { source: object },
        ),
        4 | 5 => (
            Kind::ApplianceP { appliance: object },
            Kind::ApplianceQ { appliance: object },
        ),
        9 => (Kind::NodeP { node: object }, Kind::NodeQ { node: object }),
        other => panic!("no test data has terminal type {other}"),
    };
    // One standard deviation for the complex power is shared evenly by its parts.
    let shared = number(sensor, "power_sigma").map(|sigma| sigma / 2.0_f64.sqrt());
    for (kind, value, sigma) in [
        (kinds.0, "p_measured", "p_sigma"),
        (kinds.1, "q_measured", "q_sigma"),
    ] {
        if let (Some(value), Some(sigma)) =
            (number(sensor, value), number(sensor, sigma).or(shared))
        {
            into.push(metered(kind, value, sigma));
        }
    }
}
