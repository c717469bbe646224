//! The result of a clearing, to be read.

use std::fmt::Write as _;

use solver::{
    market::{
        CallContract, Direction, Unit,
        clearing::{Case, Clearing, Horizon, PhaseName, ResultFile, Status},
    },
    network::Id,
};

/// The whole of it.
pub(super) fn table(case: &Case, result: &ResultFile) -> String {
    let clearing = &result.clearing;
    let mut text = String::new();
    head(&mut text, clearing);
    exchange(&mut text, clearing);
    units(&mut text, case, clearing);
    prices(&mut text, result);
    if !clearing.binding.is_empty() {
        row(&mut text, "\nlimits that bind");
        for binding in &clearing.binding {
            row(&mut text, &format!("  {binding}"));
        }
    }
    if !result.without_calls.is_empty() {
        calls(&mut text, result);
    }
    if let Some(of) = &result.horizon {
        horizon(&mut text, of);
    }
    for explanation in &result.explanations {
        row(&mut text, &format!("\nunit {}", explanation.unit));
        for sentence in &explanation.text {
            row(&mut text, &format!("  {sentence}"));
        }
    }
    text
}

fn row(text: &mut String, row: &str) {
    text.push_str(row);
    text.push('\n');
}

fn head(text: &mut String, clearing: &Clearing) {
    let status = match &clearing.status {
        Status::Optimal => "optimal".to_owned(),
        Status::Feasible { gap_per_h } => {
            format!("feasible, but up to {gap_per_h:.4} per h may be left")
        }
        Status::LeastViolation { violated, .. } => {
            let worst: Vec<String> = violated.iter().map(|of| of.limit.to_string()).collect();
            format!(
                "no dispatch keeps every limit; not kept: {}",
                worst.join("; ")
            )
        }
    };
    let check = &clearing.ac_check;
    let _ = writeln!(
        text,
        "{status}\ncost {:.4} per h, losses {:.1} kW, {} programmes",
        clearing.cost_per_h,
        check.losses_w / 1e3,
        clearing.iterations
    );
    let (low, high) = (check.u_min_pu, check.u_max_pu);
    let _ = write!(
        text,
        "AC power flow: {:.4} pu (node {}) to {:.4} pu (node {})",
        low.1, low.0, high.1, high.0
    );
    if let Some((branch, loading)) = check.worst_loading {
        let _ = write!(text, ", loading {:.1} % (branch {branch})", 100.0 * loading);
    }
    row(text, "");
}

fn exchange(text: &mut String, clearing: &Clearing) {
    let _ = writeln!(
        text,
        "\n{:>8}{:>8}{:>12}{:>12}{:>12}",
        "source", "node", "P kW", "Q kvar", "per MWh"
    );
    for of in &clearing.exchange {
        let _ = writeln!(
            text,
            "{:>8}{:>8}{:>12.1}{:>12.1}{:>12.4}",
            of.source,
            of.node,
            of.p_w / 1e3,
            of.q_var / 1e3,
            of.price_per_mwh
        );
    }
}

fn units(text: &mut String, case: &Case, clearing: &Clearing) {
    let _ = writeln!(
        text,
        "\n{:>8}{:>8}{:>12}{:>12}{:>12}{:>12}{:>12}  participant",
        "unit", "node", "P kW", "Q kvar", "offered kW", "asked kW", "per MWh"
    );
    let asked = |unit: Id, direction: Direction| {
        let own = case.orders.iter();
        let own = own.filter(|order| order.unit == unit && order.direction == direction);
        let steps = own.flat_map(|order| &order.steps);
        steps.fold(0.0, |sum, step| sum + step.quantity_w as f64 / 1e3)
    };
    for (unit, award) in case.units.iter().zip(&clearing.awards) {
        let price = price(case, clearing, unit);
        let _ = writeln!(
            text,
            "{:>8}{:>8}{:>12.1}{:>12.1}{:>12.1}{:>12.1}{:>12.4}  {}",
            unit.id,
            unit.node,
            award.p_w / 1e3,
            award.q_var / 1e3,
            asked(unit.id, Direction::Sell),
            asked(unit.id, Direction::Buy),
            price.unwrap_or(0.0),
            unit.participant
        );
    }
}

/// What called units do with the calls and without, and what is paid for the difference.
fn calls(text: &mut String, result: &ResultFile) {
    let _ = writeln!(
        text,
        "\n{:>8}{:>12}{:>14}{:>12}{:>12}  paid by",
        "called", "P kW", "without kW", "changed Wh", "paid"
    );
    for without in &result.without_calls {
        let mut awards = result.clearing.awards.iter();
        let p_w = awards.find(|of| of.unit == without.unit).map(|of| of.p_w);
        let of_unit = |of: &&CallContract| of.called.unit == Some(without.unit);
        let paid = result.calls.iter().find(of_unit);
        let (wh, money) = paid.map_or((0, 0), |of| (of.energy_wh, of.received.0));
        let _ = writeln!(
            text,
            "{:>8}{:>12.1}{:>14.1}{wh:>12}{:>12.4}  {}",
            without.unit,
            p_w.unwrap_or_default() / 1e3,
            without.p_w / 1e3,
            money as f64 / 1e6,
            paid.map_or_else(|| "nobody".to_owned(), |of| of.caller.to_string()),
        );
    }
}

/// Price of a unit, at its node or in its phase there.
fn price(case: &Case, clearing: &Clearing, unit: &Unit) -> Option<f64> {
    let phases = case.by_phase.iter().flat_map(|of| &of.units);
    let mut phases = phases.filter(|of| of.unit == unit.id);
    if let Some(of) = phases.next() {
        let at = (unit.node, of.phase);
        let mut prices = clearing.phase_prices.iter();
        return prices
            .find(|price| (price.node, price.phase) == at)
            .map(|price| price.p_per_mwh);
    }
    let mut prices = clearing.prices.iter();
    prices
        .find(|price| price.node == unit.node)
        .map(|price| price.p_per_mwh)
}

/// Intervals as rows; a store's power and energy, or a window's power, as columns.
fn horizon(text: &mut String, of: &Horizon) {
    let count = of.intervals.len();
    let _ = writeln!(text, "\n{count} intervals, cost {:.4}", of.cost);
    let _ = write!(text, "{:>8}{:>14}", "interval", "cost per h");
    for store in &of.stores {
        let _ = write!(text, "{:>7} kW{:>7} kWh", store.unit, store.unit);
    }
    for window in &of.windows {
        let _ = write!(text, "{:>7} kW", window.unit);
    }
    row(text, "");
    for (t, clearing) in of.intervals.iter().enumerate() {
        let _ = write!(text, "{:>8}{:>14.4}", t + 1, clearing.cost_per_h);
        for store in &of.stores {
            let (p, energy) = (store.p_w[t] / 1e3, store.energy_wh[t] / 1e3);
            let _ = write!(text, "{p:>10.1}{energy:>11.1}");
        }
        for window in &of.windows {
            let _ = write!(text, "{:>10.1}", window.p_w[t] / 1e3);
        }
        row(text, "");
    }
}

fn prices(text: &mut String, result: &ResultFile) {
    let _ = writeln!(
        text,
        "\n{:>8}{:>12}{:>12}{:>12}{:>12}{:>14}",
        "node", "per MWh", "energy", "losses", "limits", "per Mvarh"
    );
    for of in &result.price_parts {
        let limits: f64 = of.limits.iter().map(|part| part.p_per_mwh).sum();
        let place = match of.phase {
            None => of.node.to_string(),
            Some(PhaseName::A) => format!("{} a", of.node),
            Some(PhaseName::B) => format!("{} b", of.node),
            Some(PhaseName::C) => format!("{} c", of.node),
        };
        let _ = writeln!(
            text,
            "{place:>8}{:>12.4}{:>12.4}{:>12.4}{:>12.4}{:>14.4}",
            of.p_per_mwh(),
            of.energy_per_mwh,
            of.loss_p_per_mwh,
            limits + of.voltage_p_per_mwh + of.rest_p_per_mwh,
            of.q_per_mvarh()
        );
    }
}
