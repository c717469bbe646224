//! What is offered: the residual curve of a case as the wire's document.

use protocols::opcua::message::{Corner, Offer, State};
use solver::{
    market::{
        clearing::{Case, Options},
        layers::{ResidualOptions, residual},
    },
    network::Grid,
};

/// What the exchange of a case is worth, as an offer of this start and number; limits that no exchange
/// keeps, and those that bind at the expected one, are added to the state.
///
/// # Errors
/// Why there is no curve.
pub fn offer(
    grid: &Grid,
    case: &Case,
    options: &Options,
    (interval, sequence): (i64, u32),
    mut state: State,
) -> Result<Offer, String> {
    let residual = residual(grid, case, options, &ResidualOptions::default());
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
        state,
    })
}
