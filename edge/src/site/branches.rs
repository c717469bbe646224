//! Branches that a site shows and measures.

use solver::network::{Id, Network, Side};

/// A branch as built.
pub(crate) struct Built {
    pub(crate) id: Id,
    pub(crate) kind: &'static str,
    /// From and to node.
    pub(crate) ends: [Id; 2],
    /// Rated current, A.
    pub(crate) i_n: Option<f64>,
    /// Rated power, VA.
    pub(crate) s_n: Option<f64>,
    /// Phases that it has.
    pub(crate) phases: [bool; 3],
}

impl Built {
    /// Node at an end.
    pub(crate) fn node(&self, side: Side) -> Id {
        match side {
            Side::From => self.ends[0],
            Side::To => self.ends[1],
        }
    }
}

/// Lines, transformers and, by phase, lines whose phases differ and step-voltage regulators. Their order
/// numbers points of the control centre: additions go to the end.
pub(crate) fn built(network: &Network) -> impl Iterator<Item = Built> {
    let all = [true; 3];
    let lines = network.line.iter().map(move |of| Built {
        id: of.id,
        kind: "line",
        ends: [of.from_node, of.to_node],
        i_n: of.i_n,
        s_n: None,
        phases: all,
    });
    let transformers = network.transformer.iter().map(move |of| Built {
        id: of.id,
        kind: "transformer",
        ends: [of.from_node, of.to_node],
        i_n: None,
        s_n: Some(of.sn),
        phases: all,
    });
    let by_phase = network.asym_line.iter().map(|of| Built {
        id: of.id,
        kind: "asym_line",
        ends: [of.from_node, of.to_node],
        i_n: of.i_n,
        s_n: None,
        phases: of.phases.mask(),
    });
    let regulators = network.step_voltage_regulator.iter().map(|of| Built {
        id: of.id,
        kind: "step_voltage_regulator",
        ends: [of.from_node, of.to_node],
        i_n: of.i_n,
        s_n: None,
        phases: of.phases.mask(),
    });
    lines.chain(transformers).chain(by_phase).chain(regulators)
}
