//! Units that are held at a power, whatever the market says: who holds which, and the operator's own holds.
//! `docs/authority.md` says who outranks whom.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};

use super::super::{
    api::{HoldView, NewHold},
    app::App,
    extract::{Body, Operator, Segment, Viewer},
    problem::{Act, Read, Refusal, Replace},
};
use crate::{
    cycle::HoldCommand,
    published::{Asker, Request},
    store::Holder,
};

/// Shortest and longest hold, s.
const LASTS_S: std::ops::RangeInclusive<u32> = 10..=86_400;

/// The units that are held, by whom. One that a control centre and an operator hold is in it twice.
#[utoipa::path(
    get, path = "/api/v1/holds", tag = "operation", security(("session" = [])),
    responses((status = 200, description = "By unit, who outranks the other first.", body = Vec<HoldView>), Read)
)]
pub(super) async fn holds(_: Viewer, State(app): State<App>) -> Json<Arc<Vec<HoldView>>> {
    Json(app.published().held.clone())
}

/// Holds a unit at a power, or renews that. It is checked against nameplate only: an operator outranks the
/// appliance's limits and the market. It waits as long as a control centre holds the unit.
#[utoipa::path(
    put, path = "/api/v1/units/{unit}/hold", tag = "operation", security(("session" = [])),
    params(("unit" = i32, Path, description = "The unit's id.")),
    request_body = NewHold,
    responses((status = 200, description = "On record; with its next step the loop tells the device.", body = HoldView), Replace)
)]
pub(super) async fn hold(
    Operator(session): Operator,
    State(app): State<App>,
    unit: Segment,
    Body(new): Body<NewHold>,
) -> Result<Json<HoldView>, Refusal> {
    if !LASTS_S.contains(&new.lasts_s) {
        let message = format!("lasts_s: {} s is no time to hold a unit for", new.lasts_s);
        let accepted = format!("{} to {} s", LASTS_S.start(), LASTS_S.end());
        return Err(Refusal::invalid("lasts_s", message).accepted(accepted));
    }
    let unit = unit.unit()?;
    let lasts = Duration::from_secs(new.lasts_s.into());
    let by = session.user;
    command(&app, unit, by, Some((new.p_w, new.q_var)), lasts).await?;
    let published = app.published();
    let mut held = published.held.iter();
    let ours = held.find(|hold| hold.unit == unit && hold.origin == "operator");
    // It was answered once it was published: it has been given back since.
    let gone = || Refusal::not_found("not_held", "the unit is not held any more");
    ours.cloned().map(Json).ok_or_else(gone)
}

/// Gives a unit back that an operator holds. Giving back what nobody holds changes nothing.
#[utoipa::path(
    delete, path = "/api/v1/units/{unit}/hold", tag = "operation", security(("session" = [])),
    params(("unit" = i32, Path, description = "The unit's id.")),
    responses((status = 200, description = "What is still held.", body = Vec<HoldView>), Act)
)]
pub(super) async fn give_back(
    Operator(session): Operator,
    State(app): State<App>,
    unit: Segment,
) -> Result<Json<Arc<Vec<HoldView>>>, Refusal> {
    let unit = unit.unit()?;
    command(&app, unit, session.user, None, Duration::ZERO).await?;
    Ok(Json(app.published().held.clone()))
}

async fn command(
    app: &App,
    unit: i32,
    user: String,
    hold: Option<(f64, f64)>,
    lasts: Duration,
) -> Result<(), Refusal> {
    let command = HoldCommand {
        holder: Holder::Operator,
        by: Asker::User(user).to_string(),
        unit,
        hold,
        lasts,
    };
    let request = |answer| Request::Command {
        command,
        check: false,
        answer,
    };
    app.ask(Some("unknown_unit"), request).await
}
