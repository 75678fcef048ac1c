//! Lengths of time as people type them: a number and a unit.

use std::time::Duration;

/// A hundred years: long enough for everything, and far from overflowing milliseconds.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// Reads `500ms`, `300s`, `30m`, `24h` or `7d`.
///
/// # Errors
/// A sentence that shows how to write it.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => Some(Duration::from_millis(1)),
        "s" => Some(Duration::from_secs(1)),
        "m" => Some(Duration::from_secs(60)),
        "h" => Some(Duration::from_secs(3600)),
        "d" => Some(Duration::from_secs(24 * 3600)),
        _ => None,
    };
    let length = number.parse::<u32>().ok().zip(unit).and_then(|(number, unit)| unit.checked_mul(number));
    match length {
        Some(length) if length.is_zero() => Err("a duration must be longer than nothing".to_owned()),
        Some(length) if length > LONGEST => Err("a duration may be at most 36600d".to_owned()),
        Some(length) => Ok(length),
        None => Err("a duration is a whole number and a unit: 500ms, 300s, 30m, 24h or 7d".to_owned()),
    }
}

/// Writes a length with its two largest units, rounded down: `1d 2h`, `3m 20s`.
pub(crate) fn show_duration(length: Duration) -> String {
    let secs = length.as_secs();
    let (days, hours, minutes, seconds) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60);
    let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) if secs == 0 => format!("{}ms", length.as_millis()),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => pair(minutes, "m", seconds, "s"),
        (0, ..) => pair(hours, "h", minutes, "m"),
        _ => pair(days, "d", hours, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        let read = |text| parse_duration(text).map(|length| length.as_millis());
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read("300s"), Ok(300_000));
        assert_eq!(read("30m"), Ok(1_800_000));
        assert_eq!(read("24h"), Ok(86_400_000));
        assert_eq!(read("7d"), Ok(604_800_000));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_spelling() {
        for text in ["", "5", "s", "-5s", "1.5h", "5 s", "5w", "99999999999s", "1h30m", "٣s"] {
            assert!(parse_duration(text).is_err_and(|error| error.contains("300s")), "{text:?}");
        }
        assert!(parse_duration("0s").is_err_and(|error| error.contains("longer than nothing")));
        assert!(parse_duration("36601d").is_err_and(|error| error.contains("36600d")));
        assert!(parse_duration("36600d").is_ok());
    }

    #[test]
    fn two_units_are_shown() {
        let show = |secs| show_duration(Duration::from_secs(secs));
        assert_eq!(show(59), "59s");
        assert_eq!(show(200), "3m 20s");
        assert_eq!(show(7200), "2h");
        assert_eq!(show(93_600), "1d 2h");
        assert_eq!(show_duration(Duration::from_millis(40)), "40ms");
    }
}
