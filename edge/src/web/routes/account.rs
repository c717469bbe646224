//! Enrolment, sessions, users.

use std::{net::SocketAddr, time::Instant};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::super::{
    api::{Enrolment, Login, NewPassword, NewUser, Role, SessionView, UserAccount},
    app::App,
    extract::{Body, COOKIE, Operator, Segment, Viewer, not_allowed, token},
    problem::{Act, Change, Create, Entry, Public, Read, Refusal, too_many},
};
use crate::store::users::{self, UserError, random_text};

/// Who is logged in, and whether anybody can be.
#[utoipa::path(
    get, path = "/api/v1/session", tag = "account", security(()),
    responses((status = 200, description = "Needs no login.", body = SessionView), Public)
)]
pub(super) async fn session(State(app): State<App>, headers: HeaderMap) -> Json<SessionView> {
    let now = Instant::now();
    let session = token(&headers).and_then(|token| app.sessions.renew(token, now));
    let (user, role) = session.map(|session| (session.user, session.role)).unzip();
    let enrolled = app.users.enrolled();
    Json(SessionView {
        enrolled,
        user,
        role,
    })
}

/// Sets up the first user, an operator, with the one-time code from the console, and logs in.
#[utoipa::path(
    post, path = "/api/v1/enrol", tag = "account", security(()), request_body = Enrolment,
    responses(
        (status = 200, description = "Enrolled and logged in.", body = SessionView,
            headers(("set-cookie" = String, description = "The session."))),
        Entry,
    )
)]
pub(super) async fn enrol(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    Body(enrolment): Body<Enrolment>,
) -> Result<Response, Refusal> {
    // A user name cannot be empty, so this bucket is enrolment's own.
    attempt(&app, peer, "")?;
    let user = enrolment.user.clone();
    let enrol = move |users: &users::UserStore| {
        users.enrol(&enrolment.code, &enrolment.user, &enrolment.password)
    };
    app.hash(enrol).await?.map_err(refusal)?;
    tracing::info!(%peer, user, "first user enrolled");
    let token = begin(&app, &user, Role::Operator)?;
    logged_in(user, Role::Operator, &token)
}

/// Logs in.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "account", security(()), request_body = Login,
    responses(
        (status = 200, description = "Logged in.", body = SessionView,
            headers(("set-cookie" = String, description = "The session."))),
        Entry,
    )
)]
pub(super) async fn login(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    Body(login): Body<Login>,
) -> Result<Response, Refusal> {
    if !app.users.enrolled() {
        let message = "no user exists yet: enrol with the one-time code from the console";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not_enrolled", message));
    }
    // Nobody's name is longer: what is counted and logged of it is not the sender's choice.
    let user: String = login.user.chars().take(users::NAME_MAX + 1).collect();
    attempt(&app, peer, &user)?;
    let (name, sessions) = (user.clone(), app.clone());
    // Within one turn of hashing, as changes are: no session begins by a password that is none any
    // more.
    let verify = move |users: &users::UserStore| {
        let role = users.verify(&name, &login.password);
        role.map(|role| Ok((role, begin(&sessions, &name, role)?)))
    };
    match app.hash(verify).await?.transpose()? {
        Some((role, token)) => {
            app.throttle.succeeded(peer.ip(), &user);
            logged_in(user, role, &token)
        }
        None => {
            tracing::warn!(%peer, user, "login refused");
            let message = "user or password is wrong";
            Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "wrong_login",
                message,
            ))
        }
    }
}

/// Ends the session, if there is one.
#[utoipa::path(
    post, path = "/api/v1/logout", tag = "account", security(()),
    responses(
        (status = 204, description = "Logged out.",
            headers(("set-cookie" = String, description = "Removes the cookie."))),
        Public,
    )
)]
pub(super) async fn logout(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Some(token) = token(&headers) {
        app.sessions.end(token);
    }
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

/// The users.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "account", security(("session" = [])),
    responses((status = 200, description = "By name.", body = Vec<UserAccount>), Read)
)]
pub(super) async fn users(_: Operator, State(app): State<App>) -> Json<Vec<UserAccount>> {
    let users = app.users.list().into_iter();
    Json(
        users
            .map(|(user, role)| UserAccount { user, role })
            .collect(),
    )
}

/// Adds a user.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "account", security(("session" = [])),
    request_body = NewUser,
    responses((status = 201, description = "The user.", body = UserAccount), Create)
)]
pub(super) async fn add_user(
    Operator(session): Operator,
    State(app): State<App>,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<UserAccount>), Refusal> {
    let account = UserAccount {
        user: new.user.clone(),
        role: new.role,
    };
    let add = move |users: &users::UserStore| users.add(&new.user, &new.password, new.role);
    app.hash(add).await?.map_err(refusal)?;
    tracing::info!(by = session.user, user = account.user, "user added");
    Ok((StatusCode::CREATED, Json(account)))
}

/// Removes a user; its sessions end at once. The last operator cannot be removed.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}", tag = "account", security(("session" = [])),
    params(("user" = String, Path, description = "User name.")),
    responses((status = 200, description = "The user there was.", body = UserAccount), Act)
)]
pub(super) async fn remove_user(
    Operator(session): Operator,
    State(app): State<App>,
    user: Segment,
) -> Result<Json<UserAccount>, Refusal> {
    let user = user.text();
    let (name, sessions) = (user.clone(), app.clone());
    let remove = move |users: &users::UserStore| {
        let role = users.remove(&name)?;
        sessions.sessions.end_all_of(&name);
        Ok(role)
    };
    let role = app.hash(remove).await?.map_err(refusal)?;
    tracing::info!(by = session.user, user, "user removed");
    Ok(Json(UserAccount { user, role }))
}

/// Sets a password: one's own, given the one before, or, as an operator, anybody's. All sessions
/// of that user end at once, the one that asks included.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/password", tag = "account", security(("session" = [])),
    params(("user" = String, Path, description = "User name.")), request_body = NewPassword,
    responses((status = 204, description = "Set; log in by it."), Change)
)]
pub(super) async fn set_password(
    Viewer(session): Viewer,
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    user: Segment,
    Body(new): Body<NewPassword>,
) -> Result<StatusCode, Refusal> {
    let user = user.text();
    let own = session.user == user;
    if own {
        attempt(&app, peer, &user)?;
    } else if session.role < Role::Operator {
        return Err(not_allowed(&session));
    }
    let (name, sessions) = (user.clone(), app.clone());
    let set = move |users: &users::UserStore| {
        let current = new.current.as_deref().unwrap_or_default();
        if own && users.verify(&name, current).is_none() {
            return Err(wrong_password());
        }
        users.set_password(&name, &new.password).map_err(refusal)?;
        sessions.sessions.end_all_of(&name);
        Ok(())
    };
    app.hash(set).await??;
    app.throttle.succeeded(peer.ip(), &user);
    tracing::info!(by = session.user, user, %peer, "password set");
    Ok(StatusCode::NO_CONTENT)
}

fn wrong_password() -> Refusal {
    let message = "the current password is wrong";
    Refusal::new(StatusCode::FORBIDDEN, "wrong_password", message)
        .accepted("one's own password as it is now, in `current`")
}

/// The client's address, put into each request by the server.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

fn attempt(app: &App, peer: SocketAddr, user: &str) -> Result<(), Refusal> {
    let attempt = app.throttle.attempt(peer.ip(), user, Instant::now());
    attempt.map_err(too_many)
}

/// Begins a session and gives its token.
fn begin(app: &App, user: &str, role: Role) -> Result<String, Refusal> {
    let token = random_text::<32>().map_err(refusal)?;
    app.sessions
        .begin(token.clone(), user.to_owned(), role, Instant::now());
    Ok(token)
}

fn logged_in(user: String, role: Role, token: &str) -> Result<Response, Refusal> {
    // Without `Max-Age` the browser forgets it on closing; without TLS `Secure` would lose it.
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
    let cookie = HeaderValue::try_from(cookie).map_err(|_| Refusal::internal())?;
    let view = SessionView {
        enrolled: true,
        user: Some(user),
        role: Some(role),
    };
    Ok(([(header::SET_COOKIE, cookie)], Json(view)).into_response())
}

fn refusal(error: UserError) -> Refusal {
    let message = error.to_string();
    match error {
        UserError::Name(_) | UserError::Password(_) => {
            Refusal::invalid("unfit_user", message).accepted(users::ACCEPTED)
        }
        UserError::Unknown(_) => Refusal::not_found("unknown_user", message),
        UserError::LastOperator(_) => Refusal::new(StatusCode::CONFLICT, "last_operator", message)
            .accepted("to be removed once there is another operator"),
        UserError::Exists(_) => Refusal::new(StatusCode::CONFLICT, "user_exists", message),
        UserError::Enrolled => Refusal::new(StatusCode::CONFLICT, "already_enrolled", message),
        UserError::WrongCode => Refusal::new(StatusCode::FORBIDDEN, "wrong_code", message)
            .accepted("the one-time code printed when the appliance started"),
        UserError::Io { .. } | UserError::Damaged { .. } | UserError::Secret(_) => {
            tracing::error!(error = message, "users cannot be changed");
            Refusal::internal()
        }
    }
}
