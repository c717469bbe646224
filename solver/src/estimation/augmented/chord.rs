//! The iteration: one factor for as many steps as it serves.

use num_complex::Complex64;

use super::course::{Course, GRADIENT_TOLERANCE, Made, NONLINEARITY, Next};
use super::flat::Flat;
use super::forecast::Forecast;
use super::network::Folded;
use super::origin::Origin;
use super::wear::Wear;
use crate::sparse::{BlockLdl, Singular};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// No step is longer than this, pu and rad.
const LONGEST_STEP: f64 = 0.5;

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::estimation) struct Outcome {
    /// Steps taken.
    pub(in crate::estimation) iterations: usize,
    /// Factors made.
    pub(in crate::estimation) factors: usize,
    /// Newton decrement that is left.
    pub(in crate::estimation) gradient_norm: f64,
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
    /// The right-hand side until it is solved for.
    pub(super) rough_step: Vec<[f32; B]>,
    /// The factor serves in single precision.
    rough: bool,
    /// There is a factor, made so far from the present state.
    moved: Option<f64>,
    /// How much the last fit's first step left of itself, by its length.
    leaves: f64,
    origin: Origin<P, B>,
    /// The fit follows the last one.
    follows: bool,
    forecast: Forecast<P>,
    wear: Wear,
}

/// The largest change of a voltage in a step, and the square of its Newton decrement.
#[derive(Default)]
struct Measure {
    size: f64,
    squared: f64,
}

impl Measure {
    /// Of all nodes.
    #[inline(always)]
    fn of<T: Copy + Into<f64>, const B: usize>(steps: &[[T; B]], rhs: &[[f64; B]]) -> Self {
        let mut measure = Self::default();
        for (step, rhs) in steps.iter().zip(rhs) {
            let step: [f64; B] = step.map(Into::into);
            for i in 0..B / 2 {
                // What is not a number shows in the decrement.
                measure.size = measure.size.max(step[i].abs());
                // With K the matrix, (dz, -dλ)ᵀ K (dz, dλ) = dzᵀ G dz + dλᵀ R dλ.
                measure.squared += step[i] * rhs[i] - step[B / 2 + i] * rhs[B / 2 + i];
            }
        }
        measure
    }
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
            rough_step: vec![[0.0; B]; n],
            rough: true,
            moved: None,
            leaves: NONLINEARITY,
            origin: Origin::new(n),
            follows: false,
            forecast: Forecast::new(n),
            wear: Wear::new(),
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
            self.u[place] = u;
        }
        self.origin.move_to(&self.u);
        self.leaves = NONLINEARITY;
        self.restart();
    }

    /// Begins anew where it began last time, with the factor of there.
    pub(in crate::estimation) fn restart(&mut self) {
        self.lambda.fill([ZERO; P]);
        self.follows = false;
        self.forecast.forget();
        let known = self.origin.take_out(&mut self.u, &mut self.ldl);
        self.moved = known.then_some(0.0);
    }

    /// Follows on from where the last fit ended.
    pub(in crate::estimation) fn follow(&mut self) {
        self.follows = true;
        self.forecast.expect(&mut self.u);
        if self.wear.is_due() {
            self.moved = None;
        }
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
        let b = &self.flat.branches[k];
        let (from, to) = (&self.u[b.from], &self.u[b.to]);
        let [of_from, of_to] = self.folded.currents(k, b, from, to);
        [(from, of_from), (to, of_to)]
            .map(|(u, i)| (std::array::from_fn(|p| u[p] * i[p].conj()), i))
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
        };
        let mut course = Course::new(tolerance, self.leaves);
        let mut new = self.moved.is_none();
        self.evaluate();
        while outcome.iterations < max_iterations {
            let stuck = Stuck {
                iterations: outcome.iterations,
                step: course.last_step(),
            };
            if new {
                self.factor_here().map_err(|_| stuck)?;
                outcome.factors += 1;
            }
            outcome.iterations += 1;
            let Some((size, decrement)) = self.step() else {
                if !std::mem::replace(&mut self.rough, false) {
                    self.moved = None;
                    return Err(stuck);
                }
                new = false;
                continue;
            };
            self.advance((LONGEST_STEP / size).min(1.0));
            let moved = self.moved.unwrap_or(0.0) + size;
            self.moved = Some(moved);
            let rough = self.rough;
            let next = course.after(size, decrement, Made { new, moved, rough });
            self.leaves = course.leaves();
            if let Next::Stop(left) = next {
                outcome.gradient_norm = left;
                if self.follows {
                    self.forecast.found(&self.u, course.first_decrement());
                    self.wear.found(outcome.iterations, outcome.factors > 0);
                }
                self.currents();
                return Ok(outcome);
            }
            if next == Next::Stuck {
                break;
            }
            self.rough &= next != Next::Exact;
            new = next == Next::Factor;
            self.evaluate();
        }
        Err(Stuck {
            iterations: outcome.iterations,
            step: course.last_step(),
        })
    }

    /// A factor of the present state, which has been evaluated.
    fn factor_here(&mut self) -> Result<(), Singular> {
        self.moved = None;
        self.origin.put_aside(&mut self.ldl);
        self.factor()?;
        self.origin.made();
        self.moved = Some(0.0);
        Ok(())
    }

    /// Solves for the step, right after an evaluation; its largest change of a voltage, and its Newton decrement. None when
    /// the factor is of no use.
    fn step(&mut self) -> Option<(f64, f64)> {
        let measure = if self.rough {
            self.ldl.solve_roughly(&mut self.rough_step);
            Measure::of(&self.rough_step, &self.rhs)
        } else {
            self.step.copy_from_slice(&self.rhs);
            self.ldl.solve(&mut self.step);
            Measure::of(&self.step, &self.rhs)
        };
        let Measure { size, squared } = measure;
        // Below zero by more than rounding, the factor has lost what the measurements say: very
        // exact flows in very short lines leave nothing of the rest in their squares.
        let useful = squared > -GRADIENT_TOLERANCE * GRADIENT_TOLERANCE;
        let finite = size.is_finite() && squared.is_finite();
        (useful && finite).then(|| (size, squared.max(0.0).sqrt()))
    }

    /// Goes a part of the step.
    fn advance(&mut self, length: f64) {
        self.origin.left();
        let state = (&mut self.u[..], &mut self.lambda[..]);
        if self.rough {
            go(&self.flat, &self.rough_step, length, state);
        } else {
            go(&self.flat, &self.step, length, state);
        }
    }
}

/// Moves voltages and multipliers by a part of these steps.
fn go<T: Copy + Into<f64>, const P: usize, const B: usize>(
    flat: &Flat<P>,
    steps: &[[T; B]],
    length: f64,
    (u, lambda): (&mut [[Complex64; P]], &mut [[Complex64; P]]),
) {
    let nodes = steps.iter().zip(&flat.fixed).zip(&flat.injections);
    for (((step, fixed), known), (u, lambda)) in nodes.zip(u.iter_mut().zip(lambda)) {
        let step: [f64; B] = step.map(Into::into);
        for p in 0..P {
            let part = |keep: bool, by: f64| if keep { 0.0 } else { length * by };
            let z = Complex64::new(
                part(fixed[p].magnitude, step[2 * p]),
                part(fixed[p].angle, step[2 * p + 1]),
            );
            // The exponential up to its cube; exactly a turn or a stretch is not needed.
            let growth = z * (Complex64::ONE + z * (0.5 + z * (1.0 / 6.0)));
            u[p] += u[p] * growth;
            let [of_p, of_q] = known[p];
            let known = |g: super::Gauss| g.variance < f64::INFINITY;
            lambda[p] += Complex64::new(
                part(!known(of_p), step[2 * P + 2 * p]),
                part(!known(of_q), step[2 * P + 2 * p + 1]),
            );
        }
    }
}
