use std::path::Path;

use proptest::prelude::*;
use solver::{
    market::{
        Contract, Contracts, Imbalance, LedgerEntry, Meter, MeterQuality, Money, Party, Place,
        Price, Rulebook, amount,
        clearing::{Case, Controls, LimitSet},
        settle,
    },
    network::Id,
};

use super::{correction::share, *};
use crate::{
    clock::US,
    invoice::{Invoice, Invoices},
    participants::{Change, Register},
    site,
    store::Record,
};

const START: i64 = 1_800_000_000;
const IMBALANCE: Imbalance = Imbalance {
    short_price: Price(80_000_000),
    long_price: Price(30_000_000),
};

fn place(name: &str, unit: Id) -> Place {
    Place {
        party: Party::Participant(name.to_owned()),
        unit: Some(unit),
        node: unit % 10,
    }
}

fn upstream() -> Place {
    Place {
        party: Party::Upstream,
        unit: None,
        node: 0,
    }
}

fn contract(seller: Place, buyer: Place, energy_wh: i64) -> Contract {
    let price = Price(50_000_000);
    Contract {
        seller,
        buyer,
        energy_wh,
        seller_price: price,
        buyer_price: price,
        received: amount(energy_wh, price),
        paid: amount(energy_wh, price),
        fee: Money(7),
        fee_per_mwh: Price(1),
        distance_pu: None,
        bilateral: false,
    }
}

fn meter(of: &Place, delivered_wh: i64, quality: MeterQuality) -> Meter {
    Meter {
        party: of.party.clone(),
        unit: of.unit,
        node: of.node,
        delivered_wh,
        quality,
    }
}

/// The records of an interval of `duration_s`.
fn records(
    interval: i64,
    duration_s: u32,
    contracts: Vec<Contract>,
    meters: Vec<Meter>,
) -> Vec<Record> {
    let contracts = Contracts {
        contracts,
        ..Contracts::default()
    };
    let case = Case {
        duration_s,
        fixed: Vec::new(),
        units: Vec::new(),
        orders: Vec::new(),
        limits: LimitSet {
            u_min_pu: 0.9,
            u_max_pu: 1.1,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        interface: Vec::new(),
        controls: Controls::default(),
        by_phase: None,
        voltages: Vec::new(),
        start: None,
    };
    let rulebook = Rulebook {
        imbalance: IMBALANCE,
        ..Rulebook::default()
    };
    let settlement = settle(interval, &contracts, &meters, &IMBALANCE);
    [
        LedgerEntry::GateClosed {
            interval,
            network: String::new(),
            rulebook: Some(Box::new(rulebook)),
            pairs: Vec::new(),
            ahead: None,
            calls: None,
            case: Box::new(case),
        },
        LedgerEntry::Contracted {
            interval,
            contracts,
        },
        LedgerEntry::Metered { interval, meters },
        LedgerEntry::Settled(settlement),
    ]
    .map(Record::Market)
    .to_vec()
}

fn value(delivered_wh: i64, length_s: u32, quality: MeterQuality) -> Value {
    Value {
        meter: "M".to_owned(),
        start: START,
        length_s,
        delivered_wh,
        quality,
    }
}

fn invoices(records: &[Record]) -> Vec<Invoice> {
    let mut invoices = Invoices::default();
    for record in records {
        match record {
            Record::Market(LedgerEntry::Settled(of))
            | Record::Market(LedgerEntry::Resettled { correction: of, .. }) => invoices.add(of),
            _ => {}
        }
    }
    invoices.finish(|_| true).unwrap()
}

fn balance(invoices: &[Invoice], account: &str) -> i64 {
    let found = invoices.iter().find(|of| of.account == account);
    found.unwrap().balance_micro
}

/// Contracted 1000 Wh at 50, metered 900: 100 Wh short at 80. The meter's operator says 1020: 20 long at 30.
#[test]
fn a_value_takes_the_place_of_the_appliances_own_by_hand() {
    let wind = place("wind", 101);
    let mut records = records(
        START,
        900,
        vec![contract(wind.clone(), upstream(), 1000)],
        vec![meter(&wind, 900, MeterQuality::Metered)],
    );
    assert_eq!(balance(&invoices(&records), "wind"), 50_000 - 8_000 - 7);
    let mut standing = Standing::of(START, &records).unwrap();
    let given = value(1020, 900, MeterQuality::Replaced);
    let entries = correct(&given, 101, &mut [&mut standing]);
    assert_eq!(entries.len(), 1);
    let LedgerEntry::Resettled { correction, .. } = &entries[0] else {
        panic!("{entries:?}");
    };
    let of_wind = &correction.statements[0];
    let lines: Vec<_> = of_wind
        .lines
        .iter()
        .map(|line| (line.energy_wh, line.received.0, line.quality.unwrap()))
        .collect();
    assert_eq!(
        lines,
        [
            (100, 8_000, MeterQuality::Metered),
            (20, 600, MeterQuality::Replaced)
        ]
    );
    assert_eq!(correction.sum(), Money(0));
    records.extend(entries.into_iter().map(Record::Market));
    let all = invoices(&records);
    assert_eq!(balance(&all, "wind"), 50_000 + 600 - 7);
    let of_wind = all.iter().find(|of| of.account == "wind").unwrap();
    assert_eq!((of_wind.intervals, of_wind.corrected), (1, 1));
    // The same again says nothing new; missing, the appliance's own metering stands again.
    let mut standing = Standing::of(START, &records).unwrap();
    assert_eq!(correct(&given, 101, &mut [&mut standing]), []);
    let missing = value(0, 900, MeterQuality::Missing);
    let entries = correct(&missing, 101, &mut [&mut standing]);
    records.extend(entries.into_iter().map(Record::Market));
    assert_eq!(balance(&invoices(&records), "wind"), 50_000 - 8_000 - 7);
    // A unit that had no part in it is nobody's business here.
    assert_eq!(correct(&given, 9001, &mut [&mut standing]), []);
}

/// Three intervals of 300 s metered 100, 300 and 0 Wh; the register says 500: 25 more, 75 more, nothing more.
#[test]
fn a_register_is_shared_out_as_the_appliance_metered() {
    assert_eq!(share(500, &[100, 300, 0]), [125, 375, 0]);
    assert_eq!(share(-10, &[-4, -4]), [-5, -5]);
    assert_eq!(share(10, &[0, 0, 0]), [3, 3, 4]);
    assert_eq!(share(0, &[7, -7]), [7, -7]);
    assert!(share(5, &[]).is_empty());
    let wind = place("wind", 101);
    let mut each: Vec<Standing> = [(0, 100), (300, 300), (600, 0)]
        .map(|(after, wh)| {
            let meters = vec![meter(&wind, wh, MeterQuality::Metered)];
            let contracts = vec![contract(wind.clone(), upstream(), 200)];
            Standing::of(
                START + after,
                &records(START + after, 300, contracts, meters),
            )
            .unwrap()
        })
        .to_vec();
    let given = value(500, 900, MeterQuality::Metered);
    let mut all: Vec<&mut Standing> = each.iter_mut().collect();
    assert_eq!(
        correct(&given, 101, &mut all).len(),
        2,
        "the third is as it was"
    );
    let now: Vec<i64> = each.iter().map(|of| of.now[0].delivered_wh).collect();
    assert_eq!(now, [125, 375, 0]);
    // Only one of the three was settled: a third of the energy is its.
    let mut one = each.swap_remove(0);
    assert_eq!(correct(&given, 101, &mut [&mut one]).len(), 1);
    assert_eq!(one.now[0].delivered_wh, 167);
}

/// Where the appliance had no reading either, the contract says how it is shared out.
#[test]
fn a_missing_reading_counts_as_contracted() {
    let wind = place("wind", 101);
    let standing = |after, contracted, wh, quality| {
        let contracts = vec![contract(wind.clone(), upstream(), contracted)];
        let records = records(
            START + after,
            450,
            contracts,
            vec![meter(&wind, wh, quality)],
        );
        Standing::of(START + after, &records).unwrap()
    };
    let mut first = standing(0, 300, 0, MeterQuality::Missing);
    let mut second = standing(450, 999, 100, MeterQuality::Metered);
    let given = value(800, 900, MeterQuality::Metered);
    assert_eq!(
        correct(&given, 101, &mut [&mut first, &mut second]).len(),
        2
    );
    assert_eq!(first.now[0].delivered_wh, 600);
    assert_eq!(second.now[0].delivered_wh, 200);
}

/// Before the settlement a value is what is settled on; the appliance's own metering stands again where it is taken
/// back.
#[test]
fn what_comes_before_the_settlement_is_metered_anew() {
    let seller = place("seller", 101);
    let own = meter(&seller, 100, MeterQuality::Estimated);
    let mut records = records(
        START,
        900,
        vec![contract(seller.clone(), upstream(), 90)],
        vec![own.clone(), meter(&upstream(), -100, MeterQuality::Metered)],
    );
    let settled = records.pop().unwrap();
    let mut standing = Standing::of(START, &records).unwrap();
    let given = correct(
        &value(70, 900, MeterQuality::Metered),
        101,
        &mut [&mut standing],
    );
    let [LedgerEntry::Metered { interval, meters }] = &given[..] else {
        panic!("{given:?}");
    };
    assert_eq!((*interval, meters.len()), (START, 2));
    assert_eq!(meters[0], meter(&seller, 70, MeterQuality::Metered));
    records.extend(given.into_iter().map(Record::Market));
    let mut standing = Standing::of(START, &records).unwrap();
    assert_eq!(standing.now[0].delivered_wh, 70);
    let none = value(0, 900, MeterQuality::Missing);
    let back = correct(&none, 101, &mut [&mut standing]);
    assert!(matches!(&back[..], [LedgerEntry::Metered { meters, .. }] if meters[0] == own));
    // And after it a correction.
    records.push(settled);
    let mut standing = Standing::of(START, &records).unwrap();
    let late = correct(&none, 101, &mut [&mut standing]);
    assert!(
        matches!(&late[..], [LedgerEntry::Resettled { .. }]),
        "{late:?}"
    );
}

#[test]
fn what_is_no_value_is_named() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let mut register = Register::new(&site::load(&file).unwrap());
    let meter = Change::Meter {
        meter: "M".to_owned(),
        unit: 101,
    };
    register.apply(&meter, 0);
    let now_us = (START + 905) * US;
    let of = |value: Value, interval_s, now_us| {
        check(&value, &register, interval_s, now_us).map_err(|problem| problem.error)
    };
    let good = value(5, 900, MeterQuality::Metered);
    let refused = |error: &str| Err(error.to_owned());
    assert_eq!(of(good.clone(), 10, now_us), Ok(()));
    assert_eq!(of(good.clone(), 10, now_us - 1), refused("too_early"));
    assert_eq!(of(good.clone(), 900, now_us), Ok(()));
    assert_eq!(of(good.clone(), 3600, now_us), refused("length"));
    assert_eq!(
        of(good.clone(), 600, now_us),
        refused("length"),
        "900 is no multiple"
    );
    let with = |change: fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        of(value, 10, now_us)
    };
    assert_eq!(with(|v| v.length_s = 10), Ok(()));
    assert_eq!(with(|v| v.length_s = 0), refused("length"));
    assert_eq!(with(|v| v.length_s = 20), refused("length"));
    assert_eq!(with(|v| v.start += 10), refused("start"));
    assert_eq!(
        with(|v| v.start = i64::MAX - i64::MAX % 900),
        refused("too_early")
    );
    assert_eq!(with(|v| v.start = i64::MIN - i64::MIN % 900), Ok(()));
    assert_eq!(with(|v| v.meter = "N".into()), refused("unknown_meter"));
    assert_eq!(with(|v| v.delivered_wh = i64::MIN), refused("energy"));
}

#[test]
fn csv_is_read_and_its_faults_are_named_by_line() {
    let text = "\u{feff}meter,start,length_s,delivered_wh,quality\r\n\
                M,2027-01-15T08:00:00Z,900,-12,replaced\r\n\r\nM,2027-01-15T08:15:00Z, 900 ,,missing\n";
    let read = parse(text).unwrap();
    let expected = [
        value(-12, 900, MeterQuality::Replaced),
        Value {
            start: START + 900,
            ..value(0, 900, MeterQuality::Missing)
        },
    ];
    assert_eq!(read, expected);
    for (row, place) in [
        ("", ""),
        ("M,2027-01-15T08:00:00Z,900,1", "4 fields"),
        ("M,noon,900,1,metered", "`noon`"),
        ("M,2027-01-15T08:00:00.5Z,900,1,metered", "whole seconds"),
        ("M,2027-01-15T08:00:00Z,900,1.5,metered", "`1.5`"),
        ("M,2027-01-15T08:00:00Z,900,,metered", "delivered_wh"),
        ("M,2027-01-15T08:00:00Z,-1,1,metered", "length_s"),
        (
            "M,2027-01-15T08:00:00Z,900,99999999999999999999,metered",
            "delivered_wh",
        ),
        ("M,2027-01-15T08:00:00Z,900,1,good", "`good`"),
        ("\"M\",2027-01-15T08:00:00Z,900,1,good,,,,", "fields"),
    ] {
        let result = parse(&format!(
            "{HEADER}\nM,2027-01-15T08:00:00Z,900,1,metered\n{row}"
        ));
        match place {
            "" => assert_eq!(result.unwrap().len(), 1),
            place => {
                let words = result.unwrap_err().message;
                assert!(
                    words.starts_with("line 3: ") && words.contains(place),
                    "{row}: {words}"
                );
            }
        }
    }
    assert!(parse("").unwrap_err().message.contains("header"));
    assert!(parse("start,meter\n").is_err());
}

/// One of three participants' units says something of the time of one of four intervals, or of all.
fn said() -> impl Strategy<Value = (usize, usize, bool, i64, u8)> {
    (
        0_usize..3,
        0_usize..4,
        any::<bool>(),
        -5_000_i64..5_000,
        0_u8..4,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is said of meters, and however often: everything sums to nothing, whatever it was before; and
    /// all accounts are as if meters had said so from the start.
    #[test]
    fn accounts_sum_to_nothing_and_do_not_depend_on_the_way(
        sold in prop::collection::vec(0_i64..3_000, 12),
        own in prop::collection::vec((-3_000_i64..3_000, 0_u8..3), 12),
        said in prop::collection::vec(said(), 0..12),
    ) {
        let places = [place("a", 101), place("b", 102), place("a", 103)];
        let quality = |k: u8| match k {
            0 => MeterQuality::Metered,
            1 => MeterQuality::Estimated,
            2 => MeterQuality::Missing,
            _ => MeterQuality::Replaced,
        };
        let mut all: Vec<Vec<Record>> = (0..4_usize)
            .map(|k| {
                let of = |j: usize| (3 * k + j, &places[j]);
                let contracts = (0..3).map(|j| {
                    let (at, place) = of(j);
                    contract(place.clone(), upstream(), sold[at] + 1)
                });
                let meters = (0..3).map(|j| {
                    let (at, place) = of(j);
                    meter(place, own[at].0, quality(own[at].1))
                });
                let start = START + 225 * i64::try_from(k).unwrap();
                records(start, 225, contracts.collect(), meters.collect())
            })
            .collect();
        for (unit, interval, whole, wh, kind) in said {
            let mut standing: Vec<Standing> = all
                .iter()
                .map(|of| {
                    let Record::Market(LedgerEntry::GateClosed { interval, .. }) = &of[0] else {
                        panic!("it begins with its gate");
                    };
                    Standing::of(*interval, of).unwrap()
                })
                .collect();
            let mut within: Vec<&mut Standing> = standing.iter_mut().collect();
            let (mut within, length_s) = match whole {
                true => (within, 900),
                false => (vec![within.swap_remove(interval)], 225),
            };
            let id = 101 + Id::try_from(unit).unwrap();
            let given = value(wh, length_s, quality(kind));
            for entry in correct(&given, id, &mut within) {
                let LedgerEntry::Resettled { correction, .. } = &entry else {
                    panic!("{entry:?}");
                };
                prop_assert_eq!(correction.sum(), Money(0));
                let k = usize::try_from((correction.interval - START) / 225).unwrap();
                all[k].push(Record::Market(entry));
            }
            // What was said of the whole time is what it now comes to.
            if whole && quality(kind) != MeterQuality::Missing {
                let now = within.iter().map(|of| of.now[unit].delivered_wh);
                prop_assert_eq!(now.sum::<i64>(), wh);
            }
        }
        let made = invoices(&all.concat());
        prop_assert_eq!(made.iter().map(|of| of.balance_micro).sum::<i64>(), 0);
        for of in &made {
            let lines = of.lines.iter().map(|line| line.amount_micro).sum::<i64>();
            prop_assert!(lines == of.balance_micro || of.account == "network");
        }
        let from_the_start: Vec<Record> = all
            .iter()
            .map(|of| {
                let standing = Standing::of(0, of).unwrap();
                let Record::Market(LedgerEntry::Contracted { contracts, .. }) = &of[1] else {
                    panic!("then its contracts");
                };
                let settlement = settle(0, contracts, &standing.now, &IMBALANCE);
                Record::Market(LedgerEntry::Settled(settlement))
            })
            .collect();
        let directly = invoices(&from_the_start);
        for of in &made {
            prop_assert_eq!(balance(&directly, &of.account), of.balance_micro);
        }
    }
}
