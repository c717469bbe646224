//! The last values of an IED's points, and what comes of new ones.

use iec61850_model::MmsValue;

use super::{
    directory::{Directory, Role},
    map::PointSpec,
    value,
};
use crate::point::{PointId, Quality, Timestamp, Update, Value};

/// A point as last heard.
#[derive(Debug)]
struct Held {
    spec: PointSpec,
    point: PointId,
    value: Option<(Value, Quality)>,
    quality: Quality,
    /// What came with the message at hand.
    touched: bool,
    time: Option<Timestamp>,
}

/// The points of an IED.
#[derive(Debug)]
pub(super) struct Store(Vec<Held>);

impl Store {
    pub(super) fn new(points: impl Iterator<Item = (PointSpec, PointId)>) -> Self {
        let held = |(spec, point)| Held {
            spec,
            point,
            value: None,
            quality: Quality::GOOD,
            touched: false,
            time: None,
        };
        Self(points.map(held).collect())
    }

    /// Takes the values of one message in, each with its path: what changed of points, in the points' order.
    /// Where no time comes along it is `sent`.
    pub(super) fn take<'v>(
        &mut self,
        directory: &Directory,
        values: impl Iterator<Item = (&'v str, &'v MmsValue)>,
        sent: Timestamp,
    ) -> Vec<Update> {
        for (path, raw) in values {
            directory.read(path, raw, &mut |number, role, raw| {
                if let Some(held) = self.0.get_mut(number) {
                    held.take(role, raw);
                }
            });
        }
        let mut updates = Vec::new();
        for held in &mut self.0 {
            let (touched, time) = (held.touched, held.time.take());
            held.touched = false;
            if let (true, Some((value, own))) = (touched, held.value) {
                updates.push(Update {
                    point: held.point.clone(),
                    value,
                    quality: held.quality | own,
                    time: time.unwrap_or(sent),
                });
            }
        }
        updates
    }
}

impl Held {
    fn take(&mut self, role: Role, raw: &MmsValue) {
        match role {
            Role::Value => {
                let value = value::value(&self.spec, raw);
                if value.is_none() {
                    tracing::debug!(point = %self.point, raw = raw.type_name(), "not of the point's kind");
                    return;
                }
                self.value = value;
                self.touched = true;
            }
            Role::Quality => {
                // What cannot be read as a quality says nothing good.
                self.quality = value::quality(raw).unwrap_or(Quality::INVALID);
                self.touched = true;
            }
            Role::Time => self.time = value::time(raw),
        }
    }
}
