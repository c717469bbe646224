//! What is expected of loads without a meter of their own: the site file's figures, scaled so that
//! they add up to what the feeder was last estimated to take.
//!
//! The time of day moves all loads of a feeder more than it moves one against another, and the
//! meters around them see the sum. Loads that a bay measures together scale together, all others
//! together. Only the level follows the estimate; how a sum is shared stays the site file's.

use std::collections::BTreeMap;

use solver::{estimation::Estimate, network::Id};

use crate::site::{BayOf, Site};

/// Share of a change that is taken over at once.
const FOLLOW: f64 = 0.5;
/// No load profile is off by more than this.
const MOST: f64 = 10.0;

/// Loads that scale together.
#[derive(Clone, Debug)]
struct Group {
    loads: Vec<Id>,
    p: f64,
    q: f64,
}

/// Expected powers of loads, scaled.
#[derive(Clone, Debug)]
pub(super) struct LoadProfile {
    groups: Vec<Group>,
}

impl LoadProfile {
    pub(super) fn new(site: &Site) -> Self {
        let bays = site.devices.iter().flat_map(|device| &device.bays);
        let mut groups: Vec<Vec<Id>> = bays
            .filter_map(|bay| match &bay.of {
                BayOf::Loads { loads, .. } => Some(loads.clone()),
                BayOf::Branch { .. } => None,
            })
            .collect();
        let rest = site.loads.iter().map(|load| load.id);
        let rest = rest.filter(|id| !groups.iter().any(|group| group.contains(id)));
        groups.push(rest.collect());
        let group = |loads| Group {
            loads,
            p: 1.0,
            q: 1.0,
        };
        Self {
            groups: groups.into_iter().map(group).collect(),
        }
    }

    /// Factors on the expected active and reactive power of a load.
    pub(super) fn factors(&self, load: Id) -> (f64, f64) {
        let group = self.groups.iter().find(|g| g.loads.contains(&load));
        group.map_or((1.0, 1.0), |g| (g.p, g.q))
    }

    /// Follows an estimate in which every node is observable.
    pub(super) fn follow(&mut self, site: &Site, estimate: &Estimate) {
        let estimated: BTreeMap<Id, (f64, f64)> = estimate
            .appliances
            .iter()
            .filter_map(|a| Some((a.id, (a.p?.value, a.q?.value))))
            .collect();
        for group in &mut self.groups {
            let (mut found, mut expected) = ((0.0, 0.0), (0.0, 0.0));
            for load in site.loads.iter().filter(|l| group.loads.contains(&l.id)) {
                if let Some((p, q)) = estimated.get(&load.id) {
                    found = (found.0 + p, found.1 + q);
                    expected.0 += load.expected_p_w;
                    expected.1 += load.expected_q_var;
                }
            }
            follow(&mut group.p, found.0, expected.0);
            follow(&mut group.q, found.1, expected.1);
        }
    }
}

fn follow(factor: &mut f64, found: f64, expected: f64) {
    let now = found / expected;
    if now.is_finite() {
        *factor += FOLLOW * (now.clamp(0.0, MOST) - *factor);
    }
}
