//! The listening side: accepts connections, at most so many in all and of an address, and serves HTTP/1.1 on each with
//! bounds on headers, time and, on stopping, on how long it waits for the last answers.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{
    Extension, Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Response},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    app::App,
    patient::Patient,
    problem::Refusal,
    routes::{self, Peer},
    throttle::network,
    ui,
};
use crate::{published::Handle, store::users::UserStore};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 256;
/// Connections of one address at once (IPv6: of one /64); more are closed.
const PER_ADDRESS: usize = 128;
/// Time for a request's headers, and for the next request on an idle connection.
const HEADERS: Duration = Duration::from_secs(30);
/// Headers, and what is written ahead of a slow reader, bytes.
const BUFFER: usize = 64 * 1024;
/// Time for a request, its body included, to be answered (not for an event stream to end).
const REQUEST: Duration = Duration::from_secs(15);
/// Time for the last answers when stopping.
const GRACE: Duration = Duration::from_secs(5);

/// Serves the API and the UI until `stop`.
///
/// # Errors
/// The OpenAPI document cannot be written as JSON.
pub async fn serve(
    listener: TcpListener,
    handle: Handle,
    users: UserStore,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (router, document) = routes::document().split_for_parts();
    let document = document.to_json().context("the OpenAPI document")?;
    let published = handle.published.clone();
    let app = App::new(handle, users, document.into(), stop.clone());
    let router = router
        .fallback(ui::file)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(guard))
        .with_state(app.clone());

    let mut tasks = JoinSet::new();
    let pulse_stop = stop.clone();
    tasks.spawn(async move {
        pulse_stop
            .run_until_cancelled(app.pulse.take(published))
            .await;
    });
    accept(listener, router, &stop, &mut tasks).await;
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Serves, until `stop`, the page of an appliance that has no site yet: what to do, and no secret.
pub async fn serve_unconfigured(listener: TcpListener, site: PathBuf, stop: CancellationToken) {
    let page = format!(
        "<!doctype html><meta charset=utf-8><title>Busbar: no site yet</title>\n\
         <h1>This Busbar has no site yet</h1>\n\
         <p>Version {}. Nothing is polled and nothing is commanded.</p>\n\
         <ol><li>Put the site file at <code>{site}</code> and its network file beside it.</li>\n\
         <li>Check it: <code>busbar check --site {site}</code></li>\n\
         <li>The appliance starts by itself within seconds. Enrol the first user with the one-time \
         code of the journal: <code>journalctl -u busbar</code></li></ol>\n",
        env!("CARGO_PKG_VERSION"),
        site = site.display(),
    );
    let answer = move |method: Method, uri: Uri| async move {
        let reading = method == Method::GET || method == Method::HEAD;
        if reading && uri.path() == "/" {
            return Html(page).into_response();
        }
        Refusal::unavailable("unconfigured", "there is no site yet").into_response()
    };
    let router = Router::new().fallback(answer).layer(from_fn(guard));
    let mut tasks = JoinSet::new();
    accept(listener, router, &stop, &mut tasks).await;
    while tasks.join_next().await.is_some() {}
}

async fn accept(
    listener: TcpListener,
    router: Router,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let guests = Guests::default();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                continue;
            }
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(guest) = guests.admit(peer.ip()) else {
                    tracing::debug!(%peer, "too many connections of this address");
                    continue;
                };
                let router = router.clone();
                let stop = stop.clone();
                tasks.spawn(async move {
                    converse(stream, peer, router, stop).await;
                    drop((place, guest));
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: a pause lets some be closed.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Guests {
    /// Counts a connection until the guest is dropped; `None` where its address has enough.
    fn admit(&self, address: IpAddr) -> Option<Guest> {
        let address = network(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Guest {
            all: self.clone(),
            address,
        })
    }
}

struct Guest {
    all: Guests,
    address: IpAddr,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    // Small answers shall not wait for each other; if refused, they are merely slower.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.layer(Extension(Peer(peer))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match timeout(GRACE, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::debug!(%peer, "did not read its answer in time"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "connection ended");
    }
}

/// Around everything: refuses foreign pages, bounds the time, sets the security headers.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match foreign(request.method(), request.headers()) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => match timeout(REQUEST, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                format!("took longer than {} s", REQUEST.as_secs()),
            )
            .into_response(),
        },
    };
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

const SECURITY: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        // Attributes only: the diagram's SVG positions and colours are set that way.
        "default-src 'self'; img-src 'self' data:; style-src-attr 'unsafe-inline'; \
         object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// A browser says which page a changing request comes from: it must be one of ours. Together with
/// the cookie's `SameSite=Strict` this keeps foreign pages from acting for who is logged in.
fn foreign(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| !method.is_safe()) else {
        return Ok(());
    };
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    match (authority, host) {
        (Some((_, authority)), Some(host)) if authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            format!("the request comes from a page of {origin:?}"),
        )),
    }
}

async fn wrong_method(method: Method) -> Refusal {
    let message = format!("{method} is not possible here; the header `Allow` says what is");
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
}
