use super::*;
use crate::dnp3::link::FrameParser;

const SECOND: Duration = Duration::from_secs(1);

fn config(confirmed: bool) -> LinkConfig {
    LinkConfig {
        confirmed,
        ..LinkConfig::new(1, 10)
    }
}

/// What the station sends, as frames.
fn sent(station: &mut Station) -> Vec<Frame> {
    let mut parser = FrameParser::default();
    while let Some(bytes) = station.poll_transmit() {
        parser.push(&bytes);
    }
    std::iter::from_fn(|| parser.next()).collect()
}

fn functions(station: &mut Station) -> Vec<Function> {
    sent(station).iter().map(|frame| frame.function).collect()
}

fn from_other(function: Function, data: &[u8]) -> Frame {
    Frame {
        from_master: true,
        function,
        destination: 1,
        source: 10,
        data: data.to_vec(),
    }
}

fn receive(station: &mut Station, function: Function, data: &[u8]) -> Option<Vec<u8>> {
    station.handle_frame(from_other(function, data), false, Duration::ZERO)
}

const ACK: Function = Function::Ack { busy: false };
const NACK: Function = Function::Nack { busy: false };

#[test]
fn a_repeated_confirmed_frame_is_acknowledged_and_not_delivered_again() {
    let mut station = Station::new(config(false), false, Duration::ZERO);
    let data = |fcb| Function::ConfirmedData { fcb };
    // Not reset yet: refused.
    assert_eq!(receive(&mut station, data(true), &[1]), None);
    assert_eq!(functions(&mut station), [NACK]);
    assert_eq!(receive(&mut station, Function::ResetLink, &[]), None);
    assert_eq!(functions(&mut station), [ACK]);
    assert_eq!(receive(&mut station, data(true), &[1]), Some(vec![1]));
    assert_eq!(receive(&mut station, data(true), &[1]), None);
    assert_eq!(receive(&mut station, data(false), &[2]), Some(vec![2]));
    assert_eq!(functions(&mut station), [ACK, ACK, ACK]);
}

#[test]
fn test_and_status_are_answered() {
    let mut station = Station::new(config(false), false, Duration::ZERO);
    receive(&mut station, Function::TestLink { fcb: true }, &[]);
    assert_eq!(functions(&mut station), []);
    receive(&mut station, Function::ResetLink, &[]);
    receive(&mut station, Function::TestLink { fcb: true }, &[]);
    receive(&mut station, Function::RequestStatus, &[]);
    let status = Function::Status { busy: false };
    assert_eq!(functions(&mut station), [ACK, ACK, status]);
}

#[test]
fn a_broadcast_is_heard_and_never_answered() {
    let mut station = Station::new(config(false), false, Duration::ZERO);
    let broadcast = from_other(Function::UnconfirmedData, &[9]);
    assert_eq!(
        station.handle_frame(broadcast, true, Duration::ZERO),
        Some(vec![9])
    );
    for function in [Function::RequestStatus, Function::ResetLink] {
        let frame = from_other(function, &[]);
        assert_eq!(station.handle_frame(frame, true, Duration::ZERO), None);
    }
    assert_eq!(functions(&mut station), []);
}

#[test]
fn confirmed_transfer_resets_first_and_alternates_its_bit() {
    let mut station = Station::new(config(true), false, Duration::ZERO);
    station.send(vec![vec![1], vec![2]], Duration::ZERO);
    assert_eq!(functions(&mut station), [Function::ResetLink]);
    receive(&mut station, ACK, &[]);
    let first = sent(&mut station);
    assert_eq!(first[0].function, Function::ConfirmedData { fcb: true });
    assert_eq!((first.len(), &first[0].data[..]), (1, &[1][..]));
    receive(&mut station, ACK, &[]);
    let second = sent(&mut station);
    assert_eq!(second[0].function, Function::ConfirmedData { fcb: false });
    assert_eq!(second[0].data, [2]);
    receive(&mut station, ACK, &[]);
    station.send(vec![vec![3]], Duration::ZERO);
    let data = Function::ConfirmedData { fcb: true };
    assert_eq!(functions(&mut station), [data]);
    // The other has restarted meanwhile.
    receive(&mut station, NACK, &[]);
    assert_eq!(functions(&mut station), [Function::ResetLink]);
    receive(&mut station, ACK, &[]);
    assert_eq!(sent(&mut station)[0].data, [3]);
}

#[test]
fn an_unanswered_transfer_is_repeated_then_given_up() {
    let mut station = Station::new(config(true), false, Duration::ZERO);
    station.send(vec![vec![1]], Duration::ZERO);
    let mut now = Duration::ZERO;
    for _ in 0..=3 {
        assert_eq!(functions(&mut station), [Function::ResetLink]);
        assert!(!station.take_failed());
        assert_eq!(station.poll_timeout(), Some(now + SECOND));
        station.handle_timeout(now + SECOND / 2);
        assert_eq!(functions(&mut station), []);
        now += SECOND;
        station.handle_timeout(now);
    }
    assert_eq!(functions(&mut station), []);
    assert!(station.take_failed());
    assert!(station.queue.is_empty());
}

#[test]
fn silence_is_asked_about_and_ends_the_link() {
    let mut station = Station::new(config(false), false, Duration::ZERO);
    let minute = 60 * SECOND;
    assert_eq!(station.poll_timeout(), Some(minute));
    station.handle_timeout(minute);
    assert_eq!(functions(&mut station), [Function::RequestStatus]);
    let status = from_other(Function::Status { busy: false }, &[]);
    station.handle_frame(status, false, minute);
    assert_eq!(station.poll_timeout(), Some(2 * minute));
    let mut now = 2 * minute;
    for _ in 0..=4 {
        station.handle_timeout(now);
        now += SECOND;
    }
    assert_eq!(functions(&mut station), [Function::RequestStatus; 4]);
    assert!(station.take_failed());
}
