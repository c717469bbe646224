//! Observations of a grid as the flat problem of the fast fit, and its state as that of the grid.

use num_complex::Complex64;

use super::augmented::{
    Admittance, Augmented, End, Fixed, Flat, Flow, FlowKind, Gauss, Outcome, Stuck, TwoPort,
    Voltage,
};
use super::constraints::Constraints;
use super::equation::{Model, Part, State, What};
use super::injections::{Contribution, Injections};
use super::problem::Observation;
use crate::network::Side;

/// Where an observation's value goes. Read once a second for every meter: small.
#[derive(Clone, Copy, Debug)]
enum Slot {
    /// It does not take part.
    Nowhere,
    Magnitude(u32),
    Angle(u32),
    Phasor(u32),
    Flow(u32),
    Injection(Contribution),
}

/// The next place of a list, as a slot has it.
fn next<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).expect("fewer than 2^32 observations: they fit in memory")
}

/// A flat problem with its way back to the grid. `B` is `4 P`.
#[derive(Clone, Debug)]
pub(super) struct Fast<const P: usize, const B: usize> {
    pub(super) augmented: Augmented<P, B>,
    pub(super) injections: Injections<P>,
    slots: Vec<Slot>,
}

impl<const P: usize, const B: usize> Fast<P, B> {
    /// The problem of the observations used. Their number, kinds and weights stay; their values
    /// come by [`values`](Self::values).
    pub(super) fn new(
        model: Model<'_>,
        constraints: &Constraints,
        observations: &[Observation],
    ) -> Self {
        let mut injections = Injections::new(model);
        let mut flat = network(model);
        fix(model, constraints, &mut flat);
        let mut slots = slots(model, observations, &mut flat, &mut injections);
        for o in &constraints.expected {
            slot(o, &mut flat, &mut injections);
        }
        let mut augmented = Augmented::new(flat);
        in_order(&mut augmented.problem().1.magnitudes, &mut slots);
        Self {
            augmented,
            injections,
            slots,
        }
    }

    /// Takes over the observations' values.
    pub(super) fn values(&mut self, values: impl Iterator<Item = f64>) {
        self.injections.clear();
        let (place, flat) = self.augmented.problem();
        for (slot, value) in self.slots.iter().zip(values) {
            match slot {
                Slot::Nowhere => {}
                Slot::Magnitude(k) => flat.magnitudes[*k as usize].value = value,
                Slot::Angle(k) => flat.angles[*k as usize].value = value,
                Slot::Phasor(k) => flat.phasors[*k as usize].0.value = value,
                Slot::Flow(k) => flat.flows[*k as usize].value = value,
                Slot::Injection(c) => self.injections.add(c, value),
            }
        }
        self.injections.combine(place, &mut flat.injections);
    }

    /// Begins at the voltages of a state.
    pub(super) fn start(&mut self, state: &State) {
        let (nodes, _) = state.u.as_chunks::<P>();
        self.augmented.start(nodes.iter().copied());
    }

    /// Begins where it was told to last time.
    pub(super) fn restart(&mut self) {
        self.augmented.restart();
    }

    /// Begins where it is likely to end after those before it.
    pub(super) fn follow(&mut self) {
        self.augmented.follow();
    }

    /// Evaluates at the present state.
    pub(super) fn evaluate(&mut self) {
        self.augmented.evaluate();
    }

    /// Moves to the optimum; see [`Augmented::fit`].
    pub(super) fn fit(&mut self, tolerance: f64, max_iterations: usize) -> Result<Outcome, Stuck> {
        self.augmented.fit(tolerance, max_iterations)
    }

    /// Puts what was found into a state of the grid.
    pub(super) fn finish(&self, state: &mut State) {
        let (nodes, _) = state.u.as_chunks_mut::<P>();
        for (node, u) in nodes.iter_mut().enumerate() {
            *u = *self.augmented.u(node);
        }
        let appliances = self
            .injections
            .appliances(|node| self.augmented.injection(node));
        let (into, _) = state.s.as_chunks_mut::<P>();
        for (into, s) in into.iter_mut().zip(appliances) {
            *into = s;
        }
    }
}

fn block<const P: usize>(y: &[Complex64]) -> Admittance<P> {
    std::array::from_fn(|p| std::array::from_fn(|q| y[P * p + q]))
}

/// The network without anything measured.
fn network<const P: usize>(model: Model<'_>) -> Flat<P> {
    let nodes = model.grid.node_id.len();
    let branches = model.grid.branches.iter().enumerate();
    Flat {
        branches: branches
            .map(|(k, b)| {
                let (yff, yft) = model.admittances.port(k, Side::From);
                let (ytt, ytf) = model.admittances.port(k, Side::To);
                TwoPort {
                    from: b.from,
                    to: b.to,
                    yff: block(yff),
                    yft: block(yft),
                    ytf: block(ytf),
                    ytt: block(ytt),
                }
            })
            .collect(),
        shunts: (0..nodes)
            .map(|k| block(model.admittances.node(k)))
            .collect(),
        injections: vec![[[Gauss::UNKNOWN; 2]; P]; nodes],
        fixed: vec![[Fixed::default(); P]; nodes],
        magnitudes: Vec::new(),
        angles: Vec::new(),
        phasors: Vec::new(),
        flows: Vec::new(),
        measured_shunts: Vec::new(),
    }
}

/// Puts magnitudes in the order of the nodes, as each step goes over them.
fn in_order(magnitudes: &mut [Voltage], slots: &mut [Slot]) {
    let mut order: Vec<usize> = (0..magnitudes.len()).collect();
    order.sort_by_key(|&k| (magnitudes[k].node, magnitudes[k].phase));
    let mut moved = vec![0; order.len()];
    let old = magnitudes.to_vec();
    for (at, (&k, into)) in (0..).zip(order.iter().zip(magnitudes)) {
        *into = old[k];
        moved[k] = at;
    }
    for slot in slots {
        if let Slot::Magnitude(k) = slot {
            *k = moved[*k as usize];
        }
    }
}

/// What keeps its value: references, and voltages of what is not energised.
fn fix<const P: usize>(model: Model<'_>, constraints: &Constraints, flat: &mut Flat<P>) {
    for (node, fixed) in flat.fixed.iter_mut().enumerate() {
        for (phase, fixed) in fixed.iter_mut().enumerate() {
            if !model.is_live(node, phase) {
                (fixed.magnitude, fixed.angle) = (true, true);
            }
        }
    }
    for &(node, angle, magnitude) in &constraints.references {
        for (phase, fixed) in flat.fixed[node].iter_mut().enumerate() {
            fixed.angle |= angle && phase == 0;
            fixed.magnitude |= magnitude;
        }
    }
}

/// Gives each observation used its place in the problem.
fn slots<const P: usize>(
    model: Model<'_>,
    observations: &[Observation],
    flat: &mut Flat<P>,
    injections: &mut Injections<P>,
) -> Vec<Slot> {
    let mut slots: Vec<Slot> = (observations.iter())
        .map(|o| {
            if o.used {
                slot(o, flat, injections)
            } else {
                Slot::Nowhere
            }
        })
        .collect();
    injections.weigh(&mut flat.injections);
    for (slot, o) in slots.iter_mut().zip(observations) {
        if let Slot::Injection(c) = slot {
            injections.settle(c, o.weight());
        }
    }
    let mut flows: Vec<(End, usize, FlowKind)> = (observations.iter().enumerate())
        .filter(|(_, o)| o.used)
        .filter_map(|(k, o)| flow(model, o, flat).map(|(end, kind)| (end, k, kind)))
        .collect();
    flows.sort_unstable_by_key(|&(end, k, _)| (end, k));
    for (end, k, kind) in flows {
        slots[k] = Slot::Flow(next(&flat.flows));
        flat.flows.push(Flow {
            end,
            phase: observations[k].target.phase,
            kind,
            value: 0.0,
            weight: observations[k].weight(),
        });
    }
    slots
}

/// The place of anything but a flow.
fn slot<const P: usize>(
    o: &Observation,
    flat: &mut Flat<P>,
    injections: &mut Injections<P>,
) -> Slot {
    let voltage = |node| Voltage {
        node,
        phase: o.target.phase,
        value: o.value,
        weight: o.weight(),
    };
    match o.target.what {
        What::Magnitude(node) => {
            let at = next(&flat.magnitudes);
            flat.magnitudes.push(voltage(node));
            Slot::Magnitude(at)
        }
        What::Angle(node) => {
            let at = next(&flat.angles);
            flat.angles.push(voltage(node));
            Slot::Angle(at)
        }
        What::VoltageAlong(node, direction) => {
            let at = next(&flat.phasors);
            flat.phasors.push((voltage(node), direction));
            Slot::Phasor(at)
        }
        What::Appliance(..) | What::Infeed(..) | What::Injection(..) => {
            let Some(c) = Contribution::of(o, P) else {
                return Slot::Nowhere;
            };
            injections.announce(&c, o.weight());
            Slot::Injection(c)
        }
        What::Branch(..) | What::Current(..) | What::CurrentAlong(..) | What::Shunt(..) => {
            Slot::Nowhere
        }
    }
}

/// Which flow is observed, if one is; a shunt joins the measured ones.
fn flow<const P: usize>(
    model: Model<'_>,
    o: &Observation,
    flat: &mut Flat<P>,
) -> Option<(End, FlowKind)> {
    let power = |part| match part {
        Part::P => FlowKind::P,
        Part::Q => FlowKind::Q,
    };
    match o.target.what {
        What::Branch(branch, side, part) => Some((End::of_branch(branch, side), power(part))),
        What::Current(branch, side) => Some((End::of_branch(branch, side), FlowKind::Current)),
        What::CurrentAlong(branch, side, frame, direction) => Some((
            End::of_branch(branch, side),
            FlowKind::Along(frame, direction),
        )),
        What::Shunt(shunt, part) => {
            let node = model
                .grid
                .known_node(model.grid.network().shunt[shunt].node);
            let y = block(model.admittances.shunt(shunt));
            let shunts = &mut flat.measured_shunts;
            let known = shunts.iter().position(|s| *s == (node, y));
            let at = known.unwrap_or_else(|| {
                shunts.push((node, y));
                shunts.len() - 1
            });
            Some((End::Shunt(at), power(part)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
