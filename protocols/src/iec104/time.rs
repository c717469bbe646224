//! CP56Time2a (IEC 60870-5-4 clause 6.8, IEC 60870-5-101 clause 7.2.6.18): seven octets, in UTC here,
//! as the standard recommends for networks that cross time zones.

use time::{Date, Month, OffsetDateTime, Time};

use crate::point::{TimeQuality, Timestamp};

/// Bit IV of the minutes' octet: the source's clock may be wrong.
const INVALID: u8 = 0x80;

/// The seven octets of a time. It is carried in milliseconds, and within 1970 to 2069 only; a time
/// outside is clamped and said to be invalid.
pub(super) fn encode(time: Timestamp) -> [u8; 7] {
    let range = 0..=3_155_759_999_999_999; // 2069-12-31T23:59:59.999999Z
    let known = range.contains(&time.unix_us) && time.quality != TimeQuality::Unsynchronised;
    let unix_us = time.unix_us.clamp(*range.start(), *range.end());
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_us) * 1000)
        .expect("within 1970 and 2069");
    let milliseconds = u16::from(at.second()) * 1000 + at.millisecond();
    let [low, high] = milliseconds.to_le_bytes();
    let minute = at.minute() | if known { 0 } else { INVALID };
    let day = at.day() | (at.weekday().number_from_monday() << 5);
    // 0 to 99.
    let year = at.year().rem_euclid(100) as u8;
    [low, high, minute, at.hour(), day, at.month().into(), year]
}

/// The time that seven octets say; none: there is no such time. The summer time bit does not
/// move it: the sender's clock is taken to run in UTC.
pub(super) fn decode(octets: [u8; 7]) -> Option<Timestamp> {
    let [low, high, minute, hour, day, month, year] = octets;
    let milliseconds = u16::from_le_bytes([low, high]);
    // 60 thousand milliseconds are in use for leap seconds, and are none here.
    let second = u8::try_from(milliseconds / 1000).ok()?;
    let year = i32::from(year & 0x7F);
    if year > 99 {
        return None;
    }
    let century = if year < 70 { 2000 } else { 1900 };
    let month = Month::try_from(month & 0x0F).ok()?;
    let date = Date::from_calendar_date(century + year, month, day & 0x1F).ok()?;
    let time = Time::from_hms_milli(hour & 0x1F, minute & 0x3F, second, milliseconds % 1000);
    let at = OffsetDateTime::new_utc(date, time.ok()?);
    let quality = match minute & INVALID {
        0 => TimeQuality::Source,
        _ => TimeQuality::Unsynchronised,
    };
    Some(Timestamp {
        unix_us: i64::try_from(at.unix_timestamp_nanos() / 1000).ok()?,
        quality,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(unix_us: i64) -> Timestamp {
        let quality = TimeQuality::Source;
        Timestamp { unix_us, quality }
    }

    #[test]
    fn a_time_is_said_as_the_standard_says() {
        // By `date -u -d @1700000000`: Tuesday 2023-11-14 22:13:20, and 123 ms.
        let octets = [0x9B, 0x4E, 13, 22, (2 << 5) | 14, 11, 23];
        assert_eq!(encode(source(1_700_000_000_123_456)), octets);
        assert_eq!(decode(octets), Some(source(1_700_000_000_123_000)));
        let doubtful = Timestamp {
            quality: TimeQuality::Unsynchronised,
            ..source(1_700_000_000_123_000)
        };
        assert_eq!(encode(doubtful)[2], 0x80 | 13);
        assert_eq!(decode(encode(doubtful)), Some(doubtful));
    }

    #[test]
    fn any_millisecond_comes_back() {
        let year = 365 * 86_400_000_i64;
        for k in 0..2000 {
            let unix_ms = (k * 7_919 * 86_399_991) % (99 * year);
            let time = source(unix_ms * 1000);
            assert_eq!(decode(encode(time)), Some(time), "{unix_ms}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        let good = encode(source(1_700_000_000_123_000));
        for (octet, value) in [
            (1, 0xEA),
            (2, 60),
            (3, 24),
            (4, 31),
            (4, 0),
            (5, 13),
            (5, 0),
            (6, 100),
        ] {
            let mut octets = good;
            octets[octet] = value;
            assert_eq!(decode(octets), None, "{octet}: {value}");
        }
        let before = Timestamp {
            unix_us: -1,
            quality: TimeQuality::Source,
        };
        assert_eq!(
            decode(encode(before)).unwrap().quality,
            TimeQuality::Unsynchronised
        );
    }
}
