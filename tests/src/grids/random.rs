//! Networks of every component there is, put together at random: zones of one voltage each, fed
//! through transformers of any windings and clock, with loops, links, open ends and several sources.

use std::f64::consts::PI;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::data::{Data, update};
use super::parts::{self, LEVELS, Level};

/// What a random network may have.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    /// For a calculation by phase: lines whose phases differ instead of generic branches, which
    /// power-grid-model has in the symmetric calculation only.
    pub by_phase: bool,
    /// Most zones.
    pub zones: usize,
    /// Most nodes of a zone.
    pub nodes: usize,
    /// No node has two sources.
    pub sources_apart: bool,
}

/// Nodes of one voltage level that lines connect.
struct Zone {
    level: &'static Level,
    nodes: Vec<i32>,
    /// Angle of its voltages behind those of the first zone, rad.
    lag: f64,
    /// Zero-sequence currents find a way. Where not, unbalanced loads have many solutions, of
    /// which none is a network that anybody runs.
    grounded: bool,
}

impl Random {
    /// The network of a seed.
    #[must_use]
    pub fn input(&self, seed: u64) -> Data {
        let mut made = Maker {
            data: Data::default(),
            random: StdRng::seed_from_u64(seed),
            by_phase: self.by_phase,
        };
        let zones = made.random.random_range(1..=self.zones);
        let mut all: Vec<Zone> = Vec::new();
        for k in 0..zones {
            let level = if k == 0 {
                &LEVELS[made.random.random_range(0..2)]
            } else {
                &LEVELS[made.random.random_range(1..LEVELS.len())]
            };
            let mut zone = made.zone(level, self.nodes);
            zone.grounded = k == 0;
            all.push(zone);
            if k > 0 {
                let parent = made.random.random_range(0..k);
                made.feed(&mut all, parent);
            }
        }
        if zones > 2 && made.random.random_bool(0.3) {
            made.three_winding(&mut all, self.nodes);
        }
        made.sources(&mut all, self.sources_apart);
        for zone in &all {
            made.appliances(zone);
        }
        made.data
    }
}

/// Scenarios of changed loads, switch states, taps and sources of a network; the first changes
/// nothing.
#[must_use]
pub fn scenarios(input: &Data, count: usize, seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5eed);
    let changed = (1..count).map(|_| scenario(input, &mut random));
    update(std::iter::once(Map::new()).chain(changed).collect())
}

fn scenario(input: &Data, random: &mut StdRng) -> Map<String, Value> {
    let mut scenario = Map::new();
    for (component, rows) in &input.tables {
        let changed: Vec<Value> = (rows.iter())
            .filter_map(|row| change(component, row, random))
            .collect();
        if !changed.is_empty() {
            scenario.insert(component.clone(), json!(changed));
        }
    }
    scenario
}

/// A change to a component, now and then.
fn change(component: &str, row: &Value, random: &mut StdRng) -> Option<Value> {
    let id = &row["id"];
    match component {
        "sym_load" | "asym_load" | "sym_gen" | "asym_gen" => {
            if !random.random_bool(0.6) {
                return None;
            }
            let factor = random.random_range(0.2..1.2);
            let scaled = |value: &Value| match value {
                Value::Array(phases) => json!(
                    (phases.iter())
                        .map(|v| v.as_f64().unwrap_or(0.0) * factor)
                        .collect::<Vec<f64>>()
                ),
                one => json!(one.as_f64().unwrap_or(0.0) * factor),
            };
            let status = i32::from(random.random_bool(0.9));
            let (p, q) = (scaled(&row["p_specified"]), scaled(&row["q_specified"]));
            Some(json!({"id": id, "status": status, "p_specified": p, "q_specified": q}))
        }
        "line" | "asym_line" | "link" | "generic_branch" | "transformer" => {
            if !random.random_bool(0.1) {
                return None;
            }
            let mut change = json!({"id": id});
            let side = ["from_status", "to_status"][random.random_range(0..2)];
            change[side] = json!(1 - row[side].as_i64().unwrap_or(0));
            if component == "transformer" {
                let low = row["tap_min"].as_i64().unwrap_or(0);
                let high = row["tap_max"].as_i64().unwrap_or(0);
                change["tap_pos"] = json!(random.random_range(low.min(high)..=low.max(high)));
            }
            Some(change)
        }
        "three_winding_transformer" => random
            .random_bool(0.3)
            .then(|| json!({"id": id, "status_3": 1 - row["status_3"].as_i64().unwrap_or(0)})),
        "shunt" => (row["g1"] != 0.0 && random.random_bool(0.2))
            .then(|| json!({"id": id, "status": 1 - row["status"].as_i64().unwrap_or(0)})),
        "source" => Some(json!({"id": id, "u_ref": random.random_range(0.97..1.04)})),
        _ => None,
    }
}

struct Maker {
    data: Data,
    random: StdRng,
    by_phase: bool,
}

impl Maker {
    /// A tree of lines, some closed into loops, some ends open.
    fn zone(&mut self, level: &'static Level, most: usize) -> Zone {
        let count = self.random.random_range(1..=most);
        let nodes: Vec<i32> = (0..count)
            .map(|_| self.data.add("node", json!({"u_rated": level.u})))
            .collect();
        // Long feeders in some, short ones in others.
        let reach = self.random.random_range(1..=count);
        for k in 1..count {
            let parent = self.random.random_range(k.saturating_sub(reach)..k);
            self.branch(level, nodes[parent], nodes[k]);
        }
        let loops = if count > 2 && self.random.random_bool(0.5) {
            self.random.random_range(1..=count / 2)
        } else {
            0
        };
        for _ in 0..loops {
            let [a, b] = [(); 2].map(|()| self.random.random_range(0..count));
            if a != b {
                self.branch(level, nodes[a], nodes[b]);
            }
        }
        Zone {
            level,
            nodes,
            lag: 0.0,
            grounded: false,
        }
    }

    fn branch(&mut self, level: &Level, from: i32, to: i32) {
        let (component, mut row) = match self.random.random_range(0..20) {
            // Links of higher voltage, 1e10 times a load's admittance, leave power-grid-model no
            // digits to compare with.
            0 | 1 if level.u < 20e3 => ("link", json!({})),
            2..6 if self.by_phase => ("asym_line", parts::asym_line(level, &mut self.random)),
            2..6 => (
                "generic_branch",
                parts::generic_branch(level, &mut self.random),
            ),
            _ => ("line", parts::line(level, &mut self.random)),
        };
        row["from_node"] = json!(from);
        row["to_node"] = json!(to);
        row["from_status"] = json!(i32::from(self.random.random_bool(0.95)));
        row["to_status"] = json!(i32::from(self.random.random_bool(0.95)));
        self.data.add(component, row);
    }

    /// One or two alike transformers from a zone to the last one.
    fn feed(&mut self, zones: &mut [Zone], parent: usize) {
        let (last, before) = zones.split_last_mut().expect("a zone was just made");
        let parent = &before[parent];
        let mut kind = parts::connection(&mut self.random);
        // More of the usual than chance has it.
        while self.by_phase && !kind.grounds(parent.grounded) && self.random.random_bool(0.8) {
            kind = parts::connection(&mut self.random);
        }
        last.grounded = kind.grounds(parent.grounded);
        last.lag = parent.lag + f64::from(kind.clock) * PI / 6.0;
        let from = parent.nodes[self.random.random_range(0..parent.nodes.len())];
        let count = if self.random.random_bool(0.2) { 2 } else { 1 };
        let mut row = parts::transformer(parent.level, last.level, &kind, &mut self.random);
        for _ in 0..count {
            let to = last.nodes[self.random.random_range(0..last.nodes.len())];
            row["from_node"] = json!(from);
            row["to_node"] = json!(to);
            row["from_status"] = json!(i32::from(self.random.random_bool(0.97)));
            row["to_status"] = json!(i32::from(self.random.random_bool(0.97)));
            self.data.add("transformer", row.clone());
        }
    }

    /// Two more zones behind a three-winding transformer.
    fn three_winding(&mut self, zones: &mut Vec<Zone>, most: usize) {
        let parent = self.random.random_range(0..zones.len());
        let levels = [(); 2].map(|()| &LEVELS[self.random.random_range(1..LEVELS.len())]);
        let mut added = levels.map(|level| self.zone(level, most));
        let kinds = parts::connections(&mut self.random);
        let from = &zones[parent];
        let mut row =
            parts::three_winding([from.level, levels[0], levels[1]], &kinds, &mut self.random);
        row["node_1"] = json!(from.nodes[self.random.random_range(0..from.nodes.len())]);
        for (k, zone) in added.iter_mut().enumerate() {
            zone.lag = from.lag + f64::from(kinds.clocks[k]) * PI / 6.0;
            row[format!("node_{}", k + 2)] = json!(zone.nodes[0]);
        }
        for k in 1..=3 {
            row[format!("status_{k}")] = json!(i32::from(k == 1 || self.random.random_bool(0.9)));
        }
        self.data.add("three_winding_transformer", row);
        zones.extend(added);
    }

    /// One in the first zone, sometimes more, each at the angle that its zone has.
    fn sources(&mut self, zones: &mut [Zone], apart: bool) {
        let more = [0, 0, 0, 1, 2][self.random.random_range(0..5)];
        for k in 0..=more {
            let at = if k == 0 {
                0
            } else {
                self.random.random_range(0..zones.len())
            };
            let zone = &mut zones[at];
            let node = zone.nodes[self.random.random_range(0..zone.nodes.len())];
            let taken = self.data.rows("source").iter().any(|s| s["node"] == node);
            if apart && taken {
                continue;
            }
            let source = parts::source(zone.level, zone.lag, &mut self.random);
            zone.grounded = true;
            self.at("source", node, source);
        }
    }

    fn appliances(&mut self, zone: &Zone) {
        for &node in &zone.nodes {
            if self.by_phase && !zone.grounded {
                // At each, as switching may cut any off from the others.
                self.at("shunt", node, parts::earthing(zone.level));
            }
            for component in ["sym_load", "asym_load", "sym_gen", "asym_gen", "shunt"] {
                let by_phase = component.starts_with("asym");
                let likely = match component {
                    _ if by_phase && self.by_phase && !zone.grounded => 0.0,
                    "sym_load" | "asym_load" => 0.35,
                    _ => 0.12,
                };
                if self.random.random_bool(likely) {
                    let row = if component == "shunt" {
                        parts::shunt(zone.level, &mut self.random)
                    } else {
                        parts::appliance(zone.level, by_phase, &mut self.random)
                    };
                    self.at(component, node, row);
                }
            }
        }
    }

    fn at(&mut self, component: &str, node: i32, mut row: Value) {
        row["node"] = json!(node);
        self.data.add(component, row);
    }
}
