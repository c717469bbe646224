//! The control interface: HTTP and JSON for tests and demonstrations. It tells the truth, and it
//! makes things go wrong. No product code talks to it.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};
use solver::network::Id;
use tokio::net::TcpListener;

use crate::{
    faults::{Fault, Request},
    station::Station,
    substation::{LoadStep, Row, Truth},
};

/// What `GET /` says.
const HELP: &str = "\
busbar-sim control interface

GET    /truth                     physics now: nodes, branches, units, loads, source, losses
GET    /history?since_ms=UNIX_MS  one row per step of the physics, the last hour at most
GET    /devices                   names and addresses of the simulated devices
GET    /faults                    faults in force
POST   /faults                    {\"device\": \"rtu8\", \"kind\": \"spike\", \"point\": \"bay1_u\", \"value\": 10, \"for_s\": 30}
                                  kind: gone | slow (value: s) | frozen | sign | scale (value: exponent of ten)
                                        | spike (value: standard deviations) | garbage
                                  point: an RTU's bay1_u, bay1_p, bay1_q, bay1_i, ...; a DER's p, q, u, i, f, soc
DELETE /faults/ID, /faults        take one back, or all
POST   /loads                     {\"id\": 36, \"p_w\": 500000, \"q_var\": 0} or {\"id\": 36, \"scale\": 2}; {\"id\": 36} undoes it
";

/// An error as the client sees it.
#[derive(Debug, Serialize)]
struct Problem {
    #[serde(skip)]
    status: StatusCode,
    message: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl Problem {
    fn new(status: StatusCode, message: impl ToString) -> Self {
        Self {
            status,
            message: message.to_string(),
        }
    }
}

macro_rules! from_rejection {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), rejection.body_text())
            }
        }
    )*};
}
from_rejection!(JsonRejection, PathRejection, QueryRejection);

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, station: Arc<Station>) {
    if let Err(error) = axum::serve(listener, router(station)).await {
        tracing::error!(%error, "control interface ended");
    }
}

fn router(station: Arc<Station>) -> Router {
    let nowhere =
        || async { Problem::new(StatusCode::NOT_FOUND, "no such path; GET / lists them") };
    Router::new()
        .route("/", get(|| async { HELP }))
        .route("/truth", get(truth))
        .route("/history", get(history))
        .route("/devices", get(devices))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/loads", post(step_load))
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(station)
}

type Shared = State<Arc<Station>>;

async fn truth(State(station): Shared) -> Json<Truth> {
    let truth = station.truth();
    Json(truth)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    since_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct History {
    units: Vec<Id>,
    rows: Vec<Row>,
}

async fn history(
    State(station): Shared,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<Json<History>, Problem> {
    let since_ms = since?.0.since_ms.unwrap_or(i64::MIN);
    let substation = station.substation();
    let rows = substation.history();
    let rows = rows.filter(|row| row.t_unix_ms >= since_ms).cloned();
    Ok(Json(History {
        units: substation.units().collect(),
        rows: rows.collect(),
    }))
}

#[derive(Debug, Serialize)]
struct DeviceAddress {
    device: String,
    address: String,
}

async fn devices(State(station): Shared) -> Json<Vec<DeviceAddress>> {
    let list = station.addresses().map(|(device, address)| DeviceAddress {
        device: device.to_owned(),
        address: address.to_string(),
    });
    Json(list.collect())
}

async fn faults(State(station): Shared) -> Json<Vec<Fault>> {
    let list = station.substation().faults().list().to_vec();
    Json(list)
}

#[derive(Debug, Serialize)]
struct Number {
    id: u64,
}

async fn add_fault(
    State(station): Shared,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<(StatusCode, Json<Number>), Problem> {
    let Json(request) = request?;
    tracing::info!(device = request.device, kind = ?request.kind, point = ?request.point, "fault begins");
    let added = station.substation().add_fault(request);
    let id = added.map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    station.apply_faults();
    Ok((StatusCode::CREATED, Json(Number { id })))
}

async fn remove_fault(
    State(station): Shared,
    id: Result<Path<u64>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id?;
    let removed = station.substation().remove_fault(id);
    station.apply_faults();
    match removed {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("no fault {id} in force"),
        )),
    }
}

async fn clear_faults(State(station): Shared) -> StatusCode {
    station.substation().clear_faults();
    station.apply_faults();
    StatusCode::NO_CONTENT
}

async fn step_load(
    State(station): Shared,
    step: Result<Json<LoadStep>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(step) = step?;
    let stepped = station.substation().step_load(step);
    stepped.map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    Ok(StatusCode::NO_CONTENT)
}
