//! What is offered: the residual curve of a case as the wire's document.

use protocols::opcua::message::{Corner, Offer, State, Voltage};
use solver::{
    market::{
        clearing::{Case, Options},
        layers::{self, ResidualOptions, residual},
    },
    network::Grid,
};

/// What the exchange of a case is worth behind a voltage (pu; none: the network's own), as an offer of this start
/// and number; limits that no exchange
/// keeps, and those that bind at the expected one, are added to the state.
///
/// # Errors
/// Why there is no curve.
pub fn offer(
    grid: &Grid,
    case: &Case,
    u_pu: Option<f64>,
    options: &Options,
    (interval, sequence): (i64, u32),
    mut state: State,
) -> Result<Offer, String> {
    let mut case = case.clone();
    for of in &mut case.interface {
        of.u_pu = u_pu;
    }
    let residual = residual(grid, &case, options, &ResidualOptions::default());
    let residual = residual.map_err(|error| error.to_string())?;
    let corners = residual.corners.iter().map(|corner| Corner {
        exchange_w: corner.exchange_w,
        price: corner.price.0,
        q_var: corner.q_var,
    });
    let curve: Vec<Corner> = corners.collect();
    let limits = residual.violated.iter().chain(&residual.binding);
    state.limits.extend(limits.map(ToString::to_string));
    Ok(Offer {
        interval,
        length_s: case.duration_s,
        sequence,
        forecast_w: residual.forecast_w,
        curve,
        q_min_var: residual.q_min_var,
        q_max_var: residual.q_max_var,
        voltage: residual.voltage.as_ref().map(voltage),
        state,
    })
}

fn voltage(of: &layers::Voltage) -> Voltage {
    let millionths = |value: f64| (value * 1e6).round() as i64;
    let corners = of.corners.iter();
    Voltage {
        r_ohm: of.r_ohm,
        x_ohm: of.x_ohm,
        corners: corners
            .map(|of| (millionths(of.u_pu), millionths(of.cost_per_h)))
            .collect(),
    }
}
