//! When fits that follow each other want a new factor though none of them would gain by it alone.
//!
//! A factor is made anew as soon as the old one has cost about as many steps as that costs: never more
//! than twice what would have been best (ski rental: Karlin, Manasse, Rudolph and Sleator, "Competitive
//! snoopy caching", 1988). Where that did not help, it takes twice as long the next time.

/// Steps of a fit that are not the factor's fault.
const FEWEST: usize = 3;
/// Steps that a factor costs, about, and the most that are waited for.
const PATIENCE: (usize, usize) = (6, 96);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wear {
    /// Steps that the factor has cost.
    extra: usize,
    patience: usize,
    /// Steps of the last fit.
    last: usize,
}

impl Wear {
    pub(super) fn new() -> Self {
        Self {
            extra: 0,
            patience: PATIENCE.0,
            last: 0,
        }
    }

    /// The next fit should begin with a new factor.
    pub(super) fn is_due(&self) -> bool {
        self.extra >= self.patience
    }

    /// Takes note of a fit with so many steps, and that it made a factor.
    pub(super) fn found(&mut self, steps: usize, renewed: bool) {
        if renewed {
            self.patience = if self.is_due() && steps >= self.last {
                (2 * self.patience).min(PATIENCE.1)
            } else {
                PATIENCE.0
            };
            self.extra = 0;
        } else {
            self.extra += steps.saturating_sub(FEWEST);
        }
        self.last = steps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fits until a new factor is due.
    fn fits(wear: &mut Wear, steps: usize) -> usize {
        let mut count = 0;
        while !wear.is_due() {
            wear.found(steps, false);
            count += 1;
        }
        count
    }

    #[test]
    fn a_factor_is_renewed_when_it_has_cost_as_much() {
        let mut wear = Wear::new();
        assert_eq!(fits(&mut wear, 7), 2);
        // It helped.
        wear.found(4, true);
        assert_eq!(fits(&mut wear, 4), 6);
        // It does not any more: less and less often.
        wear.found(4, true);
        assert_eq!(fits(&mut wear, 4), 12);
        wear.found(5, true);
        assert_eq!(fits(&mut wear, 4), 24);
        wear.found(3, true);
        assert_eq!(fits(&mut wear, 9), 1);
    }

    #[test]
    fn few_steps_want_no_new_factor() {
        let mut wear = Wear::new();
        for _ in 0..1000 {
            wear.found(FEWEST, false);
        }
        assert!(!wear.is_due());
    }
}
