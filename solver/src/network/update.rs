//! Changes of values and switch states without rebuilding the grid: what power-grid-model's
//! `update` data set can change. A refused change leaves the grid as it was.

use num_complex::Complex64;

use super::build::{ApplianceRow, BranchRow};
use super::{Element, Grid, Id, UpdateError};

impl Grid {
    /// Moves the tap changer of a transformer, also of one with three windings, or of a
    /// step-voltage regulator.
    ///
    /// # Errors
    /// No such transformer, or a position outside its taps.
    pub fn set_tap(&mut self, id: Id, pos: i8) -> Result<(), UpdateError> {
        let within = |(low, high): (i8, i8)| {
            if (low..=high).contains(&pos) {
                return Ok(());
            }
            Err(UpdateError::TapOutOfRange { id, pos, low, high })
        };
        if let Some(Element::ThreeWinding(k)) = self.element(id) {
            let transformer = &mut self.network.three_winding_transformer[k];
            within(transformer.tap_range())?;
            transformer.tap_pos = pos;
            for side in 0..3 {
                let arm = self.network.branch_index(BranchRow::ThreeWinding(k, side));
                self.recompute_branch(arm);
            }
            return Ok(());
        }
        if let Some(branch) = self.index_of_branch(id)
            && let BranchRow::StepVoltageRegulator(k) = self.network.branch_row(branch)
        {
            let regulator = &mut self.network.step_voltage_regulator[k];
            within((regulator.tap_min, regulator.tap_max))?;
            regulator.tap_pos = pos;
            self.recompute_branch(branch);
            return Ok(());
        }
        let (branch, k) = self.transformer_at(id)?;
        let transformer = &mut self.network.transformer[k];
        within(transformer.tap_range())?;
        transformer.tap_pos = pos;
        self.recompute_branch(branch);
        Ok(())
    }

    /// Opens or closes the two sides of a branch.
    ///
    /// # Errors
    /// No such branch.
    pub fn set_branch_status(
        &mut self,
        id: Id,
        from_closed: bool,
        to_closed: bool,
    ) -> Result<(), UpdateError> {
        let Some(branch) = self.index_of_branch(id) else {
            return Err(unknown("branch", id));
        };
        let network = &mut self.network;
        let (from, to) = match network.branch_row(branch) {
            BranchRow::Line(k) => {
                let l = &mut network.line[k];
                (&mut l.from_status, &mut l.to_status)
            }
            BranchRow::Transformer(k) => {
                let t = &mut network.transformer[k];
                (&mut t.from_status, &mut t.to_status)
            }
            BranchRow::AsymLine(k) => {
                let l = &mut network.asym_line[k];
                (&mut l.from_status, &mut l.to_status)
            }
            BranchRow::Link(k) => {
                let l = &mut network.link[k];
                (&mut l.from_status, &mut l.to_status)
            }
            BranchRow::GenericBranch(k) => {
                let b = &mut network.generic_branch[k];
                (&mut b.from_status, &mut b.to_status)
            }
            BranchRow::StepVoltageRegulator(k) => {
                let r = &mut network.step_voltage_regulator[k];
                (&mut r.from_status, &mut r.to_status)
            }
            BranchRow::ThreeWinding(..) => return Err(unknown("branch", id)),
        };
        (*from, *to) = (i8::from(from_closed), i8::from(to_closed));
        self.recompute_branch(branch);
        self.retrace();
        Ok(())
    }

    /// Sets the specified power of a load (load-positive) or generator (generation-positive), W
    /// and var at rated voltage.
    ///
    /// # Errors
    /// No such appliance, one whose phases differ, or a power that is not finite.
    pub fn set_appliance(&mut self, id: Id, p_w: f64, q_var: f64) -> Result<(), UpdateError> {
        let k = self.appliance_at(id)?;
        finite(id, "p_specified", p_w)?;
        finite(id, "q_specified", q_var)?;
        let network = &mut self.network;
        let (p, q) = match network.appliance_row(k) {
            ApplianceRow::SymLoad(k) => {
                let l = &mut network.sym_load[k];
                (&mut l.p_specified, &mut l.q_specified)
            }
            ApplianceRow::SymGen(k) => {
                let g = &mut network.sym_gen[k];
                (&mut g.p_specified, &mut g.q_specified)
            }
            _ => return Err(unknown("symmetrical load or generator", id)),
        };
        (*p, *q) = (p_w, q_var);
        self.recompute_appliance(k);
        Ok(())
    }

    /// Sets the specified power of a load (load-positive) or generator (generation-positive) by phase: of
    /// the phases a, b, c, W and var at rated voltage.
    ///
    /// # Errors
    /// No such appliance, one whose phases are alike, or a power that is not finite.
    pub fn set_appliance_by_phase(
        &mut self,
        id: Id,
        p_w: [f64; 3],
        q_var: [f64; 3],
    ) -> Result<(), UpdateError> {
        let k = self.appliance_at(id)?;
        for (p, q) in p_w.into_iter().zip(q_var) {
            finite(id, "p_specified", p)?;
            finite(id, "q_specified", q)?;
        }
        let network = &mut self.network;
        let (p, q) = match network.appliance_row(k) {
            ApplianceRow::AsymLoad(k) => {
                let l = &mut network.asym_load[k];
                (&mut l.p_specified, &mut l.q_specified)
            }
            ApplianceRow::AsymGen(k) => {
                let g = &mut network.asym_gen[k];
                (&mut g.p_specified, &mut g.q_specified)
            }
            _ => return Err(unknown("load or generator by phase", id)),
        };
        (*p, *q) = (p_w, q_var);
        self.recompute_appliance(k);
        Ok(())
    }

    /// Connects or disconnects a load or generator.
    ///
    /// # Errors
    /// No such appliance.
    pub fn set_appliance_status(&mut self, id: Id, closed: bool) -> Result<(), UpdateError> {
        let k = self.appliance_at(id)?;
        let network = &mut self.network;
        let status = match network.appliance_row(k) {
            ApplianceRow::SymLoad(k) => &mut network.sym_load[k].status,
            ApplianceRow::SymGen(k) => &mut network.sym_gen[k].status,
            ApplianceRow::AsymLoad(k) => &mut network.asym_load[k].status,
            ApplianceRow::AsymGen(k) => &mut network.asym_gen[k].status,
        };
        *status = i8::from(closed);
        self.recompute_appliance(k);
        Ok(())
    }

    /// Sets a source's reference voltage, pu and rad.
    ///
    /// # Errors
    /// No such source, a voltage that is not above zero, or a value that is not finite.
    pub fn set_source(&mut self, id: Id, u_ref: f64, angle: f64) -> Result<(), UpdateError> {
        let k = self.source_at(id)?;
        finite(id, "u_ref", u_ref)?;
        finite(id, "u_ref_angle", angle)?;
        if u_ref <= 0.0 {
            return Err(impossible(id, "u_ref", u_ref));
        }
        let source = &mut self.network.source[k];
        (source.u_ref, source.u_ref_angle) = (u_ref, angle);
        self.sources[k].u_ref = Complex64::from_polar(u_ref, angle);
        self.retrace();
        Ok(())
    }

    /// Connects or disconnects a source.
    ///
    /// # Errors
    /// No such source.
    pub fn set_source_status(&mut self, id: Id, closed: bool) -> Result<(), UpdateError> {
        let k = self.source_at(id)?;
        self.network.source[k].status = i8::from(closed);
        self.recompute_source(k);
        self.retrace();
        Ok(())
    }

    /// Connects or disconnects a shunt.
    ///
    /// # Errors
    /// No such shunt.
    pub fn set_shunt_status(&mut self, id: Id, closed: bool) -> Result<(), UpdateError> {
        let Some(Element::Shunt(k)) = self.element(id) else {
            return Err(unknown("shunt", id));
        };
        self.network.shunt[k].status = i8::from(closed);
        self.recompute_shunts(self.network.shunt[k].node);
        Ok(())
    }

    /// Index in `branches` and in the network's transformers.
    fn transformer_at(&self, id: Id) -> Result<(usize, usize), UpdateError> {
        let branch = self.index_of_branch(id);
        match branch.map(|b| (b, self.network.branch_row(b))) {
            Some((branch, BranchRow::Transformer(k))) => Ok((branch, k)),
            _ => Err(unknown("transformer", id)),
        }
    }

    fn appliance_at(&self, id: Id) -> Result<usize, UpdateError> {
        self.index_of_appliance(id)
            .ok_or_else(|| unknown("load or generator", id))
    }

    fn source_at(&self, id: Id) -> Result<usize, UpdateError> {
        self.index_of_source(id)
            .ok_or_else(|| unknown("source", id))
    }
}

fn unknown(kind: &'static str, id: Id) -> UpdateError {
    UpdateError::UnknownId { kind, id }
}

fn impossible(id: Id, attribute: &'static str, value: f64) -> UpdateError {
    UpdateError::Impossible {
        id,
        attribute,
        value,
    }
}

fn finite(id: Id, attribute: &'static str, value: f64) -> Result<(), UpdateError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(impossible(id, attribute, value))
}
