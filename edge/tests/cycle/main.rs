//! The pure cycle on a bench: a noon that would break the feeder's limits, and everything that is
//! meant to go wrong.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

mod above;
mod aggregators;
mod ahead;
#[path = "../bench/mod.rs"]
mod bench;
mod by_phase;
mod calls;
mod hold;
mod orders;
mod restarts;

use std::collections::BTreeMap;

use bench::{Bench, START, US};
use edge::{
    replay::Replay,
    store::Record,
    web::api::{Health, IntervalView, NewOrder, OrderKind, OrderStep, Problem},
};
use protocols::point::{Action, ActivePower};
use solver::market::LedgerEntry;

fn order(client_id: &str, interval: i64, quantity_w: i64, price_per_mwh: f64) -> NewOrder {
    NewOrder {
        client_id: client_id.to_owned(),
        node: 7,
        unit: Some(101),
        participant: "windpark".to_owned(),
        interval: edge::clock::rfc3339_s(interval),
        direction: "sell".to_owned(),
        steps: vec![OrderStep {
            quantity_w,
            price_per_mwh,
        }],
        kind: OrderKind::default(),
        must: false,
        counterparty: None,
    }
}

fn interval(output: &edge::cycle::Output, start: i64) -> IntervalView {
    let start = edge::clock::rfc3339_s(start);
    let mut intervals = output.published.intervals.iter();
    let found = intervals.find(|i| i.start == start);
    found.unwrap().as_ref().clone()
}

fn alarm(output: &edge::cycle::Output, code: &str) -> Option<String> {
    let mut standing = output.published.alarms.iter();
    let found = standing.find(|a| a.code == code && a.cleared.is_none());
    found.map(|a| format!("{}: {}", a.source, a.text))
}

#[test]
fn the_loop_closes_and_settles() {
    let mut bench = Bench::new();
    bench.tick();
    assert!(bench.u_max > 1.10 && bench.loading_max > 1.0);
    let output = bench.until(6);
    let running = edge::clock::rfc3339_s(START);
    assert_eq!(output.published.status.decided, Some(running));
    let output = bench.until(7);
    assert_eq!(interval(&output, START + 10).phase, "cleared");
    let status = &output.published.status;
    assert_eq!(status.decided, Some(edge::clock::rfc3339_s(START + 10)));
    assert_eq!(status.estimated.as_ref(), Some(&status.now));
    assert!(output.commands.is_empty());
    let output = bench.until(10);
    assert_eq!(output.commands.len(), 15);
    let output = bench.until(22);
    // pandapower's AC optimum at these limits is 585.58 per h; margins for uncertainty cost more.
    let cleared = interval(&output, START + 10);
    assert_eq!(cleared.phase, "settled", "{:?}", cleared.message);
    let cost = cleared.cost_per_h.unwrap();
    assert!((585.0..585.58 * 1.03).contains(&cost), "{cost}");
    assert!(cleared.ac_check.unwrap().ok);
    assert!(bench.u_max <= 1.05 && bench.loading_max <= 1.0);
    let amounts: Vec<i64> = cleared.settlement.iter().map(|s| s.amount_micro).collect();
    assert_eq!(amounts.iter().sum::<i64>(), 0);
    assert!(amounts.len() > 15);
    assert_eq!(output.published.status.health, Health::Ok);
    assert_eq!(output.published.status.metrics.settled, 1);
    // The energy that a unit delivered is what its register says, within a Wh at either end.
    let wind = cleared.settlement.iter().find(|s| s.unit == Some(101));
    let wind = wind.unwrap();
    assert_eq!(wind.quality, "metered");
    assert!(
        (wind.metered_wh - wind.contracted_wh).abs() <= 2,
        "{wind:?}"
    );
}

/// The stressed noon holds the wind farm back: why, in the site's words, with what the limits rest on.
#[test]
fn an_award_is_explained() {
    let mut bench = Bench::new();
    let output = bench.until(7);
    let cleared = interval(&output, START + 10);
    let why = bench.cycle.explain(START + 10, 101).unwrap();
    let award = cleared.awards.iter().find(|of| of.unit == 101).unwrap();
    assert_eq!((why.p_w, why.q_var), (award.p_w, award.q_var));
    let price = cleared.prices.iter().find(|of| of.node == why.node);
    let parts: f64 = why.limits.iter().map(|of| of.per_mwh).sum();
    let sum = parts + why.price.energy_per_mwh + why.price.loss_per_mwh + why.price.rest_per_mwh;
    assert!((sum - price.unwrap().p_per_mwh).abs() < 1e-9);
    assert!(
        parts < -5.0 && why.price.rest_per_mwh.abs() < 1e-3,
        "{why:?}"
    );
    let voltage = &why
        .limits
        .iter()
        .find(|of| of.text.starts_with("highest voltage"));
    let behind = voltage.unwrap().behind.as_deref().unwrap();
    assert!(
        behind.starts_with("1.05 pu of the site file, drawn in by 0.0"),
        "{behind}"
    );
    assert!(behind.contains("measured by"), "{behind}");
    assert!(
        why.text.iter().any(|of| of.contains("sets the price")),
        "{why:?}"
    );
    for (start, unit) in [(START + 10, 9), (START + 20, 101), (0, 101)] {
        let refused = bench.cycle.explain(start, unit).unwrap_err();
        assert_eq!(refused.error, "not_explained");
        assert!(refused.accepted.is_some());
    }
}

#[test]
fn the_load_profile_follows_the_day() {
    let mut bench = Bench::new();
    bench.until(12);
    // From the noon's 0.3 to the evening's full load, in steps of a few per cent a second.
    let mut factor: f64 = 1.0;
    while factor < 3.3 {
        factor += 0.05;
        bench.scale_loads(factor);
        let output = bench.tick();
        let state = output.published.network_state.as_ref().unwrap();
        assert!(state.estimate.ok, "{factor}: {:?}", state.estimate);
        assert!(state.rejected.is_empty(), "{factor}: {:?}", state.rejected);
    }
    // And from a cold start at a time of day that the site file does not describe.
    let mut bench = Bench::new();
    bench.scale_loads(2.5);
    let output = bench.until(10);
    assert_eq!(interval(&output, START + 10).phase, "delivering");
}

#[test]
fn the_record_of_the_loop_is_enough_to_compute_it_again() {
    let mut bench = Bench::new();
    let mut replay = Replay::new(i64::MIN, i64::MAX);
    let mut number = 0;
    while bench.now_us <= (START + 23) * US {
        for record in bench.tick().records {
            // As it is read back from disk.
            let json = serde_json::to_string(&record).unwrap();
            replay.record(number, serde_json::from_str(&json).unwrap());
            number += 1;
        }
    }
    let done = (replay.clearings, replay.contracts, replay.settlements);
    assert_eq!(done, (2, 2, 1));
    assert_eq!(replay.differences, []);
}

#[test]
fn the_same_inputs_give_the_same_records() {
    let run = || {
        let mut bench = Bench::new();
        let mut records = Vec::new();
        while bench.now_us <= (START + 23) * US {
            records.extend(bench.tick().records);
        }
        records
    };
    assert!(run() == run());
}

#[test]
fn without_a_fresh_estimate_at_the_gate_nothing_is_dispatched() {
    let mut bench = Bench::new();
    bench.until(12);
    for device in bench.site.devices.clone() {
        bench.offline.insert(device.id.to_string());
    }
    let output = bench.until(19);
    let failed = interval(&output, START + 20);
    assert_eq!(failed.phase, "failed");
    assert!(failed.message.unwrap().contains("no usable estimate"));
    let status = &output.published.status;
    assert_eq!(status.decided, Some(edge::clock::rfc3339_s(START + 20)));
    let estimated = status
        .estimated
        .as_deref()
        .and_then(edge::clock::parse_rfc3339);
    assert!(estimated.unwrap() <= (START + 13) * US);
    assert!(alarm(&output, "clearing_failed").is_some());
    assert!(alarm(&output, "no_estimate").is_some());
    while bench.now_us < (START + 30) * US {
        assert!(bench.tick().commands.is_empty());
    }
    let output = bench.step();
    assert_eq!(output.published.status.health, Health::Safe);
    assert!(output.published.dispatch.is_empty());
}

#[test]
fn a_device_that_does_not_answer_leaves_the_market() {
    let mut bench = Bench::new();
    bench.until(5);
    bench.offline.insert("chp9".to_owned());
    let output = bench.until(10);
    let cleared = interval(&output, START + 10);
    assert_eq!(cleared.phase, "delivering");
    assert!(cleared.awards.iter().all(|a| a.unit != 103));
    assert!(output.commands.iter().all(|(d, _)| d.as_str() != "chp9"));
    assert_eq!(output.commands.len(), 14);
    assert!(alarm(&output, "device_offline").unwrap().contains("chp9"));
    // It goes on delivering 1.55 MW: the others make room for it, as soon as reactive power is there.
    bench.until(17);
    assert!(bench.u_max <= 1.05 && bench.loading_max <= 1.0);
}

#[test]
fn lying_meters_are_named_and_the_result_stays_feasible() {
    let lies: [(&str, bench::Lie, &str, (&str, i32)); 4] = [
        (
            "rtu8/bay2_p",
            Box::new(|x| -x),
            "sign_flipped",
            ("branch", 21),
        ),
        // Ten standard deviations of a 0.1 % meter.
        (
            "rtu8/bay3_u",
            Box::new(|x| x * 1.01),
            "gross_error",
            ("node", 8),
        ),
        (
            "rtu3/bay1_p",
            Box::new(|_| -4_321_000.0),
            "frozen",
            ("branch", 16),
        ),
        (
            "wind7/p",
            Box::new(|_| 4_321_000.0),
            "frozen",
            ("unit", 101),
        ),
    ];
    for (point, lie, reason, of) in lies {
        let mut bench = Bench::new();
        bench.until(2);
        bench.lies.insert(point.to_owned(), lie);
        let output = bench.until(21);
        let state = output.published.network_state.as_ref().unwrap();
        let rejected: Vec<_> = state
            .rejected
            .iter()
            .map(|r| (r.point.as_str(), r.reason.as_str()))
            .collect();
        assert_eq!(rejected, [(point, reason)]);
        let bad = &state.rejected[0];
        assert_eq!((bad.measures.as_str(), bad.element), of, "{point}");
        assert!(alarm(&output, "bad_data").unwrap().contains(point));
        assert!(bench.u_max <= 1.05 && bench.loading_max <= 1.0, "{point}");
    }
}

#[test]
fn a_device_that_does_not_obey_is_left_out_and_tried_again() {
    let mut bench = Bench::new();
    bench.until(10);
    bench.deaf.insert("wind7".to_owned());
    // From now on it reads back the old setpoint while another is asked for.
    let placed = bench
        .cycle
        .decide_order(
            order("low", START + 20, 2_000_000, 30.0),
            &bench::ada(),
            bench.now_us,
        )
        .unwrap();
    bench.cycle.settle_decision(&placed).unwrap();
    let output = bench.until(27);
    assert!(
        alarm(&output, "setpoint_mismatch")
            .unwrap()
            .contains("Wind 7")
    );
    let next = interval(&output, START + 30);
    assert_eq!(next.phase, "cleared");
    assert!(next.awards.iter().all(|a| a.unit != 101));
    let output = bench.until(37);
    let after = interval(&output, START + 40);
    assert!(after.awards.iter().any(|a| a.unit == 101));
}

/// Runs until `s`, then starts anew from the records alone.
fn restarted(s: i64, down_s: i64) -> (Bench, Vec<Record>, u64) {
    let mut bench = Bench::new();
    let mut records = Vec::new();
    while bench.now_us <= (START + s) * US {
        records.extend(bench.tick().records);
    }
    let decision = bench
        .cycle
        .decide_order(
            order("kept", START + 50, 1_000_000, 21.5),
            &bench::ada(),
            bench.now_us,
        )
        .unwrap();
    records.extend(decision.record.clone());
    let id = bench.cycle.settle_decision(&decision).unwrap().id;
    let mut again = Bench::starting_at((START + s + down_s) * US);
    for record in &records {
        again.cycle.restore(record);
    }
    (again, records, id)
}

#[test]
fn a_restart_keeps_orders_and_dispatches_what_is_still_current() {
    // Killed at 12 s, back at 14 s: interval 10..20 is running and was cleared.
    let (mut bench, records, id) = restarted(12, 2);
    assert!(records.iter().any(|r| matches!(
        r,
        Record::Market(LedgerEntry::Cleared { interval, .. }) if *interval == START + 10
    )));
    let output = bench.tick();
    assert!(
        output
            .published
            .orders
            .iter()
            .any(|o| o.id == id && o.state == "accepted")
    );
    assert_eq!(output.commands.len(), 15);
    for (_, command) in &output.commands {
        assert!(command.expires_unix_us <= (START + 20) * US);
    }
    // A number once given is never given again.
    let decision = bench
        .cycle
        .decide_order(
            order("new", START + 50, 1000, 22.0),
            &bench::ada(),
            bench.now_us,
        )
        .unwrap();
    let highest = output.published.orders.iter().map(|o| o.id).max().unwrap();
    assert!(bench.cycle.settle_decision(&decision).unwrap().id > highest);
}

#[test]
fn a_restart_dispatches_nothing_stale() {
    // Killed at 12 s, back at 21 s: 10..20 is over and 20..30 was never cleared.
    let (mut bench, _, _) = restarted(12, 9);
    while bench.now_us < (START + 30) * US {
        let output = bench.tick();
        assert!(output.commands.is_empty(), "at {}", bench.now_us);
    }
    let output = bench.tick();
    assert_eq!(interval(&output, START + 20).phase, "failed");
    assert_eq!(output.commands.len(), 15);
}

fn noted(records: &[Record], wanted: impl Fn(&LedgerEntry) -> bool) -> bool {
    let entry = |r: &Record| matches!(r, Record::Market(entry) if wanted(entry));
    records.iter().any(entry)
}

fn begins(start: i64) -> impl Fn(&LedgerEntry) -> bool {
    move |e| matches!(e, LedgerEntry::Delivering { interval, .. } if *interval == start)
}

#[test]
fn that_delivery_begins_is_on_record_with_the_first_setpoint() {
    let mut bench = Bench::new();
    let mut begun = false;
    while bench.now_us <= (START + 12) * US {
        let output = bench.tick();
        begun |= noted(&output.records, begins(START + 10));
        assert!(begun || output.commands.is_empty(), "at {}", bench.now_us);
    }
    assert!(begun);
}

#[test]
fn what_was_cleared_but_not_begun_in_time_is_void() {
    // Killed at 8 s, with 10..20 cleared; back while it would be running, or long after.
    for down_s in [6, 10, 30, 5000] {
        let (mut bench, before, _) = restarted(8, down_s);
        assert!(noted(
            &before,
            |e| matches!(e, LedgerEntry::Cleared { interval, .. } if *interval == START + 10)
        ));
        let end_us = bench.now_us + 15 * US;
        let mut records = Vec::new();
        let first = bench.tick();
        let of = interval(&first, START + 10);
        assert_eq!(of.phase, "void", "down for {down_s} s");
        assert!(of.message.unwrap().contains("not running"));
        assert!(first.commands.is_empty());
        assert!(alarm(&first, "not_delivered").is_some());
        let mut orders = first.published.orders.iter();
        assert!(orders.all(|o| o.interval != of.start || o.state == "not_awarded"));
        records.extend(first.records);
        while bench.now_us < end_us {
            let output = bench.tick();
            assert!(
                output
                    .published
                    .dispatch
                    .iter()
                    .all(|d| d.interval != of.start),
                "{down_s}"
            );
            records.extend(output.records);
        }
        let voided = |e: &LedgerEntry| matches!(e, LedgerEntry::Voided { interval, .. } if *interval == START + 10);
        let times = records
            .iter()
            .filter(|r| matches!(r, Record::Market(e) if voided(e)));
        assert_eq!(times.count(), 1, "down for {down_s} s");
        assert!(!noted(&records, begins(START + 10)));
        assert!(!noted(
            &records,
            |e| matches!(e, LedgerEntry::Settled(s) if s.interval == START + 10)
        ));
    }
}

#[test]
fn a_short_stop_around_the_start_loses_nothing() {
    // Killed at 8 s, back before, at and shortly after the start of 10..20.
    for down_s in [1, 2, 4, 5] {
        let (mut bench, _, _) = restarted(8, down_s);
        let output = bench.until(23);
        assert_eq!(interval(&output, START + 10).phase, "settled", "{down_s}");
    }
}

#[test]
fn what_was_begun_is_settled_however_late() {
    // Killed at 12 s, while 10..20 runs; devices went on by their leases.
    for down_s in [12, 40, 5000] {
        let (mut bench, _, _) = restarted(12, down_s);
        let first = bench.tick();
        assert!(first.commands.is_empty(), "{down_s}");
        let of = interval(&first, START + 10);
        assert_eq!(of.phase, "settled", "down for {down_s} s");
        let wind = of.settlement.iter().find(|s| s.unit == Some(101)).unwrap();
        assert_eq!(wind.quality, "missing");
        assert_eq!(wind.metered_wh, wind.contracted_wh);
        assert!(wind.amount_micro > 0);
    }
}

/// Active and reactive power that each unit is told, W and var.
fn told(bench: &Bench, output: &edge::cycle::Output) -> BTreeMap<i32, (f64, f64)> {
    let mut told = BTreeMap::new();
    for (device, command) in &output.commands {
        let mut units = bench.site.units.iter();
        let unit = units.find(|u| u.device == *device).unwrap();
        if let Action::Der(setpoint) = command.action {
            let (ActivePower::Limit(w) | ActivePower::Set(w)) = setpoint.p;
            told.insert(unit.id, (w, setpoint.q_var));
        }
    }
    told
}

#[test]
fn out_of_a_bad_state_all_go_directly() {
    let mut bench = Bench::new();
    let output = bench.until(10);
    let cleared = interval(&output, START + 10);
    let told = told(&bench, &output);
    assert_eq!(told.len(), 15);
    for award in &cleared.awards {
        assert_eq!(told[&award.unit], (award.p_w, award.q_var));
    }
}

#[test]
fn from_dispatch_to_dispatch_all_units_are_as_far_at_any_moment() {
    let mut bench = Bench::new();
    bench.until(12);
    let turn = order("turn", START + 20, 1_000_000, -100.0);
    let decided = bench
        .cycle
        .decide_order(turn, &bench::ada(), bench.now_us)
        .unwrap();
    bench.cycle.settle_decision(&decided).unwrap();
    let output = bench.until(19);
    let before = bench.units.clone();
    let awards = interval(&output, START + 20).awards;
    // The wind farm's 4 MW at 150 kW/s take longer than half the interval, which is all there is;
    // then the lag of 2 s has its say: 1 - exp(-1/2) of what is left a second.
    let shares = [0.2, 0.4, 0.6, 0.757_388, 0.852_848, 0.910_748, 0.945_866];
    for (stage, share) in shares.into_iter().enumerate() {
        let output = bench.tick();
        assert_eq!(told(&bench, &output).len(), 15, "stage {stage}");
        for award in &awards {
            let (is, from) = (bench.units[&award.unit], before[&award.unit]);
            // Meters on the bench are exact to 1e-6.
            let near = |is: f64, from: f64, to: f64, off: f64| {
                let error = is - (from + share * (to - from));
                assert!(error.abs() <= off, "stage {stage}: {award:?}, {is:?}");
            };
            near(is.0, from.0, award.p_w, 10.0);
            // What moves by less than 2 % of nameplate does so at its own pace.
            let unit = bench.site.units.iter().find(|u| u.id == award.unit);
            near(is.1, from.1, award.q_var, 0.02 * unit.unwrap().q_rated_var);
        }
    }
    bench.tick();
    let moved = awards.iter().find(|a| a.unit == 101).unwrap().p_w - before[&101].0;
    assert!(moved < -3e6, "{moved}");
    assert!(bench.tick().commands.is_empty(), "all are there");
}

#[test]
fn setpoints_are_leased_ramped_and_within_nameplate() {
    let mut bench = Bench::new();
    let first = bench.until(10);
    let second = bench.until(14);
    assert_eq!(second.commands.len(), 15, "renewed within the interval");
    for (output, lease_s) in [(first, 15.0), (second, 11.0)] {
        for (device, command) in output.commands {
            let unit = bench
                .site
                .units
                .iter()
                .find(|u| u.device == device)
                .unwrap();
            let Action::Der(setpoint) = command.action else {
                panic!("{device} is no DER");
            };
            let watts = |p| match p {
                ActivePower::Limit(w) | ActivePower::Set(w) => w,
            };
            // However often it is renewed, the lease ends 15 s after the interval's start.
            assert!((setpoint.lease.as_secs_f64() - lease_s).abs() < 1e-6);
            assert_eq!(setpoint.ramp_w_per_s, Some(unit.ramp_w_per_s));
            assert_eq!(watts(setpoint.fallback.p), unit.fallback_p_w);
            assert!(watts(setpoint.p).abs() <= unit.p_rated_w);
            assert!(setpoint.q_var.abs() <= unit.q_rated_var);
        }
    }
}
