//! What loads and generators inject by phase, and how that follows the voltage: in wye from the
//! phases to ground, in delta from phase to phase (Kersting, "Distribution System Modeling and
//! Analysis", chapter 9).

use num_complex::Complex64;

use super::appliances::{self, Zip};
use crate::network::{Appliance, Connection, Grid, LEGS, LoadKind, PhaseGrid, Phases};
use crate::sparse::Block;

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// Voltage between two phases at 1 pu.
const LINE_TO_LINE: f64 = 1.732_050_807_568_877_2;

/// The appliances of each row, summed.
#[derive(Clone, Debug)]
pub(super) struct Injections {
    /// From the phases a, b, c to ground.
    wye: Wye,
    /// Of the legs ab, bc, ca.
    delta: Some3,
    /// Appliances that are an impedance where the voltage is low or high, with their row, by row.
    limited: Vec<(usize, Appliance, Phases)>,
}

/// Appliances from the phases to ground. Most are constant powers, and that is all an iteration
/// reads of their rows.
#[derive(Clone, Debug)]
struct Wye {
    power: Vec<Phases>,
    /// Constant currents and impedances.
    other: Some3,
}

/// What only some rows have, of each phase or leg.
#[derive(Clone, Debug)]
struct Some3 {
    /// Where in `zips` a row is; `NONE` if it is not, and empty where no row can ever be.
    place: Vec<u32>,
    zips: Vec<[Zip; 3]>,
}

/// A row that is nowhere.
const NONE: u32 = u32::MAX;

impl Some3 {
    /// None yet of `rows` rows, room for as many as `appliances` can take.
    fn new(rows: usize, appliances: usize) -> Self {
        Self {
            place: vec![NONE; if appliances > 0 { rows } else { 0 }],
            zips: Vec::with_capacity(rows.min(appliances)),
        }
    }

    fn clear(&mut self) {
        self.place.fill(NONE);
        self.zips.clear();
    }

    fn add(&mut self, row: usize, kind: LoadKind, s: &Phases) {
        if self.place[row] == NONE {
            self.place[row] = u32::try_from(self.zips.len())
                .expect("a network has fewer than 2^32 nodes: it fits in memory");
            self.zips.push([Zip::default(); 3]);
        }
        for (zip, &s) in self.zips[self.place[row] as usize].iter_mut().zip(s) {
            zip.add(kind, s);
        }
    }

    #[inline]
    fn get(&self, row: usize) -> Option<&[Zip; 3]> {
        let place = self.place.get(row).copied().unwrap_or(NONE);
        (place != NONE).then(|| &self.zips[place as usize])
    }
}

impl Wye {
    fn clear(&mut self) {
        self.power.fill([ZERO; 3]);
        self.other.clear();
    }

    fn add(&mut self, row: usize, kind: LoadKind, s: &Phases) {
        if kind != LoadKind::Power {
            return self.other.add(row, kind, s);
        }
        for (power, s) in self.power[row].iter_mut().zip(s) {
            *power += s;
        }
    }

    fn zips(&self, row: usize) -> [Zip; 3] {
        let mut zips = self.other.get(row).copied().unwrap_or_default();
        for (zip, &power) in zips.iter_mut().zip(&self.power[row]) {
            zip.power = power;
        }
        zips
    }

    #[inline]
    fn current(&self, row: usize, u: &Phases) -> Phases {
        let power = &self.power[row];
        let mut current = [ZERO; 3];
        // Most rows of a feeder have nothing, or one phase.
        for p in 0..3 {
            if power[p] != ZERO {
                current[p] = appliances::injected(power[p], u[p]);
            }
        }
        if let Some(other) = self.other.get(row) {
            for ((current, zip), &u) in current.iter_mut().zip(other).zip(u) {
                *current += zip.injected(u, 1.0);
            }
        }
        current
    }
}

/// Appliances between two phases, or a phase and ground.
#[derive(Clone, Copy)]
struct Leg {
    zip: Zip,
    from: usize,
    to: Option<usize>,
    /// Voltage across it, and where that is 1 pu.
    across: Complex64,
    rated: f64,
}

impl Injections {
    /// None at any of the grid's nodes.
    pub(super) fn new(grid: &Grid) -> Self {
        let n = grid.node_id.len();
        let delta = |a: &Appliance| a.connection == Connection::Delta;
        let deltas = grid.appliances.iter().filter(|a| delta(a)).count();
        let limited = grid.appliances.iter().filter(|a| is_limited(a)).count();
        Self {
            wye: Wye {
                power: vec![[ZERO; 3]; n],
                other: Some3::new(n, grid.appliances.len()),
            },
            delta: Some3::new(n, deltas),
            limited: Vec::with_capacity(limited),
        }
    }

    /// Adds constant powers from the phases to ground.
    pub(super) fn add(&mut self, powers: &[Phases], place: &[usize]) {
        for (&row, s) in place.iter().zip(powers) {
            self.wye.add(row, LoadKind::Power, s);
        }
    }

    /// Takes over the appliances as they are now; `place` is the row of each node. Allocates
    /// nothing.
    pub(super) fn follow(&mut self, grid: &Grid, phases: &PhaseGrid, place: &[usize]) {
        self.wye.clear();
        self.delta.clear();
        self.limited.clear();
        let appliances = grid.appliances.iter().zip(&phases.appliances);
        for (a, s) in appliances.filter(|(a, _)| a.closed) {
            if is_limited(a) {
                self.limited.push((place[a.node], a.clone(), *s));
                continue;
            }
            let row = place[a.node];
            match a.connection {
                Connection::Wye => self.wye.add(row, a.load_kind, s),
                Connection::Delta => self.delta.add(row, a.load_kind, s),
            }
        }
        self.limited
            .sort_unstable_by_key(|(row, a, _)| (*row, a.id));
    }

    /// Calls with each leg of row `i` that has a voltage across it, but for what is in `wye`.
    fn each_other_leg(&self, i: usize, u: &Phases, mut f: impl FnMut(&Leg)) {
        for (k, zip) in self.delta.get(i).into_iter().flatten().enumerate() {
            leg(Connection::Delta, k, u, |_| *zip)
                .iter()
                .for_each(&mut f);
        }
        if self.limited.is_empty() {
            return;
        }
        let first = self.limited.partition_point(|(row, ..)| *row < i);
        for (_, a, s) in self.limited[first..]
            .iter()
            .take_while(|(row, ..)| *row == i)
        {
            for (k, &s) in s.iter().enumerate() {
                leg(a.connection, k, u, |u| zip_at(a, s, u))
                    .iter()
                    .for_each(&mut f);
            }
        }
    }

    /// Current that the appliances of row `i` inject at its voltages `u`, pu.
    pub(super) fn current(&self, i: usize, u: &Phases) -> Phases {
        let mut current = self.wye.current(i, u);
        if self.delta.get(i).is_none() && self.limited.is_empty() {
            return current;
        }
        self.each_other_leg(i, u, |leg| {
            let injected = leg.zip.injected(leg.across, leg.rated);
            current[leg.from] += injected;
            if let Some(to) = leg.to {
                current[to] -= injected;
            }
        });
        current
    }

    /// Takes the derivative of [`current`](Self::current) by the real and imaginary parts of the
    /// voltages (three real parts first, then the imaginary ones) off a block.
    pub(super) fn subtract_slope(&self, i: usize, u: &Phases, block: &mut Block<6>) {
        let mut subtract_leg = |leg: &Leg| {
            let slope = leg.slope();
            let p = leg.from;
            subtract(block, (p, p), &slope, 1.0);
            if let Some(q) = leg.to {
                subtract(block, (q, q), &slope, 1.0);
                subtract(block, (p, q), &slope, -1.0);
                subtract(block, (q, p), &slope, -1.0);
            }
        };
        for (p, zip) in self.wye.zips(i).iter().enumerate() {
            leg(Connection::Wye, p, u, |_| *zip)
                .iter()
                .for_each(&mut subtract_leg);
        }
        self.each_other_leg(i, u, subtract_leg);
    }
}

impl Leg {
    /// Derivative of its current, `a du + b conj(du)`, as a real matrix on real and imaginary
    /// parts.
    fn slope(&self) -> [[f64; 2]; 2] {
        let (zip, u, rated) = (&self.zip, self.across, self.rated);
        let magnitude = u.norm();
        let half_current = zip.current.conj() * (0.5 / rated);
        let a = zip.impedance.conj() / (rated * rated) + half_current / magnitude;
        let b = -(zip.power.conj() + half_current * magnitude) / (u.conj() * u.conj());
        [[a.re + b.re, b.im - a.im], [a.im + b.im, a.re - b.re]]
    }
}

fn is_limited(a: &Appliance) -> bool {
    a.u_limits != (0.0, f64::INFINITY)
}

/// An appliance with the power `s` at 1 pu, at this voltage across it, pu.
fn zip_at(a: &Appliance, s: Complex64, u: f64) -> Zip {
    let (low, high) = a.u_limits;
    let mut zip = Zip::default();
    if u < low || u > high {
        let limit = if u < low { low } else { high };
        zip.add(LoadKind::Impedance, s / (limit * limit));
    } else {
        zip.add(a.load_kind, s);
    }
    zip
}

/// The `k`-th leg of a connection, with what is in it at its voltage, pu; none without voltage.
fn leg(connection: Connection, k: usize, u: &Phases, zip: impl Fn(f64) -> Zip) -> Option<Leg> {
    let (from, to, rated) = match connection {
        Connection::Wye => (k, None, 1.0),
        Connection::Delta => (LEGS[k].0, Some(LEGS[k].1), LINE_TO_LINE),
    };
    let across = u[from] - to.map_or(ZERO, |to| u[to]);
    // A phase that is not there has no voltage, and what stands between it and another neither.
    let absent = u[from] == ZERO || to.is_some_and(|to| u[to] == ZERO);
    if absent || across == ZERO {
        return None;
    }
    let zip = zip(across.norm_sqr().sqrt() / rated);
    Some(Leg {
        zip,
        from,
        to,
        across,
        rated,
    })
}

/// Power that each phase of an appliance with the powers `s` at 1 pu injects, pu; of one in delta,
/// what its terminals do.
pub(super) fn powers(appliance: &Appliance, s: &Phases, u: &Phases) -> Phases {
    let mut powers = [ZERO; 3];
    if !appliance.closed {
        return powers;
    }
    if appliance.connection == Connection::Wye && !is_limited(appliance) {
        return [0, 1, 2].map(|p| {
            let square = u[p].norm_sqr();
            match appliance.load_kind {
                // A phase that is not there takes nothing.
                LoadKind::Power if square > 0.0 => s[p],
                LoadKind::Power => ZERO,
                LoadKind::Current => s[p] * square.sqrt(),
                LoadKind::Impedance => s[p] * square,
            }
        });
    }
    for (k, &s) in s.iter().enumerate() {
        let Some(leg) = leg(appliance.connection, k, u, |u| zip_at(appliance, s, u)) else {
            continue;
        };
        let s = leg.zip.at(leg.across.norm_sqr().sqrt() / leg.rated);
        // Conjugate of the current through it; exact in wye.
        match leg.to {
            None => powers[leg.from] += s,
            Some(to) => {
                powers[leg.from] += u[leg.from] * (s / leg.across);
                powers[to] -= u[to] * (s / leg.across);
            }
        }
    }
    powers
}

/// Takes a slope, with a sign, off a block's entry for two phases.
fn subtract(block: &mut Block<6>, (p, q): (usize, usize), slope: &[[f64; 2]; 2], sign: f64) {
    for (i, row) in slope.iter().enumerate() {
        for (j, value) in row.iter().enumerate() {
            block[p + 3 * i][q + 3 * j] -= sign * value;
        }
    }
}
