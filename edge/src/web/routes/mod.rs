//! The handlers, one file per part of the API. Each handler's `#[utoipa::path]` is both its route
//! and its documentation: `document` collects them, and nothing is served that is not in it.
//! Each names who may ask by its first argument: `Viewer`, `Operator`, or nobody in particular.

use axum::{
    extract::{Request, State},
    http::header,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        RefOr, Schema,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    api::{
        Events, Judgement, NewDer, NewHold, NewMeterValue, NewOrder, NewParticipant, NewPassword,
        NewToken, Problem,
    },
    app::App,
    events,
    extract::COOKIE,
    problem::{Public, Refusal},
};

mod above;
mod account;
mod area;
mod breakers;
mod certificates;
mod holds;
#[expect(
    unused_qualifications,
    reason = "utoipa's `params` qualifies what it generates"
)]
mod ledger;
#[expect(
    unused_qualifications,
    reason = "utoipa's `params` qualifies what it generates"
)]
mod market;
#[expect(
    unused_qualifications,
    reason = "utoipa's `params` qualifies what it generates"
)]
mod metering;
#[expect(
    unused_qualifications,
    reason = "utoipa's `params` qualifies what it generates"
)]
mod operation;
mod participants;

pub(crate) use account::Peer;

/// The document's frame; paths and schemas come from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Busbar",
        description = "Everything the appliance shows and accepts. Times are RFC 3339 UTC; powers \
            of units are generation-positive, flows are positive into the branch, in W and var; \
            prices are per MWh; settled amounts are integer micro-currency, energies integer Wh. \
            Every error is a `Problem`. Unknown keys in queries and bodies are refused."
    ),
    components(schemas(Events, Problem)),
    modifiers(&Security),
    tags(
        (name = "operation", description = "What the appliance and the feeder are doing"),
        (name = "market", description = "Intervals, orders, participants, meters, accounts"),
        (name = "account", description = "Enrolment, sessions, users"),
    )
)]
struct Frame;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let cookie = ApiKeyValue::with_description(COOKIE, "Set by logging in.");
        let scheme = SecurityScheme::ApiKey(ApiKey::Cookie(cookie));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("session", scheme);
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some("A participant's token, issued by an operator.".to_owned());
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// All API routes, with their documentation.
pub(crate) fn document() -> OpenApiRouter<App> {
    let plain = OpenApiRouter::new()
        .routes(routes!(openapi_document))
        .routes(routes!(operation::healthz))
        .routes(routes!(operation::status))
        .routes(routes!(operation::devices))
        .routes(routes!(operation::network))
        .routes(routes!(operation::network_state))
        .routes(routes!(operation::acknowledge))
        .routes(routes!(breakers::breakers, breakers::switch_breaker))
        .routes(routes!(holds::holds))
        .routes(routes!(holds::hold, holds::give_back))
        .routes(routes!(ledger::ledger_key))
        .routes(routes!(above::above))
        .routes(routes!(market::interval))
        .routes(routes!(market::explanation))
        .routes(routes!(market::amend_order, market::cancel_order))
        .routes(routes!(participants::participants))
        .routes(routes!(
            participants::participant,
            participants::register_participant,
            participants::deregister_participant
        ))
        .routes(routes!(participants::issue_token))
        .routes(routes!(participants::revoke_token))
        .routes(routes!(
            participants::register_der,
            participants::deregister_der
        ))
        .routes(routes!(participants::meters))
        .routes(routes!(participants::register_meter))
        .routes(routes!(metering::give_values))
        .routes(routes!(metering::accounts))
        .routes(routes!(area::area))
        .routes(routes!(area::call_tenant))
        .routes(routes!(certificates::certificates))
        .routes(routes!(certificates::judge_certificate))
        .routes(routes!(account::session))
        .routes(routes!(account::enrol))
        .routes(routes!(account::login))
        .routes(routes!(account::logout))
        .routes(routes!(account::users, account::add_user))
        .routes(routes!(account::remove_user))
        .routes(routes!(account::set_password))
        .routes(routes!(events::events))
        .route_layer(from_fn(refuse_query));
    let mut router = OpenApiRouter::with_openapi(Frame::openapi())
        .routes(routes!(operation::points))
        .routes(routes!(operation::dispatch))
        .routes(routes!(operation::alarms))
        .routes(routes!(ledger::export_ledger))
        .routes(routes!(market::intervals))
        .routes(routes!(market::orders, market::place_order))
        .routes(routes!(metering::values))
        .routes(routes!(metering::invoices))
        .merge(plain);
    require_what_is_always_there(router.get_openapi_mut());
    router
}

/// What only answers of a site by phase have.
const BY_PHASE: [(&str, &str); 4] = [
    ("NodeState", "phases"),
    ("UnitView", "phase"),
    ("IntervalView", "phase_prices"),
    ("BindingView", "phase"),
];

/// An answer carries every field, `null` where there is no value; utoipa takes every `Option` for
/// a field that may be left out, which is true only of what clients send.
fn require_what_is_always_there(document: &mut utoipa::openapi::OpenApi) {
    let may_lack: [&str; 9] = [
        &Judgement::name(),
        &NewHold::name(),
        &NewOrder::name(),
        &NewPassword::name(),
        &NewParticipant::name(),
        &NewDer::name(),
        &NewToken::name(),
        &NewMeterValue::name(),
        &Problem::name(),
    ];
    let components = document.components.get_or_insert_default();
    for (name, schema) in &mut components.schemas {
        if let RefOr::T(Schema::Object(object)) = schema
            && !may_lack.contains(&&**name)
        {
            let always = object.properties.keys();
            let always = always.filter(|of| !BY_PHASE.contains(&(name.as_str(), of.as_str())));
            object.required = always.cloned().collect();
        }
    }
}

/// The OpenAPI document of the public API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    document().into_openapi()
}

async fn refuse_query(request: Request, next: Next) -> Result<Response, Refusal> {
    match request.uri().query() {
        None | Some("") => Ok(next.run(request).await),
        Some(query) => Err(
            Refusal::invalid("invalid_query", format!("unknown query `{query}`"))
                .accepted("no query"),
        ),
    }
}

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "operation", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value), Public)
)]
async fn openapi_document(State(app): State<App>) -> Response {
    let json = (header::CONTENT_TYPE, "application/json");
    ([json], app.document.clone()).into_response()
}

#[cfg(test)]
mod tests {
    /// The UI's types are generated from the committed copy.
    #[test]
    fn openapi_document_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../web-ui/openapi.json");
        let fresh = super::openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("BUSBAR_UPDATE").is_some() {
            std::fs::write(path, &fresh).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == fresh,
            "web-ui/openapi.json is stale: run `busbar openapi > web-ui/openapi.json`"
        );
    }
}
