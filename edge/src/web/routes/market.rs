//! Intervals and orders.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::IntoParams;

use super::{
    super::{
        api::{AheadView, ExplanationView, IntervalView, NewOrder, OrderKind, OrderView},
        app::App,
        extract::{Body, Caller, Filter, Segment, Segments, time_of},
        problem::{Act, Create, Limited, Read, ReadOne, Refusal, Replace, from_loop},
    },
    operation::Newest,
};
use crate::{
    cycle::not_yours,
    participants::Register,
    published::{Asker, OrderAsk, Request},
};

/// The market's intervals: open ones, the current one and the recent past.
#[utoipa::path(
    get, path = "/api/v1/market/intervals", tag = "market", security(("session" = []), ("token" = [])),
    params(Newest),
    responses((status = 200, description = "Newest first.", body = Vec<IntervalView>), Read, Limited)
)]
pub(super) async fn intervals(
    caller: Caller,
    State(app): State<App>,
    Filter(newest): Filter<Newest>,
) -> Json<Vec<Arc<IntervalView>>> {
    let published = app.published();
    let intervals = newest.of(&published.intervals);
    let seen = intervals
        .iter()
        .map(|of| seen_by(&caller, &published.register, of));
    Json(seen.collect())
}

/// An interval as the caller may see it: a participant's program sees the interval's times and state,
/// prices with the limits behind them, and of awards, contracts, calls and settlements its own. What is not
/// named here it does not see.
fn seen_by(
    caller: &Caller,
    register: &Register,
    interval: &Arc<IntervalView>,
) -> Arc<IntervalView> {
    let Caller::Token { participant, .. } = caller else {
        return Arc::clone(interval);
    };
    let own = |unit: i32| is_of(register, unit, participant);
    let sees = |account: &str| caller.sees(account);
    let of = IntervalView::clone(interval);
    Arc::new(IntervalView {
        start: of.start,
        end: of.end,
        gate_closure: of.gate_closure,
        phase: of.phase,
        status: of.status,
        message: of.message,
        orders: of.orders,
        cost_per_h: None,
        import_w: None,
        import_var: None,
        phase_prices: of.phase_prices,
        prices: of.prices,
        binding: of.binding,
        awards: kept(of.awards, |of| own(of.unit)),
        ac_check: of.ac_check,
        ahead: of.ahead.map(|of| AheadView {
            intervals: of.intervals,
            out_of_budget: of.out_of_budget,
            gap: of.gap,
            schedules: kept(of.schedules, |of| own(of.unit)),
        }),
        took_us: of.took_us,
        contracts: kept(of.contracts, |of| sees(&of.seller) || sees(&of.buyer)),
        reactive: kept(of.reactive, |of| sees(&of.account)),
        calls: kept(of.calls, |of| sees(&of.account) || sees(&of.caller)),
        settlement: kept(of.settlement, |of| sees(&of.account)),
        corrections: kept(of.corrections, |of| sees(&of.account)),
    })
}

fn kept<T>(rows: Vec<T>, may: impl Fn(&T) -> bool) -> Vec<T> {
    rows.into_iter().filter(may).collect()
}

fn is_of(register: &Register, unit: i32, participant: &str) -> bool {
    let member = register.units.get(&unit);
    member.is_some_and(|member| member.der.participant == *participant)
}

/// One interval.
#[utoipa::path(
    get, path = "/api/v1/market/intervals/{start}", tag = "market", security(("session" = []), ("token" = [])),
    params(("start" = String, Path, description = "Its start.", example = "2026-06-21T12:00:00Z")),
    responses((status = 200, description = "The interval.", body = IntervalView), ReadOne, Limited)
)]
pub(super) async fn interval(
    caller: Caller,
    State(app): State<App>,
    start: Segment,
) -> Result<Json<Arc<IntervalView>>, Refusal> {
    let start = start.time()?;
    let published = app.published();
    let mut intervals = published.intervals.iter();
    let found = intervals.find(|interval| is(&interval.start, start));
    let seen = found.map(|found| seen_by(&caller, &published.register, found));
    seen.map(Json).ok_or_else(|| {
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
    security(("session" = []), ("token" = [])),
    params(
        ("start" = String, Path, description = "The interval's start.", example = "2026-06-21T12:00:00Z"),
        ("unit" = i32, Path, description = "The unit.", example = 101)
    ),
    responses((status = 200, description = "The explanation.", body = ExplanationView), ReadOne, Limited)
)]
pub(super) async fn explanation(
    caller: Caller,
    State(app): State<App>,
    Segments(OfUnit { start, unit }): Segments<OfUnit>,
) -> Result<Json<ExplanationView>, Refusal> {
    if let Caller::Token { participant, .. } = &caller {
        let published = app.published();
        let member = published.register.units.get(&unit);
        if !member.is_some_and(|member| caller.sees(&member.der.participant)) {
            let problem = not_yours(participant, &format!("unit {unit} is another's"));
            return Err(from_loop(problem, None));
        }
    }
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

/// A participant's program sees the participant's orders, and calls of its units.
fn may_see(caller: &Caller, register: &Register, order: &OrderView) -> bool {
    let own = match caller {
        Caller::Token { participant, .. } => is_of(register, order.unit, participant),
        _ => true,
    };
    let is_call = matches!(order.kind, OrderKind::Call { .. });
    caller.sees(&order.participant) || (is_call && own)
}

/// Orders of the published intervals, those of the built-in agents included.
#[utoipa::path(
    get, path = "/api/v1/market/orders", tag = "market", security(("session" = []), ("token" = [])),
    params(OfInterval),
    responses((status = 200, description = "Newest first.", body = Vec<OrderView>), Read, Limited)
)]
pub(super) async fn orders(
    caller: Caller,
    State(app): State<App>,
    Filter(filter): Filter<OfInterval>,
) -> Result<Json<Vec<OrderView>>, Refusal> {
    let start = filter.interval.as_deref().map(time_of).transpose()?;
    let published = app.published();
    let wanted = |order: &&OrderView| {
        may_see(&caller, &published.register, order)
            && start.is_none_or(|start| is(&order.interval, start))
    };
    let orders = published.orders.iter().filter(wanted);
    let limit = filter.limit.unwrap_or(usize::MAX);
    Ok(Json(orders.take(limit).cloned().collect()))
}

/// Places an order. It is durable once answered; sending it again with the same `client_id`
/// changes nothing and answers with the order as first accepted.
#[utoipa::path(
    post, path = "/api/v1/market/orders", tag = "market", security(("session" = []), ("token" = [])),
    request_body = NewOrder,
    responses((status = 201, description = "The accepted order.", body = OrderView), Create, Limited)
)]
pub(super) async fn place_order(
    caller: Caller,
    State(app): State<App>,
    Filter(Nothing {}): Filter<Nothing>,
    Body(order): Body<NewOrder>,
) -> Result<(StatusCode, Json<OrderView>), Refusal> {
    let by = for_itself(caller, &order)?;
    let accepted = ask(&app, None, OrderAsk::Place(order), by).await?;
    Ok((StatusCode::CREATED, Json(accepted)))
}

async fn ask(
    app: &App,
    not_found: Option<&'static str>,
    ask: OrderAsk,
    by: Asker,
) -> Result<OrderView, Refusal> {
    app.ask(not_found, |answer| Request::Order { ask, by, answer })
        .await
}

/// Operators place orders for anybody; a participant's program for its participant.
fn for_itself(caller: Caller, order: &NewOrder) -> Result<Asker, Refusal> {
    match caller.acts()? {
        Asker::Token { participant, .. } if participant != order.participant => {
            let message = "the order is for another participant";
            Err(from_loop(not_yours(&participant, message), None))
        }
        by => Ok(by),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Replaces an order before its gate closes: same client id, participant, unit, interval and
/// direction. It keeps its number, and so its place in time, where no step asks for more or at a
/// better price for it; else it takes a new one, and the old one is cancelled.
#[utoipa::path(
    put, path = "/api/v1/market/orders/{id}", tag = "market", security(("session" = []), ("token" = [])),
    params(("id" = u64, Path, description = "Number of the order.")),
    request_body = NewOrder,
    responses((status = 200, description = "The order that stands now.", body = OrderView), Replace, Limited)
)]
pub(super) async fn amend_order(
    caller: Caller,
    State(app): State<App>,
    id: Segment,
    Body(order): Body<NewOrder>,
) -> Result<Json<OrderView>, Refusal> {
    let id = id.number()?;
    let by = for_itself(caller, &order)?;
    ask(&app, None, OrderAsk::Amend(id, order), by)
        .await
        .map(Json)
}

/// Cancels an order before its gate closes.
#[utoipa::path(
    delete, path = "/api/v1/market/orders/{id}", tag = "market", security(("session" = []), ("token" = [])),
    params(("id" = u64, Path, description = "Number of the order.")),
    responses((status = 200, description = "The order, cancelled.", body = OrderView), Act, Limited)
)]
pub(super) async fn cancel_order(
    caller: Caller,
    State(app): State<App>,
    id: Segment,
) -> Result<Json<OrderView>, Refusal> {
    let id = id.number()?;
    let by = caller.acts()?;
    ask(&app, Some("unknown_order"), OrderAsk::Cancel(id), by)
        .await
        .map(Json)
}
