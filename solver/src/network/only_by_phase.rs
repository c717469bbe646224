//! What keeps a network from being computed with its phases alike.

use super::{Id, Network, PhaseSet};

/// A component that only a computation by phase can take in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{component} {id} can only be computed by phase: {reason}")]
pub struct OnlyByPhase {
    /// Component table.
    pub component: &'static str,
    /// Component.
    pub id: Id,
    /// Why.
    pub reason: &'static str,
}

/// The first component of each table that has `is`.
macro_rules! first {
    ($network:expr, [$($table:ident),*], $reason:literal, $is:expr) => {
        None$(.or_else(|| {
            let found = $network.$table.iter().find($is);
            found.map(|c| OnlyByPhase { component: stringify!($table), id: c.id, reason: $reason })
        }))*
    };
}

impl Network {
    /// The first component whose phases are not alike, whatever is computed.
    #[must_use]
    pub fn only_by_phase(&self) -> Option<OnlyByPhase> {
        let partial = |p: &PhaseSet| !p.is_abc();
        first!(
            self,
            [line, asym_line, link, transformer, shunt],
            "it lacks phases",
            |c| partial(&c.phases)
        )
        .or_else(|| {
            first!(
                self,
                [step_voltage_regulator],
                "its tap positions are by phase",
                |_| true
            )
        })
    }

    /// The first load or generator that becomes an impedance at low or high voltage, which the
    /// symmetric power flow has no model of. An estimate needs none.
    pub(crate) fn voltage_limited(&self) -> Option<OnlyByPhase> {
        first!(
            self,
            [sym_load, sym_gen, asym_load, asym_gen],
            "it becomes an impedance beyond its u_min or u_max",
            |a| a.u_min.or(a.u_max).is_some()
        )
    }
}
