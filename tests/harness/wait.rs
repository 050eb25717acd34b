//! Waiting for a condition, with the last thing seen in the error.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::Instant;

/// Polls until the closure gives `Ok`, and returns its value.
///
/// An `Err` means "not yet" and says what was seen instead; use `ensure!`, `bail!` and `?` freely. Polls every
/// 25 ms; a poll that hangs is cut off at the limit.
///
/// # Errors
/// When `limit` has passed: `what`, and as its cause what was seen last.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut poll: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    let mut seen = anyhow!("nothing was seen before");
    loop {
        match tokio::time::timeout_at(end, poll()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(other)) => seen = other,
            Err(_elapsed) => {
                seen = seen.context("the last look did not end; what was seen before it follows");
            }
        }
        if Instant::now() + POLL >= end {
            return Err(seen.context(format!("gave up after {limit:?} waiting for: {what}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// [`until`] for places that cannot be async, such as `drop`; says whether the condition came true.
pub fn blocking_until(limit: Duration, mut poll: impl FnMut() -> bool) -> bool {
    let end = std::time::Instant::now() + limit;
    let (_open, never) = mpsc::channel::<()>();
    loop {
        if poll() {
            return true;
        }
        if std::time::Instant::now() >= end {
            return false;
        }
        // Nothing is ever sent: the receiver is the clock.
        let _elapsed = never.recv_timeout(POLL);
    }
}

const POLL: Duration = Duration::from_millis(25);

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(60);

    #[tokio::test]
    async fn the_error_of_a_wait_holds_what_was_seen_last() {
        let mut looks = 0;
        let outcome: anyhow::Result<()> = until("the end", SHORT, async || {
            looks += 1;
            anyhow::bail!("look {looks}")
        })
        .await;
        let text = format!("{:#}", outcome.unwrap_err());
        assert_eq!(text, format!("gave up after 60ms waiting for: the end: look {looks}"));
        assert!(looks > 1, "it looked only {looks} times");
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off_at_the_limit() {
        let outcome: anyhow::Result<()> = until("the end", SHORT, async || std::future::pending().await).await;
        let text = format!("{:#}", outcome.unwrap_err());
        assert!(text.contains("the last look did not end"), "{text}");
    }

    #[test]
    fn a_blocking_wait_ends_with_its_condition() {
        let mut looks = 0;
        let outcome = blocking_until(Duration::from_secs(10), || {
            looks += 1;
            looks == 3
        });
        assert!(outcome);
        assert!(!blocking_until(SHORT, || false));
    }
}
