//! Current injection: the network's own factor, and the currents that loads take at the voltages
//! of the iteration before (Garcia et al., "Three-phase power flow calculations using the current
//! injection method", IEEE Trans. Power Systems, 2000; Kersting, ch. 10, for radial feeders).
//!
//! The factor depends on admittances and switch states only and is kept from run to run. An
//! iteration is the load currents, one pass through the factor forward and one backward: three
//! products of an entry with a voltage for each node of a radial network, all in the order they lie
//! in memory. Steps shrink by about the relative voltage drop at a time; where that is not fast
//! enough (loads near what the network can carry), Newton-Raphson has to take over.

use super::case::{Case, Largest, Role};
use super::structure::{Admittance, YBus};
use super::{Options, worse};
use crate::network::Revision;
use crate::sparse::{Lu, Singular};

/// Each step has to be less than this of the one before: as many iterations as Newton has then do.
const CONTRACTING: f64 = 0.5;

/// The kept factor, and room for an iteration.
#[derive(Clone, Debug)]
pub(super) struct Current<E: Admittance> {
    lu: Lu<E>,
    /// The grid the factor is of.
    revision: Option<Revision>,
    /// Currents, then voltages.
    next: Vec<E::Vector>,
}

impl<E: Admittance> Current<E> {
    pub(super) fn new(y: &YBus<E>) -> Self {
        Self {
            lu: Lu::on(y.pattern.clone()),
            revision: None,
            next: vec![E::ZERO_VECTOR; y.diagonal.len()],
        }
    }

    /// Solves a case, from its present voltages or from those without load; the iterations needed.
    /// `injected` is what appliances inject at a row and its voltage.
    ///
    /// None where this is no way to solve it: the network is singular without its loads, or the
    /// steps do not shrink fast enough.
    pub(super) fn solve(
        &mut self,
        case: &mut Case<E>,
        from_no_load: bool,
        options: &Options,
        injected: impl Fn(usize, &E::Vector) -> E::Vector + Copy,
    ) -> Option<usize> {
        self.factor(case).ok()?;
        if from_no_load {
            self.start(case);
        }
        case.settle_sources(injected);
        self.converge(case, options, injected)
    }

    /// Factors the network, unless the factor is of this very revision.
    fn factor(&mut self, case: &Case<E>) -> Result<(), Singular> {
        let same = |(own, other): (&Revision, &Revision)| own.is(other);
        if self
            .revision
            .as_ref()
            .zip(case.revision.as_ref())
            .is_some_and(same)
        {
            return Ok(());
        }
        self.revision = None;
        case.y.load(&mut self.lu, &case.role, |_| E::ZERO);
        let sources = case.sources.iter();
        for s in sources.filter(|s| case.role[s.row].is_solved()) {
            self.lu.triangles().0[s.row].add(&s.y);
        }
        self.lu.factor()?;
        self.revision.clone_from(&case.revision);
        Ok(())
    }

    /// Makes the case's voltages those without any load.
    fn start(&mut self, case: &mut Case<E>) {
        case.u.fill(E::ZERO_VECTOR);
        for s in &case.sources {
            case.u[s.row] = s.u;
        }
        inject_sources(case, &mut self.next, |_, _| E::ZERO_VECTOR);
        std::mem::swap(&mut self.next, &mut case.u);
        self.lu.solve_in_order(&mut case.u);
    }

    /// Iterates until the steps are small; how often. None when they do not shrink.
    fn converge(
        &mut self,
        case: &mut Case<E>,
        options: &Options,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) -> Option<usize> {
        let (mut last, mut refinements) = (f64::INFINITY, 0);
        for iteration in 1..=options.max_iterations {
            let refined = refinements > 0;
            let change = if refined {
                self.refine(case, &injected)
            } else {
                self.iterate(case, &injected)
            };
            let change = worse(change, case.settle_sources(&injected));
            if refined && change < options.tolerance {
                return Some(iteration);
            }
            // The first refinement may undo rounding only, and no step is compared with none.
            let rate = if last.is_finite() { change / last } else { 1.0 };
            let contracting = rate < CONTRACTING || last.is_infinite();
            if !change.is_finite() || refinements > 1 && !contracting {
                return None;
            }
            // From the last step there will be if they go on like that, or when rounding is all
            // there is.
            let closing = change * rate < options.tolerance;
            if refined || closing || !contracting {
                refinements += 1;
            }
            last = change;
        }
        None
    }

    /// Voltages at the load currents of the present ones; the largest change.
    fn iterate(
        &mut self,
        case: &mut Case<E>,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) -> f64 {
        inject_sources(case, &mut self.next, injected);
        self.lu.solve_in_order(&mut self.next);
        let mut change = Largest::default();
        for (u, next) in case.u.iter().zip(&self.next) {
            change.add(E::largest_sqr(&E::difference(next, u)));
        }
        std::mem::swap(&mut self.next, &mut case.u);
        change.root()
    }

    /// The same from what the balance of currents misses: slower, and without the rounding of
    /// large admittances that cancel, so the last iteration of a run.
    fn refine(
        &mut self,
        case: &mut Case<E>,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) -> f64 {
        case.missing(&mut self.next, injected);
        self.lu.solve_in_order(&mut self.next);
        let mut change = Largest::default();
        for (u, step) in case.u.iter_mut().zip(&self.next) {
            change.add(E::largest_sqr(step));
            *u = E::sum(u, step);
        }
        change.root()
    }
}

/// The right-hand side: currents of appliances and sources; the voltage of rows that have it set.
fn inject_sources<E: Admittance>(
    case: &Case<E>,
    rhs: &mut [E::Vector],
    injected: impl Fn(usize, &E::Vector) -> E::Vector,
) {
    for (k, (rhs, u)) in rhs.iter_mut().zip(&case.u).enumerate() {
        *rhs = injected(k, u);
    }
    for s in &case.sources {
        match case.role[s.row] {
            Role::Dead => {}
            Role::Stiff => rhs[s.row] = case.u[s.row],
            Role::Free | Role::Held => {
                let opposite = E::difference(&E::ZERO_VECTOR, &s.u);
                s.y.subtract_apply(&opposite, &mut rhs[s.row]);
            }
        }
    }
}
