//! The register image of a DER: nameplate and settings once, measurements and time left at every
//! step, controls as clients write them.

use protocols::modbus::{
    server::{ExceptionCode, Table},
    sunspec::{Image, SunspecError},
};

use super::controls;
use crate::{
    der::{Der, Nameplate, Setting},
    meters::Reading,
};

/// Where SunSpec devices begin, as most do.
pub const BASE: u16 = 40_000;

/// Models that a device here can have.
pub const MODELS: [u16; 12] = [1, SINGLE, 103, 113, 120, 121, 123, 124, 701, 704, 713, 714];

/// An inverter's measurements, of three phases as integers and as floats, of one as integers; a device has at least
/// one of them.
pub const INVERTERS: [u16; 3] = [103, FLOATS, SINGLE];
/// A single-phase inverter's.
pub const SINGLE: u16 = 101;
const FLOATS: u16 = 113;

/// Those of them that tell of a battery.
pub const STORAGE_MODELS: [u16; 2] = [124, 713];

/// What a device says of itself.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// Name, its serial number here.
    pub device: &'a str,
    /// SunSpec models in order.
    pub models: &'a [u16],
    /// Nameplate.
    pub plate: Nameplate,
    /// Rated voltage, line-to-line, V.
    pub u_rated_v: f64,
    /// Energy when full, Wh, of a battery.
    pub energy_wh: Option<f64>,
}

/// What its meters show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Active power, generation-positive, W.
    pub p: Reading,
    /// Reactive power, generation-positive, var.
    pub q: Reading,
    /// Voltage, line-to-line, V.
    pub u: Reading,
    /// Current of a phase, A.
    pub i: Reading,
    /// Frequency, Hz.
    pub f: Reading,
    /// State of charge, 0 to 1; not looked at without a battery.
    pub soc: Reading,
    /// Energy given, Wh.
    pub given_wh: f64,
    /// Energy taken, Wh.
    pub taken_wh: f64,
}

/// Exponents of ten of the quantities that depend on the size of a device.
#[derive(Clone, Copy, Debug)]
struct Exponents {
    /// W, VA and var: readings of a quarter above the nameplate fit.
    power: i32,
    current: i32,
    energy: i32,
}

/// A device's registers.
#[derive(Clone, Debug)]
pub struct Registers {
    image: Image,
    models: Vec<u16>,
    plate: Nameplate,
    exponents: Exponents,
}

impl Registers {
    /// Registers with identity, nameplate and controls at rest.
    ///
    /// # Errors
    /// A model without definition, or a nameplate that no scale factor can express.
    pub fn new(identity: &Identity<'_>) -> Result<Self, SunspecError> {
        let plate = identity.plate;
        // Model 103 carries the sum of the phase currents as well.
        let i_sum = 3.0 * plate.s_va / identity.u_rated_v / 3f64.sqrt();
        let mut registers = Self {
            image: Image::new(BASE, identity.models)?,
            models: identity.models.to_vec(),
            plate,
            exponents: Exponents {
                power: exponent(1.25 * plate.s_va, 32_767.0).max(0),
                current: exponent(1.25 * i_sum, 32_767.0).max(-3),
                energy: exponent(identity.energy_wh.unwrap_or(1.0), 65_534.0).max(0),
            },
        };
        registers.identify(identity)?;
        registers.rate(identity)?;
        registers.rest()?;
        Ok(registers)
    }

    fn has(&self, model: u16) -> bool {
        self.models.contains(&model)
    }

    /// Sets points of a model, if the device has it.
    fn fill(&mut self, model: u16, points: &[(&str, f64)]) -> Result<(), SunspecError> {
        if self.has(model) {
            for &(point, value) in points {
                self.image.set(model, point, value)?;
            }
        }
        Ok(())
    }

    fn identify(&mut self, identity: &Identity<'_>) -> Result<(), SunspecError> {
        for (point, text) in [
            ("Mn", "Busbar"),
            ("Md", "Simulated DER"),
            ("Vr", env!("CARGO_PKG_VERSION")),
            ("SN", identity.device),
        ] {
            self.image.set_text(1, point, text)?;
        }
        self.fill(1, &[("DA", 1.0)])
    }

    /// Models 120, 121, 713 and the constant parts of 124.
    fn rate(&mut self, identity: &Identity<'_>) -> Result<(), SunspecError> {
        let Nameplate {
            p_w, q_var, s_va, ..
        } = self.plate;
        let power = f64::from(self.exponents.power);
        let battery = identity.energy_wh;
        // The type is PV, 4, or PV with storage, 82: there is no other.
        let der_type = if battery.is_some() { 82.0 } else { 4.0 };
        let nameplate = [
            ("DERTyp", der_type),
            ("WRtg_SF", power),
            ("WRtg", p_w),
            ("VARtg_SF", power),
            ("VARtg", s_va),
            ("VArRtg_SF", power),
            ("VArRtgQ1", q_var),
            ("VArRtgQ4", -q_var),
        ];
        self.fill(120, &nameplate)?;
        let settings = [
            ("WMax_SF", power),
            ("WMax", p_w),
            ("VRef_SF", 0.0),
            ("VRef", identity.u_rated_v),
            ("VAMax_SF", power),
            ("VAMax", s_va),
            ("VArMax_SF", power),
            ("VArMaxQ1", q_var),
            ("VArMaxQ4", -q_var),
            ("ECPNomHz_SF", 0.0),
            ("ECPNomHz", 50.0),
        ];
        self.fill(121, &settings)?;
        match battery {
            Some(energy_wh) => self.rate_battery(energy_wh),
            None => Ok(()),
        }
    }

    /// The same of what stores.
    fn rate_battery(&mut self, energy_wh: f64) -> Result<(), SunspecError> {
        let p_w = self.plate.p_w;
        let power = f64::from(self.exponents.power);
        let energy = f64::from(self.exponents.energy);
        let charging = [
            ("WHRtg_SF", energy),
            ("WHRtg", energy_wh),
            ("MaxChaRte_SF", power),
            ("MaxChaRte", p_w),
            ("MaxDisChaRte_SF", power),
            ("MaxDisChaRte", p_w),
        ];
        self.fill(120, &charging)?;
        let storage = [
            ("WChaMax_SF", power),
            ("WChaMax", p_w),
            ("ChaState_SF", -2.0),
        ];
        self.fill(124, &storage)?;
        let capacity = [
            ("WH_SF", energy),
            ("WHRtg", energy_wh),
            ("Pct_SF", -2.0),
            ("SoH", 100.0),
            ("Sta", 0.0),
        ];
        self.fill(713, &capacity)
    }

    /// Models 123, 124 and 704 with nothing enabled.
    fn rest(&mut self) -> Result<(), SunspecError> {
        self.fill(123, &REST_123)?;
        self.fill(124, &REST_124)?;
        self.fill(704, &REST_704)
    }

    /// Shows new measurements. A frozen device does not come here.
    ///
    /// # Errors
    /// The image lacks a point, or a value does not fit.
    pub fn measure(&mut self, measured: &Measured, limited: bool) -> Result<(), SunspecError> {
        for model in INVERTERS {
            if self.has(model) {
                self.inverter(model, measured, limited)?;
            }
        }
        if self.has(701) {
            self.der_measurement(measured)?;
        }
        let soc = measured.soc.shown().clamp(0.0, 1.0);
        let p = measured.p.value;
        if self.has(124) {
            self.image.set(124, "ChaState", 100.0 * soc)?;
            // EMPTY 2, DISCHARGING 3, CHARGING 4, FULL 5, HOLDING 6.
            let state = match soc {
                _ if p > 0.01 * self.plate.p_w => 3.0,
                _ if p < -0.01 * self.plate.p_w => 4.0,
                s if s <= 0.0 => 2.0,
                s if s >= 1.0 => 5.0,
                _ => 6.0,
            };
            self.image.set(124, "ChaSt", state)?;
        }
        if self.has(713) {
            let full = self.image.get(713, "WHRtg").unwrap_or_default();
            self.image.set(713, "WHAvail", soc * full)?;
            self.image.set(713, "SoC", 100.0 * soc)?;
        }
        if self.has(714) {
            // No ports of their own; conversion losses are not metered.
            let points = [
                ("NPrt", 0.0),
                ("DCW_SF", f64::from(self.exponents.power)),
                ("DCW", self.in_range(p)),
            ];
            self.fill(714, &points)?;
        }
        Ok(())
    }

    fn inverter(&mut self, model: u16, m: &Measured, limited: bool) -> Result<(), SunspecError> {
        let Exponents { power, current, .. } = self.exponents;
        let (p, q) = (self.in_range(m.p.value), self.in_range(m.q.value));
        let s = p.hypot(q);
        let factor = if s > 0.0 { p / s } else { 1.0 };
        // The sum of the phases has to fit too.
        let most = if model == SINGLE { 30_000.0 } else { 10_000.0 };
        let i = m.i.value.clamp(0.0, most * 10f64.powi(current));
        let u = m.u.value.clamp(0.0, 65_534.0);
        let currents = [("AphA", i), ("A", 3.0 * i), ("AphB", i), ("AphC", i)];
        let currents = match model {
            SINGLE => &[("AphA", i), ("A", i)][..],
            _ => &currents[..],
        };
        self.scaled(model, "A_SF", current, m.i, currents)?;
        let phase = u / 3f64.sqrt();
        let voltages = [
            ("PhVphA", phase),
            ("PPVphAB", u),
            ("PPVphBC", u),
            ("PPVphCA", u),
            ("PhVphB", phase),
            ("PhVphC", phase),
        ];
        let voltages = match model {
            SINGLE => &voltages[..1],
            _ => &voltages[..],
        };
        self.scaled(model, "V_SF", 0, m.u, voltages)?;
        self.scaled(model, "W_SF", power, m.p, &[("W", p)])?;
        self.scaled(model, "VAr_SF", power, m.q, &[("VAr", q)])?;
        let f = m.f.value.clamp(0.0, 65.0);
        self.scaled(model, "Hz_SF", -3, m.f, &[("Hz", f)])?;
        let state = match m.p.value {
            p if p.abs() <= 0.005 * self.plate.p_w => STANDBY,
            _ if limited => THROTTLED,
            _ => MPPT,
        };
        if model != FLOATS {
            let scales = [("VA_SF", f64::from(power)), ("PF_SF", -1.0), ("WH_SF", 0.0)];
            self.fill(model, &scales)?;
        }
        let rest = [
            ("VA", s.min(32_767.0 * 10f64.powi(power))),
            ("PF", 100.0 * factor),
            // A 32-bit accumulator wraps.
            ("WH", m.given_wh.floor() % 4_294_967_296.0),
            ("St", state),
            ("Evt1", 0.0),
        ];
        self.fill(model, &rest)
    }

    fn der_measurement(&mut self, m: &Measured) -> Result<(), SunspecError> {
        let power = self.exponents.power;
        let (p, q) = (self.in_range(m.p.value), self.in_range(m.q.value));
        self.scaled(701, "W_SF", power, m.p, &[("W", p)])?;
        self.scaled(701, "Var_SF", power, m.q, &[("Var", q)])?;
        let u = m.u.value.clamp(0.0, 65_534.0);
        self.scaled(701, "V_SF", 0, m.u, &[("LLV", u)])?;
        let rest = [
            ("ACType", 3.0),
            ("TotWh_SF", 0.0),
            ("TotWhInj", m.given_wh.floor()),
            ("TotWhAbs", m.taken_wh.floor()),
        ];
        self.fill(701, &rest)
    }

    /// Sets points and then their scale factor, which under a scale fault is not the one they were
    /// set by: that is how such a fault comes about.
    fn scaled(
        &mut self,
        model: u16,
        scale: &str,
        exponent: i32,
        reading: Reading,
        points: &[(&str, f64)],
    ) -> Result<(), SunspecError> {
        if model == FLOATS {
            // Without scale factors: the fault is in the numbers.
            let wrong = 10f64.powi(reading.exponent);
            let points: Vec<_> = points
                .iter()
                .map(|(p, value)| (*p, value * wrong))
                .collect();
            return self.fill(model, &points);
        }
        self.image.set(model, scale, f64::from(exponent))?;
        self.fill(model, points)?;
        let wrong = (exponent + reading.exponent).clamp(-10, 10);
        self.image.set(model, scale, f64::from(wrong))
    }

    /// A meter's range ends where its register does.
    fn in_range(&self, power: f64) -> f64 {
        let most = 32_767.0 * 10f64.powi(self.exponents.power);
        power.clamp(-most, most)
    }

    /// Lets time pass in the controls: reverted functions and the time left are shown.
    ///
    /// # Errors
    /// The image lacks a point.
    pub fn tick(&mut self, der: &mut Der, now_s: f64) -> Result<(), SunspecError> {
        for id in der.expire(now_s) {
            controls::revert(&mut self.image, id)?;
        }
        if self.has(704) {
            controls::show_time_left(&mut self.image, der, now_s)?;
        }
        Ok(())
    }

    /// What a client reads.
    ///
    /// # Errors
    /// `IllegalFunction` but for holding registers, `IllegalDataAddress` outside the chain.
    pub fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        match table {
            Table::Holding => self.image.read(address, count),
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }

    /// What a client writes, all or nothing: controls take effect on `der` at once.
    ///
    /// # Errors
    /// `IllegalDataAddress` for what is no control, `IllegalDataValue` for a value that the
    /// control cannot have, e.g. a limit above 100 %.
    pub fn write(
        &mut self,
        table: Table,
        address: u16,
        values: &[u16],
        der: &mut Der,
        now_s: f64,
    ) -> Result<(), ExceptionCode> {
        if table != Table::Holding {
            return Err(ExceptionCode::IllegalFunction);
        }
        let mut image = self.image.clone();
        image.write(address, values)?;
        let written = image.take_written();
        if !written
            .iter()
            .all(|&(model, name)| controls::is_obeyed(model, name))
        {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        let settings: Option<Vec<(_, Setting)>> = controls::touched(&written)
            .filter(|id| self.has(id.model()))
            .map(|id| Some((id, controls::setting(&image, id, &self.plate)?)))
            .collect();
        let settings = settings.ok_or(ExceptionCode::IllegalDataValue)?;
        for (id, setting) in settings {
            der.write(id, setting, now_s);
        }
        self.image = image;
        if self.has(704) {
            controls::set_preferences(&self.image, der);
        }
        Ok(())
    }
}

/// `St` of model 103: delivers what the resource gives.
const MPPT: f64 = 4.0;
/// `St` of model 103: delivers less than the resource gives.
const THROTTLED: f64 = 5.0;
/// `St` of model 103: delivers nothing.
const STANDBY: f64 = 8.0;

const REST_123: [(&str, f64); 20] = [
    ("WMaxLimPct_SF", -2.0),
    ("OutPFSet_SF", -3.0),
    ("VArPct_SF", -2.0),
    ("Conn_RvrtTms", 0.0),
    ("Conn", 1.0),
    ("WMaxLimPct", 100.0),
    ("WMaxLimPct_WinTms", 0.0),
    ("WMaxLimPct_RvrtTms", 0.0),
    ("WMaxLimPct_RmpTms", 0.0),
    ("WMaxLim_Ena", 0.0),
    ("OutPFSet", 1.0),
    ("OutPFSet_RvrtTms", 0.0),
    ("OutPFSet_Ena", 0.0),
    ("VArWMaxPct", 0.0),
    ("VArMaxPct", 0.0),
    ("VArPct_WinTms", 0.0),
    ("VArPct_RvrtTms", 0.0),
    ("VArPct_RmpTms", 0.0),
    ("VArPct_Mod", 2.0),
    ("VArPct_Ena", 0.0),
];

const REST_124: [(&str, f64); 7] = [
    ("InOutWRte_SF", -2.0),
    ("StorCtl_Mod", 0.0),
    ("OutWRte", 100.0),
    ("InWRte", 100.0),
    ("InOutWRte_WinTms", 0.0),
    ("InOutWRte_RvrtTms", 0.0),
    ("InOutWRte_RmpTms", 0.0),
];

const REST_704: [(&str, f64); 41] = [
    ("PF_SF", -3.0),
    ("WMaxLimPct_SF", -2.0),
    ("WSet_SF", 0.0),
    ("WSetPct_SF", -2.0),
    ("VarSet_SF", 0.0),
    ("VarSetPct_SF", -2.0),
    ("PFWInjEna", 0.0),
    ("PFWInjEnaRvrt", 0.0),
    ("PFWInjRvrtTms", 0.0),
    ("PFWInjRvrtRem", 0.0),
    ("PFWInj.PF", 1.0),
    ("PFWInj.Ext", 0.0),
    ("PFWInjRvrt.PF", 1.0),
    ("PFWInjRvrt.Ext", 0.0),
    ("WMaxLimPctEna", 0.0),
    ("WMaxLimPct", 100.0),
    ("WMaxLimPctRvrt", 100.0),
    ("WMaxLimPctEnaRvrt", 0.0),
    ("WMaxLimPctRvrtTms", 0.0),
    ("WMaxLimPctRvrtRem", 0.0),
    ("WSetEna", 0.0),
    ("WSetMod", 1.0),
    ("WSet", 0.0),
    ("WSetRvrt", 0.0),
    ("WSetPct", 0.0),
    ("WSetPctRvrt", 0.0),
    ("WSetEnaRvrt", 0.0),
    ("WSetRvrtTms", 0.0),
    ("WSetRvrtRem", 0.0),
    ("VarSetEna", 0.0),
    ("VarSetMod", 4.0),
    ("VarSetPri", 0.0),
    ("VarSet", 0.0),
    ("VarSetRvrt", 0.0),
    ("VarSetPct", 0.0),
    ("VarSetPctRvrt", 0.0),
    ("VarSetEnaRvrt", 0.0),
    ("VarSetRvrtTms", 0.0),
    ("VarSetRvrtRem", 0.0),
    ("WRmp", 100.0),
    ("WRmpRef", 1.0),
];

/// The smallest exponent of ten with which `value` is at most `most` steps.
fn exponent(value: f64, most: f64) -> i32 {
    (value / most).log10().ceil() as i32
}

#[cfg(test)]
mod tests;
