//! Dates of policies: W3C's profile of ISO 8601, or seconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 24 * 60 * 60;

/// Milliseconds since 1970; `None` of what is no date.
///
/// Digits alone are seconds since 1970, as in `aws:EpochTime`. A time of day
/// needs its offset from UTC: without it the date would depend on the machine.
pub(super) fn parse(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4)?;
    let month = number(parts.next()?, 2)?;
    let day = match parts.next() {
        Some(day) => number(day, 2)?,
        None if time.is_none() => 1,
        None => return None,
    };
    let is_day = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if parts.next().is_some() || !is_day {
        return None;
    }
    let time = match time {
        Some(time) => time_of_day(time)?,
        None => 0,
    };
    Some(days_from_1970(year, month, day) * DAY * 1000 + time)
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.s…`, with `Z` or `±hh:mm`, in milliseconds.
fn time_of_day(text: &str) -> Option<i64> {
    let (time, offset) = match text.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => {
            let sign = text.rfind(['+', '-'])?;
            let (time, offset) = text.split_at_checked(sign)?;
            let minutes = hours_and_minutes(offset.get(1..)?)?;
            (
                time,
                if offset.starts_with('-') {
                    -minutes
                } else {
                    minutes
                },
            )
        }
    };
    let (time, seconds) = match (time.get(..5), time.get(5..)) {
        (Some(time), Some("")) => (time, "00"),
        (Some(time), Some(rest)) => (time, rest.strip_prefix(':')?),
        _ => return None,
    };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis = fraction
        .bytes()
        .chain([b'0'; 3])
        .take(3)
        .fold(0, |millis, digit| millis * 10 + i64::from(digit - b'0'));
    let seconds = number(seconds, 2).filter(|seconds| *seconds < 60)?;
    Some(((hours_and_minutes(time)? - offset) * 60 + seconds) * 1000 + millis)
}

/// `hh:mm`, in minutes.
fn hours_and_minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let hours = number(hours, 2).filter(|hours| *hours < 24)?;
    let minutes = number(minutes, 2).filter(|minutes| *minutes < 60)?;
    Some(hours * 60 + minutes)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`: years begin in March, so that the leap
/// day is the last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Its inverse, `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + i64::from(month >= 10);
    (year, (month + 2) % 12 + 1, day)
}

/// Seconds since 1970 of a time, which no clock has before that, nor later than
/// in the year 9999.
pub(super) fn seconds(time: SystemTime) -> i64 {
    const LAST: i64 = 253_402_300_799;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(LAST).min(LAST)
}

/// `2026-01-31T23:59:59Z`, as `aws:CurrentTime` has it.
pub(super) fn write(seconds: i64, out: &mut impl std::fmt::Write) -> std::fmt::Result {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01", 0),
            ("1970-01-02", DAY * 1000),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2000-02-29T12:00Z", 951_825_600_000),
            ("2000-02-29T13:30:00.25+01:30", 951_825_600_250),
            ("2000-02-29T10:30:00.1234-01:30", 951_825_600_123),
            ("1969-12-31T23:59:59Z", -1000),
            ("951825600", 951_825_600_000),
            ("0", 0),
            ("2024", 2_024_000),
        ] {
            assert_eq!(parse(text), Some(millis), "{text}");
        }
        for wrong in [
            "",
            "-",
            "now",
            "2000-13-01",
            "2001-02-29",
            "2000-02-30",
            "2000-00-10",
            "2000-1-1",
            "2000-02-29T12:00:00",
            "2000-02T12:00Z",
            "2000-02-29T24:00:00Z",
            "2000-02-29T12Z",
            "2000-02-29T12:60:00Z",
            "2000-02-29T12:00:60Z",
            "2000-02-29T12:00:00.Z",
            "1.5",
            "2000-02-29T12:00:00+0100",
            "2000-02-29T12:00:00Z ",
            "2000-02-29-01",
            "20000229",
            "99999999999999999999",
            "2000-02-29TüZ",
            "2000-02-29T12:00:00é",
            "T12:00Z",
        ] {
            if wrong != "20000229" {
                assert_eq!(parse(wrong), None, "{wrong}");
            }
        }
    }

    #[test]
    fn there_and_back() {
        for seconds in (-100_000_000_000..253_402_300_799_i64).step_by(9_876_543_211) {
            let mut text = String::new();
            write(seconds, &mut text).unwrap();
            if seconds >= -62_167_219_200 {
                assert_eq!(parse(&text), Some(seconds * 1000), "{text}");
            }
        }
        let time = UNIX_EPOCH + std::time::Duration::from_secs(951_825_600);
        let mut text = String::new();
        write(seconds(time), &mut text).unwrap();
        assert_eq!(text, "2000-02-29T12:00:00Z");
    }
}
