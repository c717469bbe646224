use super::*;
use crate::{
    dnp3::{Flags, app::time_from},
    point::Value,
};

fn event(index: u16, kind: Kind, class: Class, ms: u64) -> Event {
    let value = match kind {
        Kind::Binary => Value::Binary(true),
        _ => Value::Analog(f64::from(index)),
    };
    let time = Some(time_from(ms, TimeQuality::Source));
    let flags = Flags::ONLINE;
    Event {
        kind,
        index,
        class,
        sample: Sample { value, flags, time },
        variation: 1,
    }
}

fn written(buffer: &mut EventBuffer, limit: usize) -> Vec<u8> {
    let mut writer = Writer::new(limit);
    buffer.write(&mut writer);
    writer.finish()
}

#[test]
fn events_are_sent_in_order_once_and_go_when_confirmed() {
    let mut buffer = EventBuffer::new(10);
    buffer.push(event(1, Kind::Binary, Class::One, 0));
    buffer.push(event(2, Kind::Analog, Class::Two, 0));
    buffer.push(event(3, Kind::Binary, Class::One, 0));
    assert_eq!(buffer.iin(), Iin::CLASS_1 | Iin::CLASS_2);
    buffer.select(Wanted::Class(Class::One), usize::MAX);
    buffer.select(Wanted::Class(Class::Two), usize::MAX);
    let expected = [
        &[2, 1, 0x28, 1, 0, 1, 0, 0x81][..],
        &[32, 1, 0x28, 1, 0, 2, 0, 1, 2, 0, 0, 0],
        &[2, 1, 0x28, 1, 0, 3, 0, 0x81],
    ]
    .concat();
    assert_eq!(written(&mut buffer, 2048), expected);
    assert_eq!(buffer.iin(), Iin::empty());
    assert!(written(&mut buffer, 2048).is_empty());
    // Not confirmed: they are all there again.
    buffer.release();
    assert_eq!(buffer.iin(), Iin::CLASS_1 | Iin::CLASS_2);
    buffer.select(Wanted::Class(Class::One), usize::MAX);
    assert_eq!(written(&mut buffer, 2048).len(), 5 + 2 * 3);
    buffer.confirm();
    assert_eq!(buffer.iin(), Iin::CLASS_2);
    assert_eq!(buffer.events.len(), 1);
}

#[test]
fn what_does_not_fit_stays_selected_for_the_next_fragment() {
    let mut buffer = EventBuffer::new(10);
    for index in 0..3 {
        buffer.push(event(index, Kind::Binary, Class::One, 0));
    }
    buffer.select(Wanted::Kind(Kind::Binary, Some(2)), 2);
    assert_eq!(written(&mut buffer, 5 + 2 + 7).len(), 5 + 2 + 7);
    assert!(buffer.has_selected());
    buffer.confirm();
    assert_eq!(written(&mut buffer, 2048)[5], 1);
    assert!(!buffer.has_selected());
    buffer.confirm();
    assert!(buffer.has(Class::One));
    assert_eq!(buffer.events.len(), 1);
}

#[test]
fn too_many_of_one_kind_cost_its_oldest_and_are_indicated_until_there_is_room() {
    let mut buffer = EventBuffer::new(2);
    buffer.push(event(9, Kind::Analog, Class::Two, 0));
    for index in 0..4 {
        buffer.push(event(index, Kind::Binary, Class::One, 0));
    }
    let overflow = Iin::EVENT_BUFFER_OVERFLOW;
    assert_eq!(buffer.iin(), Iin::CLASS_1 | Iin::CLASS_2 | overflow);
    buffer.select(Wanted::Class(Class::Two), usize::MAX);
    written(&mut buffer, 2048);
    buffer.confirm();
    assert_eq!(buffer.iin(), Iin::CLASS_1 | overflow);
    buffer.select(Wanted::Class(Class::One), usize::MAX);
    let octets = written(&mut buffer, 2048);
    assert_eq!(octets, [2, 1, 0x28, 2, 0, 2, 0, 0x81, 3, 0, 0x81]);
    buffer.confirm();
    assert_eq!(buffer.iin(), Iin::empty());
}

#[test]
fn an_event_lost_while_it_is_sent_leaves_the_counts_right() {
    let mut buffer = EventBuffer::new(1);
    buffer.push(event(0, Kind::Binary, Class::One, 0));
    buffer.select(Wanted::Class(Class::One), usize::MAX);
    buffer.push(event(1, Kind::Binary, Class::One, 0));
    assert!(!buffer.has_selected());
    buffer.select(Wanted::Class(Class::One), usize::MAX);
    written(&mut buffer, 2048);
    buffer.push(event(2, Kind::Binary, Class::One, 0));
    buffer.confirm();
    assert!(buffer.has(Class::One));
    assert_eq!((buffer.events.len(), buffer.unwritten), (1, [1, 0, 0]));
}

#[test]
fn relative_times_follow_a_common_time_that_reaches_them() {
    let mut buffer = EventBuffer::new(10);
    for (index, ms) in [
        (0, 1_000_000),
        (1, 1_065_535),
        (2, 1_065_536),
        (3, 1_000_000),
    ] {
        buffer.push(event(index, Kind::Binary, Class::One, ms));
    }
    buffer.select(Wanted::Kind(Kind::Binary, Some(3)), usize::MAX);
    let expected = [
        &[51, 1, 0x07, 1, 0x40, 0x42, 0x0F, 0, 0, 0][..], // 1 000 000
        &[2, 3, 0x28, 2, 0, 0, 0, 0x81, 0, 0, 1, 0, 0x81, 0xFF, 0xFF],
        &[51, 1, 0x07, 1, 0x40, 0x42, 0x10, 0, 0, 0], // 1 065 536
        &[2, 3, 0x28, 1, 0, 2, 0, 0x81, 0, 0],
        &[51, 1, 0x07, 1, 0x40, 0x42, 0x0F, 0, 0, 0],
        &[2, 3, 0x28, 1, 0, 3, 0, 0x81, 0, 0],
    ];
    assert_eq!(written(&mut buffer, 2048), expected.concat());
}
