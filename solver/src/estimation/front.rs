//! Fronts of the factorisation: the rows that meet in one column, and what of them goes on.

use super::factor::{Equation, Least, Pivot, Weight};
use super::layout::Pattern;

/// The rows that meet in one column, triangular over that column and those it is coupled to.
#[derive(Default)]
pub(super) struct Front {
    pub(super) size: usize,
    /// Rows of unit upper triangular form, the unit not stored.
    pub(super) r: Vec<f64>,
    pub(super) d: Vec<f64>,
    pub(super) t: Vec<f64>,
    pub(super) pivot: Vec<Pivot>,
    /// The row being added.
    work: Vec<f64>,
    /// A pivot below this fraction of its row's largest entry is rounding.
    rank: f64,
    /// How firmly its first column has to be determined.
    least: Least,
}

impl Front {
    pub(super) fn reset(&mut self, size: usize, rank: f64, least: Least) {
        self.size = size;
        self.rank = rank;
        self.least = least;
        self.r.clear();
        self.r.resize(size * size, 0.0);
        self.pivot.clear();
        self.pivot.resize(size, Pivot::Free);
        for values in [&mut self.d, &mut self.t, &mut self.work] {
            values.clear();
            values.resize(size, 0.0);
        }
    }

    /// Frees the first column if what determines it weighs too little.
    pub(super) fn forget_weak(&mut self) {
        if self.pivot[0] == Pivot::Finite && self.d[0] < self.least.weight {
            self.pivot[0] = Pivot::Free;
            self.r[..self.size].fill(0.0);
        }
    }

    pub(super) fn add(&mut self, row: &[(usize, f64)], place: &[usize], equation: &Equation) {
        for &(column, value) in row {
            self.work[place[column]] += value;
        }
        let scale = self
            .work
            .iter()
            .fold(0.0_f64, |scale, x| scale.max(x.abs()));
        if scale > 0.0 {
            // Among themselves, constraints are rotated as if each had its own scale for sigma.
            let w = match equation.weight {
                Weight::Exact | Weight::Candidate(_) => 1.0 / (scale * scale),
                Weight::Finite(w) => w,
            };
            self.rotate(0, equation.rhs, equation.weight.kind(), w, scale);
        }
    }

    /// Rotates the row in `work`, which begins at `first`, into the triangle.
    fn rotate(&mut self, first: usize, mut rhs: f64, kind: Pivot, mut w: f64, scale: f64) {
        for k in first..self.size {
            let x = std::mem::take(&mut self.work[k]);
            if x == 0.0 {
                continue;
            }
            let row = &mut self.r[k * self.size + k + 1..(k + 1) * self.size];
            let rest = &mut self.work[k + 1..];
            if self.pivot[k] == Pivot::Free {
                let candidate = matches!(kind, Pivot::Candidate(_));
                let weak = candidate && w * x * x < self.least.candidate;
                if weak || x.abs() <= self.rank * scale {
                    continue;
                }
                for (r, y) in row.iter_mut().zip(rest) {
                    *r = std::mem::take(y) / x;
                }
                self.t[k] = rhs / x;
                self.d[k] = w * x * x;
                self.pivot[k] = kind;
                return;
            }
            // An exact row is not moved by a finite one, and no row by a candidate.
            let (c, s) = if self.pivot[k] == kind {
                let d = self.d[k] + w * x * x;
                let cs = (self.d[k] / d, w * x / d);
                w *= cs.0;
                self.d[k] = d;
                cs
            } else {
                (1.0, 0.0)
            };
            for (r, y) in row.iter_mut().zip(rest) {
                let before = *r;
                *r = c * before + s * *y;
                *y -= x * before;
            }
            let t = self.t[k];
            self.t[k] = c * t + s * rhs;
            rhs -= x * t;
        }
    }

    /// What is left when the first row is taken: the front of column `k` without it.
    pub(super) fn below(&self, k: usize) -> Triangle {
        let rows = 1..self.size;
        Triangle {
            of: k,
            r: rows
                .clone()
                .flat_map(|i| &self.r[i * self.size + i + 1..(i + 1) * self.size])
                .copied()
                .collect(),
            d: self.d[rows.clone()].to_vec(),
            t: self.t[rows.clone()].to_vec(),
            pivot: self.pivot[rows].to_vec(),
        }
    }
}

/// Rows passed on from column `of`, over the columns it is coupled to.
pub(super) struct Triangle {
    of: usize,
    /// Packed by rows, without the units.
    r: Vec<f64>,
    d: Vec<f64>,
    t: Vec<f64>,
    pivot: Vec<Pivot>,
}

impl Triangle {
    /// Adds its rows of one kind to the front of its parent.
    pub(super) fn merge(&self, pattern: &Pattern, place: &[usize], kind: Pivot, front: &mut Front) {
        for i in (0..self.pivot.len()).filter(|&i| self.pivot[i] == kind) {
            self.pass(i, pattern, place, front);
        }
    }

    /// Adds row `i` to the front of its parent.
    pub(super) fn pass(&self, i: usize, pattern: &Pattern, place: &[usize], front: &mut Front) {
        let columns = pattern.columns(self.of);
        let size = columns.len();
        let start = i * size - i * (i + 1) / 2;
        let row = &self.r[start..start + size - i - 1];
        let first = place[columns[i]];
        front.work[first] = 1.0;
        let mut scale = 1.0_f64;
        for (&value, &column) in row.iter().zip(&columns[i + 1..]) {
            front.work[place[column]] = value;
            scale = scale.max(value.abs());
        }
        front.rotate(first, self.t[i], self.pivot[i], self.d[i], scale);
    }
}

/// A candidate's row on its way into a front.
pub(super) enum CandidateRow<'a> {
    Passed(&'a Triangle, usize),
    Own(&'a Equation),
}

/// The candidates that meet in a front, by number: the same order in every front is what makes the
/// lowest numbers win.
pub(super) fn candidates<'a>(
    children: &'a [Triangle],
    own: impl Iterator<Item = &'a Equation>,
) -> Vec<CandidateRow<'a>> {
    let mut rows = Vec::new();
    for child in children {
        for (i, pivot) in child.pivot.iter().enumerate() {
            if let Pivot::Candidate(number) = *pivot {
                rows.push((number, CandidateRow::Passed(child, i)));
            }
        }
    }
    for equation in own {
        if let Weight::Candidate(number) = equation.weight {
            rows.push((number, CandidateRow::Own(equation)));
        }
    }
    rows.sort_by_key(|&(number, _)| number);
    rows.into_iter().map(|(_, row)| row).collect()
}
