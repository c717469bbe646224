//! The network as the evaluation wants it: what a branch carries as its series current where both
//! ends see the same, the rest as shunts at its ends.

use num_complex::Complex64;

use super::flat::{Admittance, Flat};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// A branch whose mutual admittances are one symmetric matrix.
#[derive(Clone, Debug)]
pub(super) struct Series<const P: usize> {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Mutual admittance: the negative of the series one.
    pub(super) y: Admittance<P>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Folded<const P: usize> {
    pub(super) series: Vec<Series<P>>,
    /// Branches that are none of these: with a phase shift.
    pub(super) others: Vec<usize>,
    /// By node: shunts, and the sum of own and mutual admittances of `series`.
    pub(super) shunt: Vec<Admittance<P>>,
    /// By node: shunts and own admittances of all branches.
    pub(super) own: Vec<Admittance<P>>,
}

impl<const P: usize> Folded<P> {
    pub(super) fn new(flat: &Flat<P>) -> Self {
        let mut folded = Self {
            series: Vec::with_capacity(flat.branches.len()),
            others: Vec::new(),
            shunt: flat.shunts.clone(),
            own: flat.shunts.clone(),
        };
        for (k, b) in flat.branches.iter().enumerate() {
            add(&mut folded.own[b.from], &b.yff);
            add(&mut folded.own[b.to], &b.ytt);
            if b.yft != b.ytf || !is_symmetric(&b.yft) {
                folded.others.push(k);
                continue;
            }
            add(&mut folded.shunt[b.from], &sum(&b.yff, &b.yft));
            add(&mut folded.shunt[b.to], &sum(&b.ytt, &b.ytf));
            if b.yft != [[ZERO; P]; P] {
                folded.series.push(Series {
                    from: b.from,
                    to: b.to,
                    y: b.yft,
                });
            }
        }
        folded.series.sort_by_key(|s| s.from.min(s.to));
        folded
    }
}

fn is_symmetric<const P: usize>(y: &Admittance<P>) -> bool {
    (0..P).all(|p| (0..p).all(|q| y[p][q] == y[q][p]))
}

fn add<const P: usize>(a: &mut Admittance<P>, b: &Admittance<P>) {
    for (a, b) in a.as_flattened_mut().iter_mut().zip(b.as_flattened()) {
        *a += b;
    }
}

pub(super) fn sum<const P: usize>(a: &Admittance<P>, b: &Admittance<P>) -> Admittance<P> {
    let mut c = *a;
    add(&mut c, b);
    c
}

/// `y x`.
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
pub(super) fn difference<const P: usize>(a: &[Complex64; P], b: &[Complex64; P]) -> [Complex64; P] {
    std::array::from_fn(|p| a[p] - b[p])
}

/// `a += b`.
pub(super) fn accumulate<const P: usize>(a: &mut [Complex64; P], b: &[Complex64; P]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// `a -= b`.
pub(super) fn diminish<const P: usize>(a: &mut [Complex64; P], b: &[Complex64; P]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a -= b;
    }
}
