use super::bench::*;
use crate::{
    dnp3::{
        Flags, Kind, Sample,
        app::Headers,
        outstation::{Class, OutstationConfig, PointConfig},
    },
    point::Value,
};

#[test]
fn after_a_restart_an_integrity_poll_tells_all_points_and_the_restart() {
    let points = [
        PointConfig::new(Kind::Binary, 3, Some(Class::One)),
        PointConfig::new(Kind::Analog, 0, None),
    ];
    let mut bench = Bench::new(config(), &points);
    bench.update(Kind::Binary, 3, Value::Binary(true));
    bench.update(Kind::Analog, 0, Value::Analog(-2.5));
    let poll = [0xC5, 0x01, 60, 2, 6, 60, 3, 6, 60, 4, 6, 60, 1, 6];
    let expected = [
        &[0xE5, 0x81, 0x80, 0x00][..], // confirm; restart
        &[2, 2, 0x28, 1, 0, 3, 0, 0x81],
        &TIME,
        &[1, 2, 0x00, 3, 3, 0x81],
        &[30, 5, 0x00, 0, 0, 1, 0, 0, 0x20, 0xC0],
    ]
    .concat();
    assert_eq!(bench.ask(&poll), [expected]);
    bench.send(&[0xC5, 0x00]);
    assert!(bench.outstation.is_idle());
    let again = bench.ask(&[0xC6, 0x01, 60, 2, 6]);
    assert_eq!(again, [[0xC6, 0x81, 0x80, 0x00]]);
}

#[test]
fn every_way_to_name_objects_is_understood() {
    let mut bench = Bench::quiet();
    bench.outstation.set_octets(4, b"abc".to_vec());
    let no_error = [0x00, 0x00];
    let unknown = [0x00, 0x02];
    let parameter = [0x00, 0x04];
    let cases: [(&[u8], [u8; 2], &[u8]); 21] = [
        (&[1, 2, 0x00, 0, 1], no_error, &[1, 2, 0, 0, 1, 1, 0x81]),
        (&[1, 0, 0x06], no_error, &[1, 2, 0, 0, 1, 1, 0x81]),
        (&[1, 1, 0x06], no_error, &[1, 1, 0, 0, 1, 0b10]),
        (&[3, 1, 0x06], no_error, &[3, 1, 0, 0, 1, 0b1010]),
        (&[1, 2, 0x01, 1, 0, 1, 0], no_error, &[1, 2, 0, 1, 1, 0x81]),
        (&[1, 2, 0x17, 1, 1], no_error, &[1, 2, 0, 1, 1, 0x81]),
        (
            &[1, 2, 0x28, 2, 0, 1, 0, 0, 0],
            no_error,
            &[1, 2, 0, 1, 1, 0x81, 1, 2, 0, 0, 0, 1],
        ),
        (&[20, 6, 0x00, 0, 0], no_error, &[20, 6, 0, 0, 0, 0xE8, 3]),
        (&[30, 4, 0x00, 1, 1], no_error, &[30, 4, 0, 1, 1, 3, 0]),
        (&[34, 1, 0x00, 0, 0], no_error, &[34, 1, 0, 0, 0, 0, 0]),
        (
            &[40, 2, 0x00, 0, 0],
            no_error,
            &[40, 2, 0, 0, 0, 1, 0xFF, 0xFF],
        ),
        (
            &[110, 0, 0x06],
            no_error,
            &[110, 3, 0, 4, 4, b'a', b'b', b'c'],
        ),
        (
            &[50, 1, 0x07, 1],
            no_error,
            &[50, 1, 7, 1, 0x7B, 0x68, 0xE5, 0xCF, 0x8B, 0x01],
        ),
        (&[80, 1, 0x00, 0, 15], no_error, &[80, 1, 0, 0, 15, 0, 0]),
        // Beyond what is there: what is there, and the error.
        (&[1, 2, 0x00, 1, 5], parameter, &[1, 2, 0, 1, 1, 0x81]),
        (&[1, 2, 0x00, 5, 9], parameter, &[]),
        (&[1, 2, 0x07, 1], parameter, &[]),
        (&[31, 0, 0x06], unknown, &[]),
        (&[12, 1, 0x06], unknown, &[]),
        (&[30, 99, 0x06], unknown, &[]),
        (&[1, 2, 0x00, 1], parameter, &[]),
    ];
    for (objects, iin, expected) in cases {
        let answer = bench.ask(&[&[0xC7, 0x01], objects].concat());
        let expected = [&[0xC7, 0x81], &iin[..], expected].concat();
        assert_eq!(answer, [expected], "{objects:02x?}");
    }
}

#[test]
fn a_value_without_flags_is_sent_only_if_all_is_well() {
    let mut bench = Bench::quiet();
    let sample = |value, flags| Sample {
        flags,
        ..online(value)
    };
    for (kind, value) in [
        (Kind::Binary, Value::Binary(true)),
        (Kind::Counter, Value::Counter(7)),
        (Kind::Analog, Value::Analog(7.0)),
    ] {
        let lost = sample(value, Flags::COMM_LOST);
        assert!(bench.outstation.update(kind, 1, lost, bench.now));
    }
    let answer = bench.ask(&[0xC1, 0x01, 1, 1, 6, 20, 5, 6, 30, 3, 6]);
    let expected = [
        &[0xC1, 0x81, 0x04, 0x00][..],
        &[1, 1, 0x00, 0, 0, 0b0],
        &[1, 2, 0x00, 1, 1, 0x84],
        &[20, 5, 0x00, 0, 0, 0xE8, 3, 0, 0],
        &[20, 1, 0x00, 1, 1, 0x04, 7, 0, 0, 0],
        &[30, 3, 0x00, 0, 0, 2, 0, 0, 0],
        &[30, 1, 0x00, 1, 1, 0x04, 7, 0, 0, 0],
    ];
    assert_eq!(answer, [expected.concat()]);
    // Not what 16 bits hold: with the flag that says so.
    bench.update(Kind::Analog, 1, Value::Analog(1e5));
    let answer = bench.ask(&[0xC2, 0x01, 30, 4, 0x00, 1, 1]);
    assert_eq!(answer[0][4..], [30, 2, 0x00, 1, 1, 0x21, 0xFF, 0x7F]);
}

#[test]
fn what_does_not_fit_a_fragment_follows_in_the_next_once_confirmed() {
    let small = OutstationConfig {
        max_fragment: 249,
        ..config()
    };
    let points: Vec<_> = (0..100)
        .map(|index| PointConfig::new(Kind::Analog, index, None))
        .collect();
    let mut bench = Bench::new(small, &points);
    let mut answer = bench.ask(&[0xCE, 0x01, 60, 1, 6]);
    let mut indices = Vec::new();
    let mut controls = Vec::new();
    while let Some(fragment) = answer.pop() {
        assert!(fragment.len() <= 249 && answer.is_empty());
        controls.push(fragment[0]);
        assert_eq!(fragment[4..7], [30, 5, 0x00]);
        indices.extend(fragment[7]..=fragment[8]);
        assert_eq!(
            fragment.len(),
            9 + 5 * usize::from(fragment[8] - fragment[7] + 1)
        );
        // A confirmation with another number is not for this fragment.
        assert!(
            bench
                .ask(&[0xC0 | (fragment[0] + 1) & 0x0F, 0x00])
                .is_empty()
        );
        answer = bench.ask(&[0xC0 | fragment[0] & 0x0F, 0x00]);
    }
    assert_eq!(controls, [0xAE, 0x2F, 0x40]);
    assert_eq!(indices, (0..100).collect::<Vec<u8>>());
}

#[test]
fn a_new_request_ends_the_response_under_way() {
    let mut bench = Bench::quiet();
    bench.update(Kind::Binary, 0, Value::Binary(true));
    let first = bench.ask(&[0xC1, 0x01, 60, 2, 6]);
    assert_eq!(first[0][0], 0xE1);
    // Not confirmed: the event is sent again, and the old confirmation does not count.
    let second = bench.ask(&[0xC2, 0x01, 60, 2, 6]);
    assert_eq!(second[0][1..], first[0][1..]);
    bench.send(&[0xC1, 0x00]);
    let third = bench.ask(&[0xC3, 0x01, 60, 2, 6]);
    assert_eq!(third[0][1..], first[0][1..]);
    bench.send(&[0xC3, 0x00]);
    assert_eq!(
        bench.ask(&[0xC4, 0x01, 60, 2, 6]),
        [[0xC4, 0x81, 0x00, 0x00]]
    );
}

#[test]
fn an_octet_string_that_no_fragment_holds_is_not_taken() {
    let small = OutstationConfig {
        max_fragment: 249,
        ..config()
    };
    let mut bench = Bench::new(small, &[]);
    assert!(!bench.outstation.set_octets(0x1234, vec![7; 239]));
    assert!(bench.outstation.set_octets(0x1234, vec![7; 238]));
    let answer = bench.ask(&[0xC0, 0x01, 60, 1, 6]);
    assert_eq!(answer[0][..4], [0xC0, 0x81, 0x80, 0x00]);
    assert_eq!(answer[0].len(), 249);
}

#[test]
fn all_events_come_before_the_first_present_value() {
    let small = OutstationConfig {
        max_fragment: 249,
        ..config()
    };
    // 21 events of 11 octets leave 9 octets of the fragment: room for a present value.
    let mut analog = PointConfig::new(Kind::Analog, 0, Some(Class::One));
    analog.event_variation = 6;
    let points = [analog, PointConfig::new(Kind::Binary, 0, None)];
    let mut bench = Bench::new(small, &points);
    for value in 0..40 {
        bench.update(Kind::Analog, 0, Value::Analog(f64::from(value)));
    }
    let mut answer = bench.ask(&[0xC0, 0x01, 60, 2, 6, 60, 1, 6]);
    let mut groups = Vec::new();
    while let Some(fragment) = answer.pop() {
        let headers = Headers::new(&fragment[4..]);
        groups.extend(headers.map(|header| header.unwrap().id().0));
        answer = bench.ask(&[0xC0 | fragment[0] & 0x0F, 0x00]);
    }
    assert_eq!(groups, [32, 32, 1, 30]);
}
