//! Energy of units, loads and the grid above over an interval.
//!
//! A register in Wh is read at a poll's time, not at the interval's boundary, hence interpolated
//! between the polls around it and rounded there: the energies of successive intervals add up to
//! the register's difference. A battery's registers are what it delivered less what it took. What
//! has no such register (loads, the grid above, a battery that only counts what it delivers) is
//! the integral of its estimated power, and settles as `Estimated`.

use std::collections::{BTreeMap, VecDeque};

use protocols::point::{PointId, Value};
use solver::{
    market::{Meter, MeterQuality, Party, clearing::Case},
    network::Id,
};

use super::feeder::Estimated;
use crate::{clock::US, site::Site, table::Snapshot};

/// A gap longer than this is not bridged, µs.
const MAX_GAP_US: i64 = 5 * US;

/// Readings of one register, or of one integral.
#[derive(Clone, Debug, Default)]
struct Track {
    readings: VecDeque<(i64, f64)>,
    /// The last power that was integrated, W.
    power_w: Option<(i64, f64)>,
}

impl Track {
    fn register(&mut self, at_us: i64, wh: f64, keep_us: i64) {
        if let Some(&(last_us, last_wh)) = self.readings.back() {
            if at_us <= last_us {
                return;
            }
            // It restarted or jumped: what was before cannot be compared.
            if wh < last_wh {
                self.readings.clear();
            }
        }
        self.push(at_us, wh, keep_us);
    }

    fn integrate(&mut self, at_us: i64, power_w: f64, keep_us: i64) {
        let Some((last_us, last_w)) = self.power_w else {
            self.power_w = Some((at_us, power_w));
            self.push(at_us, 0.0, keep_us);
            return;
        };
        if at_us <= last_us {
            return;
        }
        let hours = (at_us - last_us) as f64 / US as f64 / 3600.0;
        if at_us - last_us > MAX_GAP_US {
            self.readings.clear();
        }
        let before = self.readings.back().map_or(0.0, |r| r.1);
        self.power_w = Some((at_us, power_w));
        self.push(at_us, before + hours * (last_w + power_w) / 2.0, keep_us);
    }

    fn push(&mut self, at_us: i64, wh: f64, keep_us: i64) {
        self.readings.push_back((at_us, wh));
        while self
            .readings
            .front()
            .is_some_and(|&(t, _)| t < at_us - keep_us)
        {
            self.readings.pop_front();
        }
    }

    /// The reading at a moment, whole Wh.
    fn at(&self, at_us: i64) -> Option<i64> {
        let after = self.readings.iter().position(|&(t, _)| t >= at_us)?;
        let (t1, wh1) = self.readings[after];
        if t1 == at_us {
            return Some(wh1.round_ties_even() as i64);
        }
        let (t0, wh0) = *self.readings.get(after.checked_sub(1)?)?;
        if t1 - t0 > MAX_GAP_US {
            return None;
        }
        let share = (at_us - t0) as f64 / (t1 - t0) as f64;
        Some((wh0 + share * (wh1 - wh0)).round_ties_even() as i64)
    }

    fn between(&self, from_us: i64, to_us: i64) -> Option<i64> {
        Some(self.at(to_us)? - self.at(from_us)?)
    }
}

/// A register and when it was read.
fn counter(snapshot: &Snapshot, point: &PointId) -> Option<(i64, f64)> {
    let point = snapshot.points.get(point)?;
    let Value::Counter(wh) = point.value else {
        return None;
    };
    let good = point.quality.is_good();
    good.then_some((point.time.unix_us, wh as f64))
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Meters {
    keep_us: i64,
    /// Registers of units: what each delivered and, of a battery, what it took.
    registers: BTreeMap<Id, Vec<Track>>,
    /// Integrals of appliances' power, generation-positive.
    integrals: BTreeMap<Id, Track>,
    /// Integral of the power from the grid above, by source.
    sources: BTreeMap<Id, Track>,
    /// Registers of the meter at the connection: taken, and given.
    connection: Option<(Track, Track)>,
}

impl Meters {
    pub(super) fn new(site: &Site) -> Self {
        let metered = site.above.as_ref().and_then(|above| above.meter.as_ref());
        Self {
            keep_us: (4 * i64::from(site.market.interval_s) + 60) * US,
            connection: metered.map(|_| <(Track, Track)>::default()),
            ..Self::default()
        }
    }

    /// Takes over what a snapshot's registers and its estimate say.
    pub(super) fn note(&mut self, site: &Site, snapshot: &Snapshot, estimated: Option<&Estimated>) {
        let above = site.above.as_ref().and_then(|above| above.meter.as_ref());
        if let (Some(meter), Some((import, export))) = (above, &mut self.connection) {
            for (point, track) in [(&meter.import, import), (&meter.export, export)] {
                if let Some((at_us, wh)) = counter(snapshot, point) {
                    track.register(at_us, wh, self.keep_us);
                }
            }
        }
        for unit in &site.units {
            let counter = |name| counter(snapshot, &PointId::new(&unit.device, name));
            // Without a register of what it took, a battery's other one says nothing.
            let names: &[&str] = match unit.battery {
                Some(_) => &["energy", "energy_absorbed"],
                None => &["energy"],
            };
            let read: Vec<_> = names.iter().filter_map(|name| counter(name)).collect();
            if read.len() == names.len() {
                let tracks = self.registers.entry(unit.id).or_default();
                tracks.resize_with(names.len(), Track::default);
                for (track, (at_us, wh)) in tracks.iter_mut().zip(read) {
                    track.register(at_us, wh, self.keep_us);
                }
            }
        }
        let Some(estimated) = estimated else { return };
        for appliance in &estimated.estimate().appliances {
            if let Some(p) = appliance.p {
                let sign = if site.loads.iter().any(|l| l.id == appliance.id) {
                    -1.0
                } else {
                    1.0
                };
                let track = self.integrals.entry(appliance.id).or_default();
                track.integrate(estimated.now_us, sign * p.value, self.keep_us);
            }
        }
        for source in &estimated.estimate().sources {
            if let Some(p) = source.p {
                let track = self.sources.entry(source.id).or_default();
                track.integrate(estimated.now_us, p.value, self.keep_us);
            }
        }
    }

    /// Energy taken from the grid above, less what was given to it, Wh, and whether that is an estimate:
    /// there is no meter at the connection, or it says nothing. None: nobody knows.
    pub(super) fn exchanged(&self, (from_us, to_us): (i64, i64)) -> Option<(i64, bool)> {
        let over = |track: &Track| track.between(from_us, to_us);
        let metered = self
            .connection
            .as_ref()
            .and_then(|(import, export)| Some((over(import)? - over(export)?, false)));
        // The market above has one connection.
        let estimated = self.sources.values().next();
        metered.or_else(|| Some((estimated.and_then(over)?, true)))
    }

    /// What the meters say of an interval, for every party of its case.
    pub(super) fn read(
        &self,
        case: &Case,
        nodes_of_sources: &BTreeMap<Id, Id>,
        (from_us, to_us): (i64, i64),
    ) -> Vec<Meter> {
        let over = |track: Option<&Track>| track.and_then(|t| t.between(from_us, to_us));
        let meter = |participant: &str, unit: Id, node: Id| {
            let register = match self.registers.get(&unit).map(Vec::as_slice) {
                Some([delivered]) => over(Some(delivered)),
                Some([delivered, taken]) => {
                    let both = over(Some(delivered)).zip(over(Some(taken)));
                    both.map(|(delivered, taken)| delivered - taken)
                }
                _ => None,
            };
            let integral = over(self.integrals.get(&unit));
            let (delivered_wh, quality) = match (register, integral) {
                (Some(wh), _) => (wh, MeterQuality::Metered),
                (None, Some(wh)) => (wh, MeterQuality::Estimated),
                (None, None) => (0, MeterQuality::Missing),
            };
            Meter {
                party: Party::Participant(participant.to_owned()),
                unit: Some(unit),
                node,
                delivered_wh,
                quality,
            }
        };
        let units = case.units.iter();
        let mut meters: Vec<Meter> = units
            .map(|unit| meter(&unit.participant, unit.id, unit.node))
            .collect();
        for power in &case.fixed {
            if let Some(owner) = &power.owner {
                meters.push(meter(&owner.participant, owner.unit, power.node));
            }
        }
        for interface in &case.interface {
            let wh = over(self.sources.get(&interface.source));
            if let Some(&node) = nodes_of_sources.get(&interface.source) {
                meters.push(Meter {
                    party: Party::Upstream,
                    unit: None,
                    node,
                    delivered_wh: wh.unwrap_or_default(),
                    quality: match wh {
                        Some(_) => MeterQuality::Estimated,
                        None => MeterQuality::Missing,
                    },
                });
            }
        }
        meters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successive_intervals_add_up_to_the_register() {
        let mut track = Track::default();
        for k in 0..40 {
            // 100.5 kW, polled at 0.3 s past each second: 27.9 Wh a second
            let at_us = k * US + 300_000;
            track.register(at_us, (k as f64 * 100_500.0 / 3600.0).floor(), 100 * US);
        }
        let whole = track.between(5 * US, 35 * US).unwrap();
        let parts: i64 = (0..3)
            .map(|k| {
                track
                    .between((5 + 10 * k) * US, (15 + 10 * k) * US)
                    .unwrap()
            })
            .sum();
        assert_eq!(whole, parts);
        // 30 s at 100.5 kW are 837.5 Wh
        assert!((836..=839).contains(&whole), "{whole}");
    }

    #[test]
    fn a_register_that_restarts_or_stops_is_not_bridged() {
        let mut track = Track::default();
        track.register(0, 100.0, 100 * US);
        track.register(US, 5.0, 100 * US);
        assert_eq!(track.between(0, US), None);
        track.register(20 * US, 50.0, 100 * US);
        assert_eq!(track.at(10 * US), None);
    }

    #[test]
    fn power_is_integrated_with_its_sign() {
        let mut track = Track::default();
        for k in 0..=10 {
            track.integrate(k * US, -3600.0, 100 * US);
        }
        assert_eq!(track.between(0, 10 * US), Some(-10));
    }
}
