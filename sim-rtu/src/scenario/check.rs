//! What a scenario must fulfil beyond its syntax.

use std::collections::{BTreeMap, BTreeSet};

use protocols::{dnp3::link::MAX_ADDRESS, iec104::BROADCAST};
use solver::network::{ApplianceKind, BranchKind, Grid, Id};

use super::model::{Battery, Bay, DerSpec, RtuSpec, Scenario, Speaks};
use crate::{
    devices::{DER_POINTS, bay_points, rtu, sunspec},
    phases::{is_by_phase, phase_of},
    profiles::{Clock, Profile},
};

/// Problems with their places.
struct Report<'a> {
    scenario: &'a Scenario,
    grid: &'a Grid,
    problems: Vec<String>,
}

/// The clock, and everything that is wrong.
pub(super) fn problems(scenario: &Scenario, grid: &Grid) -> (Option<Clock>, Vec<String>) {
    let mut report = Report {
        scenario,
        grid,
        problems: Vec::new(),
    };
    let clock = report.clock();
    report.profiles();
    report.loads();
    report.devices();
    report.faults();
    (clock, report.problems)
}

impl Report<'_> {
    fn say(&mut self, place: &str, what: impl AsRef<str>) {
        self.problems.push(format!("{place}: {}", what.as_ref()));
    }

    /// Says so when `value` is not a number above zero.
    fn positive(&mut self, place: &str, value: f64) {
        if !value.is_finite() || value <= 0.0 {
            self.say(place, format!("{value} is not a number above 0"));
        }
    }

    fn clock(&mut self) -> Option<Clock> {
        let step = self.scenario.step_ms;
        if !(50..=1000).contains(&step) {
            self.say("step_ms", format!("{step} is not in 50..=1000"));
        }
        let spec = &self.scenario.clock;
        let speedup = spec.speedup;
        if !(0.0..=1440.0).contains(&speedup) {
            self.say("clock.speedup", format!("{speedup} is not in 0..=1440"));
        }
        let start_s = Clock::parse(&spec.start);
        if start_s.is_none() {
            let what = format!("{:?} is no time of day HH:MM", spec.start);
            self.say("clock.start", what);
        }
        start_s.map(|start_s| Clock { start_s, speedup })
    }

    fn profiles(&mut self) {
        let mut names = BTreeSet::new();
        for (k, profile) in self.scenario.profile.iter().enumerate() {
            let place = format!("profile[{k}] {:?}", profile.name);
            if !names.insert(&profile.name) {
                self.say(&place, "the name is used twice");
            }
            for problem in profile.problems() {
                self.say(&place, problem);
            }
        }
    }

    fn known_profile(&mut self, place: &str, name: &str) {
        let profiles: &[Profile] = &self.scenario.profile;
        if profiles.iter().all(|profile| profile.name != name) {
            self.say(place, format!("there is no profile {name:?}"));
        }
    }

    fn is_appliance(&self, id: Id, kind: ApplianceKind) -> bool {
        let index = self.grid.index_of_appliance(id);
        index.is_some_and(|k| self.grid.appliances[k].kind == kind)
    }

    fn loads(&mut self) {
        let mut taken = BTreeSet::new();
        for (k, load) in self.scenario.load.iter().enumerate() {
            let place = format!("load[{k}]");
            self.known_profile(&format!("{place}.profile"), &load.profile);
            for &id in &load.ids {
                if !self.is_appliance(id, ApplianceKind::Load) {
                    self.say(&place, format!("the network has no load {id}"));
                } else if !taken.insert(id) {
                    self.say(&place, format!("load {id} has a profile already"));
                }
            }
        }
        let network = self.grid.network();
        let ids = network.sym_load.iter().map(|of| of.id);
        for id in ids.chain(network.asym_load.iter().map(|of| of.id)) {
            if !taken.contains(&id) {
                self.say("load", format!("no profile for load {id} of the network"));
            }
        }
    }

    fn lines(&mut self) {
        let mut taken = BTreeSet::new();
        for (k, der) in self.scenario.der.iter().enumerate() {
            let Some(line) = &der.line else { continue };
            let place = format!("der[{k}].line");
            let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if line.name.is_empty() || !line.name.chars().all(named) {
                let what = "is no name of letters, digits, - and _";
                self.say(&place, format!("{:?} {what}", line.name));
            }
            if !(1..=247).contains(&line.unit) {
                self.say(&place, format!("unit {} is not in 1..=247", line.unit));
            }
            if !taken.insert((&line.name, line.unit)) {
                self.say(&place, format!("unit {} is there already", line.unit));
            }
        }
    }

    fn devices(&mut self) {
        let mut names = BTreeMap::new();
        let mut ports = BTreeMap::new();
        let ders = self.scenario.der.iter().enumerate();
        let rtus = self.scenario.rtu.iter().enumerate();
        let all = ders
            .map(|(k, d)| (format!("der[{k}]"), &d.device, d.port))
            .chain(rtus.map(|(k, r)| (format!("rtu[{k}]"), &r.device, r.port)));
        for (place, device, port) in all {
            if device.is_empty() {
                self.say(&place, "device has no name");
            }
            if let Some(other) = names.insert(device, place.clone()) {
                self.say(&place, format!("{other} is named {device:?} too"));
            }
            if let Some(other) = ports.insert(port, place.clone()) {
                self.say(&place, format!("{other} listens on port {port} too"));
            }
            if port == 0 {
                self.say(&place, "port 0 is none a client could know");
            }
        }
        self.lines();
        let mut units = BTreeSet::new();
        for (k, der) in self.scenario.der.iter().enumerate() {
            let place = format!("der[{k}] {:?}", der.device);
            if !self.is_appliance(der.unit, ApplianceKind::Gen) {
                self.say(&place, format!("the network has no generator {}", der.unit));
            } else if !units.insert(der.unit) {
                self.say(&place, format!("unit {} has a device already", der.unit));
            }
            self.der(&place, der);
        }
        let network = self.grid.network();
        let ids = network.sym_gen.iter().map(|of| of.id);
        for id in ids.chain(network.asym_gen.iter().map(|of| of.id)) {
            if !units.contains(&id) {
                self.say(
                    "der",
                    format!("no device for generator {id} of the network"),
                );
            }
        }
        for of in &network.asym_gen {
            if phase_of(network, of.id).is_none() {
                let what = "p_specified of one phase only tells which one it is of";
                self.say("network", format!("asym_gen {}: {what}", of.id));
            }
        }
        for (k, rtu) in self.scenario.rtu.iter().enumerate() {
            self.rtu(&format!("rtu[{k}] {:?}", rtu.device), rtu);
        }
    }

    fn der(&mut self, place: &str, der: &DerSpec) {
        for (key, value) in [
            ("p_rated_w", der.p_rated_w),
            ("q_rated_var", der.q_rated_var),
            ("ramp_w_per_s", der.ramp_w_per_s),
        ] {
            self.positive(&format!("{place}.{key}"), value);
        }
        self.models(place, der);
        match (&der.profile, &der.battery) {
            (Some(name), None) => self.known_profile(&format!("{place}.profile"), name),
            (None, Some(battery)) => self.battery(&format!("{place}.battery"), der, battery),
            _ => self.say(place, "needs either a profile or a battery"),
        }
    }

    fn models(&mut self, place: &str, der: &DerSpec) {
        for (k, &model) in der.models.iter().enumerate() {
            if !sunspec::MODELS.contains(&model) {
                let what = format!("no device here has SunSpec model {model}");
                self.say(place, what);
            }
            if sunspec::STORAGE_MODELS.contains(&model) && der.battery.is_none() {
                self.say(place, format!("model {model} is a battery's"));
            }
            if der.models[..k].contains(&model) {
                self.say(place, format!("model {model} is there twice"));
            }
        }
        let has = |model| der.models.contains(model);
        if !has(&1) {
            self.say(place, "models lacks 1, which every device has");
        }
        let of_phases = sunspec::INVERTERS
            .iter()
            .filter(|of| **of != sunspec::SINGLE);
        let single = phase_of(self.grid.network(), der.unit).is_some();
        match (single, has(&sunspec::SINGLE), of_phases.clone().any(has)) {
            (true, true, false) | (false, false, true) => {}
            (true, ..) => self.say(place, "a unit of one phase has model 101, not 103 or 113"),
            (false, ..) => self.say(
                place,
                "models lacks 103 or 113, one of which every device of three phases has, or has 101",
            ),
        }
    }

    fn battery(&mut self, place: &str, der: &DerSpec, battery: &Battery) {
        self.positive(&format!("{place}.energy_wh"), battery.energy_wh);
        if !(0.0..=1.0).contains(&battery.soc) {
            self.say(place, format!("soc {} is not in 0..=1", battery.soc));
        }
        if !(0.5..=1.0).contains(&battery.efficiency) {
            let what = format!("efficiency {} is not in 0.5..=1", battery.efficiency);
            self.say(place, what);
        }
        let own = battery.autonomous_p_w;
        // Not `own.abs() > rated`: NaN must be refused too.
        if !(-der.p_rated_w..=der.p_rated_w).contains(&own) {
            let what = format!("autonomous_p_w {own} is beyond the nameplate");
            self.say(place, what);
        }
    }

    fn rtu(&mut self, place: &str, rtu: &RtuSpec) {
        if is_by_phase(self.grid.network()) && rtu.speaks() != Speaks::Modbus {
            let what = "of a feeder by phase there are RTUs by Modbus only (phase-rtu)";
            self.say(place, what);
        }
        if let Some(link) = rtu.dnp3 {
            let highest = link.address.max(link.master);
            if link.address == link.master || highest > MAX_ADDRESS {
                let what = format!("dnp3: two different addresses up to {MAX_ADDRESS}");
                self.say(place, what);
            }
        }
        if rtu.common_address.is_some_and(|a| a == 0 || a == BROADCAST) {
            self.say(place, "common_address is 1 to 65534");
        }
        if rtu.dnp3.is_some() && rtu.common_address.is_some() {
            self.say(place, "either dnp3 or common_address");
        }
        if let Some(ied) = &rtu.iec61850 {
            let fit = |c: char| c.is_ascii_alphanumeric();
            if ied.is_empty() || ied.len() > 60 || !ied.chars().all(fit) {
                self.say(place, "iec61850: a name of at most 60 letters and digits");
            }
            let other = rtu.dnp3.is_some() || rtu.common_address.is_some();
            if other || rtu.bays.len() != 1 || rtu.bays[0].bay != 1 {
                let what = "a bay controller has bay 1 alone, and neither dnp3 nor common_address";
                self.say(place, what);
            }
        }
        let mut numbers = BTreeSet::new();
        for bay in &rtu.bays {
            let place = format!("{place}.bays {}", bay.bay);
            if !(1..=rtu::BAYS).contains(&bay.bay) {
                self.say(&place, format!("bays are numbered 1 to {}", rtu::BAYS));
            } else if !numbers.insert(bay.bay) {
                self.say(&place, "the number is used twice");
            }
            self.bay(&place, bay);
        }
    }

    fn bay(&mut self, place: &str, bay: &Bay) {
        match (bay.branch, bay.side, &bay.loads) {
            (Some(branch), Some(_), None) => {
                let index = self.grid.index_of_branch(branch);
                let kind = index.map(|k| self.grid.branches[k].kind);
                if kind.is_none() {
                    self.say(place, format!("the network has no branch {branch}"));
                } else if bay.tap && kind != Some(BranchKind::Transformer) {
                    self.say(place, format!("branch {branch} has no tap changer"));
                }
            }
            (None, None, Some(loads)) if !loads.is_empty() => {
                if bay.tap {
                    self.say(place, "loads have no tap changer");
                }
                let mut nodes = BTreeSet::new();
                for &load in loads {
                    match self.grid.index_of_appliance(load) {
                        Some(k) if self.is_appliance(load, ApplianceKind::Load) => {
                            nodes.insert(self.grid.appliances[k].node);
                        }
                        _ => self.say(place, format!("the network has no load {load}")),
                    }
                }
                if nodes.len() > 1 {
                    self.say(place, "its loads are not at one node");
                }
            }
            _ => self.say(place, "needs either branch and side, or loads"),
        }
    }

    fn faults(&mut self) {
        let mut readings: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for der in &self.scenario.der {
            let points = DER_POINTS.map(str::to_owned).to_vec();
            readings.insert(&der.device, points);
        }
        for rtu in &self.scenario.rtu {
            let phases = is_by_phase(self.grid.network()).then_some([true; 3]);
            let bays = rtu.bays.iter();
            let points = bays.flat_map(|bay| bay_points(bay.bay, phases));
            readings.insert(&rtu.device, points.map(|(point, ..)| point).collect());
        }
        for (k, fault) in self.scenario.fault.iter().enumerate() {
            let place = format!("fault[{k}]");
            if !fault.at_s.is_finite() || fault.at_s < 0.0 {
                self.say(&place, format!("at_s {} is not a number >= 0", fault.at_s));
            }
            match readings.get(fault.device.as_str()) {
                None => self.say(&place, format!("there is no device {:?}", fault.device)),
                Some(points) => {
                    if let Err(error) = fault.request().check(points) {
                        self.say(&place, error.to_string());
                    }
                }
            }
        }
    }
}
