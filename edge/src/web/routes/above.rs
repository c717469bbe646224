//! The market above.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::super::{
    api::AboveView,
    app::App,
    extract::Viewer,
    problem::{ReadOne, Refusal},
};

/// The link to the market above: what was offered, what came down, on what each interval's exchange rests.
#[utoipa::path(
    get, path = "/api/v1/market/above", tag = "market", security(("session" = [])),
    responses((status = 200, description = "As of the last cycle.", body = AboveView), ReadOne)
)]
pub(super) async fn above(
    _: Viewer,
    State(app): State<App>,
) -> Result<Json<Arc<AboveView>>, Refusal> {
    let above = app.published().above.clone();
    above.map(|of| Json(of.view)).ok_or_else(|| {
        let message = "the site has no market above";
        Refusal::not_found("no_market_above", message)
    })
}
