//! Current injection: the network's own factor, and the currents that loads take at the voltages
//! of the iteration before (Garcia et al., "Three-phase power flow calculations using the current
//! injection method", IEEE Trans. Power Systems, 2000; Kersting, ch. 10, for radial feeders).
//!
//! The factor depends on admittances and switch states only and is kept from run to run, as are the
//! voltages without load. An iteration is the load currents, one pass through the factor forward
//! and one backward: three products of an entry with a voltage for each node of a radial network,
//! all in the order they lie in memory. Steps shrink by about the relative voltage drop at a time; where that is
//! not fast enough (loads near what the network can carry), Newton-Raphson has to take over.

use super::case::{Case, Largest, Role, Thevenin};
use super::factor::Factor;
use super::structure::Admittance;
use super::{Options, worse};
use crate::network::Revision;

/// Each step has to be less than this of the one before: as many iterations as Newton has then do.
const CONTRACTING: f64 = 0.5;

/// Admittance, pu, from which on rounding where it cancels is told from what flows: 1e-16 of it is
/// 1e-11 pu.
const LARGE: f64 = 1e5;

/// The kept factor, and room for an iteration.
#[derive(Clone, Debug)]
pub(super) struct Current<E: Admittance, F> {
    network: F,
    /// The grid the factor is of; whether it has one.
    revision: Option<(Revision, bool)>,
    /// Whether admittances are so large that a run ends with a refinement.
    refines: bool,
    /// Voltages without load, and the sources' ideal ones that they are of.
    no_load: Vec<E::Vector>,
    no_load_of: Vec<E::Vector>,
    /// Currents, then voltages, by components.
    next: Vec<E::Vector>,
}

impl<E: Admittance, F: Factor<E>> Current<E, F> {
    /// To keep a factor for a case of that many rows.
    pub(super) fn new(network: F, n: usize) -> Self {
        Self {
            network,
            revision: None,
            refines: false,
            no_load: vec![E::ZERO_VECTOR; n],
            no_load_of: Vec::new(),
            next: vec![E::ZERO_VECTOR; n],
        }
    }

    /// Factors the network, unless that has been done with this very revision; whether it has a
    /// factor of this kind.
    pub(super) fn factor(&mut self, case: &Case<E>) -> bool {
        if let Some((own, factored)) = &self.revision
            && case.revision.as_ref().is_some_and(|other| own.is(other))
        {
            return *factored;
        }
        self.no_load_of.clear();
        let factored = self.network.load(case).is_some();
        let solved = case.sources.iter().filter(|s| case.role[s.row].is_solved());
        let sources = solved.map(|s| s.y.size());
        let sizes = case.y.diagonal.iter().map(E::size).chain(sources);
        self.refines = sizes.fold(0.0, f64::max) > LARGE;
        self.revision = case.revision.clone().map(|own| (own, factored));
        factored
    }

    /// Solves a case that has a factor, from its present voltages or from those without load; the
    /// iterations needed. `injected` is what appliances inject at a row and its voltage.
    ///
    /// None where the steps do not shrink fast enough.
    pub(super) fn solve(
        &mut self,
        case: &mut Case<E>,
        from_no_load: bool,
        options: &Options,
        injected: impl Fn(usize, &E::Vector) -> E::Vector + Copy,
    ) -> Option<usize> {
        if from_no_load {
            self.start(case);
        }
        case.settle_sources(injected);
        self.converge(case, options, injected)
    }

    /// Makes the case's voltages those without any load.
    fn start(&mut self, case: &mut Case<E>) {
        let same =
            |(s, u): (&Thevenin<E>, &E::Vector)| E::largest_sqr(&E::difference(&s.u, u)) == 0.0;
        let known = self.no_load_of.len() == case.sources.len()
            && case.sources.iter().zip(&self.no_load_of).all(same);
        if known {
            case.u.copy_from_slice(&self.no_load);
            return;
        }
        case.u.fill(E::ZERO_VECTOR);
        for s in &case.sources {
            case.u[s.row] = s.u;
        }
        self.iterate(case, |_, _| E::ZERO_VECTOR);
        self.no_load.copy_from_slice(&case.u);
        self.no_load_of.clear();
        self.no_load_of.extend(case.sources.iter().map(|s| s.u));
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
            if change < options.tolerance && (refined || !self.refines) {
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
            let closing = self.refines && change * rate < options.tolerance;
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
        currents::<E, F>(case, &mut self.next, injected);
        let mut change = Largest::default();
        let Case { u, .. } = case;
        self.network.solve(&mut self.next, |k, next| {
            change.add(E::largest_sqr(&E::difference(next, &u[k])));
            u[k] = *next;
        });
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
        for next in &mut self.next {
            *next = F::split(next);
        }
        let mut change = Largest::default();
        let Case { u, .. } = case;
        self.network.solve(&mut self.next, |k, step| {
            change.add(E::largest_sqr(step));
            u[k] = E::sum(&u[k], step);
        });
        change.root()
    }
}

/// The right-hand side by components: currents of appliances and sources; the voltage of rows that
/// have it set.
fn currents<E: Admittance, F: Factor<E>>(
    case: &Case<E>,
    rhs: &mut [E::Vector],
    injected: impl Fn(usize, &E::Vector) -> E::Vector,
) {
    for (k, (rhs, u)) in rhs.iter_mut().zip(&case.u).enumerate() {
        *rhs = F::split(&injected(k, u));
    }
    for s in &case.sources {
        let u = &case.u[s.row];
        let own = match case.role[s.row] {
            Role::Dead => continue,
            Role::Stiff => *u,
            Role::Free | Role::Held => {
                let mut current = injected(s.row, u);
                let opposite = E::difference(&E::ZERO_VECTOR, &s.u);
                s.y.subtract_apply(&opposite, &mut current);
                current
            }
        };
        rhs[s.row] = F::split(&own);
    }
}
