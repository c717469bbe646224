//! What a programme need not decide: quantities so much dearer or cheaper than what they are worth that a
//! little change of prices makes no difference to them.
//!
//! What is held is checked against the prices that come of it; what they speak against is
//! for the next programme to decide. So nothing is lost but variables.

use num_complex::Complex64;

use super::{problem::Problem, programme::TIE_BREAK};

/// A block's worth is in doubt within this share of the price scale around its cost.
const DOUBT: f64 = 0.05;

/// Blocks that are not variables. (Free reactive power is hardly ever all of it in use, so it always is one.)
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Of each block, at what it is held; nothing for those that are variables.
    pub(super) at: Vec<Option<f64>>,
    /// Held wrongly once; not again.
    is_free: Vec<bool>,
}

impl Held {
    pub(super) fn nothing(problem: &Problem<'_>) -> Self {
        let blocks = problem.blocks.len();
        Self {
            at: vec![None; blocks],
            is_free: vec![false; blocks],
        }
    }

    /// Holds what prices at each balance leave no doubt of.
    pub(super) fn hold(&mut self, problem: &Problem<'_>, row: &[Complex64]) {
        let doubt = DOUBT * problem.price_scale;
        for ((block, at), is_free) in problem.blocks.iter().zip(&mut self.at).zip(&self.is_free) {
            let gain = block.gain(row);
            // What shares a unit's apparent power is not decided by its price alone.
            let is_decided = gain.abs() > doubt && block.unit.is_none() && !is_free;
            *at = is_decided.then_some(if gain > 0.0 { block.cap } else { 0.0 });
        }
    }

    /// Lets go of everything, for now; says whether there was any.
    pub(super) fn let_go(&mut self) -> bool {
        let any = self.at.iter().any(Option::is_some);
        self.at.fill(None);
        any
    }

    /// Lets go for good of what is held where prices are now against it; says whether there was any.
    pub(super) fn correct(&mut self, problem: &Problem<'_>, row: &[Complex64]) -> bool {
        let least = TIE_BREAK * problem.price_scale;
        let mut any = false;
        let held = self.at.iter_mut().zip(&mut self.is_free);
        for (block, (at, is_free)) in problem.blocks.iter().zip(held) {
            let side = at.map_or(0.0, |at| if at > 0.0 { 1.0 } else { -1.0 });
            if side * block.gain(row) < -least {
                (*at, *is_free, any) = (None, true, true);
            }
        }
        any
    }

    /// What all that is held costs, currency per h.
    pub(super) fn cost(&self, problem: &Problem<'_>) -> f64 {
        let held = problem.blocks.iter().zip(&self.at);
        held.map(|(of, at)| of.cost() * at.unwrap_or_default())
            .sum()
    }

    /// What is held of each block; nothing of those that are variables.
    pub(super) fn fill(&self) -> Vec<f64> {
        self.at.iter().map(|at| at.unwrap_or_default()).collect()
    }
}
