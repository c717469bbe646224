use super::bench::*;
use crate::dnp3::{
    Iin, Kind,
    app::{AnalogCommand, CommandStatus, Crob, OutputCommand},
    link::BROADCAST_CONFIRM,
    master::{
        AssociationConfig, MasterEvent, Outcome, ReadHeader, ReadRange, Request, Select, TimeSync,
    },
    outstation::Class,
};

/// The outcome of request `id`.
fn outcome(bench: &mut Bench, id: u64) -> Outcome {
    let events = bench.events();
    let done = events.iter().find_map(|event| match event {
        MasterEvent::Done { id: done, outcome } if *done == id => Some(outcome.clone()),
        _ => None,
    });
    done.unwrap_or_else(|| panic!("{events:?}"))
}

fn ask(bench: &mut Bench, request: Request) -> (u64, Vec<u8>) {
    let id = bench.master.request(1, request, bench.now);
    let sent = bench.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    (id, sent[0].1.clone())
}

#[test]
fn each_request_is_sent_as_the_standard_writes_it() {
    let read = |group, variation, range| {
        Request::Read(vec![ReadHeader {
            group,
            variation,
            range,
        }])
    };
    let class = Some(Class::Two);
    let cases: [(Request, &[u8]); 10] = [
        (read(30, 0, ReadRange::All), &[0x01, 30, 0, 6]),
        (
            read(1, 2, ReadRange::Span(3, 300)),
            &[0x01, 1, 2, 0x01, 3, 0, 44, 1],
        ),
        (read(2, 0, ReadRange::Count(9)), &[0x01, 2, 0, 0x08, 9, 0]),
        (
            Request::Freeze {
                range: None,
                clear: true,
            },
            &[0x09, 20, 0, 6],
        ),
        (
            Request::Freeze {
                range: Some((1, 2)),
                clear: false,
            },
            &[0x07, 20, 0, 0x01, 1, 0, 2, 0],
        ),
        (
            Request::AssignClass {
                kind: Kind::Analog,
                range: None,
                class,
            },
            &[0x16, 60, 3, 6, 30, 0, 6],
        ),
        (
            Request::AssignClass {
                kind: Kind::Binary,
                range: None,
                class: None,
            },
            &[0x16, 60, 1, 6, 1, 0, 6],
        ),
        (
            Request::DeadBands(vec![(4, -2.5)]),
            &[0x02, 34, 3, 0x28, 1, 0, 4, 0, 0, 0, 0x20, 0xC0],
        ),
        (
            Request::Unsolicited([true, false, true]),
            &[0x14, 60, 2, 6, 60, 4, 6],
        ),
        (
            Request::Unsolicited([false; 3]),
            &[0x15, 60, 2, 6, 60, 3, 6, 60, 4, 6],
        ),
    ];
    let mut bench = Bench::settled();
    for (number, (request, expected)) in cases.into_iter().enumerate() {
        let control = 0xC0 | (number as u8 + 2) & 0x0F;
        let (id, sent) = ask(&mut bench, request);
        assert_eq!(sent, [&[control], expected].concat());
        bench.answer(&[control, 0x81, 0, 0]);
        assert_eq!(outcome(&mut bench, id), Outcome::Done(Iin::empty()));
    }
    let (id, _) = ask(&mut bench, read(31, 0, ReadRange::All));
    bench.answer(&[0xCC, 0x81, 0, 0x02]);
    assert_eq!(
        outcome(&mut bench, id),
        Outcome::Refused(Iin::OBJECT_UNKNOWN)
    );
}

/// Latch on at index 7; the status is the last octet.
const LATCH: [u8; 18] = [12, 1, 0x28, 1, 0, 7, 0, 0x03, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn latch(select: Select) -> Request {
    Request::Operate(select, vec![(7, OutputCommand::Crob(Crob::latch(true)))])
}

fn with_status(control: u8, status: u8) -> Vec<u8> {
    let mut answer = [&[control, 0x81, 0, 0][..], &LATCH].concat();
    *answer.last_mut().unwrap() = status;
    answer
}

#[test]
fn what_was_selected_is_operated_and_what_was_not_is_not() {
    let mut bench = Bench::settled();
    let (id, sent) = ask(&mut bench, latch(Select::BeforeOperate));
    assert_eq!(sent, [&[0xC2, 0x03][..], &LATCH].concat());
    bench.answer(&with_status(0xC2, 0));
    assert_eq!(bench.sent(), [(1, [&[0xC3, 0x04][..], &LATCH].concat())]);
    assert!(bench.events().is_empty());
    bench.answer(&with_status(0xC3, 0));
    let success = Outcome::Commands(vec![CommandStatus::Success]);
    assert_eq!(outcome(&mut bench, id), success);

    let (id, _) = ask(&mut bench, latch(Select::BeforeOperate));
    bench.answer(&with_status(0xC4, 7));
    assert_eq!(bench.sent(), []);
    let local = Outcome::Commands(vec![CommandStatus::Local]);
    assert_eq!(outcome(&mut bench, id), local);

    let (id, sent) = ask(&mut bench, latch(Select::Direct));
    assert_eq!(sent[1], 0x05);
    bench.answer(&with_status(0xC5, 12));
    let refused = Outcome::Commands(vec![CommandStatus::OutOfRange]);
    assert_eq!(outcome(&mut bench, id), refused);

    let (id, sent) = ask(&mut bench, latch(Select::DirectNoResponse));
    assert_eq!(sent[1], 0x06);
    assert_eq!(outcome(&mut bench, id), Outcome::Sent);
}

#[test]
fn nothing_is_asked_between_a_select_and_its_operate() {
    let polling = AssociationConfig {
        events_every: Some(10 * SECOND),
        ..quiet(1)
    };
    let success = Outcome::Commands(vec![CommandStatus::Success]);
    let events = [0x01, 60, 2, 6, 60, 3, 6, 60, 4, 6];
    let mut bench = Bench::new(&[polling]);
    bench.sent();
    bench.answer(&[0xC0, 0x81, 0, 0]);
    bench.sent();
    bench.answer(&[0xC1, 0x81, 0, 0]);
    let select = |bench: &mut Bench, control: u8| {
        let (id, sent) = ask(bench, latch(Select::Only));
        assert_eq!(sent, [&[control, 0x03][..], &LATCH].concat());
        bench.answer(&with_status(control, 0));
        assert_eq!(outcome(bench, id), success);
    };
    select(&mut bench, 0xC2);
    // Polls are due since long.
    bench.pass(11 * SECOND);
    assert_eq!(bench.sent(), []);
    let (id, sent) = ask(&mut bench, latch(Select::Selected));
    assert_eq!(sent, [&[0xC3, 0x04][..], &LATCH].concat());
    bench.answer(&with_status(0xC3, 0));
    assert_eq!(outcome(&mut bench, id), success);
    assert_eq!(bench.sent(), [(1, [&[0xC4][..], &events].concat())]);
    bench.answer(&[0xC4, 0x81, 0, 0]);
    // Operated only once.
    let id = bench.master.request(1, latch(Select::Selected), bench.now);
    assert_eq!(outcome(&mut bench, id), Outcome::NotSelected);
    // After a while it is given up, and the polls go on.
    select(&mut bench, 0xC5);
    bench.pass(13 * SECOND);
    assert_eq!(bench.sent(), [(1, [&[0xC6][..], &events].concat())]);
    bench.answer(&[0xC6, 0x81, 0, 0]);
    let id = bench.master.request(1, latch(Select::Selected), bench.now);
    assert_eq!(outcome(&mut bench, id), Outcome::NotSelected);
    // Given back: the next request ends it.
    select(&mut bench, 0xC7);
    let (id, sent) = ask(&mut bench, Request::Release);
    assert_eq!(sent, [&[0xC8][..], &events].concat());
    bench.answer(&[0xC8, 0x81, 0, 0]);
    assert_eq!(outcome(&mut bench, id), Outcome::Done(Iin::empty()));
    let id = bench.master.request(1, latch(Select::Selected), bench.now);
    assert_eq!(outcome(&mut bench, id), Outcome::NotSelected);
    // Gone with the connection.
    select(&mut bench, 0xC9);
    bench.master.disconnected(bench.now);
    bench.master.connected(bench.now);
    assert_eq!(bench.sent().len(), 1, "it begins again at once");
}

#[test]
fn an_answer_to_another_command_is_none() {
    let mut other = with_status(0xC2, 0);
    other[4 + 7] = 0x04; // latch off
    let too_short = &with_status(0xC2, 0)[..20];
    let empty = [0xC2, 0x81, 0, 0];
    for answer in [&other[..], too_short, &empty] {
        let mut bench = Bench::settled();
        let (id, _) = ask(&mut bench, latch(Select::BeforeOperate));
        bench.answer(answer);
        assert_eq!(bench.sent(), []);
        assert_eq!(outcome(&mut bench, id), Outcome::BadAnswer);
    }
    let mut bench = Bench::settled();
    let (id, _) = ask(&mut bench, latch(Select::BeforeOperate));
    bench.answer(&[0xC2, 0x81, 0, 0x04]);
    assert_eq!(
        outcome(&mut bench, id),
        Outcome::Refused(Iin::PARAMETER_ERROR)
    );
    let (id, _) = ask(&mut bench, latch(Select::Direct));
    bench.pass(5 * SECOND);
    assert_eq!(outcome(&mut bench, id), Outcome::NoAnswer);
}

#[test]
fn the_clock_is_set_by_a_recorded_time_or_a_measured_delay() {
    let mut bench = Bench::settled();
    let (id, sent) = ask(&mut bench, Request::SyncTime);
    assert_eq!(sent, [0xC2, 0x18]);
    // However long it takes: the time is that of the question.
    bench.pass(SECOND);
    bench.answer(&[0xC2, 0x81, 0, 0]);
    let write = [
        0xC3, 0x02, 50, 3, 0x07, 1, 0x7B, 0x68, 0xE5, 0xCF, 0x8B, 0x01,
    ];
    assert_eq!(bench.sent(), [(1, write.to_vec())]);
    bench.answer(&[0xC3, 0x81, 0, 0]);
    assert_eq!(outcome(&mut bench, id), Outcome::Done(Iin::empty()));

    let delay = AssociationConfig {
        time_sync: TimeSync::Delay,
        ..quiet(1)
    };
    let mut bench = Bench::new(&[delay]);
    bench.sent();
    bench.answer(&[0xC0, 0x81, 0x10, 0]);
    assert_eq!(bench.sent()[0].1, [0xC1, 0x17]);
    // 300 ms there and back, of which it took 100: half of 200 ms on the way, 123 + 300 + 100.
    bench.pass(SECOND * 3 / 10);
    bench.answer(&[0xC1, 0x81, 0x10, 0, 52, 2, 0x07, 1, 100, 0]);
    let write = [
        0xC2, 0x02, 50, 1, 0x07, 1, 0x0B, 0x6A, 0xE5, 0xCF, 0x8B, 0x01,
    ];
    assert_eq!(bench.sent(), [(1, write.to_vec())]);
}

#[test]
fn a_restart_says_when_it_is_over() {
    let mut bench = Bench::settled();
    for (object, seconds) in [
        ([52, 1, 0x07, 1, 65, 0], 65),
        ([52, 2, 0x07, 1, 0x20, 0x4E], 20),
    ] {
        let (id, sent) = ask(&mut bench, Request::Restart { cold: true });
        bench.answer(&[&[sent[0], 0x81, 0, 0][..], &object].concat());
        assert_eq!(
            outcome(&mut bench, id),
            Outcome::Restarting(seconds * SECOND)
        );
    }
    let (id, sent) = ask(&mut bench, Request::Restart { cold: false });
    bench.answer(&[sent[0], 0x81, 0, 0]);
    assert_eq!(outcome(&mut bench, id), Outcome::BadAnswer);
}

#[test]
fn what_cannot_be_sent_is_said_at_once() {
    let mut bench = Bench::settled();
    let now = bench.now;
    let id = bench.master.request(9, Request::SyncTime, now);
    assert_eq!(outcome(&mut bench, id), Outcome::NotSent);
    let analog = OutputCommand::Analog(AnalogCommand::F64(1.0));
    for list in [vec![], vec![(0, analog); 200]] {
        let id = bench
            .master
            .request(1, Request::Operate(Select::Direct, list), now);
        assert_eq!(outcome(&mut bench, id), Outcome::NotSent);
    }
    // One on its way, 64 waiting, no more.
    let ids: Vec<u64> = (0..66)
        .map(|_| bench.master.request(1, Request::SyncTime, now))
        .collect();
    assert_eq!(outcome(&mut bench, ids[65]), Outcome::NotSent);
    bench.master.disconnected(now);
    let gone = bench.events().into_iter().filter(|event| {
        matches!(
            event,
            MasterEvent::Done {
                outcome: Outcome::Disconnected,
                ..
            }
        )
    });
    assert_eq!(gone.count(), 65);
    let id = bench.master.request(1, Request::SyncTime, now);
    assert_eq!(outcome(&mut bench, id), Outcome::Disconnected);
}

#[test]
fn a_broadcast_goes_to_everyone_and_waits_for_nobody() {
    let mut bench = Bench::settled();
    let now = bench.now;
    let freeze = Request::Freeze {
        range: None,
        clear: false,
    };
    assert!(bench.master.broadcast(BROADCAST_CONFIRM, &freeze, now));
    assert!(
        bench
            .master
            .broadcast(BROADCAST_CONFIRM, &latch(Select::Direct), now)
    );
    let expected = [
        (BROADCAST_CONFIRM, vec![0xC2, 0x08, 20, 0, 6]),
        (BROADCAST_CONFIRM, [&[0xC3, 0x06][..], &LATCH].concat()),
    ];
    assert_eq!(bench.sent(), expected);
    let read = Request::Read(Vec::new());
    assert!(!bench.master.broadcast(BROADCAST_CONFIRM, &read, now));
    assert!(!bench.master.broadcast(1, &freeze, now));
    assert_eq!(bench.sent(), []);
}
