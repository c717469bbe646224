//! The iteration: one factor for as many steps as it serves.

use num_complex::Complex64;

use super::evaluate::Port;
use super::flat::{End, Flat};
use super::network::Folded;
use crate::sparse::{BlockLdl, Blocks};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// No step is longer than this, pu and rad.
const LONGEST_STEP: f64 = 0.5;
/// Newton decrement below which the gradient counts as zero, standard deviations.
const GRADIENT_TOLERANCE: f64 = 1e-4;
/// A decrement that shrinks no more than this has reached rounding.
const STAGNATION: f64 = 0.5;
/// Steps that shrink by no more than this show that the factor does not serve.
const SLOW: f64 = 0.5;
/// Steps that do not shrink are rounding when they are this far below the tolerance.
const ROUNDING: f64 = 0.01;
/// How much a step of this length leaves of itself, at least; by experience.
const NONLINEARITY: f64 = 4.0;
/// This many slow steps with a new factor, and it will not converge.
const CRAWL: usize = 4;
/// A new factor costs about as much as this many steps.
const STEPS_PER_FACTOR: f64 = 2.5;

/// Whether a new factor now is better than another step with the old one.
///
/// With a factor made at a distance `moved`, each step leaves `shrinks` of the error, in proportion to
/// the distance: so one made at an error `e` leaves `e shrinks / moved` of it.
fn factor_pays(size: f64, shrinks: f64, moved: f64, tolerance: f64) -> bool {
    if shrinks >= SLOW {
        return true;
    }
    let error = size * shrinks / (1.0 - shrinks);
    let steps = |error: f64, leaves: f64| ((tolerance / error).ln() / leaves.ln()).max(0.0);
    let anew = |error: f64| STEPS_PER_FACTOR + steps(error, (error * shrinks / moved).min(SLOW));
    anew(error) < steps(error, shrinks) && anew(error) < 1.0 + anew(error * shrinks)
}

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::estimation) struct Outcome {
    /// Steps taken.
    pub(in crate::estimation) iterations: usize,
    /// Factors made.
    pub(in crate::estimation) factors: usize,
    /// Newton decrement of the last step.
    pub(in crate::estimation) gradient_norm: f64,
    /// Sum of the squares of residuals over standard deviations.
    pub(in crate::estimation) objective: f64,
}

/// Why there is no result: singular, or the steps do not shrink. The orthogonal fit tells why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::estimation) struct Stuck {
    /// Steps taken.
    pub(in crate::estimation) iterations: usize,
    /// Largest change of a voltage in the last one, pu or rad.
    pub(in crate::estimation) step: f64,
}

/// A problem with its state and factor. `B` is `4 P`.
///
/// Nodes are numbered by elimination inside; the methods take and give them as in `new`.
#[derive(Clone, Debug)]
pub(in crate::estimation) struct Augmented<const P: usize, const B: usize> {
    pub(super) flat: Flat<P>,
    pub(super) folded: Folded<P>,
    pub(super) ldl: BlockLdl<B>,
    /// By branch: its block in the matrix; none where both ends are one node.
    pub(super) coupling: Vec<Option<usize>>,
    pub(super) u: Vec<[Complex64; P]>,
    /// Multipliers of active (real) and reactive power.
    pub(super) lambda: Vec<[Complex64; P]>,
    /// Current from each node into the network, at the state evaluated last.
    pub(super) current: Vec<[Complex64; P]>,
    pub(super) costate: Vec<[Complex64; P]>,
    pub(super) cocurrent: Vec<[Complex64; P]>,
    pub(super) gradient: Vec<[Complex64; P]>,
    pub(super) rhs: Vec<[f64; B]>,
    step: Vec<[f64; B]>,
    pub(super) objective: f64,
    /// There is a factor, made so far from the present state.
    moved: Option<f64>,
    origin: Origin<P, B>,
}

/// Where a fit began: its factor is the same each time it begins there.
#[derive(Clone, Debug)]
struct Origin<const P: usize, const B: usize> {
    u: Vec<[Complex64; P]>,
    /// It is the present state.
    here: bool,
    factor: Kept<B>,
}

/// The factor of the origin.
#[derive(Clone, Debug)]
enum Kept<const B: usize> {
    /// Not made yet; room for it, if any.
    No(Blocks<B>),
    /// Is the one in use; room for the next one.
    InUse(Blocks<B>),
    /// Put aside.
    Aside(Blocks<B>),
}

impl<const P: usize, const B: usize> Augmented<P, B> {
    const FITS: () = assert!(B == 4 * P, "a block holds 2 P voltages and 2 P multipliers");

    /// Takes over a problem; the state is zero.
    pub(in crate::estimation) fn new(mut flat: Flat<P>) -> Self {
        let () = Self::FITS;
        let n = flat.shunts.len();
        let edges: Vec<(usize, usize)> = flat.branches.iter().map(|b| (b.from, b.to)).collect();
        let ldl = BlockLdl::new(n, &edges);
        flat.renumber(ldl.place());
        let coupling = (flat.branches.iter())
            .map(|b| ldl.coupling(b.from.min(b.to), b.from.max(b.to)))
            .collect();
        Self {
            folded: Folded::new(&flat),
            flat,
            ldl,
            coupling,
            u: vec![[ZERO; P]; n],
            lambda: vec![[ZERO; P]; n],
            current: vec![[ZERO; P]; n],
            costate: vec![[ZERO; P]; n],
            cocurrent: vec![[ZERO; P]; n],
            gradient: vec![[ZERO; P]; n],
            rhs: vec![[0.0; B]; n],
            step: vec![[0.0; B]; n],
            objective: f64::NAN,
            moved: None,
            origin: Origin {
                u: vec![[ZERO; P]; n],
                here: false,
                factor: Kept::No(Blocks::default()),
            },
        }
    }

    /// Place of each node, and the problem by places: values may be changed. So may the rest but
    /// the network, at the cost of a factor when the one there is does not serve any more.
    pub(in crate::estimation) fn problem(&mut self) -> (&[usize], &mut Flat<P>) {
        (self.ldl.place(), &mut self.flat)
    }

    /// Begins anew at node voltages in the order given to `new`.
    pub(in crate::estimation) fn start(&mut self, u: impl Iterator<Item = [Complex64; P]>) {
        for (&place, u) in self.ldl.place().iter().zip(u) {
            self.origin.u[place] = u;
        }
        self.origin.forget();
        self.restart();
    }

    /// Begins anew where it began last time, with the factor of there.
    pub(in crate::estimation) fn restart(&mut self) {
        self.u.copy_from_slice(&self.origin.u);
        self.lambda.fill([ZERO; P]);
        self.origin.here = true;
        self.moved = self.origin.take_out(&mut self.ldl).then_some(0.0);
    }

    /// Voltages of a node.
    pub(in crate::estimation) fn u(&self, node: usize) -> &[Complex64; P] {
        &self.u[self.ldl.place()[node]]
    }

    /// Powers fed in at a node.
    pub(in crate::estimation) fn injection(&self, node: usize) -> [Complex64; P] {
        let place = self.ldl.place()[node];
        std::array::from_fn(|p| self.u[place][p] * self.current[place][p].conj())
    }

    /// Powers and currents entering a branch at its from and to side.
    pub(in crate::estimation) fn branch(&self, k: usize) -> [([Complex64; P], [Complex64; P]); 2] {
        [End::From(k), End::To(k)].map(|end| {
            let port = Port::new(&self.flat, end);
            let (u, i) = (&self.u[port.own], port.current(&self.u));
            (std::array::from_fn(|p| u[p] * i[p].conj()), i)
        })
    }

    /// Moves the state to the optimum, to within `tolerance`, pu and rad.
    ///
    /// # Errors
    /// The matrix is singular, or the steps do not shrink.
    pub(in crate::estimation) fn fit(
        &mut self,
        tolerance: f64,
        max_iterations: usize,
    ) -> Result<Outcome, Stuck> {
        let mut outcome = Outcome {
            iterations: 0,
            factors: 0,
            gradient_norm: f64::INFINITY,
            objective: f64::NAN,
        };
        let mut last = f64::INFINITY;
        let mut crawled = 0;
        let mut fresh = self.moved.is_none();
        self.evaluate();
        while outcome.iterations < max_iterations {
            let stuck = |iterations, step| Stuck { iterations, step };
            if fresh {
                self.moved = None;
                self.origin.put_aside(&mut self.ldl);
                self.factor().map_err(|_| stuck(outcome.iterations, last))?;
                self.origin.made();
                self.moved = Some(0.0);
                outcome.factors += 1;
            }
            outcome.iterations += 1;
            let (size, decrement) = self.step();
            if !(size.is_finite() && decrement.is_finite()) {
                self.moved = None;
                return Err(stuck(outcome.iterations, size));
            }
            self.advance((LONGEST_STEP / size).min(1.0));
            self.evaluate();
            let moved = self.moved.unwrap_or(0.0) + size;
            self.moved = Some(moved);
            let first = !last.is_finite();
            // How the steps shrink; of the first one only that a long one will leave much.
            let ratio = if first {
                (NONLINEARITY * size).min(SLOW)
            } else {
                size / last
            };
            let before = std::mem::replace(&mut outcome.gradient_norm, decrement);
            let still = decrement < GRADIENT_TOLERANCE || decrement > STAGNATION * before;
            // What is left when the steps go on shrinking like this.
            let left = match ratio {
                _ if first => size,
                _ if ratio > SLOW => size / ROUNDING,
                _ => 2.0 * size * ratio,
            };
            if left < tolerance && still {
                outcome.objective = self.objective;
                return Ok(outcome);
            }
            // With an older factor multipliers lag behind the voltages, and a step may be as long as
            // the one before although the gradient shrinks; the next one is short then.
            let shrinks = if first {
                ratio
            } else {
                ratio.min(decrement / before)
            };
            crawled += usize::from(fresh && ratio > SLOW);
            if crawled > CRAWL {
                return Err(stuck(outcome.iterations, size));
            }
            fresh = factor_pays(size, shrinks, moved, tolerance);
            last = size;
        }
        Err(Stuck {
            iterations: outcome.iterations,
            step: last,
        })
    }

    /// Solves for the step; its largest change of a voltage, and its Newton decrement, not a number
    /// when the factor is of no use.
    fn step(&mut self) -> (f64, f64) {
        self.step.copy_from_slice(&self.rhs);
        self.ldl.solve(&mut self.step);
        let (mut size, mut squared) = (0.0_f64, 0.0);
        for (step, rhs) in self.step.iter().zip(&self.rhs) {
            for i in 0..2 * P {
                let change = step[i].abs();
                if change > size || change.is_nan() {
                    size = change;
                }
                // With K the matrix, (dz, -dλ)ᵀ K (dz, dλ) = dzᵀ G dz + dλᵀ R dλ.
                squared += step[i] * rhs[i] - step[2 * P + i] * rhs[2 * P + i];
            }
        }
        // Below zero by more than rounding, the factor has lost what the measurements say: very
        // exact flows in very short lines leave nothing of the rest in their squares.
        let lost = squared < -GRADIENT_TOLERANCE * GRADIENT_TOLERANCE;
        (
            size,
            if lost {
                f64::NAN
            } else {
                squared.max(0.0).sqrt()
            },
        )
    }

    /// Goes a part of the step.
    fn advance(&mut self, length: f64) {
        self.origin.here = false;
        for (k, step) in self.step.iter().enumerate() {
            for p in 0..P {
                let fixed = self.flat.fixed[k][p];
                let part = |keep: bool, by: f64| if keep { 0.0 } else { length * by };
                let z = Complex64::new(
                    part(fixed.magnitude, step[2 * p]),
                    part(fixed.angle, step[2 * p + 1]),
                );
                // The exponential up to its cube; exactly a turn or a stretch is not needed.
                let growth = z * (Complex64::ONE + z * (0.5 + z / 6.0));
                let u = &mut self.u[k][p];
                *u += *u * growth;
                let [of_p, of_q] = self.flat.injections[k][p];
                let known = |g: super::Gauss| g.variance < f64::INFINITY;
                self.lambda[k][p] += Complex64::new(
                    part(!known(of_p), step[2 * P + 2 * p]),
                    part(!known(of_q), step[2 * P + 2 * p + 1]),
                );
            }
        }
    }
}

impl<const P: usize, const B: usize> Origin<P, B> {
    /// It is another one.
    fn forget(&mut self) {
        let (Kept::No(room) | Kept::InUse(room) | Kept::Aside(room)) = &mut self.factor;
        self.factor = Kept::No(std::mem::take(room));
    }

    /// A factor has been made.
    fn made(&mut self) {
        if let (true, Kept::No(room)) = (self.here, &mut self.factor) {
            self.factor = Kept::InUse(std::mem::take(room));
        }
    }

    /// Keeps the factor from what is done to the one in use.
    fn put_aside(&mut self, ldl: &mut BlockLdl<B>) {
        if let Kept::InUse(room) = &mut self.factor {
            ldl.swap(room);
            self.factor = Kept::Aside(std::mem::take(room));
        }
    }

    /// Has the factor in use; false when there is none.
    fn take_out(&mut self, ldl: &mut BlockLdl<B>) -> bool {
        if let Kept::Aside(kept) = &mut self.factor {
            ldl.swap(kept);
            self.factor = Kept::InUse(std::mem::take(kept));
        }
        matches!(self.factor, Kept::InUse(_))
    }
}
