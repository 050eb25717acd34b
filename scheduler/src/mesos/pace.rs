//! How long an answer is waited for: as long as this master may take, by what it took of late.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait for a master that answers at once.
pub(super) const PATIENCE_MIN: Duration = Duration::from_secs(2);
/// How long to wait for the slowest.
pub(super) const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// The slowest answers of the last minute or two, of all lanes together.
///
/// A time-out that is too short is worse than a long one: each ACCEPT that seems lost costs a subscription, which costs a
/// slow master more than the answer would have.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Record>);

#[derive(Clone, Copy, Debug)]
struct Record {
    /// Of the minute that runs, and of the one before.
    slowest: [Duration; 2],
    begun: Instant,
    answered_at: Instant,
    /// For the next SUBSCRIBE.
    subscribe: Duration,
}

impl Pace {
    /// Begins without any answer.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Record {
            slowest: [Duration::ZERO; 2],
            begun: now,
            answered_at: now,
            subscribe: SUBSCRIBE_MIN,
        }))
    }

    /// Returns how long to wait for an answer: four times the slowest of late, within the two bounds.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        let mut record = self.record();
        record.turn(now);
        let [this, last] = record.slowest;
        (this.max(last) * 4).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// Notes an answer to what was sent then.
    pub(super) fn answered(&self, now: Instant, sent: Instant) {
        let mut record = self.record();
        record.turn(now);
        record.slowest[0] = record.slowest[0].max(now.duration_since(sent));
        record.answered_at = now;
    }

    /// Notes that what was sent then was waited for in vain.
    ///
    /// If nothing else was answered meanwhile, the master may only be slow, and the next wait is twice as long.
    pub(super) fn unanswered(&self, now: Instant, sent: Instant) {
        let mut record = self.record();
        record.turn(now);
        if record.answered_at <= sent {
            record.slowest[0] = record.slowest[0].max(now.duration_since(sent) / 2);
        }
    }

    /// Returns how long to wait for the answer to a SUBSCRIBE, and then for the first event.
    pub(super) fn subscribe_patience(&self) -> Duration {
        self.record().subscribe
    }

    /// Notes whether a SUBSCRIBE was answered: after one that wasn't, the next wait is twice as long.
    pub(super) fn subscribed(&self, is_answered: bool) {
        let mut record = self.record();
        record.subscribe = if is_answered { SUBSCRIBE_MIN } else { (record.subscribe * 2).min(PATIENCE_MAX) };
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn turn(&mut self, now: Instant) {
        let since = now.duration_since(self.begun);
        if since >= MINUTE {
            let last = if since < MINUTE * 2 { self.slowest[0] } else { Duration::ZERO };
            (self.slowest, self.begun) = ([Duration::ZERO, last], now);
        }
    }
}

/// How long a SUBSCRIBE is waited for at first: it may have to wait for all that a master does just then.
const SUBSCRIBE_MIN: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn patience_is_four_times_the_slowest_answer_of_the_last_minute() {
        let start = Instant::now();
        let pace = Pace::new(start);
        assert_eq!(pace.patience(start), PATIENCE_MIN);
        pace.answered(start + seconds(1), start + seconds(1) - Duration::from_millis(100));
        assert_eq!(pace.patience(start + seconds(1)), PATIENCE_MIN);
        pace.answered(start + seconds(5), start + seconds(2));
        assert_eq!(pace.patience(start + seconds(5)), seconds(12));
        assert_eq!(pace.patience(start + seconds(70)), seconds(12), "it may be less than a minute ago");
        assert_eq!(pace.patience(start + seconds(140)), PATIENCE_MIN);
        pace.answered(start + seconds(150), start + seconds(141));
        assert_eq!(pace.patience(start + seconds(150)), PATIENCE_MAX);
    }

    #[test]
    fn a_master_that_answers_nothing_gets_more_time_and_one_that_answers_others_does_not() {
        let start = Instant::now();
        let pace = Pace::new(start);
        pace.unanswered(start + seconds(2), start);
        assert_eq!(pace.patience(start + seconds(2)), seconds(4));
        pace.unanswered(start + seconds(6), start + seconds(2));
        assert_eq!(pace.patience(start + seconds(6)), seconds(8));
        pace.answered(start + seconds(7), start + seconds(7));
        pace.unanswered(start + seconds(14), start + seconds(6));
        assert_eq!(pace.patience(start + seconds(14)), seconds(8));
    }

    #[test]
    fn each_subscribe_without_an_answer_gives_the_next_one_more_time() {
        let pace = Pace::new(Instant::now());
        let waits = [(); 5].map(|()| {
            let patience = pace.subscribe_patience();
            pace.subscribed(false);
            patience.as_secs()
        });
        assert_eq!(waits, [5, 10, 20, 30, 30]);
        pace.subscribed(true);
        assert_eq!(pace.subscribe_patience(), seconds(5));
    }
}
