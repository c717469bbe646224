//! What the cycle knows, as the public API shows it.

mod above;
mod market;

use std::collections::BTreeMap;

use protocols::{
    device::DeviceState,
    point::{DoublePoint, PointId, TimeQuality, Value},
};
use solver::{
    estimation::{Estimate, Kind, Origin, Quantity},
    market::{Capability, Unit as MarketUnit, clearing::PhaseName},
    network::{Grid, Id},
};

pub(crate) use above::{above, pu, voltage};
pub(super) use market::{interval, order};

use super::{
    feeder::{BadPoint, Estimated, Feeder},
    phases::Found,
};
use crate::{
    clock::rfc3339,
    participants::Member,
    site::{Built, Site, built, profile::Access},
    table::Snapshot,
    web::api::{
        BranchState, BranchView, DeviceView, EstimateView, NetworkState, NetworkView, NodeState,
        NodeView, PhaseState, PointValue, PointView, RejectedView, UnitState, UnitView,
    },
};

/// The network as built.
pub(super) fn network(site: &Site) -> NetworkView {
    let n = &site.network;
    let nodes = n
        .node
        .iter()
        .zip(&site.nodes)
        .map(|(node, place)| NodeView {
            id: node.id,
            name: place.name.clone(),
            u_rated_v: node.u_rated,
            u_min_pu: site.limits.u_min_pu,
            u_max_pu: site.limits.u_max_pu,
            x: place.x,
            y: place.y,
            source: n.source.iter().any(|s| s.node == node.id),
        })
        .collect();
    NetworkView {
        nodes,
        branches: built_branches(site),
        units: built_units(site),
    }
}

fn built_branches(site: &Site) -> Vec<BranchView> {
    let name_of = |id: Id| {
        let place = site.nodes.iter().find(|place| place.id == id);
        place.map_or_else(|| id.to_string(), |place| place.name.clone())
    };
    let between = |from, to| format!("{} – {}", name_of(from), name_of(to));
    let view = |of: Built| {
        let [from, to] = of.ends;
        let what = match of.kind {
            "transformer" => "Transformer",
            "step_voltage_regulator" => "Regulator",
            _ => "Line",
        };
        BranchView {
            id: of.id,
            name: format!("{what} {}", between(from, to)),
            kind: of.kind.to_owned(),
            from,
            to,
            i_n_a: of.i_n,
            s_n_va: of.s_n,
        }
    };
    built(&site.network).map(view).collect()
}

/// Units of the market, then loads.
fn built_units(site: &Site) -> Vec<UnitView> {
    let units = site.units.iter().map(|u| UnitView {
        id: u.id,
        name: u.name.clone(),
        kind: u.kind.as_str().to_owned(),
        node: u.node,
        participant: u.participant.clone(),
        device: Some(u.device.to_string()),
        p_rated_w: u.p_rated_w,
        q_rated_var: u.q_rated_var,
        phase: u.phase.map(|phase| phase.letter().to_owned()),
    });
    let loads = site.loads.iter().map(|l| UnitView {
        id: l.id,
        name: l.name.clone(),
        kind: "load".to_owned(),
        node: l.node,
        participant: l.participant.clone(),
        device: None,
        p_rated_w: l.expected_p_w,
        q_rated_var: l.expected_q_var,
        phase: None,
    });
    units.chain(loads).collect()
}

/// A registered unit as the market's rules take it.
pub(super) fn market_member(of: &Member) -> MarketUnit {
    let der = &of.der;
    MarketUnit {
        id: der.unit,
        participant: der.participant.clone(),
        node: der.node,
        capability: Capability {
            p_min_w: der.p_min_w,
            p_max_w: der.p_max_w,
            q_max_var: der.q_max_var,
            s_max_va: Some(der.s_rated_va),
        },
        dispatchable: of.dispatchable,
    }
}

pub(super) fn devices(site: &Site, snapshot: &Snapshot) -> Vec<DeviceView> {
    site.devices
        .iter()
        .filter_map(|device| {
            let link = snapshot.links.get(&device.id)?;
            let (state, error) = match &link.state {
                DeviceState::Connecting => ("connecting", None),
                DeviceState::Online => ("online", None),
                DeviceState::Offline { error, .. } => ("offline", Some(error.clone())),
            };
            let ms = |d: std::time::Duration| d.as_secs_f64() * 1e3;
            Some(DeviceView {
                id: device.id.to_string(),
                profile: device.profile_name.clone(),
                address: device.place.to_string(),
                state: state.to_owned(),
                error,
                since: rfc3339(link.since_us),
                description: link.description.as_ref().map(|d| {
                    let parts = [&d.manufacturer, &d.model, &d.version];
                    let parts: Vec<&str> = parts.into_iter().map(|s| s.trim()).collect();
                    parts.join(" ").trim().to_owned()
                }),
                polls: link.polls,
                poll_ms: link.took.median().map(ms),
                late_ms: link.late.max().map(ms),
            })
        })
        .collect()
}

/// Units of points, for people; made once.
pub(super) fn point_units(site: &Site) -> BTreeMap<PointId, String> {
    let mut units = BTreeMap::new();
    for device in &site.devices {
        match &device.profile.access {
            Access::Modbus(map) => {
                for point in &map.points {
                    let id = PointId::new(&device.id, &point.name);
                    units.insert(id, point.unit.clone());
                }
            }
            Access::Dnp3(map) => {
                for point in &map.points {
                    let id = PointId::new(&device.id, &point.name);
                    units.insert(id, point.unit.clone());
                }
            }
            Access::Iec104(map) => {
                for point in &map.points {
                    let id = PointId::new(&device.id, &point.name);
                    units.insert(id, point.unit.clone());
                }
            }
            Access::Iec61850(map) => {
                for point in &map.points {
                    let id = PointId::new(&device.id, &point.name);
                    units.insert(id, point.unit.clone());
                }
            }
            Access::Sunspec => {
                for (name, unit) in SUNSPEC_UNITS {
                    units.insert(PointId::new(&device.id, name), (*unit).to_owned());
                }
            }
        }
    }
    units
}

const SUNSPEC_UNITS: &[(&str, &str)] = &[
    ("p", "W"),
    ("p_limit", "W"),
    ("p_set", "W"),
    ("q", "var"),
    ("q_set", "var"),
    ("u", "V"),
    ("i", "A"),
    ("f", "Hz"),
    ("energy", "Wh"),
    ("energy_absorbed", "Wh"),
    ("lease_left", "s"),
];

pub(super) fn points(snapshot: &Snapshot, units: &BTreeMap<PointId, String>) -> Vec<PointView> {
    snapshot
        .points
        .iter()
        .map(|(id, point)| PointView {
            id: id.to_string(),
            value: point_value(point.value),
            unit: units.get(id).cloned().unwrap_or_default(),
            quality: point.quality.names(),
            time: Some(rfc3339(point.time.unix_us)),
            time_quality: Some(
                match point.time.quality {
                    TimeQuality::Source => "source",
                    TimeQuality::Unsynchronised => "unsynchronised",
                    TimeQuality::Received => "received",
                }
                .to_owned(),
            ),
            received: Some(rfc3339(point.received_us)),
        })
        .collect()
}

fn point_value(value: Value) -> Option<PointValue> {
    Some(match value {
        // JSON has no NaN: a value that is none is shown as none.
        Value::Analog(x) if !x.is_finite() => return None,
        Value::Analog(x) => PointValue::Number(x),
        Value::Counter(n) => PointValue::Number(n as f64),
        Value::Binary(on) => PointValue::Bool(on),
        Value::DoublePoint(position) => PointValue::Text(
            match position {
                DoublePoint::Intermediate => "intermediate",
                DoublePoint::Off => "off",
                DoublePoint::On => "on",
                DoublePoint::Bad => "bad",
            }
            .to_owned(),
        ),
    })
}

pub(super) fn network_state(
    site: &Site,
    feeder: &Feeder,
    snapshot: &Snapshot,
) -> Option<NetworkState> {
    let estimated = feeder.last.as_ref()?;
    let estimate = estimated.estimate();
    let grid = &feeder.grid;
    let nodes = estimate
        .nodes
        .iter()
        .zip(&grid.u_rated)
        .enumerate()
        .map(|(k, (node, u_rated))| NodeState {
            id: node.id,
            u_pu: node.u.map_or(0.0, |u| u.value / u_rated),
            angle_deg: node.angle.map_or(0.0, |a| a.value.to_degrees()),
            sigma_pu: node.u.map_or(0.0, |u| u.sigma / u_rated),
            observable: node.u.is_some(),
            energised: node.energised,
            phases: phases(&estimated.found, grid, k),
        })
        .collect();
    Some(NetworkState {
        time: rfc3339(estimated.now_us),
        estimate: EstimateView {
            ok: estimated.sound(),
            error: feeder.error.clone(),
            objective: estimate.objective,
            threshold: estimate.chi_square_threshold,
            degrees_of_freedom: i64::try_from(estimate.degrees_of_freedom).unwrap_or(i64::MAX),
            metered: estimated.metered,
            pseudo: estimated.pseudo,
            iterations: u32::try_from(estimate.iterations).unwrap_or(u32::MAX),
            took_us: u64::try_from(estimated.took_us).unwrap_or_default(),
        },
        nodes,
        branches: branches(estimate, grid),
        units: units(site, estimate, snapshot),
        rejected: rejected(estimated),
        loss_w: loss_w(estimate),
    })
}

fn phases(found: &Found, grid: &Grid, node: usize) -> Vec<PhaseState> {
    let phases = found.voltages_pu(grid, node);
    let shown = |(phase, u): (Option<PhaseName>, Option<Quantity>)| {
        Some(PhaseState {
            phase: phase?.letter().to_owned(),
            u_pu: value(u),
            sigma_pu: u.map_or(0.0, |u| u.sigma),
            observable: u.is_some(),
        })
    };
    phases.filter_map(shown).collect()
}

fn value(quantity: Option<Quantity>) -> f64 {
    quantity.map_or(0.0, |q| q.value)
}

fn branches(estimate: &Estimate, grid: &Grid) -> Vec<BranchState> {
    estimate
        .branches
        .iter()
        .zip(&grid.branches)
        .map(|(b, known)| BranchState {
            id: b.id,
            p_from_w: b.from.map_or(0.0, |end| end.p.value),
            q_from_var: b.from.map_or(0.0, |end| end.q.value),
            i_a: [b.from, b.to]
                .into_iter()
                .flatten()
                .map(|end| end.i.value)
                .fold(0.0, f64::max),
            loading: b.loading.unwrap_or(0.0),
            closed: known.from_closed && known.to_closed,
        })
        .collect()
}

fn units(site: &Site, estimate: &Estimate, snapshot: &Snapshot) -> Vec<UnitState> {
    estimate
        .appliances
        .iter()
        .map(|a| {
            let load = site.loads.iter().any(|l| l.id == a.id);
            let sign = if load { -1.0 } else { 1.0 };
            let unit = site.units.iter().find(|u| u.id == a.id);
            UnitState {
                id: a.id,
                p_w: sign * value(a.p),
                q_var: sign * value(a.q),
                origin: match a.origin {
                    Some(Origin::Metered) => "metered",
                    // From the rest of the network, or from a guess: not from its own meter.
                    Some(Origin::Pseudo) | None => "pseudo",
                }
                .to_owned(),
                soc: unit
                    .filter(|u| u.battery.is_some())
                    .and_then(|u| snapshot.good(&PointId::new(&u.device, "soc"))),
            }
        })
        .collect()
}

fn rejected(estimated: &Estimated) -> Vec<RejectedView> {
    let shown = |bad: &BadPoint| {
        let (measures, element) = element(bad.kind)?;
        Some(RejectedView {
            point: bad.point.to_string(),
            measures: measures.to_owned(),
            element,
            measured: bad.measured,
            estimated: bad.estimated,
            normalised_residual: bad.normalised_residual,
            reason: bad.reason.to_owned(),
            text: bad.text.clone(),
            since: rfc3339(bad.since_us),
        })
    };
    estimated.bad.iter().filter_map(shown).collect()
}

/// What a measurement is of; none for kinds that no point of a site has.
fn element(kind: Kind) -> Option<(&'static str, Id)> {
    Some(match kind {
        Kind::Voltage { node } | Kind::NodeP { node } | Kind::NodeQ { node } => ("node", node),
        Kind::BranchP { branch, .. }
        | Kind::BranchQ { branch, .. }
        | Kind::BranchCurrent { branch, .. } => ("branch", branch),
        Kind::ApplianceP { appliance } | Kind::ApplianceQ { appliance } => ("unit", appliance),
        _ => return None,
    })
}

fn loss_w(estimate: &Estimate) -> f64 {
    estimate
        .branches
        .iter()
        .map(|b| b.from.map_or(0.0, |e| e.p.value) + b.to.map_or(0.0, |e| e.p.value))
        .sum()
}
