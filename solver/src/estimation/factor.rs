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

use super::front::{CandidateRow, Front, Triangle, candidates};
use super::layout::Pattern;

/// How much a row of equations counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weight {
    /// Infinitely: an equality constraint.
    Exact,
    /// The inverse of a variance.
    Finite(f64),
    /// Infinitely little: it changes no other row, and only determines what would be left free.
    /// Of candidates that determine the same the one with the lowest number does.
    Candidate(usize),
}

/// How firmly an unknown has to be determined not to be left free.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Least {
    /// Weight with which measurements determine it, given those that come later.
    pub(super) weight: f64,
    /// Square of what is left of a candidate's largest entry, in the column or those after it.
    pub(super) candidate: f64,
}

impl Weight {
    /// What an unknown is determined by that such a row determines.
    pub(super) fn kind(self) -> Pivot {
        match self {
            Self::Exact => Pivot::Exact,
            Self::Finite(_) => Pivot::Finite,
            Self::Candidate(number) => Pivot::Candidate(number),
        }
    }
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
    /// The candidate of this number, and the measurements.
    Candidate(usize),
}

/// An equation as given, its entries in the factor's list.
pub(super) struct Equation {
    entries: std::ops::Range<usize>,
    pub(super) rhs: f64,
    pub(super) weight: Weight,
}

/// The triangular factor and its right-hand side.
pub(super) struct Factor {
    r: Vec<f64>,
    d: Vec<f64>,
    t: Vec<f64>,
    pivot: Vec<Pivot>,
    entries: Vec<(usize, f64)>,
    equations: Vec<Equation>,
    rank: f64,
}

impl Factor {
    /// `rank`: a pivot below this fraction of its row's largest entry is rounding, not information.
    pub(super) fn new(pattern: &Pattern, rank: f64) -> Self {
        let n = pattern.len();
        Self {
            r: vec![0.0; pattern.entries()],
            d: vec![0.0; n],
            t: vec![0.0; n],
            pivot: vec![Pivot::Free; n],
            entries: Vec::new(),
            equations: Vec::new(),
            rank,
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
        self.factorise_above(pattern, |_| Least::default());
    }

    /// Factorises the equations added, but leaves free what they determine less firmly than
    /// `least` of its column.
    pub(super) fn factorise_above(&mut self, pattern: &Pattern, least: impl Fn(usize) -> Least) {
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
            front.reset(1 + columns.len(), self.rank, least(k));
            let children = std::mem::take(&mut passed[k]);
            let own = || own[k].iter().map(|&index| &self.equations[index]);
            for kind in [Pivot::Exact, Pivot::Finite] {
                for child in &children {
                    child.merge(pattern, &place, kind, &mut front);
                }
                for equation in own().filter(|e| e.weight.kind() == kind) {
                    front.add(&self.entries[equation.entries.clone()], &place, equation);
                }
            }
            front.forget_weak();
            for row in candidates(&children, own()) {
                match row {
                    CandidateRow::Passed(child, i) => child.pass(i, pattern, &place, &mut front),
                    CandidateRow::Own(equation) => {
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

    /// Entries above the diagonal in the order of the pattern, weights, and what determines each
    /// unknown.
    pub(super) fn parts(&self) -> (&[f64], &[f64], &[Pivot]) {
        (&self.r, &self.d, &self.pivot)
    }

    /// Covariance of the unknowns within the pattern, free ones taken as certain.
    pub(super) fn inverse(&self, pattern: &Pattern) -> SelectedInverse {
        self.selected_inverse(pattern, |k| match self.pivot[k] {
            Pivot::Finite => 1.0 / self.d[k],
            Pivot::Exact | Pivot::Free | Pivot::Candidate(_) => 0.0,
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
        let mut factor = Factor::new(&pattern, 1e-9);
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
        let z = factor.inverse(&pattern);
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
        let z = factor.inverse(&pattern);
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

    /// Of x0 + x1, x1 + x2, x0 - x2 (dependent on these) and x2, with x1 measured: the first, the
    /// second, and neither of the others; with x0 put first it takes the place of the first.
    #[test]
    fn candidates_determine_what_is_free() {
        let pattern = Pattern::full(3);
        let chosen = |numbers: [usize; 4]| {
            let mut factor = Factor::new(&pattern, 1e-9);
            let rows: [&[(usize, f64)]; 4] = [
                &[(0, 1.0), (1, 1.0)],
                &[(1, 1.0), (2, 1.0)],
                &[(0, 1.0), (2, -1.0)],
                &[(2, 1.0)],
            ];
            for (row, number) in rows.into_iter().zip(numbers) {
                factor.add(row, 0.0, Weight::Candidate(number));
            }
            factor.add(&[(1, 2.0)], 3.0, Weight::Finite(1.0));
            factor.factorise(&pattern);
            let mut chosen: Vec<usize> = (factor.pivots().iter())
                .filter_map(|&p| match p {
                    Pivot::Candidate(number) => Some(number),
                    _ => None,
                })
                .collect();
            chosen.sort_unstable();
            chosen
        };
        assert_eq!(chosen([0, 1, 2, 3]), [0, 1]);
        assert_eq!(chosen([3, 2, 0, 1]), [0, 1]);
        assert_eq!(chosen([3, 1, 2, 0]), [0, 2]);
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
