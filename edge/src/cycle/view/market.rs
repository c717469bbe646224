//! Orders and intervals as the public API shows them.

use std::collections::BTreeMap;

use solver::market::{
    CallContract, Contract, Contracts, Direction, Kind, LookedAhead, MeterQuality, PPM, Party,
    Phase, ReactiveContract, Settlement, StatementReason,
    clearing::{Binding, Clearing, Limit, Status as ClearingStatus},
};

use super::above::basis;
use crate::{
    clock::{rfc3339, rfc3339_s},
    cycle::book::{Book, Cleared, Delivery, Interval, Outcome, Placed, PlacedBy},
    site::Site,
    web::api::{
        AcCheckView, AheadView, AwardView, BindingView, CallView, ContractView, IntervalView,
        OrderKind, OrderStep, OrderView, PhasePriceView, PriceView, ReactiveView, ScheduleView,
        SettlementView,
    },
};

pub(in crate::cycle) fn order(placed: &Placed, node: i32) -> OrderView {
    let order = &placed.order;
    let state = match placed.awarded_w {
        _ if placed.cancelled => "cancelled",
        None => "accepted",
        Some(w) => awarded(placed, w),
    };
    OrderView {
        id: order.id.0,
        client_id: order.client_id.clone(),
        participant: order.participant.clone(),
        unit: order.unit,
        node,
        interval: rfc3339_s(order.interval),
        direction: match order.direction {
            Direction::Sell => "sell",
            Direction::Buy => "buy",
        }
        .to_owned(),
        steps: order
            .steps
            .iter()
            .map(|step| OrderStep {
                quantity_w: step.quantity_w,
                price_per_mwh: step.price.per_mwh(),
            })
            .collect(),
        kind: kind(order.terms.kind),
        must: order.terms.must,
        counterparty: order.terms.counterparty.clone(),
        placed_by: match placed.by {
            PlacedBy::Api => "api",
            PlacedBy::Agent => "agent",
        }
        .to_owned(),
        state: state.to_owned(),
        awarded_w: placed.awarded_w,
        taken_wh: placed.taken_wh(),
        receipt: None,
    }
}

/// Less than a watt is the optimiser's rounding.
fn awarded(placed: &Placed, power_w: f64) -> &'static str {
    let order = &placed.order;
    let asked: i64 = order.steps.iter().map(|step| step.quantity_w).sum();
    let (taken, all) = match order.terms.kind {
        // As much as it does is what it was to do.
        Kind::Storage(_) => (power_w.abs(), 0.0),
        Kind::Window(of) => (
            placed.taken_wh().unwrap_or_default() as f64,
            of.energy_wh as f64,
        ),
        _ => (power_w, asked as f64 - 1.0),
    };
    if let Some(kept) = placed.kept {
        return if kept { "awarded" } else { "not_awarded" };
    }
    match taken {
        taken if taken <= 1.0 => "not_awarded",
        taken if taken >= all => "awarded",
        _ => "partly_awarded",
    }
}

fn kind(of: Kind) -> OrderKind {
    let share = |ppm: u32| f64::from(ppm) / f64::from(PPM);
    match of {
        Kind::Reactive => OrderKind::Reactive,
        Kind::Storage(of) => OrderKind::Storage {
            energy_min_wh: of.energy_min_wh,
            energy_max_wh: of.energy_max_wh,
            charge_efficiency: share(of.charge_ppm),
            discharge_efficiency: share(of.discharge_ppm),
            wear_per_mwh: of.wear.per_mwh(),
            end_value_per_mwh: of.end_value.per_mwh(),
        },
        Kind::Window(of) => OrderKind::Window {
            end: rfc3339_s(of.end),
            energy_wh: of.energy_wh,
        },
        Kind::Call(of) => OrderKind::Call {
            p_min_w: of.p_min_w,
            p_max_w: of.p_max_w,
            compensation_per_mwh: of.compensation.per_mwh(),
            end: of.end.map(rfc3339_s),
        },
        Kind::Energy => OrderKind::Energy,
    }
}

fn ahead(of: &LookedAhead) -> AheadView {
    let stores = of.stores.iter().map(|of| ScheduleView {
        order: of.order.0,
        unit: of.unit,
        p_w: of.p_w.clone(),
        energy_wh: of.energy_wh.clone(),
        value_per_mwh: of.value_per_mwh.clone(),
    });
    let windows = of.windows.iter().map(|of| ScheduleView {
        order: of.order.0,
        unit: of.unit,
        p_w: of.p_w.clone(),
        energy_wh: Vec::new(),
        value_per_mwh: Vec::new(),
    });
    AheadView {
        intervals: u32::try_from(of.intervals).unwrap_or(u32::MAX),
        out_of_budget: of.out_of_budget,
        gap: of.gap,
        schedules: stores.chain(windows).collect(),
    }
}

pub(in crate::cycle) fn interval(
    site: &Site,
    book: &Book,
    of: &Interval,
    phase: Phase,
) -> IntervalView {
    let product = &book.product;
    let orders = book.orders_of(of.start).count();
    let mut view = IntervalView {
        start: rfc3339_s(of.start),
        end: rfc3339(product.end_us(of.start)),
        gate_closure: rfc3339(product.gate_closure_us(of.start)),
        phase: phase_word(of, phase).to_owned(),
        status: None,
        message: None,
        orders: u32::try_from(orders).unwrap_or(u32::MAX),
        cost_per_h: None,
        import_w: None,
        import_var: None,
        prices: Vec::new(),
        phase_prices: Vec::new(),
        binding: Vec::new(),
        awards: Vec::new(),
        ac_check: None,
        ahead: None,
        took_us: None,
        contracts: contracts(of),
        reactive: of.contracts.as_ref().map(reactive).unwrap_or_default(),
        calls: of.contracts.as_ref().map(calls).unwrap_or_default(),
        settlement: of.settlement.as_ref().map(settlement).unwrap_or_default(),
        corrections: of.corrections.iter().flat_map(settlement).collect(),
    };
    match &of.outcome {
        Outcome::Pending => {}
        Outcome::Failed(reason) => view.message = Some(reason.clone()),
        Outcome::Cleared(cleared) => show_clearing(site, cleared, &mut view),
    }
    if let Delivery::Void(reason) = &of.delivery {
        view.message = Some(reason.clone());
    }
    view
}

fn phase_word(of: &Interval, phase: Phase) -> &'static str {
    match (&of.outcome, &of.delivery) {
        (Outcome::Failed(_), _) => "failed",
        (Outcome::Pending, _) if phase == Phase::Open => "open",
        (Outcome::Pending, _) => "gate_closed",
        (Outcome::Cleared(_), Delivery::Void(_)) => "void",
        (Outcome::Cleared(_), Delivery::Due) => "cleared",
        (Outcome::Cleared(_), Delivery::Begun) if of.settlement.is_some() => "settled",
        (Outcome::Cleared(_), Delivery::Begun) if phase >= Phase::Delivered => "delivered",
        (Outcome::Cleared(_), Delivery::Begun) => "delivering",
    }
}

fn show_clearing(site: &Site, cleared: &Cleared, view: &mut IntervalView) {
    let Cleared {
        clearing, took_us, ..
    } = cleared;
    let case = cleared.case();
    let (status, message) = match &clearing.status {
        ClearingStatus::Optimal => ("optimal", None),
        ClearingStatus::Feasible { .. } => ("feasible", None),
        ClearingStatus::LeastViolation { violated, .. } => {
            let named: Vec<String> = violated.iter().map(Binding::to_string).collect();
            ("least_violation", Some(named.join("; ")))
        }
    };
    view.status = Some(status.to_owned());
    view.message = message;
    view.cost_per_h = Some(clearing.cost_per_h);
    view.import_w = Some(clearing.exchange.iter().map(|x| x.p_w).sum());
    view.import_var = Some(clearing.exchange.iter().map(|x| x.q_var).sum());
    view.prices = clearing
        .prices
        .iter()
        .map(|p| PriceView {
            node: p.node,
            p_per_mwh: p.p_per_mwh,
            q_per_mvarh: p.q_per_mvarh,
        })
        .collect();
    let by_phase = clearing.phase_prices.iter();
    view.phase_prices = by_phase
        .map(|p| PhasePriceView {
            node: p.node,
            phase: p.phase.letter().to_owned(),
            p_per_mwh: p.p_per_mwh,
            q_per_mvarh: p.q_per_mvarh,
        })
        .collect();
    view.binding = clearing.binding.iter().map(binding).collect();
    view.ac_check = Some(ac_check(clearing));
    view.ahead = cleared.looked.as_deref().map(ahead);
    view.took_us = Some(u64::try_from(*took_us).unwrap_or_default());
    view.awards = clearing
        .awards
        .iter()
        .map(|award| {
            let (offered_w, bid_w) = Book::asked_w(case, award.unit);
            AwardView {
                unit: award.unit,
                p_w: award.p_w,
                q_var: award.q_var,
                offered_w,
                bid_w,
                energy_wh: solver::market::energy_wh(award.p_w, site.market.interval_s),
            }
        })
        .collect();
}

fn ac_check(clearing: &Clearing) -> AcCheckView {
    let check = &clearing.ac_check;
    AcCheckView {
        ok: !matches!(clearing.status, ClearingStatus::LeastViolation { .. }),
        u_min_pu: check.u_min_pu.1,
        u_max_pu: check.u_max_pu.1,
        loading_max: check.worst_loading.map_or(0.0, |(_, loading)| loading),
        gap_w: check.model_gap_w,
        tightened: u32::try_from(clearing.tightened.len()).unwrap_or(u32::MAX),
    }
}

fn binding(binding: &Binding) -> BindingView {
    let (kind, element) = match binding.limit {
        Limit::UMax { node } => ("u_max", node),
        Limit::UMin { node } => ("u_min", node),
        Limit::Current { branch, .. } => ("current", branch),
        Limit::Apparent { branch, .. } => ("apparent", branch),
        Limit::Import { source } => ("import", source),
        Limit::Export { source } => ("export", source),
    };
    BindingView {
        kind: kind.to_owned(),
        element,
        phase: binding.phase.map(|phase| phase.letter().to_owned()),
        text: binding.to_string(),
        bound: binding.bound,
        value: binding.value,
        shadow_price: binding.shadow_price_per_h,
    }
}

fn contracts(of: &Interval) -> Vec<ContractView> {
    let above = |c: &Contract| {
        let parties = [&c.seller.party, &c.buyer.party];
        let upstream = parties.contains(&&Party::Upstream);
        of.basis.filter(|_| upstream).map(|of| basis(of).to_owned())
    };
    let shown = |c: &Contract| ContractView {
        seller: account(&c.seller.party, c.seller.node),
        seller_unit: c.seller.unit,
        seller_node: c.seller.node,
        buyer: account(&c.buyer.party, c.buyer.node),
        buyer_unit: c.buyer.unit,
        buyer_node: c.buyer.node,
        energy_wh: c.energy_wh,
        seller_price_per_mwh: c.seller_price.per_mwh(),
        buyer_price_per_mwh: c.buyer_price.per_mwh(),
        received_micro: c.received.0,
        paid_micro: c.paid.0,
        fee_micro: c.fee.0,
        distance_pu: c.distance_pu,
        bilateral: c.bilateral,
        basis: above(c),
    };
    let contracts = of.contracts.iter();
    contracts.flat_map(|of| &of.contracts).map(shown).collect()
}

fn reactive(contracts: &Contracts) -> Vec<ReactiveView> {
    let shown = |c: &ReactiveContract| ReactiveView {
        account: account(&c.seller.party, c.seller.node),
        unit: c.seller.unit,
        node: c.seller.node,
        varh: c.varh,
        price_per_mvarh: c.price.per_mwh(),
        received_micro: c.received.0,
    };
    contracts.reactive.iter().map(shown).collect()
}

fn calls(contracts: &Contracts) -> Vec<CallView> {
    let shown = |c: &CallContract| CallView {
        order: c.order.0,
        caller: account(&c.caller, c.called.node),
        account: account(&c.called.party, c.called.node),
        unit: c.called.unit,
        node: c.called.node,
        energy_wh: c.energy_wh,
        compensation_per_mwh: c.compensation.per_mwh(),
        received_micro: c.received.0,
    };
    contracts.calls.iter().map(shown).collect()
}

/// A row per party, unit and node; the network's last.
fn settlement(settlement: &Settlement) -> Vec<SettlementView> {
    let mut rows = Vec::new();
    for statement in &settlement.statements {
        let mut places: BTreeMap<_, SettlementView> = BTreeMap::new();
        for line in &statement.lines {
            let row = places
                .entry((line.node, line.unit))
                .or_insert_with(|| SettlementView {
                    account: account(&statement.party, line.node),
                    unit: line.unit,
                    contracted_wh: 0,
                    metered_wh: 0,
                    quality: "metered".to_owned(),
                    reactive_varh: 0,
                    amount_micro: 0,
                });
            row.reactive_varh += line.reactive_varh;
            row.amount_micro += line.received.0;
            // What a call changed is among what was contracted; what passes up was metered by the lines before.
            if ![StatementReason::Call, StatementReason::SettledAbove].contains(&line.reason) {
                row.metered_wh += line.energy_wh;
            }
            if line.reason == StatementReason::Contract {
                row.contracted_wh += line.energy_wh;
            }
            if let Some(quality) = line.quality {
                row.quality = match quality {
                    MeterQuality::Metered => "metered",
                    MeterQuality::Replaced => "replaced",
                    MeterQuality::Estimated => "estimated",
                    MeterQuality::Missing => "missing",
                }
                .to_owned();
            }
        }
        if statement.party == Party::Network {
            rows.push(SettlementView {
                account: "network".to_owned(),
                unit: None,
                contracted_wh: 0,
                metered_wh: 0,
                quality: "metered".to_owned(),
                reactive_varh: 0,
                amount_micro: statement.balance.0,
            });
        }
        rows.extend(places.into_values());
    }
    rows
}

fn account(party: &Party, node: i32) -> String {
    match party {
        Party::Participant(name) => name.clone(),
        Party::Upstream => "upstream".to_owned(),
        Party::Residual => format!("residual at node {node}"),
        Party::Network => "network".to_owned(),
    }
}
