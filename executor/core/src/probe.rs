//! When to probe a service, and what the answers say of it.

use std::time::Duration;

use epic_common::manifest::Health;
use epic_common::time::Timestamp;

/// Watches one run of one service.
///
/// Until the service was ready it is probed every half second or faster, then at the manifest's
/// interval. A ready service isn't ready any longer after half of the failures in a row that have
/// it restarted, rounded up: one slow answer is no news.
#[derive(Clone, Debug)]
pub struct Watch {
    health: Option<Health>,
    started: Timestamp,
    ready_since: Option<Timestamp>,
    was_ready: bool,
    ready_for: Duration,
    failures: u32,
    next: Option<Timestamp>,
}

/// What an answer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Same,
    /// The service is ready now.
    Ready,
    /// The service isn't ready any longer.
    Unready,
    /// The service is to be restarted.
    Hopeless,
}

const EAGER: Duration = Duration::from_millis(500);

impl Watch {
    /// Watches a service that was started just now; one without `health` is ready at once.
    #[must_use]
    pub fn new(now: Timestamp, health: Option<Health>) -> Self {
        let ready = health.is_none();
        Self {
            next: health.as_ref().map(|_| now),
            health,
            started: now,
            ready_since: ready.then_some(now),
            was_ready: ready,
            ready_for: Duration::ZERO,
            failures: 0,
        }
    }

    /// Returns when the service became ready, unless it isn't.
    #[must_use]
    pub const fn ready_since(&self) -> Option<Timestamp> {
        self.ready_since
    }

    /// Tells whether this run was ever ready.
    #[must_use]
    pub const fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// Returns the longest time for which this run was ready without a break.
    #[must_use]
    pub fn ready_for(&self, now: Timestamp) -> Duration {
        self.ready_since.map_or(Duration::ZERO, |since| now.since(since)).max(self.ready_for)
    }

    /// Returns how many probes failed in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the probe that is due, once; the next comes after [`note`](Self::note).
    pub fn due(&mut self, now: Timestamp) -> Option<Health> {
        if self.next.is_some_and(|next| next <= now) {
            self.next = None;
            return self.health.clone();
        }
        None
    }

    /// Returns when the next probe is due; `None` while one is on its way.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        self.next
    }

    /// Takes the answer to the last probe; failures before the end of the grace don't count unless the service was ready.
    pub fn note(&mut self, now: Timestamp, works: Result<(), ()>) -> Verdict {
        let ready_for = self.ready_for(now);
        let Some(health) = &self.health else { return Verdict::Same };
        let verdict = match works {
            Ok(()) => {
                self.failures = 0;
                self.was_ready = true;
                if self.ready_since.is_none() {
                    self.ready_since = Some(now);
                    Verdict::Ready
                } else {
                    Verdict::Same
                }
            }
            Err(()) if !self.was_ready && now.since(self.started) < health.grace => Verdict::Same,
            Err(()) => {
                self.failures += 1;
                self.ready_for = ready_for;
                if self.failures >= health.failures {
                    self.ready_since = None;
                    Verdict::Hopeless
                } else if self.ready_since.is_some() && self.failures >= health.failures.div_ceil(2) {
                    self.ready_since = None;
                    Verdict::Unready
                } else {
                    Verdict::Same
                }
            }
        };
        // A service that was ready gets the time that its manifest gives it before it is restarted.
        let interval = if self.was_ready { health.interval } else { health.interval.min(EAGER) };
        self.next = Some(now + interval);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use epic_common::manifest::Probe;

    fn health(failures: u32) -> Health {
        Health {
            probe: Probe::Tcp { port: "web".into() },
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            grace: Duration::from_secs(10),
            failures,
        }
    }

    /// Answers a probe at each second in turn and compares the verdicts.
    fn check(failures: u32, answers: &[(u64, Result<(), ()>)], expected: &[Verdict]) {
        let mut watch = Watch::new(Timestamp(0), Some(health(failures)));
        let verdicts: Vec<_> =
            answers.iter().map(|&(second, answer)| watch.note(Timestamp(second * 1_000_000), answer)).collect();
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn failures_in_the_grace_do_not_count() {
        use Verdict::{Hopeless, Same};
        check(
            2,
            &[(1, Err(())), (2, Err(())), (9, Err(())), (10, Err(())), (11, Err(()))],
            &[Same, Same, Same, Same, Hopeless],
        );
    }

    #[test]
    fn failures_in_the_grace_count_once_it_was_ready() {
        use Verdict::{Hopeless, Ready, Unready};
        check(2, &[(1, Ok(())), (2, Err(())), (3, Err(()))], &[Ready, Unready, Hopeless]);
    }

    #[test]
    fn a_success_clears_the_failures() {
        use Verdict::{Hopeless, Ready, Same, Unready};
        let answers = [
            (1, Ok(())),
            (2, Err(())),
            (3, Ok(())),
            (4, Err(())),
            (5, Err(())),
            (6, Ok(())),
            (7, Err(())),
            (8, Err(())),
            (9, Err(())),
        ];
        check(3, &answers, &[Ready, Same, Same, Same, Unready, Ready, Same, Unready, Hopeless]);
    }

    #[test]
    fn one_probe_is_on_its_way_at_a_time() {
        let mut watch = Watch::new(Timestamp(0), Some(health(3)));
        assert!(watch.due(Timestamp(0)).is_some());
        assert_eq!((watch.due(Timestamp(99_000_000)), watch.deadline()), (None, None));
        watch.note(Timestamp(1_000_000), Err(()));
        assert_eq!(watch.deadline(), Some(Timestamp(1_500_000)));
        watch.note(Timestamp(2_000_000), Ok(()));
        assert_eq!(watch.deadline(), Some(Timestamp(7_000_000)));
    }

    #[test]
    fn a_service_without_health_is_ready_once_started() {
        let mut watch = Watch::new(Timestamp(7), None);
        assert_eq!((watch.ready_since(), watch.due(Timestamp(9)), watch.deadline()), (Some(Timestamp(7)), None, None));
    }
}
