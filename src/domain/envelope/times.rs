//! How senders write the moments that they order events by.

use jiff::fmt::strtime;

use super::{ReadRules, TimeFormat};
use crate::domain::time::Timestamp;

/// Seconds from here on are meant as milliseconds: as seconds they lie beyond the year 5000, as milliseconds after 1973.
const MILLISECONDS_FROM: i64 = 100_000_000_000 * 1_000_000;
/// Beyond this they are no milliseconds of our time either.
const MILLISECONDS_TO: i64 = 9_000_000_000_000 * 1_000_000;

/// Reads a moment; one beyond every range becomes the last that can be told.
///
/// Where numbers are seconds, milliseconds and full RFC 3339 are read as well, since neither can be taken for the other:
/// events of a sender that changed its spelling are still put in order by their own times.
pub fn parse_time(text: &str, format: TimeFormat) -> Option<Timestamp> {
    let text = text.trim();
    match format {
        TimeFormat::UnixSeconds => match scaled(text, 6) {
            Some(micros) if (MILLISECONDS_FROM..MILLISECONDS_TO).contains(&micros) => {
                scaled(text, 3).map(Timestamp::from_micros)
            }
            Some(micros) => Some(Timestamp::from_micros(micros)),
            None => Timestamp::parse_rfc3339(text),
        },
        TimeFormat::UnixMilliseconds => scaled(text, 3).map(Timestamp::from_micros),
        TimeFormat::Rfc3339 => Timestamp::parse_rfc3339(text),
    }
}

impl ReadRules {
    /// Reads a moment as this source writes them.
    pub(super) fn time(&self, text: &str) -> Option<Timestamp> {
        match &self.time_pattern {
            None => parse_time(text, self.times),
            Some(pattern) => by_pattern(text.trim(), pattern),
        }
    }
}

/// Whether a strftime pattern tells a whole moment: a day and a time of day.
pub fn is_time_pattern(pattern: &str) -> bool {
    let moment = jiff::Timestamp::from_microsecond(86_399_000_000).unwrap_or_default();
    let shown = strtime::format(pattern, moment);
    shown.is_ok_and(|shown| by_pattern(&shown, pattern).is_some())
}

/// Without an offset in it, the time is UTC.
fn by_pattern(text: &str, pattern: &str) -> Option<Timestamp> {
    let parsed = strtime::parse(pattern, text).ok()?;
    let moment = match parsed.offset().is_some() || pattern.contains("%s") {
        true => parsed.to_timestamp().ok()?,
        false => jiff::tz::Offset::UTC.to_timestamp(parsed.to_datetime().ok()?).ok()?,
    };
    Some(Timestamp::from_micros(moment.as_microsecond()))
}

/// A decimal number times a power of ten. Exact and cut off behind it, but for numbers with an exponent.
fn scaled(text: &str, places: u8) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if digits.contains(['e', 'E']) {
        let number: f64 = text.parse().ok()?;
        return Some((number * 10f64.powi(places.into())) as i64);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.bytes().chain(std::iter::repeat(b'0')).take(places.into());
    let number = whole
        .bytes()
        .chain(fraction)
        .fold(0i64, |number, digit| number.saturating_mul(10).saturating_add((digit - b'0').into()));
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_and_a_time_in_two_fields_are_read_by_their_pattern() {
        let check = |text: &str, pattern: &str, seconds: Option<i64>| {
            let read = by_pattern(text, pattern).map(Timestamp::as_seconds);
            assert_eq!(read, seconds, "{text} {pattern}");
        };
        check("2026-01-01 10:57 PM UTC", "%Y-%m-%d %I:%M %p UTC", Some(1_767_308_220));
        check("2026-01-01 22:57:00 +0100", "%Y-%m-%d %H:%M:%S %z", Some(1_767_304_620));
        check("2026-01-01", "%Y-%m-%d %I:%M %p UTC", None);
        check("2026-02-30 10:57 PM UTC", "%Y-%m-%d %I:%M %p UTC", None);
        assert!(is_time_pattern("%Y-%m-%d %I:%M %p UTC") && is_time_pattern("%d.%m.%Y %H:%M") && is_time_pattern("%s"));
        assert!(!is_time_pattern("%H:%M") && !is_time_pattern("today") && !is_time_pattern("%Q"));
    }

    #[test]
    fn moments_are_read_exactly_and_never_overflow() {
        use TimeFormat::{Rfc3339, UnixMilliseconds, UnixSeconds};
        let check = |text: &str, format, micros: Option<i64>| {
            assert_eq!(parse_time(text, format).map(Timestamp::as_micros), micros, "{text} {format:?}");
        };
        check("1767225600", UnixSeconds, Some(1_767_225_600_000_000));
        check("1767225600.1234567", UnixSeconds, Some(1_767_225_600_123_456));
        check("1767225600123", UnixMilliseconds, Some(1_767_225_600_123_000));
        check("1.7672256e9", UnixSeconds, Some(1_767_225_600_000_000));
        check("-1.5", UnixSeconds, Some(-1_500_000));
        check(" 0 ", UnixSeconds, Some(0));
        check("1767225600123", UnixSeconds, Some(1_767_225_600_123_000));
        check("99999999999", UnixSeconds, Some(99_999_999_999_000_000));
        check("2026-01-01T01:00:00.5+01:00", UnixSeconds, Some(1_767_225_600_500_000));
        check("9223372036854775807", UnixSeconds, Some(i64::MAX));
        check(&"9".repeat(400), UnixMilliseconds, Some(i64::MAX));
        check("-1e400", UnixSeconds, Some(i64::MIN));
        check("2026-01-01T01:00:00.5+01:00", Rfc3339, Some(1_767_225_600_500_000));
        for text in ["", "-", "inf", "nan", "+1", "1.2.3", "0x10", "1e", "true", "2026-01-01"] {
            check(text, UnixSeconds, None);
        }
        check("1767225600", Rfc3339, None);
    }
}
