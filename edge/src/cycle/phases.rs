//! What a site by phase has more: its estimate, and what follows from that for all phases together.

use num_complex::Complex64;
use solver::{
    estimation::{
        ApplianceEstimate, Asym, AsymEstimate, AsymEstimator, BranchEstimate, EndEstimate,
        Estimate, EstimationError, Estimator, Measurement, NodeEstimate, Options, Quantity,
        Residual, SourceEstimate,
    },
    market::clearing::{ByPhase, NodePower, PhaseLimit, PhaseName, PhasePower, UnitPhase},
    network::{ApplianceKind, Grid, Id, NetworkError, PhaseMask},
};

use super::clearing::{Entry, band};

/// Estimates with all phases alike, or by phase.
pub(super) enum Either {
    Balanced(Box<Estimator>),
    ByPhase(Box<AsymEstimator>),
}

/// An estimate of all phases together; and by phase what that is the sum of.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) estimate: Estimate,
    pub(super) by_phase: Option<Box<AsymEstimate>>,
}

impl Either {
    pub(super) fn new(grid: &Grid, by_phase: bool) -> Result<Self, NetworkError> {
        Ok(match by_phase {
            false => Self::Balanced(Box::new(Estimator::new(grid))),
            true => Self::ByPhase(Box::new(AsymEstimator::new(grid)?)),
        })
    }

    /// The most likely state, starting from a former one.
    pub(super) fn run(
        &mut self,
        grid: &Grid,
        measurements: &[Measurement],
        start: Option<&Found>,
    ) -> Result<Found, EstimationError> {
        let options = Options::default();
        match self {
            Self::Balanced(estimator) => {
                let start = start.map(|found| found.estimate.u.as_slice());
                let estimate = estimator.run(grid, measurements, start, &options)?;
                Ok(Found {
                    estimate,
                    by_phase: None,
                })
            }
            Self::ByPhase(estimator) => {
                let start = start.and_then(|found| found.by_phase.as_ref());
                let start = start.map(|of| of.u.as_slice());
                let by_phase = estimator.run(grid, measurements, start, &options)?;
                Ok(Found {
                    estimate: together(grid, &by_phase),
                    by_phase: Some(Box::new(by_phase)),
                })
            }
        }
    }
}

impl Found {
    /// Voltage of each live phase of a node, pu, and which it is; balanced, of all together.
    pub(super) fn voltages_pu(
        &self,
        grid: &Grid,
        node: usize,
    ) -> impl Iterator<Item = (Option<PhaseName>, Option<Quantity>)> {
        let u_rated = grid.u_rated[node];
        let pu = move |u: Quantity, base: f64| Quantity {
            value: u.value / base,
            sigma: u.sigma / base,
        };
        let all = match &self.by_phase {
            None => {
                let u = self.estimate.nodes[node].u;
                vec![(None, u.map(|u| pu(u, u_rated)))]
            }
            Some(by_phase) => {
                let live = PhaseName::ALL.into_iter();
                let live = live.filter(|phase| grid.live[node][phase.index()]);
                let u = &by_phase.nodes[node].u;
                live.map(|phase| {
                    (
                        Some(phase),
                        u[phase.index()].map(|u| pu(u, u_rated / root3())),
                    )
                })
                .collect()
            }
        };
        all.into_iter()
    }
}

/// What of a case is not alike in the phases: units of one phase; and of each power that is not in the
/// market, what its phases are estimated at beyond sharing it alike. Nothing, unless by phase.
pub(super) fn by_phase(entry: &Entry<'_>, fixed: &[NodePower]) -> Option<ByPhase> {
    let estimate = entry.found.by_phase.as_ref()?;
    let units = entry.site.units.iter().filter_map(|unit| {
        let takes_part = entry.units.iter().any(|able| able.id == unit.id);
        let phase = unit.phase.filter(|_| takes_part)?;
        Some(UnitPhase {
            unit: unit.id,
            phase,
        })
    });
    let powers = fixed.iter().flat_map(|power| {
        let shares = shares(entry, estimate, power);
        let live = live_at(entry.grid, power.node);
        let alike = 1.0 / live.iter().filter(|live| **live).count().max(1) as f64;
        let phases = PhaseName::ALL.into_iter();
        let phases = phases.filter(move |phase| live[phase.index()]);
        phases.filter_map(move |phase| {
            let [p, q] = shares?.map(|of| of[phase.index()]);
            Some(PhasePower {
                node: power.node,
                phase,
                unit: power.owner.as_ref().map(|owner| owner.unit),
                p_w: p - alike * power.p_w,
                q_var: q - alike * power.q_var,
            })
        })
    });
    Some(ByPhase {
        units: units.collect(),
        fixed: powers.collect(),
        limits: limits(entry),
    })
}

/// Voltage limits of each live phase, drawn in by what is not certain of it.
fn limits(entry: &Entry<'_>) -> Vec<PhaseLimit> {
    let nodes = entry.grid.node_id.iter().enumerate();
    let phases = nodes.flat_map(|(k, &node)| {
        let voltages = entry.found.voltages_pu(entry.grid, k);
        voltages.filter_map(move |(phase, u)| Some((node, phase?, u)))
    });
    phases
        .map(|(node, phase, u_pu)| {
            let (u_min_pu, u_max_pu) = band(&entry.site.limits, u_pu);
            PhaseLimit {
                node,
                phase,
                u_min_pu,
                u_max_pu,
            }
        })
        .collect()
}

/// Active and reactive power of the phases of one that is not in the market, generation-positive, W and var:
/// as estimated; where the unit is held, as it shares what it is held at. None: alike.
fn shares(entry: &Entry<'_>, estimate: &AsymEstimate, power: &NodePower) -> Option<[[f64; 3]; 2]> {
    let id = power.owner.as_ref()?.unit;
    let live = live_at(entry.grid, power.node);
    let of = |values: &[Option<Quantity>; 3], sign: f64| {
        let known = (0..3).all(|k| !live[k] || values[k].is_some());
        let value = |k: usize| {
            values[k]
                .filter(|_| live[k])
                .map_or(0.0, |of| sign * of.value)
        };
        known.then(|| [0, 1, 2].map(value))
    };
    let held = entry.held.contains_key(&id);
    let appliance = entry.grid.index_of_appliance(id).filter(|_| !held);
    let estimated = appliance.and_then(|k| {
        let found = &estimate.appliances[k];
        // Of loads it is load-positive.
        let sign = match entry.grid.appliances[k].kind {
            ApplianceKind::Load => -1.0,
            ApplianceKind::Gen => 1.0,
        };
        Some([of(&found.p, sign)?, of(&found.q, sign)?])
    });
    let own = || {
        let unit = entry.site.units.iter().find(|unit| unit.id == id)?;
        let shares = unit.shares();
        unit.phase.filter(|phase| live[phase.index()])?;
        Some([
            shares.p.map(|share| share * power.p_w),
            shares.q.map(|share| share * power.q_var),
        ])
    };
    estimated.or_else(own)
}

fn live_at(grid: &Grid, node: Id) -> PhaseMask {
    let known = grid.index_of_node(node);
    known.map_or([false; 3], |k| grid.live[k])
}

/// Line-to-line from line-to-neutral.
fn root3() -> f64 {
    3_f64.sqrt()
}

/// Phases of those that are live.
fn live<T: Copy>(values: &[T; 3], mask: PhaseMask) -> impl Iterator<Item = T> {
    (0..3).filter(move |&k| mask[k]).map(|k| values[k])
}

/// The sum of phases; as uncertain as if all were wrong alike.
fn sum(values: &[Option<Quantity>; 3], mask: PhaseMask) -> Option<Quantity> {
    let none = Quantity {
        value: 0.0,
        sigma: 0.0,
    };
    live(values, mask).try_fold(none, |sum, part| {
        let part = part?;
        Some(Quantity {
            value: sum.value + part.value,
            sigma: sum.sigma + part.sigma,
        })
    })
}

/// The mean of phases, as uncertain as the worst of them.
fn mean(values: &[Option<Quantity>; 3], mask: PhaseMask) -> Option<Quantity> {
    let count = mask.iter().filter(|live| **live).count().max(1);
    let worst = live(values, mask).flatten().map(|of| of.sigma);
    Some(Quantity {
        value: sum(values, mask)?.value / count as f64,
        sigma: worst.fold(0.0, f64::max),
    })
}

/// All phases together, where people, meters and accounts ask for one figure: sums of powers, the mean of
/// voltages as line-to-line ones, the highest of currents. Limits are kept by phase, not by these.
fn together(grid: &Grid, of: &AsymEstimate) -> Estimate {
    let nodes = of.nodes.iter().zip(&grid.live);
    let appliances = of.appliances.iter().zip(&grid.appliances);
    let sources = of.sources.iter().zip(&grid.sources);
    Estimate {
        u: of.u.iter().map(positive_sequence).collect(),
        nodes: nodes.map(|(node, live)| node_of(node, *live)).collect(),
        branches: of.branches.iter().map(branch_of).collect(),
        appliances: appliances
            .map(|(appliance, known)| ApplianceEstimate {
                id: appliance.id,
                p: sum(&appliance.p, grid.live[known.node]),
                q: sum(&appliance.q, grid.live[known.node]),
                origin: appliance.origin,
            })
            .collect(),
        sources: sources
            .map(|(source, known)| SourceEstimate {
                id: source.id,
                p: sum(&source.p, grid.live[known.node]),
                q: sum(&source.q, grid.live[known.node]),
            })
            .collect(),
        unobservable: of.unobservable.clone(),
        missing: of.missing.clone(),
        objective: of.objective,
        degrees_of_freedom: of.degrees_of_freedom,
        chi_square_threshold: of.chi_square_threshold,
        passed: of.passed,
        residual_threshold: of.residual_threshold,
        residuals: of.residuals.iter().map(worst_residual).collect(),
        rejected: of.rejected.clone(),
        suspected_switch: of.suspected_switch.clone(),
        relaxed: of.relaxed.clone(),
        critical: of.critical.clone(),
        unused: of.unused.clone(),
        iterations: of.iterations,
        gradient_norm: of.gradient_norm,
    }
}

fn positive_sequence([a, b, c]: &[Complex64; 3]) -> Complex64 {
    let turn = Complex64::cis(std::f64::consts::TAU / 3.0);
    (a + turn * b + turn * turn * c) / 3.0
}

fn node_of(node: &NodeEstimate<Asym>, live: PhaseMask) -> NodeEstimate {
    let u = mean(&node.u, live).map(|u| Quantity {
        value: root3() * u.value,
        sigma: root3() * u.sigma,
    });
    // That of phase a, as which the others are shown a third of a turn on.
    let first = (0..3).find(|&k| live[k]);
    let angle = first.and_then(|k| {
        let of = node.angle[k]?;
        let turned = of.value + std::f64::consts::TAU / 3.0 * k as f64;
        Some(Quantity {
            value: turned.sin().atan2(turned.cos()),
            ..of
        })
    });
    NodeEstimate {
        id: node.id,
        energised: node.energised,
        u,
        angle,
        p: sum(&node.p, live),
        q: sum(&node.q, live),
        rests_on_pseudo: node.rests_on_pseudo,
    }
}

fn branch_of(branch: &BranchEstimate<Asym>) -> BranchEstimate {
    BranchEstimate {
        id: branch.id,
        from: end_of(&branch.from),
        to: end_of(&branch.to),
        loading: branch.loading,
    }
}

fn end_of(phases: &[Option<EndEstimate>; 3]) -> Option<EndEstimate> {
    let [a, b, c] = phases.map(|end| end.map(|end| [end.p, end.q, end.i]));
    let ends = [a?, b?, c?];
    let of = |k: usize| ends.map(|end| Some(end[k]));
    let highest = |of: fn(&Quantity) -> f64| ends.iter().map(|end| of(&end[2])).fold(0.0, f64::max);
    Some(EndEstimate {
        p: sum(&of(0), [true; 3])?,
        q: sum(&of(1), [true; 3])?,
        i: Quantity {
            value: highest(|i| i.value),
            sigma: highest(|i| i.sigma),
        },
    })
}

fn worst_residual(phases: &[Option<Residual>; 3]) -> Option<Residual> {
    let size = |of: &Residual| of.normalised.map_or(0.0, f64::abs);
    let found = phases.iter().flatten().copied();
    found.max_by(|a, b| size(a).total_cmp(&size(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: f64, sigma: f64) -> Option<Quantity> {
        Some(Quantity { value, sigma })
    }

    #[test]
    fn only_phases_that_are_live_count_and_doubts_add_up() {
        let values = [of(3.0, 0.1), of(100.0, 7.0), of(5.0, 0.3)];
        let mask = [true, false, true];
        let all = sum(&values, mask).unwrap();
        assert!((all.value - 8.0).abs() < 1e-12 && (all.sigma - 0.4).abs() < 1e-12);
        let middle = mean(&values, mask).unwrap();
        assert!((middle.value - 4.0).abs() < 1e-12 && (middle.sigma - 0.3).abs() < 1e-12);
        assert!(sum(&[values[0], None, values[2]], mask).is_some());
        assert!(sum(&[None, values[1], values[2]], mask).is_none());
    }

    #[test]
    fn the_positive_sequence_of_balanced_phases_is_phase_a() {
        let a = Complex64::from_polar(1.02, -0.3);
        let [a, b, c] = solver::network::balanced(a);
        assert!((positive_sequence(&[a, b, c]) - a).norm() < 1e-12);
        // One phase of three: a third of it in each sequence.
        let alone = positive_sequence(&[a, Complex64::ZERO, Complex64::ZERO]);
        assert!((alone - a / 3.0).norm() < 1e-12);
    }
}
