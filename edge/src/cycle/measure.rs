//! From points to measurements: what each point of the site measures, and how exactly.
//!
//! Points that are stale, invalid or frozen are left out. A load without a meter comes in as what
//! the site file expects of it, a unit without one as anything within its nameplate; both are
//! marked [`Origin::Pseudo`].
//!
//! By phase, a point that names its phase is of that; the power of a load or unit is shared by the
//! phases as the network has it. Of anything else that is measured for all phases together nobody knows
//! how the phases share it: each is taken to have its equal part, as in power-grid-model, but no more
//! surely than feeders are balanced.

use protocols::point::{DeviceId, PointId, Quality, Value};
use solver::{
    estimation::{Kind, Measurement, Origin, Phase},
    network::Network,
};

use super::profile::LoadProfile;
use crate::{
    clock::US,
    site::{
        BayOf, Device, Shares, Site, Unit, built,
        profile::{Accuracy, ErrorBand},
    },
    table::Snapshot,
};

/// Standard deviation below which none is believed, in the measurement's unit.
const SIGMA_MIN: f64 = 1e-3;
/// A value may move by this many standard deviations between polls and still be noise.
const NOISE: f64 = 4.0;

/// By phase: that nothing is drawn or fed in a phase that an appliance has not, W or var.
const SIGMA_NOTHING: f64 = 0.1;
/// By phase: standard deviation of a phase's part of what is measured for all phases together, as a share
/// of it. Voltages: the unbalance that EN 50160 allows; powers and currents of distribution feeders are a
/// matter of who is connected where.
const UNBALANCE_U: f64 = 0.02;
const UNBALANCE: f64 = 0.2;
/// Phases as points and measurements name them.
const PHASES: [(&str, Phase); 3] = [("a", Phase::A), ("b", Phase::B), ("c", Phase::C)];

/// What a point measures.
#[derive(Clone, Debug)]
struct Channel {
    point: PointId,
    kind: Kind,
    /// Of which phase; all, unless by phase.
    phase: Phase,
    /// The measurement is this times the point.
    factor: f64,
    /// Each phase's share in it, instead of its phase.
    shares: Option<[f64; 3]>,
    /// What is not known of it besides the meter's error, as a share.
    doubt: f64,
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
    pub(super) frozen: Vec<(PointId, Kind, Phase, f64)>,
}

impl Measured {
    fn push(
        &mut self,
        (kind, phase): (Kind, Phase),
        (value, sigma): (f64, f64),
        point: Option<PointId>,
    ) {
        let origin = if point.is_some() {
            Origin::Metered
        } else {
            Origin::Pseudo
        };
        self.measurements.push(Measurement {
            kind,
            phase,
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
            let device = site.devices.iter().find(|d| d.id == unit.device);
            if let Some(device) = device {
                unit_channels(site, unit, device, &mut channels);
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
            let value = channel.factor * raw;
            if point.quality == Quality::FROZEN {
                let frozen = (channel.point.clone(), channel.kind, channel.phase, value);
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
            let sigma = match channel.doubt {
                0.0 => sigma,
                share => sigma.hypot(share * value),
            };
            channel.put(&mut measured, value, sigma);
        }
        fill_gaps(site, profile, &mut measured);
        measured
    }
}

impl Channel {
    fn put(&self, measured: &mut Measured, value: f64, sigma: f64) {
        let Some(shares) = self.shares else {
            let point = Some(self.point.clone());
            measured.push((self.kind, self.phase), (value, sigma), point);
            return;
        };
        for ((_, phase), share) in PHASES.into_iter().zip(shares) {
            if share != 0.0 {
                let part = (share * value, share * sigma);
                measured.push((self.kind, phase), part, Some(self.point.clone()));
            }
        }
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

fn unit_channels(site: &Site, unit: &Unit, device: &Device, channels: &mut Vec<Channel>) {
    let appliance = unit.id;
    let channel = |name: &str, kind| Channel {
        point: PointId::new(&device.id, name),
        kind,
        phase: Phase::Sym,
        factor: 1.0,
        shares: None,
        doubt: 0.0,
        band: band(&device.profile.accuracy, name),
        rated: unit.p_rated_w,
    };
    let shares = unit.shares();
    let power = |name, kind, shares: [f64; 3]| Channel {
        shares: site.by_phase.then_some(shares),
        ..channel(name, kind)
    };
    channels.push(power("p", Kind::ApplianceP { appliance }, shares.p));
    channels.push(power("q", Kind::ApplianceQ { appliance }, shares.q));
    let u = channel("u", Kind::Voltage { node: unit.node });
    match (site.by_phase, unit.phase) {
        (false, _) => channels.push(u),
        // Shown as a line-to-line voltage, whatever it is connected to.
        (true, Some(of)) => channels.push(Channel {
            phase: PHASES[of.index()].1,
            factor: 1.0 / 3_f64.sqrt(),
            ..u
        }),
        (true, None) => channels.push(Channel {
            doubt: UNBALANCE_U,
            ..u
        }),
    }
}

fn bay_channels(site: &Site, device: &Device, number: u8, of: &BayOf, channels: &mut Vec<Channel>) {
    let has = |name: &str| device.profile.has_point(&format!("bay{number}_{name}"));
    for name in ["u", "p", "q", "i"] {
        let Some((kind, factor)) = bay_kind(&site.network, name, of) else {
            continue;
        };
        if name == "i" && device.profile.accuracy.i.is_none() {
            continue;
        }
        let channel = Channel {
            point: bay_point(&device.id, number, name),
            kind,
            phase: Phase::Sym,
            factor,
            shares: None,
            doubt: 0.0,
            band: band(&device.profile.accuracy, name),
            rated: 0.0,
        };
        if !site.by_phase {
            channels.push(channel);
            continue;
        }
        let phases = PHASES.map(|(letter, phase)| (format!("{name}_{letter}"), phase));
        if phases.iter().any(|(name, _)| has(name)) {
            let there = phases_at(site, of).into_iter().zip(phases);
            channels.extend(
                there
                    .filter(|(there, _)| *there)
                    .map(|(_, (name, phase))| Channel {
                        point: bay_point(&device.id, number, &name),
                        phase,
                        ..channel.clone()
                    }),
            );
            continue;
        }
        channels.push(Channel {
            shares: load_shares(site, name, of),
            doubt: match (name, load_shares(site, name, of)) {
                (_, Some(_)) => 0.0,
                ("u", None) => UNBALANCE_U,
                (_, None) => UNBALANCE,
            },
            ..channel
        });
    }
}

/// Phases that what a bay measures has.
fn phases_at(site: &Site, of: &BayOf) -> [bool; 3] {
    let branch = match of {
        BayOf::Branch { branch, .. } => built(&site.network).find(|known| known.id == *branch),
        BayOf::Loads { .. } => None,
    };
    // What a node has not, the estimator does not use.
    branch.map_or([true; 3], |known| known.phases)
}

/// How the power of a bay's one load is shared.
fn load_shares(site: &Site, name: &str, of: &BayOf) -> Option<[f64; 3]> {
    let BayOf::Loads { loads, .. } = of else {
        return None;
    };
    let [id] = loads[..] else { return None };
    let shares = site.loads.iter().find(|load| load.id == id)?.shares;
    match name {
        "p" => Some(shares.p),
        "q" => Some(shares.q),
        _ => None,
    }
}

/// Name of a bay's point.
pub(super) fn bay_point(device: &DeviceId, number: u8, name: &str) -> PointId {
    PointId::new(device, &format!("bay{number}_{name}"))
}

fn bay_kind(network: &Network, name: &str, of: &BayOf) -> Option<(Kind, f64)> {
    Some(match (of, name) {
        (&BayOf::Branch { branch, side }, "u") => {
            let known = built(network).find(|known| known.id == branch)?;
            let node = known.node(side);
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
    let known: Vec<(Kind, Phase)> = measured
        .measurements
        .iter()
        .map(|m| (m.kind, m.phase))
        .collect();
    let mut guess = |kind: Kind, shares: [f64; 3], (expected, sigma): (f64, f64)| {
        if !site.by_phase {
            if !known.contains(&(kind, Phase::Sym)) {
                measured.push((kind, Phase::Sym), (expected, sigma), None);
            }
            return;
        }
        for ((_, phase), share) in PHASES.into_iter().zip(shares) {
            let part = match share {
                0.0 => (0.0, SIGMA_NOTHING),
                share => (share * expected, share * sigma),
            };
            if !known.contains(&(kind, phase)) {
                measured.push((kind, phase), part, None);
            }
        }
    };
    for load in &site.loads {
        let appliance = load.id;
        let (p, q) = profile.factors(load.id);
        let Shares { p: of_p, q: of_q } = load.shares;
        let guesses = [
            (Kind::ApplianceP { appliance }, of_p, p * load.expected_p_w),
            (
                Kind::ApplianceQ { appliance },
                of_q,
                q * load.expected_q_var,
            ),
        ];
        // Also about the other quantity: an expected power factor is worth little.
        let floor = 0.1 * load.sigma * load.expected_p_w.abs();
        for (kind, shares, expected) in guesses {
            let sigma = (load.sigma * expected.abs()).max(floor);
            guess(kind, shares, (expected, sigma));
        }
    }
    for unit in &site.units {
        let appliance = unit.id;
        let shares = unit.shares();
        let p = (unit.fallback_p_w, unit.p_rated_w / 2.0);
        guess(Kind::ApplianceP { appliance }, shares.p, p);
        let q = (0.0, unit.q_rated_var / 2.0);
        guess(Kind::ApplianceQ { appliance }, shares.q, q);
    }
}
