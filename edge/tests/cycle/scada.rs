//! What the control centre commands goes before the market, and ends.

use std::time::Duration;

use edge::{
    cycle::{Refusal, ScadaCommand},
    northbound::{
        points::{Of, list},
        values::Now,
    },
    store::Record,
};

use protocols::point::Quality;

use super::{
    alarm,
    bench::{Bench, START, US},
    interval, told,
};

const WIND: i32 = 101;

fn hold(unit: i32, p_w: f64, q_var: f64) -> ScadaCommand {
    ScadaCommand {
        by: "dso".to_owned(),
        unit,
        hold: Some((p_w, q_var)),
        lasts: Duration::from_secs(300),
    }
}

fn release(unit: i32) -> ScadaCommand {
    ScadaCommand {
        hold: None,
        ..hold(unit, 0.0, 0.0)
    }
}

fn command(bench: &mut Bench, command: ScadaCommand) -> Result<Record, Refusal> {
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
    let row = |o: &edge::cycle::Output| {
        o.published
            .dispatch
            .iter()
            .find(|r| r.unit == WIND)
            .cloned()
    };
    assert_eq!(row(&output).unwrap().origin, "scada");
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

    // Given back, it has no award before the next interval: it is told nothing, and falls back when its
    // lease ends.
    command(&mut bench, release(WIND)).unwrap();
    let output = bench.tick();
    assert!(!told(&bench, &output).contains_key(&WIND));
    assert!(alarm(&output, "scada_control").is_none());
    let output = bench.until(41);
    let award = interval(&output, START + 40).awards;
    assert!(award.iter().any(|award| award.unit == WIND));
    assert_eq!(row(&output).unwrap().origin, "market");
}

#[test]
fn given_back_within_the_interval_it_returns_to_its_award() {
    let mut bench = Bench::new();
    let output = bench.until(12);
    let awards = interval(&output, START + 10).awards;
    let award = awards.iter().find(|award| award.unit == WIND).unwrap();
    command(&mut bench, hold(WIND, 1e6, 0.0)).unwrap();
    bench.tick();
    command(&mut bench, release(WIND)).unwrap();
    let output = bench.tick();
    assert_eq!(told(&bench, &output)[&WIND], (award.p_w, award.q_var));
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
    assert!(output.published.holds.contains_key(&WIND));
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
    assert!(command(&mut bench, hold(106, -600_000.0, 0.0)).is_ok());
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
