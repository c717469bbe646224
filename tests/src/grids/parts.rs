//! Components with values at random, as large as is usual at their voltage.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// What is usual at a voltage.
pub(super) struct Level {
    /// Rated voltage, V.
    pub(super) u: f64,
    /// Apparent power of a large load, VA.
    load: f64,
    /// Rated power of a transformer to it, VA.
    transformer: f64,
    /// Impedance of a long line, ohm.
    z: f64,
}

/// Transmission down to low voltage.
pub(super) const LEVELS: [Level; 4] = [
    Level {
        u: 150e3,
        load: 8e6,
        transformer: 100e6,
        z: 8.0,
    },
    Level {
        u: 50e3,
        load: 2e6,
        transformer: 40e6,
        z: 4.0,
    },
    Level {
        u: 10.5e3,
        load: 2e5,
        transformer: 10e6,
        z: 0.6,
    },
    Level {
        u: 400.0,
        load: 5e3,
        transformer: 630e3,
        z: 0.05,
    },
];

/// Windings as power-grid-model numbers them.
const WYE: i8 = 0;
const WYE_N: i8 = 1;
const DELTA: i8 = 2;
const ZIGZAG: i8 = 3;
const ZIGZAG_N: i8 = 4;

/// Windings and clock of a transformer.
pub(super) struct Connection {
    pub(super) from: i8,
    pub(super) to: i8,
    pub(super) clock: i8,
}

impl Connection {
    /// Whether the to side has a way for zero-sequence currents, given the from side's.
    pub(super) fn grounds(&self, from_is_grounded: bool) -> bool {
        match (self.from, self.to) {
            (_, ZIGZAG_N) | (DELTA, WYE_N) => true,
            (WYE_N, WYE_N) => from_is_grounded,
            _ => false,
        }
    }
}

/// Windings and clocks of a three-winding transformer.
pub(super) struct Connections {
    windings: [i8; 3],
    pub(super) clocks: [i8; 2],
}

fn winding(random: &mut StdRng) -> i8 {
    *[WYE, WYE_N, WYE_N, DELTA, ZIGZAG, ZIGZAG_N]
        .choose(random)
        .expect("there are windings")
}

/// A clock that two windings can have: even between two wyes and between two others, else odd.
fn clock(from: i8, to: i8, random: &mut StdRng) -> i8 {
    let is_wye = |w| w == WYE || w == WYE_N;
    if is_wye(from) == is_wye(to) {
        2 * random.random_range(0..=6)
    } else {
        2 * random.random_range(0..6) + 1
    }
}

pub(super) fn connection(random: &mut StdRng) -> Connection {
    let (from, to) = (winding(random), winding(random));
    let clock = clock(from, to, random);
    Connection { from, to, clock }
}

pub(super) fn connections(random: &mut StdRng) -> Connections {
    let windings = [(); 3].map(|()| winding(random));
    let clocks = [1, 2].map(|k| clock(windings[0], windings[k], random));
    Connections { windings, clocks }
}

pub(super) fn line(level: &Level, random: &mut StdRng) -> Value {
    let length = random.random_range(0.02..1.0);
    let (r1, x1) = (random.random_range(0.2..1.0), random.random_range(0.1..1.0));
    let z = level.z * length;
    // Charging of a few thousandths of the load.
    let c1 = 1e-5 * level.load / level.u.powi(2) * random.random_range(0.1..1.0);
    json!({"r1": r1 * z, "x1": x1 * z, "c1": c1, "tan1": random.random_range(0.0..0.05),
           "r0": r1 * z * random.random_range(1.0..4.0), "x0": x1 * z * random.random_range(1.0..4.0),
           "c0": c1 * random.random_range(0.3..1.0), "tan0": random.random_range(0.0..0.05),
           "i_n": 2.0 * level.load / level.u})
}

/// With a neutral or without, with capacitances by phase or by sequence.
pub(super) fn asym_line(level: &Level, random: &mut StdRng) -> Value {
    let z = level.z * random.random_range(0.02..1.0);
    let mut row = json!({});
    let mut set = |names: &[&str], low: f64, high: f64, random: &mut StdRng| {
        for name in names {
            row[*name] = json!(random.random_range(low..high));
        }
    };
    set(
        &["r_aa", "r_bb", "r_cc", "x_aa", "x_bb", "x_cc"],
        0.6 * z,
        z,
        random,
    );
    set(&["r_ba", "r_ca", "r_cb"], 0.05 * z, 0.2 * z, random);
    set(&["x_ba", "x_ca", "x_cb"], 0.1 * z, 0.4 * z, random);
    if random.random_bool(0.5) {
        set(&["r_nn", "x_nn"], 0.6 * z, z, random);
        set(&["r_na", "r_nb", "r_nc"], 0.05 * z, 0.2 * z, random);
        set(&["x_na", "x_nb", "x_nc"], 0.1 * z, 0.4 * z, random);
    }
    let c = 1e-5 * level.load / level.u.powi(2);
    if random.random_bool(0.5) {
        set(&["c0"], 0.3 * c, 0.5 * c, random);
        set(&["c1"], 0.6 * c, c, random);
    } else {
        set(&["c_aa", "c_bb", "c_cc"], 0.6 * c, c, random);
        set(&["c_ba", "c_ca", "c_cb"], -0.2 * c, -0.1 * c, random);
    }
    row
}

pub(super) fn generic_branch(level: &Level, random: &mut StdRng) -> Value {
    let z = level.z * random.random_range(0.1..1.0);
    json!({"r1": 0.5 * z, "x1": z * random.random_range(0.2..1.0),
           "g1": 1e-4 * level.load / level.u.powi(2), "b1": -1e-3 * level.load / level.u.powi(2),
           "k": random.random_range(0.98..1.02), "theta": 0.0, "sn": 2.0 * level.load})
}

/// Losses and magnetisation; an impedance that follows the tap, zero-sequence magnetisation and
/// grounded neutrals now and then.
pub(super) fn transformer(
    from: &Level,
    to: &Level,
    kind: &Connection,
    random: &mut StdRng,
) -> Value {
    let sn = to.transformer;
    let uk = random.random_range(0.04..0.14);
    let pk = sn * uk * random.random_range(0.05..0.5);
    let mut row = json!({
        "u1": from.u * random.random_range(0.97..1.03), "u2": to.u * random.random_range(0.98..1.05),
        "sn": sn, "uk": uk, "pk": pk, "i0": random.random_range(0.002..0.01), "p0": 0.001 * sn,
        "winding_from": kind.from, "winding_to": kind.to, "clock": kind.clock,
    });
    taps(&mut row, from.u, random);
    if random.random_bool(0.3) {
        for (name, factor) in [("uk_min", 0.9), ("uk_max", 1.15)] {
            row[name] = json!(uk * factor);
        }
        for (name, factor) in [("pk_min", 0.95), ("pk_max", 1.1)] {
            row[name] = json!(pk * factor);
        }
    }
    if random.random_bool(0.3) {
        row["i0_zero_sequence"] = json!(random.random_range(0.01..0.5));
        row["p0_zero_sequence"] = json!(0.005 * sn);
    }
    if random.random_bool(0.3) {
        let ohm = 0.1 * to.u.powi(2) / sn;
        for name in [
            "r_grounding_from",
            "x_grounding_from",
            "r_grounding_to",
            "x_grounding_to",
        ] {
            row[name] = json!(ohm * random.random_range(0.0..1.0));
        }
    }
    row
}

fn taps(row: &mut Value, u: f64, random: &mut StdRng) {
    let (low, high) = if random.random_bool(0.2) {
        (5, -5)
    } else {
        (-5, 5)
    };
    row["tap_side"] = json!(0);
    row["tap_min"] = json!(low);
    row["tap_max"] = json!(high);
    row["tap_nom"] = json!(random.random_range(-1..=1));
    row["tap_pos"] = json!(random.random_range(-5..=5));
    row["tap_size"] = json!(u * 0.01);
}

pub(super) fn three_winding(
    levels: [&Level; 3],
    kinds: &Connections,
    random: &mut StdRng,
) -> Value {
    let sn = levels.map(|level| level.transformer.min(levels[0].transformer));
    let mut row = json!({
        "u1": levels[0].u, "u2": levels[1].u * 1.02, "u3": levels[2].u * 1.01,
        "sn_1": sn[0], "sn_2": sn[1], "sn_3": sn[2],
        "uk_12": random.random_range(0.08..0.12), "uk_13": random.random_range(0.1..0.14),
        "uk_23": random.random_range(0.06..0.1),
        "pk_12": 0.004 * sn[0].min(sn[1]), "pk_13": 0.004 * sn[0].min(sn[2]),
        "pk_23": 0.004 * sn[1].min(sn[2]),
        "i0": 0.004, "p0": 0.001 * sn[0],
        "winding_1": kinds.windings[0], "winding_2": kinds.windings[1],
        "winding_3": kinds.windings[2], "clock_12": kinds.clocks[0], "clock_13": kinds.clocks[1],
    });
    taps(&mut row, levels[0].u, random);
    let side = random.random_range(0..3);
    row["tap_side"] = json!(side);
    row["tap_size"] = json!(levels[side].u * 0.01);
    row
}

pub(super) fn source(level: &Level, lag: f64, random: &mut StdRng) -> Value {
    json!({"status": 1, "u_ref": random.random_range(0.99..1.03),
           "u_ref_angle": random.random_range(-0.01..0.01) - lag,
           "sk": level.transformer * 10.0_f64.powf(random.random_range(1.0..3.0)),
           "rx_ratio": random.random_range(0.05..0.5), "z01_ratio": random.random_range(0.5..3.0)})
}

/// Constant power, impedance or current.
pub(super) fn appliance(level: &Level, by_phase: bool, random: &mut StdRng) -> Value {
    let kind = random.random_range(0..3);
    let status = i32::from(random.random_bool(0.9));
    let power = |largest: f64, random: &mut StdRng| {
        if by_phase {
            json!([(); 3].map(|()| largest / 3.0 * random.random_range(0.0..1.0)))
        } else {
            json!(largest * random.random_range(0.0..1.0))
        }
    };
    let (p, q) = (power(level.load, random), power(0.4 * level.load, random));
    json!({"status": status, "type": kind, "p_specified": p, "q_specified": q})
}

pub(super) fn shunt(level: &Level, random: &mut StdRng) -> Value {
    let y = level.load / level.u.powi(2);
    json!({"status": i32::from(random.random_bool(0.8)), "g1": 0.05 * y,
           "b1": y * random.random_range(-0.5..0.5), "g0": 0.1 * y, "b0": y * random.random_range(-0.3..0.3)})
}

/// What a neutral grounded through a resistance is to a zone without one.
pub(super) fn earthing(level: &Level) -> Value {
    let y = level.load / level.u.powi(2);
    json!({"status": 1, "g1": 0.0, "b1": 0.0, "g0": 0.2 * y, "b0": -0.1 * y})
}
