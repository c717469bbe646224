//! A feeder whose phases differ: the solver's power flow by phase, and what follows from it for meters.

use std::collections::BTreeMap;

use num_complex::Complex64;
use solver::{
    network::{Grid, Id, Network, NetworkError, S_BASE_VA, UpdateError},
    powerflow::{
        AsymOutput, AsymPowerFlow, AsymSolution, BranchFlow, BranchOutput, Flows, Options,
        PowerFlowError,
    },
};

/// Whether a network has something that is of single phases.
#[must_use]
pub fn is_by_phase(network: &Network) -> bool {
    let appliances = network.asym_load.len() + network.asym_gen.len();
    appliances > 0 || network.only_by_phase().is_some()
}

/// The one phase of a generator, 0 to 2; none: it has all, or is none.
#[must_use]
pub fn phase_of(network: &Network, generator: Id) -> Option<usize> {
    let of = network.asym_gen.iter().find(|of| of.id == generator)?;
    let mut phases = (0..3).filter(|&k| of.p_specified[k] != 0.0);
    phases.next().filter(|_| phases.next().is_none())
}

/// How loads and generators by phase share their power, as the network file has it.
#[derive(Clone, Debug, Default)]
pub struct Shares(BTreeMap<Id, [[f64; 3]; 2]>);

impl Shares {
    /// Of a network.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let loads = network.asym_load.iter();
        let gens = network.asym_gen.iter();
        let all = loads
            .map(|of| (of.id, of.p_specified, of.q_specified))
            .chain(gens.map(|of| (of.id, of.p_specified, of.q_specified)));
        let of = |(id, p, q)| {
            let of_p = parts(p).unwrap_or([1.0 / 3.0; 3]);
            (id, [of_p, parts(q).unwrap_or(of_p)])
        };
        Self(all.map(of).collect())
    }

    /// Sets what a load takes (load-positive) or a generator gives (generation-positive), W and var.
    ///
    /// # Errors
    /// No such appliance, or a power that is not finite.
    pub fn set(&self, grid: &mut Grid, id: Id, p_w: f64, q_var: f64) -> Result<(), UpdateError> {
        match self.0.get(&id) {
            Some([p, q]) => {
                grid.set_appliance_by_phase(id, p.map(|of| of * p_w), q.map(|of| of * q_var))
            }
            None => grid.set_appliance(id, p_w, q_var),
        }
    }
}

/// Each part of the sum; none of nothing.
fn parts(of: [f64; 3]) -> Option<[f64; 3]> {
    let sum: f64 = of.iter().sum();
    (sum != 0.0).then(|| of.map(|part| part / sum))
}

/// What a meter sees of each phase: voltage to neutral, V, power, W and var, and current, A.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sight {
    /// Voltage to neutral, V.
    pub u_v: [f64; 3],
    /// Power, W and var.
    pub s_va: [Complex64; 3],
    /// Current, A.
    pub i_a: [f64; 3],
}

/// The power flow and its last solution.
#[derive(Debug)]
pub struct ByPhase {
    flow: AsymPowerFlow,
    solution: AsymSolution,
    output: AsymOutput,
    /// Place of each branch's row: table and index, by the grid's order.
    rows: Vec<Option<(usize, usize)>>,
}

impl ByPhase {
    /// Of a grid, not solved yet.
    ///
    /// # Errors
    /// What the network lacks to be computed by phase.
    pub fn new(grid: &Grid) -> Result<Self, NetworkError> {
        Ok(Self {
            flow: AsymPowerFlow::new(grid)?,
            solution: AsymSolution::default(),
            output: AsymOutput::default(),
            rows: Vec::new(),
        })
    }

    /// Solves; where there is no solution the last one stays.
    ///
    /// # Errors
    /// Why there is none.
    pub fn run(&mut self, grid: &Grid) -> Result<(), PowerFlowError> {
        let options = Options::default();
        let before = Some(self.solution.u.as_slice()).filter(|u| !u.is_empty());
        let warm = self.flow.run(grid, before, &options);
        // From far away the last state may be the worse start.
        self.solution = warm.or_else(|_| self.flow.run(grid, None, &options))?;
        let phases = self.flow.phases();
        self.output.refresh(grid, phases, &self.solution);
        if self.rows.is_empty() {
            self.rows = grid.branches.iter().map(|of| self.row(of.id)).collect();
        }
        Ok(())
    }

    fn tables(&self) -> [&Vec<BranchOutput<[f64; 3]>>; 5] {
        let of = &self.output;
        [
            &of.line,
            &of.asym_line,
            &of.link,
            &of.generic_branch,
            &of.transformer,
        ]
    }

    fn row(&self, id: Id) -> Option<(usize, usize)> {
        let mut tables = self.tables().into_iter().enumerate();
        tables.find_map(|(table, rows)| Some((table, rows.iter().position(|of| of.id == id)?)))
    }

    fn branch(&self, branch: usize) -> Option<&BranchOutput<[f64; 3]>> {
        let (table, row) = self.rows.get(branch).copied().flatten()?;
        self.tables()[table].get(row)
    }

    /// Voltage of each live phase of a node, pu.
    #[must_use]
    pub fn u_pu(&self, grid: &Grid, node: usize) -> [Option<f64>; 3] {
        let (u, live) = (&self.solution.u[node], &grid.live[node]);
        [0, 1, 2].map(|k| live[k].then(|| u[k].norm()))
    }

    fn u_v(&self, grid: &Grid, node: usize) -> [f64; 3] {
        let base = grid.u_rated[node] / 3_f64.sqrt();
        self.u_pu(grid, node).map(|u| u.unwrap_or(0.0) * base)
    }

    /// What a meter at an end of a branch sees.
    #[must_use]
    pub fn at_branch(&self, grid: &Grid, branch: usize, from: bool) -> Sight {
        let ends = &grid.branches[branch];
        let node = if from { ends.from } else { ends.to };
        let u_v = self.u_v(grid, node);
        let Some(of) = self.branch(branch) else {
            return Sight {
                u_v,
                ..Sight::default()
            };
        };
        let (p, q, i_a) = match from {
            true => (of.p_from, of.q_from, of.i_from),
            false => (of.p_to, of.q_to, of.i_to),
        };
        Sight {
            u_v,
            s_va: [0, 1, 2].map(|k| Complex64::new(p[k], q[k])),
            i_a,
        }
    }

    /// What a meter of some loads of a node sees, load-positive.
    #[must_use]
    pub fn at_loads(&self, grid: &Grid, node: usize, loads: &[usize]) -> Sight {
        let u_v = self.u_v(grid, node);
        let mut s_va = [Complex64::ZERO; 3];
        for &load in loads {
            for (sum, s) in s_va.iter_mut().zip(self.flow.phases().appliances[load]) {
                *sum -= s * (S_BASE_VA / 3.0);
            }
        }
        let current = |k: usize| match u_v[k] > 0.0 {
            true => s_va[k].norm() / u_v[k],
            false => 0.0,
        };
        Sight {
            u_v,
            s_va,
            i_a: [0, 1, 2].map(current),
        }
    }

    /// All phases together: sums of powers, the highest of currents.
    #[must_use]
    pub fn flows(&self, grid: &Grid) -> Flows {
        let sum =
            |p: [f64; 3], q: [f64; 3]| Complex64::new(p.iter().sum(), q.iter().sum()) / S_BASE_VA;
        let highest = |i: [f64; 3]| i.into_iter().fold(0.0, f64::max);
        let branch = |k: usize| {
            let Some(of) = self.branch(k) else {
                return BranchFlow::default();
            };
            let ends = &grid.branches[k];
            BranchFlow {
                s_from: sum(of.p_from, of.q_from),
                s_to: sum(of.p_to, of.q_to),
                i_from: highest(of.i_from) / grid.base_current_a(ends.from),
                i_to: highest(of.i_to) / grid.base_current_a(ends.to),
                i_from_a: highest(of.i_from),
                i_to_a: highest(of.i_to),
                loading: of.loading,
            }
        };
        let sources = self.solution.sources.iter();
        let appliances = self.flow.phases().appliances.iter();
        let nodes = self.output.node.iter();
        Flows {
            branches: (0..grid.branches.len()).map(branch).collect(),
            sources: sources.map(|s| s.iter().sum::<Complex64>() / 3.0).collect(),
            appliances: appliances
                .map(|s| s.iter().sum::<Complex64>() / 3.0)
                .collect(),
            nodes: nodes.map(|of| sum(of.p, of.q)).collect(),
        }
    }
}
