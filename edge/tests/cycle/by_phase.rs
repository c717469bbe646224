//! A feeder whose phases differ: estimated, cleared, dispatched, settled and replayed by phase.

use std::path::{Path, PathBuf};

use edge::{
    replay::Replay,
    site::{self, Battery, Site, UnitKind},
    store::Record,
    web::api::{IntervalView, NodeState},
};
use solver::market::{LedgerEntry, Price, Storage, clearing::PhaseName};

use crate::{
    alarm,
    bench::{Bench, START, US},
    interval,
};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ieee13/site.toml")
}

fn feeder() -> Site {
    site::load(&file()).unwrap()
}

fn node(output: &edge::cycle::Output, id: i32) -> NodeState {
    let state = output.published.network_state.as_ref().unwrap();
    state.nodes.iter().find(|n| n.id == id).unwrap().clone()
}

#[test]
fn every_phase_is_estimated_by_itself() {
    let mut bench = Bench::of(feeder(), START * US);
    let output = bench.tick();
    let state = output.published.network_state.as_ref().unwrap();
    assert!(state.estimate.ok, "{:?}", state.estimate);
    // Against the power flow behind the meters.
    let flow = bench.phases();
    for (k, node) in state.nodes.iter().enumerate() {
        let of = |letter: &str| ["a", "b", "c"].iter().position(|l| *l == letter).unwrap();
        assert!(node.observable && !node.phases.is_empty());
        for phase in &node.phases {
            let truth = flow.u[k][of(&phase.phase)];
            let off = (phase.u_pu - truth).abs();
            assert!(off < 3.0 * phase.sigma_pu, "{node:?} is {truth}");
            assert!(phase.sigma_pu < 0.01, "{phase:?}");
        }
        let mean = node.phases.iter().map(|of| of.u_pu).sum::<f64>() / node.phases.len() as f64;
        assert!((node.u_pu - mean).abs() < 1e-9);
    }
    // Node 13 has phase c alone, node 12 a and c.
    let phases = |id| {
        let of = node(&output, id).phases;
        of.into_iter().map(|of| of.phase).collect::<String>()
    };
    assert_eq!((phases(13).as_str(), phases(12).as_str()), ("c", "ac"));
}

#[test]
fn the_market_holds_the_phase_that_the_sun_lifts() {
    let mut bench = Bench::of(feeder(), START * US);
    bench.tick();
    assert!(bench.u_max > 1.055, "{}", bench.u_max);
    let output = bench.until(15);
    let cleared = interval(&output, START + 10);
    assert_eq!(
        cleared.status.as_deref(),
        Some("optimal"),
        "{:?}",
        cleared.message
    );
    let bound = cleared.binding.iter().find(|b| b.kind == "u_max").unwrap();
    assert!(
        bound.phase.is_some() && bound.text.contains("phase"),
        "{bound:?}"
    );
    assert!(!cleared.phase_prices.is_empty());
    explained(&bench, &cleared);
    // In the feeder itself, in every phase.
    assert!(bench.u_max <= 1.05, "{}", bench.u_max);
    assert!(alarm(&output, "limit_violated").is_none());
}

/// Why a unit of the phase that binds is held: the limit of that phase, which is drawn in by its own doubt.
fn explained(bench: &Bench, cleared: &IntervalView) {
    let bound = &cleared.binding[0];
    let units = bench.site.units.iter();
    let mut there = units.filter(|u| u.phase.map(PhaseName::letter) == bound.phase.as_deref());
    let unit = there.find(|u| u.node == bound.element).unwrap();
    let why = bench.cycle.explain(START + 10, unit.id).unwrap();
    let limit = why.limits.iter().find(|l| l.bound == bound.bound).unwrap();
    let phase = bound.phase.as_deref().unwrap();
    assert!(
        limit.text.ends_with(&format!("in phase {phase}")),
        "{}",
        limit.text
    );
    assert!(
        limit.behind.as_ref().unwrap().contains("drawn in by 0.00"),
        "{limit:?}"
    );
    // Its price is its phase's, and the parts add up to it.
    let mut prices = cleared.phase_prices.iter();
    let price = prices
        .find(|p| p.node == unit.node && p.phase == phase)
        .unwrap();
    assert!(
        (why.price.per_mwh - price.p_per_mwh).abs() < 1e-6,
        "{why:?}, {price:?}"
    );
}

/// The example with a battery in phase b of node 11, which its agent offers as a store.
fn with_store() -> Site {
    let mut site = feeder();
    let unit = site.units.iter_mut().find(|unit| unit.id == 504).unwrap();
    unit.kind = UnitKind::Battery;
    unit.battery = Some(Battery {
        buy_price: Price(10_000_000),
        energy_wh: 100_000.0,
        soc_min: 0.1,
        soc_max: 0.9,
        storage: Some(Storage {
            energy_wh: 0,
            energy_min_wh: 0,
            energy_max_wh: i64::MAX,
            charge_ppm: 950_000,
            discharge_ppm: 950_000,
            wear: Price(1_000_000),
            end_value: Price(30_000_000),
        }),
    });
    site
}

/// Energy at 15 per MWh is worth storing where 30 are had for it in the end, as far as phase b carries it.
#[test]
fn a_store_of_one_phase_is_scheduled() {
    let mut bench = Bench::of(with_store(), START * US);
    let output = bench.until(15);
    let cleared = interval(&output, START + 10);
    let ahead = cleared
        .ahead
        .as_ref()
        .expect("later intervals are looked at");
    assert!(ahead.intervals > 1, "{ahead:?}");
    let award = cleared
        .awards
        .iter()
        .find(|award| award.unit == 504)
        .unwrap();
    assert!((-450e3..-10e3).contains(&award.p_w), "{award:?}");
    assert!(bench.u_max <= 1.05, "{}", bench.u_max);
}

#[test]
fn its_record_says_the_same_again() {
    replays(feeder());
}

#[test]
fn its_record_with_a_store_says_the_same_again() {
    replays(with_store());
}

/// Settled, and computed again from the record to the last bit.
fn replays(site: Site) {
    let mut bench = Bench::of(site, START * US);
    let mut replay = Replay::new(i64::MIN, i64::MAX);
    let mut number = 0;
    let mut settled = 0;
    while bench.now_us <= (START + 35) * US {
        for record in bench.tick().records {
            number += 1;
            if let Record::Market(LedgerEntry::Settled(of)) = &record {
                settled += 1;
                assert_eq!(of.sum().0, 0);
            }
            let text = serde_json::to_string(&record).unwrap();
            replay.record(number, serde_json::from_str(&text).unwrap());
        }
    }
    assert!(settled >= 1);
    assert_eq!(
        (replay.differences.as_slice(), replay.settlements),
        (&[][..], settled)
    );
    assert!(replay.clearings >= 3 && replay.contracts >= 3);
}
