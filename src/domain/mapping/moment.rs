//! Dates and times: only what can be read in one way.

use jiff::civil;
use jiff::fmt::strtime;
use rust_decimal::Decimal;

use crate::domain::envelope::TimeFormat;
use crate::domain::mapping::DateFormat;
use crate::domain::record::CrmValue;
use crate::domain::time::Timestamp;
use crate::domain::value::Value;

use super::convert::{Invalid, Outcome, scalar};
use super::number;

/// What CRMs take; Salesforce's own range.
const YEARS: std::ops::RangeInclusive<i16> = 1700..=4000;

/// The most hours by which a time may be off UTC; no place is more than 14.
const MOST_HOURS: u8 = 18;

enum Moment {
    Day(civil::Date),
    At(jiff::Timestamp),
    /// A day and a time of day, somewhere.
    Local,
}

/// A day; of a moment its day in UTC.
pub(super) fn date(value: &Value, format: Option<&DateFormat>, times: TimeFormat) -> Outcome {
    let day = match read(value, format, times)? {
        Moment::Day(day) => day,
        Moment::At(moment) => utc_day(moment),
        Moment::Local => return Err(no_offset()),
    };
    in_range(day)?;
    Ok(Some((CrmValue::Date(day), None)))
}

/// A moment in whole seconds, as CRMs keep them.
pub(super) fn datetime(value: &Value, format: Option<&DateFormat>, times: TimeFormat) -> Outcome {
    let moment = match read(value, format, times)? {
        Moment::At(moment) => moment,
        Moment::Day(_) => {
            return Err(Invalid::new(
                "no_time_of_day",
                "is a day without a time; map it to a date field with type date",
            ));
        }
        Moment::Local => return Err(no_offset()),
    };
    in_range(utc_day(moment))?;
    let seconds = moment.as_microsecond().div_euclid(1_000_000);
    Ok(Some((CrmValue::DateTime(Timestamp::from_seconds(seconds)), None)))
}

fn utc_day(moment: jiff::Timestamp) -> civil::Date {
    jiff::tz::Offset::UTC.to_datetime(moment).date()
}

fn in_range(day: civil::Date) -> Result<(), Invalid> {
    if YEARS.contains(&day.year()) { Ok(()) } else { Err(out_of_range()) }
}

fn read(value: &Value, format: Option<&DateFormat>, times: TimeFormat) -> Result<Moment, Invalid> {
    match (format, value) {
        (Some(DateFormat::UnixSeconds), _) => unix(value, 1_000_000),
        (Some(DateFormat::UnixMilliseconds), _) => unix(value, 1_000),
        (Some(DateFormat::Rfc3339), _) => {
            let text = scalar(value)?.trim();
            let moment = text.parse().map_err(|_| {
                Invalid::new("not_a_date", "is no RFC 3339 time such as 2026-01-31T10:00:00Z, which `format` asks for")
            })?;
            as_told(text, moment)
        }
        (Some(DateFormat::Pattern(pattern)), _) => by_pattern(scalar(value)?.trim(), pattern),
        (None, Value::Number(_)) => match times {
            TimeFormat::UnixSeconds => unix(value, 1_000_000),
            TimeFormat::UnixMilliseconds => unix(value, 1_000),
            TimeFormat::Rfc3339 => Err(ambiguous()),
        },
        (None, _) => iso(scalar(value)?.trim()),
    }
}

fn unix(value: &Value, micros: i64) -> Result<Moment, Invalid> {
    let micros = number::read(value)?.checked_mul(Decimal::from(micros)).ok_or_else(out_of_range)?.floor();
    let micros = i64::try_from(micros).map_err(|_| out_of_range())?;
    jiff::Timestamp::from_microsecond(micros).map(Moment::At).map_err(|_| out_of_range())
}

fn by_pattern(text: &str, pattern: &str) -> Result<Moment, Invalid> {
    let refuse = || Invalid::new("not_a_date", "is not written as the row's `format` says, or no such day exists");
    let parsed = strtime::parse(pattern, text).map_err(|_| refuse())?;
    // A 60th second is read as the one before it, which was not sent.
    let sixties = |text: &str| text.matches("60").count();
    if parsed.second() == Some(59) && parsed.to_string(pattern).is_ok_and(|read| sixties(&read) < sixties(text)) {
        return Err(refuse());
    }
    if parsed.offset().is_some() || pattern.contains("%s") {
        return parsed.to_timestamp().map(Moment::At).map_err(|_| refuse());
    }
    let day = parsed.to_date().map_err(|_| refuse())?;
    Ok(if parsed.hour().is_some() { Moment::Local } else { Moment::Day(day) })
}

/// ISO 8601 as everybody reads it: `YYYY-MM-DD`, alone or with a time and an offset.
fn iso(text: &str) -> Result<Moment, Invalid> {
    let bytes = text.as_bytes();
    let shape = |from: usize, to: usize| bytes.get(from..to).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let starts_as_day = shape(0, 4) && shape(5, 7) && shape(8, 10) && bytes[4] == b'-' && bytes[7] == b'-';
    let Some(day) = text.get(..10).filter(|_| starts_as_day) else { return Err(ambiguous()) };
    let day: civil::Date = day.parse().map_err(|_| impossible())?;
    if bytes.len() == 10 {
        return Ok(Moment::Day(day));
    }
    if let Ok(moment) = text.parse() {
        return as_told(text, moment);
    }
    if text.parse::<civil::DateTime>().is_ok() { Ok(Moment::Local) } else { Err(ambiguous()) }
}

/// The moment that was read from a text, unless the text tells another one: a 60th second, which CRMs do not have and which
/// is read as the one before it, or an offset that no place has.
fn as_told(text: &str, moment: jiff::Timestamp) -> Result<Moment, Invalid> {
    let (told, _zone) = text.split_once('[').unwrap_or((text, ""));
    let clock = told.get(10..).unwrap_or_default();
    let (clock, offset) = clock.find(['+', '-']).map_or((clock, ""), |at| clock.split_at(at));
    let (clock, _fraction) = clock.split_once(['.', ',']).unwrap_or((clock, ""));
    let digits: String = clock.chars().filter(char::is_ascii_digit).collect();
    let is_leap = digits.len() == 6 && digits.ends_with("60");
    let hours: u8 = offset.get(1..3).and_then(|hours| hours.parse().ok()).unwrap_or(0);
    if is_leap || hours > MOST_HOURS { Err(impossible()) } else { Ok(Moment::At(moment)) }
}

fn impossible() -> Invalid {
    Invalid::new(
        "impossible_date",
        "names a day, a second or an offset from UTC that does not exist; correct it in the lead",
    )
}

fn ambiguous() -> Invalid {
    Invalid::new(
        "ambiguous_date",
        "can be read in several ways or in none; set `format` in the row to what the lead system writes, such as \"%d/%m/%Y\"",
    )
}

fn no_offset() -> Invalid {
    Invalid::new("no_offset", "has a time but no offset from UTC; send one such as 2026-01-31T10:00:00+01:00")
}

fn out_of_range() -> Invalid {
    Invalid::new(
        "date_out_of_range",
        "is outside the years 1700 to 4000; if it is milliseconds, set format = \"unix_ms\"",
    )
}
