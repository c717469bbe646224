//! Participants, their portfolios, meters and tokens. All changes are on the ledger once answered, and
//! asking for the same again changes nothing.

use axum::{Json, extract::State, http::StatusCode};
use solver::market::Party;

use super::{
    super::{
        api::{
            Deregistered, MemberView, MeterView, NewDer, NewMeter, NewParticipant, NewToken,
            ParticipantView, TokenIssued, TokenView,
        },
        app::App,
        extract::{Body, Caller, Operator, Segment, time_of},
        problem::{Act, Limited, Read, ReadOne, Refusal, Replace, from_loop},
    },
    metering::micro,
};
use crate::{
    clock::{US, now_us, rfc3339},
    cycle::not_yours,
    participants::{Change, Der, Register, Secret, Token},
    published::{Asker, Request},
    store::Ledger,
};

/// A token's life, if nothing is said of it.
const YEAR_US: i64 = 365 * 86_400 * US;

/// The participants; to a participant's program, its own.
#[utoipa::path(
    get, path = "/api/v1/market/participants", tag = "market",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "By name.", body = Vec<ParticipantView>), Read, Limited)
)]
pub(super) async fn participants(
    caller: Caller,
    State(app): State<App>,
) -> Json<Vec<ParticipantView>> {
    let register = app.published().register.clone();
    let names = register.participants.keys();
    let seen = names.filter(|name| caller.sees(name));
    let views = seen.filter_map(|name| view(&register, &app.handle.ledger, name));
    Json(views.collect())
}

/// A participant.
#[utoipa::path(
    get, path = "/api/v1/market/participants/{name}", tag = "market",
    security(("session" = []), ("token" = [])),
    params(("name" = String, Path, description = "Its name.", example = "prosumers")),
    responses((status = 200, description = "It.", body = ParticipantView), ReadOne, Limited)
)]
pub(super) async fn participant(
    caller: Caller,
    State(app): State<App>,
    name: Segment,
) -> Result<Json<ParticipantView>, Refusal> {
    let name = name.text();
    own(&caller, &name)?;
    shown(&app, &name).map(Json)
}

/// Registers a participant, or changes its role, and adds units and loads to its portfolio, which
/// others had. Whose a unit was when an interval's gate closed, it is for that interval.
#[utoipa::path(
    put, path = "/api/v1/market/participants/{name}", tag = "market",
    security(("session" = [])),
    params(("name" = String, Path, description = "Its name.", example = "aggregator")),
    request_body = NewParticipant,
    responses((status = 200, description = "As it is now.", body = ParticipantView), Replace)
)]
pub(super) async fn register_participant(
    Operator(session): Operator,
    State(app): State<App>,
    name: Segment,
    Body(new): Body<NewParticipant>,
) -> Result<Json<ParticipantView>, Refusal> {
    let name = name.text();
    let by = Asker::User(session.user);
    let change = Change::Participant {
        name: name.clone(),
        role: new.role,
    };
    register(&app, change, &by).await?;
    if !new.units.is_empty() {
        let change = Change::Assigned {
            participant: name.clone(),
            units: new.units,
        };
        register(&app, change, &by).await?;
    }
    shown(&app, &name).map(Json)
}

/// Deregisters a participant, which is refused while the site file names it, units are in its portfolio, an order or
/// call of it stands, or it has contracts in an interval that is not settled. Its tokens are good no longer; its
/// account stays on record and ends with what the answer says.
#[utoipa::path(
    delete, path = "/api/v1/market/participants/{name}", tag = "market",
    security(("session" = [])),
    params(("name" = String, Path, description = "Its name.", example = "aggregator")),
    responses((status = 200, description = "The participant there was.", body = Deregistered), Act)
)]
pub(super) async fn deregister_participant(
    Operator(session): Operator,
    State(app): State<App>,
    name: Segment,
) -> Result<Json<Deregistered>, Refusal> {
    let name = name.text();
    let participant = shown(&app, &name)?;
    let change = Change::ParticipantRemoved { name: name.clone() };
    act(&app, change, session.user, "unknown_participant").await?;
    let accounts = app.read(Ledger::accounts).await?;
    let balance = accounts.get(&Party::Participant(name)).copied();
    Ok(Json(Deregistered {
        participant,
        balance_micro: micro(balance.unwrap_or_default()),
    }))
}

/// Registers a unit that no device of the site serves, or describes it anew: nameplate, capability and
/// connection point. It takes no setpoints, so there are no orders of it; what it gives is in what its
/// node is estimated to give.
#[utoipa::path(
    put, path = "/api/v1/market/ders/{unit}", tag = "market", security(("session" = [])),
    params(("unit" = i32, Path, description = "A number that nothing of the network has.", example = 9001)),
    request_body = NewDer,
    responses((status = 200, description = "As it is now.", body = MemberView), Replace)
)]
pub(super) async fn register_der(
    Operator(session): Operator,
    State(app): State<App>,
    unit: Segment,
    Body(new): Body<NewDer>,
) -> Result<Json<MemberView>, Refusal> {
    let unit = unit.unit()?;
    let der = Der {
        unit,
        participant: new.participant,
        name: new.name,
        kind: new.kind,
        node: new.node,
        phase: new.phase,
        p_rated_w: new.p_rated_w,
        s_rated_va: new.s_rated_va,
        p_min_w: new.p_min_w,
        p_max_w: new.p_max_w,
        q_max_var: new.q_max_var,
    };
    register(&app, Change::Der(der), &Asker::User(session.user)).await?;
    let register = app.published().register.clone();
    let member = register.units.get(&unit).ok_or_else(Refusal::internal)?;
    Ok(Json(MemberView::of(member, meter_of(&register, unit))))
}

/// Removes a unit that was registered, with its meter. What is in the site file stays.
#[utoipa::path(
    delete, path = "/api/v1/market/ders/{unit}", tag = "market", security(("session" = [])),
    params(("unit" = i32, Path, description = "Its number.", example = 9001)),
    responses((status = 200, description = "The unit there was.", body = MemberView), Act)
)]
pub(super) async fn deregister_der(
    Operator(session): Operator,
    State(app): State<App>,
    unit: Segment,
) -> Result<Json<MemberView>, Refusal> {
    let unit = unit.unit()?;
    let register = app.published().register.clone();
    act(&app, Change::DerRemoved { unit }, session.user, "unit").await?;
    let member = register.units.get(&unit).ok_or_else(Refusal::internal)?;
    Ok(Json(MemberView::of(member, meter_of(&register, unit))))
}

/// The meters; to a participant's program, those of its portfolio.
#[utoipa::path(
    get, path = "/api/v1/market/meters", tag = "market",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "By name.", body = Vec<MeterView>), Read, Limited)
)]
pub(super) async fn meters(caller: Caller, State(app): State<App>) -> Json<Vec<MeterView>> {
    let register = app.published().register.clone();
    let views = register.meters.keys();
    let views = views.filter_map(|meter| meter_view(&register, meter));
    Json(views.filter(|of| caller.sees(&of.participant)).collect())
}

/// Registers a meter of a unit or load, in the place of the one it had.
#[utoipa::path(
    put, path = "/api/v1/market/meters/{meter}", tag = "market", security(("session" = [])),
    params(("meter" = String, Path, description = "Its name.", example = "DE0001")),
    request_body = NewMeter,
    responses((status = 200, description = "As it is now.", body = MeterView), Replace)
)]
pub(super) async fn register_meter(
    Operator(session): Operator,
    State(app): State<App>,
    meter: Segment,
    Body(new): Body<NewMeter>,
) -> Result<Json<MeterView>, Refusal> {
    let meter = meter.text();
    let change = Change::Meter {
        meter: meter.clone(),
        unit: new.unit,
    };
    register(&app, change, &Asker::User(session.user)).await?;
    let view = meter_view(&app.published().register, &meter);
    view.map(Json).ok_or_else(Refusal::internal)
}

/// Issues a token by which a participant's program speaks for it: its orders, its awards, its
/// contracts, its account, and public prices. The secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/api/v1/market/participants/{name}/tokens", tag = "market",
    security(("session" = [])),
    params(("name" = String, Path, description = "The participant.", example = "prosumers")),
    request_body = NewToken,
    responses((status = 201, description = "The token.", body = TokenIssued), Replace)
)]
pub(super) async fn issue_token(
    Operator(session): Operator,
    State(app): State<App>,
    name: Segment,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<TokenIssued>), Refusal> {
    let secret = Secret::random().map_err(|error| {
        tracing::error!(%error, "no token issued");
        Refusal::internal()
    })?;
    let expires_us = match new.expires.as_deref().map(time_of).transpose()? {
        Some(moment) => i64::try_from(moment.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX),
        None => now_us() + YEAR_US,
    };
    let token = Token {
        id: secret.id(),
        participant: name.text(),
        label: new.label,
        hash: secret.hash(),
        expires_us,
    };
    let change = Change::TokenIssued(token.clone());
    register(&app, change, &Asker::User(session.user)).await?;
    let issued = TokenIssued {
        token: secret.reveal().to_owned(),
        id: token.id,
        participant: token.participant,
        label: token.label,
        expires: rfc3339(expires_us),
    };
    Ok((StatusCode::CREATED, Json(issued)))
}

/// Revokes a token: it is good no longer once this is answered. Programs may revoke their own.
#[utoipa::path(
    delete, path = "/api/v1/market/tokens/{id}", tag = "market",
    security(("session" = []), ("token" = [])),
    params(("id" = String, Path, description = "Its id.", example = "3f2a5b6c7d8e")),
    responses((status = 200, description = "It.", body = TokenView), Act, Limited)
)]
pub(super) async fn revoke_token(
    caller: Caller,
    State(app): State<App>,
    id: Segment,
) -> Result<Json<TokenView>, Refusal> {
    let id = id.text();
    if let Caller::Token { participant, .. } = &caller {
        let before = app.published().register.clone();
        let issued = before.issued(&id);
        if !issued.is_some_and(|of| caller.sees(&of.token.participant)) {
            let problem = not_yours(
                participant,
                &format!("token {id} is not of `{participant}`"),
            );
            return Err(from_loop(problem, None));
        }
    }
    let by = caller.acts()?;
    register(&app, Change::TokenRevoked { id: id.clone() }, &by).await?;
    let register = app.published().register.clone();
    let issued = register.issued(&id).ok_or_else(Refusal::internal)?;
    let last_use = app.handle.ledger.last_use(&id);
    Ok(Json(TokenView::of(issued, last_use)))
}

async fn register(app: &App, change: Change, by: &Asker) -> Result<(), Refusal> {
    let by = by.clone();
    app.ask(None, |answer| Request::Register { change, by, answer })
        .await?;
    Ok(())
}

/// A change of what the path names, which `missing` says there is none of.
async fn act(app: &App, change: Change, user: String, missing: &str) -> Result<(), Refusal> {
    let by = Asker::User(user);
    app.ask(Some(missing), |answer| Request::Register {
        change,
        by,
        answer,
    })
    .await?;
    Ok(())
}

/// A participant's program sees its own.
pub(super) fn own(caller: &Caller, name: &str) -> Result<(), Refusal> {
    match caller {
        Caller::Token { participant, .. } if participant != name => {
            let problem = not_yours(participant, "that is another participant's");
            Err(from_loop(problem, None))
        }
        _ => Ok(()),
    }
}

fn shown(app: &App, name: &str) -> Result<ParticipantView, Refusal> {
    let register = app.published().register.clone();
    register
        .check_participant(name)
        .map_err(|problem| from_loop(problem, None))?;
    view(&register, &app.handle.ledger, name).ok_or_else(Refusal::internal)
}

fn view(register: &Register, ledger: &Ledger, name: &str) -> Option<ParticipantView> {
    let participant = register.participants.get(name)?;
    let units = register.portfolio(name);
    let tokens = register.tokens_of(name);
    Some(ParticipantView {
        name: name.to_owned(),
        role: participant.role,
        of_site: participant.of_site,
        units: units
            .map(|of| MemberView::of(of, meter_of(register, of.der.unit)))
            .collect(),
        tokens: tokens
            .map(|of| TokenView::of(of, ledger.last_use(&of.token.id)))
            .collect(),
    })
}

fn meter_of(register: &Register, unit: i32) -> Option<&str> {
    let mut meters = register.meters.iter();
    meters
        .find(|(_, of)| **of == unit)
        .map(|(meter, _)| &**meter)
}

fn meter_view(register: &Register, meter: &str) -> Option<MeterView> {
    let unit = *register.meters.get(meter)?;
    let member = register.units.get(&unit)?;
    Some(MeterView {
        meter: meter.to_owned(),
        unit,
        participant: member.der.participant.clone(),
    })
}
