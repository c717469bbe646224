//! Checks of a network's values and references, after power-grid-model's own input validation.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::model::with_tables;
use super::{
    Fault, Id, Line, Network, Node, PhaseMask, Problem, Shunt, Source, SymGen, SymLoad, Transformer,
};

/// What every component table's rows have in common.
pub(super) trait Component: Clone + Serialize + DeserializeOwned {
    /// Its id.
    fn id(&self) -> Id;
    /// Reports what is wrong with it.
    fn check(&self, check: &mut Check);
}

macro_rules! components {
    ($(($table:ident, $component:ident, $attributes:ident, $doc:literal)),* $(,)?) => {
        $(impl Component for super::$component {
            fn id(&self) -> Id {
                self.id
            }
            fn check(&self, check: &mut Check) {
                check.begin(stringify!($table), self.id);
                check.$table(self);
            }
        })*

        impl Network {
            /// Everything wrong with the network's values and references; empty if it can be
            /// computed.
            #[must_use]
            pub fn problems(&self) -> Vec<Problem> {
                let mut check = Check::new(self);
                check.unique_ids(self);
                check.regulated_once(self);
                $(for component in &self.$table {
                    component.check(&mut check);
                })*
                check.problems
            }
        }

        impl Check {
            /// What checks of this network's components need to know.
            pub(super) fn new(network: &Network) -> Self {
                let mut rows = BTreeMap::new();
                $(for (k, component) in network.$table.iter().enumerate() {
                    rows.entry(component.id).or_insert((stringify!($table), k));
                })*
                Self {
                    rows,
                    u_rated: network.node.iter().map(|n| (n.id, n.u_rated)).collect(),
                    node_phases: network.partial_nodes(),
                    ..Self::default()
                }
            }
        }
    };
}
with_tables!(components);

/// The checks of one component at a time.
#[derive(Default)]
pub(super) struct Check {
    /// Scenario of the component being checked.
    pub(super) scenario: Option<usize>,
    pub(super) problems: Vec<Problem>,
    component: &'static str,
    id: Id,
    u_rated: BTreeMap<Id, f64>,
    /// Phases that branches and sources bring to a node; none: all.
    pub(super) node_phases: BTreeMap<Id, PhaseMask>,
    /// Table and row of every id.
    rows: BTreeMap<Id, (&'static str, usize)>,
}

impl Check {
    /// Row of a component in its table.
    pub(super) fn row(&self, component: &str, id: Id) -> Option<usize> {
        match self.rows.get(&id) {
            Some((table, row)) if *table == component => Some(*row),
            _ => None,
        }
    }

    /// Table an id belongs to.
    pub(super) fn table_of(&self, id: Id) -> Option<&'static str> {
        self.rows.get(&id).map(|(table, _)| *table)
    }

    /// Rated voltage of a node.
    pub(super) fn u_rated(&self, node: Id) -> Option<f64> {
        self.u_rated.get(&node).copied()
    }

    fn unique_ids(&mut self, network: &Network) {
        let mut first_use: BTreeMap<Id, &'static str> = BTreeMap::new();
        for (component, id) in network.ids() {
            match first_use.get(&id) {
                None => {
                    first_use.insert(id, component);
                }
                Some(other) => {
                    let other = (*other).to_owned();
                    self.begin(component, id);
                    self.report("id", Fault::DuplicateId { other });
                }
            }
        }
    }

    pub(super) fn begin(&mut self, component: &'static str, id: Id) {
        self.component = component;
        self.id = id;
    }

    pub(super) fn report(&mut self, attribute: &str, fault: Fault) {
        self.problems.push(Problem {
            scenario: self.scenario,
            component: self.component.to_owned(),
            id: Some(self.id),
            row: None,
            attribute: Some(attribute.to_owned()),
            fault,
        });
    }

    pub(super) fn require(&mut self, ok: bool, attribute: &str, value: f64, reason: &str) -> bool {
        if !ok {
            let reason = reason.to_owned();
            self.report(attribute, Fault::Impossible { value, reason });
        }
        ok
    }

    pub(super) fn finite(&mut self, attribute: &str, value: f64) -> bool {
        self.require(value.is_finite(), attribute, value, "it must be finite")
    }

    pub(super) fn positive(&mut self, attribute: &str, value: f64) -> bool {
        self.finite(attribute, value)
            && self.require(value > 0.0, attribute, value, "it must be above zero")
    }

    pub(super) fn not_negative(&mut self, attribute: &str, value: f64) -> bool {
        self.finite(attribute, value)
            && self.require(value >= 0.0, attribute, value, "it can't be negative")
    }

    pub(super) fn optional(&mut self, values: &[(&str, Option<f64>)]) {
        for &(attribute, value) in values {
            if let Some(value) = value {
                self.finite(attribute, value);
            }
        }
    }

    pub(super) fn flag(&mut self, attribute: &str, value: i8) {
        let ok = value == 0 || value == 1;
        self.require(ok, attribute, f64::from(value), "it is neither 0 nor 1");
    }

    /// Both ends of a line have the same rated voltage.
    pub(super) fn rated_alike(&mut self, from: Id, to: Id) {
        if let (Some(u), Some(v)) = (self.u_rated(from), self.u_rated(to)) {
            let reason = format!("a line's nodes must be rated alike; the from side has {u} V");
            self.require((u - v).abs() <= 1e-9 * u.abs(), "to_node", v, &reason);
        }
    }

    pub(super) fn node_exists(&mut self, attribute: &str, node: Id) {
        if !self.u_rated.contains_key(&node) {
            self.report(attribute, Fault::UnknownNode { node });
        }
    }

    pub(super) fn ends(&mut self, from: Id, to: Id, from_status: i8, to_status: i8) {
        self.node_exists("from_node", from);
        self.node_exists("to_node", to);
        self.flag("from_status", from_status);
        self.flag("to_status", to_status);
    }

    fn node(&mut self, n: &Node) {
        self.positive("u_rated", n.u_rated);
    }

    fn line(&mut self, l: &Line) {
        self.ends(l.from_node, l.to_node, l.from_status, l.to_status);
        self.rated_alike(l.from_node, l.to_node);
        self.not_negative("r1", l.r1);
        self.finite("x1", l.x1);
        let reason = "r1 and x1 are both zero; merge the two nodes instead";
        self.require(l.r1 != 0.0 || l.x1 != 0.0, "x1", l.x1, reason);
        self.not_negative("c1", l.c1);
        self.finite("tan1", l.tan1);
        self.optional(&[("r0", l.r0), ("x0", l.x0), ("c0", l.c0), ("tan0", l.tan0)]);
        if let Some(i_n) = l.i_n {
            self.positive("i_n", i_n);
        }
    }

    fn transformer(&mut self, t: &Transformer) {
        self.ends(t.from_node, t.to_node, t.from_status, t.to_status);
        self.positive("u1", t.u1);
        self.positive("u2", t.u2);
        self.positive("sn", t.sn);
        self.short_circuit("uk", t.uk, "pk", t.pk);
        let at_min = (t.uk_min.unwrap_or(t.uk), t.pk_min.unwrap_or(t.pk));
        let at_max = (t.uk_max.unwrap_or(t.uk), t.pk_max.unwrap_or(t.pk));
        if t.uk_min.is_some() || t.pk_min.is_some() {
            self.short_circuit("uk_min", at_min.0, "pk_min", at_min.1);
        }
        if t.uk_max.is_some() || t.pk_max.is_some() {
            self.short_circuit("uk_max", at_max.0, "pk_max", at_max.1);
        }
        if self.not_negative("i0", t.i0) {
            self.require(t.i0 < 1.0, "i0", t.i0, "it must be below 1");
        }
        self.not_negative("p0", t.p0);
        self.optional(&[
            ("i0_zero_sequence", t.i0_zero_sequence),
            ("p0_zero_sequence", t.p0_zero_sequence),
            ("r_grounding_from", t.r_grounding_from),
            ("x_grounding_from", t.x_grounding_from),
            ("r_grounding_to", t.r_grounding_to),
            ("x_grounding_to", t.x_grounding_to),
        ]);
        self.windings(t);
        self.taps(t);
        let reason = "only wye-n to wye-n of clock 0 or 6 without grounding impedance has fewer \
                      than three phases";
        self.fit(t.phases.is_abc() || t.is_by_phase(), "phases", reason);
    }

    /// Short-circuit voltage, `0 < uk < 1`, and loss; where that alone is more than the voltage
    /// allows, the branch is a resistance, as power-grid-model has it.
    fn short_circuit(&mut self, uk_name: &str, uk: f64, pk_name: &str, pk: f64) {
        if self.positive(uk_name, uk) {
            self.require(uk < 1.0, uk_name, uk, "it must be below 1 (it is relative)");
        }
        self.not_negative(pk_name, pk);
    }

    fn windings(&mut self, t: &Transformer) {
        let from = self.winding("winding_from", t.winding_from);
        let to = self.winding("winding_to", t.winding_to);
        self.clock("clock", t.clock, from, to);
    }

    /// The winding, where it is one.
    pub(super) fn winding(&mut self, attribute: &str, w: i8) -> Option<i8> {
        let reason = "the types are 0 (wye), 1 (wye-n), 2 (delta), 3 (zigzag) and 4 (zigzag-n)";
        self.require((0..=4).contains(&w), attribute, f64::from(w), reason)
            .then_some(w)
    }

    pub(super) fn clock(&mut self, attribute: &str, clock: i8, from: Option<i8>, to: Option<i8>) {
        let value = f64::from(clock);
        let in_range = (0..=12).contains(&clock);
        self.require(in_range, attribute, value, "it is not within 0 to 12");
        let (Some(from), Some(to), true) = (from, to, in_range) else {
            return;
        };
        let even_expected = (from < 2) == (to < 2);
        let reason = if even_expected {
            "these windings give an even clock number"
        } else {
            "these windings give an odd clock number"
        };
        let ok = (clock % 2 == 0) == even_expected;
        self.require(ok, attribute, value, reason);
    }

    fn taps(&mut self, t: &Transformer) {
        self.flag("tap_side", t.tap_side);
        let u = if t.tap_side == 0 { t.u1 } else { t.u2 };
        self.tap_changer(t.tap_range(), (t.tap_pos, t.tap_nom), t.tap_size, u);
    }

    /// Positions within their range; a winding of rated voltage `u` that keeps one at every tap.
    pub(super) fn tap_changer(&mut self, range: (i8, i8), (pos, nom): (i8, i8), size: f64, u: f64) {
        let (low, high) = range;
        let reason = format!("the taps are {low} to {high}");
        for (attribute, pos) in [("tap_pos", pos), ("tap_nom", nom)] {
            let ok = (low..=high).contains(&pos);
            self.require(ok, attribute, f64::from(pos), &reason);
        }
        if self.not_negative("tap_size", size) {
            let steps = (f64::from(low) - f64::from(nom))
                .abs()
                .max((f64::from(high) - f64::from(nom)).abs());
            let reason = "at the outermost tap the winding's voltage would not be above zero";
            let too_far = u > 0.0 && steps * size >= u;
            self.require(!too_far, "tap_size", size, reason);
        }
    }

    fn shunt(&mut self, s: &Shunt) {
        self.node_exists("node", s.node);
        self.flag("status", s.status);
        self.finite("g1", s.g1);
        self.finite("b1", s.b1);
        self.optional(&[("g0", s.g0), ("b0", s.b0)]);
        self.shunt_phases(s);
    }

    fn source(&mut self, s: &Source) {
        self.node_exists("node", s.node);
        self.flag("status", s.status);
        self.positive("u_ref", s.u_ref);
        self.finite("u_ref_angle", s.u_ref_angle);
        self.positive("sk", s.sk);
        self.not_negative("rx_ratio", s.rx_ratio);
        if let Some(z01) = s.z01_ratio {
            self.positive("z01_ratio", z01);
        }
    }

    fn sym_load(&mut self, l: &SymLoad) {
        self.appliance(l.node, l.status, l.p_specified, l.q_specified);
        self.node_has_all(l.node);
        self.voltage_limits(l.u_min, l.u_max);
    }

    fn sym_gen(&mut self, g: &SymGen) {
        self.appliance(g.node, g.status, g.p_specified, g.q_specified);
        self.node_has_all(g.node);
        self.voltage_limits(g.u_min, g.u_max);
    }

    fn appliance(&mut self, node: Id, status: i8, p: f64, q: f64) {
        self.node_exists("node", node);
        self.flag("status", status);
        self.finite("p_specified", p);
        self.finite("q_specified", q);
    }
}
