//! Contracts and settlement of a clearing, and the record of it.

use solver::market::{
    Contract, Contracts, Imbalance, LedgerEntry, Meter, MeterQuality, Money, Party, Place, Price,
    Rulebook, Settlement, StatementReason,
    clearing::{Options, clear},
    contracts, correct, settle,
};

use crate::feeder;

const IMBALANCE: Imbalance = Imbalance {
    short_price: Price(80_000_000),
    long_price: Price(30_000_000),
};

fn wind() -> Party {
    Party::Participant("wka-7".to_owned())
}

#[test]
fn contracts_close_to_the_rent() {
    let case = feeder::stressed().case;
    let clearing = clear(&feeder::network(), &case, &Options::default()).unwrap();
    let made = contracts(
        &feeder::network(),
        &case,
        &clearing,
        &[],
        &Rulebook::default(),
    );
    // By hand from the reference: 15 min of 4.6434 MW at the wind plant's own price.
    let sold_wh = made.delivered_wh(&wind());
    assert!((sold_wh - 1_160_850).abs() < 200, "{sold_wh}");
    let received = made.received(&wind()).0;
    assert!((received - 42_564_000).abs() < 20_000, "{received}");
    // Congestion and losses leave the network with money, and with the lost energy bought.
    assert!(made.rent.0 > 0, "{:?}", made.rent);
    let losses_wh = clearing.ac_check.losses_w / 4.0;
    assert!(
        (made.losses_wh as f64 - losses_wh).abs() < 50.0,
        "{} {losses_wh}",
        made.losses_wh
    );
}

#[test]
fn deviations_are_settled_at_imbalance_prices() {
    let case = feeder::stressed().case;
    let clearing = clear(&feeder::network(), &case, &Options::default()).unwrap();
    let made = contracts(
        &feeder::network(),
        &case,
        &clearing,
        &[],
        &Rulebook::default(),
    );
    let contracted = |party: &Party| made.delivered_wh(party);
    let meter = |party: Party, unit, node, delivered_wh, quality| Meter {
        party,
        unit,
        node,
        delivered_wh,
        quality,
    };
    let pv = Party::Participant("pv-3".to_owned());
    let chp = Party::Participant("chp-diesel-1".to_owned());
    let meters = [
        meter(
            wind(),
            Some(101),
            7,
            contracted(&wind()) - 1000,
            MeterQuality::Metered,
        ),
        meter(
            pv.clone(),
            Some(93),
            3,
            contracted(&pv) + 500,
            MeterQuality::Estimated,
        ),
        // delivered without a contract
        meter(chp.clone(), Some(103), 9, 40, MeterQuality::Metered),
    ];
    let settlement = settle(900, &made, &meters, &IMBALANCE);
    assert_eq!(settlement.sum(), Money(0));
    let lines = |party: &Party| {
        let found = settlement.statements.iter().find(|of| &of.party == party);
        found.unwrap().lines.clone()
    };
    let short = lines(&wind()).pop().unwrap();
    assert_eq!(short.reason, StatementReason::Short);
    assert_eq!((short.energy_wh, short.received), (-1000, Money(-80_000)));
    let long = lines(&pv).pop().unwrap();
    assert_eq!(
        (long.reason, long.received),
        (StatementReason::Long, Money(15_000))
    );
    assert_eq!(long.quality, Some(MeterQuality::Estimated));
    assert_eq!(lines(&chp).len(), 1);
    assert_eq!(lines(&chp)[0].received, Money(1_200));
    // No meter: as contracted, and the statement says so.
    let missing = lines(&Party::Upstream).pop().unwrap();
    assert_eq!((missing.energy_wh, missing.received), (0, Money(0)));
    assert_eq!(missing.quality, Some(MeterQuality::Missing));
    assert_eq!(settlement.statements.last().unwrap().party, Party::Network);
}

/// Of every account: what was settled, and what is corrected when other meters come, is what would have been settled
/// with them at once.
#[test]
fn a_correction_makes_accounts_what_they_would_have_been() {
    let case = feeder::stressed().case;
    let grid = feeder::network();
    let clearing = clear(&grid, &case, &Options::default()).unwrap();
    let made = contracts(&grid, &case, &clearing, &[], &Rulebook::default());
    let meter = |delivered_wh, quality| Meter {
        party: wind(),
        unit: Some(101),
        node: 7,
        delivered_wh,
        quality,
    };
    let contracted = made.delivered_wh(&wind());
    let less = meter(contracted - 1000, MeterQuality::Estimated);
    let more = meter(contracted + 300, MeterQuality::Metered);
    // What a meter that says nothing has in it is not looked at.
    let silent = meter(7, MeterQuality::Missing);
    for (before, after, deviation) in [
        (&less, &more, 300),
        (&silent, &less, -1000),
        (&more, &silent, 0),
    ] {
        let (before, after) = (std::slice::from_ref(before), std::slice::from_ref(after));
        let settled = settle(900, &made, before, &IMBALANCE);
        let corrected = correct(900, &made, (before, after), &IMBALANCE);
        let at_once = settle(900, &made, after, &IMBALANCE);
        assert_eq!(corrected.sum(), Money(0));
        for party in [wind(), Party::Network] {
            let of = |settlement: &Settlement| {
                let mut statements = settlement.statements.iter();
                let found = statements.find(|of| of.party == party);
                found.map_or(Money(0), |of| of.balance)
            };
            let sum = Money(of(&settled).0 + of(&corrected).0);
            assert_eq!(sum, of(&at_once), "{party:?}");
        }
        let own = at_once.statements.iter().find(|of| of.party == wind());
        let line = own.unwrap().lines.last().unwrap();
        assert_eq!(line.energy_wh, deviation, "{line:?}");
    }
}

#[test]
fn the_record_reads_back_bit_for_bit() {
    let mut case = feeder::stressed().case;
    let grid = feeder::network();
    let first = clear(&grid, &case, &Options::default()).unwrap();
    case.start = Some(first.u.clone());
    let clearing = clear(&grid, &case, &Options::default()).unwrap();
    let closed = LedgerEntry::GateClosed {
        interval: 900,
        network: "cigre".to_owned(),
        rulebook: None,
        pairs: Vec::new(),
        ahead: None,
        calls: None,
        case: Box::new(case.clone()),
    };
    let cleared = LedgerEntry::Cleared {
        interval: 900,
        clearing: Box::new(clearing.clone()),
        looked: None,
        without_calls: Vec::new(),
    };
    for entry in [closed, cleared] {
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<LedgerEntry>(&text).unwrap(), entry);
        if let LedgerEntry::GateClosed { case, .. } = serde_json::from_str(&text).unwrap() {
            assert_eq!(clear(&grid, &case, &Options::default()).unwrap(), clearing);
        }
    }
}

/// By hand: 1,000 Wh sold at 50, 100 Wh less delivered at 80, of which nothing is left here; then 40 Wh more than that.
#[test]
fn what_is_settled_above_passes_up() {
    let rules = Rulebook {
        imbalance: IMBALANCE,
        settled_above: vec!["wka-7".to_owned(), "nobody".to_owned()],
        ..Rulebook::default()
    };
    let place = |party: Party, unit, node| Place { party, unit, node };
    let price = Price(50_000_000);
    let sold = Contract {
        seller: place(wind(), Some(101), 7),
        buyer: place(Party::Participant("works".to_owned()), Some(5), 9),
        energy_wh: 1_000,
        seller_price: price,
        buyer_price: price,
        received: Money(50_000),
        paid: Money(50_000),
        fee: Money(0),
        fee_per_mwh: Price(0),
        distance_pu: None,
        bilateral: false,
    };
    let made = Contracts {
        contracts: vec![sold],
        ..Contracts::default()
    };
    let meter = |delivered_wh| Meter {
        party: wind(),
        unit: Some(101),
        node: 7,
        delivered_wh,
        quality: MeterQuality::Metered,
    };
    let (before, after) = ([meter(900)], [meter(940)]);
    let balances = |of: &Settlement| -> Vec<(Party, i64)> {
        let each = of.statements.iter();
        each.map(|of| (of.party.clone(), of.balance.0)).collect()
    };
    let works = Party::Participant("works".to_owned());
    let settled = rules.settle(900, &made, &before);
    assert_eq!(
        settled.passed_up(),
        [("wka-7", (900, Money(42_000)))].into()
    );
    assert_eq!(
        balances(&settled),
        [
            (wind(), 0),
            (works.clone(), -50_000),
            // Owed by the grid above, which pays it.
            (Party::Upstream, 42_000),
            (Party::Network, 8_000),
        ]
    );
    let up = &settled.statements[2].lines[0];
    assert_eq!(
        (up.reason, up.energy_wh),
        (StatementReason::SettledAbove, 900)
    );
    assert_eq!((&up.counterparty, up.received), (&wind(), Money(42_000)));
    let correction = rules.correct(900, &made, (&before, &after));
    // 100 Wh at 80 taken back, 60 Wh at 80 put in.
    assert_eq!(
        correction.passed_up(),
        [("wka-7", (40, Money(3_200)))].into()
    );
    assert_eq!(
        balances(&correction),
        [
            (wind(), 0),
            (Party::Upstream, 3_200),
            (Party::Network, -3_200)
        ]
    );
    let without = Rulebook {
        settled_above: Vec::new(),
        ..rules
    };
    assert_eq!(
        without.settle(900, &made, &before),
        settle(900, &made, &before, &IMBALANCE)
    );
    // Old records stay as they were.
    assert!(
        !serde_json::to_string(&without)
            .unwrap()
            .contains("settled_above")
    );
}
