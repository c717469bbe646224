//! The curtailment order: what is cut, and how far, when no optimum keeps every limit.

/// Shares that are left of what was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    /// Of sales, and of must-run.
    sell: [f64; 2],
    /// Of purchases, and of must-serve.
    buy: [f64; 2],
    /// Of reactive power, ordered or not.
    pub(super) reactive: f64,
}

impl Cut {
    /// What is left of a block of active power that sells or buys.
    pub(super) fn active(&self, sells: bool, must: bool) -> f64 {
        let of = if sells { &self.sell } else { &self.buy };
        of[usize::from(must)]
    }
}

/// One step after the other: sales, purchases, must-run, must-serve, each to three quarters, a half, a
/// quarter and none; reactive power last.
pub(super) fn cuts() -> Vec<Cut> {
    let mut left = Cut {
        sell: [1.0; 2],
        buy: [1.0; 2],
        reactive: 1.0,
    };
    let mut cuts = Vec::new();
    for must in 0..2 {
        for buys in [false, true] {
            for share in [0.75, 0.5, 0.25, 0.0] {
                let of = if buys { &mut left.buy } else { &mut left.sell };
                of[must] = share;
                cuts.push(left);
            }
        }
    }
    left.reactive = 0.0;
    cuts.push(left);
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_run_or_be_served_is_cut_after_all_else_but_reactive_power() {
        let shares = |sells, must| {
            let cuts = cuts();
            let of = cuts.iter().map(|cut| cut.active(sells, must));
            of.collect::<Vec<_>>()
        };
        let fall = |before: usize, after: usize| {
            let falling = [0.75, 0.5, 0.25, 0.0];
            [&vec![1.0; before][..], &falling, &vec![0.0; after]].concat()
        };
        assert_eq!(shares(true, false), fall(0, 13));
        assert_eq!(shares(false, false), fall(4, 9));
        assert_eq!(shares(true, true), fall(8, 5));
        assert_eq!(shares(false, true), fall(12, 1));
        let reactive: Vec<f64> = cuts().iter().map(|cut| cut.reactive).collect();
        assert_eq!(reactive, [&[1.0; 16][..], &[0.0]].concat());
    }
}
