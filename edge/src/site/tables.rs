//! The tables that a site file has many of: nodes, devices with their bays, units, loads; each
//! checked against the network and against the others.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::RangeInclusive,
    path::Path,
    time::Duration,
};

use protocols::{iec61850::ObjectMap, modbus::LineConfig, point::DeviceId};
use solver::{
    market::{PPM, Price, Storage, clearing::PhaseName},
    network::{Id, Network, Side},
};

use super::{
    branches::built,
    dnp3, iec104, iec61850, line,
    model::{Battery, Bay, BayOf, Device, Load, NodePlace, Place, Shares, Unit, UnitKind, Wire},
    phases::{NetworkLoad, NodePhases, generators},
    profile::{self, Access, Profile},
    read::{At, Table},
    tls,
};

/// Widest power, W or var; keeps a slip of a few zeros from passing.
pub(super) const MAX_POWER: f64 = 1e10;
/// Longest time constant of a unit's reactive power, s.
const MAX_LAG_S: f64 = 60.0;
/// Widest price, currency per MWh.
pub(super) const MAX_PRICE: f64 = 100_000.0;

pub(super) fn price(table: &Table<'_, '_>, key: &'static str) -> Option<Price> {
    table
        .number(key, -MAX_PRICE..=MAX_PRICE)
        .map(|p| Price((p * 1e6).round() as i64))
}

pub(super) fn seconds(
    table: &Table<'_, '_>,
    key: &'static str,
    range: RangeInclusive<f64>,
) -> Option<Duration> {
    table.number(key, range).map(Duration::from_secs_f64)
}

/// What tables are checked against. Without a network its checks are left out; that it cannot be
/// read is a problem of its own.
pub(super) struct Context<'n> {
    pub(super) network: Option<&'n Network>,
    pub(super) by_phase: bool,
    /// By phase: which phases nodes have.
    pub(super) phases: Option<&'n NodePhases>,
}

impl Context<'_> {
    pub(super) fn nodes(&self, root: &Table<'_, '_>) -> Vec<NodePlace> {
        let mut places: BTreeMap<Id, NodePlace> = BTreeMap::new();
        for table in root.tables("node") {
            let id = table.id("id");
            let name = table.text("name");
            let x = table.number("x", -1e4..=1e4);
            let y = table.number("y", -1e4..=1e4);
            table.finish();
            let Some(id) = id else { continue };
            if self
                .network
                .is_some_and(|n| n.node.iter().all(|node| node.id != id))
            {
                table.problem("id", format!("the network has no node {id}"));
            }
            if places.contains_key(&id) {
                table.problem("id", format!("node {id} is there twice"));
            }
            if let (Some(name), Some(x), Some(y)) = (name, x, y) {
                let name = name.to_owned();
                places.insert(id, NodePlace { id, name, x, y });
            }
        }
        let Some(network) = self.network else {
            return Vec::new();
        };
        let mut ordered = Vec::new();
        for node in &network.node {
            match places.remove(&node.id) {
                Some(place) => ordered.push(place),
                None => root.problem(
                    "node",
                    format!("node {} of the network has no [[node]] table", node.id),
                ),
            }
        }
        ordered
    }

    pub(super) fn devices(
        &self,
        root: &Table<'_, '_>,
        directory: &Path,
    ) -> BTreeMap<String, At<Device>> {
        let lines = line::lines(root, directory);
        let mut devices = BTreeMap::new();
        let mut addresses: BTreeMap<(String, u16), String> = BTreeMap::new();
        for table in root.tables("device") {
            let Some(device) = self.device(&table, &lines) else {
                continue;
            };
            let id = device.id.as_str().to_owned();
            let link = (device.place.to_string(), device.wire.station());
            if let Some(other) = addresses.insert(link, id.clone()) {
                table.problem(
                    "address",
                    format!(
                        "{} with station {} is device `{other}` already",
                        device.place,
                        device.wire.station()
                    ),
                );
            }
            match devices.entry(id) {
                Entry::Occupied(entry) => {
                    table.problem("id", format!("device `{}` is there twice", entry.key()));
                }
                Entry::Vacant(entry) => {
                    entry.insert(table.at("id", device));
                }
            }
        }
        if !root.has("device") {
            root.problem("device", "there is no [[device]]".to_owned());
        }
        devices
    }

    fn device(
        &self,
        table: &Table<'_, '_>,
        lines: &BTreeMap<String, LineConfig>,
    ) -> Option<Device> {
        let id = table.name("id");
        let profile_name = table.text("profile");
        let poll = seconds(table, "poll_s", 0.1..=3600.0);
        let timeout = seconds(table, "timeout_s", 0.05..=60.0);
        let mut profile = profile_name.and_then(|name| match profile::find(name) {
            Ok(profile) => Some(profile),
            Err(error) => {
                table.problem("profile", error);
                None
            }
        });
        let place = line::place(table, profile.as_ref().map(|p| &p.access), lines);
        let wire = wire(table, profile.as_ref(), poll);
        if matches!(place, Some(Place::Line { .. }))
            && let Some(Wire::Sunspec { unit_id } | Wire::Modbus { unit_id, .. }) = &wire
            && !line::UNITS.contains(unit_id)
        {
            table.problem(
                "unit_id",
                format!("{unit_id} is none on a line: 1 to 247 are"),
            );
        }
        if let (Some(profile), Some(Wire::Iec61850 { map, .. })) = (&mut profile, &wire) {
            profile.access = Access::Iec61850(map.clone());
        }
        let tls = tls::device(table);
        if table.has("tls") && matches!(place, Some(Place::RtuOverTcp(_) | Place::Line { .. })) {
            table.problem("tls", "goes with plain `address` only".to_owned());
        }
        let bays = self.bays(table, profile.as_ref());
        table.finish();
        Some(Device {
            id: DeviceId::new(id?),
            profile_name: profile_name?.to_owned(),
            profile: profile?,
            place: place?,
            tls: tls?,
            wire: wire?,
            poll: poll?,
            timeout: timeout?,
            bays,
        })
    }

    fn bays(&self, device: &Table<'_, '_>, profile: Option<&Profile>) -> Vec<Bay> {
        let mut bays: Vec<Bay> = Vec::new();
        for table in device.tables("bays") {
            let number = table.integer("bay", 1..=255);
            let of = self.bay_of(&table);
            let tap = table.has("tap") && table.boolean("tap").unwrap_or_default();
            table.finish();
            let Some(number) = number.and_then(|n| u8::try_from(n).ok()) else {
                continue;
            };
            let has = |p: &Profile, phase: &str| p.has_point(&format!("bay{number}_p{phase}"));
            let by_phase = |p: &Profile| ["_a", "_b", "_c"].iter().any(|phase| has(p, phase));
            if profile.is_some_and(|p| !(has(p, "") || self.by_phase && by_phase(p))) {
                table.problem("bay", format!("the profile has no point bay{number}_p"));
            }
            if bays.iter().any(|bay| bay.number == number) {
                table.problem("bay", format!("bay {number} is there twice"));
            }
            let Some(of) = of else { continue };
            if tap && !self.is_transformer(&of) {
                table.problem("tap", "only a transformer has a tap position".to_owned());
            }
            bays.push(Bay { number, of, tap });
        }
        bays
    }

    fn bay_of(&self, table: &Table<'_, '_>) -> Option<BayOf> {
        let loads = table.ids("loads");
        if table.has("loads") {
            for key in ["branch", "side"] {
                if table.has(key) {
                    table.problem(key, "a bay measures a branch or loads, not both".to_owned());
                }
            }
            return self.load_bay(table, &loads);
        }
        let branch = table.id("branch");
        let side = table.word("side", &[("from", Side::From), ("to", Side::To)]);
        let branch = branch?;
        if let Some(n) = self.network
            && built(n).all(|known| known.id != branch)
        {
            table.problem(
                "branch",
                format!("the network has no line or transformer {branch}"),
            );
        }
        Some(BayOf::Branch {
            branch,
            side: side?,
        })
    }

    fn load_bay(&self, table: &Table<'_, '_>, loads: &[At<Id>]) -> Option<BayOf> {
        let network = self.network?;
        let mut ids = Vec::new();
        let mut node = None;
        for at in loads {
            let Some(load) = NetworkLoad::all(network).find(|l| l.id() == at.value) else {
                table.source.problem(
                    Some(at.span.clone()),
                    &at.path,
                    format!("the network has no load {}", at.value),
                );
                continue;
            };
            if *node.get_or_insert(load.node()) != load.node() {
                table.source.problem(
                    Some(at.span.clone()),
                    &at.path,
                    format!("load {} is at another node than the first", at.value),
                );
            }
            ids.push(load.id());
        }
        let Some(node) = node else {
            table.problem("loads", "names no load of the network".to_owned());
            return None;
        };
        let loads = NetworkLoad::all(network).filter(|l| l.node() == node);
        let at_node = loads.count() + generators(network).filter(|g| g.1 == node).count();
        if ids.len() > 1 && ids.len() != at_node {
            table.problem(
                "loads",
                format!(
                    "a bay that measures several loads must measure all {at_node} loads and generators at node {node}"
                ),
            );
        }
        Some(BayOf::Loads { loads: ids, node })
    }

    fn is_transformer(&self, of: &BayOf) -> bool {
        let (BayOf::Branch { branch, .. }, Some(network)) = (of, self.network) else {
            return false;
        };
        network.transformer.iter().any(|t| t.id == *branch)
    }

    pub(super) fn units(
        &self,
        root: &Table<'_, '_>,
        devices: &BTreeMap<String, At<Device>>,
    ) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        let mut missing: Vec<Id> = self
            .network
            .map(|n| generators(n).map(|(id, ..)| id).collect())
            .unwrap_or_default();
        for table in root.tables("unit") {
            let id = table.id("id");
            missing.retain(|m| Some(*m) != id);
            let Some(unit) = self.unit(&table, id, devices) else {
                continue;
            };
            if units.iter().any(|other| other.id == unit.id) {
                table.problem("id", format!("unit {} is there twice", unit.id));
            }
            if let Some(other) = units.iter().find(|other| other.device == unit.device) {
                table.problem(
                    "device",
                    format!("device `{}` is unit {} already", unit.device, other.id),
                );
            }
            units.push(unit);
        }
        for id in missing {
            root.problem(
                "unit",
                format!("generator {id} of the network has no [[unit]] table"),
            );
        }
        units
    }

    fn unit(
        &self,
        table: &Table<'_, '_>,
        id: Option<Id>,
        devices: &BTreeMap<String, At<Device>>,
    ) -> Option<Unit> {
        let kind = table.word("kind", &UnitKind::ALL.map(|kind| (kind.as_str(), kind)));
        let phase = match table.has("phase") {
            true => table.word(
                "phase",
                &PhaseName::ALL.map(|phase| (phase.letter(), phase)),
            ),
            false => None,
        };
        let name = table.text("name");
        let device = table.name("device");
        let participant = table.text("participant");
        let p_rated_w = table.number("p_rated_w", 1.0..=MAX_POWER);
        let q_rated_var = table.number("q_rated_var", 0.0..=MAX_POWER);
        let sell_price = price(table, "sell_price_per_mwh");
        let fallback_p_w = table.number("fallback_p_w", -MAX_POWER..=MAX_POWER);
        let ramp_w_per_s = table.number("ramp_w_per_s", 1.0..=MAX_POWER);
        let q_lag_s = match table.has("q_lag_s") {
            true => table.number("q_lag_s", 0.0..=MAX_LAG_S),
            false => Some(0.0),
        };
        let is_battery = kind == Some(UnitKind::Battery);
        let battery = is_battery.then(|| read_battery(table, sell_price));
        table.finish();
        if let Some(device) = device {
            check_device(table, device, devices);
        }
        if let (Some(p), Some(fallback)) = (p_rated_w, fallback_p_w) {
            let lowest = if is_battery { -p } else { 0.0 };
            if !(lowest..=p).contains(&fallback) {
                table.problem("fallback_p_w", format!("must be from {lowest} to {p}"));
            }
        }
        let id = id?;
        let found = generators(self.network?).find(|(of, ..)| *of == id);
        match found {
            None => table.problem("id", format!("the network has no generator {id}")),
            Some(found) => self.check_phase(table, found, phase),
        }
        Some(Unit {
            id,
            node: found?.1,
            phase,
            name: name?.to_owned(),
            kind: kind?,
            device: DeviceId::new(device?),
            participant: participant?.to_owned(),
            p_rated_w: p_rated_w?,
            q_rated_var: q_rated_var?,
            sell_price: sell_price?,
            battery: match battery {
                Some(battery) => Some(battery?),
                None => None,
            },
            fallback_p_w: fallback_p_w?,
            ramp_w_per_s: ramp_w_per_s?,
            q_lag_s: q_lag_s?,
        })
    }

    /// A generator by phase is a unit of one phase, any other of all.
    fn check_phase(
        &self,
        table: &Table<'_, '_>,
        (id, node, by_phase): (Id, Id, bool),
        phase: Option<PhaseName>,
    ) {
        if !self.by_phase {
            if table.has("phase") {
                let text = "goes with `by_phase = true` of `[site]`";
                table.problem("phase", text.to_owned());
            }
            return;
        }
        match (by_phase, phase) {
            (true, None) if !table.has("phase") => {
                let text = format!("missing: which phase is generator {id}, an `asym_gen`, of?");
                table.problem("phase", text);
            }
            (false, Some(_)) => {
                let text = format!(
                    "generator {id} is a `sym_gen`, of all phases; one of a single phase is an `asym_gen`"
                );
                table.problem("phase", text);
            }
            _ => {}
        }
        // That not all phases reach what is of all is the network's own problem.
        let lacks = self.phases.zip(phase);
        if let Some(problem) = lacks.and_then(|(phases, phase)| phases.lacks(node, phase)) {
            table.problem("phase", problem);
        }
    }

    pub(super) fn loads(&self, root: &Table<'_, '_>) -> Vec<Load> {
        let mut loads: Vec<Load> = Vec::new();
        let mut missing: Vec<Id> = self
            .network
            .map(|n| NetworkLoad::all(n).map(|l| l.id()).collect())
            .unwrap_or_default();
        for table in root.tables("load") {
            let id = table.id("id");
            missing.retain(|m| Some(*m) != id);
            let Some(load) = self.load(&table, id) else {
                continue;
            };
            if loads.iter().any(|other| other.id == load.id) {
                table.problem("id", format!("load {} is there twice", load.id));
            }
            loads.push(load);
        }
        for id in missing {
            root.problem(
                "load",
                format!("load {id} of the network has no [[load]] table"),
            );
        }
        loads
    }

    fn load(&self, table: &Table<'_, '_>, id: Option<Id>) -> Option<Load> {
        let name = table.text("name");
        let participant = table.text("participant");
        let expected_p_w = table.number("expected_p_w", -MAX_POWER..=MAX_POWER);
        let expected_q_var = table.number("expected_q_var", -MAX_POWER..=MAX_POWER);
        let sigma_pct = table.number("sigma_pct", 1.0..=300.0);
        table.finish();
        let id = id?;
        let found = NetworkLoad::all(self.network?).find(|l| l.id() == id);
        if found.is_none() {
            table.problem("id", format!("the network has no load {id}"));
        }
        let found = found?;
        let shares = match self.phases.map(|phases| phases.shares(&found)) {
            None => Shares::ALIKE,
            Some(Ok(shares)) => shares,
            Some(Err(problem)) => {
                table.problem("id", format!("load {id} {problem}"));
                return None;
            }
        };
        Some(Load {
            id,
            node: found.node(),
            shares,
            name: name?.to_owned(),
            participant: participant?.to_owned(),
            expected_p_w: expected_p_w?,
            expected_q_var: expected_q_var?,
            sigma: sigma_pct? / 100.0,
        })
    }
}

fn read_battery(table: &Table<'_, '_>, sell_price: Option<Price>) -> Option<Battery> {
    let buy_price = price(table, "buy_price_per_mwh");
    let energy_wh = table.number("energy_wh", 1.0..=MAX_POWER);
    let soc_min = table.number("soc_min", 0.0..=1.0);
    let soc_max = table.number("soc_max", 0.0..=1.0);
    if let (Some(min), Some(max)) = (soc_min, soc_max)
        && min >= max
    {
        table.problem("soc_min", "must be below soc_max".to_owned());
    }
    if let (Some(buy), Some(sell)) = (buy_price, sell_price)
        && buy > sell
    {
        table.problem(
            "buy_price_per_mwh",
            "must not be above sell_price_per_mwh: it would trade with itself".to_owned(),
        );
    }
    let storage = match table.has("storage") {
        true => Some(table.table("storage").and_then(|t| read_storage(&t))?),
        false => None,
    };
    Some(Battery {
        storage,
        buy_price: buy_price?,
        energy_wh: energy_wh?,
        soc_min: soc_min?,
        soc_max: soc_max?,
    })
}

fn read_storage(table: &Table<'_, '_>) -> Option<Storage> {
    let ppm = |key| {
        let share = table.number(key, 0.01..=1.0)?;
        Some((share * f64::from(PPM)).round() as u32)
    };
    let (charge, discharge) = (ppm("charge_efficiency"), ppm("discharge_efficiency"));
    let wear = table.number("wear_per_mwh", 0.0..=MAX_PRICE);
    let end_value = price(table, "end_value_per_mwh");
    table.finish();
    Some(Storage {
        energy_wh: 0,
        energy_min_wh: 0,
        // The battery's own states of charge bound it when the gate closes.
        energy_max_wh: i64::MAX,
        charge_ppm: charge?,
        discharge_ppm: discharge?,
        wear: Price((wear? * 1e6).round() as i64),
        end_value: end_value?,
    })
}

/// Reads which station it is, as its profile's protocol tells.
fn wire(table: &Table<'_, '_>, profile: Option<&Profile>, poll: Option<Duration>) -> Option<Wire> {
    let unit_id = || {
        let unit_id = table.integer("unit_id", 0..=255)?;
        u8::try_from(unit_id).ok()
    };
    match profile.map(|profile| profile.access.clone()) {
        Some(Access::Sunspec) => unit_id().map(|unit_id| Wire::Sunspec { unit_id }),
        Some(Access::Modbus(map)) => unit_id().map(|unit_id| Wire::Modbus { unit_id, map }),
        Some(Access::Dnp3(map)) => {
            dnp3::outstation(table, poll).map(|outstation| Wire::Dnp3 { outstation, map })
        }
        Some(Access::Iec104(map)) => iec104::rtu(table).map(|rtu| Wire::Iec104 { rtu, map }),
        Some(Access::Iec61850(map)) => {
            iec61850::ied(table, map).map(|(ied, map)| Wire::Iec61850 { ied, map })
        }
        // The protocol is not known: what is there is looked at, so that nothing is said to be unknown.
        None if table.has("link_address") => dnp3::outstation(table, poll).and(None),
        None if table.has("common_address") => iec104::rtu(table).and(None),
        None if table.has("ied") => iec61850::ied(table, ObjectMap::default()).and(None),
        None => unit_id().and(None),
    }
}

fn check_device(table: &Table<'_, '_>, device: &str, devices: &BTreeMap<String, At<Device>>) {
    match devices.get(device) {
        None => table.problem("device", format!("there is no usable device `{device}`")),
        Some(at) if !at.value.profile.is_der() => table.problem(
            "device",
            format!(
                "device `{device}` has profile `{}`, which takes no setpoints",
                at.value.profile_name
            ),
        ),
        Some(_) => {}
    }
}
