//! The models of one device, and what follows from several of them together: ratings, measurements
//! and the setpoints in force. Pure.

use super::block::Block;
use crate::device::Description;

/// A device's models, each at most once.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(pub(super) Vec<Block>);

/// A number that a device reads back, or why it has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    /// The device has no such function: there is no such point.
    Missing,
    /// The device has it but gives no number now.
    Unknown,
    /// In SI units.
    Is(f64),
}

impl From<Option<f64>> for Reading {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Self::Unknown, Self::Is)
    }
}

/// Where the reference of the "percent of WMax" points may stand, best first.
const WMAX: [(u16, &str); 4] = [
    (702, "WMax"),
    (702, "WMaxRtg"),
    (121, "WMax"),
    (120, "WRtg"),
];
/// Where the most reactive power to inject may stand, best first.
const VAR_INJECT: [(u16, &str); 4] = [
    (702, "VarMaxInj"),
    (702, "VarMaxInjRtg"),
    (121, "VArMaxQ1"),
    (120, "VArRtgQ1"),
];
/// Where the most reactive power to absorb may stand, best first. Quadrant 4 has it negative.
const VAR_ABSORB: [(u16, &str); 4] = [
    (702, "VarMaxAbs"),
    (702, "VarMaxAbsRtg"),
    (121, "VArMaxQ4"),
    (120, "VArRtgQ4"),
];

/// Models of an inverter's measurements; a device that has several says the same in them.
const INVERTERS: [u16; 6] = [103, 113, 102, 112, 101, 111];

impl Blocks {
    pub(super) fn block(&self, model: u16) -> Option<&Block> {
        self.0.iter().find(|block| block.model.id == model)
    }

    pub(super) fn get(&self, model: u16, point: &str) -> Option<f64> {
        self.block(model)?.get(point)
    }

    fn first(&self, places: &[(u16, &str)]) -> Option<f64> {
        places
            .iter()
            .filter_map(|&(model, point)| self.get(model, point))
            .map(f64::abs)
            .find(|&number| number > 0.0)
    }

    /// Active power that "percent of WMax" refers to, W.
    pub(super) fn w_max(&self) -> Option<f64> {
        self.first(&WMAX)
    }

    /// Reactive power that "percent of VArMax" refers to, var, positive; by the sign of `q`.
    pub(super) fn var_max(&self, q: f64) -> Option<f64> {
        if q < 0.0 {
            self.first(&VAR_ABSORB).or_else(|| self.first(&VAR_INJECT))
        } else {
            self.first(&VAR_INJECT)
        }
    }

    /// What the device says of itself; `models` as found.
    pub(super) fn describe(&self, models: Vec<u16>) -> Description {
        let text = |point| self.block(1).map(|b| b.text(point)).unwrap_or_default();
        Description {
            manufacturer: text("Mn"),
            model: text("Md"),
            serial: text("SN"),
            version: text("Vr"),
            models,
            p_rated_w: self.first(&[(702, "WMaxRtg"), (120, "WRtg")]),
            s_rated_va: self.first(&[(702, "VAMaxRtg"), (120, "VARtg")]),
            q_rated_var: self.first(&[(702, "VarMaxInjRtg"), (120, "VArRtgQ1")]),
        }
    }

    /// A point of the inverter's measurements, whichever of the models it has them in.
    fn inverter(&self, point: &str) -> Option<f64> {
        let block = INVERTERS.iter().find_map(|&model| self.block(model))?;
        block.get(point)
    }

    /// Active power delivered, W.
    pub(super) fn p(&self) -> Option<f64> {
        self.inverter("W").or_else(|| self.get(701, "W"))
    }

    /// Reactive power delivered, var.
    pub(super) fn q(&self) -> Option<f64> {
        self.inverter("VAr").or_else(|| self.get(701, "Var"))
    }

    /// Mean of the phase-to-phase voltages, V; where there are none, what they would be of the
    /// phase-to-neutral ones in a three-phase system. Between the legs of split phases it is as it is.
    pub(super) fn u(&self) -> Option<f64> {
        let root3 = 3f64.sqrt();
        let inverter = |points: [&str; 3]| mean(points.map(|point| self.inverter(point)));
        let der = |points: [&str; 3]| mean(points.map(|point| self.get(701, point)));
        inverter(["PPVphAB", "PPVphBC", "PPVphCA"])
            .or_else(|| Some(inverter(["PhVphA", "PhVphB", "PhVphC"])? * root3))
            .or_else(|| der(["VL1L2", "VL2L3", "VL3L1"]))
            .or_else(|| self.get(701, "LLV"))
            .or_else(|| Some(der(["VL1", "VL2", "VL3"])? * root3))
    }

    /// Mean of the currents of the phases that there are, A. Not the point `A`, which is their sum.
    pub(super) fn i(&self) -> Option<f64> {
        mean(["AphA", "AphB", "AphC"].map(|point| self.inverter(point)))
            .or_else(|| mean(["AL1", "AL2", "AL3"].map(|point| self.get(701, point))))
    }

    /// Frequency, Hz.
    pub(super) fn f(&self) -> Option<f64> {
        self.inverter("Hz").or_else(|| self.get(701, "Hz"))
    }

    /// Energy delivered since ever, Wh.
    pub(super) fn energy(&self) -> Option<f64> {
        self.inverter("WH").or_else(|| self.get(701, "TotWhInj"))
    }

    /// Energy taken since ever, Wh. The inverter models have no such register.
    pub(super) fn energy_absorbed(&self) -> Reading {
        match self.block(701) {
            Some(block) => block.get("TotWhAbs").into(),
            None => Reading::Missing,
        }
    }

    /// Operating state, `St` of the inverter models or `InvSt` of 701, whose numbers differ.
    pub(super) fn state(&self) -> Option<f64> {
        self.inverter("St").or_else(|| self.get(701, "InvSt"))
    }

    /// State of charge, 0 to 1.
    pub(super) fn soc(&self) -> Reading {
        let places = [(713, "SoC"), (802, "SoC"), (124, "ChaState")];
        let Some(&(model, point)) = places.iter().find(|place| self.block(place.0).is_some())
        else {
            return Reading::Missing;
        };
        self.get(model, point).map(|percent| percent / 100.0).into()
    }
}

/// Mean of those that there are.
fn mean(of: [Option<f64>; 3]) -> Option<f64> {
    let known: Vec<f64> = of.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::sunspec::tables::find;

    fn block(model: u16, numbers: &[(&str, f64)]) -> Block {
        let mut block = Block::new(find(model).unwrap(), 40_000);
        for &(point, number) in numbers {
            block.set(point, number).unwrap();
        }
        block
    }

    #[test]
    fn reactive_ratings_are_those_of_the_direction_and_settings_come_before_nameplates() {
        let nameplate = [
            ("VArRtg_SF", 0.0),
            ("VArRtgQ1", 500.0),
            ("VArRtgQ4", -300.0),
            ("WRtg_SF", 0.0),
            ("WRtg", 1000.0),
        ];
        let mut blocks = Blocks(vec![block(120, &nameplate)]);
        assert_eq!(blocks.var_max(1.0), Some(500.0));
        assert_eq!(blocks.var_max(-1.0), Some(300.0));
        assert_eq!(blocks.w_max(), Some(1000.0));
        let settings = [
            ("VArMax_SF", 0.0),
            ("VArMaxQ1", 400.0),
            ("WMax_SF", 0.0),
            ("WMax", 900.0),
        ];
        blocks.0.push(block(121, &settings));
        assert_eq!(blocks.var_max(1.0), Some(400.0));
        assert_eq!(blocks.var_max(-1.0), Some(300.0));
        assert_eq!(blocks.w_max(), Some(900.0));
        assert_eq!(blocks.describe(vec![]).p_rated_w, Some(1000.0));
    }

    #[test]
    fn an_inverter_is_read_in_the_phases_and_the_model_that_it_has() {
        let single = [
            ("PhVphA", 230.0),
            ("AphA", 20.0),
            ("W", 4600.0),
            ("WH", 1e6),
        ];
        let blocks = Blocks(vec![block(111, &single)]);
        assert_eq!(blocks.u(), Some(230.0 * 3f64.sqrt()));
        assert_eq!((blocks.i(), blocks.p()), (Some(20.0), Some(4600.0)));
        assert_eq!((blocks.energy(), blocks.q()), (Some(1e6), None));
        let split = [
            ("V_SF", -1.0),
            ("PPVphAB", 240.0),
            ("PhVphA", 120.0),
            ("PhVphB", 120.0),
        ];
        assert_eq!(Blocks(vec![block(102, &split)]).u(), Some(240.0));
        let both = Blocks(vec![
            block(113, &[("W", 2.5)]),
            block(103, &[("W_SF", 0.0), ("W", 2.0)]),
        ]);
        assert_eq!(
            both.p(),
            Some(2.0),
            "the first of the list, whatever the order"
        );
    }
}
