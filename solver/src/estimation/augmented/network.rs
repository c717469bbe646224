//! The network as the evaluation wants it: what a branch carries as its series current where both
//! ends see the same, the rest as shunts at its ends.

use num_complex::Complex64;

use super::flat::{Admittance, Flat, TwoPort};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// A branch whose mutual admittances are one symmetric matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series<Y> {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Mutual admittance: the negative of the series one.
    pub(super) y: Y,
}

/// The mutual admittances of a branch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turning<const P: usize> {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) yft: Admittance<P>,
    pub(super) ytf: Admittance<P>,
}

/// An admittance matrix of phases that are all alike.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Even {
    /// Between any two phases.
    mutual: Complex64,
    /// What a phase has of its own beyond that.
    beyond: Complex64,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Folded<const P: usize> {
    pub(super) even: Vec<Series<Even>>,
    pub(super) uneven: Vec<Series<Admittance<P>>>,
    /// Branches that are none of these: with a phase shift. Their own admittances are among the shunts,
    /// since the voltages at their ends differ anyway.
    pub(super) turning: Vec<Turning<P>>,
    ends: Vec<Ends<P>>,
    /// By node: shunts, the sum of own and mutual admittances of `even` and `uneven`, and the own ones
    /// of `turning`; but for
    pub(super) shunt: Vec<Even>,
    /// these.
    pub(super) uneven_shunt: Vec<(usize, Admittance<P>)>,
    /// By node: shunts and own admittances of all branches.
    pub(super) own: Vec<Admittance<P>>,
}

/// A branch by what goes to earth at either end, the sum of own and mutual admittance, and what
/// goes between them.
#[derive(Clone, Debug)]
enum Ends<const P: usize> {
    Even { earth: [Even; 2], mutual: Even },
    Any { earth: Box<[Admittance<P>; 2]> },
}

impl<const P: usize> Folded<P> {
    pub(super) fn new(flat: &Flat<P>) -> Self {
        let mut folded = Self {
            even: Vec::with_capacity(flat.branches.len()),
            uneven: Vec::new(),
            turning: Vec::new(),
            ends: flat.branches.iter().map(Ends::new).collect(),
            shunt: Vec::with_capacity(flat.shunts.len()),
            uneven_shunt: Vec::new(),
            own: flat.shunts.clone(),
        };
        let mut shunts = flat.shunts.clone();
        for b in &flat.branches {
            add(&mut folded.own[b.from], &b.yff);
            add(&mut folded.own[b.to], &b.ytt);
            let (from, to) = (b.from, b.to);
            if b.yft != b.ytf || !is_symmetric(&b.yft) {
                add(&mut shunts[b.from], &b.yff);
                add(&mut shunts[b.to], &b.ytt);
                let (yft, ytf) = (b.yft, b.ytf);
                folded.turning.push(Turning { from, to, yft, ytf });
                continue;
            }
            add(&mut shunts[b.from], &sum(&b.yff, &b.yft));
            add(&mut shunts[b.to], &sum(&b.ytt, &b.ytf));
            match Even::of(&b.yft) {
                _ if b.yft == [[ZERO; P]; P] => {}
                Some(y) => folded.even.push(Series { from, to, y }),
                None => folded.uneven.push(Series { from, to, y: b.yft }),
            }
        }
        for (k, y) in shunts.into_iter().enumerate() {
            folded.shunt.push(Even::of(&y).unwrap_or_else(|| {
                folded.uneven_shunt.push((k, y));
                Even::default()
            }));
        }
        folded.even.sort_by_key(|s| s.from.min(s.to));
        folded.uneven.sort_by_key(|s| s.from.min(s.to));
        folded.turning.sort_by_key(|s| s.from.min(s.to));
        folded
    }

    /// Currents into a branch at its ends, from the voltages' difference, see
    /// [`Port::current`](super::evaluate::Port::current).
    #[inline]
    pub(super) fn currents(
        &self,
        k: usize,
        b: &TwoPort<P>,
        from: &[Complex64; P],
        to: &[Complex64; P],
    ) -> [[Complex64; P]; 2] {
        let across = difference(to, from);
        match &self.ends[k] {
            Ends::Even { earth, mutual } => {
                let (mut of_from, mut of_to) = (earth[0].times(from), earth[1].times(to));
                let through = mutual.times(&across);
                accumulate(&mut of_from, &through);
                diminish(&mut of_to, &through);
                [of_from, of_to]
            }
            Ends::Any { earth } => {
                let (mut of_from, mut of_to) = (apply(&earth[0], from), apply(&earth[1], to));
                accumulate(&mut of_from, &apply(&b.yft, &across));
                diminish(&mut of_to, &apply(&b.ytf, &across));
                [of_from, of_to]
            }
        }
    }
}

impl<const P: usize> Ends<P> {
    fn new(b: &TwoPort<P>) -> Self {
        let earth = [sum(&b.yff, &b.yft), sum(&b.ytt, &b.ytf)];
        match (Even::of(&earth[0]), Even::of(&earth[1]), Even::of(&b.yft)) {
            (Some(from), Some(to), Some(mutual)) if b.yft == b.ytf => Self::Even {
                earth: [from, to],
                mutual,
            },
            _ => Self::Any {
                earth: Box::new(earth),
            },
        }
    }
}

impl Even {
    /// This matrix, if its phases are all alike.
    fn of<const P: usize>(y: &Admittance<P>) -> Option<Self> {
        let mutual = if P > 1 { y[0][1] } else { ZERO };
        let as_it = |p: usize, q: usize| y[p][q] == if p == q { y[0][0] } else { mutual };
        let all = (0..P).all(|p| (0..P).all(|q| as_it(p, q)));
        all.then(|| Self {
            mutual,
            beyond: y[0][0] - mutual,
        })
    }
}

/// A symmetric admittance matrix.
pub(super) trait Symmetric<const P: usize> {
    /// `y x`.
    fn times(&self, x: &[Complex64; P]) -> [Complex64; P];
}

impl<const P: usize> Symmetric<P> for Even {
    #[inline]
    fn times(&self, x: &[Complex64; P]) -> [Complex64; P] {
        if P == 1 {
            return x.map(|x| self.beyond * x);
        }
        let common = self.mutual * x.iter().sum::<Complex64>();
        x.map(|x| self.beyond * x + common)
    }
}

impl<const P: usize> Symmetric<P> for Admittance<P> {
    #[inline]
    fn times(&self, x: &[Complex64; P]) -> [Complex64; P] {
        apply(self, x)
    }
}

/// Adds what goes through these branches at `x` to what leaves their ends.
pub(super) fn pass<const P: usize>(
    series: &[Series<impl Symmetric<P>>],
    x: &[[Complex64; P]],
    leaves: &mut [[Complex64; P]],
) {
    for b in series {
        let through = b.y.times(&difference(&x[b.to], &x[b.from]));
        accumulate(&mut leaves[b.from], &through);
        diminish(&mut leaves[b.to], &through);
    }
}

fn is_symmetric<const P: usize>(y: &Admittance<P>) -> bool {
    (0..P).all(|p| (0..p).all(|q| y[p][q] == y[q][p]))
}

#[inline]
fn add<const P: usize>(a: &mut Admittance<P>, b: &Admittance<P>) {
    for (a, b) in a.as_flattened_mut().iter_mut().zip(b.as_flattened()) {
        *a += b;
    }
}

#[inline]
pub(super) fn sum<const P: usize>(a: &Admittance<P>, b: &Admittance<P>) -> Admittance<P> {
    let mut c = *a;
    add(&mut c, b);
    c
}

/// `y x`.
#[inline]
pub(super) fn apply<const P: usize>(y: &Admittance<P>, x: &[Complex64; P]) -> [Complex64; P] {
    let mut product = [ZERO; P];
    for (product, row) in product.iter_mut().zip(y) {
        for (y, x) in row.iter().zip(x) {
            *product += y * x;
        }
    }
    product
}

/// `yᵀ x`.
#[inline]
pub(super) fn apply_transposed<const P: usize>(
    y: &Admittance<P>,
    x: &[Complex64; P],
) -> [Complex64; P] {
    let mut product = [ZERO; P];
    for (row, x) in y.iter().zip(x) {
        for (product, y) in product.iter_mut().zip(row) {
            *product += y * x;
        }
    }
    product
}

/// `a - b`.
#[inline]
pub(super) fn difference<const P: usize>(a: &[Complex64; P], b: &[Complex64; P]) -> [Complex64; P] {
    std::array::from_fn(|p| a[p] - b[p])
}

/// `a += b`.
#[inline]
pub(super) fn accumulate<const P: usize>(a: &mut [Complex64; P], b: &[Complex64; P]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// `a -= b`.
#[inline]
pub(super) fn diminish<const P: usize>(a: &mut [Complex64; P], b: &[Complex64; P]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a -= b;
    }
}
