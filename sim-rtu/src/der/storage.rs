//! A battery's charge: an integral that stays within its bounds.

/// A battery behind a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storage {
    /// Energy when full, Wh.
    pub energy_wh: f64,
    /// State of charge, 0 to 1.
    pub soc: f64,
    /// Share of the energy that survives one conversion, either way.
    pub efficiency: f64,
    /// What it does when nobody commands it, generation-positive, W.
    pub autonomous_w: f64,
}

impl Storage {
    /// Power it can charge and discharge with over the next `dt_s`, neither above `rated_w`.
    #[must_use]
    pub fn room_w(&self, dt_s: f64, rated_w: f64) -> (f64, f64) {
        if dt_s <= 0.0 {
            return (rated_w, rated_w);
        }
        let hours = dt_s / 3600.0;
        let charge = (1.0 - self.soc) * self.energy_wh / hours / self.efficiency;
        let discharge = self.soc * self.energy_wh / hours * self.efficiency;
        (charge.clamp(0.0, rated_w), discharge.clamp(0.0, rated_w))
    }

    /// `p_w` (generation-positive, at the terminals) for `dt_s`.
    pub fn step(&mut self, p_w: f64, dt_s: f64) {
        let inside_w = if p_w < 0.0 {
            p_w * self.efficiency
        } else {
            p_w / self.efficiency
        };
        let moved = inside_w * dt_s / 3600.0 / self.energy_wh;
        self.soc = (self.soc - moved).clamp(0.0, 1.0);
    }
}
