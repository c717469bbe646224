//! What a site by phase asks of its network: which phases nodes have, and how what is connected to
//! them shares its power by phase.

use std::collections::BTreeMap;

use protocols::point::PointId;
use solver::{
    market::clearing::PhaseName,
    network::{AsymLoad, Connection, Grid, Id, Network, PhaseGrid, PhaseMask, SymLoad},
};

use super::model::{Bay, Device, Shares, Site};

/// Phases of the network's nodes.
pub(super) struct NodePhases(BTreeMap<Id, PhaseMask>);

impl Site {
    /// Points of what a bay measures of a quantity (`u`, `p`, `q`, `i`): one; by phase those of each, where its
    /// device has them.
    pub(crate) fn measured(&self, device: &Device, bay: &Bay, quantity: &str) -> Vec<PointId> {
        let name = |what: &str| format!("bay{}_{what}", bay.number);
        let point = |name: &str| PointId::new(&device.id, name);
        let letters = PhaseName::ALL.map(|phase| name(&format!("{quantity}_{}", phase.letter())));
        let by_phase = letters.iter().filter(|name| device.profile.has_point(name));
        let by_phase: Vec<PointId> = by_phase.map(|name| point(name)).collect();
        match self.by_phase && !by_phase.is_empty() {
            true => by_phase,
            false => vec![point(&name(quantity))],
        }
    }

    /// By phase: which phases the network's nodes have. Balanced: nothing.
    pub(crate) fn phases_of_nodes(&self) -> BTreeMap<Id, PhaseMask> {
        let known = self.by_phase.then(|| NodePhases::new(&self.network).ok());
        known.flatten().map_or_else(BTreeMap::new, |of| of.0)
    }
}

impl NodePhases {
    /// Of a network that can be computed by phase.
    ///
    /// # Errors
    /// Everything that keeps it from being.
    pub(super) fn new(network: &Network) -> Result<Self, Vec<String>> {
        let grid = Grid::new(network);
        let by_phase = grid.and_then(|grid| Ok((PhaseGrid::new(&grid)?, grid)));
        let (phases, grid) = by_phase.map_err(|error| error.problems())?;
        let nodes = grid.node_id.iter().enumerate();
        Ok(Self(
            nodes.map(|(k, &id)| (id, phases.phases_of(k))).collect(),
        ))
    }

    fn of(&self, node: Id) -> PhaseMask {
        self.0.get(&node).copied().unwrap_or([true; 3])
    }

    /// What is wrong with a unit of one phase.
    pub(super) fn lacks(&self, node: Id, phase: PhaseName) -> Option<String> {
        let has = self.of(node);
        let text = format!(
            "node {node} has no phase {}; it has {}",
            phase.letter(),
            named(has)
        );
        (!has[phase.index()]).then_some(text)
    }

    /// Shares of a load in the phases.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn shares(&self, load: &NetworkLoad<'_>) -> Result<Shares, String> {
        if load.connection() == Connection::Delta {
            return Err(
                "is between phases (`connection` delta), and the market takes what is from a phase to ground"
                    .to_owned(),
            );
        }
        let of = match load {
            NetworkLoad::Sym(_) => return Ok(Shares::ALIKE),
            NetworkLoad::Asym(of) => of,
        };
        let p = shares(of.p_specified).ok_or(
            "is an `asym_load`: by its `p_specified` its power is shared by the phases, so they have to be of one sign, and not all 0",
        )?;
        let q = match of.q_specified {
            [0.0, 0.0, 0.0] => p,
            q => {
                shares(q).ok_or("is an `asym_load`, whose `q_specified` have to be of one sign")?
            }
        };
        Ok(Shares { p, q })
    }
}

/// Each part of the sum of parts of one sign.
fn shares(parts: [f64; 3]) -> Option<[f64; 3]> {
    let sum: f64 = parts.iter().sum();
    let one_sign = parts.iter().all(|part| part * sum >= 0.0);
    (one_sign && sum != 0.0 && sum.is_finite()).then(|| parts.map(|part| part / sum))
}

fn named(has: PhaseMask) -> String {
    let letters = PhaseName::ALL.map(|phase| has[phase.index()].then(|| phase.letter()));
    let letters: Vec<&str> = letters.into_iter().flatten().collect();
    letters.join(", ")
}

/// A load of the network.
pub(super) enum NetworkLoad<'n> {
    Sym(&'n SymLoad),
    Asym(&'n AsymLoad),
}

impl<'n> NetworkLoad<'n> {
    /// All of them, in the order of the grid's appliances.
    pub(super) fn all(network: &'n Network) -> impl Iterator<Item = Self> {
        let sym = network.sym_load.iter().map(Self::Sym);
        sym.chain(network.asym_load.iter().map(Self::Asym))
    }

    pub(super) fn id(&self) -> Id {
        match self {
            Self::Sym(of) => of.id,
            Self::Asym(of) => of.id,
        }
    }

    pub(super) fn node(&self) -> Id {
        match self {
            Self::Sym(of) => of.node,
            Self::Asym(of) => of.node,
        }
    }

    fn connection(&self) -> Connection {
        match self {
            Self::Sym(of) => of.connection,
            Self::Asym(of) => of.connection,
        }
    }
}

/// Number and node of every generator of a network, and whether it is by phase.
pub(super) fn generators(network: &Network) -> impl Iterator<Item = (Id, Id, bool)> {
    let sym = network.sym_gen.iter().map(|of| (of.id, of.node, false));
    sym.chain(network.asym_gen.iter().map(|of| (of.id, of.node, true)))
}
