//! What handlers take out of a request: who asks, and the body, path and query, each refused with
//! a [`Problem`](super::api::Problem) that says where it is wrong.

use axum::{
    body::Body as RawBody,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    api::{NewMeterValue, Role},
    app::App,
    problem::{Refusal, from_loop, too_many},
    routes::Peer,
    session::Session,
};
use crate::{
    clock::now_us,
    metering::{self, Value},
    participants::{Secret, TokenFault},
    published::Asker,
};

/// Name of the session cookie.
pub(crate) const COOKIE: &str = "busbar_session";
/// Largest body read.
const BODY_MOST: usize = 64 * 1024;
/// Of a larger body this much is read and thrown away, so that an honest client gets to read the
/// refusal instead of a broken connection.
const DISCARD_MOST: usize = 32 * 1024 * 1024;

/// Somebody logged in, viewer or more.
pub(crate) struct Viewer(pub(crate) Session);

/// An operator logged in.
pub(crate) struct Operator(pub(crate) Session);

/// Somebody logged in, or a participant's program. It sees and touches what [`Caller::sees`] says.
pub(crate) enum Caller {
    /// A user.
    User(Session),
    /// A program, by its token's id and participant.
    Token { id: String, participant: String },
}

impl Caller {
    /// Whether what is of a participant is for the caller to see.
    pub(crate) fn sees(&self, of: &str) -> bool {
        match self {
            Self::User(_) => true,
            Self::Token { participant, .. } => participant == of,
        }
    }

    /// Who asks, if it may change anything.
    pub(crate) fn acts(self) -> Result<Asker, Refusal> {
        match self {
            Self::User(session) if session.role < Role::Operator => Err(not_allowed(&session)),
            Self::User(session) => Ok(Asker::User(session.user)),
            Self::Token { id, participant } => Ok(Asker::Token { id, participant }),
        }
    }
}

/// Token in the request's cookie.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// What follows `Bearer` in the request's header (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}

/// The participant's program that presents this token.
fn program(app: &App, parts: &Parts, presented: &str) -> Result<Caller, Refusal> {
    let now = std::time::Instant::now();
    let at_us = now_us();
    let register = app.published().register.clone();
    let token = match register.token(&Secret::presented(presented), at_us) {
        Ok(token) => token,
        Err(fault) => {
            // Guessing is hopeless; it shall not be cheap either.
            if let Some(Peer(peer)) = parts.extensions.get::<Peer>() {
                app.throttle
                    .attempt(peer.ip(), "bearer token", now)
                    .map_err(too_many)?;
            }
            return Err(refused(fault));
        }
    };
    app.throttle.used(&token.id, now).map_err(too_many)?;
    app.handle.ledger.token_used(&token.id, at_us);
    Ok(Caller::Token {
        id: token.id.clone(),
        participant: token.participant.clone(),
    })
}

fn refused(fault: TokenFault) -> Refusal {
    let (error, message) = match fault {
        TokenFault::Unknown => ("wrong_token", "this is no token that was issued here"),
        TokenFault::Revoked => ("revoked_token", "this token was revoked"),
        TokenFault::Expired => ("expired_token", "this token has expired"),
    };
    Refusal::new(StatusCode::UNAUTHORIZED, error, message)
        .accepted("a token that an operator has issued, not revoked and not expired")
}

fn call(app: &App, parts: &Parts) -> Result<Caller, Refusal> {
    match bearer(&parts.headers) {
        Some(presented) => program(app, parts, presented),
        None => authorise(app, parts, Role::Viewer).map(Caller::User),
    }
}

fn authorise(app: &App, parts: &Parts, needed: Role) -> Result<Session, Refusal> {
    if let Some(presented) = bearer(&parts.headers) {
        program(app, parts, presented)?;
        let message = "a participant's token does not open this; it needs a user";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message));
    }
    if !app.users.enrolled() {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "not_enrolled",
            "no user exists yet: enrol with the one-time code from the console",
        ));
    }
    let now = std::time::Instant::now();
    let session = token(&parts.headers).and_then(|token| app.sessions.renew(token, now));
    let session = session
        .ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "not_logged_in", "log in first"))?;
    if session.role < needed {
        return Err(not_allowed(&session));
    }
    Ok(session)
}

/// The role does not suffice.
pub(crate) fn not_allowed(session: &Session) -> Refusal {
    let message = format!(
        "user `{}` may only look; this needs an operator",
        session.user
    );
    Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message)
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        authorise(app, parts, Role::Viewer).map(Self)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        call(app, parts)
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        authorise(app, parts, Role::Operator).map(Self)
    }
}

/// The query; unknown keys are refused by the type's `deny_unknown_fields`.
pub(crate) struct Filter<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Filter<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, app).await {
            Ok(Query(filter)) => Ok(Self(filter)),
            Err(error) => Err(Refusal::invalid("invalid_query", error.body_text())),
        }
    }
}

/// The variable segment of the path.
pub(crate) struct Segment(String);

impl FromRequestParts<App> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, app).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(error) => Err(Refusal::invalid("invalid_path", error.body_text())),
        }
    }
}

/// Several variable segments of the path, by name.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, app).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(error) => Err(Refusal::invalid("invalid_path", error.body_text())),
        }
    }
}

impl Segment {
    /// As it is.
    pub(crate) fn text(self) -> String {
        self.0
    }

    /// As the number of an order or alarm.
    pub(crate) fn number(&self) -> Result<u64, Refusal> {
        self.parsed()
    }

    /// As the number of a unit.
    pub(crate) fn unit(&self) -> Result<i32, Refusal> {
        self.parsed()
    }

    fn parsed<T: std::str::FromStr>(&self) -> Result<T, Refusal> {
        self.0
            .parse()
            .map_err(|_| Refusal::invalid("invalid_path", format!("`{}` is not a number", self.0)))
    }

    /// As a moment.
    pub(crate) fn time(&self) -> Result<OffsetDateTime, Refusal> {
        time_of(&self.0)
    }
}

/// Reads a moment given by the client.
pub(crate) fn time_of(text: &str) -> Result<OffsetDateTime, Refusal> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|error| {
        Refusal::invalid("invalid_time", format!("`{text}` is not a time: {error}"))
            .accepted("RFC 3339, e.g. 2026-06-21T12:00:00Z")
    })
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &App) -> Result<Self, Refusal> {
        announced_as_json(request.headers())?;
        let bytes = read(request.into_body()).await?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let parsed: Result<T, _> = serde_path_to_error::deserialize(&mut json);
        let value = parsed.map_err(|error| {
            let place = error.path().to_string();
            let error = error.into_inner();
            match (error.is_data(), place.as_str()) {
                (true, ".") => Refusal::invalid("invalid_body", error.to_string()),
                (true, place) => Refusal::invalid("invalid_body", format!("{place}: {error}")),
                (false, _) => Refusal::invalid("malformed_json", error.to_string()),
            }
        })?;
        json.end()
            .map_err(|error| Refusal::invalid("malformed_json", error.to_string()))?;
        Ok(Self(value))
    }
}

/// Values of meters, as JSON or as comma-separated text.
pub(crate) struct Values(pub(crate) Vec<Value>);

impl FromRequest<App> for Values {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        if essence(request.headers()) != Some("text/csv") {
            let Body(values): Body<Vec<NewMeterValue>> = Body::from_request(request, app).await?;
            let interval_s = app.published().status.interval_s;
            let values = values.into_iter().map(|value| value.taken(interval_s));
            return values.collect::<Result<_, _>>().map(Self);
        }
        let text = String::from_utf8(read(request.into_body()).await?).map_err(|_| {
            Refusal::invalid("malformed_csv", "the text is not UTF-8").accepted(metering::HEADER)
        })?;
        let values = metering::parse(&text);
        values.map(Self).map_err(|problem| from_loop(problem, None))
    }
}

/// The type that the body is announced as, without parameters.
fn essence(headers: &HeaderMap) -> Option<&str> {
    let announced = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(announced.split(';').next().unwrap_or(announced).trim())
}

/// A foreign page's form cannot send this type, which is half of the defence against it.
fn announced_as_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let announced = headers.get(header::CONTENT_TYPE);
    let announced = announced.and_then(|value| value.to_str().ok());
    if essence(headers).is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = match announced {
        Some(text) => format!("content type is `{text}`"),
        None => "content type is missing".to_owned(),
    };
    let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message);
    Err(refusal.accepted("application/json"))
}

async fn read(mut body: RawBody) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, "broken_body", error.to_string())
        })?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        length += data.len();
        if length <= BODY_MOST {
            bytes.extend_from_slice(data);
        } else if length > DISCARD_MOST {
            break;
        }
    }
    if length <= BODY_MOST {
        return Ok(bytes);
    }
    Err(Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body is larger than {BODY_MOST} bytes"),
    ))
}
