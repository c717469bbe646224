//! The way from one dispatch to the next: straight.
//!
//! Limits hold for the state that the awards lead to, and for the one that they come from. Units
//! that each take their own time lead through states that nobody has checked: a fast one is there
//! while a slow one, that was to make room for it, still is where it was. On a straight common way
//! all units are the same share of their way along at any moment, so that every state in between
//! is a mean of two that are known. Currents are nearly linear in what is injected and voltages
//! nearly so (the network's losses are what they are off by), hence limits that hold at both ends hold in
//! between (Boyd and Vandenberghe, Convex Optimization, 2.1.4: a convex set holds its segments).

/// What a unit delivers, generation-positive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Power {
    /// Active power, W.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
}

/// A unit's way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    /// Where it is.
    pub from: Power,
    /// Where it shall be.
    pub to: Power,
    /// How fast it may move, W/s; above 0.
    pub ramp_w_per_s: f64,
}

impl Way {
    /// Where the unit is to be when `share` (0 to 1) of the way is done.
    #[must_use]
    pub fn at(&self, share: f64) -> Power {
        // At the end exactly the award, whatever the rounding on the way.
        if share >= 1.0 {
            return self.to;
        }
        let between = |from: f64, to: f64| from + share.max(0.0) * (to - from);
        Power {
            p_w: between(self.from.p_w, self.to.p_w),
            q_var: between(self.from.q_var, self.to.q_var),
        }
    }

    /// Time that the unit needs, s.
    #[must_use]
    pub fn time_s(&self) -> f64 {
        (self.to.p_w - self.from.p_w).abs() / self.ramp_w_per_s
    }

    /// How fast it moves when its way takes this time, W/s.
    #[must_use]
    pub fn rate_w_per_s(&self, time_s: f64) -> f64 {
        (self.to.p_w - self.from.p_w).abs() / time_s
    }
}

/// Time that all units take together, s: the slowest one's, at most `most_s` (what is slower then
/// arrives later, by itself).
#[must_use]
pub fn common_time_s<'a>(ways: impl IntoIterator<Item = &'a Way>, most_s: f64) -> f64 {
    let times = ways.into_iter().map(Way::time_s);
    // A way that is not a number has no say.
    times
        .filter(|t| t.is_finite())
        .fold(0.0, f64::max)
        .min(most_s)
}
