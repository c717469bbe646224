//! Any octets and any requests, also good ones with octets changed: no panic, answers of bounded size,
//! and the station goes on.

use std::time::Duration;

use proptest::prelude::*;

use super::bench::*;
use crate::{
    iec104::{
        Qds,
        station::{ControlAnswer, GroupConfig, StationConfig, StationEvent},
    },
    point::Value,
};

#[derive(Clone, Debug)]
enum Step {
    Asdu(u64, Vec<u8>),
    Octets(u64, Vec<u8>),
    Start(u64),
    Stop(u64),
    Reconnect(u64),
    Silence(u64),
    Pass(u64),
    Measure(u32, bool),
    Answer(u64, ControlAnswer),
}

/// Requests that are good but for a few octets.
fn asdus() -> impl Strategy<Value = Vec<u8>> {
    let types = prop::sample::select(
        &[
            1_u8, 30, 45, 46, 50, 58, 63, 100, 101, 102, 103, 104, 105, 107,
        ][..],
    );
    let causes = prop::sample::select(&[5_u8, 6, 8, 0x86, 3][..]);
    let addresses = prop::sample::select(&[0_u8, 1, 3, 100, 101, 102][..]);
    let object = prop_oneof![
        Just(vec![]),
        Just(vec![20]),
        Just(vec![0x45]),
        Just(vec![0x81]),
        prop::collection::vec(any::<u8>(), 0..14),
    ];
    let change = prop::option::weighted(0.3, (0_usize..16, any::<u8>()));
    (types, causes, addresses, object, change).prop_map(|(type_id, cause, ioa, object, change)| {
        let mut asdu = [&[type_id, 1, cause, 0, 3, 0, ioa, 0, 0], &object[..]].concat();
        if let Some((at, octet)) = change {
            let at = at % asdu.len();
            asdu[at] = octet;
        }
        asdu
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let octets = prop::collection::vec(any::<u8>(), 0..300);
    let framed = octets
        .clone()
        .prop_map(|rest| [&[0x68, 4], &rest[..]].concat());
    let answer = prop::sample::select(
        &[
            ControlAnswer::Refused,
            ControlAnswer::Accepted,
            ControlAnswer::Done,
        ][..],
    );
    prop_oneof![
        12 => (1_u64..4, asdus()).prop_map(|(connection, asdu)| Step::Asdu(connection, asdu)),
        1 => (1_u64..4, octets).prop_map(|(connection, octets)| Step::Octets(connection, octets)),
        1 => (1_u64..4, framed).prop_map(|(connection, octets)| Step::Octets(connection, octets)),
        3 => (1_u64..4).prop_map(Step::Start),
        1 => (1_u64..4).prop_map(Step::Stop),
        2 => (1_u64..4).prop_map(Step::Reconnect),
        1 => (1_u64..4).prop_map(Step::Silence),
        2 => (0_u64..40_000).prop_map(Step::Pass),
        4 => (1_u32..3, any::<bool>()).prop_map(|(ioa, on)| Step::Measure(ioa, on)),
        2 => (1_u64..20, answer).prop_map(|(id, answer)| Step::Answer(id, answer)),
    ]
}

fn small() -> StationConfig {
    let group = GroupConfig {
        max_events: 5,
        ..GroupConfig::default()
    };
    StationConfig {
        lost_events: Some(9),
        reset: true,
        clock_sync: true,
        groups: vec![group.clone(), group],
        ..config()
    }
}

/// Connections 1 and 2 are one master's, 3 another's.
fn connect(bench: &mut Bench, connection: u64) {
    bench.station.disconnected(connection);
    bench.connect(connection, usize::from(connection == 3));
}

fn act(bench: &mut Bench, step: Step) {
    match step {
        Step::Asdu(connection, asdu) => bench.send(connection, &asdu),
        Step::Octets(connection, octets) => bench.input(connection, &octets),
        Step::Start(connection) => bench.start(connection),
        Step::Stop(connection) => bench.input(connection, &[0x68, 4, 0x13, 0, 0, 0]),
        Step::Reconnect(connection) => connect(bench, connection),
        Step::Silence(connection) => bench.silence(connection),
        Step::Pass(ms) => {
            for connection in 1..4 {
                bench.pass(connection, Duration::from_millis(ms));
            }
        }
        Step::Measure(ioa, on) => {
            let value = match ioa {
                1 => Value::Binary(on),
                _ => Value::DoublePoint(crate::point::DoublePoint::Bad),
            };
            bench.qds(ioa, value, if on { Qds::empty() } else { Qds::NT });
        }
        Step::Answer(id, answer) => {
            bench.station.answer(id, answer, bench.now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_a_master_sends_breaks_the_station(steps in prop::collection::vec(steps(), 1..60)) {
        let mut bench = Bench::new(small());
        for connection in 1..4 {
            connect(&mut bench, connection);
            bench.start(connection);
        }
        for step in steps {
            act(&mut bench, step);
            for connection in 1..4 {
                bench.received(connection);
                let closed = bench.events(connection);
                if closed.iter().any(|event| matches!(event, StationEvent::Closed(_))) {
                    bench.station.disconnected(connection);
                }
            }
            prop_assert!(bench.station.is_bounded());
        }
        // After all of it a master that behaves is served.
        connect(&mut bench, 3);
        bench.start(3);
        bench.received(3);
        let asked = [100, 1, 6, 0, 3, 0, 0, 0, 0, 20];
        let answers = bench.ask(3, &asked);
        prop_assert_eq!(&answers[0], &with_cause(&asked, 7));
        prop_assert!(answers.contains(&with_cause(&asked, 10)));
    }
}
