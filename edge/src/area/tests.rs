//! The machine by itself: documents and moments in, records and awards out.

mod aggregators;
mod calls;
mod nested;
mod voltage;

use std::sync::Arc;

use protocols::opcua::message::{
    Basis, Closing, Corner, Offer, Refused, State, Total, Up, Voltage,
};
use solver::{
    market::{
        Capability, Direction, Imbalance, LedgerEntry, Order, OrderId, Party, Price, Product,
        Rulebook, Step as OrderStep, Terms, Unit, clearing::LimitSet,
    },
    network::pgm_json,
};

use super::{Aggregator, Entry, Market, Participant, Setup, Tenant};
use crate::{clock::US, replay::Replay, store::Record};

const LENGTH: i64 = 900;
/// Start of the interval that most tests are about.
const START: i64 = 1_800_000_000;
/// Before its gate.
const OPEN: i64 = (START - 400) * US;
/// When its gate is closed.
const GATE: i64 = (START - 300) * US;

/// 20 kV: source at node 1, tenants at 2, 3 and 4 behind lines of their own, 100 A each.
const NETWORK: &str = r#"{"version":"1.0","type":"input","is_batch":false,"attributes":{},"data":{
    "node":[{"id":1,"u_rated":20000},{"id":2,"u_rated":20000},{"id":3,"u_rated":20000},{"id":4,"u_rated":20000}],
    "line":[
      {"id":5,"from_node":1,"to_node":2,"from_status":1,"to_status":1,"r1":1,"x1":0.5,"c1":0,"tan1":0,"i_n":100},
      {"id":6,"from_node":1,"to_node":3,"from_status":1,"to_status":1,"r1":1,"x1":0.5,"c1":0,"tan1":0,"i_n":100},
      {"id":7,"from_node":1,"to_node":4,"from_status":1,"to_status":1,"r1":1,"x1":0.5,"c1":0,"tan1":0,"i_n":100}],
    "source":[{"id":8,"node":1,"status":1,"u_ref":1.0}]}}"#;

pub(super) fn setup() -> Setup {
    let tenant = |name: &str, node| Tenant {
        name: name.to_owned(),
        unit: 100 + node,
        node,
        import_max_w: 3_000_000,
        export_max_w: 3_000_000,
    };
    let unit = Unit {
        id: 50,
        participant: "works".to_owned(),
        node: 4,
        capability: Capability {
            p_min_w: -200_000.0,
            p_max_w: 0.0,
            q_max_var: 0.0,
            s_max_va: None,
        },
        dispatchable: true,
    };
    let order = Order {
        id: OrderId(1),
        client_id: "works".to_owned(),
        participant: "works".to_owned(),
        unit: 50,
        interval: 0,
        direction: Direction::Buy,
        steps: vec![OrderStep {
            quantity_w: 200_000,
            price: Price(90_000_000),
        }],
        terms: Terms::default(),
    };
    Setup {
        network: pgm_json::read(NETWORK).unwrap(),
        product: Product {
            length_s: 900,
            gate_lead_s: 300,
            publish_lead_s: 240,
            settle_delay_s: 60,
            horizon: 4,
        },
        tenants: vec![tenant("north", 2), tenant("south", 3), tenant("west", 4)],
        participants: vec![Participant {
            unit,
            orders: vec![order],
        }],
        aggregators: vec![Aggregator {
            name: "flex-co".to_owned(),
            tenants: vec!["north".to_owned(), "south".to_owned()],
        }],
        limits: LimitSet {
            u_min_pu: 0.9,
            u_max_pu: 1.1,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        source: 8,
        import_price: Price(100_000_000),
        export_price: Price(40_000_000),
        import_max_w: None,
        export_max_w: None,
        rulebook: Rulebook {
            imbalance: Imbalance {
                short_price: Price(150_000_000),
                long_price: Price(10_000_000),
            },
            ..Rulebook::default()
        },
        patience_s: 3600,
        above: None,
    }
}

fn market() -> Market {
    Market::new(Arc::new(setup())).unwrap()
}

fn offer(sequence: u32, corners: &[(i64, i64)], forecast_w: i64) -> Offer {
    let corner = |&(exchange_w, price)| Corner {
        exchange_w,
        price,
        q_var: 0,
    };
    Offer {
        interval: START,
        length_s: 900,
        sequence,
        curve: corners.iter().map(corner).collect(),
        q_min_var: 0,
        q_max_var: 0,
        forecast_w,
        state: State::default(),
        voltage: None,
    }
}

/// South has a surplus from 20 a MWh on, north takes a little more below 60.
fn offers() -> [(&'static str, Up); 2] {
    let south = offer(1, &[(-2_000_000, 20_000_000), (0, 0)], -2_000_000);
    let north = offer(1, &[(1_000_000, 60_000_000), (1_500_000, 0)], 1_000_000);
    [("south", Up::Offer(south)), ("north", Up::Offer(north))]
}

/// The records of an interval that was offered for and cleared.
fn cleared() -> (Market, Vec<Record>) {
    let mut market = market();
    let mut records = Vec::new();
    for (tenant, document) in offers() {
        records.extend(market.submit(tenant, document, OPEN).unwrap().0);
    }
    let step = market.step(GATE);
    assert!(step.awarded);
    records.extend(step.records);
    (market, records)
}

fn closing(market: &Market, tenant: &str, basis: Basis) -> Closing {
    let deal = market.book().deal(START, tenant);
    let award = deal.and_then(|deal| deal.award.as_ref());
    Closing {
        interval: START,
        sequence: 1,
        basis,
        award: award
            .filter(|_| basis == Basis::Award)
            .map(|of| of.sequence),
        exchange_w: award.map_or(0, |of| of.exchange_w),
        price: award.map_or(0, |of| of.price),
    }
}

fn total(sequence: u32, import_wh: i64, export_wh: i64) -> Total {
    Total {
        interval: START,
        sequence,
        import_wh,
        export_wh,
        replaced: false,
        aggregators: Vec::new(),
    }
}

/// What each party has received, by all settlements and corrections.
fn accounts(records: &[Record]) -> std::collections::BTreeMap<Party, i64> {
    let mut accounts = std::collections::BTreeMap::new();
    for record in records {
        let Record::Market(
            LedgerEntry::Settled(of) | LedgerEntry::Resettled { correction: of, .. },
        ) = record
        else {
            continue;
        };
        assert_eq!(of.sum().0, 0, "{of:?}");
        for statement in &of.statements {
            let lines: i64 = statement.lines.iter().map(|line| line.received.0).sum();
            if statement.party != Party::Network {
                assert_eq!(lines, statement.balance.0, "{statement:?}");
            }
            *accounts.entry(statement.party.clone()).or_insert(0) += statement.balance.0;
        }
    }
    accounts
}

fn party(name: &str) -> Party {
    Party::Participant(name.to_owned())
}

#[test]
fn a_surplus_serves_the_neighbour() {
    let (market, _) = cleared();
    let award = |tenant: &str| {
        market
            .book()
            .deal(START, tenant)
            .unwrap()
            .award
            .clone()
            .unwrap()
    };
    assert_eq!(award("south").exchange_w, -2_000_000);
    assert_eq!(award("north").exchange_w, 1_500_000);
    // West has said nothing, ever: it stands in with nothing.
    assert_eq!(award("west").exchange_w, 0);
    assert_eq!((award("west").offer, award("north").offer), (0, 1));
    // Works takes 200 kW, what is left of south's 500 kW goes up: at the export price, but for losses.
    assert!((award("north").price - 40_000_000).abs() < 1_000_000);
}

#[test]
fn a_document_twice_is_one_and_a_late_one_is_refused() {
    let (mut market, _) = cleared();
    for (tenant, document) in offers() {
        // Whoever sends the same again, however late, is told the same again.
        let (records, receipt) = market.submit(tenant, document, GATE).unwrap();
        assert!(records.is_empty());
        assert_eq!(receipt.sequence, 1);
    }
    let other = |sequence| Up::Offer(offer(sequence, &[(-1_000_000, 20_000_000), (0, 0)], 0));
    let refused = market.submit("south", other(1), OPEN).unwrap_err();
    assert_eq!(
        refused,
        Refused::Sequence {
            sequence: 1,
            held: 1
        }
    );
    let refused = market.submit("south", other(2), GATE).unwrap_err();
    let closed = START - 300;
    assert_eq!(
        refused,
        Refused::Late {
            interval: START,
            closed
        }
    );
    // Even where our clock was set back since.
    assert_eq!(market.submit("south", other(2), OPEN).unwrap_err(), refused);
}

#[test]
fn a_newer_offer_takes_the_place() {
    let mut market = market();
    for (tenant, document) in offers() {
        market.submit(tenant, document, OPEN).unwrap();
    }
    let newer = offer(2, &[(-700_000, 20_000_000), (0, 0)], -700_000);
    market.submit("south", Up::Offer(newer), OPEN).unwrap();
    let older = offers()[0].1.clone();
    assert!(matches!(
        market.submit("south", older, OPEN),
        Err(Refused::Sequence { held: 2, .. })
    ));
    let _ = market.step(GATE);
    let award = market.book().deal(START, "south").unwrap().award.clone();
    assert_eq!(
        award.map(|of| (of.offer, of.exchange_w)),
        Some((2, -700_000))
    );
}

#[test]
fn settled_by_hand() {
    let (mut market, mut records) = cleared();
    let price = |market: &Market, of: &str| {
        let deal = market.book().deal(START, of).unwrap();
        deal.award.as_ref().unwrap().price
    };
    let (south, north) = (price(&market, "south"), price(&market, "north"));
    let after = (START + LENGTH) * US;
    // South keeps to its award of -500 kWh, gives 20 kWh more. North's did not come in time: 400 kWh taken,
    // all of it deviation. West closes with nothing and takes nothing.
    for (tenant, basis, import_wh, export_wh) in [
        ("south", Basis::Award, 0, 520_000),
        ("north", Basis::LastAward, 400_000, 0),
        ("west", Basis::Zero, 0, 0),
    ] {
        let closing = closing(&market, tenant, basis);
        records.extend(market.submit(tenant, Up::Closing(closing), GATE).unwrap().0);
        let total = Up::Total(total(1, import_wh, export_wh));
        let (new, receipt) = market.submit(tenant, total, after).unwrap();
        records.extend(new);
        let deal = market.book().deal(START, tenant).unwrap();
        let hash = deal.account(tenant).unwrap().sha256_text();
        assert_eq!(receipt.account, Some(hash));
    }
    let early = market.step(after);
    assert!(early.records.is_empty(), "meters have until a minute after");
    records.extend(market.step(after + 60 * US).records);
    let accounts = accounts(&records);
    // Half a MWh at its price, 20 kWh at 10.
    assert_eq!(accounts[&party("south")], south / 2 + 200_000);
    // 0.4 MWh at 150.
    assert_eq!(accounts[&party("north")], -60_000_000);
    assert!(!accounts.contains_key(&party("west")), "nothing is owed");
    // Works: 50 kWh at its node's price, between 40 and 41.
    let works = accounts[&party("works")];
    assert!((-2_050_000..=-2_000_000).contains(&works), "{works}");
    // Taken 400 + 50, given 520, besides losses: so much went up, at 40.
    let clearing = market.book().intervals[&START].clearing.as_ref().unwrap();
    let losses = (clearing.ac_check.losses_w / 4.0).round() as i64;
    let up = 520_000 - 450_000 - losses;
    assert_eq!(accounts[&Party::Upstream], -40 * up);
    assert_eq!(accounts.values().sum::<i64>(), 0);
    assert_ne!(south, north);
}

#[test]
fn a_corrected_total_changes_only_the_deviation() {
    let (mut market, mut records) = cleared();
    let after = (START + LENGTH) * US;
    let word = closing(&market, "south", Basis::Award);
    records.extend(market.submit("south", Up::Closing(word), GATE).unwrap().0);
    let give = |market: &mut Market, of: Total| market.submit("south", Up::Total(of), after);
    let (new, first) = give(&mut market, total(1, 0, 520_000)).unwrap();
    records.extend(new);
    let before = accounts(&records)[&party("south")];
    let (new, second) = give(&mut market, total(2, 0, 490_000)).unwrap();
    records.extend(new);
    assert_ne!(first.account, second.account);
    // 20 kWh at 10 taken back, 10 kWh at 150 paid.
    assert_eq!(
        accounts(&records)[&party("south")],
        before - 200_000 - 1_500_000
    );
    // The one before comes late, the same one again.
    assert!(matches!(
        give(&mut market, total(1, 0, 520_000)),
        Err(Refused::Sequence { held: 2, .. })
    ));
    let (none, again) = give(&mut market, total(2, 0, 490_000)).unwrap();
    assert!(none.is_empty());
    assert_eq!(again.account, second.account);
}

#[test]
fn a_total_waits_for_the_closing_and_the_word_stands() {
    let (mut market, _) = cleared();
    let after = (START + LENGTH) * US;
    let early = market.submit("north", Up::Total(total(1, 1, 0)), after);
    assert!(matches!(early, Err(Refused::Unavailable { .. })));
    let mut word = closing(&market, "north", Basis::Award);
    word.award = Some(7);
    let refused = market.submit("north", Up::Closing(word.clone()), after);
    assert!(matches!(refused, Err(Refused::Invalid { .. })));
    word.award = Some(1);
    market
        .submit("north", Up::Closing(word.clone()), after)
        .unwrap();
    word.sequence = 2;
    word.exchange_w = 0;
    let refused = market
        .submit("north", Up::Closing(word), after)
        .unwrap_err();
    assert_eq!(
        refused,
        Refused::Sequence {
            sequence: 2,
            held: 1
        }
    );
    let future = market.submit("north", Up::Total(total(1, 1, 0)), OPEN);
    assert!(matches!(future, Err(Refused::Invalid { .. })));
}

#[test]
fn who_is_silent_stands_in_with_what_it_exchanged_last() {
    let (mut market, _) = cleared();
    let word = closing(&market, "north", Basis::Award);
    market.submit("north", Up::Closing(word), GATE).unwrap();
    let next = START + LENGTH;
    let step = market.step((next - 300) * US);
    let taken = step.records.iter().find_map(|record| match record {
        Record::Area(Entry::Gathered { tenants, .. }) => Some(tenants.clone()),
        _ => None,
    });
    let expected: Vec<_> = taken
        .unwrap()
        .iter()
        .map(|of| (of.offer, of.expected_w))
        .collect();
    // North by its closing, south by its last forecast.
    assert_eq!(expected, [(None, 1_500_000), (None, -2_000_000), (None, 0)]);
    let award = market
        .book()
        .deal(next, "north")
        .unwrap()
        .award
        .clone()
        .unwrap();
    assert_eq!((award.offer, award.exchange_w), (0, 1_500_000));
}

#[test]
fn a_restart_goes_on_where_the_record_ends() {
    let (_, records) = cleared();
    let gate = records
        .iter()
        .position(|record| matches!(record, Record::Market(LedgerEntry::GateClosed { .. })));
    // After every record once: what was not on record is done again, and comes to the same.
    for known in 0..=records.len() {
        let mut market = market();
        let (before, rest) = records.split_at(known);
        for record in before {
            market.restore(record);
        }
        market.resume(GATE);
        let mut all = before.to_vec();
        if known <= gate.unwrap() {
            for (tenant, document) in offers() {
                all.extend(market.submit(tenant, document, OPEN).unwrap().0);
            }
        }
        all.extend(market.step(GATE + US).records);
        let awarded = |of: &[Record]| {
            let found = of.iter().filter_map(|record| match record {
                Record::Area(Entry::Awarded { awards, .. }) => Some(awards.clone()),
                _ => None,
            });
            found.collect::<Vec<_>>()
        };
        // Between gate and what was gathered there is no restart: they are one append.
        let torn = matches!(rest.first(), Some(Record::Area(Entry::Gathered { .. })));
        if !torn {
            assert_eq!(awarded(&all), awarded(&records), "after {known} records");
        }
    }
}

#[test]
fn an_interval_that_has_begun_is_not_cleared() {
    let mut market = market();
    for (tenant, document) in offers() {
        market.submit(tenant, document, OPEN).unwrap();
    }
    let step = market.step(START * US);
    assert!(market.book().deal(START, "south").unwrap().award.is_none());
    assert!(step.records.is_empty());
}

#[test]
fn the_exchange_is_made_up_when_patience_ends_and_corrected_after() {
    let (mut market, mut records) = cleared();
    let after = (START + LENGTH + 60) * US;
    assert!(
        market
            .step(after)
            .records
            .iter()
            .all(|of| !matches!(of, Record::Area(Entry::Exchanged { .. })))
    );
    records.extend(market.step(after + 3600 * US).records.into_iter().filter(|of| {
        matches!(of, Record::Market(LedgerEntry::Settled(of)) if of.interval == START)
            || matches!(of, Record::Area(Entry::Exchanged { interval, .. }) if *interval == START)
    }));
    let before = accounts(&records)[&Party::Upstream];
    let word = closing(&market, "south", Basis::Award);
    market.submit("south", Up::Closing(word), after).unwrap();
    market
        .submit("south", Up::Total(total(1, 0, 400_000)), after + 3600 * US)
        .unwrap();
    let step = market.step(after + 3601 * US);
    let corrected = accounts(&step.records);
    // 100 kWh less than awarded went up, or more had to come from there.
    assert!(
        corrected[&Party::Upstream] > 0,
        "{corrected:?} after {before}"
    );
    assert_eq!(corrected.values().sum::<i64>(), 0);
}

#[test]
fn hostile_documents_are_refused() {
    let mut market = market();
    let mut bad = |change: &dyn Fn(&mut Offer)| {
        let mut of = offer(1, &[(-10, 5), (0, 4), (10, 0)], 0);
        change(&mut of);
        let refused = market.submit("north", Up::Offer(of), OPEN);
        assert!(
            matches!(refused, Err(Refused::Invalid { .. })),
            "{refused:?}"
        );
    };
    bad(&|of| of.curve.clear());
    bad(&|of| of.curve[1].price = 5);
    bad(&|of| of.curve[1].exchange_w = -10);
    bad(&|of| of.curve[0].exchange_w = i64::MIN);
    bad(&|of| of.curve[0].price = i64::MAX);
    bad(&|of| of.curve = vec![of.curve[0]; 300]);
    bad(&|of| of.length_s = 60);
    bad(&|of| of.sequence = 0);
    bad(&|of| of.sequence = 101);
    bad(&|of| of.q_min_var = 1);
    bad(&|of| of.forecast_w = i64::MIN);
    bad(&|of| of.state.observed = f64::NAN);
    bad(&|of| of.state.limits = vec![String::new(); 65]);
    let voltage = |corners: &[(i64, i64)], x_ohm: f64| {
        Some(Voltage {
            r_ohm: 0.0,
            x_ohm,
            corners: corners.to_vec(),
        })
    };
    bad(&|of| of.voltage = voltage(&[(1_000_000, 0)], 1.0));
    bad(&|of| of.voltage = voltage(&[(1_000_000, 0), (1_000_999, 0)], 1.0));
    bad(&|of| of.voltage = voltage(&[(i64::MAX, 0), (i64::MIN, 0)], 1.0));
    bad(&|of| of.voltage = voltage(&[(1_000_000, 0), (1_020_000, i64::MIN)], 1.0));
    bad(&|of| of.voltage = voltage(&[(1_000_000, 0), (1_020_000, 0)], f64::NAN));
    bad(&|of| of.voltage = voltage(&[(1_000_000, 0), (1_020_000, 0)], -1.0));
    bad(&|of| of.interval = START + 1);
    bad(&|of| of.interval = START + 900 * 17);
    bad(&|of| of.interval = i64::MAX / 900 * 900);
    let stranger = market.submit("nobody", offers()[0].1.clone(), OPEN);
    assert!(matches!(stranger, Err(Refused::Invalid { .. })));
    market.resume(OPEN);
    let mut old = offer(1, &[(0, 0)], 0);
    old.interval = START - 900 * 800;
    let refused = market.submit("north", Up::Offer(old), OPEN);
    assert!(matches!(refused, Err(Refused::Late { .. })));
}

#[test]
fn the_record_replays() {
    let (_, records) = cleared();
    let mut replay = Replay::new(0, i64::MAX);
    for (number, record) in (0..).zip(records) {
        replay.record(number, record);
    }
    assert_eq!(replay.clearings, 1);
    assert_eq!(replay.differences, []);
}
