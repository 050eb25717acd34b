//! The bundles of one executor: each is fetched and unpacked once, however many instances want it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::conversation::{LaunchOrder, Phase};
use epic_common::ids::Digest;
use epic_common::manifest::Manifest;
use epic_common::time::Timestamp;

use crate::traffic::Output;

/// How long a bundle is asked for before its instances fail.
pub const PATIENCE: Duration = Duration::from_secs(600);

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };

/// All bundles, by digest.
#[derive(Debug, Default)]
pub struct Installs {
    all: BTreeMap<Digest, Install>,
}

/// How far a bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Install {
    /// On its way.
    Underway(Underway),
    /// In place.
    Done(Arc<Manifest>),
    /// Given up, with the reason for people.
    Failed(String),
}

/// A bundle that isn't in place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underway {
    /// [`Phase::Fetching`] or [`Phase::Installing`].
    pub phase: Phase,
    /// 0 to 100 of the phase.
    pub percent: u8,
    /// Why the last try to fetch it failed; empty if none did.
    pub trouble: String,
    bytes: u64,
    bases: Vec<String>,
    /// How many of them were tried in this round.
    tried: usize,
    /// How many rounds over all of them have failed.
    rounds: u32,
    /// Whether the try that is under way is at a place of an earlier list.
    is_stale: bool,
    since: Timestamp,
    next: Option<Timestamp>,
    unpack: bool,
}

impl Installs {
    /// Wants a bundle; one that failed is tried anew, and one on its way learns where else it may be.
    pub fn want(&mut self, now: Timestamp, order: &LaunchOrder) {
        match self.all.get_mut(&order.bundle) {
            Some(Install::Done(_)) => {}
            Some(Install::Underway(underway)) => underway.moved(now, &order.artifacts),
            Some(Install::Failed(_)) | None => {
                let underway = Underway {
                    phase: Phase::Fetching,
                    percent: 0,
                    trouble: String::new(),
                    bytes: order.bundle_bytes,
                    bases: order.artifacts.clone(),
                    tried: 0,
                    rounds: 0,
                    is_stale: false,
                    since: now,
                    next: Some(now),
                    unpack: false,
                };
                self.all.insert(order.bundle, Install::Underway(underway));
            }
        }
    }

    /// Takes note of where bundles are served now; what is on its way is looked for there next, with new patience.
    pub fn moved(&mut self, now: Timestamp, bases: &[String]) {
        for install in self.all.values_mut() {
            if let Install::Underway(underway) = install {
                underway.moved(now, bases);
            }
        }
    }

    /// Returns how far a bundle is that was wanted.
    #[must_use]
    pub fn of(&self, bundle: &Digest) -> Option<&Install> {
        self.all.get(bundle)
    }

    /// Takes note of progress.
    pub fn progressed(&mut self, bundle: &Digest, phase: Phase, percent: u8) {
        if let Some(Install::Underway(underway)) = self.all.get_mut(bundle) {
            underway.phase = phase;
            underway.percent = percent.min(100);
            underway.trouble.clear();
        }
    }

    /// Takes note that the bundle is on disk.
    pub fn fetched(&mut self, bundle: &Digest) {
        if let Some(Install::Underway(underway)) = self.all.get_mut(bundle) {
            (underway.phase, underway.percent, underway.unpack) = (Phase::Installing, 0, true);
        }
    }

    /// Takes note of a failed try; another one comes after a back-off, until [`PATIENCE`] ends.
    pub fn fetch_failed(&mut self, now: Timestamp, bundle: &Digest, reason: String) {
        let Some(install) = self.all.get_mut(bundle) else { return };
        let Install::Underway(underway) = install else { return };
        if now.since(underway.since) >= PATIENCE {
            *install = Install::Failed(format!(
                "bundle {} could not be fetched for {} s: {reason}",
                bundle.short(),
                PATIENCE.as_secs()
            ));
            return;
        }
        underway.next = Some(now + underway.wait());
        underway.percent = 0;
        underway.trouble = reason;
    }

    /// Takes note of how the installation ended.
    pub fn ended(&mut self, bundle: Digest, result: Result<Arc<Manifest>, String>) {
        self.all.insert(bundle, result.map_or_else(Install::Failed, Install::Done));
    }

    /// Returns the next bundle to fetch or to unpack.
    pub fn poll(&mut self, now: Timestamp) -> Option<Output> {
        for (bundle, install) in &mut self.all {
            let Install::Underway(underway) = install else { continue };
            if underway.unpack {
                underway.unpack = false;
                return Some(Output::Install(*bundle));
            }
            if underway.next.is_none_or(|next| next > now) {
                continue;
            }
            underway.next = None;
            let Some(base) = underway.bases.get(underway.tried).cloned() else {
                *install =
                    Install::Failed(format!("the order of bundle {} names no server that has it", bundle.short()));
                continue;
            };
            (underway.phase, underway.is_stale) = (Phase::Fetching, false);
            return Some(Output::Fetch { bundle: *bundle, bytes: underway.bytes, base });
        }
        None
    }

    /// Returns when the next try is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.all
            .values()
            .filter_map(|install| match install {
                Install::Underway(underway) => underway.next,
                Install::Done(_) | Install::Failed(_) => None,
            })
            .min()
    }
}

impl Underway {
    /// Counts a failed try; answers how long to wait before the next.
    fn wait(&mut self) -> Duration {
        if std::mem::take(&mut self.is_stale) {
            return Duration::ZERO;
        }
        self.tried += 1;
        if self.tried < self.bases.len() {
            return Duration::ZERO;
        }
        // A round over all sources is made before it waits.
        self.tried = 0;
        self.rounds = self.rounds.saturating_add(1);
        BACKOFF.delay(self.rounds)
    }

    /// Begins anew with other sources; a try that is under way goes on for as long as it can.
    fn moved(&mut self, now: Timestamp, bases: &[String]) {
        if bases.is_empty() || self.bases == bases {
            return;
        }
        self.bases = bases.to_vec();
        (self.tried, self.rounds, self.since) = (0, 0, now);
        self.is_stale = self.next.is_none();
        self.next = self.next.map(|_| now);
    }
}

#[cfg(test)]
mod tests {
    use epic_common::resources::Grant;

    use super::*;

    const BUNDLE: Digest = Digest([1; 32]);
    const SECOND: Duration = Duration::from_secs(1);

    fn order(artifacts: &[&str]) -> LaunchOrder {
        LaunchOrder {
            task: "worker-0.1".parse().unwrap(),
            role: "worker".into(),
            bundle: BUNDLE,
            bundle_bytes: 1,
            artifacts: list(artifacts),
            grant: Grant::default(),
            hostname: String::new(),
            platform: String::new(),
            root_allowed: false,
            documents: Vec::new(),
        }
    }

    fn list(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
    }

    fn fetching(artifacts: &[&str]) -> Installs {
        let mut installs = Installs::default();
        installs.want(Timestamp(0), &order(artifacts));
        installs
    }

    /// What is tried next at this time; nothing while a try is under way or a wait lasts.
    fn tried(installs: &mut Installs, now: Timestamp) -> Option<String> {
        match installs.poll(now) {
            Some(Output::Fetch { base, .. }) => Some(base),
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    }

    fn fail(installs: &mut Installs, now: Timestamp) {
        installs.fetch_failed(now, &BUNDLE, "gone".to_owned());
    }

    #[test]
    fn each_source_is_tried_before_there_is_a_wait_and_waits_grow() {
        let mut installs = fetching(&["a", "b"]);
        for (at, expected) in [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (3, "a")] {
            let now = Timestamp(0) + SECOND * at;
            assert_eq!(installs.deadline(), Some(now), "{expected} at {at}");
            assert_eq!(tried(&mut installs, now).as_deref(), Some(expected));
            fail(&mut installs, now);
        }
    }

    #[test]
    fn new_sources_end_a_wait_and_take_the_place_of_the_old_ones() {
        let mut installs = fetching(&["a"]);
        for _ in 0..5 {
            let now = installs.deadline().unwrap();
            tried(&mut installs, now).unwrap();
            fail(&mut installs, now);
        }
        let now = Timestamp(0) + SECOND * 16;
        assert!(tried(&mut installs, now).is_none(), "it waits");
        installs.moved(now, &list(&["a"]));
        assert!(tried(&mut installs, now).is_none(), "the same list is no news");
        installs.moved(now, &list(&["c", "d"]));
        assert_eq!(tried(&mut installs, now).as_deref(), Some("c"));
        fail(&mut installs, now);
        assert_eq!(tried(&mut installs, now).as_deref(), Some("d"));
        fail(&mut installs, now);
        assert_eq!(installs.deadline(), Some(now + SECOND), "waits begin anew");
    }

    #[test]
    fn a_try_that_is_under_way_goes_on_and_all_new_sources_come_after_it() {
        let mut installs = fetching(&["a", "b"]);
        let now = Timestamp(0);
        assert_eq!(tried(&mut installs, now).as_deref(), Some("a"));
        installs.moved(now, &list(&["c", "d"]));
        assert_eq!(tried(&mut installs, now), None, "nothing is fetched twice at a time");
        for expected in ["c", "d"] {
            fail(&mut installs, now);
            assert_eq!(tried(&mut installs, now).as_deref(), Some(expected));
        }
    }

    #[test]
    fn patience_counts_from_the_last_news_and_ends() {
        let mut installs = fetching(&["a"]);
        let news = Timestamp(0) + PATIENCE;
        installs.moved(news, &list(&["b"]));
        installs.poll(news);
        fail(&mut installs, news + (PATIENCE - SECOND));
        assert!(matches!(installs.of(&BUNDLE), Some(Install::Underway(_))));
        fail(&mut installs, news + PATIENCE);
        assert!(matches!(installs.of(&BUNDLE), Some(Install::Failed(reason)) if reason.ends_with("for 600 s: gone")));
    }

    #[test]
    fn no_sources_at_all_are_no_news() {
        let mut installs = fetching(&["a"]);
        installs.moved(Timestamp(0), &[]);
        assert_eq!(tried(&mut installs, Timestamp(0)).as_deref(), Some("a"));
    }
}
