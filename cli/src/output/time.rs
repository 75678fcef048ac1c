//! Points in time, as JSON and as text.

use serde::Serialize;
use wopr_p2p_core::time::WallTime;

use crate::duration::show_duration;

/// A point in time as `{"ms":…,"iso":"2024-01-15T12:00:00.000Z"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) WallTime);

impl Time {
    /// UTC, with milliseconds.
    pub(crate) fn iso(self) -> String {
        let ms = self.0.as_millis();
        let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }

    /// `in 3h 5m` or `2d ago`.
    pub(crate) fn relative(self, now: WallTime) -> String {
        if self.0 > now {
            format!("in {}", show_duration(self.0.since(now)))
        } else {
            format!("{} ago", show_duration(now.since(self.0)))
        }
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape {
            ms: u64,
            iso: String,
        }
        Shape { ms: self.0.as_millis(), iso: self.iso() }.serialize(serializer)
    }
}

/// Year, month and day of a count of days since 1970-01-01 in the Gregorian calendar.
///
/// Years are taken to start in March, so that the leap day is a year's last; 400 years always have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let since_march_0 = days.saturating_add(719_468);
    let (era, of_era) = (since_march_0 / 146_097, since_march_0 % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iso(ms: u64) -> String {
        Time(WallTime::from_millis(ms)).iso()
    }

    #[test]
    fn known_moments_are_written_as_javascript_does() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(iso(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(iso(1_704_067_200_000), "2024-01-01T00:00:00.000Z");
        assert_eq!(iso(1_234_567_890_123), "2009-02-13T23:31:30.123Z");
        assert_eq!(iso(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn no_time_overflows() {
        assert!(iso(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn json_has_both_forms() {
        let line = serde_json::to_string(&Time(WallTime::from_millis(1_704_067_200_000))).unwrap();
        assert_eq!(line, r#"{"ms":1704067200000,"iso":"2024-01-01T00:00:00.000Z"}"#);
    }

    #[test]
    fn relative_times_point_both_ways() {
        let now = WallTime::from_millis(10_000_000);
        assert_eq!(Time(WallTime::from_millis(13_600_000)).relative(now), "in 1h");
        assert_eq!(Time(WallTime::from_millis(9_995_000)).relative(now), "5s ago");
    }
}
