//! Orthogonal factorisation of the weighted measurement rows by Givens rotations without square
//! roots: `G = R' D R` with unit upper triangular `R`.
//!
//! Gentleman, "Least squares computations by Givens transformations without square roots" (1973),
//! in fronts along the elimination tree (Liu, "On general row merging schemes for sparse Givens
//! transformations", 1986): rows meet in the front of their first column, and only a triangle
//! goes on. The gain matrix is never formed, so weights may differ by many orders of magnitude.
//! Equality constraints are rows of infinite weight, as in Gentleman: they go first and
//! eliminate exactly. A column no row determines is left free, which is the test of observability
//! (Abur and Gómez-Expósito, section 4.5). Entries of the inverse within the pattern by
//! Takahashi, Fagan and Chen (1973).

use super::layout::Pattern;

/// A pivot below this fraction of its row's largest entry is rounding, not information.
const RANK_TOLERANCE: f64 = 1e-9;

/// How much a row of equations counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weight {
    /// Infinitely: an equality constraint.
    Exact,
    /// The inverse of a variance.
    Finite(f64),
}

/// What determines an unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pivot {
    /// Nothing.
    Free,
    /// A constraint.
    Exact,
    /// Measurements.
    Finite,
}

/// An equation as given, its entries in the factor's list.
struct Equation {
    entries: std::ops::Range<usize>,
    rhs: f64,
    weight: Weight,
}

/// The triangular factor and its right-hand side.
pub(super) struct Factor {
    r: Vec<f64>,
    d: Vec<f64>,
    t: Vec<f64>,
    pivot: Vec<Pivot>,
    entries: Vec<(usize, f64)>,
    equations: Vec<Equation>,
}

impl Factor {
    pub(super) fn new(pattern: &Pattern) -> Self {
        let n = pattern.len();
        Self {
            r: vec![0.0; pattern.entries()],
            d: vec![0.0; n],
            t: vec![0.0; n],
            pivot: vec![Pivot::Free; n],
            entries: Vec::new(),
            equations: Vec::new(),
        }
    }

    /// Forgets all equations.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.equations.clear();
    }

    /// What determines each unknown.
    pub(super) fn pivots(&self) -> &[Pivot] {
        &self.pivot
    }

    /// Adds the equation `row * x = rhs`. Columns may repeat, and must be mutually coupled in the
    /// pattern. Heavy equations before light ones lose fewest digits.
    pub(super) fn add(&mut self, row: &[(usize, f64)], rhs: f64, weight: Weight) {
        let start = self.entries.len();
        self.entries.extend_from_slice(row);
        self.equations.push(Equation {
            entries: start..self.entries.len(),
            rhs,
            weight,
        });
    }

    /// Factorises the equations added.
    pub(super) fn factorise(&mut self, pattern: &Pattern) {
        let n = pattern.len();
        // Equations by first column, in the order added.
        let mut own: Vec<Vec<usize>> = vec![Vec::new(); n];
        for (index, equation) in self.equations.iter().enumerate() {
            let columns = self.entries[equation.entries.clone()]
                .iter()
                .map(|&(column, _)| column);
            if let Some(first) = columns.min() {
                own[first].push(index);
            }
        }
        let mut passed: Vec<Vec<Triangle>> = (0..n).map(|_| Vec::new()).collect();
        let mut front = Front::default();
        let mut place = vec![0; n];
        for k in 0..n {
            let columns = pattern.columns(k);
            place[k] = 0;
            for (at, &column) in columns.iter().enumerate() {
                place[column] = at + 1;
            }
            front.reset(1 + columns.len());
            let children = std::mem::take(&mut passed[k]);
            for exact in [true, false] {
                for child in &children {
                    child.merge(pattern, &place, exact, &mut front);
                }
                for equation in own[k].iter().map(|&index| &self.equations[index]) {
                    if (equation.weight == Weight::Exact) == exact {
                        front.add(&self.entries[equation.entries.clone()], &place, equation);
                    }
                }
            }
            self.pivot[k] = front.pivot[0];
            self.d[k] = front.d[0];
            self.t[k] = front.t[0];
            self.r[pattern.row(k)].copy_from_slice(&front.r[1..front.size]);
            if let Some(&parent) = columns.first() {
                passed[parent].push(front.below(k));
            }
        }
    }

    /// Least-squares solution; free unknowns are zero.
    pub(super) fn solve(&self, pattern: &Pattern, x: &mut [f64]) {
        for k in (0..pattern.len()).rev() {
            x[k] = if self.pivot[k] == Pivot::Free {
                0.0
            } else {
                pattern.row(k).fold(self.t[k], |sum, place| {
                    sum - self.r[place] * x[pattern.column(place)]
                })
            };
        }
    }

    /// Covariance of every unknown with the combination `row` of them.
    pub(super) fn covariance_with(&self, pattern: &Pattern, row: &[(usize, f64)]) -> Vec<f64> {
        let mut x = vec![0.0; pattern.len()];
        for &(column, value) in row {
            x[column] += value;
        }
        for k in 0..pattern.len() {
            for place in pattern.row(k) {
                x[pattern.column(place)] -= self.r[place] * x[k];
            }
        }
        for k in (0..pattern.len()).rev() {
            let own = if self.pivot[k] == Pivot::Finite {
                x[k] / self.d[k]
            } else {
                0.0
            };
            x[k] = pattern.row(k).fold(own, |sum, place| {
                sum - self.r[place] * x[pattern.column(place)]
            });
        }
        x
    }

    /// Covariance of the unknowns, free ones taken as certain.
    pub(super) fn covariance(&self, pattern: &Pattern) -> SelectedInverse {
        self.selected_inverse(pattern, |k| match self.pivot[k] {
            Pivot::Finite => 1.0 / self.d[k],
            Pivot::Exact | Pivot::Free => 0.0,
        })
    }

    /// `N N'` of a basis `N` of what the rows leave undetermined: a combination of unknowns is
    /// determined exactly if its quadratic form with this is zero.
    pub(super) fn undetermined(&self, pattern: &Pattern) -> SelectedInverse {
        self.selected_inverse(pattern, |k| f64::from(self.pivot[k] == Pivot::Free))
    }

    /// Entries within the pattern of `inv(R) diag inv(R)'`.
    fn selected_inverse(
        &self,
        pattern: &Pattern,
        diagonal: impl Fn(usize) -> f64,
    ) -> SelectedInverse {
        let mut z = SelectedInverse {
            off: vec![0.0; pattern.entries()],
            diagonal: vec![0.0; pattern.len()],
        };
        for j in (0..pattern.len()).rev() {
            let mut own = diagonal(j);
            // A free unknown has no equation, so its row couples to nothing.
            if self.pivot[j] != Pivot::Free {
                for place in pattern.row(j) {
                    let column = pattern.column(place);
                    let sum: f64 = (pattern.row(j))
                        .map(|other| self.r[other] * z.get(pattern, pattern.column(other), column))
                        .sum();
                    z.off[place] = -sum;
                    own += self.r[place] * sum;
                }
            }
            z.diagonal[j] = own;
        }
        z
    }
}

/// The rows that meet in one column, triangular over that column and those it is coupled to.
#[derive(Default)]
struct Front {
    size: usize,
    /// Rows of unit upper triangular form, the unit not stored.
    r: Vec<f64>,
    d: Vec<f64>,
    t: Vec<f64>,
    pivot: Vec<Pivot>,
    /// The row being added.
    work: Vec<f64>,
}

impl Front {
    fn reset(&mut self, size: usize) {
        self.size = size;
        self.r.clear();
        self.r.resize(size * size, 0.0);
        self.pivot.clear();
        self.pivot.resize(size, Pivot::Free);
        for values in [&mut self.d, &mut self.t, &mut self.work] {
            values.clear();
            values.resize(size, 0.0);
        }
    }

    fn add(&mut self, row: &[(usize, f64)], place: &[usize], equation: &Equation) {
        for &(column, value) in row {
            self.work[place[column]] += value;
        }
        let scale = self
            .work
            .iter()
            .fold(0.0_f64, |scale, x| scale.max(x.abs()));
        if scale > 0.0 {
            // Among themselves, constraints are rotated as if each had its own scale for sigma.
            let (kind, w) = match equation.weight {
                Weight::Exact => (Pivot::Exact, 1.0 / (scale * scale)),
                Weight::Finite(w) => (Pivot::Finite, w),
            };
            self.rotate(0, equation.rhs, kind, w, scale);
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
                if x.abs() <= RANK_TOLERANCE * scale {
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
            // An exact row is not moved by a finite one.
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
    fn below(&self, k: usize) -> Triangle {
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
struct Triangle {
    of: usize,
    /// Packed by rows, without the units.
    r: Vec<f64>,
    d: Vec<f64>,
    t: Vec<f64>,
    pivot: Vec<Pivot>,
}

impl Triangle {
    /// Adds its exact, or its finite, rows to the front of its parent.
    fn merge(&self, pattern: &Pattern, place: &[usize], exact: bool, front: &mut Front) {
        let columns = pattern.columns(self.of);
        let mut start = 0;
        for (i, &column) in columns.iter().enumerate() {
            let row = &self.r[start..start + columns.len() - i - 1];
            start += row.len();
            let kind = self.pivot[i];
            if kind == Pivot::Free || (kind == Pivot::Exact) != exact {
                continue;
            }
            let first = place[column];
            front.work[first] = 1.0;
            let mut scale = 1.0_f64;
            for (&value, &column) in row.iter().zip(&columns[i + 1..]) {
                front.work[place[column]] = value;
                scale = scale.max(value.abs());
            }
            front.rotate(first, self.t[i], kind, self.d[i], scale);
        }
    }
}

/// A symmetric matrix known within the pattern of the factor.
pub(super) struct SelectedInverse {
    off: Vec<f64>,
    diagonal: Vec<f64>,
}

impl SelectedInverse {
    fn get(&self, pattern: &Pattern, i: usize, j: usize) -> f64 {
        if i == j {
            return self.diagonal[i];
        }
        pattern
            .place(i.min(j), i.max(j))
            .map_or(0.0, |place| self.off[place])
    }

    /// `row Z row'` of a row whose columns are mutually coupled in the pattern; never negative.
    pub(super) fn quadratic_form(&self, pattern: &Pattern, row: &[(usize, f64)]) -> f64 {
        let mut sum = 0.0;
        for (at, &(i, x)) in row.iter().enumerate() {
            sum += x * x * self.get(pattern, i, i);
            for &(j, y) in &row[..at] {
                sum += 2.0 * x * y * self.get(pattern, i, j);
            }
        }
        sum.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Equation = (&'static [(usize, f64)], f64, Weight);

    fn solve(n: usize, equations: &[Equation]) -> (Factor, Pattern, Vec<f64>) {
        let pattern = Pattern::full(n);
        let mut factor = Factor::new(&pattern);
        for &(row, rhs, weight) in equations {
            factor.add(row, rhs, weight);
        }
        factor.factorise(&pattern);
        let mut x = vec![0.0; n];
        factor.solve(&pattern, &mut x);
        (factor, pattern, x)
    }

    /// Straight line through (0, 1), (1, 3), (2, 4), weights 1, 1, 4: normal equations by hand.
    #[test]
    fn line_through_three_points() {
        let (factor, pattern, x) = solve(
            2,
            &[
                (&[(0, 1.0), (1, 2.0)], 4.0, Weight::Finite(4.0)),
                (&[(0, 1.0)], 1.0, Weight::Finite(1.0)),
                (&[(0, 1.0), (1, 1.0)], 3.0, Weight::Finite(1.0)),
            ],
        );
        // G = [6 9; 9 17], rhs = (20, 35), determinant 21.
        assert!((x[0] - 25.0 / 21.0).abs() < 1e-14 && (x[1] - 30.0 / 21.0).abs() < 1e-14);
        let z = factor.covariance(&pattern);
        for (row, expected) in [
            (&[(0, 1.0)][..], 17.0 / 21.0),
            (&[(1, 1.0)], 6.0 / 21.0),
            (&[(0, 1.0), (1, 1.0)], (17.0 + 6.0 - 18.0) / 21.0),
            (&[(0, 0.5), (1, 1.0), (0, 0.5)], 5.0 / 21.0),
        ] {
            assert!((z.quadratic_form(&pattern, row) - expected).abs() < 1e-14);
        }
        let with_first = factor.covariance_with(&pattern, &[(0, 1.0)]);
        assert!((with_first[1] + 9.0 / 21.0).abs() < 1e-14);
    }

    /// x0 + x1 = 1 exactly; x0 measured 0.7 and x1 0.5, the latter four times the weight: the
    /// excess of 0.2 is shared 4 to 1, the variances are those of the weighted mean.
    #[test]
    fn constraint_holds_exactly() {
        let (factor, pattern, x) = solve(
            2,
            &[
                (&[(0, 1.0), (1, 1.0)], 1.0, Weight::Exact),
                (&[(1, 1.0)], 0.5, Weight::Finite(4.0)),
                (&[(0, 1.0)], 0.7, Weight::Finite(1.0)),
            ],
        );
        assert!((x[0] - 0.54).abs() < 1e-15 && (x[1] - 0.46).abs() < 1e-15);
        let z = factor.covariance(&pattern);
        assert!((z.quadratic_form(&pattern, &[(0, 1.0)]) - 0.2).abs() < 1e-15);
        assert!(z.quadratic_form(&pattern, &[(0, 1.0), (1, 1.0)]) < 1e-15);
        assert_eq!(factor.pivots(), [Pivot::Exact, Pivot::Finite]);
    }

    /// Läuchli's example: the squares of 1e-8 vanish beside 1, so normal equations are singular.
    #[test]
    fn digits_normal_equations_lose() {
        let small: &'static [(usize, f64)] = &[(0, 1e-8)];
        let other: &'static [(usize, f64)] = &[(1, 1e-8)];
        let (_, _, x) = solve(
            2,
            &[
                (&[(0, 1.0), (1, 1.0)], 3.0, Weight::Finite(1.0)),
                (small, 1e-8, Weight::Finite(1.0)),
                (other, 2e-8, Weight::Finite(1.0)),
            ],
        );
        assert!(
            (x[0] - 1.0).abs() < 1e-7 && (x[1] - 2.0).abs() < 1e-7,
            "{x:?}"
        );
        // The same by weights sixteen orders apart.
        let (_, _, x) = solve(
            2,
            &[
                (&[(0, 1.0), (1, 1.0)], 3.0, Weight::Finite(1e8)),
                (&[(0, 1.0)], 1.0, Weight::Finite(1e-8)),
                (&[(1, 1.0)], 2.0, Weight::Finite(1e-8)),
            ],
        );
        assert!(
            (x[0] - 1.0).abs() < 1e-7 && (x[1] - 2.0).abs() < 1e-7,
            "{x:?}"
        );
    }

    /// Only the sum of x1 and x2 is known.
    #[test]
    fn what_is_undetermined() {
        let (factor, pattern, x) = solve(
            3,
            &[
                (&[(0, 1.0)], 5.0, Weight::Finite(1.0)),
                (&[(1, 0.3), (2, 0.3)], 0.6, Weight::Finite(2.0)),
                (&[(0, 0.1), (1, 0.3), (2, 0.3)], 1.1, Weight::Finite(3.0)),
            ],
        );
        assert_eq!(
            factor
                .pivots()
                .iter()
                .filter(|&&p| p == Pivot::Free)
                .count(),
            1
        );
        assert!((x[0] - 5.0).abs() < 1e-12 && (x[1] + x[2] - 2.0).abs() < 1e-12);
        let undetermined = factor.undetermined(&pattern);
        let part = |row: &[(usize, f64)]| undetermined.quadratic_form(&pattern, row);
        assert!(part(&[(0, 1.0)]) < 1e-14 && part(&[(1, 1.0), (2, 1.0)]) < 1e-14);
        assert!(part(&[(1, 1.0)]) > 0.1 && part(&[(2, 1.0)]) > 0.1);
    }
}
