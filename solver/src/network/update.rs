//! Changes of values and switch states without rebuilding the grid: what power-grid-model's
//! `update` data set can change. A refused change leaves the grid as it was.

use num_complex::Complex64;

use super::{ApplianceKind, Element, Grid, Id, S_BASE_VA, UpdateError};

impl Grid {
    /// Moves a transformer's tap changer.
    ///
    /// # Errors
    /// No such transformer, or a position outside its taps.
    pub fn set_tap(&mut self, id: Id, pos: i8) -> Result<(), UpdateError> {
        let (branch, k) = self.transformer_at(id)?;
        let transformer = &mut self.network.transformer[k];
        let (low, high) = transformer.tap_range();
        if !(low..=high).contains(&pos) {
            return Err(UpdateError::TapOutOfRange { id, pos, low, high });
        }
        transformer.tap_pos = pos;
        self.recompute_branch(branch);
        Ok(())
    }

    /// Opens or closes the two sides of a line or transformer.
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
        let statuses = (i8::from(from_closed), i8::from(to_closed));
        match branch.checked_sub(self.network.line.len()) {
            None => {
                let line = &mut self.network.line[branch];
                (line.from_status, line.to_status) = statuses;
            }
            Some(k) => {
                let transformer = &mut self.network.transformer[k];
                (transformer.from_status, transformer.to_status) = statuses;
            }
        }
        self.recompute_branch(branch);
        self.retrace();
        Ok(())
    }

    /// Sets the specified power of a load (load-positive) or generator (generation-positive), W
    /// and var at rated voltage.
    ///
    /// # Errors
    /// No such appliance, or a power that is not finite.
    pub fn set_appliance(&mut self, id: Id, p_w: f64, q_var: f64) -> Result<(), UpdateError> {
        let k = self.appliance_at(id)?;
        finite(id, "p_specified", p_w)?;
        finite(id, "q_specified", q_var)?;
        let s = Complex64::new(p_w, q_var) / S_BASE_VA;
        let loads = self.network.sym_load.len();
        match self.appliances[k].kind {
            ApplianceKind::Load => {
                let load = &mut self.network.sym_load[k];
                (load.p_specified, load.q_specified) = (p_w, q_var);
                self.appliances[k].s = -s;
            }
            ApplianceKind::Gen => {
                let generator = &mut self.network.sym_gen[k - loads];
                (generator.p_specified, generator.q_specified) = (p_w, q_var);
                self.appliances[k].s = s;
            }
        }
        Ok(())
    }

    /// Connects or disconnects a load or generator.
    ///
    /// # Errors
    /// No such appliance.
    pub fn set_appliance_status(&mut self, id: Id, closed: bool) -> Result<(), UpdateError> {
        let k = self.appliance_at(id)?;
        let loads = self.network.sym_load.len();
        self.appliances[k].closed = closed;
        match self.appliances[k].kind {
            ApplianceKind::Load => self.network.sym_load[k].status = i8::from(closed),
            ApplianceKind::Gen => self.network.sym_gen[k - loads].status = i8::from(closed),
        }
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
        self.sources[k].closed = closed;
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
        let at = self.network.shunt[k].node;
        let node = self.known_node(at);
        // Summed afresh, so that a shunt switched often leaves no rounding behind.
        let at_node = self.network.shunt.iter().filter(|s| s.node == at);
        self.y_shunt[node] = at_node.map(|s| self.shunt_admittance(s, node)).sum();
        Ok(())
    }

    /// Index in `branches` and in the network's transformers.
    fn transformer_at(&self, id: Id) -> Result<(usize, usize), UpdateError> {
        self.index_of_branch(id)
            .and_then(|b| Some((b, b.checked_sub(self.network.line.len())?)))
            .ok_or_else(|| unknown("transformer", id))
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
