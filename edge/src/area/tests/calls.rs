//! An operator of the area calls on tenants.

use super::*;
use crate::area::Uncalled;

/// South sells 2 MW at 20; called on for 1.2 MW it gives no more, and north's 1.5 MW come from above in part.
#[test]
fn a_call_takes_the_place_of_the_curve() {
    let mut market = market();
    let mut records = Vec::new();
    let call =
        |market: &mut Market, of, w, now| market.call((of, START), w, "user ada".to_owned(), now);
    let first = call(&mut market, "south", Some(-1_000_000), OPEN).unwrap();
    records.extend(first);
    for (tenant, document) in offers() {
        records.extend(market.submit(tenant, document, OPEN).unwrap().0);
    }
    let latest = call(&mut market, "south", Some(-1_200_000), OPEN).unwrap();
    assert!(latest.is_some());
    records.extend(latest);
    assert_eq!(call(&mut market, "south", Some(-1_200_000), OPEN), Ok(None));
    // More than north offers to take: as much as it does. West has offered nothing.
    records.extend(call(&mut market, "north", Some(2_000_000), OPEN).unwrap());
    records.extend(call(&mut market, "west", Some(5), OPEN).unwrap());
    for (of, w, why) in [
        ("nobody", Some(0), Uncalled::Tenant),
        (
            "south",
            Some(-3_000_001),
            Uncalled::Range {
                least_w: -3_000_000,
                most_w: 3_000_000,
            },
        ),
    ] {
        assert_eq!(call(&mut market, of, w, OPEN), Err(why));
    }
    let wrong = market.call(("south", START + 1), None, String::new(), OPEN);
    assert_eq!(wrong, Err(Uncalled::Interval));
    assert_eq!(call(&mut market, "south", None, GATE), Err(Uncalled::Late));
    let step = market.step(GATE);
    assert!(step.awarded);
    records.extend(step.records);
    let award = |market: &Market, of: &str| {
        market
            .book()
            .deal(START, of)
            .unwrap()
            .award
            .clone()
            .unwrap()
    };
    let called = |of: &str| {
        let award = award(&market, of);
        (award.exchange_w, award.called_w)
    };
    assert_eq!(called("south"), (-1_200_000, Some(-1_200_000)));
    assert_eq!(called("north"), (1_500_000, Some(1_500_000)));
    assert_eq!(called("west"), (0, None));
    // 1.5 MW less 1.2 MW and losses come from above, at 100: works, which pays 90, gets nothing.
    let clearing = market.book().intervals[&START].clearing.as_ref().unwrap();
    let import_w = clearing.exchange[0].p_w;
    assert!((300_000.0..320_000.0).contains(&import_w), "{import_w}");
    assert!((99_000_000..=100_000_000).contains(&award(&market, "south").price));
    // It rests on it, and is paid for it, at the price of its node.
    let word = closing(&market, "south", Basis::Award);
    let price = award(&market, "south").price;
    let mut other = word.clone();
    other.exchange_w = -2_000_000;
    let refused = market.submit("south", Up::Closing(other), GATE);
    assert!(
        matches!(refused, Err(Refused::Invalid { .. })),
        "{refused:?}"
    );
    records.extend(market.submit("south", Up::Closing(word), GATE).unwrap().0);
    let given = Up::Total(total(1, 0, 300_000));
    let after = (START + LENGTH) * US;
    records.extend(market.submit("south", given, after).unwrap().0);
    let expected = (i128::from(price) * 300_000 / 1_000_000) as i64;
    let got = accounts(&records)[&party("south")];
    assert!((got - expected).abs() <= 1, "{got}, not {expected}");
    // A restart knows of the calls.
    let gate = records
        .iter()
        .position(|of| matches!(of, Record::Market(LedgerEntry::GateClosed { .. })));
    let mut again = super::market();
    for record in &records[..gate.unwrap()] {
        again.restore(record);
    }
    again.resume(GATE);
    assert!(again.step(GATE).awarded);
    let same = again.book().deal(START, "south").unwrap().award.clone();
    assert_eq!(same, Some(award(&market, "south")));
}
