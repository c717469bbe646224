//! At which price an award is traded: a rule that the site chooses.

use serde::{Deserialize, Serialize};

use super::{
    Direction, Kind, Order, Price,
    clearing::{Case, Clearing, NodePower, PhaseName, PhasePower, PhasePrice},
    contract::price,
};
use crate::network::Id;

/// The pricing rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pricing {
    /// Each at the price of its node; a window at its own where that is better for it.
    #[default]
    Nodal,
    /// All at the price where the first interface's source is, which knows no congestion. Who asked
    /// for more receives what it asked for, who bid less pays what it bid: the network bears it.
    Uniform,
    /// Each at the mean of its own prices that were taken; who named none (must-run, must-serve,
    /// loads without orders) at the price of its node.
    PayAsBid,
}

/// Prices of an interval.
#[derive(Clone, Copy)]
pub(super) struct Prices<'a> {
    rule: Pricing,
    case: &'a Case,
    clearing: &'a Clearing,
    /// Node of the first interface's source.
    reference: Id,
    uniform: Price,
}

impl<'a> Prices<'a> {
    pub(super) fn new(rule: Pricing, case: &'a Case, clearing: &'a Clearing) -> Self {
        let mut prices = Self {
            rule,
            case,
            clearing,
            // Without an interface no node has voltage, and nothing is awarded.
            reference: clearing.exchange.first().map_or(-1, |at| at.node),
            uniform: Price(0),
        };
        prices.uniform = prices.nodal(prices.reference);
        prices
    }

    pub(super) fn nodal(&self, node: Id) -> Price {
        let found = self.clearing.prices.iter().find(|at| at.node == node);
        price(found.map_or(0.0, |at| at.p_per_mwh))
    }

    /// Where a unit is: at its node, by phase in its own.
    pub(super) fn here(&self, unit: Id, node: Id) -> Price {
        match self.phase_of(unit) {
            Some(phase) => price(self.in_phase(node, phase).map_or(0.0, |at| at.p_per_mwh)),
            None => self.nodal(node),
        }
    }

    fn phase_of(&self, unit: Id) -> Option<PhaseName> {
        let mut phases = self.case.by_phase.iter().flat_map(|of| &of.units);
        phases.find(|of| of.unit == unit).map(|of| of.phase)
    }

    fn in_phase(&self, node: Id, phase: PhaseName) -> Option<&'a PhasePrice> {
        let mut prices = self.clearing.phase_prices.iter();
        prices.find(|at| (at.node, at.phase) == (node, phase))
    }

    /// Of who names no price.
    pub(super) fn taker(&self, power: &NodePower) -> Price {
        match self.rule {
            Pricing::Uniform => self.uniform,
            Pricing::Nodal | Pricing::PayAsBid => self.of_phases(power),
        }
    }

    /// The same of power of one phase that is a part of no other.
    pub(super) fn phase_taker(&self, power: &PhasePower) -> Price {
        match self.rule {
            Pricing::Uniform => self.uniform,
            Pricing::Nodal | Pricing::PayAsBid => {
                let at = self.in_phase(power.node, power.phase);
                price(at.map_or(0.0, |at| at.p_per_mwh))
            }
        }
    }

    /// The mean of the prices of a power's phases, by what each has of it.
    fn of_phases(&self, power: &NodePower) -> Price {
        let owner = power.owner.as_ref().map(|owner| owner.unit);
        let parts = self.case.by_phase.iter().flat_map(|of| &of.fixed);
        let own = parts.filter(|of| of.node == power.node && of.unit.is_some() && of.unit == owner);
        let mut apart = own.peekable();
        // Differences to shares that are alike, whose mean is the node's.
        if apart.peek().is_none() || power.p_w == 0.0 {
            return self.nodal(power.node);
        }
        let found = self.clearing.prices.iter().find(|at| at.node == power.node);
        let alike = found.map_or(0.0, |at| at.p_per_mwh);
        let differences = apart.filter_map(|of| {
            let at = self.in_phase(of.node, of.phase)?;
            Some(at.p_per_mwh * of.p_w)
        });
        price(alike + differences.sum::<f64>() / power.p_w)
    }

    /// Of reactive power that a unit was ordered to give, per Mvarh of either direction.
    pub(super) fn reactive(&self, unit: Id, node: Id, direction: Direction) -> Price {
        let either = |injected: f64| {
            price(match direction {
                Direction::Sell => injected,
                Direction::Buy => -injected,
            })
        };
        let at = |node: Id| {
            let found = self.clearing.prices.iter().find(|at| at.node == node);
            either(found.map_or(0.0, |at| at.q_per_mvarh))
        };
        let here = || match self.phase_of(unit) {
            Some(phase) => either(self.in_phase(node, phase).map_or(0.0, |at| at.q_per_mvarh)),
            None => at(node),
        };
        let taken = self.taken(unit, direction, true);
        let asked = taken.iter().map(|&(_, price)| price);
        match self.rule {
            Pricing::Nodal => here(),
            Pricing::Uniform => asked.fold(at(self.reference), Price::max),
            Pricing::PayAsBid => mean(&taken).unwrap_or_else(here),
        }
    }

    /// Of a unit's award, delivered or taken.
    pub(super) fn unit(&self, unit: Id, node: Id, direction: Direction) -> Price {
        let taken = self.taken(unit, direction, false);
        let prices = taken.iter().map(|&(_, price)| price);
        match (self.rule, direction) {
            // The interval is cleared with what is scheduled fixed, so that its price may be any in
            // a range; nobody trades at one worse than ordered.
            (Pricing::Nodal, Direction::Sell) => {
                let windows = self.windows(unit, direction);
                windows.fold(self.here(unit, node), Price::max)
            }
            (Pricing::Nodal, Direction::Buy) => {
                let windows = self.windows(unit, direction);
                windows.fold(self.here(unit, node), Price::min)
            }
            (Pricing::Uniform, Direction::Sell) => {
                prices.fold(self.uniform, |most, price| most.max(price))
            }
            (Pricing::Uniform, Direction::Buy) => {
                prices.fold(self.uniform, |least, price| least.min(price))
            }
            (Pricing::PayAsBid, _) => mean(&taken).unwrap_or_else(|| self.here(unit, node)),
        }
    }

    /// Limit prices of a unit's windows.
    fn windows(&self, unit: Id, direction: Direction) -> impl Iterator<Item = Price> {
        let orders = self.case.orders.iter();
        let of_it = move |order: &&Order| {
            let is_window = matches!(order.terms.kind, Kind::Window(_));
            is_window && order.unit == unit && order.direction == direction
        };
        let steps = orders.filter(of_it).flat_map(|order| &order.steps);
        steps.map(|step| step.price)
    }

    /// Steps of a unit's orders that were taken: power, W, and price. Without those whose price is
    /// not their owner's.
    fn taken(&self, unit: Id, direction: Direction, reactive: bool) -> Vec<(f64, Price)> {
        let mut taken = Vec::new();
        for fill in &self.clearing.fills {
            let mut orders = self.case.orders.iter();
            let order = orders.find(|order| order.id == fill.order);
            let of_it = |order: &&Order| {
                order.unit == unit
                    && order.direction == direction
                    && (order.terms.kind == Kind::Reactive) == reactive
                    && names_price(order)
            };
            let Some(order) = order.filter(of_it) else {
                continue;
            };
            let mut left_w = fill.quantity_w;
            for step in &order.steps {
                let step_w = left_w.min(step.quantity_w as f64);
                // Less than a watt is the optimiser's rounding.
                if step_w >= 1.0 {
                    taken.push((step_w, step.price));
                }
                left_w -= step_w;
            }
        }
        taken
    }
}

fn names_price(order: &Order) -> bool {
    let terms = &order.terms;
    matches!(terms.kind, Kind::Energy | Kind::Reactive | Kind::Window(_))
        && !terms.must
        && terms.counterparty.is_none()
}

fn mean(taken: &[(f64, Price)]) -> Option<Price> {
    let power_w: f64 = taken.iter().map(|(w, _)| w).sum();
    let worth: f64 = taken.iter().map(|(w, price)| w * price.per_mwh()).sum();
    (power_w > 0.0).then(|| price(worth / power_w))
}
