//! Branches of almost no impedance, as switches and regulators are: the voltage at one end of them is, to a
//! programme, that at the other, by the branch's ratio, and a difference on the scale of its current. With both voltages as variables
//! their currents would be differences of numbers all but equal, and nothing would be left of the
//! interior-point method's digits.

use std::collections::VecDeque;

use num_complex::Complex64;

use super::{
    physics::{Equations, Link},
    rows::Entry,
};

/// Admittance from which a branch is one, pu.
const LEAST: f64 = 1e4;

/// A ratio this close to 1 is 1: lines charge themselves a little.
const SAME: f64 = 1e-3;

/// What a voltage is the difference to.
#[derive(Clone, Copy, Debug)]
struct Near {
    /// Which variable (none: a held voltage).
    parent: Option<usize>,
    /// Times this.
    ratio: f64,
    /// Scale of the difference.
    scale: f64,
}

/// `u = T v`: what the programme's variables are in place of voltages.
#[derive(Clone, Debug)]
pub(super) struct Stiff {
    /// Of each voltage variable (complex), where it is the difference to another.
    of: Vec<Option<Near>>,
    any: bool,
}

impl Stiff {
    pub(super) fn new(equations: &Equations) -> Self {
        let mut stiff = Self {
            of: vec![None; equations.variables],
            any: false,
        };
        let mut near: Vec<Vec<Neighbour>> = vec![Vec::new(); equations.held.len()];
        for element in &equations.elements {
            let links = &equations.links[element.clone()];
            for link in links {
                let [a, b] = link.bus;
                let y = link.y[0][1].norm().min(link.y[1][0].norm());
                // What couples the phases of a branch says nothing of how near their voltages are.
                if y > LEAST && a != b && (a % equations.phases) == (b % equations.phases) {
                    for end in 0..2 {
                        near[link.bus[1 - end]].push(Neighbour {
                            bus: link.bus[end],
                            ratio: ratio(links, link, end),
                            scale: 1.0 / y,
                        });
                    }
                    stiff.any = true;
                }
            }
        }
        if stiff.any {
            stiff.grow(equations, &near);
        }
        stiff
    }

    /// A tree over what hangs together, from a held voltage where there is one.
    fn grow(&mut self, equations: &Equations, near: &[Vec<Neighbour>]) {
        let mut seen = vec![false; near.len()];
        let is_held = |bus: &usize| equations.variable[*bus].is_none();
        let (held, free): (Vec<_>, Vec<_>) = (0..near.len()).partition(is_held);
        for root in held.into_iter().chain(free) {
            if std::mem::replace(&mut seen[root], true) {
                continue;
            }
            let mut open = VecDeque::from([root]);
            while let Some(bus) = open.pop_front() {
                for other in &near[bus] {
                    if let Some(variable) = equations.variable[other.bus]
                        && !std::mem::replace(&mut seen[other.bus], true)
                    {
                        self.of[variable] = Some(Near {
                            parent: equations.variable[bus],
                            ratio: other.ratio,
                            scale: other.scale,
                        });
                        open.push_back(other.bus);
                    }
                }
            }
        }
    }

    /// Columns of `T` in a row of it: those of a real variable.
    fn parts(&self, column: usize) -> impl Iterator<Item = (usize, f64)> {
        let mut next = Some((column, 1.0));
        std::iter::from_fn(move || {
            let (column, so_far) = next.take()?;
            let Some(of) = self.of.get(column / 2).copied().flatten() else {
                return Some((column, so_far));
            };
            let parent = of.parent.map(|of| 2 * of + column % 2);
            next = parent.map(|parent| (parent, so_far * of.ratio));
            Some((column, so_far * of.scale))
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

/// A bus at the other end of such a branch.
#[derive(Clone, Copy)]
struct Neighbour {
    bus: usize,
    ratio: f64,
    scale: f64,
}

/// Voltage at a link's end over that at its other one where no current enters at that end.
fn ratio(element: &[Link], link: &Link, end: usize) -> f64 {
    let bus = link.bus[end];
    let own = element.iter().map(|of| {
        let at = (0..2).filter(|&end| of.bus[end] == bus);
        at.map(|end| of.y[end][end]).sum::<Complex64>()
    });
    let ratio = (-link.y[end][1 - end] / own.sum::<Complex64>()).re;
    if ratio.is_finite() && (ratio - 1.0).abs() > SAME {
        ratio
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variable 1 hangs on 0, 2 by a ratio on 1; 3 by itself.
    fn chain() -> Stiff {
        let near = |parent, ratio, scale| {
            let parent = Some(parent);
            Some(Near {
                parent,
                ratio,
                scale,
            })
        };
        let of = vec![None, near(0, 1.0, 0.5), near(1, 1.5, 0.25), None];
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
        // By hand: real parts 0, 0 + v/2, 1.5 of that + v/4, and what is no voltage.
        assert_eq!(u[0], v[0]);
        assert_eq!(u[2], v[0] + 0.5 * v[2]);
        assert_eq!(u[5], 1.5 * (v[1] + 0.5 * v[3]) + 0.25 * v[5]);
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
