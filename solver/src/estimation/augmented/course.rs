//! How the steps of a fit go: when they are at the end, and when a new factor is better than
//! another step with the old one (chord iteration; Ortega and Rheinboldt, 1970, section 7.1).

/// Newton decrement below which the gradient counts as zero, standard deviations.
pub(super) const GRADIENT_TOLERANCE: f64 = 1e-4;
/// A decrement that shrinks no more than this has reached rounding.
const STAGNATION: f64 = 0.5;
/// Steps that shrink by no more than this show that the factor does not serve.
const SLOW: f64 = 0.5;
/// Steps that shrink by no more than this do not tell how the next ones will.
const UNSTEADY: f64 = 0.3;
/// Steps that do not shrink are rounding when they are this far below the tolerance.
const ROUNDING: f64 = 0.01;
/// How much a step of this length leaves of itself, at most; by experience.
pub(super) const NONLINEARITY: f64 = 4.0;
/// What a step leaves grows by no more than this with the distance from its factor; the rest is of
/// Gauss and Newton's method itself, which leaves the residuals' curvature out.
const STEEPEST: f64 = 100.0;
/// A step this short from a new factor leaves almost nothing, or the factor is too rough: so much
/// of it.
const SHORT: (f64, f64) = (1e-3, 0.1);
/// This many slow steps with a new factor, and it will not converge.
const CRAWL: usize = 4;
/// A new factor costs about as much as this many steps.
const STEPS_PER_FACTOR: f64 = 6.0;
/// The same in the first steps: these shrink faster than those to come with the same factor, so that
/// a new one is worth more than they show.
const STEPS_PER_EARLY_FACTOR: f64 = 2.5;
/// So many steps after the first tell little.
const EARLY: usize = 2;

/// The steps of a fit so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    tolerance: f64,
    /// How much the first step leaves of itself, by its length: what it left last time.
    leaves: f64,
    /// Newton decrement of the first step.
    first: f64,
    /// Length and Newton decrement of the last step.
    last: Option<(f64, f64)>,
    /// Steps after the first.
    compared: usize,
    crawled: usize,
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// Nothing: what is left is below the tolerance, and so much of the decrement.
    Stop(f64),
    /// Another one.
    Step,
    /// Another one, with a new factor.
    Factor,
    /// Another one, with the factor in full precision.
    Exact,
    /// Give up.
    Stuck,
}

/// The factor that a step was made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// Right before the step.
    pub(super) new: bool,
    /// So far from where the step led, pu or rad.
    pub(super) moved: f64,
    /// Used in single precision.
    pub(super) rough: bool,
}

impl Course {
    pub(super) fn new(tolerance: f64, leaves: f64) -> Self {
        Self {
            tolerance,
            leaves,
            first: f64::INFINITY,
            last: None,
            compared: 0,
            crawled: 0,
        }
    }

    /// How much the first step left of itself, by its length; unless there was a second one, as before.
    pub(super) fn leaves(&self) -> f64 {
        self.leaves
    }

    /// Newton decrement of the first step; infinite before it.
    pub(super) fn first_decrement(&self) -> f64 {
        self.first
    }

    /// Length of the last step; infinite before the first.
    pub(super) fn last_step(&self) -> f64 {
        self.last.map_or(f64::INFINITY, |(size, _)| size)
    }

    /// What to do after a step of this length and Newton decrement.
    pub(super) fn after(&mut self, size: f64, decrement: f64, made: Made) -> Next {
        let Some((last, before)) = self.last.replace((size, decrement)) else {
            self.first = decrement;
            if size < self.tolerance && decrement < GRADIENT_TOLERANCE {
                return Next::Stop(decrement);
            }
            // Of the first one it is only known that a long one leaves much.
            return self.pays(size, self.leaves * size, made.moved);
        };
        self.compared += 1;
        let (ratio, eases) = (size / last, decrement / before);
        if self.compared == 1 {
            self.leaves = (ratio / last).min(NONLINEARITY);
        }
        // What is left when the steps go on shrinking like this.
        let left = if ratio > SLOW {
            size / ROUNDING
        } else {
            2.0 * size * ratio
        };
        let pull = decrement * eases.min(1.0);
        if left < self.tolerance && (pull < GRADIENT_TOLERANCE || eases > STAGNATION) {
            return Next::Stop(pull);
        }
        self.crawled += usize::from(made.new && ratio > SLOW);
        let too_rough = made.new && size < SHORT.0 && ratio > SHORT.1;
        if made.rough && (too_rough || self.crawled > CRAWL) {
            self.crawled = 0;
            return Next::Exact;
        }
        if self.crawled > CRAWL {
            return Next::Stuck;
        }
        // With an older factor multipliers lag behind the voltages, and a step may be as long as
        // the one before although the gradient shrinks; the next one is short then.
        self.pays(size, ratio.min(eases), made.moved)
    }

    /// Whether a new factor now is better than another step with the old one.
    ///
    /// With a factor made at a distance `moved`, each step leaves `shrinks` of the error. What of
    /// that comes from the distance is in proportion to it: a factor made at an error `e` leaves
    /// `e shrinks / moved`.
    fn pays(&self, size: f64, shrinks: f64, moved: f64) -> Next {
        let cost = match self.compared {
            0..=EARLY => STEPS_PER_EARLY_FACTOR,
            _ => STEPS_PER_FACTOR,
        };
        if shrinks > UNSTEADY {
            let many = size * shrinks.powf(cost) > self.tolerance;
            return if many { Next::Factor } else { Next::Step };
        }
        let error = size * shrinks / (1.0 - shrinks);
        let steps =
            |error: f64, leaves: f64| ((self.tolerance / error).ln() / leaves.ln()).max(0.0);
        let anew = |error: f64| {
            let leaves = (error * shrinks / moved).max(shrinks - STEEPEST * moved);
            cost + steps(error, leaves.min(SLOW))
        };
        let now = anew(error);
        if now < steps(error, shrinks) && now < 1.0 + anew(error * shrinks) {
            Next::Factor
        } else {
            Next::Step
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(moved: f64) -> Made {
        Made {
            new: false,
            moved,
            rough: true,
        }
    }

    /// Short steps alone are no optimum: where very exact meters are, a step below the tolerance may
    /// still be many standard deviations.
    #[test]
    fn goes_on_while_the_gradient_shrinks() {
        let mut course = Course::new(1e-8, NONLINEARITY);
        course.after(1e-8, 50.0, made(1e-3));
        let next = course.after(1e-10, 0.5, made(1e-3));
        assert!(!matches!(next, Next::Stop(_)), "{next:?}");
        // Below its tolerance, or where it does not shrink any more, it is the end.
        let next = course.after(1e-11, 1e-5, made(1e-3));
        assert!(matches!(next, Next::Stop(_)), "{next:?}");
        let mut course = Course::new(1e-8, NONLINEARITY);
        course.after(1e-8, 50.0, made(1e-3));
        let next = course.after(1e-10, 40.0, made(1e-3));
        assert!(matches!(next, Next::Stop(_)), "{next:?}");
    }

    /// Near the end some more steps are cheaper than a new factor; far from it they are not.
    #[test]
    fn a_new_factor_pays_far_from_the_end() {
        let mut course = Course::new(1e-8, NONLINEARITY);
        course.after(5e-2, 10.0, made(5e-2));
        assert_eq!(course.after(1.3e-2, 1.1, made(6.3e-2)), Next::Factor);
        let mut course = Course::new(1e-8, NONLINEARITY);
        for (size, decrement) in [(5e-2, 1e4), (1.7e-2, 450.0), (1.6e-3, 23.0)] {
            assert_eq!(course.after(size, decrement, made(6.6e-2)), Next::Step);
        }
        assert_eq!(course.after(1.8e-4, 2.7, made(6.6e-2)), Next::Step);
    }

    /// After a first step it is only known what one left last time.
    #[test]
    fn what_the_last_fit_left_tells_what_a_long_step_leaves() {
        let mut course = Course::new(1e-8, NONLINEARITY);
        assert_eq!(course.after(1.3e-2, 106.0, made(0.23)), Next::Factor);
        course.after(8e-5, 0.4, made(0.23));
        let left = course.leaves();
        assert!((left - 8e-5 / 1.3e-2 / 1.3e-2).abs() < 1e-12, "{left}");
        let mut next = Course::new(1e-8, left);
        assert_eq!(next.after(1.3e-2, 106.0, made(0.23)), Next::Step);
        // It is never taken for more than experience says.
        next.after(1.2e-2, 90.0, made(0.23));
        assert_eq!(next.leaves(), NONLINEARITY);
    }
}
