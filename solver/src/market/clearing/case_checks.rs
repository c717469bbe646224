//! What a case has to be before anything is computed from it.

use std::collections::BTreeSet;

use super::{Case, ClearingError, Interface};
use crate::{
    market::{Kind, Unit},
    network::{Grid, Id},
};

pub(super) fn bad(what: String, value: f64, expected: &'static str) -> ClearingError {
    ClearingError::BadValue {
        what,
        value,
        expected,
    }
}

fn finite(what: impl Fn() -> String, value: f64) -> Result<(), ClearingError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(bad(what(), value, "finite"))
}

fn not_negative(what: impl Fn() -> String, value: f64) -> Result<(), ClearingError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(bad(what(), value, "finite and at least 0"))
}

pub(super) fn unique<T: Copy + Ord + Into<i64>>(
    what: &'static str,
    ids: impl Iterator<Item = T>,
) -> Result<(), ClearingError> {
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(ClearingError::Duplicate {
                what,
                id: id.into(),
            });
        }
    }
    Ok(())
}

pub(super) fn check_case(grid: &Grid, case: &Case) -> Result<(), ClearingError> {
    if case.duration_s == 0 {
        return Err(bad("duration".to_owned(), 0.0, "at least 1 s"));
    }
    unique("unit", case.units.iter().map(|unit| unit.id))?;
    unique(
        "interface of source",
        case.interface.iter().map(|of| of.source),
    )?;
    let mut orders = BTreeSet::new();
    for order in &case.orders {
        if !orders.insert(order.id) {
            let id = i64::try_from(order.id.0).unwrap_or(i64::MAX);
            return Err(ClearingError::Duplicate { what: "order", id });
        }
    }
    check_powers(case)?;
    for interface in &case.interface {
        check_interface(interface)?;
    }
    for unit in &case.units {
        check_unit(unit)?;
    }
    let limited = case.limits.nodes.iter();
    unique("voltage limit of node", limited.map(|of| of.node))?;
    check_voltages(case)?;
    check_orders(case)?;
    check_start(grid, case)
}

/// What is not for sale.
fn check_powers(case: &Case) -> Result<(), ClearingError> {
    for power in &case.fixed {
        finite(|| format!("active power at node {}", power.node), power.p_w)?;
        finite(
            || format!("reactive power at node {}", power.node),
            power.q_var,
        )?;
    }
    for power in case.by_phase.iter().flat_map(|of| &of.fixed) {
        let what = |kind| format!("{kind} power at node {}, by phase", power.node);
        finite(|| what("active"), power.p_w)?;
        finite(|| what("reactive"), power.q_var)?;
    }
    Ok(())
}

fn check_interface(interface: &Interface) -> Result<(), ClearingError> {
    let source = interface.source;
    let limits = [interface.import_max_w, interface.export_max_w];
    for limit in limits.into_iter().flatten() {
        not_negative(|| format!("exchange limit of source {source}"), limit)?;
    }
    if let Some(u_pu) = interface.u_pu.filter(|u_pu| !(0.1..=3.0).contains(u_pu)) {
        let what = format!("voltage behind source {source}, pu");
        return Err(bad(what, u_pu, "from 0.1 to 3"));
    }
    if let Some(of) = interface.scheduled {
        let what = || format!("scheduled exchange of source {source}");
        finite(what, of.exchange_w)?;
        if let Some(of) = of.reactive {
            let what = |kind| format!("{kind} reactive exchange of source {source}");
            finite(|| what("scheduled"), of.q_var)?;
            not_negative(|| what("weight of"), of.weight.per_mwh())?;
        }
    }
    Ok(())
}

fn check_voltages(case: &Case) -> Result<(), ClearingError> {
    if case.by_phase.is_some() && !case.voltages.is_empty() {
        let what = "number of voltages that are worth something, by phase".to_owned();
        return Err(bad(what, case.voltages.len() as f64, "0"));
    }
    let voltages = case.voltages.iter();
    unique("voltage behind unit", voltages.clone().map(|of| of.unit))?;
    for of in voltages {
        let known = case.units.iter().any(|unit| unit.id == of.unit);
        if !known {
            let what = format!(
                "voltages name unit {}, which is not in the case: unit",
                of.unit
            );
            return Err(bad(what, f64::from(of.unit), "a unit of the case"));
        }
        of.check()?;
    }
    Ok(())
}

fn check_start(grid: &Grid, case: &Case) -> Result<(), ClearingError> {
    if let Some(start) = &case.start {
        let phases = if case.by_phase.is_some() { 3 } else { 1 };
        if start.len() != phases * grid.node_id.len() {
            let what = "number of starting voltages".to_owned();
            let expected = "the number of nodes, by phase three times";
            return Err(bad(what, start.len() as f64, expected));
        }
        for (u, node) in start.chunks(phases).zip(&grid.node_id) {
            let sum: f64 = u.iter().map(|u| u.norm()).sum();
            finite(|| format!("starting voltage at node {node}"), sum)?;
        }
    }
    Ok(())
}

fn check_orders(case: &Case) -> Result<(), ClearingError> {
    let units: BTreeSet<Id> = case.units.iter().map(|unit| unit.id).collect();
    for order in &case.orders {
        if !units.contains(&order.unit) {
            return Err(ClearingError::UnknownUnit {
                order: order.id,
                unit: order.unit,
            });
        }
        if let Kind::Call(_) = order.terms.kind {
            let what = "a case of one interval takes no calls: number of the order".to_owned();
            return Err(bad(what, order.id.0 as f64, "one of another kind"));
        }
        for step in &order.steps {
            if step.quantity_w <= 0 {
                let what = format!("quantity of a step of order {}, W", order.id);
                return Err(bad(what, step.quantity_w as f64, "at least 1"));
            }
        }
    }
    Ok(())
}

fn check_unit(unit: &Unit) -> Result<(), ClearingError> {
    let id = unit.id;
    let of = &unit.capability;
    // A unit without orders is awarded nothing, so nothing has to be within what it can do. What
    // must run is fixed power.
    not_negative(|| format!("power that unit {id} can take, W"), -of.p_min_w)?;
    not_negative(
        || format!("power that unit {id} can deliver, W"),
        of.p_max_w,
    )?;
    not_negative(|| format!("reactive power of unit {id}, var"), of.q_max_var)?;
    if let Some(s) = of.s_max_va {
        not_negative(|| format!("apparent power of unit {id}, VA"), s)?;
    }
    Ok(())
}
