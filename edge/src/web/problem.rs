//! Errors of the HTTP API: every one, of whatever origin, is answered as a [`Problem`] with the
//! status that fits its code. `error` is for programs and stays stable; `message` is for people.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response},
};

use super::api::Problem;

/// A refused request.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) problem: Problem,
    /// After how many seconds trying again makes sense.
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem {
                error: error.to_owned(),
                message: message.into(),
                accepted: None,
            },
            retry_after_s: None,
        }
    }

    /// Says what would have been accepted.
    pub(crate) fn accepted(mut self, accepted: impl Into<String>) -> Self {
        self.problem.accepted = Some(accepted.into());
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(crate) fn invalid(error: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error, message)
    }

    pub(crate) fn not_found(error: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, message)
    }

    pub(crate) fn unavailable(error: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, message).retry_after(2)
    }

    /// Details of our own failures belong in the log, not in the answer.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the appliance could not do this; its log says why",
        )
    }
}

/// It came too often; `wait` is the time until it may come again.
pub(crate) fn too_many(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + 1;
    let message = format!("too many attempts, try again in {seconds} s");
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", message).retry_after(seconds)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Status for a refusal by the loop, by its code: `path_names` is the code that says that what the
/// path names does not exist; what comes too late or twice is a conflict, as is anything else that
/// keeps an existing thing from being acted upon; the rest is a fault of the request's content.
pub(crate) fn from_loop(problem: Problem, path_names: Option<&str>) -> Refusal {
    let status = match (problem.error.as_str(), path_names) {
        ("internal", _) => StatusCode::INTERNAL_SERVER_ERROR,
        ("not_durable" | "not_ready", _) => StatusCode::SERVICE_UNAVAILABLE,
        ("unknown_order" | "unknown_participant" | "unknown_token" | "unknown_meter", _) => {
            StatusCode::NOT_FOUND
        }
        ("not_yours", _) => StatusCode::FORBIDDEN,
        ("out_of_range", _) => StatusCode::UNPROCESSABLE_ENTITY,
        (code, Some(missing)) if code == missing => StatusCode::NOT_FOUND,
        ("late" | "duplicate" | "standing_order" | "token_count" | "too_early", _)
        | (_, Some(_)) => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Refusal {
        status,
        problem,
        retry_after_s: None,
    }
}

/// A documented refusal: status, what it means, and an example of code and message.
type Row = (u16, &'static str, &'static str, &'static str);

const EVERYONE: &[Row] = &[
    (
        422,
        "The query is wrong; unknown keys are refused.",
        "invalid_query",
        "unknown field `colour`, expected `device`",
    ),
    (
        503,
        "The loop does not answer, or too many are connected.",
        "loop_stopped",
        "the loop does not answer",
    ),
];
const LOGGED_IN: &[Row] = &[
    (
        401,
        "Nobody is logged in, or the session has ended.",
        "not_logged_in",
        "log in first",
    ),
    (
        403,
        "No user exists yet, the role does not suffice, or the request comes from a foreign page.",
        "not_enrolled",
        "no user exists yet: enrol with the one-time code from the console",
    ),
];
const BODY: &[Row] = &[
    (
        408,
        "The body came too slowly.",
        "timeout",
        "took longer than 15 s",
    ),
    (
        413,
        "The body is larger than 64 KiB.",
        "body_too_large",
        "the body is larger than 65536 bytes",
    ),
    (
        415,
        "The body is not announced as JSON.",
        "not_json",
        "content type is missing",
    ),
    (
        422,
        "The body or query is malformed, or asks for what cannot be.",
        "invalid_body",
        "steps[0].quantity_w: invalid type: string \"1\", expected i64 at line 1 column 17",
    ),
];
const NOT_FOUND: &[Row] = &[(
    404,
    "There is no such thing.",
    "unknown_order",
    "there is no order 17",
)];
const CONFLICT: &[Row] = &[(
    409,
    "Too late, or there already.",
    "late",
    "the gate of interval 2026-06-21T12:00:00Z closed at 2026-06-21T11:59:57Z, 4.0 s ago",
)];
const LIMITED: &[Row] = &[(
    429,
    "Too many attempts; `Retry-After` says how long to wait.",
    "too_many_attempts",
    "too many attempts, try again in 30 s",
)];

fn responses(tables: &[&[Row]]) -> BTreeMap<String, RefOr<response::Response>> {
    let mut map = BTreeMap::new();
    for (status, description, error, message) in tables.iter().copied().flatten() {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(Problem::name())))
            .example(Some(
                serde_json::json!({ "error": error, "message": message }),
            ))
            .build();
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/json", content)
            .build();
        map.insert(status.to_string(), response.into());
    }
    map
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = [$($table:expr),*];)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<response::Response>> {
                responses(&[$($table),*])
            }
        }
    )*};
}

refusals! {
    /// How a public read may be refused.
    Public = [EVERYONE];
    /// How logging in or enrolling may be refused.
    Entry = [EVERYONE, BODY, LIMITED, &[LOGGED_IN[0]], &[LOGGED_IN[1]], CONFLICT];
    /// How a read may be refused.
    Read = [EVERYONE, LOGGED_IN];
    /// How reading one of several may be refused.
    ReadOne = [EVERYONE, LOGGED_IN, NOT_FOUND];
    /// How creating something may be refused.
    Create = [EVERYONE, LOGGED_IN, BODY, CONFLICT];
    /// How setting a password may be refused.
    Change = [EVERYONE, LOGGED_IN, BODY, NOT_FOUND, LIMITED];
    /// How replacing one of several may be refused.
    Replace = [EVERYONE, LOGGED_IN, BODY, NOT_FOUND, CONFLICT];
    /// How acting on one of several may be refused.
    Act = [EVERYONE, LOGGED_IN, NOT_FOUND, CONFLICT];
    /// How what a participant's program may ask too, but not too often, may be refused besides.
    Limited = [LIMITED];
}
