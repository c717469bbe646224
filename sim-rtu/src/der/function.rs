//! A control function as SunSpec devices have it: a value that a client enables, for as long as its
//! reversion time-out is renewed (models 123 and 124: `…_RvrtTms`; model 704: `…RvrtTms`, `…Rvrt`,
//! `…EnaRvrt`).

/// What a function is set to, apart from time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Setting {
    /// Whether it acts.
    pub enabled: bool,
    /// Value, in the function's unit.
    pub value: f64,
    /// Seconds until it reverts by itself; zero: never.
    pub timeout_s: f64,
    /// Whether it acts after the reversion.
    pub revert_enabled: bool,
    /// Value after the reversion.
    pub revert_value: f64,
    /// Seconds over which a new value is approached; zero: at once.
    pub ramp_s: f64,
}

/// A control function of a device and its timers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Function {
    setting: Setting,
    reverts_at_s: Option<f64>,
    ramp: Option<Ramp>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Ramp {
    from: f64,
    since_s: f64,
    over_s: f64,
}

impl Function {
    /// A client wrote to the function: it takes effect and its time-out starts anew. `from` is
    /// where a ramp begins when the function did not act before.
    pub fn write(&mut self, setting: Setting, from: f64, now_s: f64) {
        let before = self.active(now_s).unwrap_or(from);
        let acted_alike = self.setting.enabled && self.setting.value == setting.value;
        if !acted_alike {
            self.ramp = (setting.ramp_s > 0.0).then_some(Ramp {
                from: before,
                since_s: now_s,
                over_s: setting.ramp_s,
            });
        }
        self.setting = setting;
        self.reverts_at_s =
            (setting.enabled && setting.timeout_s > 0.0).then_some(now_s + setting.timeout_s);
    }

    /// Lets time pass; true when the time-out ran out just now.
    pub fn expire(&mut self, now_s: f64) -> bool {
        if self.reverts_at_s.is_none_or(|at| now_s < at) {
            return false;
        }
        self.reverts_at_s = None;
        self.ramp = None;
        self.setting.enabled = self.setting.revert_enabled;
        self.setting.value = self.setting.revert_value;
        true
    }

    /// The value that acts now; `None` while disabled.
    #[must_use]
    pub fn active(&self, now_s: f64) -> Option<f64> {
        let target = self.setting.value;
        self.setting.enabled.then(|| match self.ramp {
            Some(ramp) if now_s < ramp.since_s + ramp.over_s => {
                let share = (now_s - ramp.since_s) / ramp.over_s;
                ramp.from + (target - ramp.from) * share
            }
            _ => target,
        })
    }

    /// What it is set to now.
    #[must_use]
    pub fn setting(&self) -> Setting {
        self.setting
    }

    /// Seconds until it reverts, while a time-out runs.
    #[must_use]
    pub fn left_s(&self, now_s: f64) -> Option<f64> {
        self.reverts_at_s.map(|at| (at - now_s).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Setting = Setting {
        enabled: true,
        value: 50.0,
        timeout_s: 15.0,
        revert_enabled: true,
        revert_value: 20.0,
        ramp_s: 0.0,
    };

    #[test]
    fn reverts_when_nobody_renews() {
        let mut f = Function::default();
        f.write(LEASE, 0.0, 100.0);
        assert_eq!(f.left_s(105.0), Some(10.0));
        assert!(!f.expire(114.9));
        assert_eq!(f.active(114.9), Some(50.0));
        assert!(f.expire(115.0));
        assert_eq!(f.active(115.0), Some(20.0));
        assert_eq!(f.left_s(115.0), None);
        assert!(!f.expire(1000.0), "it reverts once");
    }

    #[test]
    fn the_same_value_again_renews() {
        let mut f = Function::default();
        f.write(LEASE, 0.0, 0.0);
        f.write(LEASE, 0.0, 10.0);
        assert!(!f.expire(15.0));
        assert!(f.expire(25.0));
    }

    #[test]
    fn without_time_out_it_stays() {
        let mut f = Function::default();
        let for_ever = Setting {
            timeout_s: 0.0,
            ..LEASE
        };
        f.write(for_ever, 0.0, 0.0);
        assert!(!f.expire(1e9));
        assert_eq!(f.active(1e9), Some(50.0));
    }

    #[test]
    fn a_new_value_is_approached_over_the_ramp_time_and_a_renewal_does_not_restart_it() {
        let mut f = Function::default();
        let slow = Setting {
            ramp_s: 10.0,
            ..LEASE
        };
        f.write(slow, 100.0, 0.0);
        assert_eq!(f.active(0.0), Some(100.0));
        assert_eq!(f.active(5.0), Some(75.0));
        f.write(slow, 100.0, 5.0);
        assert_eq!(f.active(5.0), Some(75.0));
        assert_eq!(f.active(10.0), Some(50.0));
    }

    #[test]
    fn disabling_ends_it_and_its_time_out() {
        let mut f = Function::default();
        f.write(LEASE, 0.0, 0.0);
        let off = Setting {
            enabled: false,
            ..LEASE
        };
        f.write(off, 0.0, 1.0);
        assert_eq!(f.active(1.0), None);
        assert!(
            !f.expire(100.0),
            "a disabled function has nothing to revert"
        );
    }
}
