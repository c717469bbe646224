//! Changes of a network's components as a batch has them, made and unmade on a grid.

use super::build::{ApplianceRow, BranchRow};
use super::model::with_tables;
use super::{Grid, Revision, UpdateError};

macro_rules! change {
    ($(($table:ident, $component:ident, $attributes:ident, $doc:literal)),* $(,)?) => {
        /// A component as it is to be, with its row in the network's table.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Change {
            $(
                #[doc = $doc]
                $component(usize, Box<super::$component>),
            )*
        }

        impl Grid {
            /// Exchanges a component of the network with that of a change.
            fn exchange_component(&mut self, change: &mut Change) -> Result<(), UpdateError> {
                match change {
                    $(Change::$component(row, component) => {
                        let id = component.id;
                        match self.network.$table.get_mut(*row).filter(|own| own.id == id) {
                            Some(own) => std::mem::swap(own, component.as_mut()),
                            None => return Err(UpdateError::UnknownId { kind: stringify!($table), id }),
                        }
                    })*
                }
                Ok(())
            }
        }
    };
}
with_tables!(change);

/// Changes that are made together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    /// At most one for each component.
    pub changes: Vec<Change>,
}

impl Grid {
    /// Exchanges the components of a scenario with the grid's own: afterwards the scenario holds
    /// what undoes it.
    ///
    /// # Errors
    /// The grid does not have a component of that id in that row; the changes before it are made.
    pub fn exchange(&mut self, scenario: &mut Scenario) -> Result<(), UpdateError> {
        let mut switched = false;
        let mut result = Ok(());
        for change in &mut scenario.changes {
            if let Err(error) = self.exchange_component(change) {
                result = Err(error);
                break;
            }
            switched |= self.follow(change);
        }
        if switched {
            self.retrace();
        }
        result
    }

    /// Per-unit values of a component just exchanged; whether switch states or angles changed.
    fn follow(&mut self, change: &Change) -> bool {
        let branch = match *change {
            Change::Line(k, _) => BranchRow::Line(k),
            Change::Transformer(k, _) => BranchRow::Transformer(k),
            Change::AsymLine(k, _) => BranchRow::AsymLine(k),
            Change::Link(k, _) => BranchRow::Link(k),
            Change::GenericBranch(k, _) => BranchRow::GenericBranch(k),
            Change::StepVoltageRegulator(k, _) => BranchRow::StepVoltageRegulator(k),
            Change::ThreeWindingTransformer(k, _) => {
                let arms = [0, 1, 2].map(|side| BranchRow::ThreeWinding(k, side));
                let switched =
                    arms.map(|arm| self.recompute_branch(self.network.branch_index(arm)));
                return switched.contains(&true);
            }
            Change::SymLoad(k, _) => return self.follow_appliance(ApplianceRow::SymLoad(k)),
            Change::SymGen(k, _) => return self.follow_appliance(ApplianceRow::SymGen(k)),
            Change::AsymLoad(k, _) => return self.follow_appliance(ApplianceRow::AsymLoad(k)),
            Change::AsymGen(k, _) => return self.follow_appliance(ApplianceRow::AsymGen(k)),
            Change::Source(k, ref was) => {
                if was.z01_ratio != self.network.source[k].z01_ratio {
                    self.revision = Revision::default();
                }
                let before = (self.sources[k].closed, self.sources[k].u_ref);
                self.recompute_source(k);
                return before != (self.sources[k].closed, self.sources[k].u_ref);
            }
            Change::Shunt(k, _) => {
                self.recompute_shunts(self.network.shunt[k].node);
                return false;
            }
            // Nothing of the grid follows from these.
            _ => return false,
        };
        self.recompute_branch(self.network.branch_index(branch))
    }

    fn follow_appliance(&mut self, row: ApplianceRow) -> bool {
        self.recompute_appliance(self.network.appliance_index(row));
        false
    }
}
