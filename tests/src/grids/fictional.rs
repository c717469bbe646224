//! A distribution network as power-grid-model's own benchmark makes them up: a source at 150 kV,
//! two transformers, medium-voltage feeders of stations, each with a transformer and two
//! low-voltage feeders of unbalanced connections.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::data::{Data, update};
use super::sensors::normal;

/// Connections of a low-voltage feeder.
const CONNECTIONS: usize = 7;
/// Low-voltage feeders of a station.
const LV_FEEDERS: usize = 2;

/// Dimensions of a network.
#[derive(Clone, Copy, Debug)]
pub struct Fictional {
    /// Medium-voltage feeders.
    pub feeders: usize,
    /// Stations of each.
    pub stations: usize,
    /// Ties between feeders and between low-voltage feeders, all closed.
    pub meshed: bool,
}

/// A cable: resistance, reactance, ohm per km, in positive and zero sequence; capacitance in each,
/// microfarad per km; rated current, A.
struct Cable {
    r1: f64,
    x1: f64,
    r0: f64,
    x0: f64,
    c1: f64,
    c0: f64,
    i_n: f64,
}

const MV_CABLE: Cable = Cable {
    r1: 0.13,
    x1: 0.09,
    r0: 0.5,
    x0: 0.3,
    c1: 0.35,
    c0: 0.3,
    i_n: 400.0,
};
const LV_CABLE: Cable = Cable {
    r1: 0.21,
    x1: 0.08,
    r0: 0.85,
    x0: 0.35,
    c1: 0.6,
    c0: 0.4,
    i_n: 250.0,
};

impl Fictional {
    /// The network of about this many nodes.
    #[must_use]
    pub fn of_size(nodes: usize, meshed: bool) -> Self {
        let stations = nodes as f64 / (2 + LV_FEEDERS * CONNECTIONS) as f64;
        let per_feeder = stations.sqrt().floor().max(1.0);
        Self {
            feeders: (stations / per_feeder).round().max(1.0) as usize,
            stations: per_feeder as usize,
            meshed,
        }
    }

    /// The network.
    #[must_use]
    pub fn input(&self, seed: u64) -> Data {
        let mut made = Maker {
            data: Data::default(),
            random: StdRng::seed_from_u64(seed),
            meshed: self.meshed,
        };
        let bus = made.substation(self);
        let feeders: Vec<Vec<i32>> = (0..self.feeders)
            .map(|_| made.feeder(bus, self.stations))
            .collect();
        if self.meshed {
            // The ends of neighbours make rings; a tie half way makes meshes of rings.
            for pair in feeders.windows(2) {
                let (end, middle) = (self.stations - 1, self.stations / 2);
                made.line(pair[0][end], pair[1][end], &MV_CABLE, 0.5);
                made.line(pair[0][middle], pair[1][middle], &MV_CABLE, 0.5);
            }
        }
        made.data
    }
}

/// How loads and generators differ from one scenario to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Each value is drawn anew, evenly between 30 % and 100 % of what the input has.
    Redrawn,
    /// Each value starts like that and then goes on from where it was, by 2 % of itself (standard
    /// deviation): what a second of a feeder is at most.
    Walk,
}

/// Step of a walk, of the value itself.
const WALK: f64 = 0.02;

/// Scenarios of other values for every load and generator.
#[must_use]
pub fn load_scenarios(input: &Data, count: usize, seed: u64, course: Course) -> String {
    let mut factors = Factors {
        random: StdRng::seed_from_u64(seed),
        course,
        last: Vec::new(),
        next: 0,
    };
    let scenarios = (0..count)
        .map(|_| {
            factors.next = 0;
            let mut scenario = Map::new();
            for component in ["sym_load", "asym_load", "sym_gen", "asym_gen"] {
                let rows: Vec<Value> = (input.rows(component).iter())
                    .map(|row| {
                        let p = factors.scaled(&row["p_specified"]);
                        let q = factors.scaled(&row["q_specified"]);
                        json!({"id": row["id"], "p_specified": p, "q_specified": q})
                    })
                    .collect();
                if !rows.is_empty() {
                    scenario.insert(component.to_owned(), json!(rows));
                }
            }
            scenario
        })
        .collect();
    update(scenarios)
}

/// What part of each value of the input a scenario has.
struct Factors {
    random: StdRng,
    course: Course,
    /// Of the scenario before, as far as this one has come of itself.
    last: Vec<f64>,
    next: usize,
}

impl Factors {
    fn draw(&mut self) -> f64 {
        let last = self.last.get(self.next).copied();
        let factor = match (self.course, last) {
            (Course::Walk, Some(last)) => last * (1.0 + WALK * normal(&mut self.random)),
            _ => self.random.random_range(0.3..1.0),
        };
        match last {
            Some(_) => self.last[self.next] = factor,
            None => self.last.push(factor),
        }
        self.next += 1;
        factor
    }

    /// A number, or those of the phases.
    fn scaled(&mut self, value: &Value) -> Value {
        let mut scale = |v: &Value| v.as_f64().unwrap_or(0.0) * self.draw();
        match value {
            Value::Array(phases) => json!(phases.iter().map(scale).collect::<Vec<f64>>()),
            one => json!(scale(one)),
        }
    }
}

struct Maker {
    data: Data,
    random: StdRng,
    meshed: bool,
}

impl Maker {
    fn node(&mut self, u_rated: f64) -> i32 {
        self.data.add("node", json!({ "u_rated": u_rated }))
    }

    /// The source and its transformers; the medium-voltage bus.
    fn substation(&mut self, size: &Fictional) -> i32 {
        let (high, bus) = (self.node(150e3), self.node(10.5e3));
        self.data.add(
            "source",
            json!({"node": high, "status": 1, "u_ref": 1.03, "u_ref_angle": 0.0, "sk": 8e9,
                   "rx_ratio": 0.1, "z01_ratio": 1.0}),
        );
        // A tenth of a megawatt for each station, and as much in reserve.
        let sn = 10e6_f64.max(0.1e6 * (size.feeders * size.stations) as f64);
        for _ in 0..2 {
            self.data.add(
                "transformer",
                json!({"from_node": high, "to_node": bus, "from_status": 1, "to_status": 1,
                       "u1": 150e3, "u2": 10.5e3, "sn": sn, "uk": 0.16, "pk": 0.004 * sn,
                       "i0": 0.001, "p0": 0.0007 * sn, "winding_from": 1, "winding_to": 1,
                       "clock": 0, "tap_side": 0, "tap_pos": 2, "tap_min": -10, "tap_max": 10,
                       "tap_nom": 0, "tap_size": 2.5e3}),
            );
        }
        bus
    }

    /// A feeder; its stations' medium-voltage nodes.
    fn feeder(&mut self, bus: i32, stations: usize) -> Vec<i32> {
        let mut nodes = Vec::with_capacity(stations);
        let mut last = bus;
        for _ in 0..stations {
            let node = self.node(10.5e3);
            let km = self.random.random_range(0.2..0.9);
            self.line(last, node, &MV_CABLE, km);
            self.station(node);
            nodes.push(node);
            last = node;
        }
        nodes
    }

    fn line(&mut self, from: i32, to: i32, cable: &Cable, km: f64) {
        self.data.add(
            "line",
            json!({"from_node": from, "to_node": to, "from_status": 1, "to_status": 1,
                   "r1": cable.r1 * km, "x1": cable.x1 * km, "c1": cable.c1 * 1e-6 * km, "tan1": 0.0,
                   "r0": cable.r0 * km, "x0": cable.x0 * km, "c0": cable.c0 * 1e-6 * km, "tan0": 0.0,
                   "i_n": cable.i_n}),
        );
    }

    fn station(&mut self, mv: i32) {
        let lv = self.node(400.0);
        self.data.add(
            "transformer",
            json!({"from_node": mv, "to_node": lv, "from_status": 1, "to_status": 1,
                   "u1": 10.5e3, "u2": 420.0, "sn": 400e3, "uk": 0.04, "pk": 3.25e3, "i0": 0.002,
                   "p0": 430.0, "winding_from": 2, "winding_to": 1, "clock": 5, "tap_side": 0,
                   "tap_pos": 3, "tap_min": 1, "tap_max": 5, "tap_nom": 3, "tap_size": 250.0}),
        );
        if self.random.random_bool(0.3) {
            let (p, q) = (self.random.random_range(2e4..1e5), 1e4);
            self.data
                .add("sym_load", appliance(mv, 0, json!(p), json!(q)));
        }
        let ends: Vec<i32> = (0..LV_FEEDERS).map(|_| self.low_voltage(lv)).collect();
        if self.meshed {
            self.line(ends[0], ends[1], &LV_CABLE, 0.05);
        }
    }

    /// A low-voltage feeder; its end.
    fn low_voltage(&mut self, bus: i32) -> i32 {
        let mut last = bus;
        for _ in 0..CONNECTIONS {
            let node = self.node(400.0);
            let km = self.random.random_range(0.01..0.05);
            self.line(last, node, &LV_CABLE, km);
            self.connection(node);
            last = node;
        }
        last
    }

    /// A household on one phase or on three; now and then a roof full of solar cells.
    fn connection(&mut self, node: i32) {
        let kind = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2][self.random.random_range(0..10)];
        let mut p = [0.0; 3];
        if self.random.random_bool(0.6) {
            p[self.random.random_range(0..3)] = self.random.random_range(500.0..4e3);
        } else {
            p = std::array::from_fn(|_| self.random.random_range(200.0..2e3));
        }
        let q = p.map(|p: f64| p * self.random.random_range(0.0..0.4));
        self.data
            .add("asym_load", appliance(node, kind, json!(p), json!(q)));
        if self.random.random_bool(0.15) {
            let p = self.random.random_range(1e3..6e3);
            self.data
                .add("sym_gen", appliance(node, 0, json!(p), json!(0.0)));
        }
    }
}

fn appliance(node: i32, kind: i32, p: Value, q: Value) -> Value {
    json!({"node": node, "status": 1, "type": kind, "p_specified": p, "q_specified": q})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_on_from_where_it_was() {
        let input = Fictional::of_size(300, false).input(1);
        let powers = |course| -> Vec<Vec<f64>> {
            let update = load_scenarios(&input, 5, 1, course);
            let update: Value = serde_json::from_str(&update).expect("it is JSON");
            let scenarios = update["data"].as_array().expect("scenarios").iter();
            scenarios
                .map(|s| {
                    let rows = s["sym_gen"].as_array().expect("generators").iter();
                    rows.filter_map(|r| r["p_specified"].as_f64()).collect()
                })
                .collect()
        };
        // Root mean square of what a value changes by, relative.
        let change = |powers: &[Vec<f64>]| {
            let pairs = powers.windows(2).flat_map(|w| w[0].iter().zip(&w[1]));
            let squares: Vec<f64> = pairs.map(|(a, b)| (b / a - 1.0).powi(2)).collect();
            assert!(squares.len() > 100);
            (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
        };
        let walked = change(&powers(Course::Walk));
        assert!((0.015..0.025).contains(&walked), "{walked}");
        assert!(change(&powers(Course::Redrawn)) > 0.2);
    }
}
