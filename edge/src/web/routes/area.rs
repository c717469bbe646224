//! The market of an area.

use axum::{Json, extract::State};

use super::super::{
    api::AreaView,
    app::App,
    extract::Caller,
    problem::{Limited, ReadOne, Refusal},
};

/// The area's market: its tenants, and what its intervals came to. A tenant's program sees itself and what is
/// public: prices, limits, the exchange with the grid above. There is none in a substation.
#[utoipa::path(
    get, path = "/api/v1/area", tag = "market", security(("session" = []), ("token" = [])),
    responses((status = 200, description = "As of the last second.", body = AreaView), ReadOne, Limited)
)]
pub(super) async fn area(
    caller: Caller,
    State(app): State<App>,
) -> Result<Json<AreaView>, Refusal> {
    let published = app.published();
    let Some(area) = &published.area else {
        return Err(Refusal::not_found("no_area", "this is a substation"));
    };
    let mut seen = AreaView::clone(area);
    seen.tenants.retain(|of| caller.sees(&of.name));
    for interval in &mut seen.intervals {
        interval.deals.retain(|of| caller.sees(&of.tenant));
    }
    if matches!(caller, Caller::Token { .. }) {
        seen.audit.clear();
    }
    Ok(Json(seen))
}
