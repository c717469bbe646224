//! Whether a document makes sense at all, before anything is done with it. Curves are checked again where
//! they are cleared.

use std::collections::BTreeSet;

use protocols::opcua::message::{
    AGGREGATORS_MOST, Aggregated, Award, Basis, Closing, Offer, Total, Voltage,
};

use crate::site::is_name;

/// Corners of a curve; a residual has far less.
const CORNERS_MOST: usize = 256;
/// Sequence numbers of one interval's offers and closings that are taken: each is kept.
const SEQUENCE_MOST: u32 = 100;
/// The same of totals: each of a tenant's meters may be read anew.
const TOTALS_MOST: u32 = 1_000;
/// Most that one interval comes to for somebody, micro-currency.
const AMOUNT_MOST: u64 = 1_000_000_000_000_000;
/// Widest power, W or var.
const POWER_MOST: u64 = 1_000_000_000_000;
/// Widest price, micro-currency per MWh.
const PRICE_MOST: u64 = 3_000_000_000;
/// Corners of what a voltage costs.
const VOLTAGES_MOST: usize = 64;
/// Nearest that two of them are, millionths of the rated voltage.
const VOLTAGE_STEP_LEAST: i64 = 1_000;
/// Most that one costs, micro-currency per h.
const VOLTAGE_COST_MOST: u64 = 1_000_000_000_000_000_000;
/// Most energy, Wh.
const ENERGY_MOST: i64 = 1_000_000_000_000;
/// Limits in words: as many, each as long.
const WORDS_MOST: (usize, usize) = (64, 256);

pub(super) fn offer(offer: &Offer, length_s: u32) -> Result<(), String> {
    sequence(offer.sequence, SEQUENCE_MOST)?;
    if offer.length_s != length_s {
        return Err(format!(
            "intervals are {length_s} s long, not {}",
            offer.length_s
        ));
    }
    let corners = offer.curve.len();
    if !(1..=CORNERS_MOST).contains(&corners) {
        return Err(format!("a curve of {corners} corners; 1 to {CORNERS_MOST}"));
    }
    for (k, pair) in offer.curve.windows(2).enumerate() {
        if pair[0].exchange_w >= pair[1].exchange_w {
            return Err(format!(
                "the curve's exchange does not rise at corner {}",
                k + 1
            ));
        }
        if k + 2 < corners && pair[0].price <= pair[1].price {
            return Err(format!(
                "the curve's price does not fall at corner {}",
                k + 1
            ));
        }
    }
    for corner in &offer.curve {
        power(corner.exchange_w)?;
        power(corner.q_var)?;
        if corner.price.unsigned_abs() > PRICE_MOST {
            return Err(format!(
                "a price of {} micro-currency per MWh",
                corner.price
            ));
        }
    }
    for value in [offer.q_min_var, offer.q_max_var, offer.forecast_w] {
        power(value)?;
    }
    if offer.q_min_var > offer.q_max_var {
        return Err("q_min_var is above q_max_var".to_owned());
    }
    if let Some(of) = &offer.voltage {
        voltage(of)?;
    }
    let state = &offer.state;
    let is_share = (0.0..=1.0).contains(&state.observed);
    if !is_share || !(0.0..=10.0).contains(&state.sigma_max_pu) {
        return Err("a state that is none".to_owned());
    }
    let (count, length) = WORDS_MOST;
    if state.limits.len() > count || state.limits.iter().any(|words| words.len() > length) {
        return Err(format!(
            "more than {count} limits, or longer ones than {length}"
        ));
    }
    Ok(())
}

/// Bounds are those of [`solver::market::layers::AreaError::Voltage`]: a curve beyond them would keep the whole area
/// from being cleared.
fn voltage(of: &Voltage) -> Result<(), String> {
    let corners = of.corners.len();
    if !(2..=VOLTAGES_MOST).contains(&corners) {
        return Err(format!(
            "what a voltage costs at {corners} corners; 2 to {VOLTAGES_MOST}"
        ));
    }
    let near = |of: &[(i64, i64)]| of[1].0.saturating_sub(of[0].0) < VOLTAGE_STEP_LEAST;
    if of.corners.windows(2).any(near) {
        return Err("voltages do not rise, or by less than 0.001 pu".to_owned());
    }
    for &(u_ppm, cost) in &of.corners {
        if !(100_000..=3_000_000).contains(&u_ppm) || cost.unsigned_abs() > VOLTAGE_COST_MOST {
            return Err(format!("a voltage of {u_ppm} millionths that costs {cost}"));
        }
    }
    let ohms = [of.r_ohm, of.x_ohm];
    match ohms.iter().all(|ohm| (0.0..=1e4).contains(ohm)) {
        true => Ok(()),
        false => Err(format!("a grid above of {} and {} ohm", ohms[0], ohms[1])),
    }
}

/// `awards`: those of the interval that the tenant was given.
pub(super) fn closing(closing: &Closing, award: Option<&Award>) -> Result<(), String> {
    sequence(closing.sequence, SEQUENCE_MOST)?;
    power(closing.exchange_w)?;
    if closing.price.unsigned_abs() > PRICE_MOST {
        return Err(format!(
            "a price of {} micro-currency per MWh",
            closing.price
        ));
    }
    match (closing.basis, closing.award) {
        (Basis::Award, Some(named)) => match award {
            Some(award) if award.sequence == named => {
                let exchange_w = award.called_w.unwrap_or(award.exchange_w);
                match (closing.exchange_w, closing.price) == (exchange_w, award.price) {
                    true => Ok(()),
                    false => Err(format!("award {named} says otherwise")),
                }
            }
            _ => Err(format!("there is no award {named}")),
        },
        (Basis::Award, None) => Err("which award it rests on is not said".to_owned()),
        (_, Some(_)) => Err("it names an award that it does not rest on".to_owned()),
        (_, None) => Ok(()),
    }
}

pub(super) fn total(total: &Total) -> Result<(), String> {
    sequence(total.sequence, TOTALS_MOST)?;
    let energies = [total.import_wh, total.export_wh];
    if energies.iter().any(|wh| !(0..=ENERGY_MOST).contains(wh)) {
        return Err(format!("{} and {} Wh", total.import_wh, total.export_wh));
    }
    aggregators(&total.aggregators)
}

fn aggregators(of: &[Aggregated]) -> Result<(), String> {
    if of.len() > AGGREGATORS_MOST {
        return Err(format!(
            "{} aggregators; {AGGREGATORS_MOST} at most",
            of.len()
        ));
    }
    let mut names = BTreeSet::new();
    for one in of {
        let name = &one.name;
        if !is_name(name) {
            return Err("an aggregator's name is none".to_owned());
        }
        if !names.insert(name) {
            return Err(format!("aggregator {name} is there twice"));
        }
        if one.delivered_wh.unsigned_abs() > ENERGY_MOST.unsigned_abs()
            || one.amount.unsigned_abs() > AMOUNT_MOST
        {
            let (wh, amount) = (one.delivered_wh, one.amount);
            return Err(format!(
                "aggregator {name}: {wh} Wh, {amount} micro-currency"
            ));
        }
    }
    Ok(())
}

fn sequence(sequence: u32, most: u32) -> Result<(), String> {
    match (1..=most).contains(&sequence) {
        true => Ok(()),
        false => Err(format!("sequence {sequence}; 1 to {most}")),
    }
}

fn power(value: i64) -> Result<(), String> {
    match value.unsigned_abs() {
        0..=POWER_MOST => Ok(()),
        _ => Err(format!("{value} is beyond any grid")),
    }
}
