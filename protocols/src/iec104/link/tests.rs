use super::*;

const START: [u8; 6] = [0x68, 4, 7, 0, 0, 0];
const SECOND: Duration = Duration::from_secs(1);

/// A controlled station's link, started at 0.
fn started() -> Link {
    let mut link = Link::new(LinkConfig::default(), true, Duration::ZERO);
    link.push(&START, Duration::ZERO);
    assert_eq!(link.next(Duration::ZERO), Ok(Some(vec![Incoming::Start])));
    link.confirm_start();
    assert_eq!(link.poll_transmit(), Some(vec![0x68, 4, 0x0B, 0, 0, 0]));
    link
}

fn frame(send: u16, receive: u16) -> Vec<u8> {
    let asdu = vec![9];
    Apdu::I {
        send,
        receive,
        asdu,
    }
    .encode()
}

fn take(link: &mut Link, bytes: &[u8], now: Duration) -> Result<Vec<Incoming>, LinkError> {
    link.push(bytes, now);
    let mut all = Vec::new();
    while let Some(incoming) = link.next(now)? {
        all.extend(incoming);
    }
    Ok(all)
}

#[test]
fn w_frames_are_acknowledged_at_once_fewer_after_t2() {
    let mut link = started();
    for send in 0..7 {
        take(&mut link, &frame(send, 0), SECOND).unwrap();
        assert_eq!(link.poll_transmit(), None, "{send}");
    }
    take(&mut link, &frame(7, 0), SECOND).unwrap();
    assert_eq!(link.poll_transmit(), Some(vec![0x68, 4, 1, 0, 16, 0]));
    take(&mut link, &frame(8, 0), 2 * SECOND).unwrap();
    assert_eq!(link.poll_timeout(), 12 * SECOND);
    link.handle_timeout(12 * SECOND).unwrap();
    assert_eq!(link.poll_transmit(), Some(vec![0x68, 4, 1, 0, 18, 0]));
    // What we send acknowledges too.
    take(&mut link, &frame(9, 0), 13 * SECOND).unwrap();
    link.send(vec![7], 13 * SECOND);
    assert_eq!(link.poll_transmit(), Some(vec![0x68, 5, 0, 0, 20, 0, 7]));
    link.handle_timeout(23 * SECOND).unwrap();
    assert_eq!(link.poll_transmit(), None);
}

#[test]
fn no_more_than_k_are_on_their_way_and_t1_watches_them() {
    let mut link = started();
    for _ in 0..12 {
        assert!(link.can_send());
        link.send(vec![7], SECOND);
    }
    assert!(!link.can_send());
    let acknowledged = take(&mut link, &[0x68, 4, 1, 0, 10, 0], 2 * SECOND).unwrap();
    assert_eq!(acknowledged, [Incoming::Acknowledged(5)]);
    assert!(link.can_send());
    assert_eq!(link.poll_timeout(), 16 * SECOND);
    assert_eq!(link.handle_timeout(15 * SECOND), Ok(()));
    assert_eq!(link.handle_timeout(16 * SECOND), Err(LinkError::Timeout));
}

#[test]
fn silence_is_tested_after_t3_and_ends_after_t1() {
    let mut link = started();
    assert_eq!(link.poll_timeout(), 20 * SECOND);
    link.handle_timeout(20 * SECOND).unwrap();
    assert_eq!(link.poll_transmit(), Some(vec![0x68, 4, 0x43, 0, 0, 0]));
    let mut answered = link.clone();
    take(&mut answered, &[0x68, 4, 0x83, 0, 0, 0], 30 * SECOND).unwrap();
    assert_eq!(answered.poll_timeout(), 50 * SECOND);
    assert_eq!(link.poll_timeout(), 35 * SECOND);
    assert_eq!(link.handle_timeout(35 * SECOND), Err(LinkError::Timeout));
    // And the other's test is answered, started or not.
    let mut idle = Link::new(LinkConfig::default(), true, Duration::ZERO);
    take(&mut idle, &[0x68, 4, 0x43, 0, 0, 0], SECOND).unwrap();
    assert_eq!(idle.poll_transmit(), Some(vec![0x68, 4, 0x83, 0, 0, 0]));
}

#[test]
fn numbers_wrap_and_wrong_ones_end_the_connection() {
    let mut link = started();
    for number in 0..SEQUENCES {
        link.send(vec![7], SECOND);
        let incoming = take(&mut link, &frame(number, (number + 1) % SEQUENCES), SECOND).unwrap();
        assert_eq!(incoming.len(), 2);
        while link.poll_transmit().is_some() {}
    }
    let found = take(&mut link.clone(), &frame(1, 0), SECOND);
    assert_eq!(
        found,
        Err(LinkError::Sequence {
            got: 1,
            expected: 0
        })
    );
    let found = take(&mut link.clone(), &frame(0, 1), SECOND);
    assert_eq!(found, Err(LinkError::Acknowledged(1)));
    let found = take(&mut link, &frame(0, SEQUENCES - 1), SECOND);
    assert_eq!(found, Err(LinkError::Acknowledged(SEQUENCES - 1)));
}

#[test]
fn a_stop_waits_for_what_is_on_its_way() {
    let mut link = started();
    link.send(vec![7], SECOND);
    link.poll_transmit();
    take(&mut link, &frame(0, 0), SECOND).unwrap();
    let stop = take(&mut link, &[0x68, 4, 0x13, 0, 0, 0], SECOND).unwrap();
    assert_eq!(stop, [Incoming::Stop]);
    // What was received is acknowledged; the confirmation has to wait.
    assert_eq!(link.poll_transmit(), Some(vec![0x68, 4, 1, 0, 2, 0]));
    assert_eq!(link.poll_transmit(), None);
    assert!(!link.can_send());
    take(&mut link, &[0x68, 4, 1, 0, 2, 0], SECOND).unwrap();
    assert_eq!(link.poll_transmit(), Some(vec![0x68, 4, 0x23, 0, 0, 0]));
    assert_eq!(take(&mut link, &frame(1, 1), SECOND), Err(LinkError::State));
}

#[test]
fn what_is_not_due_ends_the_connection() {
    let fresh = || Link::new(LinkConfig::default(), true, Duration::ZERO);
    assert_eq!(
        take(&mut fresh(), &frame(0, 0), SECOND),
        Err(LinkError::State)
    );
    let confirmed = [0x68, 4, 0x0B, 0, 0, 0];
    assert_eq!(
        take(&mut fresh(), &confirmed, SECOND),
        Err(LinkError::State)
    );
    let mut master = Link::new(LinkConfig::default(), false, Duration::ZERO);
    assert_eq!(take(&mut master, &START, SECOND), Err(LinkError::State));
}

#[test]
fn nonsense_windows_are_named() {
    assert!(LinkConfig::default().problems().is_empty());
    let wrong = LinkConfig {
        k: 0,
        t2: Duration::from_secs(15),
        ..LinkConfig::default()
    };
    assert_eq!(
        wrong.problems(),
        ["k is not 1 to 32767", "t2 is not within 0 and t1"]
    );
}
