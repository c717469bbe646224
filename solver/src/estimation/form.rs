//! One value for all phases together, or one for each: what makes an estimate symmetrical or by
//! phase.

use std::fmt::Debug;

/// How quantities come.
pub trait Form: Clone + Debug + PartialEq {
    /// A value for all phases together, or one for each.
    type Of<T: Clone + Debug + PartialEq>: Clone + Debug + PartialEq;
    /// How many values there are.
    const PHASES: usize;
    /// From the value of each phase.
    fn of<T: Clone + Debug + PartialEq>(value: impl FnMut(usize) -> T) -> Self::Of<T>;
    /// The value of a phase.
    fn phase<T: Clone + Debug + PartialEq>(values: &Self::Of<T>, phase: usize) -> &T;
    /// The place for the value of a phase.
    fn phase_mut<T: Clone + Debug + PartialEq>(values: &mut Self::Of<T>, phase: usize) -> &mut T;
}

/// Symmetrical: the positive sequence stands for all phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sym;

/// The phases a, b, c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asym;

impl Form for Sym {
    type Of<T: Clone + Debug + PartialEq> = T;
    const PHASES: usize = 1;
    fn of<T: Clone + Debug + PartialEq>(mut value: impl FnMut(usize) -> T) -> T {
        value(0)
    }
    fn phase<T: Clone + Debug + PartialEq>(values: &T, _phase: usize) -> &T {
        values
    }
    fn phase_mut<T: Clone + Debug + PartialEq>(values: &mut T, _phase: usize) -> &mut T {
        values
    }
}

impl Form for Asym {
    type Of<T: Clone + Debug + PartialEq> = [T; 3];
    const PHASES: usize = 3;
    fn of<T: Clone + Debug + PartialEq>(value: impl FnMut(usize) -> T) -> [T; 3] {
        std::array::from_fn(value)
    }
    fn phase<T: Clone + Debug + PartialEq>(values: &[T; 3], phase: usize) -> &T {
        &values[phase]
    }
    fn phase_mut<T: Clone + Debug + PartialEq>(values: &mut [T; 3], phase: usize) -> &mut T {
        &mut values[phase]
    }
}
