//! Moments: UTC, microseconds since 1970, as integers everywhere inside; RFC 3339 at the edge.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Microseconds in a second.
pub const US: i64 = 1_000_000;

/// Now.
#[must_use]
pub fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A moment as RFC 3339 with milliseconds; whole seconds without.
#[must_use]
pub fn rfc3339(unix_us: i64) -> String {
    let ms = unix_us.div_euclid(1000);
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|t| t.format(&Rfc3339).ok())
        // Outside the years 1 to 9999: no clock says so; the bare number is still true.
        .unwrap_or_else(|| unix_us.to_string())
}

/// A moment given in seconds since 1970 as RFC 3339.
#[must_use]
pub fn rfc3339_s(unix_s: i64) -> String {
    rfc3339(unix_s.saturating_mul(US))
}

/// Microseconds since 1970 of an RFC 3339 text, what is finer cut off; `None` if it is none.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1000)).ok()
}

/// Whole seconds since 1970 of an RFC 3339 text; `None` if it is none or has a fraction.
#[must_use]
pub fn parse_rfc3339_s(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    (time.nanosecond() == 0).then(|| time.unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(rfc3339(1_500_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339_s(1_800_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(
            parse_rfc3339("1970-01-01T00:00:01.5000019Z"),
            Some(1_500_001)
        );
        assert_eq!(parse_rfc3339_s("2027-01-15T08:00:00Z"), Some(1_800_000_000));
        assert_eq!(
            parse_rfc3339_s("2027-01-15T10:00:00+02:00"),
            Some(1_800_000_000)
        );
        assert_eq!(parse_rfc3339_s("2027-01-15T08:00:00.5Z"), None);
        assert_eq!(parse_rfc3339_s("noon"), None);
    }
}
