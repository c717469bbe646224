//! What is really so, for tests and demonstrations: the physics, not any measurement.

use serde::Serialize;
use solver::network::{Id, Network};

use super::{Substation, si};
use crate::profiles::Clock;

/// A power; the sign is stated where it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Power {
    /// W.
    pub p_w: f64,
    /// var.
    pub q_var: f64,
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NodeTruth {
    /// Id in the network.
    pub id: Id,
    /// Voltage magnitude, pu; by phase the mean of those that are live.
    pub u_pu: f64,
    /// By phase: of a, b and c, to ground, pu.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub u_phases_pu: Option<[Option<f64>; 3]>,
}

/// A line or transformer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BranchTruth {
    /// Id in the network.
    pub id: Id,
    /// Share of the rating, 1 is full; 0 without a rating.
    pub loading: f64,
    /// Current at the from side, A.
    pub i_a: f64,
    /// Active power into the branch at the from side, W.
    pub p_from_w: f64,
    /// Reactive power into the branch at the from side, var.
    pub q_from_var: f64,
}

/// A DER, generation-positive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnitTruth {
    /// Id of the network's generator.
    pub id: Id,
    /// Device of the scenario.
    pub device: String,
    /// Active power, W.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
    /// What sun, wind, fuel or charge would give, W.
    pub available_w: f64,
    /// Limit of active power in force, W.
    pub limit_w: Option<f64>,
    /// Set value of active power in force, W.
    pub set_w: Option<f64>,
    /// Set value of reactive power in force, var.
    pub q_set_var: Option<f64>,
    /// Whether a client's lease is running: without a renewal the device reverts when it ends.
    pub controlled: bool,
    /// Seconds until then.
    pub lease_left_s: Option<f64>,
    /// State of charge, 0 to 1, of a battery.
    pub soc: Option<f64>,
}

/// A load, load-positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LoadTruth {
    /// Id in the network.
    pub id: Id,
    /// Active power, W.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
}

/// Everything now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Truth {
    /// UTC of the last step, ms since 1970.
    pub t_unix_ms: i64,
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// Simulated time of day.
    pub sim_time: String,
    /// Why voltages and flows are older than that, if they are.
    pub failure: Option<String>,
    /// Nodes.
    pub nodes: Vec<NodeTruth>,
    /// Lines and transformers.
    pub branches: Vec<BranchTruth>,
    /// DERs.
    pub units: Vec<UnitTruth>,
    /// Loads.
    pub loads: Vec<LoadTruth>,
    /// What the grid above delivers.
    pub source: Power,
    /// Losses of all branches, W.
    pub loss_w: f64,
}

/// A step of the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// UTC, ms since 1970.
    pub t_unix_ms: i64,
    /// Simulated time of day.
    pub sim_time: String,
    /// Whether the power flow converged; else voltages and flows are those of the row before.
    pub converged: bool,
    /// Highest voltage, pu.
    pub u_max: f64,
    /// Where.
    pub u_max_node: Id,
    /// Lowest voltage, pu.
    pub u_min: f64,
    /// Where.
    pub u_min_node: Id,
    /// Highest loading, 1 is full.
    pub loading_max: f64,
    /// Of which branch.
    pub loading_branch: Id,
    /// Import from the grid above, W.
    pub import_w: f64,
    /// Import from the grid above, var.
    pub import_var: f64,
    /// Losses, W.
    pub loss_w: f64,
    /// Active power of each unit, generation-positive, W, in the order of the units.
    pub unit_p_w: Vec<f64>,
    /// Reactive power of each unit, generation-positive, var.
    pub unit_q_var: Vec<f64>,
}

/// What loads take now.
fn loads(network: &Network) -> impl Iterator<Item = LoadTruth> {
    let truth = |id, p_w, q_var| LoadTruth { id, p_w, q_var };
    let sym = network.sym_load.iter();
    let asym = network.asym_load.iter();
    let sum = |of: &[f64; 3]| of.iter().sum();
    sym.map(move |of| truth(of.id, of.p_specified, of.q_specified))
        .chain(asym.map(move |of| truth(of.id, sum(&of.p_specified), sum(&of.q_specified))))
}

impl Substation {
    /// Everything as of the last step; time left and elapsed as of `now_s`.
    #[must_use]
    pub fn truth(&self, now_s: f64) -> Truth {
        let grid = self.physics.grid();
        let nodes = grid.node_id.iter().enumerate();
        let branches = grid.branches.iter().enumerate();
        Truth {
            t_unix_ms: self.unix_ms,
            elapsed_s: now_s,
            sim_time: Clock::format(self.clock.time_of_day_s(self.now_s)),
            failure: self.physics.failure().map(ToString::to_string),
            nodes: nodes
                .map(|(k, &id)| NodeTruth {
                    id,
                    u_pu: self.physics.u_pu(k),
                    u_phases_pu: self.physics.u_phases_pu(k),
                })
                .collect(),
            branches: branches
                .map(|(k, branch)| {
                    let flow = self.physics.flow(k);
                    BranchTruth {
                        id: branch.id,
                        loading: flow.loading,
                        i_a: flow.i_from_a,
                        p_from_w: flow.s_from_va().re,
                        q_from_var: flow.s_from_va().im,
                    }
                })
                .collect(),
            units: self.unit_truths(now_s),
            loads: loads(grid.network()).collect(),
            source: si(self.physics.supplied()),
            loss_w: si(self.physics.loss()).p_w,
        }
    }

    fn unit_truths(&self, now_s: f64) -> Vec<UnitTruth> {
        let truth = |device: &super::DerDevice| {
            let der = &device.der;
            let orders = der.effective(now_s);
            UnitTruth {
                id: device.unit,
                device: device.name.clone(),
                p_w: der.p_w(),
                q_var: der.q_var(),
                available_w: der.available_w(),
                limit_w: orders.limit_w,
                set_w: orders.set_w,
                q_set_var: orders.q_set_var,
                controlled: orders.lease_left_s.is_some(),
                lease_left_s: orders.lease_left_s,
                soc: der.storage.map(|storage| storage.soc),
            }
        };
        self.ders().map(truth).collect()
    }

    pub(super) fn row(&self) -> Row {
        let grid = self.physics.grid();
        let mut u_max = (f64::NEG_INFINITY, 0);
        let mut u_min = (f64::INFINITY, 0);
        for (k, &id) in grid.node_id.iter().enumerate() {
            let phases = self.physics.u_phases_pu(k);
            let live = phases.map(|u| u.into_iter().flatten().collect::<Vec<_>>());
            for u in live.unwrap_or_else(|| vec![self.physics.u_pu(k)]) {
                if u > u_max.0 {
                    u_max = (u, id);
                }
                if u < u_min.0 {
                    u_min = (u, id);
                }
            }
        }
        let mut loading = (0.0, 0);
        for (k, branch) in grid.branches.iter().enumerate() {
            let share = self.physics.flow(k).loading;
            if share > loading.0 {
                loading = (share, branch.id);
            }
        }
        let import = si(self.physics.supplied());
        Row {
            t_unix_ms: self.unix_ms,
            sim_time: Clock::format(self.clock.time_of_day_s(self.now_s)),
            converged: self.physics.failure().is_none(),
            u_max: u_max.0,
            u_max_node: u_max.1,
            u_min: u_min.0,
            u_min_node: u_min.1,
            loading_max: loading.0,
            loading_branch: loading.1,
            import_w: import.p_w,
            import_var: import.q_var,
            loss_w: si(self.physics.loss()).p_w,
            unit_p_w: self.ders().map(|device| device.der.p_w()).collect(),
            unit_q_var: self.ders().map(|device| device.der.q_var()).collect(),
        }
    }
}
