//! What the estimator is told: a value, of what, where, and how exact.

use crate::network::{Id, Side};

/// The phase a measurement is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// All three, as one symmetrical quantity (three-phase power, line-to-line voltage).
    Sym,
    /// Phase a.
    A,
    /// Phase b.
    B,
    /// Phase c.
    C,
}

/// What is measured, and where. Ids are component ids of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Voltage magnitude at a node, V (line-to-line when `Sym`).
    Voltage {
        /// Node.
        node: Id,
    },
    /// Voltage angle at a node, rad, against the angle references of the sources (a time-synchronised
    /// phasor). Where an island has one, the angle of its source is estimated as well.
    VoltageAngle {
        /// Node.
        node: Id,
    },
    /// Active power into a branch at one side, W.
    BranchP {
        /// Branch.
        branch: Id,
        /// Side at which the power enters.
        side: Side,
    },
    /// Reactive power into a branch at one side, var.
    BranchQ {
        /// Branch.
        branch: Id,
        /// Side at which the power enters.
        side: Side,
    },
    /// Current magnitude in a branch at one side, A.
    BranchCurrent {
        /// Branch.
        branch: Id,
        /// Side.
        side: Side,
    },
    /// Active power of a load (load-positive) or generator (generation-positive), W.
    ApplianceP {
        /// Load or generator.
        appliance: Id,
    },
    /// Reactive power of a load (load-positive) or generator (generation-positive), var.
    ApplianceQ {
        /// Load or generator.
        appliance: Id,
    },
    /// Active power a source feeds in, W.
    SourceP {
        /// Source.
        source: Id,
    },
    /// Reactive power a source feeds in, var.
    SourceQ {
        /// Source.
        source: Id,
    },
    /// Active power injected at a node by its sources, loads and generators (shunts belong to the network), generation-positive, W.
    NodeP {
        /// Node.
        node: Id,
    },
    /// Reactive power injected at a node by its sources, loads and generators (shunts belong to the network), generation-positive, var.
    NodeQ {
        /// Node.
        node: Id,
    },
}

/// Where a measurement's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A meter.
    Metered,
    /// A load model or schedule in place of a meter. Never called bad data: it is only a guess.
    Pseudo,
}

/// One measurement, in SI units.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// What is measured.
    pub kind: Kind,
    /// Of which phase.
    pub phase: Phase,
    /// Value, in the unit of `kind`.
    pub value: f64,
    /// Standard deviation, same unit, above zero.
    pub sigma: f64,
    /// Meter or guess.
    pub origin: Origin,
}
