//! What a control centre or an operator commands goes before the market, the one before the other, and ends.

use std::time::Duration;

use edge::{
    cycle::{HoldCommand, Output, Refusal},
    northbound::{
        points::{Of, list},
        values::Now,
    },
    store::{Holder, Record},
    web::api::DispatchView,
};

use protocols::point::Quality;

use super::{
    alarm,
    bench::{Bench, START, US},
    interval, told,
};

const WIND: i32 = 101;

const BATTERY: i32 = 106;

fn hold(unit: i32, p_w: f64, q_var: f64) -> HoldCommand {
    HoldCommand {
        holder: Holder::Scada,
        by: "dso".to_owned(),
        unit,
        hold: Some((p_w, q_var)),
        lasts: Duration::from_secs(300),
    }
}

fn release(unit: i32) -> HoldCommand {
    HoldCommand {
        hold: None,
        ..hold(unit, 0.0, 0.0)
    }
}

fn by_operator(command: HoldCommand) -> HoldCommand {
    HoldCommand {
        holder: Holder::Operator,
        by: "user ada".to_owned(),
        lasts: Duration::from_secs(60),
        ..command
    }
}

/// What a unit is told, and by whom.
fn row(output: &Output, unit: i32) -> Option<DispatchView> {
    let mut rows = output.published.dispatch.iter();
    rows.find(|row| row.unit == unit).cloned()
}

fn origin(output: &Output, unit: i32) -> Option<String> {
    row(output, unit).map(|row| row.origin)
}

/// Runs until a second; what a unit delivers never moves faster than its ramp.
fn without_a_bump(bench: &mut Bench, until_s: i64, unit: i32) -> Output {
    let ramp = bench.site.units.iter().find(|u| u.id == unit);
    // A device is told whole percents of nameplate.
    let most_w = ramp.map(|u| u.ramp_w_per_s + u.p_rated_w / 100.0).unwrap();
    loop {
        let before = bench.units[&unit].0;
        let output = bench.tick();
        let after = bench.units[&unit].0;
        assert!((after - before).abs() <= most_w, "{before} to {after} W");
        if bench.now_us > (START + until_s) * US {
            return output;
        }
    }
}

fn command(bench: &mut Bench, command: HoldCommand) -> Result<Record, Refusal> {
    let snapshot = bench.step().published.snapshot.clone();
    let record = bench
        .cycle
        .decide_command(command, &snapshot, bench.now_us)?;
    bench.cycle.restore(&record);
    Ok(record)
}

#[test]
fn it_outranks_the_market_at_once_and_the_next_clearing_does_without_the_unit() {
    let mut bench = Bench::new();
    bench.until(12);
    command(&mut bench, hold(WIND, 1e6, -2e5)).unwrap();
    let output = bench.tick();
    assert_eq!(told(&bench, &output)[&WIND], (1e6, -2e5));
    assert_eq!(origin(&output, WIND).unwrap(), "scada");
    let text = alarm(&output, "scada_control").unwrap();
    assert!(text.contains("Wind 7") && text.contains("dso"), "{text}");
    let output = bench.until(21);
    let next = interval(&output, START + 20);
    assert!(next.awards.iter().all(|award| award.unit != WIND));
    // The others make room for what it does, once they are there.
    bench.until(29);
    assert_eq!(bench.units[&WIND].0, 1e6, "renewed without an award");
    assert!(
        bench.u_max <= 1.05 && bench.loading_max <= 1.0,
        "{} {}",
        bench.u_max,
        bench.loading_max
    );

    // Given back, it has no award before the interval whose gate is still open: until then it stays where it
    // was counted on to be, and then goes to its award at its ramp.
    command(&mut bench, release(WIND)).unwrap();
    let output = bench.tick();
    assert!(alarm(&output, "scada_control").is_none());
    assert_eq!(origin(&output, WIND).unwrap(), "market");
    assert_eq!(row(&output, WIND).unwrap().p_w, 1e6);
    let output = without_a_bump(&mut bench, 39, WIND);
    assert_eq!(row(&output, WIND).unwrap().p_w, 1e6);
    let output = bench.until(41);
    let award = interval(&output, START + 40).awards;
    assert!(award.iter().any(|award| award.unit == WIND));
    assert_eq!(origin(&output, WIND).unwrap(), "market");
}

#[test]
fn given_back_within_the_interval_it_returns_to_its_award_at_its_ramp() {
    let mut bench = Bench::new();
    // The second interval: the first leads out of a bad state, where nobody waits.
    let output = bench.until(24);
    let awards = interval(&output, START + 20).awards;
    let award = awards.iter().find(|award| award.unit == WIND).unwrap();
    // Less power, and as much reactive power as keeps the voltage.
    let held_w = award.p_w - 6e5;
    command(&mut bench, hold(WIND, held_w, award.q_var)).unwrap();
    bench.tick();
    command(&mut bench, release(WIND)).unwrap();
    let output = bench.tick();
    // 310 kW/s, in whole percents of 7.5 MW: not at once.
    let told = row(&output, WIND).unwrap();
    assert_eq!(told.origin, "market");
    let way = told.p_w - held_w;
    assert!((1.0..=375_000.0).contains(&way), "{way}");
    let output = without_a_bump(&mut bench, 29, WIND);
    let told = row(&output, WIND).unwrap();
    assert_eq!((told.p_w, told.q_var), (award.p_w, award.q_var));
}

#[test]
fn the_control_centre_outranks_the_operator_whose_hold_waits() {
    let mut bench = Bench::new();
    let output = bench.until(12);
    let awards = interval(&output, START + 10).awards;
    // With the reactive power that keeps the voltage: a feeder beyond its limits is no place for slow ways.
    let q_var = awards.iter().find(|of| of.unit == WIND).unwrap().q_var;
    command(&mut bench, by_operator(hold(WIND, 2e6, q_var))).unwrap();
    let output = bench.tick();
    assert_eq!(told(&bench, &output)[&WIND], (2e6, q_var));
    assert_eq!(origin(&output, WIND).unwrap(), "operator");
    let text = alarm(&output, "operator_control").unwrap();
    assert!(text.contains("user ada holds Wind 7"), "{text}");

    command(&mut bench, hold(WIND, 1e6, q_var)).unwrap();
    let output = bench.tick();
    assert_eq!(told(&bench, &output)[&WIND], (1e6, q_var));
    assert_eq!(origin(&output, WIND).unwrap(), "scada");
    let text = alarm(&output, "operator_control").unwrap();
    assert!(text.contains("outranks"), "{text}");
    let holds = &output.published.held;
    let who: Vec<_> = holds.iter().map(|h| (&*h.origin, h.in_force)).collect();
    assert_eq!(who, [("scada", true), ("operator", false)]);

    // An operator who gives back does not touch what the control centre holds; who holds again waits.
    command(&mut bench, by_operator(release(WIND))).unwrap();
    let output = bench.tick();
    assert!(alarm(&output, "operator_control").is_none());
    assert_eq!(origin(&output, WIND).unwrap(), "scada");
    command(&mut bench, by_operator(hold(WIND, 2e6, q_var))).unwrap();
    bench.tick();

    // Given back by the control centre, it goes to the operator's power, and when that is over to the market.
    command(&mut bench, release(WIND)).unwrap();
    let output = without_a_bump(&mut bench, 25, WIND);
    assert_eq!(origin(&output, WIND).unwrap(), "operator");
    assert_eq!(bench.units[&WIND].0, 2e6);
    let output = without_a_bump(&mut bench, 79, WIND);
    assert!(output.published.held.is_empty());
    assert_eq!(origin(&output, WIND).unwrap(), "market");
    let output = bench.until(105);
    let awards = interval(&output, START + 100).awards;
    assert!(awards.iter().any(|award| award.unit == WIND));
}

#[test]
fn a_charge_beyond_its_bounds_outranks_the_market_but_not_people() {
    let mut bench = Bench::new();
    let output = bench.until(12);
    let award = |output: &Output, start| {
        let awards = interval(output, start).awards;
        awards.iter().find(|of| of.unit == BATTERY).unwrap().p_w
    };
    // The noon's prices empty it. Its charge is said to have gone far beyond what it was cleared with.
    assert!(award(&output, START + 10) > 0.0);
    bench.lies.insert("bat5/soc".to_owned(), Box::new(|_| 0.05));
    let output = bench.tick();
    assert_eq!(origin(&output, BATTERY).unwrap(), "safety");
    assert_eq!(row(&output, BATTERY).unwrap().p_w, 0.0);
    assert!(alarm(&output, "charge_limit").unwrap().contains("5.0 %"));
    // It stands for the interval, on whichever side of its bound the next reading is.
    bench.lies.clear();
    let output = bench.tick();
    assert_eq!(origin(&output, BATTERY).unwrap(), "safety");
    for (command_of, by) in [
        (by_operator(hold(BATTERY, 3e5, 0.0)), "operator"),
        (hold(BATTERY, 2e5, 0.0), "scada"),
    ] {
        let p_w = command_of.hold.unwrap().0;
        command(&mut bench, command_of).unwrap();
        let output = bench.tick();
        assert_eq!(origin(&output, BATTERY).unwrap(), by);
        assert_eq!(bench.units[&BATTERY].0, p_w);
    }
    command(&mut bench, release(BATTERY)).unwrap();
    command(&mut bench, by_operator(release(BATTERY))).unwrap();
    let output = without_a_bump(&mut bench, 19, BATTERY);
    assert_eq!(origin(&output, BATTERY).unwrap(), "safety");
    // The next interval that it is awarded in begins anew.
    let output = bench.until(45);
    assert!(award(&output, START + 40) > 0.0);
    assert_eq!(origin(&output, BATTERY).unwrap(), "market");
    assert_eq!(alarm(&output, "charge_limit"), None);
}

#[test]
fn what_is_not_renewed_ends_and_a_restart_knows_of_it() {
    let mut bench = Bench::new();
    bench.until(12);
    let record = command(&mut bench, hold(WIND, 1e6, 0.0)).unwrap();
    let Record::Commanded { hold: Some(of), .. } = &record else {
        panic!("{record:?}");
    };
    // The example's 300 s.
    assert_eq!(of.until_us, bench.now_us + 300 * US);

    let mut again = Bench::starting_at(bench.now_us + 5 * US);
    again.cycle.restore(&record);
    let at = (again.now_us - START * US) / US;
    let output = again.until(at + 20);
    assert_eq!(
        told(&again, &output)
            .get(&WIND)
            .unwrap_or(&again.units[&WIND])
            .0,
        1e6
    );
    assert!(output.published.holds.contains_key(&(WIND, Holder::Scada)));
    let output = again.until(at + 310);
    assert!(output.published.holds.is_empty());
    assert!(alarm(&output, "scada_control").is_none());
}

#[test]
fn what_a_unit_cannot_do_is_refused() {
    let mut bench = Bench::new();
    bench.until(3);
    for (refused, why) in [
        (hold(WIND, 7_500_001.0, 0.0), Refusal::OutOfRange),
        (hold(WIND, -1.0, 0.0), Refusal::OutOfRange),
        (hold(WIND, f64::NAN, 0.0), Refusal::OutOfRange),
        (hold(WIND, 1e6, -3_630_001.0), Refusal::OutOfRange),
        (hold(999, 1e6, 0.0), Refusal::Unknown),
        (release(999), Refusal::Unknown),
    ] {
        assert_eq!(
            command(&mut bench, refused.clone()),
            Err(why),
            "{refused:?}"
        );
    }
    // A battery may charge; a device that is not there cannot be told.
    assert!(command(&mut bench, hold(BATTERY, -600_000.0, 0.0)).is_ok());
    bench.offline.insert("wind7".to_owned());
    bench.until(8);
    assert_eq!(
        command(&mut bench, hold(WIND, 1e6, 0.0)),
        Err(Refusal::Offline)
    );
    assert!(command(&mut bench, release(WIND)).is_ok());
}

#[test]
fn what_is_no_longer_known_is_said_to_be_old() {
    let mut bench = Bench::new();
    let mut points = list(&bench.site).into_iter();
    let price = points
        .find(|entry| matches!(entry.of, Of::Price(_)))
        .unwrap();
    let output = bench.until(3);
    assert_eq!(Now::new(&output.published).said(&price.of), None);
    let output = bench.until(12);
    let known = Now::new(&output.published).said(&price.of).unwrap();
    assert!(known.quality.is_good());
    for device in bench.site.devices.clone() {
        bench.offline.insert(device.id.to_string());
    }
    // Not cleared: nobody was heard at the gate.
    let output = bench.until(22);
    let now = Now::new(&output.published);
    assert_eq!(now.said(&price.of), None);
    let gone = now.gone(&price.of, Some(&known)).unwrap();
    assert_eq!((gone.value, gone.quality), (known.value, Quality::OLD));
}
