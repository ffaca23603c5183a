//! Times as decimal numbers, exactly: a float has no room for both a date in
//! seconds and its nanoseconds.

use std::time::Duration;

const NANOSECONDS: u128 = 1_000_000_000;

/// A number of seconds, to the nearest nanosecond.
pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    duration(text, 9)
}

/// A number of milliseconds, to the nearest nanosecond.
pub(crate) fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    duration(text, 6)
}

/// `text` times 10^`scale` nanoseconds.
fn duration(text: &str, scale: i64) -> Result<Duration, &'static str> {
    const NO_NUMBER: &str = "is not a number";
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent).ok_or(NO_NUMBER)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return Err(NO_NUMBER);
    }
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    if zeros == whole.len() + fraction.len() {
        return Ok(Duration::ZERO);
    }
    if is_negative {
        return Err("is below 0");
    }
    // How many digits, from the first that is not zero, are of whole
    // nanoseconds.
    let wanted = i64::try_from(whole.len())
        .unwrap_or(i64::MAX)
        .saturating_sub(i64::try_from(zeros).unwrap_or(i64::MAX))
        .saturating_add(exponent)
        .saturating_add(scale);
    let mut digits = digits().skip(zeros).chain(std::iter::repeat(b'0'));
    const TOO_LARGE: &str = "is more than can be counted";
    let nanoseconds = match wanted {
        ..0 => 0,
        // 2^64 seconds are 29 digits of nanoseconds; 128 bits hold 38.
        0..30 => {
            let kept = digits.by_ref().take(wanted as usize);
            let nanoseconds = kept.fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'));
            nanoseconds + u128::from(digits.next() >= Some(b'5'))
        }
        30.. => return Err(TOO_LARGE),
    };
    let seconds = u64::try_from(nanoseconds / NANOSECONDS).map_err(|_| TOO_LARGE)?;
    Ok(Duration::new(seconds, (nanoseconds % NANOSECONDS) as u32))
}

/// One that is out of range is as good as infinite.
fn exponent_of(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => (-1, &text[1..]),
        [b'+', ..] => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(sign * digits.parse::<i64>().unwrap_or(i64::MAX))
}
