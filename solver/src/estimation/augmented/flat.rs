//! The problem in flat arrays. Everything per unit, generation-positive.

use num_complex::Complex64;

use crate::estimation::AngleFrame;
use crate::network::Side;

/// Admittances between the phases of two nodes, by rows.
pub(in crate::estimation) type Admittance<const P: usize> = [[Complex64; P]; P];

/// What is to be fitted to what.
#[derive(Clone, Debug)]
pub(in crate::estimation) struct Flat<const P: usize> {
    /// Branches, open ones with zero admittances.
    pub(in crate::estimation) branches: Vec<TwoPort<P>>,
    /// Shunt admittance of each node.
    pub(in crate::estimation) shunts: Vec<Admittance<P>>,
    /// Active and reactive power fed in at each node, by phase.
    pub(in crate::estimation) injections: Vec<[[Gauss; 2]; P]>,
    /// What keeps its value, by node and phase.
    pub(in crate::estimation) fixed: Vec<[Fixed; P]>,
    /// Voltage magnitudes.
    pub(in crate::estimation) magnitudes: Vec<Voltage>,
    /// Voltage angles.
    pub(in crate::estimation) angles: Vec<Voltage>,
    /// Voltages along a direction, rad.
    pub(in crate::estimation) phasors: Vec<(Voltage, f64)>,
    /// Powers and currents at ends, those of one end next to each other.
    pub(in crate::estimation) flows: Vec<Flow>,
    /// Node and admittance of shunts whose power is measured. They are part of `shunts`.
    pub(in crate::estimation) measured_shunts: Vec<(usize, Admittance<P>)>,
}

/// A branch: `i_f = yff u_f + yft u_t`, `i_t = ytf u_f + ytt u_t`.
#[derive(Clone, Debug)]
pub(in crate::estimation) struct TwoPort<const P: usize> {
    pub(in crate::estimation) from: usize,
    pub(in crate::estimation) to: usize,
    pub(in crate::estimation) yff: Admittance<P>,
    pub(in crate::estimation) yft: Admittance<P>,
    pub(in crate::estimation) ytf: Admittance<P>,
    pub(in crate::estimation) ytt: Admittance<P>,
}

/// What is known of a quantity: nothing when the variance is infinite, all when it is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::estimation) struct Gauss {
    pub(in crate::estimation) value: f64,
    pub(in crate::estimation) variance: f64,
}

impl Gauss {
    pub(in crate::estimation) const UNKNOWN: Self = Self {
        value: 0.0,
        variance: f64::INFINITY,
    };
}

/// Parts of a voltage that keep their value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::estimation) struct Fixed {
    pub(in crate::estimation) magnitude: bool,
    pub(in crate::estimation) angle: bool,
}

/// A measured voltage magnitude, angle or component.
#[derive(Clone, Copy, Debug)]
pub(in crate::estimation) struct Voltage {
    pub(in crate::estimation) node: usize,
    pub(in crate::estimation) phase: usize,
    pub(in crate::estimation) value: f64,
    pub(in crate::estimation) weight: f64,
}

/// A measurement of what enters a branch or shunt.
#[derive(Clone, Copy, Debug)]
pub(in crate::estimation) struct Flow {
    pub(in crate::estimation) end: End,
    pub(in crate::estimation) phase: usize,
    pub(in crate::estimation) kind: FlowKind,
    pub(in crate::estimation) value: f64,
    pub(in crate::estimation) weight: f64,
}

/// Where a flow is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::estimation) enum End {
    /// At the from side of this branch.
    From(usize),
    /// At its to side.
    To(usize),
    /// Into this one of the measured shunts.
    Shunt(usize),
}

impl End {
    pub(in crate::estimation) fn of_branch(branch: usize, side: Side) -> Self {
        match side {
            Side::From => Self::From(branch),
            Side::To => Self::To(branch),
        }
    }
}

/// What of a flow is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::estimation) enum FlowKind {
    /// Active power.
    P,
    /// Reactive power.
    Q,
    /// Magnitude of the current.
    Current,
    /// Current in this direction, rad; see [`Kind::CurrentAlong`](crate::estimation::Kind).
    Along(AngleFrame, f64),
}

impl<const P: usize> Flat<P> {
    /// Gives each node the number `place` has for it.
    pub(super) fn renumber(&mut self, place: &[usize]) {
        for b in &mut self.branches {
            (b.from, b.to) = (place[b.from], place[b.to]);
        }
        for (node, _) in &mut self.measured_shunts {
            *node = place[*node];
        }
        let phasors = self.phasors.iter_mut().map(|(m, _)| m);
        for m in (self.magnitudes.iter_mut())
            .chain(&mut self.angles)
            .chain(phasors)
        {
            m.node = place[m.node];
        }
        reorder(&mut self.shunts, place);
        reorder(&mut self.injections, place);
        reorder(&mut self.fixed, place);
    }
}

fn reorder<T: Clone>(list: &mut [T], place: &[usize]) {
    let old = list.to_vec();
    for (value, &place) in old.into_iter().zip(place) {
        list[place] = value;
    }
}
