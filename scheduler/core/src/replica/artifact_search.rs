//! What lacks here of what the journal names: when it is sought again, and when nobody waits for it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::ids::Digest;

/// Why an artifact didn't come in one round of asking every other replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There was nobody to ask.
    Alone,
    /// All who were asked say themselves that they lack it.
    Absent,
    /// Somebody didn't say, or has it and didn't hand it over.
    Doubtful,
}

/// How long a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The waits between rounds; there is no last round.
    pub retry: Backoff,
    /// Rounds that may end in doubt before an artifact is taken for lost.
    pub doubts_max: u32,
}

/// What follows from a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What nobody waits for any more; it is sought all the same.
    pub lost: BTreeSet<Digest>,
    /// When to seek again; `None` if nothing lacks.
    pub wait: Option<Duration>,
}

/// A search for artifacts, round after round; it holds no more than the last round lacked, and who was asked.
#[derive(Clone, Debug)]
pub struct Search {
    patience: Patience,
    failures: u32,
    doubts: BTreeMap<Digest, u32>,
    /// Who was there since something began to lack; a few more than [`NEWCOMERS_MAX`] at most.
    known: BTreeSet<String>,
}

impl Default for Patience {
    /// Waits of 1 s to a minute; the sixth round in doubt is the last one that is waited for, after half a minute or, with
    /// replicas that let each question time out, a whole one.
    fn default() -> Self {
        Self { retry: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) }, doubts_max: 5 }
    }
}

impl Search {
    /// Begins with nothing sought yet.
    #[must_use]
    pub const fn new(patience: Patience) -> Self {
        Self { patience, failures: 0, doubts: BTreeMap::new(), known: BTreeSet::new() }
    }

    /// Takes note that the journal may name something else, or others take part: that is worth no wait.
    pub const fn news(&mut self) {
        self.failures = 0;
    }

    /// Takes note of who is asked in the next round, by URL.
    ///
    /// Whoever wasn't there before may have all of it, so patience begins anew; but not for one that comes, ends and comes
    /// again, nor for ever newcomers.
    pub fn meet(&mut self, others: BTreeSet<String>) {
        if self.known.len() < NEWCOMERS_MAX && !others.is_subset(&self.known) {
            self.known.extend(others);
            self.news();
            self.doubts.clear();
        }
    }

    /// Decides what follows from a round in which all that lacks was sought and this didn't come.
    ///
    /// What was once said to be absent by all stays lost while they are the same, whoever is silent later. The wait
    /// differs by `salt`, so that replicas don't ask each other in step.
    pub fn conclude(&mut self, missed: &BTreeMap<Digest, Miss>, salt: u64) -> Verdict {
        let Patience { retry, doubts_max } = self.patience;
        self.doubts.retain(|digest, _| missed.contains_key(digest));
        for (digest, miss) in missed {
            let doubts = self.doubts.entry(*digest).or_default();
            *doubts = match miss {
                Miss::Alone => 0,
                Miss::Absent => doubts_max.saturating_add(1),
                Miss::Doubtful => doubts.saturating_add(1),
            };
        }
        if missed.is_empty() {
            self.failures = 0;
            self.known.clear();
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        let is_lost = |(_, doubts): &(&Digest, &u32)| **doubts > doubts_max;
        Verdict {
            lost: self.doubts.iter().filter(is_lost).map(|(digest, _)| *digest).collect(),
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
        Search::new(Patience { doubts_max: 2, ..Patience::default() })
    }

    /// Goes through a round, and names what is lost.
    fn round(search: &mut Search, missed: &[(Digest, Miss)]) -> Vec<Digest> {
        search.conclude(&missed.iter().copied().collect(), 0).lost.into_iter().collect()
    }

    #[test]
    fn what_all_say_they_lack_is_lost_at_once_and_stays_so_when_they_fall_silent() {
        let mut search = search();
        assert_eq!(round(&mut search, &[(A, Miss::Absent)]), [A]);
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful)]), [A]);
    }

    #[test]
    fn whoever_does_not_answer_is_waited_for_and_not_for_ever() {
        let mut search = search();
        for _ in 0..2 {
            assert_eq!(round(&mut search, &[(A, Miss::Doubtful)]), []);
        }
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful)]), [A]);
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful)]), [A]);
    }

    #[test]
    fn each_artifact_has_doubts_of_its_own() {
        let mut search = search();
        round(&mut search, &[(A, Miss::Doubtful)]);
        round(&mut search, &[(A, Miss::Doubtful), (B, Miss::Doubtful)]);
        search.news();
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful), (B, Miss::Doubtful)]), [A]);
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful), (B, Miss::Doubtful)]), [A, B]);
        // What came, and is lost again later, is sought anew.
        assert_eq!(round(&mut search, &[(B, Miss::Doubtful)]), [B]);
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful), (B, Miss::Doubtful)]), [B]);
    }

    fn others(urls: &[&str]) -> BTreeSet<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
    }

    #[test]
    fn whoever_comes_may_have_it() {
        let mut search = search();
        assert_eq!(round(&mut search, &[(A, Miss::Absent)]), [A]);
        search.meet(others(&["http://a"]));
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful)]), []);
        assert_eq!(round(&mut search, &[(A, Miss::Alone)]), [], "whoever is alone asks nobody");
    }

    #[test]
    fn whoever_comes_again_and_again_is_not_waited_for_again_and_again() {
        let mut search = search();
        search.meet(others(&["http://a", "http://b"]));
        assert_eq!(round(&mut search, &[(A, Miss::Absent)]), [A]);
        for there in [&["http://a"][..], &["http://a", "http://b"], &[]] {
            search.meet(others(there));
            assert_eq!(round(&mut search, &[(A, Miss::Doubtful)]), [A], "{there:?}");
        }
        // Each time at another address, so it seems another one: that ends, too.
        let waits = (0..1000).take_while(|port| {
            search.meet(others(&[&format!("http://b:{port}")]));
            round(&mut search, &[(A, Miss::Doubtful)]).is_empty()
        });
        // Two were known, and one more round has not more doubts than there is patience for.
        assert_eq!(waits.count(), NEWCOMERS_MAX - 2 + 1);
        // Once nothing lacks, all of that is over.
        assert_eq!(round(&mut search, &[]), []);
        search.meet(others(&["http://a"]));
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful)]), []);
    }

    #[test]
    fn rounds_follow_after_longer_and_longer_waits_until_nothing_lacks_or_something_changes() {
        let mut search = search();
        let wait =
            |search: &mut Search, missed: &[(Digest, Miss)]| search.conclude(&missed.iter().copied().collect(), 7).wait;
        let backoff = Patience::default().retry;
        for failures in 1..9 {
            assert_eq!(wait(&mut search, &[(A, Miss::Absent)]), Some(backoff.jittered(failures, 7)));
        }
        search.news();
        assert_eq!(wait(&mut search, &[(A, Miss::Absent)]), Some(backoff.jittered(1, 7)));
        search.meet(others(&["http://a"]));
        assert_eq!(wait(&mut search, &[(A, Miss::Absent)]), Some(backoff.jittered(1, 7)));
        assert_eq!(wait(&mut search, &[]), None);
        assert_eq!(wait(&mut search, &[(A, Miss::Alone)]), Some(backoff.jittered(1, 7)), "it begins anew");
    }
}
