//! From a clearing to contracts.
//!
//! What was agreed between two participants comes first, at their price. All else goes to the
//! nearest: participants with each other, then with the residual supplier and the grid above. What
//! is delivered and not taken by anybody is lost on the way, and the network buys it. So it does
//! with reactive power that was ordered.

use super::{
    Contract, Contracts, Direction, Kind, Order, Pair, Party, Place, Price, ReactiveContract,
    Rulebook, Unit, amount,
    clearing::{Case, Clearing, Exchange, Interface, loading_by_phase},
    distance::Distances,
    energy_wh,
    pricing::Prices,
};
use crate::{
    network::{Grid, Id},
    powerflow::flows,
};

/// What a place still has to sell or buy.
struct Trade {
    place: Place,
    /// Wh, negative where bought.
    left_wh: i64,
    price: Price,
}

/// Contracts of a clearing without calls by the rules; `pairs` are what participants had agreed on before it. Every
/// place's contracts add up to its award (or fixed power, or exchange), rounded to whole Wh once.
#[must_use]
pub fn contracts(
    grid: &Grid,
    case: &Case,
    clearing: &Clearing,
    pairs: &[Pair],
    rulebook: &Rulebook,
) -> Contracts {
    let mut trades = trades(case, clearing, rulebook);
    let mut book = Book {
        rulebook,
        distances: Distances::new(grid),
        loading: loading(grid, clearing),
        contracts: Vec::new(),
    };
    for pair in pairs {
        book.agreed(pair, case, clearing, &mut trades);
    }
    let peer = |trade: &Trade| matches!(trade.place.party, Party::Participant(_));
    book.nearest_first(&mut trades, |seller, buyer| peer(seller) && peer(buyer));
    book.nearest_first(&mut trades, |_, _| true);
    book.losses(&mut trades);
    let contracts = book.contracts;
    let reactive = reactive(case, clearing, rulebook);
    let paid = reactive.iter().map(|c| -c.received);
    let network = Party::Network;
    let bought = |c: &Contract| match (c.buyer.party == network, c.seller.party == network) {
        (true, false) => c.energy_wh,
        (false, true) => -c.energy_wh,
        _ => 0,
    };
    Contracts {
        rent: contracts.iter().map(Contract::rent).chain(paid).sum(),
        losses_wh: contracts.iter().map(bought).sum(),
        contracts,
        reactive,
        calls: Vec::new(),
    }
}

/// What units were awarded of the reactive power that they offered. What they give without an
/// order has no price.
fn reactive(case: &Case, clearing: &Clearing, rulebook: &Rulebook) -> Vec<ReactiveContract> {
    let prices = Prices::new(rulebook.pricing, case, clearing);
    let ordered = |unit: Id| {
        let fills = clearing.fills.iter();
        let of_unit = fills.filter_map(|fill| {
            let order = case.orders.iter().find(|order| order.id == fill.order)?;
            let is_its = order.unit == unit && order.terms.kind == Kind::Reactive;
            is_its.then_some(match order.direction {
                Direction::Sell => fill.quantity_w,
                Direction::Buy => -fill.quantity_w,
            })
        });
        of_unit.sum::<f64>()
    };
    let made = case.units.iter().filter_map(|unit| {
        let varh = energy_wh(ordered(unit.id), case.duration_s);
        let direction = match varh {
            0 => return None,
            1.. => Direction::Sell,
            _ => Direction::Buy,
        };
        let price = prices.reactive(unit.id, unit.node, direction);
        Some(ReactiveContract {
            seller: place_of(unit),
            varh,
            price,
            received: amount(varh.saturating_abs(), price),
        })
    });
    made.collect()
}

/// Loading of each branch in the cleared state, 1 being its rating, by phase that of the phase with the most;
/// nothing where it has none.
pub(super) fn loading(grid: &Grid, clearing: &Clearing) -> Vec<f64> {
    if clearing.u.len() == 3 * grid.node_id.len() {
        return loading_by_phase(grid, &clearing.u);
    }
    if clearing.u.len() != grid.node_id.len() {
        return Vec::new();
    }
    let flows = flows(grid, &clearing.u);
    let each = flows.branches.iter().map(|branch| branch.loading);
    each.map(|loading| if loading.is_finite() { loading } else { 0.0 })
        .collect()
}

fn trades(case: &Case, clearing: &Clearing, rulebook: &Rulebook) -> Vec<Trade> {
    let prices = Prices::new(rulebook.pricing, case, clearing);
    let mut trades = Vec::new();
    let mut trade = |place: Place, power_w: f64, price: Price| {
        let left_wh = energy_wh(power_w, case.duration_s);
        if left_wh != 0 {
            trades.push(Trade {
                place,
                left_wh,
                price,
            });
        }
    };
    for (unit, award) in case.units.iter().zip(&clearing.awards) {
        let direction = match award.p_w >= 0.0 {
            true => Direction::Sell,
            false => Direction::Buy,
        };
        let price = prices.unit(unit.id, unit.node, direction);
        trade(place_of(unit), award.p_w, price);
    }
    for power in &case.fixed {
        let (party, unit) = match &power.owner {
            Some(owner) => (
                Party::Participant(owner.participant.clone()),
                Some(owner.unit),
            ),
            None => (Party::Residual, None),
        };
        let node = power.node;
        trade(Place { party, unit, node }, power.p_w, prices.taker(power));
    }
    // What is a part of another one's is in its total already.
    let of_phases = case.by_phase.iter().flat_map(|of| &of.fixed);
    for power in of_phases.filter(|of| of.unit.is_none()) {
        let place = Place {
            party: Party::Residual,
            unit: None,
            node: power.node,
        };
        trade(place, power.p_w, prices.phase_taker(power));
    }
    for (interface, exchange) in case.interface.iter().zip(&clearing.exchange) {
        trades.extend(with_grid_above(interface, exchange, case.duration_s));
    }
    trades
}

/// What is exchanged with the grid above: what is agreed on at its price, what is beyond it at the
/// interface's, whichever way it goes. Together they are the exchange, rounded once.
fn with_grid_above(
    interface: &Interface,
    exchange: &Exchange,
    duration_s: u32,
) -> impl Iterator<Item = Trade> + use<> {
    let (agreed_wh, agreed_price) = interface.scheduled.map_or((0, Price(0)), |of| {
        (energy_wh(of.exchange_w, duration_s), of.price)
    });
    let beyond_wh = energy_wh(exchange.p_w, duration_s).saturating_sub(agreed_wh);
    let price = match beyond_wh >= 0 {
        true => interface.import_price,
        false => interface.export_price,
    };
    let node = exchange.node;
    let both = [(agreed_wh, agreed_price), (beyond_wh, price)].into_iter();
    both.filter(|&(wh, _)| wh != 0)
        .map(move |(left_wh, price)| Trade {
            place: Place {
                party: Party::Upstream,
                unit: None,
                node,
            },
            left_wh,
            price,
        })
}

fn place_of(unit: &Unit) -> Place {
    Place {
        party: Party::Participant(unit.participant.clone()),
        unit: Some(unit.id),
        node: unit.node,
    }
}

struct Book<'a> {
    rulebook: &'a Rulebook,
    distances: Distances<'a>,
    loading: Vec<f64>,
    contracts: Vec<Contract>,
}

impl Book<'_> {
    /// Matches sellers with buyers, the nearest pair first; equally near ones by name, unit, node.
    fn nearest_first(&mut self, trades: &mut [Trade], may: impl Fn(&Trade, &Trade) -> bool) {
        let of = |sells: bool| {
            let each = trades.iter().enumerate();
            let on_side = each.filter(move |(_, t)| t.left_wh != 0 && (t.left_wh > 0) == sells);
            on_side.map(|(k, _)| k).collect::<Vec<usize>>()
        };
        let (sellers, buyers) = (of(true), of(false));
        let mut pairs = Vec::new();
        for &seller in &sellers {
            for &buyer in &buyers {
                let (s, b) = (&trades[seller], &trades[buyer]);
                if !may(s, b) {
                    continue;
                }
                if let Some(far) = self.distances.between(s.place.node, b.place.node) {
                    pairs.push((far, seller, buyer));
                }
            }
        }
        pairs.sort_by(|a, b| {
            let names = |&(_, s, b): &(f64, usize, usize)| (&trades[s].place, &trades[b].place);
            a.0.total_cmp(&b.0).then_with(|| names(a).cmp(&names(b)))
        });
        for (far, seller, buyer) in pairs {
            let energy_wh = trades[seller].left_wh.min(-trades[buyer].left_wh);
            if energy_wh <= 0 {
                continue;
            }
            trades[seller].left_wh -= energy_wh;
            trades[buyer].left_wh += energy_wh;
            let (s, b) = (&trades[seller], &trades[buyer]);
            let (from, to) = (s.place.node, b.place.node);
            let upstream = |trade: &Trade| trade.place.party == Party::Upstream;
            // What was agreed on with the grid above and is not taken goes nowhere.
            let fee = match upstream(s) && upstream(b) && from == to {
                true => Price(0),
                false => {
                    let tariff = &self.rulebook.grid_fee;
                    tariff.of(&mut self.distances, from, to, &self.loading)
                }
            };
            let prices = (s.price, b.price);
            let contract = contract(&s.place, &b.place, energy_wh, prices, fee);
            self.contracts.push(Contract {
                distance_pu: Some(far),
                ..contract
            });
        }
    }

    /// What two participants agreed on: as much as both were awarded, at their price. What only one
    /// of them was awarded it trades with the network at that price too: nobody else may.
    fn agreed(&mut self, pair: &Pair, case: &Case, clearing: &Clearing, trades: &mut [Trade]) {
        let leg = |id| {
            let order: &Order = case.orders.iter().find(|order| order.id == id)?;
            let fill = clearing.fills.iter().find(|fill| fill.order == id)?;
            let at = trades
                .iter()
                .position(|t| t.place.unit == Some(order.unit))?;
            Some((at, energy_wh(fill.quantity_w, case.duration_s)))
        };
        let place = |id| {
            let order = case.orders.iter().find(|order| order.id == id)?;
            case.units
                .iter()
                .find(|unit| unit.id == order.unit)
                .map(place_of)
        };
        let (Some(seller), Some(buyer)) = (place(pair.seller), place(pair.buyer)) else {
            return;
        };
        let sold = leg(pair.seller).map(|(at, wh)| (at, wh.min(trades[at].left_wh).max(0)));
        let bought = leg(pair.buyer).map(|(at, wh)| (at, wh.min(-trades[at].left_wh).max(0)));
        let (sold_wh, bought_wh) = (sold.map_or(0, |(_, wh)| wh), bought.map_or(0, |(_, wh)| wh));
        if let Some((at, wh)) = sold {
            trades[at].left_wh -= wh;
        }
        if let Some((at, wh)) = bought {
            trades[at].left_wh += wh;
        }
        let both_wh = sold_wh.min(bought_wh);
        let network = |node| Place {
            party: Party::Network,
            unit: None,
            node,
        };
        let far = self.distances.between(seller.node, buyer.node);
        let congestion = pair.congestion(case, clearing, self.rulebook.pricing);
        let both = pair.prices(congestion);
        let alone = (pair.price, pair.price);
        let here = network(seller.node);
        let there = network(buyer.node);
        for (seller, buyer, wh, prices, fee, distance_pu) in [
            (&seller, &buyer, both_wh, both, pair.fee, far),
            (&seller, &here, sold_wh - both_wh, alone, Price(0), None),
            (&there, &buyer, bought_wh - both_wh, alone, Price(0), None),
        ] {
            if wh > 0 {
                let contract = contract(seller, buyer, wh, prices, fee);
                self.contracts.push(Contract {
                    distance_pu,
                    bilateral: true,
                    ..contract
                });
            }
        }
    }

    /// The network takes what is left, at the seller's price.
    fn losses(&mut self, trades: &mut [Trade]) {
        for trade in trades.iter_mut().filter(|trade| trade.left_wh != 0) {
            let network = Place {
                party: Party::Network,
                unit: None,
                node: trade.place.node,
            };
            let (seller, buyer) = match trade.left_wh > 0 {
                true => (&trade.place, &network),
                false => (&network, &trade.place),
            };
            let (wh, prices) = (trade.left_wh.saturating_abs(), (trade.price, trade.price));
            self.contracts
                .push(contract(seller, buyer, wh, prices, Price(0)));
            trade.left_wh = 0;
        }
    }
}

fn contract(
    seller: &Place,
    buyer: &Place,
    energy_wh: i64,
    (seller_price, buyer_price): (Price, Price),
    fee: Price,
) -> Contract {
    // Nobody receives or pays for the network's own side but the other.
    let network = |place: &Place| place.party == Party::Network;
    let (seller_price, buyer_price) = match (network(seller), network(buyer)) {
        (true, _) => (buyer_price, buyer_price),
        (_, true) => (seller_price, seller_price),
        _ => (seller_price, buyer_price),
    };
    let received = if network(seller) {
        Price(0)
    } else {
        seller_price
    };
    let paid = if network(buyer) {
        Price(0)
    } else {
        buyer_price
    };
    Contract {
        seller: seller.clone(),
        buyer: buyer.clone(),
        energy_wh,
        seller_price,
        buyer_price,
        received: amount(energy_wh, received),
        paid: amount(energy_wh, paid),
        fee: amount(energy_wh, fee),
        fee_per_mwh: fee,
        distance_pu: None,
        bilateral: false,
    }
}
