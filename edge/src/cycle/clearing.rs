//! Gate closure: who takes part with what, and the case that the clearing is computed from.
//!
//! Loads enter by their agents' must-serve orders, and units that do not answer or do not obey by
//! themselves, as fixed power at their estimated value (persistence forecast). Limits shrink by the estimate's uncertainty (invariant 6): a
//! node's voltage band by `sigma_margin` standard deviations at either end, a line's rating by
//! as many of its current. Ratings shrink besides by a margin of the site's choice, since the
//! forecast is as uncertain as the loads behind it.

use std::collections::BTreeMap;

use solver::{
    estimation::{BranchEstimate, Quantity},
    market::{
        Order, OrderId, Price, Unit as MarketUnit,
        clearing::{BranchLimit, Case, Controls, Interface, LimitSet, NodeLimit, NodePower, Owner},
    },
    network::{Grid, Id},
};

use super::phases::{self, Found};
use crate::{
    agents,
    site::{Limits, Site},
};

/// A voltage band never shrinks below this share of its width, a rating below this share: a limit
/// that uncertainty alone makes impossible to keep says nothing.
const LEAST_SHARE: f64 = 0.2;

/// What takes part, besides the estimate.
pub(super) struct Entry<'a> {
    pub(super) site: &'a Site,
    pub(super) grid: &'a Grid,
    pub(super) found: &'a Found,
    /// Where units that the control centre holds will be, generation-positive, W and var.
    pub(super) held: BTreeMap<Id, (f64, f64)>,
    /// Units that take setpoints, with what they can do now.
    pub(super) units: Vec<MarketUnit>,
    pub(super) orders: Vec<Order>,
    /// Start of the interval.
    pub(super) interval: i64,
    /// Price of a must-serve order.
    pub(super) price_max: Price,
    /// Number of the next order.
    pub(super) next_id: OrderId,
}

/// The case of an interval.
pub(super) fn case(entry: Entry<'_>) -> Case {
    let fixed = fixed(&entry);
    Case {
        duration_s: entry.site.market.interval_s,
        limits: limits(entry.site, entry.grid, entry.found),
        interface: interface(entry.site, entry.grid),
        // Nothing here moves taps or capacitors.
        controls: Controls::default(),
        by_phase: phases::by_phase(&entry, &fixed),
        voltages: Vec::new(),
        start: Some(match &entry.found.by_phase {
            Some(of) => of.u.iter().flatten().copied().collect(),
            None => entry.found.estimate.u.clone(),
        }),
        fixed,
        units: entry.units,
        orders: entry.orders,
    }
}

/// Everything that draws or feeds power but takes no setpoints.
fn fixed(entry: &Entry<'_>) -> Vec<NodePower> {
    let estimated = |id: Id| {
        let k = entry.grid.index_of_appliance(id)?;
        let appliance = entry.found.estimate.appliances.get(k)?;
        Some((appliance.p?.value, appliance.q?.value))
    };
    let mut fixed = Vec::new();
    let mut next_id = entry.next_id;
    for load in &entry.site.loads {
        // Load-positive in estimate and site file, generation-positive in the case.
        let (p, q) = estimated(load.id).unwrap_or((load.expected_p_w, load.expected_q_var));
        let order = agents::must_serve(load, p, entry.price_max, entry.interval, next_id);
        next_id.0 += u64::from(order.is_some());
        fixed.push(NodePower {
            node: load.node,
            p_w: -p,
            q_var: -q,
            owner: Some(Owner {
                unit: load.id,
                participant: load.participant.clone(),
                order,
            }),
        });
    }
    for unit in &entry.site.units {
        if entry.units.iter().all(|able| able.id != unit.id) {
            let held = entry.held.get(&unit.id).copied();
            let known = held.or_else(|| estimated(unit.id));
            let (p_w, q_var) = known.unwrap_or((unit.fallback_p_w, 0.0));
            fixed.push(NodePower {
                node: unit.node,
                p_w,
                q_var,
                owner: Some(Owner {
                    unit: unit.id,
                    participant: unit.participant.clone(),
                    order: None,
                }),
            });
        }
    }
    fixed
}

/// The voltage band of a node or phase, drawn in by the estimate's uncertainty, pu.
pub(super) fn band(limits: &Limits, u_pu: Option<Quantity>) -> (f64, f64) {
    let most = (limits.u_max_pu - limits.u_min_pu) * (1.0 - LEAST_SHARE) / 2.0;
    let shrink = match u_pu {
        Some(u_pu) => (limits.sigma_margin * u_pu.sigma).min(most),
        None => most,
    };
    (limits.u_min_pu + shrink, limits.u_max_pu - shrink)
}

fn limits(site: &Site, grid: &Grid, found: &Found) -> LimitSet {
    let limits = &site.limits;
    // By phase, those of phases stand in their place.
    let nodes = found.estimate.nodes.iter().zip(&grid.u_rated);
    let nodes = nodes
        .filter(|(node, _)| node.energised && found.by_phase.is_none())
        .map(|(node, u_rated)| {
            let u_pu = node.u.map(|u| Quantity {
                value: u.value / u_rated,
                sigma: u.sigma / u_rated,
            });
            let (u_min_pu, u_max_pu) = band(limits, u_pu);
            NodeLimit {
                node: node.id,
                u_min_pu,
                u_max_pu,
            }
        })
        .collect();
    let branches = found
        .estimate
        .branches
        .iter()
        .map(|branch| {
            // Transformers are rated in apparent power, and sigmas of that are not estimated.
            let shrink = match (rating_a(grid, branch.id), current_sigma_a(branch)) {
                (Some(rating_a), Some(sigma_a)) => limits.sigma_margin * sigma_a / rating_a,
                (Some(_), None) => 1.0,
                (None, _) => 0.0,
            };
            let shrink = shrink.min(1.0 - LEAST_SHARE);
            BranchLimit {
                branch: branch.id,
                loading_max: (1.0 - limits.rating_margin) * (1.0 - shrink),
            }
        })
        .collect();
    LimitSet {
        u_min_pu: limits.u_min_pu,
        u_max_pu: limits.u_max_pu,
        nodes,
        branches,
    }
}

/// Rated current at the from side of a line, A.
fn rating_a(grid: &Grid, branch: Id) -> Option<f64> {
    let branch = &grid.branches[grid.index_of_branch(branch)?];
    Some(branch.i_max?[0] * grid.base_current_a(branch.from))
}

fn current_sigma_a(branch: &BranchEstimate) -> Option<f64> {
    let ends = [branch.from, branch.to];
    ends.into_iter()
        .flatten()
        .map(|end| end.i.sigma)
        .reduce(f64::max)
}

fn interface(site: &Site, grid: &Grid) -> Vec<Interface> {
    grid.sources
        .iter()
        .filter(|source| source.closed)
        .map(|source| Interface {
            source: source.id,
            import_price: site.market.import_price,
            export_price: site.market.export_price,
            import_max_w: None,
            export_max_w: None,
            scheduled: None,
            u_pu: None,
        })
        .collect()
}
