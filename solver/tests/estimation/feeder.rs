//! The CIGRE medium-voltage network at a sunny noon: its true state by power flow, and metering
//! plans with seeded noise.

use std::path::Path;

use num_complex::Complex64;
use rand::Rng;
use rand::rngs::StdRng;
use solver::estimation::{Estimate, Estimator, Kind, Measurement, Options, Origin, Phase};
use solver::network::{ApplianceKind, Grid, S_BASE_VA, Side, pgm_json};
use solver::powerflow::{self, PowerFlow};

/// Standard normal by Box and Muller.
fn normal(random: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// The network at a sunny noon, its true state, and what is measured there.
pub(crate) struct Feeder {
    pub(crate) grid: Grid,
    pub(crate) u: Vec<Complex64>,
    pub(crate) flows: powerflow::Flows,
}

impl Feeder {
    pub(crate) fn new() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim-rtu/data/cigre_mv.json");
        let network = pgm_json::read(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut grid = Grid::new(&network).unwrap();
        for load in &network.sym_load {
            grid.set_appliance(load.id, 0.3 * load.p_specified, 0.3 * load.q_specified)
                .unwrap();
        }
        for generator in &network.sym_gen {
            grid.set_appliance(generator.id, 0.8 * generator.p_specified, 2e4)
                .unwrap();
        }
        Self::solved(grid)
    }

    /// Any grid, with its true state by power flow.
    pub(crate) fn solved(grid: Grid) -> Self {
        let options = powerflow::Options {
            tolerance: 1e-12,
            ..Default::default()
        };
        let u = PowerFlow::new(&grid)
            .run(&grid, &[], None, &options)
            .unwrap()
            .u;
        let flows = powerflow::flows(&grid, &u);
        Self { grid, u, flows }
    }

    /// An estimate from a flat start.
    pub(crate) fn estimate(&self, measurements: &[Measurement]) -> Estimate {
        Estimator::new(&self.grid)
            .run(&self.grid, measurements, None, &Options::default())
            .unwrap()
    }

    /// True value of what `kind` measures, SI.
    pub(crate) fn truth(&self, kind: Kind) -> f64 {
        let grid = &self.grid;
        let branch = |id| &self.flows.branches[grid.index_of_branch(id).unwrap()];
        let s_branch = |id, side| match side {
            Side::From => branch(id).s_from * S_BASE_VA,
            Side::To => branch(id).s_to * S_BASE_VA,
        };
        let s_appliance = |id| {
            let at = grid.index_of_appliance(id).unwrap();
            let sign = if grid.appliances[at].kind == ApplianceKind::Load {
                -1.0
            } else {
                1.0
            };
            self.flows.appliances[at] * S_BASE_VA * sign
        };
        let node = |id| grid.index_of_node(id).unwrap();
        let source = |id| self.flows.sources[grid.index_of_source(id).unwrap()] * S_BASE_VA;
        match kind {
            Kind::Voltage { node: id } => self.u[node(id)].norm() * grid.u_rated[node(id)],
            Kind::VoltageAngle { node: id } => self.u[node(id)].arg(),
            Kind::BranchP { branch, side } => s_branch(branch, side).re,
            Kind::BranchQ { branch, side } => s_branch(branch, side).im,
            Kind::BranchCurrent { branch: id, side } => {
                let b = &grid.branches[grid.index_of_branch(id).unwrap()];
                match side {
                    Side::From => branch(id).i_from * grid.base_current_a(b.from),
                    Side::To => branch(id).i_to * grid.base_current_a(b.to),
                }
            }
            Kind::ApplianceP { appliance } => s_appliance(appliance).re,
            Kind::ApplianceQ { appliance } => s_appliance(appliance).im,
            Kind::SourceP { source: id } => source(id).re,
            Kind::SourceQ { source: id } => source(id).im,
            Kind::NodeP { node: id } => self.flows.nodes[node(id)].re * S_BASE_VA,
            Kind::NodeQ { node: id } => self.flows.nodes[node(id)].im * S_BASE_VA,
            other => panic!("this feeder is not measured so: {other:?}"),
        }
    }

    /// As a DSO would: voltages at most nodes, the substation, half of the lines, every
    /// generator; loads as guesses of 30 %.
    pub(crate) fn usual(&self) -> Vec<Measurement> {
        self.plan(Origin::Pseudo, 0.3)
    }

    /// The same with meters at the loads.
    pub(crate) fn fully_metered(&self) -> Vec<Measurement> {
        self.plan(Origin::Metered, 0.02)
    }

    /// Without noise.
    fn plan(&self, loads: Origin, load_sigma: f64) -> Vec<Measurement> {
        let mut plan = Vec::new();
        let mut add = |kind, relative: f64, least: f64, origin| {
            let value = self.truth(kind);
            let sigma = (relative * value.abs()).max(least);
            plan.push(Measurement {
                kind,
                phase: Phase::Sym,
                value,
                sigma,
                origin,
            });
        };
        for node in [0, 1, 3, 5, 7, 8, 9, 10, 12, 14] {
            add(Kind::Voltage { node }, 0.003, 0.0, Origin::Metered);
        }
        for (branch, side) in [
            (91, Side::To),
            (92, Side::To),
            (15, Side::From),
            (16, Side::To),
            (24, Side::From),
            (20, Side::To),
            (21, Side::From),
            (21, Side::To),
            (22, Side::From),
            (17, Side::From),
            (25, Side::From),
        ] {
            add(Kind::BranchP { branch, side }, 0.01, 5e3, Origin::Metered);
            add(Kind::BranchQ { branch, side }, 0.02, 5e3, Origin::Metered);
            add(
                Kind::BranchCurrent { branch, side },
                0.01,
                0.3,
                Origin::Metered,
            );
        }
        for appliance in &self.grid.appliances {
            let (relative, least, origin) = match appliance.kind {
                ApplianceKind::Gen => (0.01, 2e3, Origin::Metered),
                ApplianceKind::Load => (load_sigma, 5e3, loads),
            };
            add(
                Kind::ApplianceP {
                    appliance: appliance.id,
                },
                relative,
                least,
                origin,
            );
            add(
                Kind::ApplianceQ {
                    appliance: appliance.id,
                },
                relative,
                least,
                origin,
            );
        }
        plan
    }
}

/// The plan with every value off by its standard deviation times a normal draw.
pub(crate) fn noisy(plan: &[Measurement], random: &mut StdRng) -> Vec<Measurement> {
    let noise = |m: &Measurement| Measurement {
        value: m.value + m.sigma * normal(random),
        ..m.clone()
    };
    plan.iter().map(noise).collect()
}
