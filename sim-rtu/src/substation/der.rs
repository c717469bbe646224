//! A DER with its meters and registers, at its node.

use protocols::modbus::sunspec::SunspecError;
use solver::network::{Grid, Id};

use crate::{
    der::{Der, Nameplate, Storage},
    devices::sunspec::{Identity, Measured, Registers},
    faults::Faults,
    meters::{Accuracy, Energy, Meter},
    noise::Noise,
    phases::phase_of,
    physics::Physics,
    profiles::{Clock, Profile},
    scenario::DerSpec,
};

/// Powers and current: 0.5 % of the reading and 0.1 % of the nameplate.
const POWER_PCT: f64 = 0.5;
const OF_NAMEPLATE: f64 = 0.001;
/// Voltage: 0.2 % of the reading.
const VOLTAGE_PCT: f64 = 0.2;
/// Frequency, Hz.
const FREQUENCY_FLOOR: f64 = 0.005;

/// A device at a node.
#[derive(Debug)]
pub(super) struct DerDevice {
    pub(super) name: String,
    pub(super) unit: Id,
    /// Its one phase, 0 to 2.
    phase: Option<usize>,
    pub(super) der: Der,
    pub(super) registers: Registers,
    node: usize,
    profile: Option<Profile>,
    noise: Noise,
    meters: Meters,
    energy: Energy,
    now_s: f64,
}

#[derive(Debug)]
struct Meters {
    p: Meter,
    q: Meter,
    u: Meter,
    i: Meter,
    f: Meter,
    soc: Meter,
}

impl DerDevice {
    pub(super) fn new(
        spec: &DerSpec,
        profile: Option<&Profile>,
        grid: &Grid,
        clock: &Clock,
        noise: Noise,
    ) -> Result<Self, SunspecError> {
        let plate = Nameplate {
            p_w: spec.p_rated_w,
            q_var: spec.q_rated_var,
            s_va: spec.s_rated_va(),
            ramp_w_per_s: spec.ramp_w_per_s,
        };
        // The scenario's check has found the unit in the network.
        let appliance = grid.index_of_appliance(spec.unit).unwrap_or_default();
        let node = grid.appliances[appliance].node;
        let noise = noise.stream(&spec.device);
        let storage = spec.battery.as_ref().map(|battery| Storage {
            energy_wh: battery.energy_wh,
            soc: battery.soc,
            efficiency: battery.efficiency,
            autonomous_w: battery.autonomous_p_w,
        });
        let p_w = match (&storage, profile) {
            (Some(storage), _) => storage.autonomous_w,
            (None, profile) => resource_w(profile, &plate, clock, 0.0, noise).min(plate.p_w),
        };
        let registers = Registers::new(&Identity {
            device: &spec.device,
            models: &spec.models,
            plate,
            u_rated_v: grid.u_rated[node],
            energy_wh: spec.battery.as_ref().map(|battery| battery.energy_wh),
        })?;
        Ok(Self {
            name: spec.device.clone(),
            unit: spec.unit,
            phase: phase_of(grid.network(), spec.unit),
            der: Der::new(plate, storage, p_w),
            registers,
            node,
            profile: profile.cloned(),
            noise,
            meters: Meters::new(&plate, grid.u_rated[node], noise),
            energy: Energy::default(),
            now_s: 0.0,
        })
    }

    /// Controls and power up to `now_s`.
    pub(super) fn step(&mut self, now_s: f64, dt_s: f64, clock: &Clock) {
        self.now_s = now_s;
        if let Err(error) = self.registers.tick(&mut self.der, now_s) {
            tracing::error!(device = self.name, %error, "control registers");
        }
        let plate = self.der.nameplate;
        let resource = resource_w(self.profile.as_ref(), &plate, clock, now_s, self.noise);
        self.der.step(now_s, dt_s, resource, clock.pace());
    }

    /// Readings and counters.
    pub(super) fn meter(&mut self, physics: &Physics, faults: &Faults, step: u64, dt_s: f64) {
        let (p_w, q_var) = (self.der.p_w(), self.der.q_var());
        self.energy.count(p_w, dt_s);
        if faults.freezes(&self.name) {
            return;
        }
        let phases = physics.u_phases_pu(self.node);
        let own = self.phase.zip(phases).map(|(phase, u)| u[phase]);
        let rated_v = physics.grid().u_rated[self.node];
        // Of one phase: what it would be line to line; its current is then that of one phase of three.
        let u_v = own.map_or_else(|| physics.u_v(self.node), |u| u.unwrap_or(0.0) * rated_v);
        let one = if self.phase.is_some() { 3.0 } else { 1.0 };
        let i_a = one * current_a(p_w, q_var, u_v);
        let soc = self.der.storage.map_or(0.0, |storage| storage.soc);
        let of = |point| faults.distortion(&self.name, point);
        let meters = &mut self.meters;
        let measured = Measured {
            p: meters.p.read(step, p_w, of("p")),
            q: meters.q.read(step, q_var, of("q")),
            u: meters.u.read(step, u_v, of("u")),
            i: meters.i.read(step, i_a, of("i")),
            f: meters.f.read(step, solver::network::FREQUENCY_HZ, of("f")),
            soc: meters.soc.read(step, soc, of("soc")),
            given_wh: self.energy.in_wh,
            taken_wh: self.energy.out_wh,
        };
        let limited = self.der.p_w() < 0.99 * self.der.available_w();
        if let Err(error) = self.registers.measure(&measured, limited) {
            tracing::error!(device = self.name, %error, "measurement registers");
        }
    }
}

impl Meters {
    fn new(plate: &Nameplate, u_rated_v: f64, noise: Noise) -> Self {
        let meter =
            |name: &str, pct, floor| Meter::new(Accuracy { pct, floor }, noise.stream(name));
        let i_rated = current_a(plate.s_va, 0.0, u_rated_v);
        Self {
            p: meter("p", POWER_PCT, OF_NAMEPLATE * plate.p_w),
            q: meter("q", POWER_PCT, OF_NAMEPLATE * plate.p_w),
            u: meter("u", VOLTAGE_PCT, 0.0),
            i: meter("i", POWER_PCT, OF_NAMEPLATE * i_rated),
            f: meter("f", 0.0, FREQUENCY_FLOOR),
            soc: meter("soc", 0.0, 0.0),
        }
    }
}

/// What sun, wind or fuel gives, W; nothing to a battery, which has no profile.
fn resource_w(
    profile: Option<&Profile>,
    plate: &Nameplate,
    clock: &Clock,
    now_s: f64,
    noise: Noise,
) -> f64 {
    let factor = profile.map_or(0.0, |profile| profile.factor(clock, now_s, noise));
    factor * plate.p_w
}

/// Current per phase at a line-to-line voltage, A; none without voltage.
pub(super) fn current_a(p_w: f64, q_var: f64, u_v: f64) -> f64 {
    if u_v > 0.0 {
        p_w.hypot(q_var) / (3f64.sqrt() * u_v)
    } else {
        0.0
    }
}
