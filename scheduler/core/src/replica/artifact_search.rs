//! The search for artifacts that the journal names and that aren't on this replica's disk: when to look again, and when
//! to give up waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::ids::Digest;

/// Why one round of asking every other replica didn't find an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There was nobody to ask.
    NobodyAsked,
    /// All who were asked said that they don't have it.
    NobodyHasIt,
    /// Somebody didn't answer, or has it and didn't hand it over.
    SomebodySilent,
}

/// How long to wait between rounds, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The waits between rounds; there is no last round.
    pub retry: Backoff,
    /// Rounds with silent replicas after which an artifact is given up.
    pub silent_rounds_max: u32,
}

/// What follows from a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What nothing waits for any more; the search goes on all the same.
    pub given_up: BTreeSet<Digest>,
    /// How long to wait before the next round; `None` if nothing is missing.
    pub wait: Option<Duration>,
}

/// A search for artifacts, round after round. It remembers what was missing after the last round, and who was asked.
#[derive(Clone, Debug)]
pub struct Search {
    limits: Limits,
    failures: u32,
    silent_rounds: BTreeMap<Digest, u32>,
    /// Who was asked since something began to be missing; a few more than [`NEWCOMERS_MAX`] at most.
    known: BTreeSet<String>,
}

impl Default for Limits {
    /// Waits of 1 s to a minute. The sixth silent round is the last that anything waits for: after half a minute or, if
    /// each question times out, a whole one.
    fn default() -> Self {
        Self { retry: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) }, silent_rounds_max: 5 }
    }
}

impl Search {
    /// Begins with nothing missing.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, failures: 0, silent_rounds: BTreeMap::new(), known: BTreeSet::new() }
    }

    /// The journal may name something else, or others take part: the next round needn't wait long.
    pub const fn look_again_soon(&mut self) {
        self.failures = 0;
    }

    /// Notes who is asked in the next round, by URL.
    ///
    /// A replica that wasn't asked before may have everything, so the count of silent rounds starts over; but not for one
    /// that comes, goes and comes back, nor for an endless row of newcomers.
    pub fn asks(&mut self, others: BTreeSet<String>) {
        if self.known.len() < NEWCOMERS_MAX && !others.is_subset(&self.known) {
            self.known.extend(others);
            self.look_again_soon();
            self.silent_rounds.clear();
        }
    }

    /// Decides what follows from a round in which everything missing was looked for and this wasn't found.
    ///
    /// What nobody had stays given up while the same replicas are asked, whoever is silent later. The wait differs by
    /// `salt`, so that replicas don't ask each other in step.
    pub fn round_ended(&mut self, missed: &BTreeMap<Digest, Missing>, salt: u64) -> Outcome {
        let Limits { retry, silent_rounds_max } = self.limits;
        self.silent_rounds.retain(|digest, _| missed.contains_key(digest));
        for (digest, miss) in missed {
            let silent_rounds = self.silent_rounds.entry(*digest).or_default();
            *silent_rounds = match miss {
                Missing::NobodyAsked => 0,
                Missing::NobodyHasIt => silent_rounds_max.saturating_add(1),
                Missing::SomebodySilent => silent_rounds.saturating_add(1),
            };
        }
        if missed.is_empty() {
            self.failures = 0;
            self.known.clear();
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        let is_given_up = |(_, silent_rounds): &(&Digest, &u32)| **silent_rounds > silent_rounds_max;
        Outcome {
            given_up: self.silent_rounds.iter().filter(is_given_up).map(|(digest, _)| *digest).collect(),
            wait: (!missed.is_empty()).then(|| retry.jittered(self.failures, salt)),
        }
    }
}

/// As many as twice the replicas that there usually are; one under Marathon has another address after each restart.
const NEWCOMERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const A: Digest = Digest([1; 32]);
    const B: Digest = Digest([2; 32]);

    fn search() -> Search {
        Search::new(Limits { silent_rounds_max: 2, ..Limits::default() })
    }

    /// Goes through a round, and names what is lost.
    fn round(search: &mut Search, missed: &[(Digest, Missing)]) -> Vec<Digest> {
        search.round_ended(&missed.iter().copied().collect(), 0).given_up.into_iter().collect()
    }

    #[test]
    fn what_all_say_they_lack_is_given_up_at_once_and_stays_so_when_they_fall_silent() {
        let mut search = search();
        assert_eq!(round(&mut search, &[(A, Missing::NobodyHasIt)]), [A]);
        assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent)]), [A]);
    }

    #[test]
    fn whoever_does_not_answer_is_waited_for_and_not_for_ever() {
        let mut search = search();
        for _ in 0..2 {
            assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent)]), []);
        }
        assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent)]), [A]);
        assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent)]), [A]);
    }

    #[test]
    fn each_artifact_has_silent_rounds_of_its_own() {
        let mut search = search();
        round(&mut search, &[(A, Missing::SomebodySilent)]);
        round(&mut search, &[(A, Missing::SomebodySilent), (B, Missing::SomebodySilent)]);
        search.look_again_soon();
        assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent), (B, Missing::SomebodySilent)]), [A]);
        assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent), (B, Missing::SomebodySilent)]), [A, B]);
        // What came, and is lost again later, is sought anew.
        assert_eq!(round(&mut search, &[(B, Missing::SomebodySilent)]), [B]);
        assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent), (B, Missing::SomebodySilent)]), [B]);
    }

    fn others(urls: &[&str]) -> BTreeSet<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
    }

    #[test]
    fn whoever_comes_may_have_it() {
        let mut search = search();
        assert_eq!(round(&mut search, &[(A, Missing::NobodyHasIt)]), [A]);
        search.asks(others(&["http://a"]));
        assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent)]), []);
        assert_eq!(round(&mut search, &[(A, Missing::NobodyAsked)]), [], "whoever is alone asks nobody");
    }

    #[test]
    fn whoever_comes_again_and_again_is_not_waited_for_again_and_again() {
        let mut search = search();
        search.asks(others(&["http://a", "http://b"]));
        assert_eq!(round(&mut search, &[(A, Missing::NobodyHasIt)]), [A]);
        for there in [&["http://a"][..], &["http://a", "http://b"], &[]] {
            search.asks(others(there));
            assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent)]), [A], "{there:?}");
        }
        // Each time at another address, so it seems another one: that ends, too.
        let waits = (0..1000).take_while(|port| {
            search.asks(others(&[&format!("http://b:{port}")]));
            round(&mut search, &[(A, Missing::SomebodySilent)]).is_empty()
        });
        // Two were known, and the last round exceeds the limit.
        assert_eq!(waits.count(), NEWCOMERS_MAX - 2 + 1);
        // Once nothing lacks, all of that is over.
        assert_eq!(round(&mut search, &[]), []);
        search.asks(others(&["http://a"]));
        assert_eq!(round(&mut search, &[(A, Missing::SomebodySilent)]), []);
    }

    #[test]
    fn rounds_follow_after_longer_and_longer_waits_until_nothing_lacks_or_something_changes() {
        let mut search = search();
        let wait = |search: &mut Search, missed: &[(Digest, Missing)]| {
            search.round_ended(&missed.iter().copied().collect(), 7).wait
        };
        let backoff = Limits::default().retry;
        for failures in 1..9 {
            assert_eq!(wait(&mut search, &[(A, Missing::NobodyHasIt)]), Some(backoff.jittered(failures, 7)));
        }
        search.look_again_soon();
        assert_eq!(wait(&mut search, &[(A, Missing::NobodyHasIt)]), Some(backoff.jittered(1, 7)));
        search.asks(others(&["http://a"]));
        assert_eq!(wait(&mut search, &[(A, Missing::NobodyHasIt)]), Some(backoff.jittered(1, 7)));
        assert_eq!(wait(&mut search, &[]), None);
        assert_eq!(wait(&mut search, &[(A, Missing::NobodyAsked)]), Some(backoff.jittered(1, 7)), "it begins anew");
    }
}
