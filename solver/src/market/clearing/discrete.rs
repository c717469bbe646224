//! Taps and capacitors: what moves in steps.
//!
//! Where all combinations are few, each is cleared. Where they are many, the search goes from
//! position to position: by the envelope theorem, the cost of the optimum changes with a tap as the
//! Lagrangian does at fixed voltages and multipliers, so that one clearing ranks every move; the most
//! promising ones are cleared, the best of them is taken, and so on. What is not cleared is not believed. By phase
//! it ends where no single step saves anything.

use std::borrow::Cow;

use super::{
    Case, Clearing, ClearingError, Options, Position, Status,
    clear::clear_in_place,
    lagrangian::{ByPhase, lagrangian},
    search::Goal,
};
use crate::network::{Element, Grid, Id, StepVoltageRegulator};

/// Combinations up to which all are cleared.
const ALL: usize = 16;
/// Moves cleared in each round, the most promising ones.
const PROMISING: usize = 3;
/// Clearings at most.
const MOST: u32 = 60;

#[derive(Clone, Copy, Debug)]
enum What {
    Tap,
    /// Of a step-voltage regulator.
    Regulator,
    Shunt,
}

/// Something that moves in steps.
#[derive(Clone, Copy, Debug)]
struct Control {
    what: What,
    id: Id,
    low: i8,
    high: i8,
    now: i8,
}

impl Control {
    fn set(&self, grid: &mut Grid, position: i8) -> Result<(), ClearingError> {
        let (what, set) = match self.what {
            What::Tap | What::Regulator => ("transformer", grid.set_tap(self.id, position)),
            What::Shunt => ("shunt", grid.set_shunt_status(self.id, position != 0)),
        };
        set.map_err(|_| ClearingError::UnknownControl { what, id: self.id })
    }
}

/// The network with taps and capacitors where a clearing puts them.
pub(super) fn positioned<'a>(
    grid: &'a Grid,
    positions: &[Position],
) -> Result<Cow<'a, Grid>, ClearingError> {
    if positions.is_empty() {
        return Ok(Cow::Borrowed(grid));
    }
    let mut moved = grid.clone();
    for position in positions {
        let control = match moved.element(position.element) {
            Some(Element::Shunt(_)) => shunt(grid, position.element),
            _ => transformer(grid, position.element),
        };
        control?.set(&mut moved, position.to)?;
    }
    Ok(Cow::Owned(moved))
}

fn transformer(grid: &Grid, id: Id) -> Result<Control, ClearingError> {
    let network = grid.network();
    if let Some(of) = regulator(grid, id) {
        return Ok(Control {
            what: What::Regulator,
            id,
            low: of.tap_min.min(of.tap_max),
            high: of.tap_max.max(of.tap_min),
            now: of.tap_pos,
        });
    }
    let (now, (low, high)) = match grid.element(id) {
        Some(Element::ThreeWinding(k)) => {
            let of = &network.three_winding_transformer[k];
            (of.tap_pos, (of.tap_min, of.tap_max))
        }
        _ => {
            let of = network.transformer.iter().find(|of| of.id == id);
            let what = "transformer";
            let of = of.ok_or(ClearingError::UnknownControl { what, id })?;
            (of.tap_pos, (of.tap_min, of.tap_max))
        }
    };
    Ok(Control {
        what: What::Tap,
        id,
        low: low.min(high),
        high: high.max(low),
        now,
    })
}

fn regulator(grid: &Grid, id: Id) -> Option<&StepVoltageRegulator> {
    let mut regulators = grid.network().step_voltage_regulator.iter();
    regulators.find(|of| of.id == id)
}

fn shunt(grid: &Grid, id: Id) -> Result<Control, ClearingError> {
    let of = grid.network().shunt.iter().find(|of| of.id == id);
    let of = of.ok_or(ClearingError::UnknownControl { what: "shunt", id })?;
    Ok(Control {
        what: What::Shunt,
        id,
        low: 0,
        high: 1,
        now: of.status,
    })
}

fn controls(grid: &Grid, case: &Case) -> Result<Vec<Control>, ClearingError> {
    let of = &case.controls;
    let taps = of.transformers.iter().map(|&id| transformer(grid, id));
    let shunts = of.shunts.iter().map(|&id| shunt(grid, id));
    let mut controls: Vec<Control> = taps.chain(shunts).collect::<Result<_, _>>()?;
    // So that the sequence makes no difference.
    controls.sort_by_key(|of| of.id);
    if let Some(pair) = controls.windows(2).find(|pair| pair[0].id == pair[1].id) {
        let (what, id) = ("control", pair[0].id.into());
        return Err(ClearingError::Duplicate { what, id });
    }
    if !(of.least_saving_per_h >= 0.0 && of.least_saving_per_h.is_finite()) {
        return Err(ClearingError::BadValue {
            what: "least saving of a step".to_owned(),
            value: of.least_saving_per_h,
            expected: "finite and at least 0",
        });
    }
    Ok(controls)
}

/// Positions with what they lead to.
struct Tried {
    positions: Vec<i8>,
    clearing: Result<Clearing, ClearingError>,
}

impl Tried {
    /// Harm first, then cost with what the moves have to save. No operating point is worst.
    fn rank(&self, controls: &[Control], least_saving: f64) -> (f64, f64) {
        let Ok(clearing) = &self.clearing else {
            return (f64::INFINITY, f64::INFINITY);
        };
        let check = &clearing.ac_check;
        let harm = match clearing.status {
            // As the curtailment order weighs them.
            Status::LeastViolation { .. } => 10.0 * check.violation_u_pu + check.violation_rating,
            _ => 0.0,
        };
        let moves = controls.iter().zip(&self.positions);
        let steps: i32 = moves
            .map(|(of, &to)| (i32::from(of.now) - i32::from(to)).abs())
            .sum();
        (harm, clearing.cost_per_h + least_saving * f64::from(steps))
    }
}

struct Moves<'a> {
    grid: &'a Grid,
    case: &'a Case,
    options: &'a Options,
    controls: Vec<Control>,
    best: Tried,
    iterations: u32,
    tried: u32,
}

/// Clears at the best positions found.
pub(super) fn clear(
    grid: &Grid,
    case: &Case,
    options: &Options,
) -> Result<Clearing, ClearingError> {
    let controls = controls(grid, case)?;
    let here: Vec<i8> = controls.iter().map(|of| of.now).collect();
    let clearing = clear_in_place(grid, case, options, Goal::of(options), None);
    if let Err(error) = &clearing
        && !matches!(error, ClearingError::NoOperatingPoint { .. })
    {
        return clearing;
    }
    let mut moves = Moves {
        iterations: clearing.as_ref().map_or(0, |of| of.iterations),
        best: Tried {
            positions: here,
            clearing,
        },
        grid,
        case,
        options,
        controls,
        tried: 1,
    };
    let count = |of: &Control| usize::from(of.high.abs_diff(of.low)) + 1;
    let combinations = moves.controls.iter().map(count);
    if combinations.fold(1, usize::saturating_mul) <= ALL {
        moves.try_all()?;
    } else {
        moves.descend()?;
    }
    let Moves {
        controls,
        best,
        iterations,
        ..
    } = moves;
    let mut clearing = best.clearing?;
    clearing.iterations = iterations;
    let moved = controls.iter().zip(best.positions);
    clearing.positions = moved
        .filter(|(of, to)| of.now != *to)
        .map(|(of, to)| Position {
            element: of.id,
            from: of.now,
            to,
        })
        .collect();
    Ok(clearing)
}

impl Moves<'_> {
    fn moved(&self, positions: &[i8]) -> Result<Grid, ClearingError> {
        let mut grid = self.grid.clone();
        for (control, &to) in self.controls.iter().zip(positions) {
            if to != control.now {
                control.set(&mut grid, to)?;
            }
        }
        Ok(grid)
    }

    /// Clears at some positions; says whether they are the best so far.
    fn attempt(&mut self, positions: Vec<i8>) -> Result<bool, ClearingError> {
        let grid = self.moved(&positions)?;
        let clearing = clear_in_place(&grid, self.case, self.options, Goal::of(self.options), None);
        self.tried += 1;
        self.iterations += clearing.as_ref().map_or(0, |of| of.iterations);
        let tried = Tried {
            positions,
            clearing,
        };
        let least = self.case.controls.least_saving_per_h;
        let (harm, cost) = tried.rank(&self.controls, least);
        let (best_harm, best_cost) = self.best.rank(&self.controls, least);
        // Less by more than the search's tolerance: a move has to be good for something.
        let tolerance = 10.0 * self.options.tolerance * (1.0 + best_cost.abs());
        let is_better = harm < best_harm - 1e-6
            || (harm <= best_harm && (cost < best_cost - tolerance || best_cost.is_infinite()))
                && cost.is_finite();
        if is_better {
            self.best = tried;
        }
        Ok(is_better)
    }

    fn try_all(&mut self) -> Result<(), ClearingError> {
        let here: Vec<i8> = self.controls.iter().map(|of| of.now).collect();
        let mut positions: Vec<i8> = self.controls.iter().map(|of| of.low).collect();
        loop {
            if positions != here {
                self.attempt(positions.clone())?;
            }
            // Counts up, the first control fastest.
            let mut controls = self.controls.iter().zip(&mut positions);
            let next = controls.find_map(|(of, at)| {
                let is_last = *at == of.high;
                *at = if is_last { of.low } else { *at + 1 };
                (!is_last).then_some(())
            });
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn descend(&mut self) -> Result<(), ClearingError> {
        self.move_together()?;
        loop {
            let from = self.best.positions.clone();
            let mut last = None;
            for (k, step) in self.promising(&from)? {
                if self.tried >= MOST {
                    return Ok(());
                }
                let mut to = from.clone();
                to[k] += step;
                if self.attempt(to)? {
                    last = Some((k, step));
                }
            }
            let Some((k, mut step)) = last else {
                if self.step_anywhere()? {
                    continue;
                }
                return Ok(());
            };
            // What helped once may help again; a regulator, which has many positions, by twice as much.
            while self.tried < MOST {
                let of = &self.controls[k];
                if let What::Regulator = of.what {
                    step = step.saturating_mul(2);
                }
                let mut to = self.best.positions.clone();
                to[k] = to[k].saturating_add(step).clamp(of.low, of.high);
                if to == self.best.positions || !self.attempt(to)? {
                    break;
                }
            }
        }
    }

    /// Moves all regulators together for as long as that helps, by twice as much each time: a limit that all phases
    /// violate is violated as much when one of them does less.
    fn move_together(&mut self) -> Result<(), ClearingError> {
        for mut step in [-1i8, 1] {
            while self.tried < MOST {
                let mut to = self.best.positions.clone();
                for (of, to) in self.controls.iter().zip(&mut to) {
                    if let What::Regulator = of.what {
                        *to = to.saturating_add(step).clamp(of.low, of.high);
                    }
                }
                if to == self.best.positions || !self.attempt(to)? {
                    break;
                }
                step = step.saturating_mul(2);
            }
        }
        Ok(())
    }

    /// By phase, where taps of phases work against each other, the first single step that saves anything, whatever
    /// the prices promise of it. Says whether there is one.
    fn step_anywhere(&mut self) -> Result<bool, ClearingError> {
        if self.case.by_phase.is_none() {
            return Ok(false);
        }
        for k in 0..self.controls.len() {
            for step in [-1, 1] {
                let of = &self.controls[k];
                let mut to = self.best.positions.clone();
                to[k] = to[k].saturating_add(step).clamp(of.low, of.high);
                if self.tried >= MOST {
                    return Ok(false);
                }
                if to != self.best.positions && self.attempt(to)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Single steps worth clearing, the most promising first.
    fn promising(&self, from: &[i8]) -> Result<Vec<(usize, i8)>, ClearingError> {
        let mut steps: Vec<(f64, usize, i8)> = Vec::new();
        // Prices that were cut, or none, do not tell which way is better: then all are tried.
        let priced = match &self.best.clearing {
            Ok(of) if !matches!(of.status, Status::LeastViolation { .. }) => Some(of),
            _ => None,
        };
        for (k, control) in self.controls.iter().enumerate() {
            let slope = match priced {
                Some(clearing) => self.slope(clearing, from, k)?,
                None => 0.0,
            };
            for step in [-1, 1] {
                let saving = -slope * f64::from(step);
                let to = from[k].saturating_add(step);
                let is_within = to != from[k] && (control.low..=control.high).contains(&to);
                if is_within && (priced.is_none() || saving > 0.0) {
                    steps.push((saving, k, step));
                }
            }
        }
        // Stable, so that equal ones stay in the order of their ids.
        steps.sort_by(|a, b| b.0.total_cmp(&a.0));
        let most = if priced.is_some() {
            PROMISING
        } else {
            steps.len()
        };
        let promising = steps.into_iter().take(most);
        Ok(promising.map(|(_, k, step)| (k, step)).collect())
    }

    /// What one step up costs, to first order, currency per h.
    fn slope(&self, clearing: &Clearing, from: &[i8], k: usize) -> Result<f64, ClearingError> {
        let control = &self.controls[k];
        let at = |to: i8| {
            let mut positions = from.to_vec();
            positions[k] = to;
            let grid = self.moved(&positions)?;
            Ok(match self.case.by_phase {
                None => lagrangian(&grid, clearing),
                Some(_) => ByPhase::new(&grid, clearing).map_or(0.0, |of| of.of_all()),
            })
        };
        let up = from[k].saturating_add(1).min(control.high);
        let down = from[k].saturating_sub(1).max(control.low);
        if up == down {
            return Ok(0.0);
        }
        if let What::Regulator = control.what {
            let grid = self.moved(from)?;
            let ratio = regulator(&grid, control.id).map(|of| {
                let at = |tap_pos| {
                    StepVoltageRegulator {
                        tap_pos,
                        ..of.clone()
                    }
                    .ratio()
                    .ln()
                };
                (at(down) - at(up)) / (f64::from(up) - f64::from(down))
            });
            let slope = ByPhase::new(&grid, clearing)
                .zip(grid.index_of_branch(control.id))
                .map(|(of, branch)| of.by_ratio(branch));
            return Ok(ratio.zip(slope).map_or(0.0, |(ratio, slope)| ratio * slope));
        }
        Ok((at(up)? - at(down)?) / (f64::from(up) - f64::from(down)))
    }
}
