use proptest::prelude::*;

use super::*;
use crate::dnp3::{Kind, app::VARIATIONS, app::find};

const NOON: Timestamp = Timestamp {
    unix_us: 1_700_000_000_123_000,
    quality: TimeQuality::Source,
};

fn object(group: u8, variation: u8, value: Value, flags: Flags) -> Vec<u8> {
    let mut out = Vec::new();
    let time = Some(NOON);
    let sample = Sample { value, flags, time };
    encode(
        &find(group, variation).unwrap(),
        &sample,
        1_700_000_000_000,
        &mut out,
    );
    out
}

#[test]
fn objects_are_annex_a_s_octet_by_octet() {
    let online = Flags::ONLINE;
    let time = [0x7B, 0x68, 0xE5, 0xCF, 0x8B, 0x01]; // 1700000000123 = 0x018BCFE5687B
    let with_time = |head: &[u8]| [head, &time].concat();
    let analog = Value::Analog;
    let cases: [((u8, u8), Value, Vec<u8>); 16] = [
        ((1, 2), Value::Binary(true), vec![0x81]),
        ((2, 2), Value::Binary(false), with_time(&[0x01])),
        ((2, 3), Value::Binary(true), vec![0x81, 123, 0]),
        ((3, 2), Value::DoublePoint(DoublePoint::Off), vec![0x41]),
        (
            (4, 2),
            Value::DoublePoint(DoublePoint::On),
            with_time(&[0x81]),
        ),
        ((20, 1), Value::Counter(0x1_0203_0405), vec![1, 5, 4, 3, 2]),
        ((20, 2), Value::Counter(0x1_0203), vec![1, 3, 2]),
        ((20, 6), Value::Counter(0x0203), vec![3, 2]),
        ((21, 5), Value::Counter(7), with_time(&[1, 7, 0, 0, 0])),
        ((30, 1), analog(-2.0), vec![1, 0xFE, 0xFF, 0xFF, 0xFF]),
        ((30, 2), analog(1234.5), vec![1, 0xD3, 0x04]),
        ((30, 3), analog(1e10), vec![0xFF, 0xFF, 0xFF, 0x7F]),
        ((30, 2), analog(-40_000.0), vec![0x21, 0x00, 0x80]),
        ((30, 5), analog(-2.5), vec![1, 0, 0, 0x20, 0xC0]),
        ((30, 2), analog(f64::NAN), vec![0, 0, 0]),
        (
            (32, 8),
            analog(-2.5),
            with_time(&[1, 0, 0, 0, 0, 0, 0, 0x04, 0xC0]),
        ),
    ];
    for ((group, variation), value, expected) in cases {
        let octets = object(group, variation, value, online);
        assert_eq!(octets, expected, "g{group}v{variation} {value:?}");
    }
    assert_eq!(
        object(30, 5, analog(1e300), online),
        [0x21, 0xFF, 0xFF, 0x7F, 0x7F]
    );
    assert_eq!(object(30, 6, analog(f64::NAN), online)[0], 0);
}

#[test]
fn relative_times_need_a_common_one() {
    let variation = find(2, 3).unwrap();
    let decode = |common| decode(&variation, &[0x81, 0x10, 0x27], TimeQuality::Source, common);
    assert_eq!(decode(None).unwrap().time, None);
    let later = decode(Some(NOON)).unwrap().time.unwrap();
    assert_eq!(later.unix_us - NOON.unix_us, 10_000_000);
}

#[test]
fn times_beyond_48_bits_or_before_1970_are_limited() {
    let at = |unix_us| Timestamp { unix_us, ..NOON };
    assert_eq!(time_to(at(-1)), 0);
    assert_eq!(time_to(at(i64::MAX)), MAX_TIME_MS);
    assert_eq!(time_octets(u64::MAX), [0xFF; 6]);
    assert_eq!(time_of(&[0xFF; 5]), None);
}

fn kind_of(group: u8) -> Option<Kind> {
    Kind::of_static(group).or(Kind::of_events(group))
}

/// A value that every variation of the kind holds exactly.
fn value_of(kind: Kind, raw: i16) -> Value {
    match kind.unmeasured() {
        Value::Binary(_) => Value::Binary(raw & 1 == 1),
        Value::DoublePoint(_) => Value::DoublePoint(double_of(raw as u8)),
        Value::Counter(_) => Value::Counter(raw.unsigned_abs().into()),
        Value::Analog(_) => Value::Analog(raw.into()),
    }
}

proptest! {
    #[test]
    fn every_variation_survives(raw: i16, flags in 0_u8..0x40, ms in 0_u64..1 << 48) {
        for variation in VARIATIONS {
            let Layout::Point { flags: has_flags, stamp, .. } = variation.layout else { continue };
            let kind = kind_of(variation.group).unwrap();
            let flags = if has_flags { Flags::from_bits_retain(flags) } else { Flags::ONLINE };
            let time = (stamp != Stamp::None).then(|| time_from(ms, TimeQuality::Source));
            let sample = Sample { value: value_of(kind, raw), flags, time };
            let mut out = Vec::new();
            encode(variation, &sample, ms, &mut out);
            prop_assert_eq!(Some(out.len()), variation.size());
            let common = Some(time_from(ms, TimeQuality::Source));
            let back = decode(variation, &out, TimeQuality::Source, common);
            prop_assert_eq!(back, Some(sample), "g{}v{}", variation.group, variation.variation);
        }
    }

    #[test]
    fn any_octets_are_taken(octets in prop::collection::vec(any::<u8>(), 0..20)) {
        for variation in VARIATIONS {
            let decoded = decode(variation, &octets, TimeQuality::Source, Some(NOON));
            let point = matches!(variation.layout, Layout::Point { .. });
            let whole = variation.size() == Some(octets.len());
            prop_assert_eq!(decoded.is_some(), point && whole);
        }
    }
}
