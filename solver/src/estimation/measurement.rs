//! What the estimator is told: a value, of what, where, and how exact.

use super::sensors::along_and_across;
use crate::network::{Id, Side};

/// The phase a measurement is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// All three, as one symmetrical quantity (three-phase power, line-to-line voltage). In an
    /// estimation by phase each phase is taken to have its equal share of it, at the same relative
    /// exactness, as in power-grid-model.
    Sym,
    /// Phase a.
    A,
    /// Phase b.
    B,
    /// Phase c.
    C,
}

/// What the angle of a current is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AngleFrame {
    /// The voltage of the same phase at the terminal: positive where the current lags, the angle of
    /// the power.
    Local,
    /// The angle references of the sources, as voltage angles (a time-synchronised phasor).
    Global,
}

/// A side of a three-winding transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Winding {
    /// Side 1.
    One,
    /// Side 2.
    Two,
    /// Side 3.
    Three,
}

/// What is measured, and where. Ids are component ids of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Voltage magnitude at a node, V (line-to-line when `Sym`, else line-to-neutral).
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
    /// The part of a node's voltage phasor along a direction, V: `U cos(angle - direction)`, angles
    /// as for `VoltageAngle`. A phasor as exact along its direction as across it is two of these.
    VoltageAlong {
        /// Node.
        node: Id,
        /// Direction, rad.
        direction: f64,
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
    /// The part of a branch's current along a direction, A: `I cos(angle - direction)`. A current
    /// phasor is two of these, see [`Measurement::current_phasor`].
    CurrentAlong {
        /// Branch.
        branch: Id,
        /// Side at which the current enters.
        side: Side,
        /// What the angle is against.
        frame: AngleFrame,
        /// Direction, rad.
        direction: f64,
    },
    /// Active power into a three-winding transformer at one of its sides, W.
    WindingP {
        /// Three-winding transformer.
        transformer: Id,
        /// Side at which the power enters.
        winding: Winding,
    },
    /// Reactive power into a three-winding transformer at one of its sides, var.
    WindingQ {
        /// Three-winding transformer.
        transformer: Id,
        /// Side at which the power enters.
        winding: Winding,
    },
    /// As `CurrentAlong`, at a side of a three-winding transformer.
    WindingCurrentAlong {
        /// Three-winding transformer.
        transformer: Id,
        /// Side at which the current enters.
        winding: Winding,
        /// What the angle is against.
        frame: AngleFrame,
        /// Direction, rad.
        direction: f64,
    },
    /// Active power a shunt takes, W.
    ShuntP {
        /// Shunt.
        shunt: Id,
    },
    /// Reactive power a shunt takes, var.
    ShuntQ {
        /// Shunt.
        shunt: Id,
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

impl Measurement {
    /// A current phasor of magnitude `i` ± `i_sigma`, A, at `angle` ± `angle_sigma`, rad: its part
    /// along the measured direction and that across it, which is zero. To first order the
    /// likelihood is that of magnitude and angle, and unlike theirs it is convex in the current and
    /// holds without one.
    #[must_use]
    pub fn current_phasor(
        (branch, side): (Id, Side),
        phase: Phase,
        frame: AngleFrame,
        (i, i_sigma): (f64, f64),
        (angle, angle_sigma): (f64, f64),
    ) -> [Self; 2] {
        let parts = along_and_across((i, i_sigma), (angle, angle_sigma));
        parts.map(|(direction, value, sigma)| Self {
            kind: Kind::CurrentAlong {
                branch,
                side,
                frame,
                direction,
            },
            phase,
            value,
            sigma,
            origin: Origin::Metered,
        })
    }
}
