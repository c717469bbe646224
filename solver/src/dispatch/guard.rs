//! The charge that a battery keeps whatever it was awarded: an award rests on a forecast of it, and on the
//! battery's losses as they were assumed.

/// A battery's charge and where it is to stay; shares of its energy, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Charge {
    /// Now.
    pub soc: f64,
    /// It is not discharged below this,
    pub soc_min: f64,
    /// nor charged above this.
    pub soc_max: f64,
}

/// By so much a charge may be beyond its bounds before anything is done about it: what an award that
/// ends just there is off by.
const SLACK: f64 = 0.01;

impl Charge {
    /// The bound that active power of `p_w`, W, generation-positive, leads further beyond; none: it may go on.
    #[must_use]
    pub fn crossed(&self, p_w: f64) -> Option<f64> {
        if p_w > 0.0 && self.soc < self.soc_min - SLACK {
            return Some(self.soc_min);
        }
        (p_w < 0.0 && self.soc > self.soc_max + SLACK).then_some(self.soc_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leads_further_beyond_a_bound_is_stopped() {
        let crossed = |soc, p_w| {
            let charge = Charge {
                soc,
                soc_min: 0.1,
                soc_max: 0.9,
            };
            charge.crossed(p_w)
        };
        assert_eq!(crossed(0.5, 1e6), None);
        assert_eq!(crossed(0.095, 1e6), None);
        assert_eq!(crossed(0.085, 1.0), Some(0.1));
        assert_eq!(crossed(0.085, -1e6), None);
        assert_eq!(crossed(0.085, 0.0), None);
        assert_eq!(crossed(0.905, -1e6), None);
        assert_eq!(crossed(0.915, -1.0), Some(0.9));
        assert_eq!(crossed(0.915, 1e6), None);
        // An unknown charge stops nothing: its device has an alarm of its own.
        assert_eq!(crossed(f64::NAN, 1e6), None);
    }
}
