use std::time::Duration;

use super::bench::*;
use crate::{
    dnp3::{
        Iin, Kind,
        link::{Frame, Function},
        outstation::{
            Class, ConfigProblem, Outstation, OutstationConfig, OutstationEvent, PointConfig,
            RestartPolicy,
        },
    },
    point::Value,
};

#[test]
fn restart_is_indicated_until_cleared_and_cannot_be_set() {
    let mut bench = Bench::new(config(), &points());
    assert_eq!(bench.ask(&[0xC0, 0x01]), [[0xC0, 0x81, 0x80, 0x00]]);
    let set = bench.ask(&[0xC1, 0x02, 80, 1, 0x00, 7, 7, 1]);
    assert_eq!(set, [[0xC1, 0x81, 0x80, 0x04]]);
    let other = bench.ask(&[0xC2, 0x02, 80, 1, 0x00, 4, 4, 0]);
    assert_eq!(other, [[0xC2, 0x81, 0x80, 0x04]]);
    let clear = bench.ask(&[0xC3, 0x02, 80, 1, 0x00, 7, 7, 0]);
    assert_eq!(clear, [[0xC3, 0x81, 0x00, 0x00]]);
}

#[test]
fn unknown_functions_are_refused() {
    let mut bench = Bench::quiet();
    // Freeze at time, initialize, save configuration, open file, authenticate, 99.
    for function in [11, 15, 19, 25, 32, 99] {
        let answer = bench.ask(&[0xC1, function]);
        assert_eq!(answer, [[0xC1, 0x81, 0x00, 0x01]], "{function}");
    }
    // Unsolicited responses are not supported here.
    assert_eq!(
        bench.ask(&[0xC2, 0x14, 60, 2, 6]),
        [[0xC2, 0x81, 0x00, 0x01]]
    );
}

#[test]
fn the_clock_is_wanted_then_set_either_way() {
    let hourly = OutstationConfig {
        need_time_every: Some(Duration::from_secs(3600)),
        ..config()
    };
    let mut bench = Bench::new(hourly, &points());
    assert_eq!(bench.ask(&[0xC0, 0x01])[0][2], 0x90);
    let write = [&[0xC1, 0x02, 50, 1, 0x07, 1][..], &TIME].concat();
    assert_eq!(bench.ask(&write), [[0xC1, 0x81, 0x80, 0x00]]);
    let unix_ms = 1_700_000_000_123;
    assert_eq!(bench.events(), [OutstationEvent::TimeWritten { unix_ms }]);

    bench.pass(Duration::from_secs(3600));
    assert_eq!(bench.ask(&[0xC2, 0x01])[0][2], 0x90);
    // LAN: the time when the outstation recorded its own; 250 ms have passed since.
    let lan = [&[0xC4, 0x02, 50, 3, 0x07, 1][..], &TIME].concat();
    assert_eq!(bench.ask(&[0xC3, 0x18]), [[0xC3, 0x81, 0x90, 0x00]]);
    bench.pass(Duration::from_millis(250));
    assert_eq!(bench.ask(&lan), [[0xC4, 0x81, 0x80, 0x00]]);
    let unix_ms = unix_ms + 250;
    assert_eq!(bench.events(), [OutstationEvent::TimeWritten { unix_ms }]);
    // Without a record there is nothing to count from.
    let again = [&[0xC5], &lan[1..]].concat();
    assert_eq!(bench.ask(&again), [[0xC5, 0x81, 0x80, 0x04]]);
    let two = [&[0xC6, 0x02, 50, 1, 0x07, 2][..], &TIME, &TIME].concat();
    assert_eq!(bench.ask(&two), [[0xC6, 0x81, 0x80, 0x04]]);
}

#[test]
fn freezing_keeps_the_count_and_clearing_starts_anew() {
    let mut bench = Bench::quiet();
    bench.update(Kind::Counter, 0, Value::Counter(1234));
    assert_eq!(
        bench.ask(&[0xC1, 0x07, 20, 0, 0x00, 0, 0]),
        [[0xC1, 0x81, 0x02, 0x00]]
    );
    bench.update(Kind::Counter, 0, Value::Counter(1240));
    let read = bench.ask(&[0xC2, 0x01, 21, 9, 6, 20, 5, 6]);
    let expected = [
        &[0xC2, 0x81, 0x02, 0x00][..],
        &[21, 9, 0x00, 0, 1, 0xD2, 4, 0, 0, 0, 0, 0, 0],
        &[20, 5, 0x00, 0, 1, 0xD8, 4, 0, 0, 0xE9, 3, 0, 0],
    ];
    assert_eq!(read, [expected.concat()]);
    assert_eq!(
        bench.ask(&[0xC3, 0x09, 20, 0, 6]),
        [[0xC3, 0x81, 0x06, 0x00]]
    );
    bench.update(Kind::Counter, 0, Value::Counter(1243));
    let read = bench.ask(&[0xC4, 0x01, 21, 9, 6, 20, 5, 6]);
    let expected = [
        &[0xC4, 0x81, 0x06, 0x00][..],
        &[21, 9, 0x00, 0, 1, 0xD8, 4, 0, 0, 0xE9, 3, 0, 0],
        &[20, 5, 0x00, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(read, [expected.concat()]);
    // Frozen values are events, with the time of the freeze.
    let events = bench.ask(&[0xC5, 0x01, 23, 2, 6]);
    assert_eq!(events[0][4..9], [23, 2, 0x28, 3, 0]);
    bench.events();
    assert_eq!(bench.ask(&[0xC6, 0x07, 20, 0, 0x00, 5, 9])[0][3], 0x04);
    assert_eq!(bench.ask(&[0xC7, 0x07, 30, 0, 6])[0][3], 0x02);
    assert!(bench.ask(&[0xC8, 0x08, 20, 0, 6]).is_empty());
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn classes_and_dead_bands_are_assigned() {
    let mut bench = Bench::quiet();
    // Class 3: analog input 0. Class 0: binary inputs, all.
    let assign = [0xC1, 0x16, 60, 4, 6, 30, 0, 0x00, 0, 0, 60, 1, 6, 1, 0, 6];
    assert_eq!(bench.ask(&assign), [[0xC1, 0x81, 0x00, 0x00]]);
    let assigned = |kind, index, class| OutstationEvent::ClassAssigned { kind, index, class };
    let expected = [
        assigned(Kind::Analog, 0, Some(Class::Three)),
        assigned(Kind::Binary, 0, None),
        assigned(Kind::Binary, 1, None),
    ];
    assert_eq!(bench.events(), expected);
    // Dead band 5 for analog input 0.
    let band = [0xC2, 0x02, 34, 1, 0x00, 0, 0, 5, 0];
    assert_eq!(bench.ask(&band), [[0xC2, 0x81, 0x00, 0x00]]);
    bench.update(Kind::Binary, 0, Value::Binary(true));
    bench.update(Kind::Analog, 0, Value::Analog(6.0));
    assert_eq!(bench.ask(&[0xC3, 0x01]), [[0xC3, 0x81, 0x00, 0x00]]);
    bench.update(Kind::Analog, 0, Value::Analog(7.0));
    assert_eq!(bench.ask(&[0xC4, 0x01]), [[0xC4, 0x81, 0x08, 0x00]]);
    // -1 and a point that is not there.
    let negative = [0xC5, 0x02, 34, 3, 0x00, 0, 0, 0, 0, 0x80, 0xBF];
    assert_eq!(bench.ask(&negative)[0][3], 0x04);
    assert_eq!(
        bench.ask(&[0xC6, 0x02, 34, 1, 0x00, 9, 9, 5, 0])[0][3],
        0x04
    );
    assert_eq!(bench.ask(&[0xC7, 0x16, 30, 0, 6])[0][3], 0x02);
}

#[test]
fn restarts_are_refused_unless_allowed() {
    let mut bench = Bench::quiet();
    assert_eq!(bench.ask(&[0xC1, 0x0D]), [[0xC1, 0x81, 0x00, 0x01]]);
    assert!(bench.events().is_empty());
    for (seconds, object) in [
        (20, [52, 2, 7, 1, 0x20, 0x4E]),
        (100, [52, 1, 7, 1, 100, 0]),
    ] {
        let back_in = Duration::from_secs(seconds);
        let allowed = OutstationConfig {
            restart: RestartPolicy::Allowed { back_in },
            ..config()
        };
        let mut bench = Bench::new(allowed, &points());
        let answer = bench.ask(&[0xC1, 0x0E]);
        assert_eq!(answer, [[&[0xC1, 0x81, 0x80, 0x00][..], &object].concat()]);
        assert_eq!(bench.events(), [OutstationEvent::Restart { cold: false }]);
    }
}

#[test]
fn the_device_says_what_is_wrong_with_it() {
    let mut bench = Bench::quiet();
    let all = Iin::all();
    bench.outstation.indicate(all, true);
    // Local control, trouble, corrupt configuration; nothing else is the device's to say.
    assert_eq!(bench.ask(&[0xC1, 0x01]), [[0xC1, 0x81, 0x60, 0x20]]);
    bench.outstation.indicate(all, false);
    assert_eq!(bench.ask(&[0xC2, 0x01]), [[0xC2, 0x81, 0x00, 0x00]]);
}

#[test]
fn a_wrong_configuration_is_named_whole() {
    let mut config = config();
    config.link.local = 0xFFF0;
    config.max_fragment = 100;
    let mut twice = PointConfig::new(Kind::Analog, 4, None);
    twice.static_variation = 7;
    twice.dead_band = -1.0;
    let points = [PointConfig::new(Kind::Analog, 4, None), twice];
    let now = Bench::quiet().now;
    let problems = Outstation::new(config, &points, now).unwrap_err();
    let (kind, index) = (Kind::Analog, 4);
    let expected = [
        ConfigProblem::Address(0xFFF0),
        ConfigProblem::Fragment(100),
        ConfigProblem::Twice { kind, index },
        ConfigProblem::Variation {
            kind,
            index,
            group: 30,
            variation: 7,
        },
        ConfigProblem::DeadBand { kind, index },
    ];
    assert_eq!(problems, expected);
}

#[test]
fn values_of_another_type_and_points_that_are_not_there_are_not_taken() {
    let mut bench = Bench::quiet();
    assert!(!bench.update(Kind::Analog, 0, Value::Binary(true)));
    assert!(!bench.update(Kind::Analog, 7, Value::Analog(1.0)));
    assert!(!bench.outstation.set_octets(0, Vec::new()));
    assert!(!bench.outstation.set_octets(0, vec![0; 256]));
    assert_eq!(bench.ask(&[0xC1, 0x01]), [[0xC1, 0x81, 0x00, 0x00]]);
}

#[test]
fn a_frame_of_another_master_or_for_another_outstation_is_not_ours() {
    let mut bench = Bench::quiet();
    let frames = [
        (true, 11, 1),  // another master
        (true, 10, 2),  // another outstation
        (false, 10, 1), // not from a master
    ];
    for (from_master, source, destination) in frames {
        let frame = Frame {
            from_master,
            function: Function::UnconfirmedData,
            destination,
            source,
            data: vec![0xC0, 0xC1, 0x17],
        };
        bench.outstation.handle_input(&frame.encode(), bench.now);
        assert!(bench.received().is_empty(), "{frame:?}");
    }
    assert_eq!(bench.ask(&[0xC1, 0x17]).len(), 1);
}
