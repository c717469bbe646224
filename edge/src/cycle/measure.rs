//! From points to measurements: what each point of the site measures, and how exactly.
//!
//! Points that are stale, invalid or frozen are left out. A load without a meter comes in as what
//! the site file expects of it, a unit without one as anything within its nameplate; both are
//! marked [`Origin::Pseudo`].

use protocols::point::{DeviceId, PointId, Quality, Value};
use solver::{
    estimation::{Kind, Measurement, Origin, Phase},
    network::{Id, Network, Side},
};

use super::profile::LoadProfile;
use crate::{
    clock::US,
    site::{
        BayOf, Device, Site,
        profile::{Accuracy, ErrorBand},
    },
    table::Snapshot,
};

/// Standard deviation below which none is believed, in the measurement's unit.
const SIGMA_MIN: f64 = 1e-3;
/// A value may move by this many standard deviations between polls and still be noise.
const NOISE: f64 = 4.0;

/// What a point measures.
#[derive(Clone, Debug)]
struct Channel {
    point: PointId,
    kind: Kind,
    /// The measurement is this times the point.
    sign: f64,
    band: ErrorBand,
    rated: f64,
}

/// What every point of a site measures.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    channels: Vec<Channel>,
}

/// The measurements of a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    /// What goes to the estimator.
    pub(super) measurements: Vec<Measurement>,
    /// The point of each; `None` for load models.
    pub(super) points: Vec<Option<PointId>>,
    /// Points left out because they repeat exactly, with what they claim.
    pub(super) frozen: Vec<(PointId, Kind, f64)>,
}

impl Measured {
    fn push(&mut self, kind: Kind, value: f64, sigma: f64, point: Option<PointId>) {
        let origin = if point.is_some() {
            Origin::Metered
        } else {
            Origin::Pseudo
        };
        self.measurements.push(Measurement {
            kind,
            phase: Phase::Sym,
            value,
            sigma: sigma.max(SIGMA_MIN),
            origin,
        });
        self.points.push(point);
    }
}

impl Plan {
    pub(super) fn new(site: &Site) -> Self {
        let mut channels = Vec::new();
        for device in &site.devices {
            for bay in &device.bays {
                bay_channels(site, device, bay.number, &bay.of, &mut channels);
            }
        }
        for unit in &site.units {
            if let Some(device) = site.devices.iter().find(|d| d.id == unit.device) {
                let appliance = unit.id;
                let kinds = [
                    ("p", Kind::ApplianceP { appliance }),
                    ("q", Kind::ApplianceQ { appliance }),
                    ("u", Kind::Voltage { node: unit.node }),
                ];
                for (name, kind) in kinds {
                    channels.push(Channel {
                        point: PointId::new(&device.id, name),
                        kind,
                        sign: 1.0,
                        band: band(&device.profile.accuracy, name),
                        rated: unit.p_rated_w,
                    });
                }
            }
        }
        Self { channels }
    }

    /// Points that carry noise.
    pub(super) fn noisy(&self) -> impl Iterator<Item = PointId> {
        self.channels.iter().map(|c| c.point.clone())
    }

    /// The measurements of a snapshot.
    pub(super) fn measure(
        &self,
        site: &Site,
        profile: &LoadProfile,
        snapshot: &Snapshot,
    ) -> Measured {
        let mut measured = Measured::default();
        let reference_us = reference(snapshot);
        for channel in &self.channels {
            let Some(point) = snapshot.points.get(&channel.point) else {
                continue;
            };
            let Value::Analog(raw) = point.value else {
                continue;
            };
            let value = channel.sign * raw;
            if point.quality == Quality::FROZEN {
                let frozen = (channel.point.clone(), channel.kind, value);
                measured.frozen.push(frozen);
            }
            if !point.quality.is_good() {
                continue;
            }
            let noise = channel.band.sigma(value, channel.rated);
            // What moves was another value at the moment the others were read.
            let moves = (point.rate_per_s.abs() - NOISE * noise).max(0.0);
            let apart_s = (point.time.unix_us - reference_us).abs() as f64 / US as f64;
            let sigma = noise.hypot(moves * apart_s);
            measured.push(channel.kind, value, sigma, Some(channel.point.clone()));
        }
        fill_gaps(site, profile, &mut measured);
        measured
    }
}

/// The moment that most values are of: the median of their times.
fn reference(snapshot: &Snapshot) -> i64 {
    let mut times: Vec<i64> = snapshot
        .points
        .values()
        .filter(|p| p.quality.is_good())
        .map(|p| p.time.unix_us)
        .collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn bay_channels(site: &Site, device: &Device, number: u8, of: &BayOf, channels: &mut Vec<Channel>) {
    for name in ["u", "p", "q", "i"] {
        let Some((kind, sign)) = bay_kind(&site.network, name, of) else {
            continue;
        };
        if name == "i" && device.profile.accuracy.i.is_none() {
            continue;
        }
        channels.push(Channel {
            point: bay_point(&device.id, number, name),
            kind,
            sign,
            band: band(&device.profile.accuracy, name),
            rated: 0.0,
        });
    }
}

/// Name of a bay's point.
pub(super) fn bay_point(device: &DeviceId, number: u8, name: &str) -> PointId {
    PointId::new(device, &format!("bay{number}_{name}"))
}

fn bay_kind(network: &Network, name: &str, of: &BayOf) -> Option<(Kind, f64)> {
    Some(match (of, name) {
        (&BayOf::Branch { branch, side }, "u") => {
            let node = node_at(network, branch, side)?;
            (Kind::Voltage { node }, 1.0)
        }
        (&BayOf::Branch { branch, side }, "p") => (Kind::BranchP { branch, side }, 1.0),
        (&BayOf::Branch { branch, side }, "q") => (Kind::BranchQ { branch, side }, 1.0),
        (&BayOf::Branch { branch, side }, "i") => (Kind::BranchCurrent { branch, side }, 1.0),
        (&BayOf::Loads { node, .. }, "u") => (Kind::Voltage { node }, 1.0),
        (BayOf::Loads { loads, node }, "p") => match loads[..] {
            [appliance] => (Kind::ApplianceP { appliance }, 1.0),
            // Everything at the node; generation-positive.
            _ => (Kind::NodeP { node: *node }, -1.0),
        },
        (BayOf::Loads { loads, node }, "q") => match loads[..] {
            [appliance] => (Kind::ApplianceQ { appliance }, 1.0),
            _ => (Kind::NodeQ { node: *node }, -1.0),
        },
        _ => return None,
    })
}

fn node_at(network: &Network, branch: Id, side: Side) -> Option<Id> {
    let ends = network
        .line
        .iter()
        .map(|l| (l.id, l.from_node, l.to_node))
        .chain(
            network
                .transformer
                .iter()
                .map(|t| (t.id, t.from_node, t.to_node)),
        );
    let (_, from, to) = ends.into_iter().find(|(id, ..)| *id == branch)?;
    Some(match side {
        Side::From => from,
        Side::To => to,
    })
}

fn band(accuracy: &Accuracy, name: &str) -> ErrorBand {
    match name {
        "u" => accuracy.u,
        "p" => accuracy.p,
        "q" => accuracy.q,
        _ => accuracy.i.unwrap_or_default(),
    }
}

/// A guess for everything that no meter measures.
fn fill_gaps(site: &Site, profile: &LoadProfile, measured: &mut Measured) {
    let kinds: Vec<Kind> = measured.measurements.iter().map(|m| m.kind).collect();
    let has = |kind: Kind| kinds.contains(&kind);
    for load in &site.loads {
        let appliance = load.id;
        let (p, q) = profile.factors(load.id);
        let guesses = [
            (Kind::ApplianceP { appliance }, p * load.expected_p_w),
            (Kind::ApplianceQ { appliance }, q * load.expected_q_var),
        ];
        // Also about the other quantity: an expected power factor is worth little.
        let floor = 0.1 * load.sigma * load.expected_p_w.abs();
        for (kind, expected) in guesses {
            if !has(kind) {
                let sigma = (load.sigma * expected.abs()).max(floor);
                measured.push(kind, expected, sigma, None);
            }
        }
    }
    for unit in &site.units {
        let appliance = unit.id;
        let guesses = [
            (
                Kind::ApplianceP { appliance },
                unit.fallback_p_w,
                unit.p_rated_w,
            ),
            (Kind::ApplianceQ { appliance }, 0.0, unit.q_rated_var),
        ];
        for (kind, expected, rated) in guesses {
            if !has(kind) {
                measured.push(kind, expected, rated / 2.0, None);
            }
        }
    }
}
