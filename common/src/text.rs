//! Small forms of text that several documents share.

use std::time::Duration;

/// What [`is_name`] asks, for people.
pub const NAME_RULE: &str = "must have 1 to 63 characters of a-z, 0-9 and -, and begin with a letter";

/// Tells whether `text` is a name: 1 to 63 of `a-z 0-9 -`, beginning with a letter (RFC 1123 labels, less digits first).
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Tells whether `path` stays within the directory it is relative to, judged by its text.
#[must_use]
pub fn is_path_within(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 1024
        && !path.contains(['\0', '\n'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// A duration that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a duration, such as 500ms, 30s, 5m, 12h or 21d")]
pub struct ParseDurationError(String);

/// Reads `500ms`, `30s`, `5m`, `12h` or `21d`, at most 3650 days.
///
/// # Errors
///
/// The text, if it is anything else.
pub fn duration(text: &str) -> Result<Duration, ParseDurationError> {
    let wrong = || ParseDurationError(text.chars().take(40).collect());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .filter(|millis| *millis <= 3650 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("21d"), Ok(Duration::from_secs(21 * 86_400)));
        for text in ["", "5", "s", "-5s", "5 s", "99999999999d", "1.5s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_that_leaves_its_directory_is_seen() {
        for path in ["a", "a/b.c", "..a/b"] {
            assert!(is_path_within(path), "{path}");
        }
        for path in ["", "/a", "a/", "../a", "a/../b", "a/./b", "a//b", "a\0"] {
            assert!(!is_path_within(path), "{path}");
        }
    }
}
