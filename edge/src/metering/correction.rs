//! What a meter's value changes in the intervals that it is of.

use solver::{
    market::{Contracts, LedgerEntry, Meter, MeterQuality, Rulebook},
    network::Id,
};

use super::Value;
use crate::store::Record;

/// A metered interval as it stands on record.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its start, UTC, s since 1970.
    pub interval: i64,
    duration_s: u32,
    contracts: Contracts,
    rulebook: Rulebook,
    /// What the appliance metered.
    own: Vec<Meter>,
    /// What meters say now.
    pub now: Vec<Meter>,
    is_settled: bool,
}

impl Standing {
    /// From the records of an interval, oldest first; none, unless it was metered and all that it is
    /// settled from is on record.
    #[must_use]
    pub fn of(interval: i64, records: &[Record]) -> Option<Self> {
        let (mut gate, mut contracted) = (None, None);
        let mut standing: Option<Self> = None;
        for record in records {
            let Record::Market(entry) = record else {
                continue;
            };
            match entry {
                LedgerEntry::GateClosed { case, rulebook, .. } => {
                    gate = Some((case.duration_s, rulebook.as_ref()?));
                }
                LedgerEntry::Contracted { contracts, .. } => contracted = Some(contracts),
                LedgerEntry::Metered { meters, .. } => match &mut standing {
                    // What was given before the settlement.
                    Some(of) => of.now.clone_from(meters),
                    None => {
                        let (duration_s, rulebook) = gate?;
                        standing = Some(Self {
                            interval,
                            duration_s,
                            contracts: contracted?.clone(),
                            rulebook: Rulebook::clone(rulebook),
                            own: meters.clone(),
                            now: meters.clone(),
                            is_settled: false,
                        });
                    }
                },
                LedgerEntry::Settled(_) => standing.as_mut()?.is_settled = true,
                LedgerEntry::Resettled { meters, .. } => {
                    let of = standing.as_mut()?;
                    of.now = overlaid(&of.now, meters);
                }
                _ => {}
            }
        }
        standing
    }

    /// The appliance's own reading of a unit, with its energy, as contracted where it has none.
    fn own_of(&self, unit: Id) -> Option<(&Meter, i64)> {
        let own = self.own.iter().find(|of| of.unit == Some(unit))?;
        let contracted = self
            .contracts
            .contracts
            .iter()
            .flat_map(|c| [(&c.seller, c.energy_wh), (&c.buyer, -c.energy_wh)]);
        let of_it =
            contracted.filter(|(place, _)| place.unit == Some(unit) && place.node == own.node);
        let energy_wh = match own.quality {
            MeterQuality::Missing => of_it.map(|(_, wh)| wh).sum(),
            _ => own.delivered_wh,
        };
        Some((own, energy_wh))
    }

    /// What is to be put on record where meters say this; it stands from here on. None: they said so
    /// already.
    fn say(&mut self, meter: Meter) -> Option<LedgerEntry> {
        let meters = vec![meter];
        let after = overlaid(&self.now, &meters);
        if after == self.now {
            return None;
        }
        let entry = match self.is_settled {
            true => self.resettled(meters),
            false => LedgerEntry::Metered {
                interval: self.interval,
                meters: after.clone(),
            },
        };
        self.now = after;
        Some(entry)
    }

    /// The correction that goes with other words of some meters.
    #[must_use]
    pub fn resettled(&self, meters: Vec<Meter>) -> LedgerEntry {
        let after = overlaid(&self.now, &meters);
        let of = (&*self.now, &*after);
        let correction = self.rulebook.correct(self.interval, &self.contracts, of);
        LedgerEntry::Resettled { meters, correction }
    }
}

/// Meters, with some of them saying something else.
fn overlaid(meters: &[Meter], others: &[Meter]) -> Vec<Meter> {
    let same = |a: &Meter, b: &Meter| (&a.party, a.unit, a.node) == (&b.party, b.unit, b.node);
    let say = |meter: &Meter| others.iter().rfind(|other| same(meter, other)).cloned();
    let said = meters.iter();
    said.map(|meter| say(meter).unwrap_or_else(|| meter.clone()))
        .collect()
}

/// What a value of the meter of `unit` changes; `standing` are the metered intervals within its time, which
/// stand corrected afterwards: those that are settled by a correction, others are settled on it. Where not all
/// of its time was metered, as much of its energy counts as of its time. The appliance's own metering says how it is shared out, and stands again where the value is
/// missing. Nothing: the unit had no part in these intervals, or nothing is different.
#[must_use]
pub fn correct(value: &Value, unit: Id, standing: &mut [&mut Standing]) -> Vec<LedgerEntry> {
    let own: Vec<Option<(Meter, i64)>> = standing
        .iter()
        .map(|of| of.own_of(unit).map(|(own, wh)| (own.clone(), wh)))
        .collect();
    let base: Vec<i64> = own.iter().flatten().map(|(_, wh)| *wh).collect();
    let took_part = standing.iter().zip(&own).filter(|(_, own)| own.is_some());
    let metered_s: i64 = took_part.map(|(of, _)| i64::from(of.duration_s)).sum();
    let total = proportion(value.delivered_wh, metered_s, i64::from(value.length_s));
    let mut shares = share(total, &base).into_iter();
    let mut entries = Vec::new();
    for (of, own) in standing.iter_mut().zip(own) {
        let Some((own, _)) = own else { continue };
        let share = shares.next().unwrap_or_default();
        let meter = match value.quality {
            MeterQuality::Missing => own,
            quality => Meter {
                delivered_wh: share,
                quality,
                ..own
            },
        };
        entries.extend(of.say(meter));
    }
    entries
}

/// `total` shared out as `base` is, as near as whole numbers can: what is between the two by the size of
/// each, evenly where all are nothing.
pub(super) fn share(total: i64, base: &[i64]) -> Vec<i64> {
    let sum: i128 = base.iter().map(|&wh| i128::from(wh)).sum();
    let between = i128::from(total) - sum;
    let even = base.iter().all(|&wh| wh == 0);
    let weight = |wh: i64| if even { 1 } else { i128::from(wh).abs() };
    let weights: i128 = base.iter().map(|&wh| weight(wh)).sum();
    let (mut along, mut given) = (0, 0);
    base.iter()
        .map(|&wh| {
            along += weight(wh);
            let until = between.saturating_mul(along).div_euclid(weights.max(1));
            let share = i128::from(wh) + until - given;
            given = until;
            share.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
        })
        .collect()
}

/// `part` of `whole` of an energy, rounded half up.
fn proportion(energy_wh: i64, part: i64, whole: i64) -> i64 {
    let twice = 2 * i128::from(energy_wh) * i128::from(part) + i128::from(whole.max(1));
    let share = twice.div_euclid(2 * i128::from(whole.max(1)));
    share.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
