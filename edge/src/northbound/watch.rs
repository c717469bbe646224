//! What of the list is new, from both sources, whatever the protocol that tells it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    feed::{FieldPoints, Heard},
    points::{Entry, Of},
    values::{Now, Said},
};
use crate::{feed::Follower, published::Published};

/// What the points of the list say.
#[derive(Debug)]
pub struct Watch {
    list: Vec<Of>,
    field: FieldPoints,
    /// As last told.
    said: Vec<Option<Said>>,
}

impl Watch {
    /// Of this list, nothing told yet.
    #[must_use]
    pub fn new(entries: &[Entry], follower: Follower) -> Self {
        Self {
            list: entries.iter().map(|entry| entry.of.clone()).collect(),
            field: FieldPoints::new(entries, follower),
            said: vec![None; entries.len()],
        }
    }

    /// Says what is new, from both sources, until there is nothing more to come.
    pub async fn tell(
        mut self,
        mut published: watch::Receiver<Arc<Published>>,
        say: impl Fn(Heard),
    ) {
        say(self.look(&published.borrow_and_update()));
        loop {
            tokio::select! {
                changed = published.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    say(self.look(&published.borrow_and_update()));
                }
                heard = self.next() => match heard {
                    Some(heard) => say(heard),
                    None => return,
                },
            }
        }
    }

    /// Waits for what devices report; none: the table is gone. Cancelling loses nothing.
    async fn next(&mut self) -> Option<Heard> {
        let heard = self.field.next().await?;
        Some(self.fresh(heard))
    }

    /// Looks at what is published.
    fn look(&mut self, published: &Published) -> Heard {
        let heard = self.field.catch_up(&published.snapshot);
        let mut fresh = self.fresh(heard);
        let now = Now::new(published);
        for (place, of) in self.list.iter().enumerate() {
            let said = now.said(of);
            if let Some(said) = said.or_else(|| now.gone(of, self.said[place].as_ref()))
                && is_fresh(&mut self.said[place], said)
            {
                fresh.said.push((place, said));
            }
        }
        fresh
    }

    fn fresh(&mut self, mut heard: Heard) -> Heard {
        heard
            .said
            .retain(|(place, said)| is_fresh(&mut self.said[*place], *said));
        heard
    }
}

/// Whether it is new; without a change the time of the last one stands.
fn is_fresh(before: &mut Option<Said>, said: Said) -> bool {
    let same = |b: &Said| (b.value, b.quality) == (said.value, said.quality);
    let fresh = !before.as_ref().is_some_and(same);
    if fresh {
        *before = Some(said);
    }
    fresh
}
