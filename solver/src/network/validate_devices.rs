//! Checks of branches beyond lines and transformers, of what differs by phase, of regulators and
//! sensors; [`validate`](super::validate) has the rest.

use std::collections::BTreeMap;

use super::validate::Check;
use super::{
    AsymCurrentSensor, AsymGen, AsymLine, AsymLoad, AsymPowerSensor, AsymVoltageSensor, Connection,
    Fault, GenericBranch, GridFault, Id, Link, Network, SymCurrentSensor, SymPowerSensor,
    SymVoltageSensor, ThreeWindingTransformer, TransformerTapRegulator, VoltageRegulator,
};

const BRANCHES: &[&str] = &["line", "asym_line", "link", "generic_branch", "transformer"];
const THREE_WINDING: &[&str] = &["three_winding_transformer"];

impl Check {
    /// One regulator each.
    pub(super) fn regulated_once(&mut self, network: &Network) {
        let taps = network.transformer_tap_regulator.iter();
        self.once(
            "transformer_tap_regulator",
            taps.map(|r| (r.id, r.regulated_object)),
        );
        let voltages = network.voltage_regulator.iter();
        self.once(
            "voltage_regulator",
            voltages.map(|r| (r.id, r.regulated_object)),
        );
    }

    fn once(&mut self, component: &'static str, regulators: impl Iterator<Item = (Id, Id)>) {
        let mut first: BTreeMap<Id, Id> = BTreeMap::new();
        for (id, object) in regulators {
            match first.get(&object) {
                None => {
                    first.insert(object, id);
                }
                Some(&other) => {
                    self.begin(component, id);
                    self.report("regulated_object", Fault::RegulatedTwice { object, other });
                }
            }
        }
    }

    pub(super) fn asym_line(&mut self, l: &AsymLine) {
        self.ends(l.from_node, l.to_node, l.from_status, l.to_status);
        self.rated_alike(l.from_node, l.to_node);
        for (attribute, value) in l.series_values() {
            self.finite(attribute, value);
        }
        self.absent_phases(l.phases, &l.series_values());
        let neutral = l.neutral_values();
        if neutral.iter().any(|(_, v)| v.is_some()) {
            self.given_of(l.phases, &neutral);
        }
        if l.c0.is_some() || l.c1.is_some() {
            self.given(&[("c0", l.c0), ("c1", l.c1)]);
        } else {
            self.given_of(l.phases, &l.capacitance_values());
        }
        if let Some(i_n) = l.i_n {
            self.positive("i_n", i_n);
        }
        let singular = l.series_admittance_ohm(l.phases.mask()).is_none();
        self.require(
            !singular,
            "r_aa",
            l.r_aa,
            "its impedance matrix has no inverse",
        );
    }

    /// Attributes that belong together: all of them, finite.
    pub(super) fn given(&mut self, values: &[(&'static str, Option<f64>)]) {
        for &(attribute, value) in values {
            match value {
                Some(value) => {
                    self.finite(attribute, value);
                }
                None => self.report(attribute, Fault::Missing),
            }
        }
    }

    pub(super) fn link(&mut self, l: &Link) {
        self.ends(l.from_node, l.to_node, l.from_status, l.to_status);
    }

    pub(super) fn generic_branch(&mut self, b: &GenericBranch) {
        self.ends(b.from_node, b.to_node, b.from_status, b.to_status);
        for (attribute, value) in [("r1", b.r1), ("x1", b.x1), ("g1", b.g1), ("b1", b.b1)] {
            self.finite(attribute, value);
        }
        let reason = "r1 and x1 are both zero; use a link instead";
        self.require(b.r1 != 0.0 || b.x1 != 0.0, "x1", b.x1, reason);
        self.optional(&[("theta", b.theta)]);
        for (attribute, value) in [("k", b.k), ("sn", b.sn)] {
            if let Some(value) = value {
                self.positive(attribute, value);
            }
        }
    }

    pub(super) fn three_winding_transformer(&mut self, t: &ThreeWindingTransformer) {
        let sides = [
            ("node_1", t.node_1, "status_1", t.status_1),
            ("node_2", t.node_2, "status_2", t.status_2),
            ("node_3", t.node_3, "status_3", t.status_3),
        ];
        for (node_name, node, status_name, status) in sides {
            self.node_exists(node_name, node);
            self.flag(status_name, status);
        }
        for (attribute, value) in [
            ("u1", t.u1),
            ("u2", t.u2),
            ("u3", t.u3),
            ("sn_1", t.sn_1),
            ("sn_2", t.sn_2),
            ("sn_3", t.sn_3),
        ] {
            self.positive(attribute, value);
        }
        for (attribute, value) in [("uk_12", t.uk_12), ("uk_13", t.uk_13), ("uk_23", t.uk_23)] {
            let reason = "it must be below 1 (it is relative)";
            if self.positive(attribute, value) {
                self.require(value < 1.0, attribute, value, reason);
            }
        }
        for (attribute, value) in [
            ("pk_12", t.pk_12),
            ("pk_13", t.pk_13),
            ("pk_23", t.pk_23),
            ("i0", t.i0),
            ("p0", t.p0),
        ] {
            self.not_negative(attribute, value);
        }
        self.optional(&t.optional_values());
        let windings = [
            self.winding("winding_1", t.winding_1),
            self.winding("winding_2", t.winding_2),
            self.winding("winding_3", t.winding_3),
        ];
        self.clock("clock_12", t.clock_12, windings[0], windings[1]);
        self.clock("clock_13", t.clock_13, windings[0], windings[2]);
        let side = f64::from(t.tap_side);
        self.require(
            (0..=2).contains(&t.tap_side),
            "tap_side",
            side,
            "the sides are 0, 1 and 2",
        );
        let u = [t.u1, t.u2, t.u3][usize::try_from(t.tap_side.clamp(0, 2)).unwrap_or(0)];
        self.tap_changer(t.tap_range(), (t.tap_pos, t.tap_nom), t.tap_size, u);
        let arms = t.arms();
        let cancels = arms.iter().any(|a| a.uk == 0.0 && a.pk == 0.0);
        let reason = "a winding's share of the short-circuit voltages is zero";
        self.require(!cancels, "uk_12", t.uk_12, reason);
    }

    pub(super) fn asym_load(&mut self, l: &AsymLoad) {
        let powers = [
            ("p_specified", l.p_specified),
            ("q_specified", l.q_specified),
        ];
        self.by_phase(l.node, l.status, l.connection, powers);
        self.voltage_limits(l.u_min, l.u_max);
    }

    pub(super) fn asym_gen(&mut self, g: &AsymGen) {
        let powers = [
            ("p_specified", g.p_specified),
            ("q_specified", g.q_specified),
        ];
        self.by_phase(g.node, g.status, g.connection, powers);
        self.voltage_limits(g.u_min, g.u_max);
    }

    fn by_phase(
        &mut self,
        node: Id,
        status: i8,
        connection: Connection,
        powers: [(&str, [f64; 3]); 2],
    ) {
        self.node_exists("node", node);
        self.flag("status", status);
        for (attribute, values) in powers {
            for value in values {
                self.finite(attribute, value);
            }
        }
        self.powers_by_phase(node, connection, powers);
    }

    fn refers(&mut self, attribute: &str, object: Id, tables: &[&str], expected: &'static str) {
        if !self.table_of(object).is_some_and(|t| tables.contains(&t)) {
            self.report(attribute, Fault::UnknownObject { object, expected });
        }
    }

    pub(super) fn transformer_tap_regulator(&mut self, r: &TransformerTapRegulator) {
        self.flag("status", r.status);
        let tables = ["transformer", "three_winding_transformer"];
        self.refers(
            "regulated_object",
            r.regulated_object,
            &tables,
            "transformer",
        );
        let sides = match self.table_of(r.regulated_object) {
            Some("three_winding_transformer") => 0..=2,
            _ => 0..=1,
        };
        let side = f64::from(r.control_side);
        let reason = "the transformer has no such side";
        self.require(
            sides.contains(&r.control_side),
            "control_side",
            side,
            reason,
        );
        if let Some(u_set) = r.u_set {
            self.not_negative("u_set", u_set);
        }
        if let Some(u_band) = r.u_band {
            self.not_negative("u_band", u_band);
        }
        self.optional(&[
            ("line_drop_compensation_r", r.line_drop_compensation_r),
            ("line_drop_compensation_x", r.line_drop_compensation_x),
        ]);
        if r.status == 1 {
            self.given(&[("u_set", r.u_set), ("u_band", r.u_band)]);
        }
    }

    pub(super) fn voltage_regulator(&mut self, r: &VoltageRegulator) {
        self.flag("status", r.status);
        let tables = ["sym_load", "sym_gen", "asym_load", "asym_gen"];
        let expected = "load or generator";
        self.refers("regulated_object", r.regulated_object, &tables, expected);
        match r.u_ref {
            Some(u_ref) => {
                self.positive("u_ref", u_ref);
            }
            None if r.status == 1 => self.report("u_ref", Fault::Missing),
            None => {}
        }
        let low = r.q_min.unwrap_or(f64::NEG_INFINITY);
        let high = r.q_max.unwrap_or(f64::INFINITY);
        let reason = format!("it is below q_min, {low}");
        self.require(low <= high, "q_max", high, &reason);
    }

    /// The measured object fits the terminal.
    fn terminal(&mut self, object: Id, terminal: i8) {
        let (tables, expected): (&[&str], _) = match terminal {
            0 | 1 => (BRANCHES, "branch"),
            2 => (&["source"], "source"),
            3 => (&["shunt"], "shunt"),
            4 => (&["sym_load", "asym_load"], "load"),
            5 => (&["sym_gen", "asym_gen"], "generator"),
            6..=8 => (THREE_WINDING, "three-winding transformer"),
            9 => (&["node"], "node"),
            _ => {
                let value = f64::from(terminal);
                let reason = "there is no such terminal";
                self.require(false, "measured_terminal_type", value, reason);
                return;
            }
        };
        self.refers("measured_object", object, tables, expected);
    }

    fn sigma(&mut self, attribute: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.require(value > 0.0, attribute, value, "it must be above zero");
        }
    }

    pub(super) fn sym_power_sensor(&mut self, s: &SymPowerSensor) {
        self.terminal(s.measured_object, s.measured_terminal_type);
        self.sigma("power_sigma", s.power_sigma);
        self.sigma("p_sigma", s.p_sigma);
        self.sigma("q_sigma", s.q_sigma);
    }

    pub(super) fn asym_power_sensor(&mut self, s: &AsymPowerSensor) {
        self.terminal(s.measured_object, s.measured_terminal_type);
        self.sigma("power_sigma", s.power_sigma);
        for phase in 0..3 {
            self.sigma("p_sigma", s.p_sigma.map(|p| p[phase]));
            self.sigma("q_sigma", s.q_sigma.map(|q| q[phase]));
        }
    }

    pub(super) fn sym_voltage_sensor(&mut self, s: &SymVoltageSensor) {
        self.refers("measured_object", s.measured_object, &["node"], "node");
        self.sigma("u_sigma", s.u_sigma);
    }

    pub(super) fn asym_voltage_sensor(&mut self, s: &AsymVoltageSensor) {
        self.refers("measured_object", s.measured_object, &["node"], "node");
        self.sigma("u_sigma", s.u_sigma);
    }

    pub(super) fn sym_current_sensor(&mut self, s: &SymCurrentSensor) {
        self.current(
            s.measured_object,
            s.measured_terminal_type,
            s.angle_measurement_type,
        );
        self.sigma("i_sigma", s.i_sigma);
        self.sigma("i_angle_sigma", s.i_angle_sigma);
    }

    pub(super) fn asym_current_sensor(&mut self, s: &AsymCurrentSensor) {
        self.current(
            s.measured_object,
            s.measured_terminal_type,
            s.angle_measurement_type,
        );
        self.sigma("i_sigma", s.i_sigma);
        self.sigma("i_angle_sigma", s.i_angle_sigma);
    }

    fn current(&mut self, object: Id, terminal: i8, angle: i8) {
        let is_branch = matches!(terminal, 0 | 1 | 6..=8);
        let value = f64::from(terminal);
        let reason = "a current sensor is at a branch";
        if self.require(is_branch, "measured_terminal_type", value, reason) {
            self.terminal(object, terminal);
        }
        self.flag("angle_measurement_type", angle);
    }

    pub(super) fn fault(&mut self, f: &GridFault) {
        self.flag("status", f.status);
        self.node_exists("fault_object", f.fault_object);
        self.optional(&[("r_f", f.r_f), ("x_f", f.x_f)]);
    }
}
