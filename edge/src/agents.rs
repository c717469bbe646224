//! Built-in agents: one per generator, battery and load, with the price and preferences of the site
//! file. An agent orders when the gate closes, by the same rules as everybody, and only for a
//! unit nobody else has ordered for.
//!
//! How much a generator can deliver is forecast by persistence: one that delivers less than its
//! limit is held back by sun or wind and offers a little more than it delivers now; one that its
//! limit holds back offers its nameplate (an award is a limit: what the sun does not give is not
//! delivered, and settled so). A battery offers and bids what its state of charge allows over the
//! interval. A load's agent bids for what the load is estimated to take, at the highest price there
//! is: nothing here can switch a load, so its bid is must-serve and enters the clearing as fixed power.

use solver::market::{Direction, Kind, NewOrder, Order, OrderId, Price, Step, Terms};

use crate::site::{Load, Unit};

/// Below its limit by this share of it, and by this share of nameplate (its meter is noisy), a
/// generator is held back by sun or wind, not by the limit.
const BELOW_LIMIT: f64 = 0.03;
const BELOW_RATED: f64 = 0.005;
/// Sun and wind may rise by this share, and this share of nameplate, until the interval ends.
const RISE: f64 = 1.05;
const RISE_RATED: f64 = 0.01;

/// What an agent knows of its unit.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge {
    /// Power now, generation-positive, W.
    pub p_w: f64,
    /// Limit in force, W; none: not limited.
    pub limit_w: Option<f64>,
    /// State of charge, 0 to 1, of a battery.
    pub soc: Option<f64>,
}

/// What a unit can do over the interval: lowest and highest mean power, W.
#[must_use]
pub fn range_w(unit: &Unit, known: &Knowledge, interval_s: u32) -> (f64, f64) {
    let rated = unit.p_rated_w;
    let Some(battery) = unit.battery else {
        let limit = known.limit_w.map_or(rated, |limit| limit.min(rated));
        let by_resource = known.p_w < (1.0 - BELOW_LIMIT) * limit - BELOW_RATED * rated;
        let most = if by_resource {
            (RISE * known.p_w.max(0.0) + RISE_RATED * rated).min(rated)
        } else {
            rated
        };
        return (0.0, most);
    };
    let Some(soc) = known.soc else {
        return (0.0, 0.0);
    };
    let soc = soc.clamp(0.0, 1.0);
    let hours = f64::from(interval_s.max(1)) / 3600.0;
    let empty_w = (soc - battery.soc_min).max(0.0) * battery.energy_wh / hours;
    let fill_w = (battery.soc_max - soc).max(0.0) * battery.energy_wh / hours;
    (-rated.min(fill_w), rated.min(empty_w))
}

/// The orders of a unit's agent for an interval.
#[must_use]
pub fn orders(unit: &Unit, range_w: (f64, f64), interval: i64) -> Vec<NewOrder> {
    let order = |direction, watts: f64, price| {
        let quantity_w = watts.floor() as i64;
        let word = match direction {
            Direction::Sell => "sell",
            Direction::Buy => "buy",
        };
        (quantity_w > 0).then(|| NewOrder {
            client_id: format!("agent-{}-{interval}-{word}", unit.id),
            participant: unit.participant.clone(),
            node: unit.node,
            unit: Some(unit.id),
            interval,
            direction,
            steps: vec![Step { quantity_w, price }],
            terms: Terms::default(),
        })
    };
    if let Some(storage) = unit.battery.and_then(|battery| battery.storage) {
        return vec![NewOrder {
            client_id: format!("agent-{}-{interval}-store", unit.id),
            participant: unit.participant.clone(),
            node: unit.node,
            unit: Some(unit.id),
            interval,
            direction: Direction::Sell,
            steps: Vec::new(),
            terms: Terms {
                kind: Kind::Storage(storage),
                ..Terms::default()
            },
        }];
    }
    let sell = order(Direction::Sell, range_w.1, unit.sell_price);
    let buy = unit
        .battery
        .and_then(|battery| order(Direction::Buy, -range_w.0, battery.buy_price));
    sell.into_iter().chain(buy).collect()
}

/// The must-serve order of a load's agent, by what the load is expected to take, W; none when that
/// is nothing.
#[must_use]
pub fn must_serve(
    load: &Load,
    p_w: f64,
    price: Price,
    interval: i64,
    id: OrderId,
) -> Option<Order> {
    let quantity_w = p_w.round() as i64;
    (quantity_w > 0).then(|| Order {
        id,
        client_id: format!("agent-{}-{interval}-buy", load.id),
        participant: load.participant.clone(),
        unit: load.id,
        interval,
        direction: Direction::Buy,
        steps: vec![Step { quantity_w, price }],
        terms: Terms::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Battery, UnitKind};
    use protocols::point::DeviceId;

    fn unit(battery: Option<Battery>) -> Unit {
        Unit {
            id: 7,
            node: 3,
            phase: None,
            name: "unit".to_owned(),
            kind: UnitKind::Pv,
            device: DeviceId::new("d"),
            participant: "p".to_owned(),
            p_rated_w: 100_000.0,
            q_rated_var: 48_400.0,
            sell_price: Price(20_000_000),
            battery,
            fallback_p_w: 0.0,
            ramp_w_per_s: 1e4,
            q_lag_s: 0.0,
        }
    }

    fn known(p_w: f64, limit_w: Option<f64>, soc: Option<f64>) -> Knowledge {
        Knowledge { p_w, limit_w, soc }
    }

    #[test]
    fn a_generator_offers_what_it_can() {
        let pv = unit(None);
        for (p_w, limit_w, most) in [
            (40_000.0, Some(40_000.0), 100_000.0), // held by its limit
            (39_000.0, Some(80_000.0), 41_950.0),  // held by the sun
            (0.0, None, 1_000.0),                  // night
            (99_000.0, None, 100_000.0),
            (-200.0, Some(0.0), 100_000.0), // held at nothing, by a noisy meter
        ] {
            let range = range_w(&pv, &known(p_w, limit_w, None), 10);
            assert_eq!(range, (0.0, most), "{p_w} W of {limit_w:?}");
        }
    }

    #[test]
    fn a_battery_keeps_within_its_charge() {
        let battery = unit(Some(Battery {
            buy_price: Price(30_000_000),
            storage: None,
            energy_wh: 400_000.0,
            soc_min: 0.1,
            soc_max: 0.9,
        }));
        let at = |soc, interval_s| range_w(&battery, &known(0.0, None, soc), interval_s);
        assert_eq!(at(Some(0.6), 10), (-100_000.0, 100_000.0));
        // 4 kWh over one hour
        let (low, high) = at(Some(0.11), 3600);
        assert_eq!(low, -100_000.0);
        assert!((high - 4_000.0).abs() < 1e-6, "{high}");
        assert_eq!(at(Some(0.05), 10), (-100_000.0, 0.0));
        assert_eq!(at(Some(1.0), 10), (0.0, 100_000.0));
        assert_eq!(at(None, 10), (0.0, 0.0));
        let both = orders(&battery, at(Some(0.6), 10), 20);
        assert_eq!(both.len(), 2);
        assert_eq!(orders(&battery, at(None, 10), 20), []);
    }

    #[test]
    fn a_load_bids_for_what_it_takes_at_the_highest_price() {
        let load = Load {
            id: 33,
            node: 4,
            name: "load".to_owned(),
            participant: "retail".to_owned(),
            expected_p_w: 1.0,
            expected_q_var: 0.0,
            sigma: 0.3,
            shares: crate::site::Shares::ALIKE,
        };
        let order = must_serve(&load, 1499.6, Price(9), 20, OrderId(5)).unwrap();
        assert_eq!(order.direction, Direction::Buy);
        assert_eq!(
            order.steps,
            [Step {
                quantity_w: 1500,
                price: Price(9)
            }]
        );
        for nothing in [0.0, -7.0, f64::NAN] {
            assert_eq!(must_serve(&load, nothing, Price(9), 20, OrderId(5)), None);
        }
    }
}
