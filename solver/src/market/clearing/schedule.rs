//! Stores and windows of a horizon, and what they do when. Power in MW (pu), energy in MWh.

use std::collections::BTreeMap;

use super::{
    Case, Clearing, ClearingError, NodePower, Owner, PhaseName, PhasePower, horizon::hours,
};
use crate::{
    market::{Capability, Direction, Kind, Order, OrderId, PPM, Storage, Unit},
    network::{Id, S_BASE_VA},
};

/// Power that counts as none, pu: a watt.
const NOTHING: f64 = 1e-6;

/// A store.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) order: OrderId,
    pub(super) unit: Id,
    at: Connected,
    participant: String,
    /// At the start.
    pub(super) energy: f64,
    pub(super) energy_min: f64,
    pub(super) energy_max: f64,
    /// Stored of what is taken.
    pub(super) charge: f64,
    /// Given of what is taken out.
    pub(super) discharge: f64,
    /// Currency per MWh given.
    pub(super) wear: f64,
    /// Currency per MWh left at the end.
    pub(super) end_value: f64,
    /// Most power given and taken, by interval.
    pub(super) give: Vec<f64>,
    pub(super) take: Vec<f64>,
    /// What it has to give (positive) or take at least, by interval, as far as its energy can be had for that.
    pub(super) must: Vec<f64>,
}

/// Energy to be had within a window.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) order: OrderId,
    pub(super) unit: Id,
    at: Connected,
    participant: String,
    /// 1 sells, -1 buys.
    pub(super) sign: f64,
    /// Currency per MWh.
    pub(super) price: f64,
    pub(super) energy: f64,
    /// Most power by interval; nothing outside of the window.
    pub(super) most: Vec<f64>,
}

/// Where a unit is, in every interval.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Connected {
    node: Id,
    /// Of a unit of one phase.
    phase: Option<PhaseName>,
}

impl Connected {
    fn of(case: &Case, unit: &Unit) -> Self {
        let mut phases = case.by_phase.iter().flat_map(|of| &of.units);
        let phase = phases.find(|of| of.unit == unit.id).map(|of| of.phase);
        let node = unit.node;
        Self { node, phase }
    }
}

/// What a store or window does in an interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheduled<'a> {
    pub(super) order: OrderId,
    pub(super) unit: Id,
    pub(super) node: Id,
    /// Of a unit of one phase.
    pub(super) phase: Option<PhaseName>,
    pub(super) participant: &'a str,
    /// Power, generation-positive.
    pub(super) p: f64,
}

fn bad(order: OrderId, what: &str, value: f64, expected: &'static str) -> ClearingError {
    ClearingError::BadValue {
        what: format!("{what} of order {order}"),
        value,
        expected,
    }
}

/// The unit of an order in each interval, and where it is: it has to be in all of them, at one place.
fn units<'a>(
    cases: &'a [Case],
    order: &Order,
) -> Result<(Vec<&'a Unit>, Connected), ClearingError> {
    let unit = order.unit;
    let of = |case: &'a Case| case.units.iter().find(|of| of.id == unit);
    let missing = || ClearingError::UnknownUnit {
        order: order.id,
        unit,
    };
    let units = cases.iter().map(|case| of(case).ok_or_else(missing));
    let units: Vec<&Unit> = units.collect::<Result<_, _>>()?;
    let each = cases.iter().zip(&units);
    let mut places = each.map(|(case, unit)| Connected::of(case, unit));
    let at = places.next().ok_or_else(missing)?;
    if let Some(t) = places.position(|other| other != at) {
        let expected = "an interval in which its unit is where it is in the first one";
        return Err(bad(order.id, "interval", (t + 1) as f64, expected));
    }
    Ok((units, at))
}

/// Most power given and taken.
fn limits(of: &Capability) -> (f64, f64) {
    let s_max = of.s_max_va.unwrap_or(f64::INFINITY).max(0.0);
    let able = |p_w: f64| p_w.max(0.0).min(s_max) / S_BASE_VA;
    (able(of.p_max_w), able(-of.p_min_w))
}

/// What a unit cannot do less than; generation-positive.
fn must(of: &Capability) -> f64 {
    let must_w = of.p_min_w.max(0.0) + of.p_max_w.min(0.0);
    let (give, take) = limits(of);
    (must_w / S_BASE_VA).clamp(-take, give)
}

/// A unit's power is either scheduled, by one order, or ordered interval by interval.
fn check_alone(cases: &[Case]) -> Result<(), ClearingError> {
    let of_kind = |scheduled: bool| {
        let orders = cases.iter().flat_map(|case| &case.orders);
        orders.filter(move |order| match order.terms.kind {
            Kind::Storage(_) | Kind::Window(_) => scheduled,
            Kind::Energy => !scheduled,
            Kind::Reactive | Kind::Call(_) => false,
        })
    };
    let mut scheduled: BTreeMap<Id, OrderId> = BTreeMap::new();
    for order in of_kind(true) {
        if scheduled.insert(order.unit, order.id).is_some() {
            return Err(ClearingError::Duplicate {
                what: "storage or window order of unit",
                id: order.unit.into(),
            });
        }
    }
    for order in of_kind(false) {
        if let Some(other) = scheduled.get(&order.unit) {
            let unit = f64::from(order.unit);
            let expected = "a unit without a storage or window order";
            return Err(bad(
                order.id,
                &format!("unit (scheduled by order {other})"),
                unit,
                expected,
            ));
        }
    }
    Ok(())
}

/// Storage orders, by number.
pub(super) fn stores(cases: &[Case]) -> Result<Vec<Store>, ClearingError> {
    check_alone(cases)?;
    let mut stores = Vec::new();
    for (t, case) in cases.iter().enumerate() {
        for order in &case.orders {
            let Kind::Storage(of) = order.terms.kind else {
                continue;
            };
            if t > 0 {
                let expected = "0: a store's order is in the horizon's first interval";
                return Err(bad(order.id, "interval", t as f64, expected));
            }
            check_store(order.id, &of)?;
            let (units, at) = units(cases, order)?;
            let (give, take) = units.iter().map(|unit| limits(&unit.capability)).unzip();
            let must = units.iter().map(|unit| must(&unit.capability)).collect();
            let mwh = |wh: i64| wh as f64 / S_BASE_VA;
            let mut store = Store {
                order: order.id,
                unit: order.unit,
                at,
                participant: order.participant.clone(),
                energy: mwh(of.energy_wh),
                energy_min: mwh(of.energy_min_wh),
                energy_max: mwh(of.energy_max_wh),
                charge: f64::from(of.charge_ppm) / f64::from(PPM),
                discharge: f64::from(of.discharge_ppm) / f64::from(PPM),
                wear: of.wear.per_mwh(),
                end_value: of.end_value.per_mwh(),
                give,
                take,
                must,
            };
            store.reduce_musts(cases);
            stores.push(store);
        }
    }
    stores.sort_by_key(|of| of.order);
    Ok(stores)
}

/// A store can be.
fn check_store(id: OrderId, of: &Storage) -> Result<(), ClearingError> {
    for (what, ppm) in [
        ("charge efficiency", of.charge_ppm),
        ("discharge efficiency", of.discharge_ppm),
    ] {
        if ppm == 0 || ppm > PPM {
            return Err(bad(id, what, f64::from(ppm), "1 to 1000000 millionths"));
        }
    }
    if of.energy_max_wh < of.energy_min_wh {
        let most = of.energy_max_wh as f64;
        return Err(bad(id, "most energy", most, "at least the least energy"));
    }
    Ok(())
}

/// Window orders, by number.
pub(super) fn tasks(cases: &[Case]) -> Result<Vec<Task>, ClearingError> {
    let mut tasks = Vec::new();
    for (first, case) in cases.iter().enumerate() {
        for order in &case.orders {
            let Kind::Window(of) = order.terms.kind else {
                continue;
            };
            let [step] = order.steps[..] else {
                let steps = order.steps.len() as f64;
                return Err(bad(
                    order.id,
                    "steps",
                    steps,
                    "1: a window has one power and price",
                ));
            };
            if of.energy_wh <= 0 {
                return Err(bad(order.id, "energy", of.energy_wh as f64, "above 0"));
            }
            let sells = order.direction == Direction::Sell;
            let (units, at) = units(cases, order)?;
            let mut end = order.interval;
            let most = units
                .iter()
                .zip(cases)
                .enumerate()
                .map(|(t, (unit, case))| {
                    if t < first {
                        return 0.0;
                    }
                    end = end.saturating_add(i64::from(case.duration_s));
                    let (give, take) = limits(&unit.capability);
                    let able = if sells { give } else { take };
                    let asked = step.quantity_w as f64 / S_BASE_VA;
                    if end <= of.end { asked.min(able) } else { 0.0 }
                });
            tasks.push(Task {
                order: order.id,
                unit: order.unit,
                at,
                participant: order.participant.clone(),
                sign: if sells { 1.0 } else { -1.0 },
                price: step.price.per_mwh(),
                energy: of.energy_wh as f64 / S_BASE_VA,
                most: most.collect(),
            });
        }
    }
    tasks.sort_by_key(|of| of.order);
    Ok(tasks)
}

/// Power of each store and window in each interval, generation-positive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schedule {
    pub(super) stores: Vec<Vec<f64>>,
    pub(super) tasks: Vec<Vec<f64>>,
}

impl Schedule {
    pub(super) fn idle(stores: &[Store], tasks: &[Task], intervals: usize) -> Self {
        Self {
            stores: vec![vec![0.0; intervals]; stores.len()],
            tasks: vec![vec![0.0; intervals]; tasks.len()],
        }
    }

    /// The same so corrected that every store and window is within its bounds to the last digit, whatever
    /// the programme's tolerance, and nothing is charged and discharged at once.
    pub(super) fn within(mut self, stores: &[Store], tasks: &[Task], cases: &[Case]) -> Self {
        for (of, p) in stores.iter().zip(&mut self.stores) {
            let mut energy = of.energy;
            for (t, (p, case)) in p.iter_mut().zip(cases).enumerate() {
                let h = hours(case);
                let give = ((energy - of.energy_min) * of.discharge / h).clamp(0.0, of.give[t]);
                let take = ((of.energy_max - energy) / of.charge / h).clamp(0.0, of.take[t]);
                *p = of.with_must(*p, t).clamp(-take, give);
                energy = of.after(energy, *p, h);
            }
        }
        for (of, p) in tasks.iter().zip(&mut self.tasks) {
            let mut left = of.energy;
            for (t, (p, case)) in p.iter_mut().zip(cases).enumerate() {
                let h = hours(case);
                let most = of.most[t].min(left / h);
                let taken = (of.sign * *p).clamp(0.0, most.max(0.0));
                left -= taken * h;
                *p = of.sign * taken;
            }
        }
        self
    }

    /// What stores are short of what they have to do, pu, all intervals together.
    pub(super) fn short(&self, stores: &[Store]) -> f64 {
        let each = stores.iter().zip(&self.stores).flat_map(|(of, p)| {
            let short = move |(t, p): (usize, &f64)| (of.with_must(*p, t) - p).abs();
            p.iter().enumerate().map(short)
        });
        each.filter(|&short| short > NOTHING).sum()
    }

    /// Whether two are the same in an interval.
    pub(super) fn is_as(&self, other: &Self, t: usize) -> bool {
        let all =
            |of: &Self| -> Vec<f64> { of.stores.iter().chain(&of.tasks).map(|p| p[t]).collect() };
        all(self) == all(other)
    }

    /// Wear, less what is left in the stores and what windows pay, currency.
    pub(super) fn cost(&self, stores: &[Store], tasks: &[Task], cases: &[Case]) -> f64 {
        let mut cost = 0.0;
        for ((of, p), energies) in stores
            .iter()
            .zip(&self.stores)
            .zip(self.energies(stores, cases))
        {
            let given = p
                .iter()
                .zip(cases)
                .map(|(p, case)| p.max(0.0) * hours(case));
            cost += of.wear * given.sum::<f64>();
            cost -= of.end_value * energies.last().copied().unwrap_or(of.energy);
        }
        for (of, p) in tasks.iter().zip(&self.tasks) {
            let energy = p.iter().zip(cases).map(|(p, case)| p * hours(case));
            cost += of.price * energy.sum::<f64>();
        }
        cost
    }

    /// Energy in each store at each interval's end.
    pub(super) fn energies(&self, stores: &[Store], cases: &[Case]) -> Vec<Vec<f64>> {
        let of = stores.iter().zip(&self.stores);
        of.map(|(of, p)| {
            let mut energy = of.energy;
            let steps = p.iter().zip(cases);
            steps
                .map(|(&p, case)| {
                    energy = of.after(energy, p, hours(case));
                    energy
                })
                .collect()
        })
        .collect()
    }

    /// Everything that is scheduled in an interval: stores, then windows.
    pub(super) fn of_interval<'a>(
        &'a self,
        t: usize,
        stores: &'a [Store],
        tasks: &'a [Task],
    ) -> impl Iterator<Item = Scheduled<'a>> {
        let all = move |order, unit, at: Connected, participant, p: &[f64]| Scheduled {
            order,
            unit,
            node: at.node,
            phase: at.phase,
            participant,
            p: p[t],
        };
        let stores = stores.iter().zip(&self.stores);
        let stores = stores.map(move |(of, p)| all(of.order, of.unit, of.at, &*of.participant, p));
        let tasks = tasks.iter().zip(&self.tasks);
        let tasks = tasks.map(move |(of, p)| all(of.order, of.unit, of.at, &*of.participant, p));
        stores.chain(tasks)
    }

    /// An interval's case with the scheduled power fixed, and what it leaves of apparent power.
    pub(super) fn fixed_in(&self, case: &Case, t: usize, stores: &[Store], tasks: &[Task]) -> Case {
        let mut case = case.clone();
        for scheduled in self.of_interval(t, stores, tasks) {
            let p = scheduled.p;
            scheduled.fix_in(&mut case);
            let units = case.units.iter_mut();
            for of in units
                .filter(|of| of.id == scheduled.unit)
                .map(|of| &mut of.capability)
            {
                // What it has to do is in the schedule.
                of.p_min_w = of.p_min_w.min(0.0);
                of.p_max_w = of.p_max_w.max(0.0);
                if let Some(s_max) = of.s_max_va {
                    let left = (s_max * s_max - (p * S_BASE_VA).powi(2)).max(0.0).sqrt();
                    of.q_max_var = of.q_max_var.min(left);
                }
            }
        }
        case
    }

    /// Adds what is scheduled to awards and fills.
    pub(super) fn award(
        &self,
        case: &Case,
        t: usize,
        stores: &[Store],
        tasks: &[Task],
        clearing: &mut Clearing,
    ) {
        for Scheduled { order, unit, p, .. } in self.of_interval(t, stores, tasks) {
            let award = clearing.awards.iter_mut().find(|of| of.unit == unit);
            if let Some(award) = award {
                award.p_w += p * S_BASE_VA;
            }
            let placed = case.orders.iter().find(|of| of.id == order);
            let fill = clearing.fills.iter_mut().find(|of| of.order == order);
            if let (Some(placed), Some(fill)) = (placed, fill) {
                let sign = match placed.direction {
                    Direction::Sell => 1.0,
                    Direction::Buy => -1.0,
                };
                fill.quantity_w = sign * p * S_BASE_VA;
            }
        }
    }
}

impl Scheduled<'_> {
    /// Makes it a power that the market does not decide on.
    fn fix_in(&self, case: &mut Case) {
        let (node, p_w, q_var) = (self.node, self.p * S_BASE_VA, 0.0);
        if let (Some(phase), Some(by_phase)) = (self.phase, &mut case.by_phase) {
            by_phase.fixed.push(PhasePower {
                node,
                phase,
                p_w,
                q_var,
                unit: None,
            });
        } else {
            let owner = Some(Owner {
                unit: self.unit,
                participant: self.participant.to_owned(),
                order: None,
            });
            case.fixed.push(NodePower {
                node,
                p_w,
                q_var,
                owner,
            });
        }
    }
}

impl Store {
    /// A power, or the nearest that is what it has to do.
    fn with_must(&self, p: f64, t: usize) -> f64 {
        let must = self.must[t];
        if must > 0.0 {
            p.max(must)
        } else if must < 0.0 {
            p.min(must)
        } else {
            p
        }
    }

    /// Reduces what it has to do to what its energy can be had for, the first of them first: `low` to `high` is what
    /// may be in it, having done what it had to before.
    fn reduce_musts(&mut self, cases: &[Case]) {
        let (mut low, mut high) = (self.energy, self.energy);
        for (t, case) in cases.iter().enumerate() {
            let h = hours(case);
            let (least, most) = (self.energy_min.min(low), self.energy_max.max(high));
            let (out, into) = (h / self.discharge, h * self.charge);
            let must = self.must[t];
            if must > 0.0 {
                let given = must.min((high - least) / out).max(0.0);
                self.must[t] = given;
                low = (low.max(least + given * out) - self.give[t] * out).max(least);
                high -= given * out;
            } else if must < 0.0 {
                let taken = (-must).min((most - low) / into).max(0.0);
                self.must[t] = -taken;
                high = (high.min(most - taken * into) + self.take[t] * into).min(most);
                low += taken * into;
            } else {
                low = (low - self.give[t] * out).max(least);
                high = (high + self.take[t] * into).min(most);
            }
        }
    }

    /// Energy after an interval.
    fn after(&self, energy: f64, p: f64, h: f64) -> f64 {
        let change = if p > 0.0 {
            p / self.discharge
        } else {
            p * self.charge
        };
        let after = energy - change * h;
        // Whatever it was at first, it is not brought further out, not even by rounding.
        after.clamp(self.energy_min.min(energy), self.energy_max.max(energy))
    }
}
