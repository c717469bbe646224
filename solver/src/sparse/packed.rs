//! A symmetric factor as its solution reads it: once forward, once backward, from end to end.
//!
//! On a large network memory is what a solution costs, so little of it: half of each inverse, since
//! it is symmetric; and where the elimination left a row's couplings as they were, these themselves
//! instead of the rows of `L`, a quarter as many numbers. On a radial one what comes next waits for
//! what is computed now, so sums are short and side by side.

use std::ops::{Add, Mul, Sub};

use super::block::Block;
use super::pattern::Pattern;

/// A number of either precision.
pub(super) trait Real:
    Copy + Default + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// The nearest one.
    fn nearest(x: f64) -> Self;
}

impl Real for f32 {
    /// What is too large becomes infinite, and shows in the solution.
    #[inline]
    fn nearest(x: f64) -> Self {
        x as f32
    }
}

impl Real for f64 {
    #[inline]
    fn nearest(x: f64) -> Self {
        x
    }
}

type Tile<T> = [[T; 4]; 4];

/// The blocks of a factor, all in the order of the rows. A row is plain or bare, see
/// [`push_bare`](Self::push_bare).
#[derive(Clone, Debug, Default)]
pub(super) struct Packed<T, const B: usize> {
    /// The upper triangle of each row's inverse.
    inverse: Vec<Tile<T>>,
    is_bare: Vec<bool>,
    /// Couplings of plain rows: the transposed blocks of `L`.
    plain: Vec<[[T; B]; B]>,
    /// Couplings of bare rows, transposed for the way forward and as they are for the way back, see
    /// [`Conjugating`]: [`PHASES`](Self::PHASES) rows each.
    forward: Vec<Conjugating<T, B>>,
    back: Vec<Conjugating<T, B>>,
}

/// Of `z ↦ C z*` between voltages and multipliers, what phase `p` of either puts into the other one's:
/// for each phase there `c` of voltages into multipliers and `c` of multipliers into voltages, real and
/// imaginary part each.
type Conjugating<T, const B: usize> = [T; B];

impl<T: Real, const B: usize> Packed<T, B> {
    const TILES: usize = (B / 4) * (B / 4 + 1) / 2;
    const PHASES: usize = B / 4;

    /// Room for so many rows, and couplings of plain and of bare ones.
    pub(super) fn with_room(rows: usize, plain: usize, bare: usize) -> Self {
        Self {
            inverse: Vec::with_capacity(Self::TILES * rows),
            is_bare: Vec::with_capacity(rows),
            plain: Vec::with_capacity(plain),
            forward: Vec::with_capacity(Self::PHASES * bare),
            back: Vec::with_capacity(Self::PHASES * bare),
        }
    }

    /// Forgets the rows.
    pub(super) fn clear(&mut self) {
        self.inverse.clear();
        self.is_bare.clear();
        self.plain.clear();
        self.forward.clear();
        self.back.clear();
    }

    /// No row has been added.
    pub(super) fn is_empty(&self) -> bool {
        self.is_bare.is_empty()
    }

    /// Adds a row: the inverse of its diagonal block, and its transposed blocks of `L`.
    pub(super) fn push(&mut self, inverse: &Block<B>, couplings: &[Block<B>]) {
        self.push_inverse(inverse);
        self.is_bare.push(false);
        let nearest = |block: &Block<B>| block.map(|row| row.map(T::nearest));
        self.plain.extend(couplings.iter().map(nearest));
    }

    /// Adds a row whose couplings are here as they were before the elimination: zero in the quarters
    /// on their diagonal, and off it real forms of `dz ↦ c dz*` for each two phases.
    pub(super) fn push_bare(&mut self, inverse: &Block<B>, couplings: &[Block<B>]) {
        self.push_inverse(inverse);
        self.is_bare.push(true);
        for block in couplings {
            for p in 0..Self::PHASES {
                // A row of the block is a column of its transpose.
                self.forward.push(std::array::from_fn(|j| {
                    let (from, into) = places::<B>(p, j);
                    T::nearest(block[from][into])
                }));
                self.back.push(std::array::from_fn(|j| {
                    let (from, into) = places::<B>(p, j);
                    T::nearest(block[into][from])
                }));
            }
        }
    }

    fn push_inverse(&mut self, inverse: &Block<B>) {
        for i in (0..B).step_by(4) {
            for j in (i..B).step_by(4) {
                self.inverse.push(std::array::from_fn(|r| {
                    std::array::from_fn(|c| T::nearest(inverse[i + r][j + c]))
                }));
            }
        }
    }

    /// Solves for one right-hand side, in place.
    pub(super) fn solve(&self, pattern: &Pattern, x: &mut [[T; B]]) {
        let inverses = || self.inverse.chunks_exact(Self::TILES).enumerate();
        let coupled = |k: usize| &pattern.coupled[pattern.start[k]..pattern.start[k + 1]];
        let mut plain = 0;
        let mut bare = self.forward.chunks_exact(Self::PHASES);
        for (k, inverse) in inverses() {
            if self.is_bare[k] {
                x[k] = times_symmetric(inverse, &x[k]);
                let own = x[k];
                for (&later, c) in coupled(k).iter().zip(bare.by_ref()) {
                    subtract(&mut x[later as usize], &conjugate_times(c, &own));
                }
            } else {
                let own = x[k];
                for (&later, block) in coupled(k).iter().zip(&self.plain[plain..]) {
                    let mut y = x[later as usize];
                    for (row, own) in block.iter().zip(own) {
                        for j in 0..B {
                            y[j] = y[j] - row[j] * own;
                        }
                    }
                    x[later as usize] = y;
                }
                plain += coupled(k).len();
            }
        }
        let mut bare = self.back.chunks_exact(Self::PHASES).rev();
        for (k, inverse) in inverses().rev() {
            if self.is_bare[k] {
                let mut taken = [T::default(); B];
                for (&later, c) in coupled(k).iter().rev().zip(bare.by_ref()) {
                    subtract(&mut taken, &conjugate_times(c, &x[later as usize]));
                }
                let less = times_symmetric(inverse, &taken);
                for (x, less) in x[k].iter_mut().zip(less) {
                    *x = *x + less;
                }
            } else {
                let mut own = times_symmetric(inverse, &x[k]);
                plain -= coupled(k).len();
                for (&later, block) in coupled(k).iter().zip(&self.plain[plain..]) {
                    let y = x[later as usize];
                    for (own, row) in own.iter_mut().zip(block) {
                        *own = *own - dot(row, &y);
                    }
                }
                x[k] = own;
            }
        }
    }
}

/// Places in a vector of the real part that entry `j` of the row of phase `p` is multiplied by, and of
/// what it goes into, see [`Conjugating`].
#[inline(always)]
fn places<const B: usize>(p: usize, j: usize) -> (usize, usize) {
    let (q, part) = (j / 4, j % 2);
    match j % 4 {
        0 | 1 => (2 * p, B / 2 + 2 * q + part),
        _ => (B / 2 + 2 * p, 2 * q + part),
    }
}

/// `y -= x`.
#[inline(always)]
fn subtract<T: Real, const B: usize>(y: &mut [T; B], x: &[T; B]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = *y - *x;
    }
}

/// A symmetric matrix, of which the upper triangle is given, times a vector.
#[inline(always)]
fn times_symmetric<T: Real, const B: usize>(upper: &[Tile<T>], x: &[T; B]) -> [T; B] {
    let mut y = [T::default(); B];
    let mut tiles = upper.iter();
    for i in (0..B).step_by(4) {
        // The tile of these rows and later columns is that of the later rows as well. Sums of
        // products by lanes, put together at the end.
        let mut lanes = [[T::default(); 4]; 4];
        for j in (i..B).step_by(4) {
            let Some(tile) = tiles.next() else { break };
            let mut sums = [T::default(); 4];
            for (r, row) in tile.iter().enumerate() {
                for c in 0..4 {
                    sums[c] = sums[c] + row[c] * x[i + r];
                }
            }
            for c in 0..4 {
                y[j + c] = y[j + c] + sums[c];
            }
            if j > i {
                for (lanes, row) in lanes.iter_mut().zip(tile) {
                    for c in 0..4 {
                        lanes[c] = lanes[c] + row[c] * x[j + c];
                    }
                }
            }
        }
        for (r, [a, b, c, d]) in lanes.into_iter().enumerate() {
            y[i + r] = y[i + r] + ((a + c) + (b + d));
        }
    }
    y
}

/// `C z*`, see [`Conjugating`].
#[inline(always)]
fn conjugate_times<T: Real, const B: usize>(c: &[Conjugating<T, B>], z: &[T; B]) -> [T; B] {
    // c z* = (c.re + j c.im) z.re + (c.im - j c.re) z.im: the products by the imaginary parts are
    // turned at the end.
    let (mut by_real, mut by_imaginary) = ([T::default(); B], [T::default(); B]);
    for (p, row) in c.iter().enumerate() {
        for j in 0..B {
            let (from, _) = places::<B>(p, j);
            by_real[j] = by_real[j] + row[j] * z[from];
            by_imaginary[j] = by_imaginary[j] + row[j] * z[from + 1];
        }
    }
    let mut product = [T::default(); B];
    for j in (0..B).step_by(2) {
        let (_, into) = places::<B>(0, j);
        product[into] = by_real[j] + by_imaginary[j + 1];
        product[into + 1] = by_real[j + 1] - by_imaginary[j];
    }
    product
}

/// Sum of products, by fours so that they can go into lanes.
#[inline(always)]
pub(super) fn dot<T: Real, const B: usize>(a: &[T; B], b: &[T; B]) -> T {
    let mut lanes = [T::default(); 4];
    for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
        for j in 0..4 {
            lanes[j] = lanes[j] + a[j] * b[j];
        }
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}
