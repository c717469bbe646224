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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{market::clearing::Limit, network::pgm_json};

    /// Dyn11, three regulators of a phase each, and 300 m of cable.
    fn grid() -> Grid {
        let regulator = |id: u32, phase: &str| {
            json!({"id": id, "from_node": 2, "to_node": 3, "from_status": 1, "to_status": 1, "phases": phase,
                "r": 1e-4, "x": 2e-4, "tap_size": 5e-4})
        };
        let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
            "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 400.0}, {"id": 3, "u_rated": 400.0},
                {"id": 4, "u_rated": 400.0}],
            "source": [{"id": 10, "node": 1, "status": 1, "u_ref": 1.0, "sk": 1e8, "rx_ratio": 0.3, "z01_ratio": 1.0}],
            "transformer": [{"id": 20, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1, "u1": 10e3,
                "u2": 410.0, "sn": 4e5, "uk": 0.04, "pk": 4e3, "i0": 0.0, "p0": 0.0, "winding_from": 2,
                "winding_to": 1, "clock": 11, "tap_side": 0, "tap_pos": 0, "tap_min": -9, "tap_max": 9, "tap_size": 5.0}],
            "step_voltage_regulator": [regulator(31, "a"), regulator(32, "b"), regulator(33, "c")],
            "line": [{"id": 40, "from_node": 3, "to_node": 4, "from_status": 1, "to_status": 1, "r1": 0.06, "x1": 0.024,
                "c1": 0.0, "tan1": 0.0, "r0": 0.25, "x0": 0.1, "c0": 0.0, "tan0": 0.0, "i_n": 100.0}],
        }});
        Grid::new(&pgm_json::read(&network.to_string()).unwrap()).unwrap()
    }

    /// Sun in phases a and b, more than voltage in a lets in and than the conductor of b carries.
    fn case() -> Case {
        let unit = |id: u32| {
            json!({"id": id, "participant": "p", "node": 4, "dispatchable": true,
                "capability": {"p_min_w": 0.0, "p_max_w": 4e4, "q_max_var": 0.0}})
        };
        let order = |unit: u32| {
            json!({"id": unit, "client_id": "", "participant": "p", "unit": unit, "interval": 0, "direction": "sell",
                "steps": [{"quantity_w": 40_000, "price": 10_000_000}]})
        };
        let load = |phase: &str, p_w: f64| json!({"node": 4, "phase": phase, "p_w": p_w, "q_var": 0.3 * p_w});
        serde_json::from_value(
            json!({"duration_s": 900, "fixed": [], "units": [unit(51), unit(52)],
            "orders": [order(51), order(52)],
            "limits": {"u_min_pu": 0.9, "u_max_pu": 1.1, "nodes": [], "branches": []},
            "interface": [{"source": 10, "import_price": 60_000_000, "export_price": 30_000_000}],
            "controls": {"transformers": [20, 31, 32, 33], "shunts": [], "least_saving_per_h": 0.0},
            "by_phase": {"units": [{"unit": 51, "phase": "a"}, {"unit": 52, "phase": "b"}],
                "fixed": [load("a", -2e3), load("b", -1e4), load("c", -9e3)],
                "limits": [{"node": 4, "phase": "a", "u_min_pu": 0.9, "u_max_pu": 1.045}]}}),
        )
        .unwrap()
    }

    /// What a step is said to cost by phase is half of what two steps, one either way, change.
    #[test]
    fn a_step_by_phase_costs_what_it_is_said_to() {
        let (grid, case) = (grid(), case());
        let options = Options {
            tolerance: 1e-10,
            ..Options::default()
        };
        let controls = controls(&grid, &case).unwrap();
        let here = vec![0; controls.len()];
        let cleared = |grid: &Grid| {
            let found = clear_in_place(grid, &case, &options, Goal::of(&options), None).unwrap();
            assert_eq!(found.status, Status::Optimal);
            found
        };
        let moves = Moves {
            best: Tried {
                positions: here.clone(),
                clearing: Ok(cleared(&grid)),
            },
            grid: &grid,
            case: &case,
            options: &options,
            controls,
            iterations: 0,
            tried: 1,
        };
        let clearing = moves.best.clearing.as_ref().unwrap();
        let bound: Vec<_> = clearing.binding.iter().map(|of| of.limit).collect();
        assert!(bound.iter().any(|of| matches!(of, Limit::UMax { .. })));
        assert!(bound.iter().any(|of| matches!(of, Limit::Current { .. })));
        let mut told = 0;
        for k in 0..moves.controls.len() {
            let at = |step: i8| {
                let mut to = here.clone();
                to[k] += step;
                cleared(&moves.moved(&to).unwrap()).cost_per_h
            };
            let changed = 0.5 * (at(1) - at(-1));
            let said = moves.slope(clearing, &here, k).unwrap();
            println!("{:?} {said} {changed}", moves.controls[k]);
            assert!(
                (said - changed).abs() < 0.02 * changed.abs() + 1e-6,
                "{k}: {said} {changed}"
            );
            told += usize::from(changed.abs() > 1e-4);
        }
        assert!(told >= 3);
    }
}
