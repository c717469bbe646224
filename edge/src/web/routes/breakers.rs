//! Breakers: which can be operated, how they stand, and operating them.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocols::point::PointId;

use super::super::{
    api::{BreakerView, NewPosition},
    app::App,
    extract::{Body, Operator, Viewer},
    problem::{Read, Refusal, Replace},
};
use crate::{
    cycle::{SwitchCommand, SwitchStep},
    published::{Asker, Request},
    store::Holder,
};

/// The breakers that can be operated.
#[utoipa::path(
    get, path = "/api/v1/breakers", tag = "operation", security(("session" = [])),
    responses((status = 200, description = "In the order of the site file.", body = Vec<BreakerView>), Read)
)]
pub(super) async fn breakers(_: Viewer, State(app): State<App>) -> Json<Arc<Vec<BreakerView>>> {
    Json(app.published().breakers.clone())
}

/// Opens or closes a breaker, by its device's own procedure: selected before it is operated where the device wants
/// that. Answered once the device has said that it is done. It is not checked against the network's limits.
#[utoipa::path(
    post, path = "/api/v1/breakers", tag = "operation", security(("session" = [])),
    request_body = NewPosition,
    responses((status = 200, description = "Done, as its device says; how it stands is read with the next poll.", body = NewPosition), Replace)
)]
pub(super) async fn switch_breaker(
    Operator(session): Operator,
    State(app): State<App>,
    Body(asked): Body<NewPosition>,
) -> Result<Json<NewPosition>, Refusal> {
    let command = SwitchCommand {
        holder: Holder::Operator,
        by: Asker::User(session.user).to_string(),
        breaker: PointId::parse(&asked.breaker),
        close: asked.closed,
    };
    let request = |answer| Request::Switch {
        command,
        step: SwitchStep::Direct,
        answer,
    };
    app.ask(Some("unknown_breaker"), request).await?;
    Ok(Json(asked))
}
