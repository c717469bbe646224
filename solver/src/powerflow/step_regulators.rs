//! Step-voltage regulators and switched capacitors: power flows by phase with taps moved and
//! capacitors switched until every control rests.
//!
//! A regulator's relay sees the voltage behind its potential transformer less the drop of the
//! line-drop compensator, `U / PT - (R + jX) I / CT` (Kersting, "Distribution System Modeling and
//! Analysis", 4th ed., section 7.4). Outside the band it moves to the position that brings this
//! nearest to the set point; all move at once, and a power flow follows. Power from the load side
//! is regulated no other way. Capacitors switch once regulators rest.

use num_complex::Complex64;

use super::{AsymSolution, AsymTapSolver, PowerFlowError, TapStrategy, change_taps};
use crate::network::{Connection, Grid, Id, Phases, Shunt, Side, StepVoltageRegulator};

/// Moves, or switchings, after which a control counts as hunting.
const MOST_MOVES: usize = 40;

/// Moves the taps of transformers as [`change_taps`] does, those of step-voltage regulators and
/// switched capacitors, until all are settled, and gives the last power flow. The grid keeps the
/// positions found; without a working control it is solved once.
///
/// # Errors
/// A power flow has no solution, or a control does not come to rest.
pub fn regulate(
    grid: &mut Grid,
    strategy: TapStrategy,
    solver: &mut AsymTapSolver<'_>,
) -> Result<AsymSolution, PowerFlowError> {
    let mut moves = vec![0; grid.network().step_voltage_regulator.len()];
    let mut switchings = vec![0; grid.network().shunt.len()];
    loop {
        let solution = change_taps(grid, strategy, solver)?;
        let steps = tap_moves(grid, &solution, solver);
        for &(k, id, pos) in &steps {
            count(&mut moves[k], id)?;
            grid.set_tap(id, pos)
                .map_err(|_| PowerFlowError::TapsNotSettled { regulator: id })?;
        }
        if !steps.is_empty() {
            continue;
        }
        let switched = capacitor_switchings(grid, &solution);
        for &(k, id, closed) in &switched {
            count(&mut switchings[k], id)?;
            grid.set_shunt_status(id, closed)
                .map_err(|_| PowerFlowError::TapsNotSettled { regulator: id })?;
        }
        if switched.is_empty() {
            return Ok(solution);
        }
    }
}

fn count(moves: &mut usize, regulator: Id) -> Result<(), PowerFlowError> {
    *moves += 1;
    if *moves > MOST_MOVES {
        return Err(PowerFlowError::TapsNotSettled { regulator });
    }
    Ok(())
}

/// Row, id and new position of each regulator whose voltage is outside its band.
fn tap_moves(
    grid: &Grid,
    solution: &AsymSolution,
    solver: &AsymTapSolver<'_>,
) -> Vec<(usize, Id, i8)> {
    let mut moves = Vec::new();
    for (k, r) in grid.network().step_voltage_regulator.iter().enumerate() {
        let (Some(u_set), Some(u_band)) = (r.u_set, r.u_band) else {
            continue;
        };
        let Some(branch) = grid.index_of_branch(r.id).filter(|_| r.control_status != 0) else {
            continue;
        };
        let b = &grid.branches[branch];
        let live = r.phases.iter().all(|p| grid.live[b.to][p]);
        if !(b.from_closed && b.to_closed && live) {
            continue;
        }
        let current = solver.solver.current(grid, solution, (branch, Side::To));
        let relay = relay_voltage(grid, r, b.to, &solution.u[b.to], &current);
        if (relay - u_set).abs() <= 0.5 * u_band {
            continue;
        }
        let wanted = next_position(r, grid.u_rated[b.to], u_set - relay);
        if wanted != r.tap_pos {
            moves.push((k, r.id, wanted));
        }
    }
    moves
}

/// Part of the way to its set point that a regulator moves at once.
const PART: f64 = 0.7;

/// Position that a regulator moves to when its relay misses `missing` volts.
fn next_position(r: &StepVoltageRegulator, u_rated: f64, missing: f64) -> i8 {
    // Volts at the relay by which a step moves it.
    let step = u_rated / volts_per_phase(r) / r.pt_ratio.unwrap_or(1.0) * r.tap_size;
    let steps = (PART * (missing / step).abs().round()).floor().max(1.0);
    let wanted = f64::from(r.tap_pos) + steps.copysign(missing);
    let wanted = wanted.clamp(f64::from(r.tap_min), f64::from(r.tap_max));
    #[expect(clippy::cast_possible_truncation, reason = "clamped between two i8")]
    let wanted = wanted as i8;
    wanted
}

/// Rated line-to-line voltage over that of the winding.
fn volts_per_phase(r: &StepVoltageRegulator) -> f64 {
    match r.connection {
        Connection::Wye => 3.0_f64.sqrt(),
        Connection::Delta => 1.0,
    }
}

/// Voltage at the relay, V; `current` enters the regulator from the load side, pu.
fn relay_voltage(
    grid: &Grid,
    r: &StepVoltageRegulator,
    node: usize,
    u: &Phases,
    current: &Phases,
) -> f64 {
    let base = grid.u_rated[node] / 3.0_f64.sqrt();
    let mut phases = r.phases.iter();
    let own = phases.next().unwrap_or(0);
    let to = phases.next().filter(|_| r.connection == Connection::Delta);
    let across = (u[own] - to.map_or(Complex64::ZERO, |p| u[p])) * base;
    let i = current[own] * grid.base_current_a(node);
    let drop = match r.ct_rating {
        Some(ct) => Complex64::new(r.r_compensation, r.x_compensation) * i / ct,
        None => Complex64::ZERO,
    };
    (across / r.pt_ratio.unwrap_or(1.0) + drop).norm()
}

/// Row, id and new state of each capacitor that switches.
fn capacitor_switchings(grid: &Grid, solution: &AsymSolution) -> Vec<(usize, Id, bool)> {
    let mut switched = Vec::new();
    for (k, s) in grid.network().shunt.iter().enumerate() {
        let (Some(on), Some(off)) = (s.u_on, s.u_off) else {
            continue;
        };
        let Some(u) = shunt_voltage(grid, s, solution) else {
            continue;
        };
        let closed = s.status != 0;
        if !closed && u < on || closed && u > off {
            switched.push((k, s.id, !closed));
        }
    }
    switched
}

/// Mean voltage of the shunt's phases, V line to line; none where they are not all live.
fn shunt_voltage(grid: &Grid, s: &Shunt, solution: &AsymSolution) -> Option<f64> {
    let node = grid.index_of_node(s.node)?;
    let phases = s.phases.iter();
    if !phases.clone().all(|p| grid.live[node][p]) {
        return None;
    }
    let sum: f64 = phases.map(|p| solution.u[node][p].norm()).sum();
    Some(sum / s.phases.count() as f64 * grid.u_rated[node])
}
