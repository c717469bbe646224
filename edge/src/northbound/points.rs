//! The list of points that a control centre sees: made from the site alone, so that it is known
//! before anything is polled, and the same after every start.
//!
//! Indices are in blocks, in the order of the network and of the site file: what is added at an
//! end moves nothing. Powers of units are generation-positive, of branches positive into the from
//! side; SI units.

use protocols::{
    dnp3::{
        Kind,
        outstation::{Class, PointConfig},
    },
    point::{DeviceId, PointId},
};
use solver::{market::clearing::PhaseName, network::Id};

use super::der::Mode;
use crate::site::{BayOf, Site, built};

/// First index of each block of analog inputs.
const NODES: usize = 1000;
const BRANCHES: usize = 4000;
const UNITS: usize = 10_000;
const BAYS: usize = 20_000;
const PHASES: usize = 30_000;
/// First index of the breakers' block of binary outputs.
pub(super) const BREAKERS: usize = 10_000;
/// First index of the devices' block of binary inputs.
const DEVICES: usize = 1000;
/// Dead bands: share of nameplate, pu of voltage, of loading, prices per MWh.
const OF_NAMEPLATE: f64 = 0.005;
const OF_VOLTAGE: f64 = 0.001;
const OF_LOADING: f64 = 0.01;
const OF_PRICE: f64 = 0.1;
/// Of powers of the feeder and its branches, W; of currents, A.
const POWER: f64 = 10_000.0;
const CURRENT: f64 = 1.0;

/// What a point says.
#[derive(Clone, Debug, PartialEq)]
pub enum Of {
    /// Highest estimated voltage, pu.
    HighestVoltage,
    /// Lowest estimated voltage, pu.
    LowestVoltage,
    /// Highest estimated loading, 1 is full.
    HighestLoading,
    /// What the running interval's clearing draws from the grid above, W and var.
    Import,
    /// See `Import`.
    ImportQ,
    /// Alarms that stand.
    Alarms,
    /// Estimated voltage of a node, pu.
    Voltage(Id),
    /// Estimated voltage of a phase of a node to ground, pu.
    PhaseVoltage(Id, PhaseName),
    /// Price at a node in the running interval, per MWh.
    Price(Id),
    /// Estimated active power, reactive power, current and loading of a branch.
    BranchP(Id),
    /// See `BranchP`.
    BranchQ(Id),
    /// See `BranchP`.
    BranchI(Id),
    /// See `BranchP`.
    BranchLoading(Id),
    /// Estimated active and reactive power of a unit.
    UnitP(Id),
    /// See `UnitP`.
    UnitQ(Id),
    /// What is asked of a unit now.
    AskedP(Id),
    /// See `AskedP`.
    AskedQ(Id),
    /// A measurement as its device gave it.
    Measured(PointId),
    /// A breaker's position, by its two contacts.
    Breaker {
        /// Made when closed.
        closed: PointId,
        /// Made when open.
        open: PointId,
    },
    /// The appliance is well.
    Healthy,
    /// A critical alarm stands.
    Critical,
    /// A device answers.
    Online(DeviceId),
    /// A unit is held by a control centre. The command to the output of the same index takes it
    /// over and gives it back.
    Held(Id),
    /// A breaker is closed. The command to the output of the same index closes and opens it.
    Closed(crate::site::Breaker),
    /// What a control centre holds a unit at, or would.
    HeldP(Id),
    /// See `HeldP`.
    HeldQ(Id),
    /// A number that the site file says.
    Fixed(f64),
    /// Estimated active power of units, all together.
    SumP(Vec<Id>),
    /// Estimated reactive power of units, all together.
    SumQ(Vec<Id>),
    /// State of charge of batteries, all together, in thousandths: what each says, and its energy when full, Wh.
    Charge(Vec<(PointId, f64)>),
    /// A mode of the feeder as one DER is on.
    DerMode(Mode),
    /// What was last written there.
    DerSetting,
}

/// A point of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place, class, dead band.
    pub config: PointConfig,
    /// What it says.
    pub of: Of,
    /// In words.
    pub name: String,
    /// Unit; empty: none.
    pub unit: &'static str,
}

#[derive(Default)]
pub(super) struct List(pub(super) Vec<Entry>);

impl List {
    /// Adds a point; one whose index is beyond what DNP3 can carry is left out.
    pub(super) fn add(
        &mut self,
        (kind, index): (Kind, usize),
        of: Of,
        (name, unit): (String, &'static str),
        dead_band: f64,
    ) {
        let Ok(index) = u16::try_from(index) else {
            return;
        };
        let class = match kind {
            Kind::Binary | Kind::DoubleBit | Kind::BinaryOutput => Class::One,
            _ => Class::Two,
        };
        let config = PointConfig::new(kind, index, Some(class)).dead_band(dead_band);
        self.0.push(Entry {
            config,
            of,
            name,
            unit,
        });
    }
}

/// The points of a site.
#[must_use]
pub fn list(site: &Site) -> Vec<Entry> {
    let mut list = List(Vec::new());
    feeder(&mut list);
    network(&mut list, site);
    units(&mut list, site);
    field(&mut list, site);
    for (k, breaker) in site.breakers().enumerate() {
        let name = format!("{}: closed; command: close, open", breaker.command);
        let of = Of::Closed(breaker);
        list.add((Kind::BinaryOutput, BREAKERS + k), of, (name, ""), 0.0);
    }
    list.0
}

fn feeder(list: &mut List) {
    let rows = [
        (Of::HighestVoltage, "highest voltage", "pu", OF_VOLTAGE),
        (Of::LowestVoltage, "lowest voltage", "pu", OF_VOLTAGE),
        (Of::HighestLoading, "highest loading", "1", OF_LOADING),
        (Of::Import, "import of the running interval", "W", POWER),
        (
            Of::ImportQ,
            "reactive import of the running interval",
            "var",
            POWER,
        ),
        (Of::Alarms, "alarms that stand", "", 0.0),
    ];
    for (k, (of, name, unit, dead_band)) in rows.into_iter().enumerate() {
        list.add((Kind::Analog, k), of, (name.to_owned(), unit), dead_band);
    }
    let health = (Kind::Binary, 0);
    list.add(
        health,
        Of::Healthy,
        ("the appliance is well".to_owned(), ""),
        0.0,
    );
    let critical = "a critical alarm stands".to_owned();
    list.add((Kind::Binary, 1), Of::Critical, (critical, ""), 0.0);
}

fn network(list: &mut List, site: &Site) {
    for (k, node) in site.nodes.iter().enumerate() {
        let at = NODES + 2 * k;
        let name = |what| format!("{}: {what}", node.name);
        list.add(
            (Kind::Analog, at),
            Of::Voltage(node.id),
            (name("voltage"), "pu"),
            OF_VOLTAGE,
        );
        list.add(
            (Kind::Analog, at + 1),
            Of::Price(node.id),
            (name("price"), "per MWh"),
            OF_PRICE,
        );
        // Each of three, so that which phases a node has moves nothing.
        for phase in PhaseName::ALL.into_iter().filter(|_| site.by_phase) {
            let at = (Kind::Analog, PHASES + 3 * k + phase.index());
            let text = format!("{}: voltage of phase {}", node.name, phase.letter());
            list.add(
                at,
                Of::PhaseVoltage(node.id, phase),
                (text, "pu"),
                OF_VOLTAGE,
            );
        }
    }
    for (k, id) in built(&site.network).map(|of| of.id).enumerate() {
        let rows = [
            (Of::BranchP(id), "active power", "W", POWER),
            (Of::BranchQ(id), "reactive power", "var", POWER),
            (Of::BranchI(id), "current", "A", CURRENT),
            (Of::BranchLoading(id), "loading", "1", OF_LOADING),
        ];
        for (j, (of, what, unit, dead_band)) in rows.into_iter().enumerate() {
            let name = format!("branch {id}: {what}");
            list.add(
                (Kind::Analog, BRANCHES + 4 * k + j),
                of,
                (name, unit),
                dead_band,
            );
        }
    }
}

fn units(list: &mut List, site: &Site) {
    for (k, unit) in site.units.iter().enumerate() {
        let name = |what| format!("{}: {what}", unit.name);
        let rows = [
            (Of::UnitP(unit.id), "active power", "W", unit.p_rated_w),
            (Of::UnitQ(unit.id), "reactive power", "var", unit.p_rated_w),
            (Of::AskedP(unit.id), "active power asked", "W", 0.0),
            (Of::AskedQ(unit.id), "reactive power asked", "var", 0.0),
        ];
        for (j, (of, what, si, rated)) in rows.into_iter().enumerate() {
            let at = (Kind::Analog, UNITS + 4 * k + j);
            list.add(at, of, (name(what), si), OF_NAMEPLATE * rated);
        }
        let held = (
            name("held by a control centre; command: take over, give back"),
            "",
        );
        list.add((Kind::BinaryOutput, k), Of::Held(unit.id), held, 0.0);
        let what = match unit.battery {
            Some(_) => "set value of active power",
            None => "limit of active power",
        };
        let at = (Kind::AnalogOutput, 2 * k);
        list.add(at, Of::HeldP(unit.id), (name(what), "W"), 0.0);
        let at = (Kind::AnalogOutput, 2 * k + 1);
        list.add(
            at,
            Of::HeldQ(unit.id),
            (name("set value of reactive power"), "var"),
            0.0,
        );
    }
}

fn field(list: &mut List, site: &Site) {
    let (mut breaker, mut measured) = (0, 0);
    for (k, device) in site.devices.iter().enumerate() {
        let name = format!("{} answers", device.id);
        let of = Of::Online(device.id.clone());
        list.add((Kind::Binary, DEVICES + k), of, (name, ""), 0.0);
        for bay in &device.bays {
            let point = |name: &str| PointId::new(&device.id, &format!("bay{}_{name}", bay.number));
            if matches!(bay.of, BayOf::Branch { .. }) {
                let of = Of::Breaker {
                    closed: point("closed"),
                    open: point("open"),
                };
                let name = format!("{}/bay{}: breaker", device.id, bay.number);
                list.add((Kind::DoubleBit, breaker), of, (name, ""), 0.0);
                breaker += 1;
            }
            for (what, unit, dead_band) in [
                ("u", "V", 10.0),
                ("p", "W", POWER),
                ("q", "var", POWER),
                ("i", "A", CURRENT),
            ] {
                for id in site.measured(device, bay, what) {
                    let name = id.to_string();
                    let at = (Kind::Analog, BAYS + measured);
                    list.add(at, Of::Measured(id), (name, unit), dead_band);
                    measured += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn every_point_has_a_place_of_its_own_that_additions_do_not_move() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
        let mut site = crate::site::load(&file).unwrap();
        let before = list(&site);
        let places: BTreeSet<_> = before
            .iter()
            .map(|entry| (entry.config.kind, entry.config.index))
            .collect();
        assert_eq!(places.len(), before.len());
        let mut more = site.units[0].clone();
        more.id = 999;
        site.units.push(more);
        let after = list(&site);
        assert_eq!(after.len(), before.len() + 7);
        assert!(before.iter().all(|entry| after.contains(entry)));
    }
}
