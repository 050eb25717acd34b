//! How long ago something was.

use epic_common::time::Timestamp;

/// Shows the time from an RFC 3339 text in UTC until now in its largest unit; `-` if it can't be read.
pub(super) fn age(since: &str, now: Timestamp) -> String {
    let Some(then) = seconds(since) else { return "-".to_owned() };
    match now.seconds().saturating_sub(then) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Reads `2000-02-29T00:00:00Z` as seconds since 1970.
fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers =
        |text: &str, by: char| text.split(by).map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let (&[year, month, day], &[hour, minute, second]) = (date.as_slice(), time.as_slice()) else { return None };
    let is_known = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_time = hour < 24 && minute < 60 && second < 61;
    (is_known && is_time).then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Counts the days from 1970-01-01.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_timestamp_shows_is_read_back() {
        for seconds_since in [0, 951_782_399, 951_782_400, 1_793_452_800, 4_107_542_399, 253_402_300_799] {
            let text = Timestamp(seconds_since * 1_000_000).to_string();
            assert_eq!(seconds(&text), Some(seconds_since), "{text}");
        }
        for text in [
            "",
            "x",
            "2000-02-29",
            "2000-13-01T00:00:00Z",
            "1969-01-01T00:00:00Z",
            "2000-01-00T00:00:00Z",
            "2000-01-01T24:00:00Z",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let shown: Vec<_> = [0, 119, 120, 7199, 7200, 172_799, 172_800]
            .map(|seconds| age("1970-01-01T00:00:00Z", Timestamp(seconds * 1_000_000)))
            .into();
        assert_eq!(shown, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
        assert_eq!(age("1971-01-01T00:00:00Z", Timestamp(0)), "0s", "clocks differ");
    }
}
