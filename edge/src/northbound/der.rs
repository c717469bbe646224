//! The feeder as one DER towards the DSO: the part of DNP3 Application Note AN2018-001 (2018-08-22; IEEE 1815.2 keeps
//! its structure) that is served, as an outstation of its own. Indices and ranges are those of EPRI's published point
//! list (github.com/epri-dev/der-dnp3-an2018, `DERAppNoteDefinition.h`). What is not there is in docs/dnp3-der.md.
//!
//! A mode that is enabled holds units, each at the same share of its nameplate, by the means and with the authority of any
//! other command of a control centre. Which modes are on is said by who holds the units, so that it is true after a
//! restart and when a hold ends.

use std::collections::BTreeMap;

use protocols::{dnp3::Kind, point::PointId};
use solver::network::Id;

use super::points::{Entry, List, Of};
use crate::{
    cycle::Holds,
    site::{Site, Unit},
    store::Holder,
};

/// A mode that can be enabled: a binary output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Generation (and charging) is limited.
    ActivePowerLimit,
    /// Batteries charge or discharge.
    ChargeDischarge,
    /// Reactive power is fixed.
    ConstantVars,
}

impl Mode {
    const ALL: [Self; 3] = [
        Self::ActivePowerLimit,
        Self::ChargeDischarge,
        Self::ConstantVars,
    ];

    /// Index of the binary output that enables it.
    fn index(self) -> u16 {
        match self {
            Self::ActivePowerLimit => 17,
            Self::ChargeDischarge => 18,
            Self::ConstantVars => 27,
        }
    }

    /// The setting without which it cannot be enabled.
    fn setting(self) -> Setting {
        match self {
            Self::ActivePowerLimit => Setting::GenerationLimit,
            Self::ChargeDischarge => Setting::Target,
            Self::ConstantVars => Setting::Vars,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::ActivePowerLimit => "active power limit",
            Self::ChargeDischarge => "charge/discharge",
            Self::ConstantVars => "constant vars",
        }
    }

    /// Whether units are held for it now.
    pub(super) fn is_on(self, holds: &Holds) -> bool {
        let mut held = holds
            .iter()
            .filter(|((_, holder), _)| *holder == Holder::Scada);
        held.any(|(_, held)| modes_of(&held.by).any(|name| name == self.name()))
    }
}

/// What a mode's analog outputs set, in thousandths of nameplate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// Charging at most.
    ChargeLimit,
    /// Generation, discharging included, at most.
    GenerationLimit,
    /// Power of the batteries, positive discharges.
    Target,
    /// Reactive power, positive injects.
    Vars,
}

impl Setting {
    const ALL: [Self; 4] = [
        Self::ChargeLimit,
        Self::GenerationLimit,
        Self::Target,
        Self::Vars,
    ];

    fn index(self) -> u16 {
        match self {
            Self::ChargeLimit => 87,
            Self::GenerationLimit => 88,
            Self::Target => 93,
            Self::Vars => 203,
        }
    }

    fn takes(self, thousandths: f64) -> bool {
        match self {
            Self::ChargeLimit | Self::GenerationLimit => (0.0..=1000.0).contains(&thousandths),
            Self::Target | Self::Vars => (-1000.0..=1000.0).contains(&thousandths),
        }
    }
}

/// What a master asks of the DER.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Enable(Mode, bool),
    Set(Setting, f64),
}

impl Change {
    /// Of a binary output; none: there is no such output.
    pub(super) fn binary(index: usize, on: bool) -> Option<Self> {
        let mut all = Mode::ALL.into_iter();
        let mode = all.find(|mode| usize::from(mode.index()) == index)?;
        Some(Self::Enable(mode, on))
    }

    /// Of an analog one.
    pub(super) fn analog(index: usize, value: f64) -> Option<Self> {
        let mut all = Setting::ALL.into_iter();
        let setting = all.find(|setting| usize::from(setting.index()) == index)?;
        Some(Self::Set(setting, value))
    }
}

const AS_ONE: &str = " as one DER: ";

/// Who holds units for these modes.
fn holder(master: &str, modes: &[Mode]) -> String {
    let names: Vec<&str> = modes.iter().map(|mode| mode.name()).collect();
    format!("{master}{AS_ONE}{}", names.join(", "))
}

fn modes_of(by: &str) -> impl Iterator<Item = &str> {
    by.split_once(AS_ONE)
        .into_iter()
        .flat_map(|(_, names)| names.split(", "))
}

/// What becomes of a unit: held at active and reactive power, W and var, or given back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) unit: Id,
    pub(super) by: String,
    pub(super) hold: Option<(f64, f64)>,
}

/// Why a change is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    OutOfRange,
    /// Enabled without the setting that it needs.
    NothingSet,
}

/// The DER's units and settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Der {
    units: Vec<Member>,
    /// As last written, in thousandths.
    settings: BTreeMap<Setting, f64>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    id: Id,
    p_rated_w: f64,
    q_rated_var: f64,
    stores: bool,
}

impl Der {
    pub(super) fn of(site: &Site) -> Self {
        let member = |unit: &Unit| Member {
            id: unit.id,
            p_rated_w: unit.p_rated_w,
            q_rated_var: unit.q_rated_var,
            stores: unit.battery.is_some(),
        };
        Self {
            units: site.units.iter().map(member).collect(),
            settings: BTreeMap::new(),
        }
    }

    /// What a change makes of the units, given who holds them now, and the DER as it is once that is done.
    pub(super) fn changed(
        &self,
        change: Change,
        master: &str,
        holds: &Holds,
    ) -> Result<(Self, Vec<Order>), Unfit> {
        let mut next = self.clone();
        let mut modes: Vec<Mode> = Mode::ALL.into_iter().filter(|m| m.is_on(holds)).collect();
        let acts = match change {
            Change::Enable(mode, on) => {
                modes.retain(|other| *other != mode);
                if on {
                    modes.push(mode);
                    modes.sort();
                }
                true
            }
            Change::Set(setting, value) => {
                if !setting.takes(value) {
                    return Err(Unfit::OutOfRange);
                }
                next.settings.insert(setting, value);
                !modes.is_empty()
            }
        };
        if !acts {
            return Ok((next, Vec::new()));
        }
        let is_set = |mode: &Mode| next.settings.contains_key(&mode.setting());
        if !modes.iter().all(is_set) {
            return Err(Unfit::NothingSet);
        }
        let by = holder(master, &modes);
        let order = |unit: &Member| {
            let hold = next.wanted(unit, &modes);
            let ours = holds.get(&(unit.id, Holder::Scada));
            let ours = ours.is_some_and(|held| modes_of(&held.by).next().is_some());
            (hold.is_some() || ours).then(|| Order {
                unit: unit.id,
                by: by.clone(),
                hold,
            })
        };
        let orders = next.units.iter().filter_map(order).collect();
        Ok((next, orders))
    }

    /// At what a unit is to be held. Batteries that nobody tells to charge or discharge stand still while power is
    /// limited: what the market would have them do could be more.
    fn wanted(&self, unit: &Member, modes: &[Mode]) -> Option<(f64, f64)> {
        let share = |setting: Setting| self.settings.get(&setting).map_or(1.0, |v| v / 1000.0);
        let is_on = |mode: Mode| modes.contains(&mode);
        let limit = is_on(Mode::ActivePowerLimit);
        let (least, most) = match limit {
            true => (
                -share(Setting::ChargeLimit),
                share(Setting::GenerationLimit),
            ),
            false => (-1.0, 1.0),
        };
        let p = match unit.stores {
            true if is_on(Mode::ChargeDischarge) => share(Setting::Target).clamp(least, most),
            true if limit => 0.0,
            true => return None,
            false if limit || is_on(Mode::ConstantVars) => most,
            false => return None,
        };
        let q = match is_on(Mode::ConstantVars) {
            true => share(Setting::Vars),
            false => 0.0,
        };
        Some((p * unit.p_rated_w, q * unit.q_rated_var))
    }
}

/// The DER's points, at their indices in the application note.
#[must_use]
pub fn list(site: &Site) -> Vec<Entry> {
    let mut list = List::default();
    let units = &site.units;
    let batteries = || units.iter().filter_map(|unit| Some((unit, unit.battery?)));
    let sum = |of: &dyn Fn(&Unit) -> f64| units.iter().map(of).sum::<f64>();
    let (p, q) = (sum(&|unit| unit.p_rated_w), sum(&|unit| unit.q_rated_var));
    let charging: f64 = batteries().map(|(unit, _)| unit.p_rated_w).sum();
    let ids: Vec<Id> = units.iter().map(|unit| unit.id).collect();
    let charge = batteries().map(|(unit, b)| (PointId::new(&unit.device, "soc"), b.energy_wh));
    let rows = [
        (0, Of::Fixed(100.0), "profile version", "", 0.0),
        (4, Of::Fixed(p), "nameplate active generation", "W", 0.0),
        (
            5,
            Of::Fixed(-charging),
            "nameplate active charging",
            "W",
            0.0,
        ),
        (12, Of::Fixed(q), "nameplate reactive injection", "var", 0.0),
        (
            13,
            Of::Fixed(-q),
            "nameplate reactive absorption",
            "var",
            0.0,
        ),
        (
            27,
            Of::Fixed(batteries().count() as f64),
            "number of batteries",
            "",
            0.0,
        ),
        (
            28,
            Of::Fixed(units.len() as f64),
            "number of DER units",
            "",
            0.0,
        ),
        (
            47,
            Of::Charge(charge.collect()),
            "state of charge",
            "0.1 %",
            10.0,
        ),
        (537, Of::SumP(ids.clone()), "active power", "W", 0.005 * p),
        (541, Of::SumQ(ids), "reactive power", "var", 0.005 * q),
    ];
    for (index, of, name, unit, dead_band) in rows {
        list.add(
            (Kind::Analog, index),
            of,
            (name.to_owned(), unit),
            dead_band,
        );
    }
    for mode in Mode::ALL {
        let name = format!("{}: on; command: enable, disable", mode.name());
        let at = (Kind::BinaryOutput, usize::from(mode.index()));
        list.add(at, Of::DerMode(mode), (name, ""), 0.0);
    }
    for (setting, name) in Setting::ALL.into_iter().zip([
        "active power limit: charging",
        "active power limit: generation",
        "charge/discharge: target",
        "constant vars: target",
    ]) {
        let at = (Kind::AnalogOutput, usize::from(setting.index()));
        list.add(at, Of::DerSetting, (name.to_owned(), "0.1 %"), 0.0);
    }
    list.0
}

#[cfg(test)]
mod tests;
