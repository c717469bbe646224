//! Branches of almost no impedance, as switches are: the voltage at one end of them is, to a programme, that
//! at the other and a difference on the scale of the branch's current. With both voltages as variables
//! their currents would be differences of numbers all but equal, and nothing would be left of the
//! interior-point method's digits.

use std::collections::VecDeque;

use super::{physics::Equations, rows::Entry};

/// Admittance from which a branch is one, pu.
const LEAST: f64 = 1e4;

/// `u = T v`: what the programme's variables are in place of voltages.
#[derive(Clone, Debug)]
pub(super) struct Stiff {
    /// Of each voltage variable (complex), where it is the difference to another: which one (none: a held
    /// voltage), and the scale of the difference.
    of: Vec<Option<(Option<usize>, f64)>>,
    any: bool,
}

impl Stiff {
    pub(super) fn new(equations: &Equations) -> Self {
        let mut stiff = Self {
            of: vec![None; equations.variables],
            any: false,
        };
        let mut near: Vec<Vec<(usize, f64)>> = vec![Vec::new(); equations.held.len()];
        for link in &equations.links {
            let [a, b] = link.bus;
            let y = link.y[0][1].norm().min(link.y[1][0].norm());
            // What couples the phases of a branch says nothing of how near their voltages are.
            if y > LEAST && a != b && (a % equations.phases) == (b % equations.phases) {
                near[a].push((b, 1.0 / y));
                near[b].push((a, 1.0 / y));
                stiff.any = true;
            }
        }
        if stiff.any {
            stiff.grow(equations, &near);
        }
        stiff
    }

    /// A tree over what hangs together, from a held voltage where there is one.
    fn grow(&mut self, equations: &Equations, near: &[Vec<(usize, f64)>]) {
        let mut seen = vec![false; near.len()];
        let is_held = |bus: &usize| equations.variable[*bus].is_none();
        let (held, free): (Vec<_>, Vec<_>) = (0..near.len()).partition(is_held);
        for root in held.into_iter().chain(free) {
            if std::mem::replace(&mut seen[root], true) {
                continue;
            }
            let mut open = VecDeque::from([root]);
            while let Some(bus) = open.pop_front() {
                for &(other, scale) in &near[bus] {
                    if let Some(variable) = equations.variable[other]
                        && !std::mem::replace(&mut seen[other], true)
                    {
                        self.of[variable] = Some((equations.variable[bus], scale));
                        open.push_back(other);
                    }
                }
            }
        }
    }

    /// Columns of `T` in a row of it: those of a real variable.
    fn parts(&self, column: usize) -> impl Iterator<Item = (usize, f64)> {
        let mut next = Some(column);
        std::iter::from_fn(move || {
            let column = next?;
            let found = self.of.get(column / 2).copied().flatten();
            let (parent, scale) = found.unwrap_or((None, 1.0));
            next = parent.map(|of| 2 * of + column % 2);
            Some((column, scale))
        })
    }

    /// `A T` in place of `A`.
    pub(super) fn columns(&self, entries: &mut Vec<Entry>) {
        if !self.any {
            return;
        }
        let old = std::mem::take(entries);
        for e in old {
            entries.extend(self.parts(e.column).map(|(column, scale)| Entry {
                column,
                value: e.value * scale,
                ..e
            }));
        }
    }

    /// `T' P T` in place of `P`, upper triangles.
    pub(super) fn square(&self, entries: &mut Vec<Entry>) {
        if !self.any {
            return;
        }
        let old = std::mem::take(entries);
        for e in old {
            for (i, f) in self.parts(e.row) {
                for (j, g) in self.parts(e.column) {
                    // Of a square both orders come up, of a product each once and mirrored.
                    if e.row == e.column && i > j {
                        continue;
                    }
                    let twice = if e.row != e.column && i == j {
                        2.0
                    } else {
                        1.0
                    };
                    entries.push(Entry {
                        row: i.min(j),
                        column: i.max(j),
                        value: twice * e.value * f * g,
                    });
                }
            }
        }
    }

    /// Voltages of the programme's variables, in place.
    pub(super) fn voltages(&self, x: &mut [f64]) {
        if !self.any {
            return;
        }
        let u: Vec<f64> = (0..2 * self.of.len())
            .map(|k| self.parts(k).map(|(column, scale)| scale * x[column]).sum())
            .collect();
        x[..u.len()].copy_from_slice(&u);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variable 1 hangs on 0, 2 on 1; 3 by itself.
    fn chain() -> Stiff {
        let of = vec![None, Some((Some(0), 0.5)), Some((Some(1), 0.25)), None];
        Stiff { of, any: true }
    }

    fn entry(row: usize, column: usize, value: f64) -> Entry {
        Entry { row, column, value }
    }

    fn form(entries: &[Entry], x: &[f64]) -> f64 {
        let term = |e: &Entry| {
            let twice = if e.row == e.column { 1.0 } else { 2.0 };
            twice * e.value * x[e.row] * x[e.column]
        };
        entries.iter().map(term).sum()
    }

    #[test]
    fn rows_and_forms_have_the_same_values_in_either_variables() {
        let v: Vec<f64> = (0..9).map(|k| f64::from(k * k) - 7.5).collect();
        let mut u = v.clone();
        chain().voltages(&mut u);
        // By hand: real parts 0, 0 + v/2, that + v/4, and what is no voltage.
        assert_eq!(u[0], v[0]);
        assert_eq!(u[2], v[0] + 0.5 * v[2]);
        assert_eq!(u[5], v[1] + 0.5 * v[3] + 0.25 * v[5]);
        assert_eq!((u[6], u[8]), (v[6], v[8]));
        let rows = vec![entry(0, 4, 2.0), entry(0, 1, -1.0), entry(0, 8, 3.0)];
        let value =
            |rows: &[Entry], x: &[f64]| -> f64 { rows.iter().map(|e| e.value * x[e.column]).sum() };
        let mut changed = rows.clone();
        chain().columns(&mut changed);
        assert!((value(&rows, &u) - value(&changed, &v)).abs() < 1e-12);
        let p = vec![
            entry(4, 4, 2.0),
            entry(0, 4, -1.5),
            entry(2, 4, 0.7),
            entry(2, 7, 0.3),
            entry(8, 8, 1.0),
        ];
        let mut changed = p.clone();
        chain().square(&mut changed);
        assert!(changed.iter().all(|e| e.row <= e.column));
        assert!((form(&p, &u) - form(&changed, &v)).abs() < 1e-10);
    }
}
