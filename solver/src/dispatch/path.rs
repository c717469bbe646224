//! The way from one dispatch to the next: straight.
//!
//! Limits hold for the state that the awards lead to, and for the one that they come from. Units
//! that each take their own time lead through states that nobody has checked: a fast one is there
//! while a slow one, that was to make room for it, still is where it was. On a straight common way
//! all units are the same share of their way along at any moment, so that every state in between
//! is a mean of two that are known. Currents are nearly linear in what is injected and voltages
//! nearly so (the network's losses are what they are off by), hence limits that hold at both ends hold in
//! between (Boyd and Vandenberghe, Convex Optimization, 2.1.4: a convex set holds its segments).
//!
//! Active power moves at a ramp, reactive power follows what it is told with a lag of first order
//! (VDE-AR-N 4110, 10.2.2.4: "PT1"). Told a stage's end, it would always be late: it is told as much
//! more as brings it there in time, never beyond the award. Towards the end there is no more to be
//! told, and all units come in as slowly as the slowest reactive power.

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
    /// Time constant with which reactive power follows what it is told, s; 0: at once.
    pub q_lag_s: f64,
}

/// Once no more of the way than this is left, it is done.
const DONE: f64 = 0.05;

impl Way {
    /// What the unit is told for a stage that begins when the share `begin` (0 to 1) of the way is
    /// done and is to end at the share `end`, `stage_s` later.
    #[must_use]
    pub fn told(&self, (begin, end): (f64, f64), stage_s: f64) -> Power {
        let Power { p_w, q_var } = self.from;
        // At the end exactly the award, whatever the rounding on the way.
        let to = |from: f64, to: f64, share: f64| match share < 1.0 {
            true => from + share.max(0.0) * (to - from),
            false => to,
        };
        let ahead = begin + (end - begin) / follows(self.q_lag_s, stage_s);
        Power {
            p_w: to(p_w, self.to.p_w, end),
            q_var: to(q_var, self.to.q_var, ahead),
        }
    }

    /// Time that the unit's active power needs, s.
    #[must_use]
    pub fn time_s(&self) -> f64 {
        (self.to.p_w - self.from.p_w).abs() / self.ramp_w_per_s
    }
}

/// The shares of the way done at the end of each stage of `stage_s`, s: the last is 1. Straight, in the
/// time of the slowest unit's active power and at most `most_s` (what is slower then arrives later, by
/// itself), until the slowest reactive power falls behind; from there on as that comes in. With `most_s`
/// of 0 there is one stage.
#[must_use]
pub fn shares(ways: &[Way], stage_s: f64, most_s: f64) -> Vec<f64> {
    let most = |values: &mut dyn Iterator<Item = f64>| {
        // A way that is not a number has no say.
        values.filter(|v| v.is_finite()).fold(0.0, f64::max)
    };
    let time_s = most(&mut ways.iter().map(Way::time_s)).min(most_s);
    let lag_s = most(&mut ways.iter().map(|way| way.q_lag_s)).min(most_s);
    let linear = (stage_s / time_s).min(1.0);
    let last = follows(lag_s, stage_s);
    let mut shares = Vec::new();
    let mut done = 0.0;
    while done < 1.0 {
        done = (done + linear).min(done + (1.0 - done) * last);
        if done > 1.0 - DONE {
            done = 1.0;
        }
        shares.push(done);
    }
    shares
}

/// The share of a step that a lag of first order follows within `time_s`.
fn follows(lag_s: f64, time_s: f64) -> f64 {
    if lag_s > 0.0 {
        1.0 - (-time_s / lag_s).exp()
    } else {
        1.0
    }
}
