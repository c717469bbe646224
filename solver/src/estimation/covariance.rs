//! Variances of what follows from the unknowns.
//!
//! From the entries of the inverse within the factor's pattern (Takahashi, Fagan and Chen, 1973)
//! they are sums of terms of both signs, which at links and very short lines cancel to the last
//! digit. There they come from the factor itself, one at a time, as a sum of squares along the
//! path of the elimination tree: dearer, and exact to rounding.

use std::cell::RefCell;

use super::factor::{Factor, Pivot, SelectedInverse};
use super::layout::Pattern;

/// Largest entry of the factor up to which the inverse's entries keep their digits: the square of
/// it is lost.
const STIFF: f64 = 1e5;

/// Covariance of the unknowns, free ones taken as certain.
pub(super) enum Covariance {
    /// Entries of it.
    Entries(SelectedInverse),
    /// Its factor.
    Factor(Stiff),
}

/// A factor, and place to solve with it.
pub(super) struct Stiff {
    r: Vec<f64>,
    d: Vec<f64>,
    pivot: Vec<Pivot>,
    work: RefCell<Vec<f64>>,
}

impl Covariance {
    /// That of a factor's unknowns.
    pub(super) fn new(factor: &Factor, pattern: &Pattern) -> Self {
        let (r, d, pivot) = factor.parts();
        match r.iter().all(|r| r.abs() <= STIFF) {
            true => Self::Entries(factor.inverse(pattern)),
            false => Self::Factor(Stiff {
                r: r.to_vec(),
                d: d.to_vec(),
                pivot: pivot.to_vec(),
                work: RefCell::new(vec![0.0; pattern.len()]),
            }),
        }
    }

    /// Variance of a combination of unknowns whose columns are mutually coupled in the pattern.
    pub(super) fn of(&self, pattern: &Pattern, row: &[(usize, f64)]) -> f64 {
        match self {
            Self::Entries(inverse) => inverse.quadratic_form(pattern, row),
            Self::Factor(factor) => factor.of(pattern, row),
        }
    }
}

impl Stiff {
    fn of(&self, pattern: &Pattern, row: &[(usize, f64)]) -> f64 {
        let mut y = self.work.borrow_mut();
        for &(column, value) in row {
            y[column] += value;
        }
        let mut variance = 0.0;
        let mut next = row.iter().map(|&(column, _)| column).min();
        // Columns that are mutually coupled are on one path to the root.
        while let Some(k) = next {
            let own = std::mem::take(&mut y[k]);
            if self.pivot[k] == Pivot::Finite {
                variance += own * own / self.d[k];
            }
            for place in pattern.row(k) {
                y[pattern.column(place)] -= self.r[place] * own;
            }
            next = pattern.columns(k).first().copied();
        }
        variance
    }
}
