//! Automatic tap changing: power flows with the taps moved until every regulated voltage is in its
//! band, or its tap at the end of its range.
//!
//! Transformers nearer to a source settle first: regulators are ranked by the regulated
//! transformers between them and a source, a rank moves when those before it rest, and a power
//! flow is solved after each move (power-grid-model documentation, "Calculations", automatic tap
//! changing). Line-drop compensation: the voltage beyond an impedance from the control side.

use num_complex::Complex64;

use super::{AsymPowerFlow, AsymSolution, Options, PowerFlow, PowerFlowError, Solution, flows};
use crate::network::{Grid, Id, Phases, RegulatedTaps, S_BASE_VA, Side};

/// Which tap to choose where several keep the voltage in its band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapStrategy {
    /// The first found, moving tap by tap from the present position.
    Any,
    /// The one of the lowest voltage.
    Min,
    /// The one of the highest voltage.
    Max,
    /// The first found, halving the range.
    FastAny,
}

/// A power flow that tap changing can run again and again.
pub trait TapSolver {
    /// What it finds.
    type Solution;
    /// Solves the grid as it is now. Not from the solution of other positions: at the end of
    /// its range a tap may have drawn that to the lower of two voltages, and it would stay there.
    ///
    /// # Errors
    /// No solution.
    fn solve(&mut self, grid: &Grid) -> Result<Self::Solution, PowerFlowError>;
    /// Voltage beyond an impedance `z`, pu, in front of the end of a branch, the phases' mean, pu.
    fn voltage_beyond(
        &self,
        grid: &Grid,
        solution: &Self::Solution,
        end: (usize, Side),
        z: Complex64,
    ) -> f64;
}

/// Node of a branch's end.
fn node_of(grid: &Grid, (branch, side): (usize, Side)) -> usize {
    match side {
        Side::From => grid.branches[branch].from,
        Side::To => grid.branches[branch].to,
    }
}

/// The symmetric power flow for tap changing.
pub struct SymTapSolver<'a> {
    /// The power flow, made for the grid.
    pub solver: &'a mut PowerFlow,
    /// How it iterates, and when a power flow stops.
    pub options: Options,
}

impl TapSolver for SymTapSolver<'_> {
    type Solution = Solution;

    fn solve(&mut self, grid: &Grid) -> Result<Solution, PowerFlowError> {
        self.solver.run(grid, &[], None, &self.options)
    }

    fn voltage_beyond(
        &self,
        grid: &Grid,
        solution: &Solution,
        end: (usize, Side),
        z: Complex64,
    ) -> f64 {
        let u = solution.u[node_of(grid, end)];
        let [from, to] = flows::ends(&grid.branches[end.0], &solution.u);
        let i = if end.1 == Side::From { from.i } else { to.i };
        (u + z * i).norm()
    }
}

/// The power flow by phase for tap changing.
pub struct AsymTapSolver<'a> {
    /// The power flow, made for the grid.
    pub solver: &'a mut AsymPowerFlow,
    /// How it iterates, and when a power flow stops.
    pub options: Options,
}

impl TapSolver for AsymTapSolver<'_> {
    type Solution = AsymSolution;

    fn solve(&mut self, grid: &Grid) -> Result<AsymSolution, PowerFlowError> {
        self.solver.run(grid, None, &self.options)
    }

    fn voltage_beyond(
        &self,
        grid: &Grid,
        solution: &AsymSolution,
        end: (usize, Side),
        z: Complex64,
    ) -> f64 {
        let u: &Phases = &solution.u[node_of(grid, end)];
        let i = self.solver.current(grid, solution, end);
        let beyond = u.iter().zip(&i).map(|(u, i)| (u + z * i).norm());
        beyond.sum::<f64>() / 3.0
    }
}

/// A regulator at work.
struct Regulator {
    id: Id,
    transformer: Id,
    taps: RegulatedTaps,
    /// 1 or -1: position times this is the step, and the controlled voltage falls as steps rise.
    direction: i16,
    /// End of the branch at the control side.
    control: (usize, Side),
    u_low: f64,
    u_high: f64,
    z: Complex64,
    rank: usize,
    /// Steps that halving has left.
    low: i16,
    high: i16,
}

impl Regulator {
    fn step(&self, pos: i8) -> i16 {
        i16::from(pos) * self.direction
    }

    fn range(&self) -> (i16, i16) {
        let (a, b) = (self.step(self.taps.min), self.step(self.taps.max));
        (a.min(b), a.max(b))
    }

    /// Whether the voltage is above (1), in (0) or below (-1) the band.
    fn compare(&self, u: f64) -> i8 {
        if u > self.u_high {
            1
        } else if u < self.u_low {
            -1
        } else {
            0
        }
    }

    /// The next step, tap by tap.
    fn next(&self, above: i8) -> i16 {
        let (first, last) = self.range();
        (self.step(self.taps.pos) + i16::from(above)).clamp(first, last)
    }

    /// The next step, halving what is left; none when nothing is, short of the range's end.
    fn halve(&mut self, above: i8) -> Option<i16> {
        let step = self.step(self.taps.pos);
        let (first, last) = self.range();
        if step == (if above > 0 { last } else { first }) {
            return Some(step);
        }
        if above > 0 {
            self.low = step;
        } else {
            self.high = step;
        }
        match self.high - self.low {
            // The one end that has not been tried, if it has not.
            1 if above > 0 && self.high == last => Some(last),
            1 if above < 0 && self.low == first => Some(first),
            left if left <= 1 => None,
            left => Some(self.low + left / 2),
        }
    }
}

/// Moves the taps of the grid's regulated transformers until all is settled, and gives the last
/// power flow. The grid keeps the positions found; without a working regulator it is solved once.
///
/// # Errors
/// A power flow has no solution, or no position keeps a voltage in its band: then the positions
/// are those tried last.
pub fn change_taps<S: TapSolver>(
    grid: &mut Grid,
    strategy: TapStrategy,
    solver: &mut S,
) -> Result<S::Solution, PowerFlowError> {
    let mut regulators = working(grid);
    let halving = strategy == TapStrategy::FastAny;
    let end = match strategy {
        TapStrategy::Min => Some(1),
        TapStrategy::Max => Some(-1),
        _ => None,
    };
    if let Some(toward) = end {
        // All to the end of the range beyond the band, then back into it.
        for r in &mut regulators {
            let (first, last) = r.range();
            let at = if toward > 0 { last } else { first };
            set(grid, r, at)?;
        }
    }
    let solution = settle(grid, &mut regulators, halving, solver)?;
    let Some(toward) = end.filter(|_| !regulators.is_empty()) else {
        return Ok(solution);
    };
    // Moves downstream may have left room upstream.
    for r in &mut regulators {
        let at = r.next(toward);
        set(grid, r, at)?;
    }
    settle(grid, &mut regulators, false, solver)
}

/// Moves until nothing moves.
fn settle<S: TapSolver>(
    grid: &mut Grid,
    regulators: &mut [Regulator],
    halving: bool,
    solver: &mut S,
) -> Result<S::Solution, PowerFlowError> {
    let ranks = regulators.iter().map(|r| r.rank + 1).max().unwrap_or(0);
    let mut most = vec![0; ranks];
    for r in regulators.iter_mut() {
        let (first, last) = r.range();
        most[r.rank] = most[r.rank].max(2 * (last - first));
        (r.low, r.high) = (first, last);
    }
    let mut moves = vec![0; ranks];
    let mut solution = solver.solve(grid)?;
    'solved: loop {
        for rank in 0..ranks {
            let mut moved = None;
            for r in regulators.iter_mut().filter(|r| r.rank == rank) {
                let node = node_of(grid, r.control);
                let above = if grid.energised[node] {
                    r.compare(solver.voltage_beyond(grid, &solution, r.control, r.z))
                } else {
                    0
                };
                if above == 0 {
                    continue;
                }
                let to = if halving {
                    r.halve(above)
                } else {
                    Some(r.next(above))
                };
                let to = to.ok_or(PowerFlowError::TapsNotSettled { regulator: r.id })?;
                if to != r.step(r.taps.pos) {
                    set(grid, r, to)?;
                    moved = Some(r.id);
                }
            }
            if let Some(regulator) = moved {
                moves[rank] += 1;
                if moves[rank] > most[rank] {
                    return Err(PowerFlowError::TapsNotSettled { regulator });
                }
                // What comes after starts anew.
                moves[rank + 1..].fill(0);
                for r in regulators.iter_mut().filter(|r| r.rank > rank) {
                    (r.low, r.high) = r.range();
                }
                solution = solver.solve(grid)?;
                continue 'solved;
            }
        }
        return Ok(solution);
    }
}

fn set(grid: &mut Grid, r: &mut Regulator, step: i16) -> Result<(), PowerFlowError> {
    let failed = PowerFlowError::TapsNotSettled { regulator: r.id };
    let Ok(pos) = i8::try_from(step * r.direction) else {
        return Err(failed);
    };
    r.taps.pos = pos;
    grid.set_tap(r.transformer, pos).map_err(|_| failed)
}

/// The regulators that work, with their ranks.
fn working(grid: &Grid) -> Vec<Regulator> {
    let mut regulators = Vec::new();
    for r in grid
        .network()
        .transformer_tap_regulator
        .iter()
        .filter(|r| r.status != 0)
    {
        let (Some(taps), Some(u_set), Some(u_band)) = (grid.regulated(r), r.u_set, r.u_band) else {
            continue;
        };
        let side = usize::try_from(r.control_side).unwrap_or(0);
        let end = |side: usize| Some((taps.arms.get(side).copied()??, taps.ends[side]));
        let (Some(control), Some(tap)) = (end(side), end(taps.tap_side)) else {
            continue;
        };
        let closed = |(branch, end): (usize, Side)| match end {
            Side::From => grid.branches[branch].from_closed,
            Side::To => grid.branches[branch].to_closed,
        };
        if !closed(control) || !closed(tap) {
            continue;
        }
        let u_rated = grid.u_rated[node_of(grid, control)];
        let (r_drop, x_drop) = (r.line_drop_compensation_r, r.line_drop_compensation_x);
        let z = Complex64::new(r_drop.unwrap_or(0.0), x_drop.unwrap_or(0.0));
        regulators.push(Regulator {
            id: r.id,
            transformer: r.regulated_object,
            taps,
            // More turns at its own side lower the other side's voltage and raise their own.
            direction: if (taps.max > taps.min) == (side != taps.tap_side) {
                1
            } else {
                -1
            },
            control,
            u_low: (u_set - 0.5 * u_band) / u_rated,
            u_high: (u_set + 0.5 * u_band) / u_rated,
            z: z * (S_BASE_VA / (u_rated * u_rated)),
            rank: 0,
            low: 0,
            high: 0,
        });
    }
    rank(grid, &mut regulators);
    regulators
}

/// Regulated transformers between each regulator's transformer and the nearest source; regulators
/// that no source reaches are dropped.
fn rank(grid: &Grid, regulators: &mut Vec<Regulator>) {
    let mut weight = vec![0_usize; grid.branches.len()];
    for r in regulators.iter() {
        if let Some(k) = r.taps.arms[r.taps.tap_side] {
            weight[k] = 1;
        }
    }
    let mut distance = vec![usize::MAX; grid.node_id.len()];
    for s in grid.sources.iter().filter(|s| s.closed) {
        distance[s.node] = 0;
    }
    // Bellman-Ford: few rounds, since most branches weigh nothing and files go downstream.
    let mut changed = true;
    while changed {
        changed = false;
        for (b, weight) in grid.branches.iter().zip(&weight) {
            if !(b.from_closed && b.to_closed) {
                continue;
            }
            for (near, far) in [(b.from, b.to), (b.to, b.from)] {
                let through = distance[near].saturating_add(*weight);
                if through < distance[far] {
                    distance[far] = through;
                    changed = true;
                }
            }
        }
    }
    regulators.retain_mut(|r| {
        let arms = r.taps.arms.iter().flatten();
        let ends = arms.flat_map(|&k| [grid.branches[k].from, grid.branches[k].to]);
        let nearest = ends.map(|n| distance[n]).min().unwrap_or(usize::MAX);
        r.rank = nearest;
        nearest < usize::MAX
    });
}
