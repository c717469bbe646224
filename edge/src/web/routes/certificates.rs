//! Whom the ends of links between markets trust.

use axum::{Json, extract::State};
use protocols::{
    opcua::pki::{Certificate, Trust},
    tls::Fingerprint,
};
use serde::Deserialize;

use super::super::{
    api::{CertificateView, Judgement},
    app::App,
    extract::{Body, Operator, Segments, Viewer},
    problem::{Read, Refusal, Replace},
};
use crate::{
    clock::{US, now_us},
    links::{End, Event},
    published::{Asker, Request},
};

/// The certificates at each link between markets: our own, those of others that are trusted, and those that were turned
/// away. Without such a link there is none.
#[utoipa::path(
    get, path = "/api/v1/market/certificates", tag = "market", security(("session" = [])),
    responses((status = 200, description = "As they are in the folders.", body = Vec<CertificateView>), Read)
)]
pub(super) async fn certificates(
    _: Viewer,
    State(app): State<App>,
) -> Result<Json<Vec<CertificateView>>, Refusal> {
    let ends = app.handle.links.clone();
    let read = move || ends.iter().flat_map(all).collect();
    blocking(read).await.map(Json)
}

#[derive(Deserialize)]
pub(super) struct OfLink {
    link: String,
    sha256: String,
}

/// Trusts a certificate, or turns it away, from its next connection on. It is one that the link has seen, or comes with
/// the request. An area lets a tenant in only if its table in the site file names the certificate besides.
#[utoipa::path(
    put, path = "/api/v1/market/certificates/{link}/{sha256}", tag = "market", security(("session" = [])),
    params(
        ("link" = String, Path, description = "`above` or `tenants`.", example = "tenants"),
        ("sha256" = String, Path, description = "SHA-256 of the certificate, 64 hexadecimal digits.",
            example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ),
    request_body = Judgement,
    responses((status = 200, description = "It, as it stands now.", body = CertificateView), Replace)
)]
pub(super) async fn judge_certificate(
    Operator(session): Operator,
    State(app): State<App>,
    Segments(OfLink { link, sha256 }): Segments<OfLink>,
    Body(new): Body<Judgement>,
) -> Result<Json<CertificateView>, Refusal> {
    let Some(end) = app.handle.links.iter().find(|end| end.link == link) else {
        let message = format!("there is no link `{link}` here");
        return Err(Refusal::not_found("unknown_link", message));
    };
    let end = end.clone();
    let wanted: Fingerprint = sha256
        .parse()
        .map_err(|message: String| Refusal::invalid("invalid_path", message))?;
    let pem = new.pem;
    let found = {
        let end = end.clone();
        blocking(move || find(&end, wanted, pem.as_deref())).await??
    };
    let event = Event::Judged {
        link,
        certificate: found.fingerprint.to_string(),
        name: found.name.clone(),
        trusted: new.trusted,
        by: Asker::User(session.user).to_string(),
    };
    app.ask(None, |answer| Request::Link { event, answer })
        .await?;
    let standing = match new.trusted {
        true => Trust::Trusted,
        false => Trust::Rejected,
    };
    let done = blocking(move || {
        match standing {
            Trust::Trusted => end.pki.trust(&found),
            Trust::Rejected => end.pki.reject(&found),
        }?;
        let now = now_us().div_euclid(US);
        Ok::<_, protocols::opcua::StartError>(CertificateView::of(
            end.link,
            Some(standing),
            &found,
            now,
        ))
    });
    let view = done.await?.map_err(|error| {
        tracing::error!(%error, "the certificate's place is not changed");
        Refusal::internal()
    })?;
    Ok(Json(view))
}

/// Every certificate at an end, its own first.
fn all(end: &End) -> Vec<CertificateView> {
    let now = now_us().div_euclid(US);
    let of = |standing, one: &Certificate| CertificateView::of(end.link, standing, one, now);
    let own = end.pki.own().ok();
    let own = own.iter().map(|one| of(None, one));
    let others = end.pki.list().unwrap_or_default();
    let others = others.iter().map(|(trust, one)| of(Some(*trust), one));
    own.chain(others).collect()
}

/// The certificate that is meant: what came with the request, or one that the end has.
fn find(end: &End, wanted: Fingerprint, pem: Option<&str>) -> Result<Certificate, Refusal> {
    if let Some(pem) = pem {
        let given = Certificate::from_pem(pem.as_bytes())
            .map_err(|error| Refusal::invalid("certificate", error.to_string()))?;
        if given.fingerprint != wanted {
            let message = format!("the certificate's SHA-256 is {}", given.fingerprint);
            return Err(Refusal::invalid("certificate", message));
        }
        return Ok(given);
    }
    let all = end.pki.list().unwrap_or_default().into_iter();
    let found = all
        .map(|(_, one)| one)
        .find(|one| one.fingerprint == wanted);
    found.ok_or_else(|| {
        let message = format!("this end has not seen certificate {wanted}");
        Refusal::not_found("unknown_certificate", message).accepted("its PEM besides")
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::internal())
}
