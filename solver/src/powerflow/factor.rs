//! Factors of a network's admittances, as current injection keeps them: by nodes, with a block of
//! all phases, or of all sequences where nothing couples them; or by single phases, where most nodes
//! have not all three.

use num_complex::Complex64;

use super::case::Case;
use super::structure::{Admittance, Kernel, YBus};
use crate::network::{Grid, Matrix3, PhaseGrid, Phases};
use crate::sparse::{Entry, Lu};

/// A factor of a network's admittances.
pub(super) trait Factor<E: Admittance> {
    /// A current by the components the factor is of.
    fn split(current: &E::Vector) -> E::Vector;
    /// Takes over the network and its sources; none where it is not of this kind or singular.
    fn load(&mut self, case: &Case<E>) -> Option<()>;
    /// Calls with each row and its voltage at these currents by components, which are overwritten.
    fn solve(&mut self, currents: &mut [E::Vector], solved: impl FnMut(usize, &E::Vector));
}

/// A block for each node.
#[derive(Clone, Debug)]
pub(super) struct Blocks<K: Entry>(Lu<K>);

impl<K: Entry> Blocks<K> {
    pub(super) fn new<E>(y: &YBus<E>) -> Self {
        Self(Lu::on(y.pattern.clone()))
    }
}

impl<E: Admittance, K: Kernel<E>> Factor<E> for Blocks<K> {
    #[inline]
    fn split(current: &E::Vector) -> E::Vector {
        K::split(current)
    }

    fn load(&mut self, case: &Case<E>) -> Option<()> {
        let Self(lu) = self;
        case.y.load(lu, &case.role, |_| K::ZERO)?;
        for s in &case.sources {
            if case.role[s.row].is_solved() {
                lu.triangles().0[s.row].add(&K::of(&s.y)?);
            }
        }
        lu.factor().ok()
    }

    #[inline]
    fn solve(&mut self, currents: &mut [E::Vector], mut solved: impl FnMut(usize, &E::Vector)) {
        self.0
            .solve_in_order_with(currents, |k, x| solved(k, &K::join(x)));
    }
}

/// A phase that its node does not have.
const NONE: u32 = u32::MAX;

/// An entry for each phase of each node.
#[derive(Clone, Debug)]
pub(super) struct SinglePhases {
    lu: Lu<Complex64>,
    /// Number of each row's phases in the factor's matrix, and their place in its order.
    number: Vec<[u32; 3]>,
    place: Vec<[u32; 3]>,
    x: Vec<Complex64>,
}

impl SinglePhases {
    /// None where so many nodes have all three phases that blocks are better.
    pub(super) fn new(grid: &Grid, phases: &PhaseGrid, y: &YBus<Matrix3>) -> Option<Self> {
        let mut rows = 0;
        let numbers = y.pattern.order().iter().map(|&node| {
            phases.phases_of(node).map(|has| {
                rows += u32::from(has);
                if has { rows - 1 } else { NONE }
            })
        });
        let number: Vec<[u32; 3]> = numbers.collect();
        if rows as usize > 2 * number.len() {
            return None;
        }
        let within = number.iter().flat_map(|own| pairs(own, own));
        let order = y.pattern.place();
        let along = grid.branches.iter().flat_map(|b| {
            let of = |node: usize| {
                let own = number[order[node]];
                [0, 1, 2].map(|p| if b.phases[p] { own[p] } else { NONE })
            };
            pairs(&of(b.from), &of(b.to))
        });
        let edges: Vec<(usize, usize)> = within.chain(along).collect();
        let lu = Lu::new(rows as usize, &edges);
        let at = lu.pattern().place();
        let placed = |&number: &u32| match number {
            NONE => NONE,
            number => u32::try_from(at[number as usize]).unwrap_or(NONE),
        };
        let place = number.iter().map(|own| own.each_ref().map(placed));
        Some(Self {
            place: place.collect(),
            x: vec![Complex64::ZERO; rows as usize],
            number,
            lu,
        })
    }

    /// Adds a block; none where it has something outside of the pattern.
    fn add(&mut self, row: usize, column: usize, y: &Matrix3) -> Option<()> {
        for (p, &i) in self.number[row].iter().enumerate() {
            for (q, &j) in self.number[column].iter().enumerate() {
                let value = &y.0[p][q];
                let grounded = row == column && p == q && i == NONE;
                if *value == Complex64::ZERO || grounded {
                    continue;
                }
                let slot = self.lu.slot(i as usize, j as usize)?;
                self.lu.add(slot, value);
            }
        }
        Some(())
    }
}

/// All of one with all of the other.
fn pairs(a: &[u32; 3], b: &[u32; 3]) -> impl Iterator<Item = (usize, usize)> + use<> {
    let there = |list: &[u32; 3]| list.map(|i| (i != NONE).then_some(i as usize));
    let b = there(b);
    let a = there(a).into_iter().flatten();
    a.flat_map(move |i| b.into_iter().flatten().map(move |j| (i, j)))
        .filter(|(i, j)| i != j)
}

impl Factor<Matrix3> for SinglePhases {
    #[inline]
    fn split(current: &Phases) -> Phases {
        *current
    }

    fn load(&mut self, case: &Case<Matrix3>) -> Option<()> {
        let Case { y, role, .. } = case;
        self.lu.clear();
        let one = Matrix3::balanced(Complex64::ONE, Complex64::ZERO);
        for k in 0..role.len() {
            let solved = role[k].is_solved();
            self.add(k, k, if solved { &y.diagonal[k] } else { &one })?;
            for e in y.start[k]..y.start[k + 1] {
                let later = y.edge[e].later as usize;
                if solved {
                    self.add(k, later, &y.upper[e])?;
                }
                if role[later].is_solved() {
                    self.add(later, k, &y.lower[e])?;
                }
            }
        }
        for s in &case.sources {
            if role[s.row].is_solved() {
                self.add(s.row, s.row, &s.y)?;
            }
        }
        self.lu.factor().ok()
    }

    fn solve(&mut self, currents: &mut [Phases], mut solved: impl FnMut(usize, &Phases)) {
        for (places, current) in self.place.iter().zip(&*currents) {
            for (&place, &current) in places.iter().zip(current) {
                if place != NONE {
                    self.x[place as usize] = current;
                }
            }
        }
        self.lu.solve_in_order(&mut self.x);
        for (k, places) in self.place.iter().enumerate() {
            let u = places.map(|place| match place {
                NONE => Complex64::ZERO,
                place => self.x[place as usize],
            });
            solved(k, &u);
        }
    }
}
