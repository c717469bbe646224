//! Why a unit was awarded what it was, at the price it was.

use std::{collections::BTreeMap, fmt::Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Award, Binding, Case, Clearing, Limit, PhaseName, PriceParts, Status};
use crate::{
    market::{Direction, Kind, Order, OrderId, Unit},
    network::Id,
};

/// What the caller calls things, and what it knows of where limits come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// Names of nodes, branches, sources and units; whatever has none goes by its id.
    pub element: BTreeMap<Id, String>,
    /// What a limit, by phase that of its phase, rests on: measurements, margins, ratings.
    pub behind: Vec<(Limit, Option<PhaseName>, String)>,
    /// Units that were called by the DSO, with a sentence that says to what.
    pub called: BTreeMap<Id, String>,
}

/// Why a step of an order was taken as far as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Taken whole.
    Taken,
    /// Taken in part: its limit price is the price at its node.
    SetsThePrice,
    /// Not taken: the price at its node is worse than its limit price.
    OutOfTheMoney,
    /// Not taken whole although the price would bear it: the unit's own capability is used up, or
    /// what it sold to itself was netted.
    BeyondCapability,
    /// Of a window: decided with later intervals in view, not by the price of this one.
    Scheduled,
    /// Not taken whole although the price would bear it: the unit is called by the DSO.
    Called,
    /// The dispatch is not an optimum, so the price does not decide.
    Undecided,
}

/// One step of an order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepExplained {
    /// Asked, W or var.
    pub quantity_w: i64,
    /// Taken, W or var.
    pub taken_w: f64,
    /// Limit price, currency per MWh or Mvarh.
    pub limit_per_mwh: f64,
    /// Why.
    pub verdict: Verdict,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderExplained {
    /// Number.
    pub order: OrderId,
    /// Whether it is of reactive power: quantities in var, prices per Mvarh.
    pub reactive: bool,
    /// Offer or bid; of reactive power, injecting or absorbing.
    pub direction: Direction,
    /// Its steps, in the order's sequence.
    pub steps: Vec<StepExplained>,
}

/// What a little more room is worth to everybody together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Relief {
    /// `mpu` (a thousandth of rated voltage), `A`, `kVA`, `kW` or `kvar`.
    pub unit: String,
    /// Worth of one such unit more, currency per h.
    pub worth_per_h: f64,
}

/// A limit that binds, as the unit sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitExplained {
    /// The limit, its bound, its value.
    pub binding: Binding,
    /// In words.
    pub text: String,
    /// Its part of the price at the unit's node, currency per MWh.
    pub p_per_mwh: f64,
    /// Its part of the price of reactive power there, currency per Mvarh.
    pub q_per_mvarh: f64,
    /// Its part of all that limits make of the price here, 0 to 1, by magnitude.
    pub share: f64,
    /// What one more unit of it would be worth.
    pub relief: Relief,
    /// What it rests on, as far as the caller says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
}

/// Why a unit was awarded what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// Unit.
    pub unit: Id,
    /// Its node.
    pub node: Id,
    /// What it is awarded.
    pub award: Award,
    /// What it offered and asked for, and why it was taken or not.
    pub orders: Vec<OrderExplained>,
    /// Price at its node and what it is made of.
    pub price: PriceParts,
    /// Limits that bind, the one that weighs most at this node first.
    pub limits: Vec<LimitExplained>,
    /// What more of the unit itself would be worth: active power where it sells or buys all it can
    /// (`kW`), reactive power where it gives or takes all it can (`kvar`).
    pub own_relief: Vec<Relief>,
    /// All of that in sentences.
    pub text: Vec<String>,
}

/// Below this share of a quantity, or as little short of it, a step counts as not taken or whole.
const WHOLE: f64 = 1e-4;
/// Below this a price counts as equal to another, currency per MWh.
const EQUAL_PRICE: f64 = 0.01;

/// Explains a unit's award; nothing where the case does not have the unit, or the parts are not
/// those of its node.
#[must_use]
pub fn explain(
    case: &Case,
    clearing: &Clearing,
    parts: &[PriceParts],
    unit: Id,
    names: &Names,
) -> Option<Explanation> {
    let of = case.units.iter().find(|of| of.id == unit)?;
    let award = *clearing.awards.iter().find(|award| award.unit == unit)?;
    let phases = case.by_phase.iter().flat_map(|by| &by.units);
    let phase = phases
        .filter(|by| by.unit == unit)
        .map(|by| by.phase)
        .next();
    let at = |price: &&PriceParts| (price.node, price.phase) == (of.node, phase);
    let price = parts.iter().find(at)?.clone();
    let is_optimal = clearing.status == Status::Optimal;
    let is_called = names.called.contains_key(&unit);
    let orders: Vec<OrderExplained> = case
        .orders
        .iter()
        .zip(&clearing.fills)
        .filter(|(order, _)| order.unit == unit)
        .map(|(order, fill)| {
            order_explained(order, fill.quantity_w, &price, (is_optimal, is_called))
        })
        .collect();
    let limits = limits(clearing, &price, names);
    let own_relief = own_relief(of, &award, &orders, &price);
    let mut explanation = Explanation {
        unit,
        node: of.node,
        award,
        orders,
        price,
        limits,
        own_relief,
        text: Vec::new(),
    };
    explanation.text = sentences(&explanation, &clearing.status, names);
    Some(explanation)
}

fn order_explained(
    order: &Order,
    taken_w: f64,
    price: &PriceParts,
    (is_optimal, is_called): (bool, bool),
) -> OrderExplained {
    let mut left = taken_w;
    let reactive = order.terms.kind == Kind::Reactive;
    let steps = order.steps.iter().map(|step| {
        let quantity = step.quantity_w as f64;
        let taken = left.clamp(0.0, quantity);
        left -= taken;
        let limit = step.price.per_mwh();
        // How much better than its limit price the price is for the step.
        let margin = match (order.direction, reactive) {
            (Direction::Sell, false) => price.p_per_mwh() - limit,
            (Direction::Buy, false) => limit - price.p_per_mwh(),
            // Who absorbs is paid as well.
            (Direction::Sell, true) => price.q_per_mvarh() - limit,
            (Direction::Buy, true) => -price.q_per_mvarh() - limit,
        };
        let verdict = if matches!(order.terms.kind, Kind::Window(_)) {
            Verdict::Scheduled
        } else if taken >= (1.0 - WHOLE) * quantity {
            Verdict::Taken
        } else if !is_optimal {
            Verdict::Undecided
        } else if margin > EQUAL_PRICE && is_called && !reactive {
            Verdict::Called
        } else if margin > EQUAL_PRICE {
            Verdict::BeyondCapability
        } else if taken > WHOLE * quantity {
            Verdict::SetsThePrice
        } else {
            Verdict::OutOfTheMoney
        };
        StepExplained {
            quantity_w: step.quantity_w,
            taken_w: taken,
            limit_per_mwh: limit,
            verdict,
        }
    });
    OrderExplained {
        order: order.id,
        reactive,
        direction: order.direction,
        steps: steps.collect(),
    }
}

fn limits(clearing: &Clearing, price: &PriceParts, names: &Names) -> Vec<LimitExplained> {
    let all: f64 = price.limits.iter().map(|part| part.p_per_mwh.abs()).sum();
    let bindings = clearing.binding.iter();
    let mut explained: Vec<LimitExplained> = bindings
        .map(|binding| {
            let part = (price.limits.iter())
                .find(|part| (part.limit, part.phase) == (binding.limit, binding.phase));
            let p_per_mwh = part.map_or(0.0, |part| part.p_per_mwh);
            let mut behind = names.behind.iter();
            LimitExplained {
                binding: *binding,
                text: limit_text(binding, names),
                p_per_mwh,
                q_per_mvarh: part.map_or(0.0, |part| part.q_per_mvarh),
                share: if all > 0.0 {
                    p_per_mwh.abs() / all
                } else {
                    0.0
                },
                relief: relief(binding),
                behind: behind
                    .find(|(limit, phase, _)| (*limit, *phase) == (binding.limit, binding.phase))
                    .map(|(.., text)| text.clone()),
            }
        })
        .collect();
    explained.sort_by(|a, b| b.share.total_cmp(&a.share));
    explained
}

/// In the unit that people speak of.
fn relief(binding: &Binding) -> Relief {
    let (unit, of_si) = match binding.limit {
        Limit::UMax { .. } | Limit::UMin { .. } => ("mpu", 1e-3),
        Limit::Current { .. } => ("A", 1.0),
        Limit::Apparent { .. } => ("kVA", 1e3),
        Limit::Import { .. } | Limit::Export { .. } => ("kW", 1e3),
    };
    Relief {
        unit: unit.to_owned(),
        worth_per_h: of_si * binding.shadow_price_per_h,
    }
}

/// What the unit's own bounds cost.
fn own_relief(
    unit: &Unit,
    award: &Award,
    orders: &[OrderExplained],
    price: &PriceParts,
) -> Vec<Relief> {
    let mut reliefs = Vec::new();
    let mut add = |name: &str, worth_per_h: f64| {
        reliefs.push(Relief {
            unit: name.to_owned(),
            worth_per_h,
        });
    };
    // Another kW at the dearest limit price the unit has had taken whole.
    let steps = |direction: Direction| {
        let own = orders.iter();
        let own = own.filter(move |of| of.direction == direction && !of.reactive);
        own.flat_map(|of| &of.steps)
    };
    let is_whole = |direction: Direction| {
        let mut own = steps(direction).peekable();
        own.peek().is_some() && own.all(|step| step.verdict == Verdict::Taken)
    };
    let p = price.p_per_mwh();
    if is_whole(Direction::Sell) {
        let dearest = steps(Direction::Sell).map(|step| step.limit_per_mwh);
        add("kW", 1e-3 * (p - dearest.fold(f64::NEG_INFINITY, f64::max)));
    }
    if is_whole(Direction::Buy) {
        let lowest = steps(Direction::Buy).map(|step| step.limit_per_mwh);
        add("kW", 1e-3 * (lowest.fold(f64::INFINITY, f64::min) - p));
    }
    let q_max = unit.capability.q_max_var;
    if unit.dispatchable && q_max > 0.0 && award.q_var.abs() >= (1.0 - 1e-3) * q_max {
        add("kvar", 1e-3 * price.q_per_mvarh().abs());
    }
    reliefs
}

fn name(names: &Names, what: &str, id: Id) -> String {
    match names.element.get(&id) {
        Some(name) => format!("{what} {name}"),
        None => format!("{what} {id}"),
    }
}

fn limit_text(binding: &Binding, names: &Names) -> String {
    let text = match binding.limit {
        Limit::UMax { node } => format!("highest voltage at {}", name(names, "node", node)),
        Limit::UMin { node } => format!("lowest voltage at {}", name(names, "node", node)),
        Limit::Current { branch, .. } => {
            format!("rated current of {}", name(names, "branch", branch))
        }
        Limit::Apparent { branch, .. } => {
            format!("rated power of {}", name(names, "transformer", branch))
        }
        Limit::Import { source } => format!("import limit at {}", name(names, "source", source)),
        Limit::Export { source } => format!("export limit at {}", name(names, "source", source)),
    };
    match binding.phase {
        Some(phase) => format!("{text} in phase {}", phase.letter()),
        None => text,
    }
}

fn sentences(of: &Explanation, status: &Status, names: &Names) -> Vec<String> {
    let mut text = vec![award_sentence(of, names)];
    text.extend(names.called.get(&of.unit).cloned());
    text.extend(of.orders.iter().flat_map(step_sentences));
    text.push(price_sentence(of));
    for limit in &of.limits {
        let Binding {
            limit: kind,
            bound,
            value,
            ..
        } = limit.binding;
        let unit = kind.unit();
        let mut sentence = format!(
            "{}: {value:.4} {unit} of {bound:.4} {unit}; {:.0} % of what limits make of the price here; one more {} is worth {:.4} per h",
            limit.text,
            100.0 * limit.share,
            limit.relief.unit,
            limit.relief.worth_per_h
        );
        if let Some(behind) = &limit.behind {
            let _ = write!(sentence, "; it rests on {behind}");
        }
        text.push(sentence);
    }
    for relief in &of.own_relief {
        text.push(format!(
            "the unit is at its own limit: one more {} of it would be worth {:.4} per h",
            relief.unit, relief.worth_per_h
        ));
    }
    match status {
        Status::Optimal => {}
        Status::Feasible { gap_per_h } => text.push(format!(
            "the dispatch keeps every limit but may not be the best: up to {gap_per_h:.2} per h may be left"
        )),
        Status::LeastViolation { violated, .. } => {
            let worst: Vec<String> = violated
                .iter()
                .map(|of| limit_text(of, names))
                .collect();
            text.push(format!(
                "no dispatch keeps every limit ({}), so this one breaks them least and prices are cut",
                worst.join("; ")
            ));
        }
    }
    text
}

fn award_sentence(of: &Explanation, names: &Names) -> String {
    let p_kw = of.award.p_w / 1e3;
    let q_kvar = of.award.q_var / 1e3;
    let what = if p_kw >= 0.0 { "delivers" } else { "takes" };
    format!(
        "{} {what} {:.1} kW and {} {:.1} kvar at {}",
        name(names, "unit", of.unit),
        p_kw.abs(),
        if q_kvar >= 0.0 { "delivers" } else { "takes" },
        q_kvar.abs(),
        name(names, "node", of.node),
    )
}

fn step_sentences(order: &OrderExplained) -> Vec<String> {
    let (word, unit, price) = match (order.direction, order.reactive) {
        (Direction::Sell, false) => ("sells", "kW", "MWh"),
        (Direction::Buy, false) => ("buys", "kW", "MWh"),
        (Direction::Sell, true) => ("injects", "kvar", "Mvarh"),
        (Direction::Buy, true) => ("absorbs", "kvar", "Mvarh"),
    };
    let steps = order.steps.iter().map(|step| {
        let why = match step.verdict {
            Verdict::Taken => "taken whole",
            Verdict::SetsThePrice => "it sets the price here, so that it is taken in part",
            Verdict::OutOfTheMoney => "the price here is worse than that",
            Verdict::BeyondCapability => "the unit can't serve more",
            Verdict::Called => "the call does not allow more",
            Verdict::Scheduled => "decided with later intervals in view",
            Verdict::Undecided => "cut so that limits hold",
        };
        format!(
            "order {} {word} {:.1} {unit} of {:.1} {unit} at {:.2} per {price}: {why}",
            order.order,
            step.taken_w / 1e3,
            step.quantity_w as f64 / 1e3,
            step.limit_per_mwh
        )
    });
    steps.collect()
}

fn price_sentence(of: &Explanation) -> String {
    let price = &of.price;
    let mut text = format!(
        "the price here is {:.4} per MWh: {:.4} of energy, {:+.4} of losses",
        price.p_per_mwh(),
        price.energy_per_mwh,
        price.loss_p_per_mwh
    );
    for limit in &of.limits {
        let _ = write!(text, ", {:+.4} of {}", limit.p_per_mwh, limit.text);
    }
    if price.rest_p_per_mwh.abs() > EQUAL_PRICE {
        let _ = write!(
            text,
            ", {:+.4} that no limit explains",
            price.rest_p_per_mwh
        );
    }
    text
}
