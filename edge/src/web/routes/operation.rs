//! What the appliance and the feeder are doing.

use std::{sync::Arc, time::Instant};

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::{
    api::{AlarmView, DeviceView, DispatchView, NetworkState, NetworkView, PointView, Status},
    app::App,
    extract::{Filter, Operator, Segment, Viewer},
    problem::{Act, Public, Read, ReadOne, Refusal},
};
use crate::published::{Published, Request};

/// Whether the appliance's loop runs. Says nothing else, and asks nobody who they are.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", security(()),
    responses(
        (status = 200, description = "It runs.", body = String, content_type = "text/plain", example = "ok"),
        Public,
    )
)]
pub(super) async fn healthz(State(app): State<App>) -> Result<&'static str, Refusal> {
    if app.pulse.beats(Instant::now()) {
        return Ok("ok");
    }
    Err(Refusal::unavailable(
        "loop_stopped",
        "the loop has published nothing for 10 s",
    ))
}

/// Health and figures of the appliance.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "operation", security(("session" = [])),
    responses((status = 200, description = "As of the last cycle.", body = Status), Read)
)]
pub(super) async fn status(_: Viewer, State(app): State<App>) -> Json<Arc<Status>> {
    Json(app.published().status.clone())
}

/// All southbound connections.
#[utoipa::path(
    get, path = "/api/v1/devices", tag = "operation", security(("session" = [])),
    responses((status = 200, description = "As of the last cycle.", body = Vec<DeviceView>), Read)
)]
pub(super) async fn devices(_: Viewer, State(app): State<App>) -> Json<Arc<Vec<DeviceView>>> {
    Json(app.published().devices.clone())
}

/// The network as built.
#[utoipa::path(
    get, path = "/api/v1/network", tag = "operation", security(("session" = [])),
    responses((status = 200, description = "Never changes while running.", body = NetworkView), Read)
)]
pub(super) async fn network(_: Viewer, State(app): State<App>) -> Json<Arc<NetworkView>> {
    Json(app.published().network.clone())
}

/// The feeder's state as estimated.
#[utoipa::path(
    get, path = "/api/v1/network/state", tag = "operation", security(("session" = [])),
    responses((status = 200, description = "The last estimate.", body = NetworkState), ReadOne)
)]
pub(super) async fn network_state(
    _: Viewer,
    State(app): State<App>,
) -> Result<Json<Arc<NetworkState>>, Refusal> {
    let state = app.published().network_state.clone();
    state
        .map(Json)
        .ok_or_else(|| Refusal::not_found("no_estimate", "nothing has been estimated yet"))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OfDevice {
    /// Only what is of this device.
    device: Option<String>,
}

fn known_device(published: &Published, device: &str) -> Result<(), Refusal> {
    if published.devices.iter().any(|known| known.id == device) {
        return Ok(());
    }
    let known: Vec<_> = published.devices.iter().map(|known| &*known.id).collect();
    let message = format!("there is no device `{device}`");
    Err(Refusal::invalid("unknown_device", message).accepted(known.join(", ")))
}

/// All points with value, quality and times.
#[utoipa::path(
    get, path = "/api/v1/points", tag = "operation", security(("session" = [])),
    params(OfDevice),
    responses((status = 200, description = "Sorted by id.", body = Vec<PointView>), Read)
)]
pub(super) async fn points(
    _: Viewer,
    State(app): State<App>,
    Filter(filter): Filter<OfDevice>,
) -> Result<Json<Arc<Vec<PointView>>>, Refusal> {
    let published = app.published();
    let Some(device) = filter.device else {
        return Ok(Json(published.points.clone()));
    };
    known_device(&published, &device)?;
    let of_device = |point: &&PointView| {
        let rest = point.id.strip_prefix(&*device);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let points = published.points.iter().filter(of_device).cloned().collect();
    Ok(Json(Arc::new(points)))
}

/// The setpoints in force, with what the devices read back.
#[utoipa::path(
    get, path = "/api/v1/dispatch", tag = "operation", security(("session" = [])),
    params(OfDevice),
    responses((status = 200, description = "As of the last cycle.", body = Vec<DispatchView>), Read)
)]
pub(super) async fn dispatch(
    _: Viewer,
    State(app): State<App>,
    Filter(filter): Filter<OfDevice>,
) -> Result<Json<Arc<Vec<DispatchView>>>, Refusal> {
    let published = app.published();
    let Some(device) = filter.device else {
        return Ok(Json(published.dispatch.clone()));
    };
    known_device(&published, &device)?;
    let of_device = |setpoint: &&DispatchView| setpoint.device == device;
    let setpoints = published
        .dispatch
        .iter()
        .filter(of_device)
        .cloned()
        .collect();
    Ok(Json(Arc::new(setpoints)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Newest {
    /// Only so many, the newest.
    limit: Option<usize>,
}

impl Newest {
    /// The newest of what is sorted newest first; without a limit, the whole is shared.
    pub(super) fn of<T: Clone>(&self, all: &Arc<Vec<T>>) -> Arc<Vec<T>> {
        match self.limit {
            Some(limit) if limit < all.len() => Arc::new(all[..limit].to_vec()),
            _ => all.clone(),
        }
    }
}

/// Standing alarms and those of the recent past.
#[utoipa::path(
    get, path = "/api/v1/alarms", tag = "operation", security(("session" = [])),
    params(Newest),
    responses((status = 200, description = "Newest first.", body = Vec<AlarmView>), Read)
)]
pub(super) async fn alarms(
    _: Viewer,
    State(app): State<App>,
    Filter(newest): Filter<Newest>,
) -> Json<Arc<Vec<AlarmView>>> {
    Json(newest.of(&app.published().alarms))
}

/// Notes that the operator has seen an alarm.
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/ack", tag = "operation", security(("session" = [])),
    params(("id" = u64, Path, description = "Number of the alarm.")),
    responses((status = 200, description = "The alarm, acknowledged.", body = AlarmView), Act)
)]
pub(super) async fn acknowledge(
    Operator(session): Operator,
    State(app): State<App>,
    id: Segment,
) -> Result<Json<AlarmView>, Refusal> {
    let id = id.number()?;
    let user = session.user;
    let acknowledge = |answer| Request::AcknowledgeAlarm { id, user, answer };
    app.ask(Some("unknown_alarm"), acknowledge).await.map(Json)
}
