//! Intervals and orders.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::IntoParams;

use super::{
    super::{
        api::{ExplanationView, IntervalView, NewOrder, OrderView},
        app::App,
        extract::{Body, Filter, Operator, Segment, Segments, Viewer, time_of},
        problem::{Act, Create, Read, ReadOne, Refusal, Replace},
    },
    operation::Newest,
};
use crate::published::Request;

/// The market's intervals: open ones, the current one and the recent past.
#[utoipa::path(
    get, path = "/api/v1/market/intervals", tag = "market", security(("session" = [])),
    params(Newest),
    responses((status = 200, description = "Newest first.", body = Vec<IntervalView>), Read)
)]
pub(super) async fn intervals(
    _: Viewer,
    State(app): State<App>,
    Filter(newest): Filter<Newest>,
) -> Json<Arc<Vec<Arc<IntervalView>>>> {
    Json(newest.of(&app.published().intervals))
}

/// One interval.
#[utoipa::path(
    get, path = "/api/v1/market/intervals/{start}", tag = "market", security(("session" = [])),
    params(("start" = String, Path, description = "Its start.", example = "2026-06-21T12:00:00Z")),
    responses((status = 200, description = "The interval.", body = IntervalView), ReadOne)
)]
pub(super) async fn interval(
    _: Viewer,
    State(app): State<App>,
    start: Segment,
) -> Result<Json<Arc<IntervalView>>, Refusal> {
    let start = start.time()?;
    let published = app.published();
    let mut intervals = published.intervals.iter();
    let found = intervals.find(|interval| is(&interval.start, start));
    found.cloned().map(Json).ok_or_else(|| {
        let message = format!("no interval that is kept here starts at {start}");
        Refusal::not_found("unknown_interval", message)
    })
}

#[derive(Deserialize)]
pub(super) struct OfUnit {
    start: String,
    unit: i32,
}

/// Why a unit was awarded what it was in an interval: its price and what that is made of, each step of its
/// orders, the limits that bind with what they rest on, and what more room would be worth.
#[utoipa::path(
    get, path = "/api/v1/market/intervals/{start}/explain/{unit}", tag = "market",
    security(("session" = [])),
    params(
        ("start" = String, Path, description = "The interval's start.", example = "2026-06-21T12:00:00Z"),
        ("unit" = i32, Path, description = "The unit.", example = 101)
    ),
    responses((status = 200, description = "The explanation.", body = ExplanationView), ReadOne)
)]
pub(super) async fn explanation(
    _: Viewer,
    State(app): State<App>,
    Segments(OfUnit { start, unit }): Segments<OfUnit>,
) -> Result<Json<ExplanationView>, Refusal> {
    let interval = time_of(&start)?.unix_timestamp();
    let explain = |answer| Request::Explain {
        interval,
        unit,
        answer,
    };
    app.ask(Some("not_explained"), explain).await.map(Json)
}

fn is(published: &str, time: OffsetDateTime) -> bool {
    OffsetDateTime::parse(published, &Rfc3339).is_ok_and(|published| published == time)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OfInterval {
    /// Only orders for the interval that starts then.
    #[param(example = "2026-06-21T12:00:00Z")]
    interval: Option<String>,
    /// Only so many, the newest.
    limit: Option<usize>,
}

/// Orders of the published intervals, those of the built-in agents included.
#[utoipa::path(
    get, path = "/api/v1/market/orders", tag = "market", security(("session" = [])),
    params(OfInterval),
    responses((status = 200, description = "Newest first.", body = Vec<OrderView>), Read)
)]
pub(super) async fn orders(
    _: Viewer,
    State(app): State<App>,
    Filter(filter): Filter<OfInterval>,
) -> Result<Json<Vec<OrderView>>, Refusal> {
    let start = filter.interval.as_deref().map(time_of).transpose()?;
    let published = app.published();
    let wanted = |order: &&OrderView| start.is_none_or(|start| is(&order.interval, start));
    let orders = published.orders.iter().filter(wanted);
    let limit = filter.limit.unwrap_or(usize::MAX);
    Ok(Json(orders.take(limit).cloned().collect()))
}

/// Places an order. It is durable once answered; sending it again with the same `client_id`
/// changes nothing and answers with the order as first accepted.
#[utoipa::path(
    post, path = "/api/v1/market/orders", tag = "market", security(("session" = [])),
    request_body = NewOrder,
    responses((status = 201, description = "The accepted order.", body = OrderView), Create)
)]
pub(super) async fn place_order(
    _: Operator,
    State(app): State<App>,
    Filter(Nothing {}): Filter<Nothing>,
    Body(order): Body<NewOrder>,
) -> Result<(StatusCode, Json<OrderView>), Refusal> {
    let accepted = app.ask(None, |answer| Request::PlaceOrder { order, answer });
    Ok((StatusCode::CREATED, Json(accepted.await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Replaces an order before its gate closes: same client id, participant, unit, interval and
/// direction. It keeps its number, and so its place in time, where no step asks for more or at a
/// better price for it; else it takes a new one, and the old one is cancelled.
#[utoipa::path(
    put, path = "/api/v1/market/orders/{id}", tag = "market", security(("session" = [])),
    params(("id" = u64, Path, description = "Number of the order.")),
    request_body = NewOrder,
    responses((status = 200, description = "The order that stands now.", body = OrderView), Replace)
)]
pub(super) async fn amend_order(
    _: Operator,
    State(app): State<App>,
    id: Segment,
    Body(order): Body<NewOrder>,
) -> Result<Json<OrderView>, Refusal> {
    let id = id.number()?;
    let amend = |answer| Request::AmendOrder { id, order, answer };
    app.ask(None, amend).await.map(Json)
}

/// Cancels an order before its gate closes.
#[utoipa::path(
    delete, path = "/api/v1/market/orders/{id}", tag = "market", security(("session" = [])),
    params(("id" = u64, Path, description = "Number of the order.")),
    responses((status = 200, description = "The order, cancelled.", body = OrderView), Act)
)]
pub(super) async fn cancel_order(
    _: Operator,
    State(app): State<App>,
    id: Segment,
) -> Result<Json<OrderView>, Refusal> {
    let id = id.number()?;
    let cancel = |answer| Request::CancelOrder { id, answer };
    app.ask(Some("unknown_order"), cancel).await.map(Json)
}
