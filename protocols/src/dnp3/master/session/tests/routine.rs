use std::time::Duration;

use super::bench::*;
use crate::{
    dnp3::{
        Flags, Iin, Kind, Sample,
        master::{AssociationConfig, MasterEvent, Measurement, TimeSync},
    },
    point::{DoublePoint, TimeQuality, Timestamp, Value},
};

const INTEGRITY: [u8; 12] = [60, 2, 6, 60, 3, 6, 60, 4, 6, 60, 1, 6];
const CLASSES: [u8; 9] = [60, 2, 6, 60, 3, 6, 60, 4, 6];

/// A request of one fragment to outstation 1.
fn request(control: u8, function: u8, objects: &[u8]) -> Vec<Sent> {
    vec![(1, [&[control, function], objects].concat())]
}

/// Answered in the same moment.
fn polled(outstation: u16, late: Duration) -> MasterEvent {
    MasterEvent::Polled {
        outstation,
        took: Duration::ZERO,
        late,
    }
}

#[test]
fn a_restarted_outstation_is_hushed_cleared_read_and_told_to_speak() {
    let mut bench = Bench::new(&[config(1)]);
    assert_eq!(bench.sent(), request(0xC0, 0x15, &CLASSES));
    bench.answer(&[0xC0, 0x81, 0x80, 0x00]);
    assert_eq!(bench.sent(), request(0xC1, 0x02, &[80, 1, 0x00, 7, 7, 0]));
    bench.answer(&[0xC1, 0x81, 0x00, 0x00]);
    assert_eq!(bench.sent(), request(0xC2, 0x01, &INTEGRITY));
    bench.answer(&[0xC2, 0x81, 0x00, 0x00]);
    assert_eq!(bench.sent(), request(0xC3, 0x14, &CLASSES));
    bench.answer(&[0xC3, 0x81, 0x00, 0x00]);
    assert_eq!(bench.sent(), []);
    let indications = |iin| MasterEvent::Indications { outstation: 1, iin };
    let online = MasterEvent::Online {
        outstation: 1,
        online: true,
    };
    let restart = indications(Iin::DEVICE_RESTART);
    let quiet = indications(Iin::empty());
    assert_eq!(
        bench.events(),
        [online, restart, quiet, polled(1, Duration::ZERO)]
    );
    // Everything again in an hour; and at once after a restart, which an unsolicited response tells.
    bench.pass(3599 * SECOND);
    assert_eq!(bench.sent(), []);
    bench.pass(SECOND);
    assert_eq!(bench.sent(), request(0xC4, 0x01, &INTEGRITY));
    bench.answer(&[0xC4, 0x81, 0x00, 0x00]);
    bench.answer(&[0xF0, 0x82, 0x80, 0x00]);
    let confirm = (1, vec![0xD0, 0x00]);
    let clear = (1, vec![0xC5, 0x02, 80, 1, 0x00, 7, 7, 0]);
    assert_eq!(bench.sent(), [confirm, clear]);
}

#[test]
fn times_are_asked_for_where_the_outstation_would_not_send_them() {
    let mut bench = Bench::new(&[AssociationConfig {
        ask_times: [true, false],
        ..quiet(1)
    }]);
    bench.sent();
    bench.answer(&[0xC0, 0x81, 0, 0]);
    let asked = [&[2, 2, 6][..], &INTEGRITY].concat();
    assert_eq!(bench.sent(), request(0xC1, 0x01, &asked));
}

#[test]
fn an_indication_that_stays_is_not_answered_without_end() {
    let mut bench = Bench::new(&[quiet(1)]);
    bench.sent();
    bench.answer(&[0xC0, 0x81, 0x80, 0x00]);
    assert_eq!(bench.sent()[0].1[1], 0x02);
    // Still restarting: the poll goes first, and clearing is tried again after a while.
    bench.answer(&[0xC1, 0x81, 0x80, 0x00]);
    assert_eq!(bench.sent()[0].1[1], 0x01);
    // The poll's answer says so too: it is due.
    bench.answer(&[0xC2, 0x81, 0x80, 0x00]);
    assert_eq!(bench.sent()[0].1[1], 0x02);
    bench.answer(&[0xC3, 0x81, 0x80, 0x00]);
    assert_eq!(bench.sent(), []);
    bench.pass(5 * SECOND);
    assert_eq!(bench.sent()[0].1[1], 0x02);
}

#[test]
fn a_response_in_parts_is_confirmed_and_read_part_by_part() {
    let mut bench = Bench::new(&[quiet(1)]);
    bench.sent();
    bench.answer(&[0xC0, 0x81, 0, 0]);
    bench.sent();
    bench.events();
    // The end of a response whose beginning was never seen.
    bench.answer(&[0x41, 0x81, 0, 0, 30, 2, 0x00, 0, 0, 1, 0xFF, 0xFF]);
    assert_eq!((bench.sent(), bench.events()), (vec![], vec![]));
    let first = [
        &[0xA1, 0x81, 0, 0][..], // first, confirm
        &[51, 1, 0x07, 1, 0x7B, 0x68, 0xE5, 0xCF, 0x8B, 0x01],
        &[2, 3, 0x28, 2, 0, 3, 0, 0x81, 0, 0, 3, 0, 0x01, 0xF4, 0x01],
    ];
    bench.answer(&first.concat());
    assert_eq!(bench.sent(), [(1, vec![0xC1, 0x00])]);
    // Out of order: not of this response.
    bench.answer(&[0x63, 0x81, 0, 0, 30, 2, 0x00, 0, 0, 1, 0xFF, 0xFF]);
    assert_eq!(bench.sent(), []);
    let last = [
        &[0x42, 0x81, 0, 0][..],
        &[30, 2, 0x00, 0, 0, 1, 0xFF, 0xFF],
        &[3, 1, 0x00, 1, 2, 0b0110],
        &[110, 2, 0x00, 9, 9, b'h', b'i'],
    ];
    bench.answer(&last.concat());
    let at = |ms: i64| {
        Some(Timestamp {
            unix_us: (1_700_000_000_123 + ms) * 1000,
            quality: TimeQuality::Source,
        })
    };
    let measurement = |kind, index, value, time, event| Measurement {
        kind,
        index,
        sample: Sample {
            value,
            flags: Flags::ONLINE,
            time,
        },
        event,
    };
    let double = |double| Value::DoublePoint(double);
    let outstation = 1;
    let expected = [
        MasterEvent::Measurements {
            outstation,
            measurements: vec![
                measurement(Kind::Binary, 3, Value::Binary(true), at(0), true),
                measurement(Kind::Binary, 3, Value::Binary(false), at(500), true),
            ],
        },
        MasterEvent::Measurements {
            outstation,
            measurements: vec![
                measurement(Kind::Analog, 0, Value::Analog(-1.0), None, false),
                measurement(Kind::DoubleBit, 1, double(DoublePoint::On), None, false),
                measurement(Kind::DoubleBit, 2, double(DoublePoint::Off), None, false),
            ],
        },
        MasterEvent::Octets {
            outstation,
            index: 9,
            octets: b"hi".to_vec(),
            event: false,
        },
        polled(1, Duration::ZERO),
    ];
    assert_eq!(bench.events(), expected);
    assert_eq!(bench.master.poll_timeout(), None);
}

#[test]
fn an_unsolicited_response_is_confirmed_each_time_and_taken_once() {
    let mut bench = Bench::settled();
    let event = [0xF7, 0x82, 0, 0, 2, 1, 0x28, 1, 0, 3, 0, 0x81];
    for _ in 0..2 {
        bench.answer(&event);
        assert_eq!(bench.sent(), [(1, vec![0xD7, 0x00])]);
    }
    assert_eq!(bench.events().len(), 1);
    // Neither is one: a response with the bit, an unsolicited one without.
    bench.answer(&[0xF8, 0x81, 0, 0, 2, 1, 0x28, 1, 0, 3, 0, 0x81]);
    bench.answer(&[0xE8, 0x82, 0, 0, 2, 1, 0x28, 1, 0, 3, 0, 0x81]);
    assert_eq!((bench.sent(), bench.events()), (vec![], vec![]));
}

#[test]
fn times_of_an_outstation_that_wants_its_clock_set_are_not_trusted() {
    let never = AssociationConfig {
        time_sync: TimeSync::Never,
        ..quiet(1)
    };
    let mut bench = Bench::new(&[never]);
    bench.answer(&[
        0xF0, 0x82, 0x10, 0, 2, 2, 0x28, 1, 0, 3, 0, 0x81, 1, 0, 0, 0, 0, 0,
    ]);
    let events = bench.events();
    let Some(MasterEvent::Measurements { measurements, .. }) = events.last() else {
        panic!("{events:?}");
    };
    let time = measurements[0].sample.time.unwrap();
    assert_eq!(
        (time.unix_us, time.quality),
        (1000, TimeQuality::Unsynchronised)
    );
}

#[test]
fn events_that_are_indicated_and_not_sent_unsolicited_are_read() {
    let mut bench = Bench::settled();
    bench.answer(&[0xF0, 0x82, 0x02, 0x00]);
    let confirm = (1, vec![0xD0, 0x00]);
    let poll = (1, [&[0xC2, 0x01][..], &CLASSES].concat());
    assert_eq!(bench.sent(), [confirm, poll]);
    // An overflow makes it read everything.
    bench.answer(&[0xC2, 0x81, 0x00, 0x08]);
    assert_eq!(bench.sent(), request(0xC3, 0x01, &INTEGRITY));
}

#[test]
fn no_answer_is_offline_and_asked_again_after_a_while() {
    let mut bench = Bench::new(&[quiet(1), quiet(2)]);
    assert_eq!(bench.sent()[0].0, 1);
    // Outstation 2 has its turn when 1 has not answered.
    bench.pass(5 * SECOND);
    assert_eq!(bench.sent()[0].0, 2);
    bench.answer_from(2, &[0xC0, 0x81, 0, 0]);
    assert_eq!(
        bench.sent()[0],
        (2, [&[0xC1, 0x01][..], &INTEGRITY].concat())
    );
    // What 1 says too late is not taken for an answer to something else.
    bench.answer(&[0xC0, 0x81, 0, 0, 30, 2, 0x00, 0, 0, 1, 0xFF, 0xFF]);
    bench.answer_from(2, &[0xC1, 0x81, 0, 0]);
    assert_eq!(bench.sent(), []);
    let online = MasterEvent::Online {
        outstation: 2,
        online: true,
    };
    let offline = MasterEvent::Online {
        outstation: 1,
        online: false,
    };
    // It was the other's turn meanwhile.
    assert_eq!(
        bench.events(),
        [offline.clone(), online, polled(2, 5 * SECOND)]
    );
    bench.pass(5 * SECOND);
    assert_eq!(bench.sent()[0], (1, [&[0xC1, 0x15][..], &CLASSES].concat()));
    bench.answer(&[0xC1, 0x81, 0, 0]);
    bench.sent();
    bench.events();
    bench.pass(5 * SECOND);
    assert_eq!(bench.events(), [offline]);
}
