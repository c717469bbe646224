//! Checks of what does not have every phase: whatever hangs at a node needs the phases it uses to
//! be brought there.

use std::collections::BTreeMap;

use super::validate::Check;
use super::{Connection, Fault, Id, LEGS, Network, PhaseMask, PhaseSet, Shunt};

/// Index of a phase by the name in an attribute.
fn phase_index(name: char) -> Option<usize> {
    "abc".find(name)
}

/// Whether an attribute such as `r_ba` or `c_aa` is of these phases only; the neutral is of all.
fn is_of(phases: PhaseMask, attribute: &str) -> bool {
    let entry = attribute.split_once('_').map_or("", |(_, entry)| entry);
    let mut of = entry.chars().filter_map(phase_index);
    of.all(|p| phases[p])
}

impl Network {
    /// Phases brought to each node that lacks some.
    pub(super) fn partial_nodes(&self) -> BTreeMap<Id, PhaseMask> {
        let mut nodes: BTreeMap<Id, PhaseMask> = BTreeMap::new();
        let mut bring = |node: Id, phases: PhaseMask| {
            let has = nodes.entry(node).or_insert([false; 3]);
            *has = [0, 1, 2].map(|p| has[p] || phases[p]);
        };
        macro_rules! branches {
            ($($table:ident),*) => {
                $(for b in &self.$table {
                    bring(b.from_node, b.phases.mask());
                    bring(b.to_node, b.phases.mask());
                })*
            };
        }
        branches!(line, asym_line, link, transformer, step_voltage_regulator);
        for b in &self.generic_branch {
            bring(b.from_node, [true; 3]);
            bring(b.to_node, [true; 3]);
        }
        for t in &self.three_winding_transformer {
            [t.node_1, t.node_2, t.node_3]
                .into_iter()
                .for_each(|node| bring(node, [true; 3]));
        }
        for s in &self.source {
            bring(s.node, [true; 3]);
        }
        nodes.retain(|_, has| *has != [true; 3]);
        nodes
    }
}

impl Check {
    /// Reports a choice that does not go with the rest.
    pub(super) fn fit(&mut self, ok: bool, attribute: &str, reason: &str) {
        if !ok {
            let reason = reason.to_owned();
            self.report(attribute, Fault::Unfit { reason });
        }
    }

    fn phases_at(&self, node: Id) -> PhaseMask {
        self.node_phases.get(&node).copied().unwrap_or([true; 3])
    }

    /// Attributes that belong together, those of absent phases aside.
    pub(super) fn given_of(&mut self, phases: PhaseSet, values: &[(&'static str, Option<f64>)]) {
        for &value in values.iter().filter(|v| is_of(phases.mask(), v.0)) {
            self.given(&[value]);
        }
        let rest = values.iter().filter(|v| !is_of(phases.mask(), v.0));
        let rest: Vec<_> = rest.map(|&(n, v)| (n, v.unwrap_or(0.0))).collect();
        self.absent_phases(phases, &rest);
    }

    /// Entries of a matrix that its phases do not have are zero.
    pub(super) fn absent_phases(&mut self, phases: PhaseSet, values: &[(&'static str, f64)]) {
        for &(attribute, value) in values.iter().filter(|v| !is_of(phases.mask(), v.0)) {
            let reason = format!("it has the phases {phases} only");
            self.require(value == 0.0, attribute, value, &reason);
        }
    }

    pub(super) fn shunt_phases(&mut self, s: &Shunt) {
        let (own, at_node) = (s.phases.mask(), self.phases_at(s.node));
        let missing = (0..3).any(|p| own[p] && !at_node[p]);
        self.fit(!missing, "phases", "its node does not have them all");
        let delta = s.connection == Connection::Delta;
        let reason = "a delta stands between two or three phases";
        self.fit(!delta || s.phases.count() > 1, "phases", reason);
        let apart = |value: Option<f64>, own: f64| value.is_some_and(|v| v != own);
        if !s.phases.is_abc() && !delta {
            let reason = "without three phases it is that of each of them";
            self.fit(!apart(s.g0, s.g1), "g0", reason);
            self.fit(!apart(s.b0, s.b1), "b0", reason);
        }
        if delta {
            let reason = "a delta has no zero sequence";
            self.fit(!apart(s.g0, 0.0), "g0", reason);
            self.fit(!apart(s.b0, 0.0), "b0", reason);
        }
        match (s.u_on, s.u_off) {
            (None, None) => {}
            (Some(on), Some(off)) => {
                self.positive("u_on", on);
                if self.positive("u_off", off) {
                    self.require(on < off, "u_off", off, "it must be above u_on");
                }
            }
            (on, off) => self.given(&[("u_on", on), ("u_off", off)]),
        }
    }

    pub(super) fn voltage_limits(&mut self, u_min: Option<f64>, u_max: Option<f64>) {
        for (attribute, u) in [("u_min", u_min), ("u_max", u_max)] {
            if let Some(u) = u {
                self.positive(attribute, u);
            }
        }
        if let (Some(low), Some(high)) = (u_min, u_max) {
            self.require(low < high, "u_max", high, "it must be above u_min");
        }
    }

    pub(super) fn node_has_all(&mut self, node: Id) {
        let all = self.phases_at(node) == [true; 3];
        let reason = "not all phases reach it; use a load or generator by phase";
        self.fit(all, "node", reason);
    }

    /// Powers of phases or legs that the node does not have are zero.
    pub(super) fn powers_by_phase(
        &mut self,
        node: Id,
        connection: Connection,
        powers: [(&str, [f64; 3]); 2],
    ) {
        let has = self.phases_at(node);
        let there = match connection {
            Connection::Wye => has,
            Connection::Delta => LEGS.map(|(p, q)| has[p] && has[q]),
        };
        for (attribute, values) in powers {
            for (&value, there) in values.iter().zip(there) {
                let reason = "its phases do not reach the node";
                self.require(there || value == 0.0, attribute, value, reason);
            }
        }
    }
}
