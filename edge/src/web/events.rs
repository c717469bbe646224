//! The event stream (`text/event-stream`, WHATWG HTML 9.2): the same data as the other routes,
//! sent when it changes. A client too slow for every change gets the latest instead: nothing is
//! queued for it but one change's events, so it never grows memory. Ends with its session.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream::unfold};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    api::IntervalView,
    app::App,
    extract::{Viewer, token},
    problem::{Read, Refusal},
};
use crate::published::Published;

/// At the latest after this long a stream sees that its session has ended.
const LOOK: Duration = Duration::from_secs(5);

/// Changes as they happen. Event names are the properties of the schema `Events`, each event's
/// data is that property's JSON. After connecting (and reconnecting) everything comes once. The
/// stream ends with the session.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "operation", security(("session" = [])),
    responses(
        (status = 200, description = "Named events, see `Events`.", body = String,
            content_type = "text/event-stream",
            example = "event: points\ndata: [{\"id\":\"pv3/p\",\"value\":1000.0}]\n\n"),
        Read,
    )
)]
pub(super) async fn events(
    _: Viewer,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let permit = app.stream()?;
    let mut published = app.handle.published.clone();
    published.mark_changed();
    let client = Client {
        token: token(&headers).unwrap_or_default().to_owned(),
        app,
        published,
        seen: None,
        pending: VecDeque::new(),
        _permit: permit,
    };
    let stream = unfold(client, |mut client| async {
        let event = client.next().await?;
        Some((Ok(event), client))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

struct Client {
    token: String,
    app: App,
    published: watch::Receiver<Arc<Published>>,
    /// What the client has been told.
    seen: Option<Arc<Published>>,
    /// Events of one change, not yet sent.
    pending: VecDeque<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Client {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if !self.app.sessions.lasts(&self.token, Instant::now()) {
                return None;
            }
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            tokio::select! {
                () = self.app.stop.cancelled() => return None,
                changed = self.published.changed() => changed.ok()?,
                () = tokio::time::sleep(LOOK) => continue,
            }
            let now = self.published.borrow_and_update().clone();
            self.pending = changes(self.seen.as_deref(), &now);
            self.seen = Some(now);
        }
    }
}

/// The events that lead from `old` to `new`.
fn changes<'a>(old: Option<&'a Published>, new: &'a Published) -> VecDeque<Event> {
    let mut events = VecDeque::new();
    events.extend(whole("status", old.map(|old| &old.status), &new.status));
    events.extend(whole("devices", old.map(|old| &old.devices), &new.devices));
    if let Some(state) = &new.network_state {
        let old = old.and_then(|old| old.network_state.as_ref());
        events.extend(whole("network_state", old, state));
    }
    let points = old.map(|old| &old.points);
    events.extend(changed("points", points, &new.points, |point| &*point.id));
    let intervals = old.map(|old| &old.intervals);
    let start = |interval: &'a Arc<IntervalView>| &*interval.start;
    events.extend(changed("intervals", intervals, &new.intervals, start));
    let orders = old.map(|old| &old.orders);
    events.extend(changed("orders", orders, &new.orders, |order| order.id));
    events.extend(whole(
        "dispatch",
        old.map(|old| &old.dispatch),
        &new.dispatch,
    ));
    events.extend(whole("holds", old.map(|old| &old.held), &new.held));
    events.extend(whole("alarms", old.map(|old| &old.alarms), &new.alarms));
    events
}

/// All of a part, if it is another one.
fn whole<T: Serialize>(name: &str, old: Option<&Arc<T>>, new: &Arc<T>) -> Option<Event> {
    let same = old.is_some_and(|old| Arc::ptr_eq(old, new));
    (!same).then(|| event(name, &**new)).flatten()
}

/// The entries of a list that are new or not as they were; all if there was no list.
fn changed<'a, T: Serialize + PartialEq, K: Hash + Eq>(
    name: &str,
    old: Option<&'a Arc<Vec<T>>>,
    new: &'a Arc<Vec<T>>,
    key: impl Fn(&'a T) -> K,
) -> Option<Event> {
    let Some(old) = old else {
        return event(name, new);
    };
    if Arc::ptr_eq(old, new) {
        return None;
    }
    let old: HashMap<K, &T> = old.iter().map(|entry| (key(entry), entry)).collect();
    let entries = new.iter();
    let entries: Vec<&T> = entries
        .filter(|entry| old.get(&key(entry)) != Some(entry))
        .collect();
    (!entries.is_empty())
        .then(|| event(name, &entries))
        .flatten()
}

fn event<T: Serialize + ?Sized>(name: &str, data: &T) -> Option<Event> {
    let event = Event::default().event(name).json_data(data);
    event
        .inspect_err(|error| tracing::error!(%error, "an event cannot be written"))
        .ok()
}
