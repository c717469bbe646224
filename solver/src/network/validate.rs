//! Checks of a network's values and references, after power-grid-model's own input validation.

use std::collections::BTreeMap;

use super::{Fault, Id, Line, Network, Node, Problem, Shunt, Source, SymGen, SymLoad, Transformer};

impl Network {
    /// Everything wrong with the network's values and references; empty if it can be computed.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut check = Check::default();
        check.unique_ids(self);
        for n in &self.node {
            check.node(n);
        }
        for l in &self.line {
            check.line(l);
        }
        for t in &self.transformer {
            check.transformer(t);
        }
        for s in &self.shunt {
            check.shunt(s);
        }
        for s in &self.source {
            check.source(s);
        }
        for l in &self.sym_load {
            check.sym_load(l);
        }
        for g in &self.sym_gen {
            check.sym_gen(g);
        }
        check.problems
    }
}

/// The checks of one component at a time.
#[derive(Default)]
struct Check {
    component: &'static str,
    id: Id,
    u_rated: BTreeMap<Id, f64>,
    problems: Vec<Problem>,
}

impl Check {
    fn unique_ids(&mut self, network: &Network) {
        let mut first_use: BTreeMap<Id, &'static str> = BTreeMap::new();
        for (component, id) in network.ids() {
            match first_use.get(&id) {
                None => {
                    first_use.insert(id, component);
                }
                Some(other) => self.problems.push(Problem {
                    component: component.to_owned(),
                    id: Some(id),
                    row: None,
                    attribute: Some("id".to_owned()),
                    fault: Fault::DuplicateId {
                        other: (*other).to_owned(),
                    },
                }),
            }
        }
        self.u_rated = network.node.iter().map(|n| (n.id, n.u_rated)).collect();
    }

    fn begin(&mut self, component: &'static str, id: Id) {
        self.component = component;
        self.id = id;
    }

    fn report(&mut self, attribute: &str, fault: Fault) {
        self.problems.push(Problem {
            component: self.component.to_owned(),
            id: Some(self.id),
            row: None,
            attribute: Some(attribute.to_owned()),
            fault,
        });
    }

    fn require(&mut self, ok: bool, attribute: &str, value: f64, reason: &str) -> bool {
        if !ok {
            let reason = reason.to_owned();
            self.report(attribute, Fault::Impossible { value, reason });
        }
        ok
    }

    fn finite(&mut self, attribute: &str, value: f64) -> bool {
        self.require(value.is_finite(), attribute, value, "it must be finite")
    }

    fn positive(&mut self, attribute: &str, value: f64) -> bool {
        self.finite(attribute, value)
            && self.require(value > 0.0, attribute, value, "it must be above zero")
    }

    fn not_negative(&mut self, attribute: &str, value: f64) -> bool {
        self.finite(attribute, value)
            && self.require(value >= 0.0, attribute, value, "it can't be negative")
    }

    fn optional(&mut self, values: &[(&str, Option<f64>)]) {
        for &(attribute, value) in values {
            if let Some(value) = value {
                self.finite(attribute, value);
            }
        }
    }

    fn flag(&mut self, attribute: &str, value: i8) {
        let ok = value == 0 || value == 1;
        self.require(ok, attribute, f64::from(value), "it is neither 0 nor 1");
    }

    fn node_exists(&mut self, attribute: &str, node: Id) {
        if !self.u_rated.contains_key(&node) {
            self.report(attribute, Fault::UnknownNode { node });
        }
    }

    fn ends(&mut self, from: Id, to: Id, from_status: i8, to_status: i8) {
        self.node_exists("from_node", from);
        self.node_exists("to_node", to);
        let reason = "both sides are at the same node";
        self.require(from != to, "to_node", f64::from(to), reason);
        self.flag("from_status", from_status);
        self.flag("to_status", to_status);
    }

    fn node(&mut self, n: &Node) {
        self.begin("node", n.id);
        self.positive("u_rated", n.u_rated);
    }

    fn line(&mut self, l: &Line) {
        self.begin("line", l.id);
        self.ends(l.from_node, l.to_node, l.from_status, l.to_status);
        if let (Some(&u), Some(&v)) = (self.u_rated.get(&l.from_node), self.u_rated.get(&l.to_node))
        {
            let reason = format!("a line's nodes must be rated alike; the from side has {u} V");
            self.require((u - v).abs() <= 1e-9 * u.abs(), "to_node", v, &reason);
        }
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
        self.begin("transformer", t.id);
        self.ends(t.from_node, t.to_node, t.from_status, t.to_status);
        self.positive("u1", t.u1);
        self.positive("u2", t.u2);
        let sn_ok = self.positive("sn", t.sn);
        self.short_circuit(t, "uk", t.uk, "pk", t.pk, sn_ok);
        let at_min = (t.uk_min.unwrap_or(t.uk), t.pk_min.unwrap_or(t.pk));
        let at_max = (t.uk_max.unwrap_or(t.uk), t.pk_max.unwrap_or(t.pk));
        if t.uk_min.is_some() || t.pk_min.is_some() {
            self.short_circuit(t, "uk_min", at_min.0, "pk_min", at_min.1, sn_ok);
        }
        if t.uk_max.is_some() || t.pk_max.is_some() {
            self.short_circuit(t, "uk_max", at_max.0, "pk_max", at_max.1, sn_ok);
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
    }

    /// Short-circuit voltage and loss: `0 < uk < 1` and a resistance that is not above it.
    fn short_circuit(
        &mut self,
        t: &Transformer,
        uk_name: &str,
        uk: f64,
        pk_name: &str,
        pk: f64,
        sn_ok: bool,
    ) {
        let uk_ok = self.positive(uk_name, uk)
            && self.require(uk < 1.0, uk_name, uk, "it must be below 1 (it is relative)");
        if self.not_negative(pk_name, pk) && uk_ok && sn_ok {
            let reason = "its loss alone is more than the short-circuit voltage allows";
            self.require(pk <= uk * t.sn, pk_name, pk, reason);
        }
    }

    fn windings(&mut self, t: &Transformer) {
        let known = |w: i8| (0..=4).contains(&w);
        for (attribute, w) in [
            ("winding_from", t.winding_from),
            ("winding_to", t.winding_to),
        ] {
            let reason = "the types are 0 (wye), 1 (wye-n), 2 (delta), 3 (zigzag) and 4 (zigzag-n)";
            self.require(known(w), attribute, f64::from(w), reason);
        }
        let clock = f64::from(t.clock);
        if !self.require(
            (0..=12).contains(&t.clock),
            "clock",
            clock,
            "it is not within 0 to 12",
        ) || !known(t.winding_from)
            || !known(t.winding_to)
        {
            return;
        }
        let is_wye = |w: i8| w < 2;
        let even_expected = is_wye(t.winding_from) == is_wye(t.winding_to);
        let reason = if even_expected {
            "these windings give an even clock number"
        } else {
            "these windings give an odd clock number"
        };
        let ok = (t.clock % 2 == 0) == even_expected;
        self.require(ok, "clock", clock, reason);
    }

    fn taps(&mut self, t: &Transformer) {
        self.flag("tap_side", t.tap_side);
        let (low, high) = t.tap_range();
        let reason = format!("the taps are {low} to {high}");
        for (attribute, pos) in [("tap_pos", t.tap_pos), ("tap_nom", t.tap_nom)] {
            let ok = (low..=high).contains(&pos);
            self.require(ok, attribute, f64::from(pos), &reason);
        }
        if self.not_negative("tap_size", t.tap_size) {
            let u = if t.tap_side == 0 { t.u1 } else { t.u2 };
            let steps = (f64::from(low) - f64::from(t.tap_nom))
                .abs()
                .max((f64::from(high) - f64::from(t.tap_nom)).abs());
            let reason = "at the outermost tap the winding's voltage would not be above zero";
            let too_far = u > 0.0 && steps * t.tap_size >= u;
            self.require(!too_far, "tap_size", t.tap_size, reason);
        }
    }

    fn shunt(&mut self, s: &Shunt) {
        self.begin("shunt", s.id);
        self.node_exists("node", s.node);
        self.flag("status", s.status);
        self.finite("g1", s.g1);
        self.finite("b1", s.b1);
        self.optional(&[("g0", s.g0), ("b0", s.b0)]);
    }

    fn source(&mut self, s: &Source) {
        self.begin("source", s.id);
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
        self.begin("sym_load", l.id);
        self.appliance(l.node, l.status, l.p_specified, l.q_specified);
    }

    fn sym_gen(&mut self, g: &SymGen) {
        self.begin("sym_gen", g.id);
        self.appliance(g.node, g.status, g.p_specified, g.q_specified);
    }

    fn appliance(&mut self, node: Id, status: i8, p: f64, q: f64) {
        self.node_exists("node", node);
        self.flag("status", status);
        self.finite("p_specified", p);
        self.finite("q_specified", q);
    }
}
