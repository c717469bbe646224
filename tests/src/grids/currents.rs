//! Meters of current phasors: magnitude, and the angle against the local voltage (that of the power)
//! or the network's.

use rand::{Rng, rngs::StdRng};
use serde_json::{Value, json};

use super::data::Data;
use super::sensors::{Rows, normal, numbers, scale};

/// Standard deviation of the angle, rad.
const ANGLE_SIGMA: f64 = 0.02;
/// Standard deviations that the least current must be above zero: below, its angle is noise.
const TELLING: f64 = 5.0;

/// Node, and attributes of active and reactive power and current, at a terminal of a branch.
fn attributes(terminal: i64) -> Option<[&'static str; 4]> {
    Some(match terminal {
        0 => ["from_node", "p_from", "q_from", "i_from"],
        1 => ["to_node", "p_to", "q_to", "i_to"],
        6 => ["node_1", "p_1", "q_1", "i_1"],
        7 => ["node_2", "p_2", "q_2", "i_2"],
        8 => ["node_3", "p_3", "q_3", "i_3"],
        _ => return None,
    })
}

/// Magnitude and angle in each phase of the current that a meter sees, as an output data set has it.
fn seen(input: &Data, rows: &Rows<'_>, meter: &Value) -> Option<Vec<(f64, f64)>> {
    let [node, p, q, i] = attributes(meter["measured_terminal_type"].as_i64()?)?;
    let (component, row) = rows.get(&meter["measured_object"].as_i64()?)?;
    let own = input.rows(component).iter();
    let own = own
        .clone()
        .find(|own| own["id"] == meter["measured_object"])?;
    let (_, at) = rows.get(&own[node].as_i64()?)?;
    let powers = numbers(&row[p]).into_iter().zip(numbers(&row[q]));
    let angles = powers.zip(numbers(&at["u_angle"])).map(|((p, q), u)| {
        let local = q.atan2(p);
        match meter["angle_measurement_type"] == 1 {
            true => u - local,
            false => local,
        }
    });
    Some(numbers(&row[i]).into_iter().zip(angles).collect())
}

/// A meter at this terminal; none where the current is too small to have an angle. `floor`: the
/// least standard deviation of a power, W.
pub(super) fn meter(
    input: &Data,
    rows: &Rows<'_>,
    (object, terminal): (i64, i64),
    global: bool,
    floor: f64,
) -> Option<Value> {
    let [node, .., i] = attributes(terminal)?;
    let (component, row) = rows.get(&object)?;
    let own = input
        .rows(component)
        .iter()
        .find(|own| own["id"] == object)?;
    let at = input.rows("node").iter().find(|n| n["id"] == own[node])?;
    let sigma = 0.01 * scale(&row[i]) + floor / at["u_rated"].as_f64()?;
    let least = numbers(&row[i]).into_iter().fold(f64::INFINITY, f64::min);
    (least > TELLING * sigma).then(|| {
        json!({
            "measured_object": object, "measured_terminal_type": terminal,
            "angle_measurement_type": i32::from(global),
            "i_sigma": sigma, "i_angle_sigma": ANGLE_SIGMA,
        })
    })
}

/// What a meter reads, with noise.
pub(super) fn read(
    input: &Data,
    rows: &Rows<'_>,
    meter: &Value,
    random: &mut StdRng,
) -> Option<Value> {
    let sigma = [&meter["i_sigma"], &meter["i_angle_sigma"]].map(Value::as_f64);
    let [i_sigma, angle_sigma] = [sigma[0]?, sigma[1]?];
    let noisy: Vec<(f64, f64)> = (seen(input, rows, meter)?.into_iter())
        .map(|(i, angle)| {
            let i = i + i_sigma * normal(random);
            (i, angle + angle_sigma * normal(random))
        })
        .collect();
    let (i, angle): (Vec<f64>, Vec<f64>) = noisy.into_iter().unzip();
    let form = |values: Vec<f64>| match values[..] {
        [one] => json!(one),
        _ => json!(values),
    };
    Some(json!({
        "id": meter["id"], "i_measured": form(i), "i_angle_measured": form(angle),
    }))
}

/// Squares of the residuals along and across the measured direction over their standard
/// deviations: the likelihood of magnitude and angle to first order.
pub(super) fn objective(input: &Data, rows: &Rows<'_>, meter: &Value, read: &Value) -> Option<f64> {
    let sigma = [&meter["i_sigma"], &meter["i_angle_sigma"]].map(Value::as_f64);
    let [i_sigma, angle_sigma] = [sigma[0]?, sigma[1]?];
    let measured = numbers(&read["i_measured"])
        .into_iter()
        .zip(numbers(&read["i_angle_measured"]));
    let squares = seen(input, rows, meter)?.into_iter().zip(measured).map(
        |((i, angle), (i_measured, direction))| {
            let along = (i_measured - i * (angle - direction).cos()) / i_sigma;
            let across_sigma = i_measured.hypot(i_sigma) * angle_sigma;
            let across = i * (angle - direction).sin() / across_sigma;
            along.powi(2) + across.powi(2)
        },
    );
    Some(squares.sum())
}

/// This branch end has a current meter instead of a power meter.
pub(super) fn chosen(share: f64, random: &mut StdRng) -> bool {
    share > 0.0 && random.random_bool(share)
}
