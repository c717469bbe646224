//! On what the exchange of an interval rests: the award, or the stated fallback.

use protocols::opcua::message::{Award, Basis, Closing, Offer};
use solver::market::{
    Imbalance, Price,
    clearing::{Interface, Scheduled, ScheduledReactive},
};

/// What a site chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Awards are waited for until this long before the start, s.
    pub award_s: u32,
    /// What stands in for an award that did not come.
    pub fallback: Fallback,
    /// Exchange by time of day (UTC), W, import-positive: from which second on, rising from 0.
    pub schedule: Vec<(u32, i64)>,
    /// What is exchanged beyond the award is this much dearer, or cheaper where it is given, per MWh.
    pub spread: Price,
    /// What is exchanged beyond a schedule, or where nothing is to be exchanged: deviations are settled so.
    pub imbalance: Imbalance,
}

/// What stands in for an award.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The last award that an interval was closed with; before the first one, as `Zero`.
    LastAward,
    /// The site's schedule.
    Schedule,
    /// No exchange, as far as that can be had.
    Zero,
}

/// An award that an interval was closed with, for those after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Last {
    /// Start of that interval.
    pub(super) interval: i64,
    pub(super) exchange_w: i64,
    pub(super) price: i64,
    /// It, with what it took to be exchanged beyond it and its limits.
    pub(super) interface: Interface,
}

/// Widest price, micro-currency per MWh: as of an order.
const PRICE_MOST: i64 = 3_000_000_000;
/// Widest limit or power, W: far beyond any connection, and exact as a float.
const POWER_MOST: i64 = 1_000_000_000_000;
/// A var beside the awarded ones counts this share of what the site pays for as much active power: more than what
/// it is offered for, so that the grid above can count on it, too little to displace energy.
const REACTIVE_SHARE: i64 = 25;
/// Voltages that a grid is planned at, millionths.
const VOLTAGES: std::ops::RangeInclusive<i64> = 700_000..=1_300_000;

/// Why an award cannot be used for what was offered.
pub(super) fn unusable(award: &Award, offer: Option<&Offer>) -> Option<String> {
    let Some(offer) = offer else {
        return Some("nothing was offered".to_owned());
    };
    // None: the layer above has not seen an offer, and says what it expects.
    if award.offer != 0 && award.offer != offer.sequence {
        return Some(format!(
            "it answers offer {}, not {}",
            award.offer, offer.sequence
        ));
    }
    let (least, most) = range(offer)?;
    let exchange_w = award.called_w.unwrap_or(award.exchange_w);
    if !(least..=most).contains(&exchange_w) {
        return Some(format!(
            "{exchange_w} W is not from {least} to {most} W, as offered"
        ));
    }
    if !(-PRICE_MOST..=PRICE_MOST).contains(&award.price) {
        return Some(format!("a price of {} micro-currency per MWh", award.price));
    }
    if !(0..=PRICE_MOST).contains(&award.grid_fee) {
        return Some(format!(
            "a grid fee of {} micro-currency per MWh",
            award.grid_fee
        ));
    }
    let limits = [award.import_max_w, award.export_max_w];
    if limits.iter().any(|limit| !(0..=POWER_MOST).contains(limit)) {
        return Some(format!("limits of {} and {} W", limits[0], limits[1]));
    }
    if let Some(u_ppm) = award.u_ppm.filter(|of| !VOLTAGES.contains(of)) {
        return Some(format!("a voltage of {u_ppm} millionths"));
    }
    let most = -POWER_MOST..=POWER_MOST;
    (!most.contains(&award.q_var)).then(|| format!("a reactive exchange of {} var", award.q_var))
}

/// What can be exchanged by an offer, W.
pub(super) fn range(offer: &Offer) -> Option<(i64, i64)> {
    let (first, last) = (offer.curve.first()?, offer.curve.last()?);
    Some((first.exchange_w, last.exchange_w))
}

/// The closing that an award makes, and the terms of the exchange.
pub(super) fn by_award(award: &Award, terms: &Terms, site: &Interface) -> (Closing, Interface) {
    let exchange_w = award.called_w.unwrap_or(award.exchange_w);
    let closing = Closing {
        interval: award.interval,
        sequence: 1,
        basis: Basis::Award,
        award: Some(award.sequence),
        exchange_w,
        price: award.price,
    };
    let beyond = award.grid_fee + terms.spread.0;
    let fee = award.grid_fee * exchange_w.signum();
    let interface = Interface {
        source: site.source,
        import_price: Price(award.price + beyond),
        export_price: Price(award.price - beyond),
        import_max_w: Some(award.import_max_w as f64),
        export_max_w: Some(award.export_max_w as f64),
        scheduled: Some(Scheduled {
            exchange_w: exchange_w as f64,
            price: Price(award.price + fee),
            reactive: Some(ScheduledReactive {
                q_var: award.q_var as f64,
                weight: Price(site.import_price.0.abs() / REACTIVE_SHARE),
            }),
        }),
        u_pu: award.u_ppm.map(|u_ppm| u_ppm as f64 / 1e6),
    };
    (closing, interface)
}

/// The same without an award: what the site says, within what was offered and what the grid above could
/// carry when it last said so. Only where the two do not meet, what was offered outranks.
pub(super) fn by_fallback(
    start: i64,
    offer: Option<&Offer>,
    last: Option<&Last>,
    terms: &Terms,
    site: &Interface,
) -> (Closing, Interface) {
    let (basis, wanted_w) = match (terms.fallback, last) {
        (Fallback::LastAward, Some(last)) => (Basis::LastAward, last.exchange_w),
        (Fallback::Schedule, _) => (Basis::Schedule, scheduled_w(&terms.schedule, start)),
        (Fallback::LastAward | Fallback::Zero, _) => (Basis::Zero, 0),
    };
    let limits = last.map(|last| (last.interface.import_max_w, last.interface.export_max_w));
    let limits = limits.unwrap_or((site.import_max_w, site.export_max_w));
    let exchange_w = within(wanted_w, limits, offer);
    let (price, scheduled_price, import_price, export_price) = match (basis, last) {
        (Basis::LastAward, Some(last)) => as_last(last, terms, exchange_w),
        _ => {
            let own = match exchange_w {
                ..0 => site.export_price,
                0.. => site.import_price,
            };
            let beyond = terms.imbalance;
            (own.0, own, beyond.short_price, beyond.long_price)
        }
    };
    let (import_max_w, export_max_w) = limits;
    let closing = Closing {
        interval: start,
        sequence: 1,
        basis,
        award: None,
        exchange_w,
        price,
    };
    let interface = Interface {
        source: site.source,
        import_price,
        export_price,
        import_max_w,
        export_max_w,
        scheduled: Some(Scheduled {
            exchange_w: exchange_w as f64,
            price: scheduled_price,
            reactive: None,
        }),
        u_pu: last.and_then(|last| last.interface.u_pu),
    };
    (closing, interface)
}

/// What is wanted, as far as most import and most export (W) of the grid above let it, and what was offered.
fn within(wanted_w: i64, limits: (Option<f64>, Option<f64>), offer: Option<&Offer>) -> i64 {
    let (import_max_w, export_max_w) = limits;
    let most_w = import_max_w.map_or(POWER_MOST, |w| w as i64);
    let least_w = export_max_w.map_or(-POWER_MOST, |w| -(w as i64));
    let exchange_w = wanted_w.min(most_w).max(least_w);
    match offer.and_then(range) {
        Some((least_w, most_w)) => exchange_w.min(most_w).max(least_w),
        None => exchange_w,
    }
}

/// By the last award: what the exchange costs by the closing, and with the fee, which goes its way; then what more
/// import costs and more export earns.
fn as_last(last: &Last, terms: &Terms, exchange_w: i64) -> (i64, Price, Price, Price) {
    let (import, export) = (last.interface.import_price, last.interface.export_price);
    let fee = (import.0 - export.0) / 2 - terms.spread.0;
    let with_fee = last.price + fee.max(0) * exchange_w.signum();
    (last.price, Price(with_fee), import, export)
}

/// What the schedule says of the time of day that an interval begins at.
fn scheduled_w(schedule: &[(u32, i64)], start: i64) -> i64 {
    let second = start.rem_euclid(86_400);
    let due = schedule
        .iter()
        .rfind(|(from, _)| i64::from(*from) <= second);
    due.map_or(0, |&(_, w)| w)
}
