//! The list of points that a control centre sees: made from the site alone, so that it is known
//! before anything is polled, and the same after every start.
//!
//! Indices are in blocks, in the order of the network and of the site file: what is added at an
//! end moves nothing. Powers of units are generation-positive, of branches positive into the from
//! side; SI units.

use protocols::{
    dnp3::{
        Flags, Kind, Sample,
        outstation::{Class, PointConfig},
    },
    point::{DeviceId, DoublePoint, PointId, Quality, Timestamp, Value},
};
use solver::network::Id;

use crate::{
    clock::parse_rfc3339_s,
    published::Published,
    site::{BayOf, Site},
    table::Snapshot,
    web::api::{DispatchView, Health, IntervalView, NetworkState},
};

/// First index of each block of analog inputs.
const NODES: usize = 1000;
const BRANCHES: usize = 4000;
const UNITS: usize = 10_000;
const BAYS: usize = 20_000;
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
    /// What a control centre holds a unit at, or would.
    HeldP(Id),
    /// See `HeldP`.
    HeldQ(Id),
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

struct List(Vec<Entry>);

impl List {
    /// Adds a point; one whose index is beyond what DNP3 can carry is left out.
    fn add(
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
    }
    let network = &site.network;
    let lines = network.line.iter().map(|line| line.id);
    let branches = lines.chain(network.transformer.iter().map(|t| t.id));
    for (k, id) in branches.enumerate() {
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
                let id = point(what);
                let name = id.to_string();
                let at = (Kind::Analog, BAYS + measured);
                list.add(at, Of::Measured(id), (name, unit), dead_band);
                measured += 1;
            }
        }
    }
}

/// A value with what speaks against it, and when it was so.
type Said = (Value, Quality, Timestamp);

/// What the list's points are read from.
pub struct Now<'a> {
    published: &'a Published,
    running: Option<&'a IntervalView>,
    /// When the estimate was made, and of the rest.
    estimated: Timestamp,
    shown: Timestamp,
}

impl<'a> Now<'a> {
    /// Of what is published.
    #[must_use]
    pub fn new(published: &'a Published) -> Self {
        let mut intervals = published.intervals.iter();
        let running = intervals.find(|i| i.start == published.status.interval);
        let shown = Timestamp::received(published.snapshot.now_us);
        let state = published.network_state.as_deref();
        let estimated = state.and_then(|state| parse_rfc3339_s(&state.time));
        Self {
            published,
            running: running.map(|interval| &**interval),
            estimated: estimated
                .map_or(shown, |s| Timestamp::received(s.saturating_mul(1_000_000))),
            shown,
        }
    }

    /// What a point says now; none: nothing yet.
    #[must_use]
    pub fn sample(&self, entry: &Entry) -> Option<Sample> {
        let (value, quality, time) = self.said(&entry.of)?;
        let kind = entry.config.kind;
        Some(Sample {
            value,
            flags: Flags::from_quality(kind, quality),
            time: Some(time),
        })
    }

    /// What a point says that said something once and now has nothing to say: the same, and that it is
    /// old. An output keeps what was last asked of it.
    #[must_use]
    pub fn gone(&self, entry: &Entry, before: Option<&Sample>) -> Option<Sample> {
        let kind = entry.config.kind;
        if matches!(kind, Kind::BinaryOutput | Kind::AnalogOutput) {
            return None;
        }
        Some(Sample {
            flags: Flags::from_quality(kind, Quality::OLD),
            time: Some(self.shown),
            ..*before?
        })
    }

    fn said(&self, of: &Of) -> Option<Said> {
        let figure = |value: Option<f64>| {
            value.map(|value| (Value::Analog(value), Quality::GOOD, self.shown))
        };
        let yes = |value| Some((Value::Binary(value), Quality::GOOD, self.shown));
        let snapshot = &self.published.snapshot;
        match of {
            Of::Import => figure(self.running?.import_w),
            Of::ImportQ => figure(self.running?.import_var),
            Of::Price(node) => {
                let mut prices = self.running?.prices.iter();
                figure(prices.find(|p| p.node == *node).map(|p| p.p_per_mwh))
            }
            Of::Alarms => figure(Some(self.standing().count() as f64)),
            Of::AskedP(unit) => figure(self.asked(*unit).map(|row| row.p_w)),
            Of::AskedQ(unit) => figure(self.asked(*unit).map(|row| row.q_var)),
            Of::Measured(point) => measured(snapshot, point),
            Of::Breaker { closed, open } => breaker(snapshot, closed, open),
            Of::Healthy => yes(self.published.status.health == Health::Ok),
            Of::Critical => yes(self.standing().any(|critical| critical)),
            Of::Online(device) => yes(snapshot.online(device)),
            Of::Held(unit) => yes(self.published.holds.contains_key(unit)),
            Of::HeldP(unit) => figure(self.published.holds.get(unit).map(|hold| hold.p_w)),
            Of::HeldQ(unit) => figure(self.published.holds.get(unit).map(|hold| hold.q_var)),
            _ => self.estimate(of),
        }
    }

    /// Estimates keep their last value when there is no new one, and say that it is old.
    fn estimate(&self, of: &Of) -> Option<Said> {
        let state = self.published.network_state.as_deref()?;
        let value = estimated(state, of)?;
        let quality = match state.estimate.ok {
            true => Quality::GOOD,
            false => Quality::QUESTIONABLE,
        };
        Some((Value::Analog(value), quality, self.estimated))
    }

    fn asked(&self, unit: Id) -> Option<&DispatchView> {
        self.published.dispatch.iter().find(|row| row.unit == unit)
    }

    /// Of the alarms that stand, whether each is critical.
    fn standing(&self) -> impl Iterator<Item = bool> {
        let standing = self.published.alarms.iter().filter(|a| a.cleared.is_none());
        standing.map(|alarm| alarm.severity == "critical")
    }
}

fn estimated(state: &NetworkState, of: &Of) -> Option<f64> {
    let live = || state.nodes.iter().filter(|node| node.energised);
    let branch = |id: &Id| state.branches.iter().find(|b| b.id == *id);
    let unit = |id: &Id| state.units.iter().find(|u| u.id == *id);
    match of {
        Of::HighestVoltage => live().map(|n| n.u_pu).reduce(f64::max),
        Of::LowestVoltage => live().map(|n| n.u_pu).reduce(f64::min),
        Of::HighestLoading => state.branches.iter().map(|b| b.loading).reduce(f64::max),
        Of::Voltage(id) => state.nodes.iter().find(|n| n.id == *id).map(|n| n.u_pu),
        Of::BranchP(id) => branch(id).map(|b| b.p_from_w),
        Of::BranchQ(id) => branch(id).map(|b| b.q_from_var),
        Of::BranchI(id) => branch(id).map(|b| b.i_a),
        Of::BranchLoading(id) => branch(id).map(|b| b.loading),
        Of::UnitP(id) => unit(id).map(|u| u.p_w),
        Of::UnitQ(id) => unit(id).map(|u| u.q_var),
        _ => None,
    }
}

fn measured(snapshot: &Snapshot, point: &PointId) -> Option<Said> {
    let point = snapshot.points.get(point)?;
    Some((point.value, point.quality, point.time))
}

/// Two contacts as one position, at the later one's time.
fn breaker(snapshot: &Snapshot, closed: &PointId, open: &PointId) -> Option<Said> {
    let contact = |point: &PointId| {
        let (value, quality, time) = measured(snapshot, point)?;
        let Value::Binary(made) = value else {
            return None;
        };
        Some((made, quality, time))
    };
    let (closed, open) = (contact(closed)?, contact(open)?);
    let position = match (closed.0, open.0) {
        (true, false) => DoublePoint::On,
        (false, true) => DoublePoint::Off,
        (false, false) => DoublePoint::Intermediate,
        (true, true) => DoublePoint::Bad,
    };
    let later = if closed.2.unix_us > open.2.unix_us {
        closed.2
    } else {
        open.2
    };
    Some((Value::DoublePoint(position), closed.1 | open.1, later))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use protocols::point::Update;

    use super::*;
    use crate::table::Table;

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

    #[test]
    fn two_contacts_make_a_position() {
        let device = DeviceId::new("rtu1");
        let [closed, open] = ["closed", "open"].map(|name| PointId::new(&device, name));
        let seen = |made: [bool; 2], worse: Quality| {
            let mut table = Table::new([], [], 0);
            let updates = [&closed, &open].into_iter().zip(made).enumerate();
            let updates = updates.map(|(k, (point, made))| Update {
                point: point.clone(),
                value: Value::Binary(made),
                quality: if k == 0 { Quality::GOOD } else { worse },
                time: Timestamp::received(7 + k as i64),
            });
            table.update(&device, updates.collect(), 9);
            breaker(&table.snapshot(9), &closed, &open).unwrap()
        };
        for (made, position) in [
            ([true, false], DoublePoint::On),
            ([false, true], DoublePoint::Off),
            ([false, false], DoublePoint::Intermediate),
            ([true, true], DoublePoint::Bad),
        ] {
            let (value, quality, time) = seen(made, Quality::QUESTIONABLE);
            assert_eq!(value, Value::DoublePoint(position));
            assert!(quality.contains(Quality::QUESTIONABLE));
            assert_eq!(time.unix_us, 8);
        }
    }
}
