//! What devices report, change by change and in order, from the one writer of the point table to
//! whoever must not miss what happened between two looks at the table: the historian, control
//! centres.
//!
//! Nobody who follows delays the writer. What somebody does not take in time is lost to them, and they
//! are told how much; the next snapshot puts them right again.

use std::sync::Arc;

use protocols::point::{PointId, Quality, Timestamp, Value};
use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

/// Batches that may wait for somebody. A device makes one with each poll.
const WAITING: usize = 4096;

/// A point has another value or quality than before.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which point.
    pub point: PointId,
    /// Its value.
    pub value: Value,
    /// What speaks against it, our own judgement included.
    pub quality: Quality,
    /// When it changed: the source's time, or ours where the judgement is ours.
    pub time: Timestamp,
}

/// Changes that one event of a device, or one look at the ages of all, has made, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Changes of the table until then, these included: [`crate::table::Snapshot::changes`] of a
    /// snapshot that has them is not less.
    pub serial: u64,
    /// At least one.
    pub changes: Vec<Change>,
}

/// Where the table tells what changes.
#[derive(Clone, Debug)]
pub struct Feed(broadcast::Sender<Arc<Batch>>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Feed {
    /// Tells everyone who follows; nobody may.
    pub fn tell(&self, batch: Batch) {
        let _ = self.0.send(Arc::new(batch));
    }

    /// Follows from now on.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower(self.0.subscribe())
    }
}

/// What comes to somebody who follows.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It changed.
    Changes(Arc<Batch>),
    /// So many batches were not taken in time, and are lost.
    Lost(u64),
}

/// Somebody's place in the feed.
#[derive(Debug)]
pub struct Follower(broadcast::Receiver<Arc<Batch>>);

impl Follower {
    /// The next; none: the table is gone. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<News> {
        match self.0.recv().await {
            Ok(batch) => Some(News::Changes(batch)),
            Err(RecvError::Lagged(count)) => Some(News::Lost(count)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next that is there already.
    pub fn take(&mut self) -> Option<News> {
        match self.0.try_recv() {
            Ok(batch) => Some(News::Changes(batch)),
            Err(TryRecvError::Lagged(count)) => Some(News::Lost(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_keep_up_is_told_how_much_was_lost_and_delays_nobody() {
        let feed = Feed::default();
        let (mut slow, mut quick) = (feed.follow(), feed.follow());
        let many = WAITING as u64 + 100;
        for serial in 1..=many {
            let changes = vec![Change {
                point: PointId::parse("rtu1/closed"),
                value: Value::Binary(serial % 2 == 0),
                quality: Quality::GOOD,
                time: Timestamp::received(serial as i64),
            }];
            feed.tell(Batch { serial, changes });
            assert!(matches!(quick.take(), Some(News::Changes(b)) if b.serial == serial));
        }
        assert_eq!(slow.next().await, Some(News::Lost(100)));
        for serial in 101..=many {
            assert!(matches!(slow.take(), Some(News::Changes(b)) if b.serial == serial));
        }
        assert_eq!(slow.take(), None);
        drop(feed);
        assert_eq!(slow.next().await, None);
    }
}
