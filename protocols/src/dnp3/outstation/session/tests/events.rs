use std::time::Duration;

use super::bench::*;
use crate::{
    dnp3::{
        Kind,
        link::{BROADCAST_CONFIRM, BROADCAST_NO_CONFIRM},
        outstation::{Class, OutstationConfig, OutstationEvent, PointConfig, UnsolicitedConfig},
    },
    point::Value,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn events_are_made_by_what_moves_beyond_the_dead_band_and_by_flags() {
    let points = [PointConfig::new(Kind::Analog, 0, Some(Class::Three)).dead_band(2.0)];
    let mut bench = Bench::new(config(), &points);
    // Online for the first time; then 1.5 and 2.0 are within, 2.6 from the last event beyond.
    for value in [10.0, 11.5, 12.0, 12.6, 12.0, 10.0] {
        bench.update(Kind::Analog, 0, Value::Analog(value));
    }
    let answer = bench.ask(&[0xC0, 0x01, 32, 2, 6]);
    let expected = [
        &[0xE0, 0x81, 0x80, 0x00][..],
        &[
            32, 2, 0x28, 3, 0, 0, 0, 1, 10, 0, 0, 0, 1, 13, 0, 0, 0, 1, 10, 0,
        ],
    ];
    // 12.6 is 13 in whole numbers; 10.0 is 2.6 from 12.6.
    assert_eq!(answer, [expected.concat()]);
}

#[test]
fn a_class_can_be_read_in_parts() {
    let mut bench = Bench::quiet();
    for state in [true, false, true] {
        bench.update(Kind::Binary, 0, Value::Binary(state));
    }
    let answer = bench.ask(&[0xC1, 0x01, 60, 2, 0x07, 2]);
    assert_eq!(answer[0][..9], [0xE1, 0x81, 0x02, 0x00, 2, 2, 0x28, 2, 0]);
    bench.send(&[0xC1, 0x00]);
    let rest = bench.ask(&[0xC2, 0x01, 2, 1, 0x08, 9, 0]);
    assert_eq!(
        rest,
        [[0xE2, 0x81, 0x00, 0x00, 2, 1, 0x28, 1, 0, 0, 0, 0x81]]
    );
}

#[test]
fn lost_events_are_indicated() {
    let small = OutstationConfig {
        max_events: 2,
        ..config()
    };
    let mut bench = Bench::new(small, &points());
    for value in 0..3 {
        bench.update(Kind::Counter, 0, Value::Counter(value));
    }
    let answer = bench.ask(&[0xC1, 0x01, 22, 2, 6]);
    let expected = [
        0xE1, 0x81, 0x80, 0x08, 22, 2, 0x28, 2, 0, 0, 0, 1, 1, 0, 0, 0, 1, 2, 0,
    ];
    assert_eq!(answer, [expected]);
    bench.send(&[0xC1, 0x00]);
    assert_eq!(bench.ask(&[0xC2, 0x01, 60, 2, 6])[0][3], 0);
}

fn unsolicited() -> OutstationConfig {
    OutstationConfig {
        unsolicited: Some(UnsolicitedConfig {
            retries: 2,
            retry_delay: 30 * SECOND,
            hold: SECOND / 10,
        }),
        ..config()
    }
}

/// Restart announced and confirmed, class 1 enabled.
fn enabled() -> Bench {
    let mut bench = Bench::new(unsolicited(), &points());
    bench.received();
    bench.send(&[0xD0, 0x00]);
    assert_eq!(
        bench.ask(&[0xC0, 0x14, 60, 2, 6]),
        [[0xC0, 0x81, 0x80, 0x00]]
    );
    bench
}

#[test]
fn a_restart_is_announced_until_confirmed_and_nothing_else_before() {
    let mut bench = Bench::new(unsolicited(), &points());
    let null = [0xF0, 0x82, 0x80, 0x00];
    assert_eq!(bench.received(), [null]);
    bench.ask(&[0xC0, 0x14, 60, 2, 6]);
    bench.update(Kind::Binary, 0, Value::Binary(true));
    // Repeated as it was, twice; then the delay, then a new one with a new number.
    bench.pass(5 * SECOND);
    assert_eq!(bench.received(), [null]);
    bench.pass(5 * SECOND);
    assert_eq!(bench.received(), [null]);
    bench.pass(34 * SECOND);
    assert!(bench.received().is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.received(), [[0xF1, 0x82, 0x82, 0x00]]);
    // Confirmed: now the event.
    let answer = bench.ask(&[0xD1, 0x00]);
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0][..8], [0xF2, 0x82, 0x80, 0x00, 2, 2, 0x28, 1]);
}

#[test]
fn events_wait_for_company_and_go_once_confirmed() {
    let mut bench = enabled();
    bench.update(Kind::Binary, 0, Value::Binary(true));
    bench.pass(SECOND / 20);
    bench.update(Kind::Analog, 0, Value::Analog(1.0));
    // Class 2 is not enabled.
    bench.update(Kind::Analog, 1, Value::Analog(1.0));
    assert!(bench.received().is_empty());
    bench.pass(SECOND / 20);
    let sent = bench.received();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][..4], [0xF1, 0x82, 0x84, 0x00]);
    assert_eq!(sent[0].len(), 4 + 5 + 9 + 5 + 13);
    // A confirmation of a solicited response is not meant, nor one of another number.
    bench.send(&[0xC1, 0x00]);
    bench.send(&[0xD2, 0x00]);
    bench.pass(5 * SECOND);
    assert_eq!(bench.received(), sent);
    bench.send(&[0xD1, 0x00]);
    bench.pass(60 * SECOND);
    assert!(bench.received().is_empty());
    assert_eq!(
        bench.ask(&[0xC1, 0x01, 60, 2, 6]),
        [[0xC1, 0x81, 0x84, 0x00]]
    );
}

#[test]
fn a_read_waits_until_the_unsolicited_response_is_confirmed_or_given_up() {
    let mut bench = enabled();
    bench.update(Kind::Binary, 0, Value::Binary(true));
    bench.pass(SECOND);
    assert_eq!(bench.received().len(), 1);
    assert!(bench.ask(&[0xC1, 0x01, 60, 2, 6]).is_empty());
    let answer = bench.ask(&[0xD1, 0x00]);
    assert_eq!(answer, [[0xC1, 0x81, 0x80, 0x00]]);

    bench.update(Kind::Binary, 0, Value::Binary(false));
    bench.pass(SECOND);
    bench.received();
    assert!(bench.ask(&[0xC2, 0x01, 60, 2, 6]).is_empty());
    // Given up at its deadline, and the event goes with the answer.
    bench.pass(5 * SECOND);
    let answer = bench.received();
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0][..8], [0xE2, 0x81, 0x80, 0x00, 2, 2, 0x28, 1]);
}

#[test]
fn other_requests_are_answered_at_once_and_disabling_ends_what_is_under_way() {
    let mut bench = enabled();
    bench.update(Kind::Binary, 0, Value::Binary(true));
    bench.pass(SECOND);
    assert_eq!(bench.received().len(), 1);
    assert_eq!(
        bench.ask(&[0xC1, 0x17]),
        [[0xC1, 0x81, 0x80, 0x00, 52, 2, 7, 1, 0, 0]]
    );
    assert_eq!(
        bench.ask(&[0xC2, 0x15, 60, 2, 6]),
        [[0xC2, 0x81, 0x82, 0x00]]
    );
    bench.pass(60 * SECOND);
    assert!(bench.received().is_empty());
}

#[test]
fn a_connection_lost_loses_no_event() {
    let mut bench = enabled();
    bench.update(Kind::Binary, 0, Value::Binary(true));
    bench.pass(SECOND);
    assert_eq!(bench.received().len(), 1);
    bench.outstation.disconnected(bench.now);
    assert_eq!(bench.outstation.poll_timeout(), None);
    bench.update(Kind::Binary, 0, Value::Binary(false));
    bench.outstation.connected(bench.now);
    bench.pass(SECOND);
    let sent = bench.received();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][4..9], [2, 2, 0x28, 2, 0]);
}

#[test]
fn a_broadcast_is_carried_out_not_answered_and_indicated_once_or_until_confirmed() {
    let clear_restart = [0xC0, 0x02, 80, 1, 0x00, 7, 7, 0];
    let mut bench = Bench::new(config(), &points());
    bench.send_to(BROADCAST_NO_CONFIRM, &clear_restart);
    assert!(bench.received().is_empty());
    assert_eq!(
        bench.ask(&[0xC0, 0x01, 60, 4, 6]),
        [[0xC0, 0x81, 0x01, 0x00]]
    );
    assert_eq!(
        bench.ask(&[0xC1, 0x01, 60, 4, 6]),
        [[0xC1, 0x81, 0x00, 0x00]]
    );

    let freeze = [0xC0, 0x08, 20, 0, 6];
    bench.send_to(BROADCAST_CONFIRM, &freeze);
    let frozen = OutstationEvent::Frozen {
        counters: 2,
        cleared: false,
    };
    assert_eq!(bench.events(), [frozen]);
    for sequence in [2, 3] {
        let answer = bench.ask(&[0xC0 | sequence, 0x01, 60, 4, 6]);
        assert_eq!(answer, [[0xE0 | sequence, 0x81, 0x07, 0x00]]);
    }
    bench.send(&[0xC3, 0x00]);
    assert_eq!(bench.ask(&[0xC4, 0x01, 60, 4, 6])[0][2] & 1, 0);
    // A read is not for everyone.
    bench.send_to(BROADCAST_NO_CONFIRM, &[0xC0, 0x01, 60, 1, 6]);
    assert!(bench.received().is_empty());
}

#[test]
fn confirming_for_a_broadcast_does_not_confirm_what_was_sent_unsolicited() {
    for confirmed in [true, false] {
        let mut bench = enabled();
        bench.update(Kind::Binary, 0, Value::Binary(true));
        bench.pass(SECOND);
        let sent = bench.received();
        assert_eq!(sent.len(), 1);
        // A delay measurement, whose answer must be confirmed for the broadcast before it.
        bench.send_to(BROADCAST_CONFIRM, &[0xC0, 0x18]);
        assert_eq!(bench.ask(&[0xC1, 0x17])[0][..2], [0xE1, 0x81]);
        if confirmed {
            bench.send(&[0xC1, 0x00]);
        } else {
            // Another request instead.
            bench.ask(&[0xC2, 0x17]);
        }
        // The event is neither lost nor sent twice.
        bench.pass(5 * SECOND);
        assert_eq!(bench.received(), sent, "{confirmed}");
        bench.send(&[0xD1, 0x00]);
        bench.pass(60 * SECOND);
        assert!(bench.received().is_empty(), "{confirmed}");
        let answer = bench.ask(&[0xC3, 0x01, 60, 2, 6]);
        assert!(answer[0][4..].is_empty(), "{confirmed}");
    }
}

#[test]
fn what_was_sent_unsolicited_outlives_a_confirmation_for_a_broadcast() {
    let mut bench = enabled();
    bench.update(Kind::Binary, 0, Value::Binary(true));
    bench.pass(SECOND);
    let sent = bench.received();
    bench.send_to(BROADCAST_CONFIRM, &[0xC0, 0x18]);
    bench.ask(&[0xC1, 0x17]);
    bench.send(&[0xC1, 0x00]);
    bench.outstation.disconnected(bench.now);
    bench.outstation.connected(bench.now);
    bench.pass(SECOND);
    assert_eq!(bench.received()[0][4..], sent[0][4..]);
}
