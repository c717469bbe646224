//! A made-up feeder of the class of the IEEE 8500-node test feeder (Arritt and Dugan, "The IEEE
//! 8500-node test feeder", 2010): a substation's transformer, a trunk of three phases, laterals of
//! one, two and three that branch into fewer, loads of one household each in wye and delta,
//! capacitors. As there, a node is one phase of a bus.

use std::f64::consts::TAU;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;

use super::data::Data;

/// Line to line, V.
const U: f64 = 12.47e3;
/// Buses of the trunk, and the last of them that the next one may be connected to.
const TRUNK: usize = 250;
const NEAR: usize = 6;
/// Buses of a lateral at most.
const LATERAL: usize = 40;
const METRES_PER_MILE: f64 = 1609.344;

/// A line's series impedance, ohm per mile, and shunt susceptance, microsiemens per mile at 60 Hz: lower
/// triangle over its phases.
struct Conductors {
    r: &'static [f64],
    x: &'static [f64],
    b: &'static [f64],
}

/// Configurations 601, 602, 603 and 605 of the IEEE 13-node test feeder (Kersting, "Radial
/// distribution test feeders", 2001).
const TRUNK_LINE: Conductors = Conductors {
    r: &[0.3465, 0.1560, 0.3375, 0.1580, 0.1535, 0.3414],
    x: &[1.0179, 0.5017, 1.0478, 0.4236, 0.3849, 1.0348],
    b: &[6.2998, -1.9958, 5.9597, -1.2595, -0.7417, 5.6386],
};
const THREE: Conductors = Conductors {
    r: &[0.7526, 0.1580, 0.7475, 0.1560, 0.1535, 0.7436],
    x: &[1.1814, 0.4236, 1.1983, 0.5017, 0.3849, 1.2112],
    b: &[5.6990, -1.0817, 5.1795, -1.6905, -0.6588, 5.4246],
};
const TWO: Conductors = Conductors {
    r: &[1.3294, 0.2066, 1.3238],
    x: &[1.3471, 0.4591, 1.3569],
    b: &[4.7097, -0.8999, 4.6658],
};
const ONE: Conductors = Conductors {
    r: &[1.3292],
    x: &[1.3475],
    b: &[4.5193],
};

/// A bus and the phases it has.
#[derive(Clone)]
struct Bus {
    node: i32,
    phases: Vec<usize>,
}

struct Maker {
    data: Data,
    random: StdRng,
    /// Phases of buses so far.
    nodes: usize,
}

/// The feeder of about this many nodes, and how many it has.
#[must_use]
pub fn feeder(nodes: usize, seed: u64) -> (Data, usize) {
    let mut made = Maker {
        data: Data::default(),
        random: StdRng::seed_from_u64(seed),
        nodes: 0,
    };
    let trunk = made.trunk();
    while made.nodes < nodes {
        let from = trunk[made.random.random_range(0..trunk.len())].clone();
        made.lateral(from, nodes);
    }
    (made.data, made.nodes)
}

impl Maker {
    fn bus(&mut self, u_rated: f64, phases: &[usize]) -> Bus {
        self.nodes += phases.len();
        Bus {
            node: self.data.add("node", json!({ "u_rated": u_rated })),
            phases: phases.to_vec(),
        }
    }

    /// The source, its transformer and the trunk's buses.
    fn trunk(&mut self) -> Vec<Bus> {
        let all = [0, 1, 2];
        let (high, first) = (self.bus(115e3, &all), self.bus(U, &all));
        self.data.add(
            "source",
            json!({"node": high.node, "status": 1, "u_ref": 1.05, "u_ref_angle": 0.0, "sk": 1e9,
                   "rx_ratio": 0.1, "z01_ratio": 1.0}),
        );
        let sn = 27.5e6;
        self.data.add(
            "transformer",
            json!({"from_node": high.node, "to_node": first.node, "from_status": 1, "to_status": 1,
                   "u1": 115e3, "u2": U, "sn": sn, "uk": 0.1, "pk": 0.005 * sn, "i0": 0.0, "p0": 0.0,
                   "winding_from": 1, "winding_to": 1, "clock": 0, "tap_side": 0, "tap_pos": 0,
                   "tap_min": 0, "tap_max": 0, "tap_size": 0.0}),
        );
        let mut trunk = vec![first];
        for k in 1..TRUNK {
            let from = trunk[trunk.len() - 1 - self.random.random_range(0..NEAR.min(k))].clone();
            let bus = self.beyond(&from, &all, &TRUNK_LINE);
            if k % 50 == 25 {
                self.capacitor(&bus, 150e3);
            }
            trunk.push(bus);
        }
        trunk
    }

    /// A tree of buses from one of the trunk.
    fn lateral(&mut self, from: Bus, nodes: usize) {
        let count = [1, 1, 1, 2, 3][self.random.random_range(0..5)];
        let mut buses = vec![Bus {
            phases: self.some_of(&from.phases, count),
            ..from
        }];
        for _ in 0..self.random.random_range(LATERAL / 4..LATERAL) {
            if self.nodes >= nodes {
                break;
            }
            let last = buses.len() - 1;
            let at = last - self.random.random_range(0..=last.min(3));
            let from = buses[at].clone();
            let mut phases = from.phases.clone();
            if phases.len() > 1 && self.random.random_bool(0.1) {
                phases = self.some_of(&phases, phases.len() - 1);
            }
            let line = [&ONE, &TWO, &THREE][phases.len() - 1];
            let bus = self.beyond(&from, &phases, line);
            if self.random.random_bool(0.5) {
                self.load(&bus);
            }
            if self.random.random_bool(0.005) {
                self.capacitor(&bus, 10e3);
            }
            buses.push(bus);
        }
    }

    fn some_of(&mut self, phases: &[usize], count: usize) -> Vec<usize> {
        let mut chosen = phases.to_vec();
        chosen.shuffle(&mut self.random);
        chosen.truncate(count);
        chosen.sort_unstable();
        chosen
    }

    /// A bus at the end of a line.
    fn beyond(&mut self, from: &Bus, phases: &[usize], line: &Conductors) -> Bus {
        let to = self.bus(U, phases);
        let miles = self.random.random_range(20.0..150.0) / METRES_PER_MILE;
        let mut row = json!({"from_node": from.node, "to_node": to.node, "from_status": 1,
                             "to_status": 1, "i_n": 400.0, "phases": names(phases)});
        let pairs = (0..phases.len()).flat_map(|i| (0..=i).map(move |j| (i, j)));
        for (k, (i, j)) in pairs.enumerate() {
            let name = names(&[phases[i], phases[j]]);
            row[format!("r_{name}")] = json!(line.r[k] * miles);
            row[format!("x_{name}")] = json!(line.x[k] * miles);
            row[format!("c_{name}")] = json!(line.b[k] * 1e-6 / (TAU * 60.0) * miles);
        }
        self.data.add("asym_line", row);
        to
    }

    /// Of this power a phase, var.
    fn capacitor(&mut self, bus: &Bus, q: f64) {
        let b = 3.0 * q / (U * U);
        let mut row = json!({"node": bus.node, "status": 1, "g1": 0.0, "b1": b});
        if bus.phases.len() == 3 {
            (row["g0"], row["b0"]) = (json!(0.0), json!(b));
        } else {
            row["phases"] = json!(names(&bus.phases));
        }
        self.data.add("shunt", row);
    }

    /// Households behind a service transformer; between phases where there are two.
    fn load(&mut self, bus: &Bus) {
        let delta = bus.phases.len() > 1 && self.random.random_bool(0.4);
        let has = |p: usize| bus.phases.contains(&p);
        let taking = [0, 1, 2].map(|p| has(p) && (!delta || has((p + 1) % 3)));
        let (mut p, mut q) = ([0.0; 3], [0.0; 3]);
        for k in (0..3).filter(|&k| taking[k]) {
            p[k] = self.random.random_range(1e3..6e3);
            q[k] = p[k] * self.random.random_range(0.1..0.5);
        }
        let kind = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2][self.random.random_range(0..10)];
        let mut row = json!({"node": bus.node, "status": 1, "type": kind, "p_specified": p,
                             "q_specified": q});
        if delta {
            row["connection"] = json!("delta");
        }
        self.data.add("asym_load", row);
    }
}

/// As attributes spell phases; the later one first in a pair, as they are given here.
fn names(phases: &[usize]) -> String {
    phases.iter().map(|&p| ['a', 'b', 'c'][p]).collect()
}
