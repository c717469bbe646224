//! Where a fit begins: the factor of there is the same each time it does.

use num_complex::Complex64;

use crate::sparse::{Aside, BlockLdl};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Origin<const P: usize, const B: usize> {
    u: Vec<[Complex64; P]>,
    /// It is the present state.
    here: bool,
    factor: Kept<B>,
}

/// The factor of the origin.
#[derive(Clone, Debug)]
enum Kept<const B: usize> {
    /// Not made yet; room for it, if any.
    No(Aside<B>),
    /// Is the one in use; room for the next one.
    InUse(Aside<B>),
    /// Put aside.
    Aside(Aside<B>),
}

impl<const P: usize, const B: usize> Origin<P, B> {
    /// Zero, without a factor.
    pub(super) fn new(n: usize) -> Self {
        Self {
            u: vec![[Complex64::ZERO; P]; n],
            here: false,
            factor: Kept::No(Aside::default()),
        }
    }

    /// It is this one from now on.
    pub(super) fn move_to(&mut self, u: &[[Complex64; P]]) {
        self.u.copy_from_slice(u);
        let (Kept::No(room) | Kept::InUse(room) | Kept::Aside(room)) = &mut self.factor;
        self.factor = Kept::No(std::mem::take(room));
    }

    /// The state is another one from now on.
    pub(super) fn left(&mut self) {
        self.here = false;
    }

    /// A factor of the present state has been made.
    pub(super) fn made(&mut self) {
        if let (true, Kept::No(room)) = (self.here, &mut self.factor) {
            self.factor = Kept::InUse(std::mem::take(room));
        }
    }

    /// Keeps the factor from what is done to the one in use.
    pub(super) fn put_aside(&mut self, ldl: &mut BlockLdl<B>) {
        if let Kept::InUse(room) = &mut self.factor {
            ldl.swap(room);
            self.factor = Kept::Aside(std::mem::take(room));
        }
    }

    /// Makes it the present state, with its factor; false when there is none.
    pub(super) fn take_out(&mut self, u: &mut [[Complex64; P]], ldl: &mut BlockLdl<B>) -> bool {
        u.copy_from_slice(&self.u);
        self.here = true;
        if let Kept::Aside(kept) = &mut self.factor {
            ldl.swap(kept);
            self.factor = Kept::InUse(std::mem::take(kept));
        }
        matches!(self.factor, Kept::InUse(_))
    }
}
