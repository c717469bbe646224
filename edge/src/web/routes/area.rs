//! The market of an area.

use axum::{Json, extract::State};
use serde::Deserialize;

use super::super::{
    api::{AreaView, TenantCall, TenantCallView},
    app::App,
    extract::{Body, Caller, Operator, Segments, time_of},
    problem::{Limited, ReadOne, Refusal, Replace},
};
use crate::{
    clock::rfc3339_s,
    published::{Asker, Request},
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

#[derive(Deserialize)]
pub(super) struct OfTenant {
    start: String,
    tenant: String,
}

/// Calls on a tenant for an exchange, to balance the grid above, whatever its curve would come to: the interval is cleared
/// with it, as near to it as the tenant offers, at the price of its node. Until the gate closes; the latest call counts.
#[utoipa::path(
    put, path = "/api/v1/area/intervals/{start}/calls/{tenant}", tag = "market", security(("session" = [])),
    params(
        ("start" = String, Path, description = "Start of the interval.", example = "2026-06-21T12:00:00Z"),
        ("tenant" = String, Path, description = "Whom.", example = "north"),
    ),
    request_body = TenantCall,
    responses((status = 200, description = "The call.", body = TenantCallView), Replace)
)]
pub(super) async fn call_tenant(
    Operator(session): Operator,
    State(app): State<App>,
    Segments(OfTenant { start, tenant }): Segments<OfTenant>,
    Body(new): Body<TenantCall>,
) -> Result<Json<TenantCallView>, Refusal> {
    let interval = time_of(&start)?.unix_timestamp();
    let published = app.published();
    let Some(area) = &published.area else {
        return Err(Refusal::not_found("no_area", "this is a substation"));
    };
    if !area.tenants.iter().any(|of| of.name == tenant) {
        let message = format!("there is no tenant `{tenant}`");
        return Err(Refusal::not_found("unknown_tenant", message));
    }
    let exchange_w = new.exchange_w;
    let request = |answer| Request::Call {
        tenant: tenant.clone(),
        interval,
        exchange_w,
        by: Asker::User(session.user),
        answer,
    };
    let receipt = app.ask(None, request).await?;
    Ok(Json(TenantCallView {
        tenant,
        interval: rfc3339_s(interval),
        exchange_w,
        receipt,
    }))
}
