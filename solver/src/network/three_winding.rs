//! A three-winding transformer as three two-winding ones that meet in an inner node: short-circuit
//! voltages and losses of the pairs, each relative to the smaller rating, split by the
//! delta-wye rule (power-grid-model documentation, "Components", three-winding transformer).

use super::{PhaseSet, ThreeWindingTransformer, Transformer};

/// Wye with neutral.
const WYE_N: i8 = 1;

impl ThreeWindingTransformer {
    /// Lowest and highest tap position.
    #[must_use]
    pub fn tap_range(&self) -> (i8, i8) {
        (
            self.tap_min.min(self.tap_max),
            self.tap_min.max(self.tap_max),
        )
    }

    /// Status of each side.
    pub(super) fn statuses(&self) -> [i8; 3] {
        [self.status_1, self.status_2, self.status_3]
    }

    /// The transformers from each side to the inner node, which is rated as side 1's node; taps
    /// are within their rated voltages. Short-circuit voltage and loss of an arm may be negative.
    pub(super) fn arms(&self) -> [Transformer; 3] {
        let u = self.voltages();
        let sn = [self.sn_1, self.sn_2, self.sn_3];
        let (uk, pk) = self.short_circuit();
        // To side 1's rating and back to each arm's own.
        let up = [sn[0].min(sn[1]), sn[0].min(sn[2]), sn[1].min(sn[2])].map(|s| sn[0] / s);
        let uk = split([0, 1, 2].map(|k| uk[k] * up[k]));
        let pk = split([0, 1, 2].map(|k| pk[k] * up[k] * up[k]));
        let winding = [WYE_N, self.winding_2, self.winding_3];
        let clock = [0, 12 - self.clock_12, 12 - self.clock_13];
        let r_grounding = [self.r_grounding_1, self.r_grounding_2, self.r_grounding_3];
        let x_grounding = [self.x_grounding_1, self.x_grounding_2, self.x_grounding_3];
        [0, 1, 2].map(|k| {
            let own = sn[k] / sn[0];
            let first = k == 0;
            Transformer {
                id: self.id,
                from_node: [self.node_1, self.node_2, self.node_3][k],
                to_node: self.node_1,
                from_status: self.statuses()[k],
                to_status: 1,
                u1: u[k],
                u2: u[0],
                sn: sn[k],
                uk: uk[k] * own,
                pk: pk[k] * own * own,
                i0: if first { self.i0 } else { 0.0 },
                p0: if first { self.p0 } else { 0.0 },
                winding_from: winding[k],
                winding_to: if first { WYE_N } else { self.winding_1 },
                clock: clock[k],
                tap_side: 0,
                tap_pos: 0,
                tap_min: 0,
                tap_max: 0,
                tap_nom: 0,
                tap_size: 0.0,
                uk_min: None,
                uk_max: None,
                pk_min: None,
                pk_max: None,
                i0_zero_sequence: None,
                p0_zero_sequence: None,
                r_grounding_from: r_grounding[k],
                x_grounding_from: x_grounding[k],
                r_grounding_to: None,
                x_grounding_to: None,
                phases: PhaseSet::ABC,
            }
        })
    }

    /// Rated voltages of the windings at the tap position, V.
    fn voltages(&self) -> [f64; 3] {
        let mut u = [self.u1, self.u2, self.u3];
        let direction = if self.tap_max > self.tap_min {
            1.0
        } else {
            -1.0
        };
        let steps = f64::from(self.tap_pos) - f64::from(self.tap_nom);
        let side = usize::try_from(self.tap_side).ok();
        if let Some(u) = side.and_then(|k| u.get_mut(k)) {
            *u += direction * steps * self.tap_size;
        }
        u
    }

    /// Short-circuit voltages and losses of the pairs 1-2, 1-3 and 2-3 at the tap position.
    fn short_circuit(&self) -> ([f64; 3], [f64; 3]) {
        let at_tap = |(nominal, min, max): (f64, Option<f64>, Option<f64>)| {
            super::two_port::at_tap(
                (self.tap_pos, self.tap_nom, self.tap_min, self.tap_max),
                nominal,
                min,
                max,
            )
        };
        let uk = [
            (self.uk_12, self.uk_12_min, self.uk_12_max),
            (self.uk_13, self.uk_13_min, self.uk_13_max),
            (self.uk_23, self.uk_23_min, self.uk_23_max),
        ]
        .map(at_tap);
        let pk = [
            (self.pk_12, self.pk_12_min, self.pk_12_max),
            (self.pk_13, self.pk_13_min, self.pk_13_max),
            (self.pk_23, self.pk_23_min, self.pk_23_max),
        ]
        .map(at_tap);
        (uk, pk)
    }

    pub(super) fn optional_values(&self) -> [(&'static str, Option<f64>); 18] {
        [
            ("uk_12_min", self.uk_12_min),
            ("uk_12_max", self.uk_12_max),
            ("uk_13_min", self.uk_13_min),
            ("uk_13_max", self.uk_13_max),
            ("uk_23_min", self.uk_23_min),
            ("uk_23_max", self.uk_23_max),
            ("pk_12_min", self.pk_12_min),
            ("pk_12_max", self.pk_12_max),
            ("pk_13_min", self.pk_13_min),
            ("pk_13_max", self.pk_13_max),
            ("pk_23_min", self.pk_23_min),
            ("pk_23_max", self.pk_23_max),
            ("r_grounding_1", self.r_grounding_1),
            ("x_grounding_1", self.x_grounding_1),
            ("r_grounding_2", self.r_grounding_2),
            ("x_grounding_2", self.x_grounding_2),
            ("r_grounding_3", self.r_grounding_3),
            ("x_grounding_3", self.x_grounding_3),
        ]
    }
}

/// Of the pairs 12, 13, 23 to the arms 1, 2, 3.
fn split([v12, v13, v23]: [f64; 3]) -> [f64; 3] {
    [
        0.5 * (v12 + v13 - v23),
        0.5 * (v12 + v23 - v13),
        0.5 * (v13 + v23 - v12),
    ]
}
