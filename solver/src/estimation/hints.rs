//! What to measure to make the rest observable.
//!
//! Abur and Gómez-Expósito, sections 4.5 and 4.6: candidates are added to the equations as long as
//! they determine what would be left free. The factorisation does that for all of them at once,
//! in order of preference: the greedy choice, which of all smallest sets is the one preferred
//! since independent rows form a matroid.

use std::collections::BTreeMap;

use super::constraints::Constraints;
use super::equation::{Model, Part, Row, State, Target, What};
use super::factor::{Factor, Least, Pivot, Weight};
use super::problem::{self, Observation, is_live};
use super::wls;
use super::{Kind, Missing, Suggestion, Winding};
use crate::network::{Grid, Side};

/// Standard deviation up to which a voltage counts as known, pu and rad, and share of a candidate's
/// largest entry that counts as telling. Losses and charging of a line determine the voltage level
/// where both its ends are measured, but only on paper.
const KNOWN: f64 = 0.05;
const TELLING: f64 = 0.01;

/// Sensors that together determine everything that `observations` and constraints leave open; none
/// of them can be left out. By island: nodes connected with one another whose voltage is open.
pub(super) fn missing(
    model: Model<'_>,
    constraints: &Constraints,
    observations: &[&Observation],
    unobservable: &[usize],
) -> Vec<Missing> {
    // At the state found, voltages that nothing determines are anything.
    let state = &problem::initial_state(model, &[], None);
    let candidates = candidates(model);
    let mut factor = Factor::new(&model.layout.pattern, wls::rank(model));
    let mut row = Row::new();
    for &column in &constraints.fixed {
        factor.add(&[(column, 1.0)], 0.0, Weight::Exact);
    }
    for &target in &constraints.zero {
        model.evaluate(target, state, &mut row);
        factor.add(&row, 0.0, Weight::Exact);
    }
    for observation in observations.iter().copied().chain(&constraints.expected) {
        model.evaluate(observation.target, state, &mut row);
        factor.add(&row, 0.0, Weight::Finite(observation.weight()));
    }
    for (number, candidate) in candidates.iter().enumerate() {
        candidate.in_voltages(model, state, &mut row);
        factor.add(&row, 0.0, Weight::Candidate(number));
    }
    let voltages = model.layout.first_voltage();
    factor.factorise_above(&model.layout.pattern, |column| match column {
        power if power < voltages => Least::default(),
        _ => Least {
            weight: 1.0 / (KNOWN * KNOWN),
            candidate: TELLING * TELLING,
        },
    });
    let mut chosen: Vec<usize> = (factor.pivots().iter())
        .filter_map(|&pivot| match pivot {
            Pivot::Candidate(number) => Some(number),
            _ => None,
        })
        .collect();
    chosen.sort_unstable();
    let levels = assumed_levels(model, constraints);
    let sensors = levels
        .into_iter()
        .chain(chosen.into_iter().map(|number| candidates[number]));
    by_island(model, unobservable, sensors)
}

/// What could be measured.
#[derive(Clone, Copy)]
struct Candidate {
    target: Target,
    kind: Kind,
    /// Where it is.
    node: usize,
}

impl Candidate {
    fn voltage(model: Model<'_>, node: usize, phase: usize) -> Self {
        Self {
            target: What::Magnitude(node).of(phase),
            kind: Kind::Voltage {
                node: model.grid.node_id[node],
            },
            node,
        }
    }

    /// Its gradient; that of an appliance by the balance of its node, so that all candidates are of
    /// a kind.
    fn in_voltages(self, model: Model<'_>, state: &State, row: &mut Row) {
        let Target { what, phase } = self.target;
        match what {
            What::Appliance(appliance, part) if !model.layout.feeds(model.grid, self.node) => {
                model.evaluate(What::Infeed(self.node, part).of(phase), state, row);
                row.push((model.appliance_column(appliance, phase, part), 1.0));
            }
            _ => {
                model.evaluate(self.target, state, row);
            }
        }
    }
}

/// By preference: what nobody measures of a load, generator or source, then flows, then voltages.
/// Active and reactive power follow each other, as one sensor measures both.
fn candidates(model: Model<'_>) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let grid = model.grid;
    let mut add = |node, of_part: &dyn Fn(Part) -> What, kinds: [Kind; 2]| {
        for phase in model.phases() {
            for (part, kind) in [Part::P, Part::Q].into_iter().zip(kinds) {
                let target = of_part(part).of(phase);
                if is_live(model, target) {
                    candidates.push(Candidate { target, kind, node });
                }
            }
        }
    };
    for (k, a) in grid.appliances.iter().enumerate() {
        let appliance = a.id;
        let kinds = [
            Kind::ApplianceP { appliance },
            Kind::ApplianceQ { appliance },
        ];
        add(a.node, &|part| What::Appliance(k, part), kinds);
    }
    for (k, s) in grid.sources.iter().enumerate() {
        let source = s.id;
        let kinds = [Kind::SourceP { source }, Kind::SourceQ { source }];
        let of_part = |part| model.layout.of_source(grid, k, part);
        add(s.node, &of_part, kinds);
    }
    for (k, b) in grid.branches.iter().enumerate() {
        for (side, node) in [(Side::From, b.from), (Side::To, b.to)] {
            if let Some(kinds) = flow_kinds(grid, k, side) {
                add(node, &|part| What::Branch(k, side, part), kinds);
            }
        }
    }
    // No sensor reaches the inner node of a three-winding transformer.
    for node in 0..grid.network().node.len() {
        let live = model.phases().filter(|&phase| model.is_live(node, phase));
        candidates.extend(live.map(|phase| Candidate::voltage(model, node, phase)));
    }
    candidates
}

/// Active and reactive power into a branch; none where it is the inner end of a transformer's arm.
fn flow_kinds(grid: &Grid, branch: usize, side: Side) -> Option<[Kind; 2]> {
    let id = grid.branches[branch].id;
    let Some(first) = grid.first_arm(id) else {
        let branch = id;
        return Some([
            Kind::BranchP { branch, side },
            Kind::BranchQ { branch, side },
        ]);
    };
    let winding = match branch - first {
        0 => Winding::One,
        1 => Winding::Two,
        _ => Winding::Three,
    };
    let transformer = id;
    let kinds = [
        Kind::WindingP {
            transformer,
            winding,
        },
        Kind::WindingQ {
            transformer,
            winding,
        },
    ];
    (side == Side::From).then_some(kinds)
}

/// The voltages taken from a source because none is measured in its island: a sensor there takes
/// the assumption's place.
fn assumed_levels(model: Model<'_>, constraints: &Constraints) -> Vec<Candidate> {
    let mut levels = Vec::new();
    for node in (0..model.grid.node_id.len()).filter(|&node| constraints.assumed[node]) {
        for phase in model.phases() {
            if constraints.fixed.contains(&model.layout.v(node, phase)) {
                levels.push(Candidate::voltage(model, node, phase));
            }
        }
    }
    levels
}

/// Sensors by the island of unobservable nodes they are in or beside; the others, for powers that
/// are open where all voltages are known, by their node.
fn by_island(
    model: Model<'_>,
    unobservable: &[usize],
    sensors: impl Iterator<Item = Candidate>,
) -> Vec<Missing> {
    let grid = model.grid;
    let mut open = vec![false; grid.node_id.len()];
    for &node in unobservable {
        open[node] = true;
    }
    let neighbours = |node: usize| {
        let closed = move |&(k, _): &(usize, Side)| {
            let b = &grid.branches[k];
            let connected = b.from_closed && b.to_closed;
            connected.then_some(if b.from == node { b.to } else { b.from })
        };
        model.layout.incident[node].iter().filter_map(closed)
    };
    // By node, the first of its island.
    let mut island = vec![None; grid.node_id.len()];
    let mut missing: BTreeMap<usize, Missing> = BTreeMap::new();
    for &first in unobservable {
        if island[first].is_some() {
            continue;
        }
        island[first] = Some(first);
        let mut list = vec![first];
        let mut next = 0;
        while let Some(&node) = list.get(next) {
            next += 1;
            for other in neighbours(node).filter(|&other| open[other]) {
                if island[other].is_none() {
                    island[other] = Some(first);
                    list.push(other);
                }
            }
        }
        list.sort_unstable();
        missing.entry(first).or_default().nodes =
            list.into_iter().map(|node| grid.node_id[node]).collect();
    }
    for sensor in sensors {
        let beside = || neighbours(sensor.node).find_map(|node| island[node]);
        let of = island[sensor.node].or_else(beside).unwrap_or(sensor.node);
        missing.entry(of).or_default().sensors.push(Suggestion {
            kind: sensor.kind,
            phase: model.phase(sensor.target.phase),
        });
    }
    missing.into_values().collect()
}
