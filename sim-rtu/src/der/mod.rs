//! What a distributed energy resource does: a nameplate, a resource (sun, wind, fuel, charge), the
//! control functions of SunSpec models 123, 124 and 704, and a step through time. Pure: no
//! registers, no clock. Powers are generation-positive, W and var.
//!
//! Active power is the wish (all that the resource gives, or what a battery does by itself, or the
//! set-point) held within the limits, approached at the ramp rate, cut to what nameplate and
//! resource allow. Reactive power is the first of: 704 constant var, 704 power factor, 123 constant
//! var, 123 power factor; it is approached with a lag, and cut to the nameplate's box and to the
//! apparent power, active power having priority unless 704 says otherwise. Limits of several models
//! hold together.

mod function;
mod storage;

pub use function::{Function, Setting};
pub use storage::Storage;

/// Time constant of the lag with which reactive power follows its set value, s. Three of them, 95 %
/// of the way, are what VDE-AR-N 4110 (10.2.2.4) has as the fastest and less than the 10 s of
/// IEEE 1547-2018 (5.3.4).
const Q_LAG_S: f64 = 2.0;

/// What a device can do at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nameplate {
    /// Active power, W; a battery's charging power too.
    pub p_w: f64,
    /// Reactive power, var, both ways.
    pub q_var: f64,
    /// Apparent power, VA.
    pub s_va: f64,
    /// Fastest change of active power, W/s.
    pub ramp_w_per_s: f64,
}

/// The control functions a device may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionId {
    /// 123 `Conn`: value 1 connected, 0 not.
    Connect123,
    /// 123 `WMaxLimPct`, W.
    Limit123,
    /// 123 `OutPFSet`: cosine of the angle; positive injects reactive power.
    PowerFactor123,
    /// 123 `VArPct`, var.
    Var123,
    /// 124 `InWRte`: charging power at most, W; negative forces discharging.
    Charge124,
    /// 124 `OutWRte`: discharging power at most, W; negative forces charging.
    Discharge124,
    /// 704 `WMaxLimPct`, W.
    Limit704,
    /// 704 `WSet`, W.
    Set704,
    /// 704 `VarSet`, var.
    Var704,
    /// 704 `PFWInj`: cosine of the angle; positive (over-excited) injects reactive power.
    PowerFactor704,
}

impl FunctionId {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Connect123,
        Self::Limit123,
        Self::PowerFactor123,
        Self::Var123,
        Self::Charge124,
        Self::Discharge124,
        Self::Limit704,
        Self::Set704,
        Self::Var704,
        Self::PowerFactor704,
    ];

    /// The SunSpec model it is part of.
    #[must_use]
    pub fn model(self) -> u16 {
        match self {
            Self::Connect123 | Self::Limit123 | Self::PowerFactor123 | Self::Var123 => 123,
            Self::Charge124 | Self::Discharge124 => 124,
            Self::Limit704 | Self::Set704 | Self::Var704 | Self::PowerFactor704 => 704,
        }
    }
}

/// What the control functions amount to at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effective {
    /// Not connected by command.
    pub disconnected: bool,
    /// Active power at most, W, when some function limits it.
    pub limit_w: Option<f64>,
    /// Active power at least, W, when some function limits charging.
    pub floor_w: Option<f64>,
    /// Active power set, W.
    pub set_w: Option<f64>,
    /// Reactive power set, var (for a power factor, at the present active power).
    pub q_set_var: Option<f64>,
    /// Shortest time until a function reverts, s, while any time-out runs.
    pub lease_left_s: Option<f64>,
}

/// A device and its state.
#[derive(Clone, Debug)]
pub struct Der {
    /// Nameplate.
    pub nameplate: Nameplate,
    /// Its battery, if it is one.
    pub storage: Option<Storage>,
    /// 704 `VarSetPri`: reactive power has priority when the apparent power does not suffice.
    pub reactive_priority: bool,
    /// 704 `WRmp`: W/s at which active power may rise, when set.
    pub ramp_up_w_per_s: Option<f64>,
    functions: [Function; FunctionId::ALL.len()],
    p_w: f64,
    q_var: f64,
    available_w: f64,
}

impl Der {
    /// A device that delivers `p_w` and nothing reactive, with no function enabled.
    #[must_use]
    pub fn new(nameplate: Nameplate, storage: Option<Storage>, p_w: f64) -> Self {
        Self {
            nameplate,
            storage,
            reactive_priority: false,
            ramp_up_w_per_s: None,
            functions: Default::default(),
            p_w,
            q_var: 0.0,
            available_w: p_w,
        }
    }

    /// Active power delivered, W.
    #[must_use]
    pub fn p_w(&self) -> f64 {
        self.p_w
    }

    /// Reactive power delivered, var.
    #[must_use]
    pub fn q_var(&self) -> f64 {
        self.q_var
    }

    /// What the resource would give, W; of a battery, what it can discharge.
    #[must_use]
    pub fn available_w(&self) -> f64 {
        self.available_w
    }

    /// A control function.
    #[must_use]
    pub fn function(&self, id: FunctionId) -> &Function {
        &self.functions[id as usize]
    }

    /// A client wrote to a control function.
    pub fn write(&mut self, id: FunctionId, setting: Setting, now_s: f64) {
        let from = match id {
            FunctionId::Limit123 | FunctionId::Limit704 | FunctionId::Set704 => self.p_w,
            FunctionId::Discharge124 => self.p_w,
            FunctionId::Charge124 => -self.p_w,
            FunctionId::Var123 | FunctionId::Var704 => self.q_var,
            _ => setting.value,
        };
        self.functions[id as usize].write(setting, from, now_s);
    }

    /// Lets time-outs run out; names the functions that reverted just now.
    pub fn expire(&mut self, now_s: f64) -> Vec<FunctionId> {
        let reverted = |id: &FunctionId| self.functions[*id as usize].expire(now_s);
        FunctionId::ALL.into_iter().filter(reverted).collect()
    }

    /// What the control functions amount to now.
    #[must_use]
    pub fn effective(&self, now_s: f64) -> Effective {
        let active = |id: FunctionId| self.function(id).active(now_s);
        let limits = [
            FunctionId::Limit123,
            FunctionId::Limit704,
            FunctionId::Discharge124,
        ];
        Effective {
            disconnected: active(FunctionId::Connect123) == Some(0.0),
            limit_w: limits.into_iter().filter_map(active).reduce(f64::min),
            floor_w: active(FunctionId::Charge124).map(|charge| -charge),
            set_w: active(FunctionId::Set704),
            q_set_var: self.q_wish(now_s),
            lease_left_s: self
                .functions
                .iter()
                .filter_map(|f| f.left_s(now_s))
                .reduce(f64::min),
        }
    }

    /// One step of `dt_s` up to `now_s`, with `resource_w` from sun, wind or fuel (not looked at
    /// in a battery). A battery's charge moves `pace` times as fast as the clock.
    pub fn step(&mut self, now_s: f64, dt_s: f64, resource_w: f64, pace: f64) {
        let orders = self.effective(now_s);
        let rated = self.nameplate.p_w;
        let (low, high, own_wish) = match &self.storage {
            Some(storage) => {
                let (charge, discharge) = storage.room_w(dt_s * pace, rated);
                self.available_w = discharge;
                (-charge, discharge, storage.autonomous_w)
            }
            None => {
                self.available_w = resource_w.clamp(0.0, rated);
                (0.0, self.available_w, rated)
            }
        };
        let most = orders.limit_w.unwrap_or(rated);
        let least = orders.floor_w.unwrap_or(-rated).min(most);
        let target = orders.set_w.unwrap_or(own_wish).clamp(least, most);
        self.p_w = self.ramp(target.clamp(low, high), dt_s).clamp(low, high);
        self.q_var = self.lag(self.q_wish(now_s).unwrap_or(0.0), dt_s);
        if orders.disconnected {
            (self.p_w, self.q_var) = (0.0, 0.0);
        }
        self.hold_capability();
        if let Some(storage) = &mut self.storage {
            storage.step(self.p_w, dt_s * pace);
        }
    }

    /// Towards `target` at the ramp rate; as 704's `WRmp` is for increases, so is ours.
    fn ramp(&self, target: f64, dt_s: f64) -> f64 {
        let own = self.nameplate.ramp_w_per_s;
        let up = self.ramp_up_w_per_s.unwrap_or(own).min(own) * dt_s;
        let down = own * dt_s;
        target.clamp(self.p_w - down, self.p_w + up)
    }

    /// Reactive power on its way to `wish`, which it reaches: a thousandth of the rating is close enough.
    fn lag(&self, wish: f64, dt_s: f64) -> f64 {
        let wish = wish.clamp(-self.nameplate.q_var, self.nameplate.q_var);
        let rest = (wish - self.q_var) * (-dt_s / Q_LAG_S).exp();
        if rest.abs() > 1e-3 * self.nameplate.q_var {
            wish - rest
        } else {
            wish
        }
    }

    fn q_wish(&self, now_s: f64) -> Option<f64> {
        let active = |id: FunctionId| self.function(id).active(now_s);
        let by_factor = |cosine: f64| {
            let cos = cosine.abs().clamp(1e-3, 1.0);
            self.p_w.abs() * (1.0 - cos * cos).sqrt() / cos * cosine.signum()
        };
        active(FunctionId::Var704)
            .or_else(|| active(FunctionId::PowerFactor704).map(by_factor))
            .or_else(|| active(FunctionId::Var123))
            .or_else(|| active(FunctionId::PowerFactor123).map(by_factor))
    }

    /// Cuts P and Q to the nameplate.
    fn hold_capability(&mut self) {
        let Nameplate {
            p_w, q_var, s_va, ..
        } = self.nameplate;
        self.p_w = self.p_w.clamp(-p_w, p_w);
        self.q_var = self.q_var.clamp(-q_var, q_var);
        let rest = |taken: f64| (s_va * s_va - taken * taken).max(0.0).sqrt();
        if self.reactive_priority {
            let p_most = rest(self.q_var);
            self.p_w = self.p_w.clamp(-p_most, p_most);
        } else {
            let q_most = rest(self.p_w);
            self.q_var = self.q_var.clamp(-q_most, q_most);
        }
    }
}

#[cfg(test)]
mod tests;
