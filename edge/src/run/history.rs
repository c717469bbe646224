//! The historian's thread: what happened, as it happens, and where everything stands after each step.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use crate::{
    clock::now_us,
    feed::Follower,
    store::{Historian, historian::Event},
    table::Snapshot,
    web::api::AlarmView,
};

/// What goes on record after a step.
pub(super) type Moment = (Arc<Snapshot>, Arc<Vec<AlarmView>>);

/// Events that may wait for the next moment; beyond, they go on record at once.
const EVENTS_WAITING: usize = 1000;

/// Starts the historian's thread; it flushes and ends when the channel closes. `alarms` are those
/// on record.
pub(super) fn keep(
    historian: Historian,
    alarms: Vec<AlarmView>,
    follower: Follower,
) -> (mpsc::Sender<Moment>, JoinHandle<()>) {
    let (sender, moments) = mpsc::channel::<Moment>(4);
    let runtime = tokio::runtime::Handle::current();
    let mut history = History {
        historian,
        noted: alarms.into_iter().map(|a| (a.id, a)).collect(),
        events: Vec::new(),
    };
    // A thread of its own, since it writes; it waits for two things at once.
    let thread = spawn_blocking(move || {
        runtime.block_on(history.keep(moments, follower));
    });
    (sender, thread)
}

struct History {
    historian: Historian,
    /// Alarms as they are on record.
    noted: BTreeMap<u64, AlarmView>,
    /// Events that are not on record yet.
    events: Vec<Event>,
}

impl History {
    async fn keep(&mut self, mut moments: mpsc::Receiver<Moment>, mut follower: Follower) {
        loop {
            tokio::select! {
                moment = moments.recv() => match moment {
                    Some((snapshot, alarms)) => self.note(&snapshot, &alarms),
                    None => break,
                },
                Some(news) = follower.next() => {
                    self.events.extend(Event::of(&news, now_us()));
                    if self.events.len() > EVENTS_WAITING {
                        self.note_events();
                    }
                }
            }
        }
        while let Some(news) = follower.take() {
            self.events.extend(Event::of(&news, now_us()));
        }
        self.note_events();
        if let Err(error) = self.historian.flush() {
            tracing::error!(%error, "history lost");
        }
    }

    fn note(&mut self, snapshot: &Snapshot, alarms: &[AlarmView]) {
        if let Err(error) = self.historian.note(snapshot) {
            tracing::error!(%error, "history lost");
        }
        self.note_events();
        let changed: Vec<&AlarmView> = alarms.iter().filter(|a| self.is_new(a)).collect();
        if changed.is_empty() {
            return;
        }
        match self.historian.note_alarms(&changed) {
            Ok(()) => self.noted = alarms.iter().map(|a| (a.id, a.clone())).collect(),
            Err(error) => tracing::error!(%error, "alarms not on record"),
        }
    }

    fn note_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        if events.is_empty() {
            return;
        }
        if let Err(error) = self.historian.note_events(&events) {
            tracing::error!(%error, count = events.len(), "events not on record");
        }
    }

    /// Whether an alarm came, went or was seen; its text may say something new every second.
    fn is_new(&self, alarm: &AlarmView) -> bool {
        self.noted.get(&alarm.id).is_none_or(|before| {
            before.cleared != alarm.cleared || before.acknowledged_by != alarm.acknowledged_by
        })
    }
}
