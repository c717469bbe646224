//! The record, for auditors.

use std::{io, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::{sync::mpsc, task::spawn_blocking};
use utoipa::IntoParams;

use super::super::{
    api::LedgerKey,
    app::App,
    extract::{Filter, Viewer, time_of},
    problem::{Read, Refusal},
};

/// Bytes handed on at a time, and how many such parts wait for a slow client.
const PART: usize = 64 * 1024;
const PARTS: usize = 4;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Moments {
    /// Only what was recorded from this moment on.
    #[param(example = "2026-06-21T12:00:00Z")]
    from: Option<String>,
    /// Only what was recorded before this moment.
    #[param(example = "2026-06-21T13:00:00Z")]
    to: Option<String>,
}

/// A part of the ledger, hash-chained and signed, a line per record. The last line signs it: an
/// export without it is not whole. `docs/ledger.md` describes the format, `docs/verify_ledger.py`
/// checks it.
#[utoipa::path(
    get, path = "/api/v1/ledger/export", tag = "market", security(("session" = [])),
    params(Moments),
    responses(
        (status = 200, description = "Oldest first.", body = String,
            content_type = "application/x-ndjson",
            example = "{\"busbar_ledger\":2,\"first\":0,\"previous\":\"00…\",\"key\":\"3d40…\"}\n"),
        Read,
    )
)]
pub(super) async fn export_ledger(
    _: Viewer,
    State(app): State<App>,
    Filter(moments): Filter<Moments>,
) -> Result<Response, Refusal> {
    let us = |text: Option<&str>, otherwise: i64| -> Result<i64, Refusal> {
        let moment = text.map(time_of).transpose()?;
        let us = moment.map(|moment| moment.unix_timestamp_nanos() / 1000);
        Ok(us.map_or(otherwise, |us| i64::try_from(us).unwrap_or(otherwise)))
    };
    let from_us = us(moments.from.as_deref(), i64::MIN)?;
    let to_us = us(moments.to.as_deref(), i64::MAX)?;
    let permit = app.stream()?;
    let ledger = Arc::clone(&app.handle.ledger);
    let (sender, parts) = mpsc::channel(PARTS);
    spawn_blocking(move || {
        let _permit = permit;
        let mut out = io::BufWriter::with_capacity(PART, Pipe(sender));
        // Who reads sees by the missing last line that it is not whole.
        if let Err(error) = ledger.export(from_us, to_us, &mut out) {
            tracing::warn!(%error, "export of the ledger ended early");
        }
    });
    let stream = unfold(parts, |mut parts| async {
        let part = parts.recv().await?;
        Some((Ok::<Bytes, io::Error>(part), parts))
    });
    let kind = (header::CONTENT_TYPE, "application/x-ndjson");
    Ok(([kind], Body::from_stream(stream)).into_response())
}

/// What is written goes to a client; it fails once the client is gone.
struct Pipe(mpsc::Sender<Bytes>);

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(part);
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The public key that the ledger is signed with. Keep it where the appliance cannot change it.
#[utoipa::path(
    get, path = "/api/v1/ledger/key", tag = "market", security(("session" = [])),
    responses((status = 200, description = "Ed25519.", body = LedgerKey), Read)
)]
pub(super) async fn ledger_key(
    _: Viewer,
    State(app): State<App>,
) -> Result<Json<LedgerKey>, Refusal> {
    let key = app.handle.ledger.key().map_err(|error| {
        tracing::error!(%error, "no key");
        Refusal::internal()
    })?;
    Ok(Json(LedgerKey {
        public_key: key.public().to_string(),
    }))
}
