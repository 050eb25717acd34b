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

/// A search for artifacts, round after round; it holds no more than the last round lacked.
#[derive(Clone, Debug)]
pub struct Search {
    patience: Patience,
    failures: u32,
    doubts: BTreeMap<Digest, u32>,
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
        Self { patience, failures: 0, doubts: BTreeMap::new() }
    }

    /// Takes note that the journal may name something else: that is worth no wait.
    pub const fn renamed(&mut self) {
        self.failures = 0;
    }

    /// Takes note that other replicas take part: whoever came may have all of it, so patience begins anew.
    pub fn met(&mut self) {
        self.failures = 0;
        self.doubts.clear();
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
        self.failures = if missed.is_empty() { 0 } else { self.failures.saturating_add(1) };
        let is_lost = |(_, doubts): &(&Digest, &u32)| **doubts > doubts_max;
        Verdict {
            lost: self.doubts.iter().filter(is_lost).map(|(digest, _)| *digest).collect(),
            wait: (!missed.is_empty()).then(|| retry.jittered(self.failures, salt)),
        }
    }
}

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
        search.renamed();
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful), (B, Miss::Doubtful)]), [A]);
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful), (B, Miss::Doubtful)]), [A, B]);
        // What came, and is lost again later, is sought anew.
        assert_eq!(round(&mut search, &[(B, Miss::Doubtful)]), [B]);
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful), (B, Miss::Doubtful)]), [B]);
    }

    #[test]
    fn whoever_comes_may_have_it() {
        let mut search = search();
        assert_eq!(round(&mut search, &[(A, Miss::Absent)]), [A]);
        search.met();
        assert_eq!(round(&mut search, &[(A, Miss::Doubtful)]), []);
        assert_eq!(round(&mut search, &[(A, Miss::Alone)]), [], "whoever is alone asks nobody");
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
        search.renamed();
        assert_eq!(wait(&mut search, &[(A, Miss::Absent)]), Some(backoff.jittered(1, 7)));
        search.met();
        assert_eq!(wait(&mut search, &[(A, Miss::Absent)]), Some(backoff.jittered(1, 7)));
        assert_eq!(wait(&mut search, &[]), None);
        assert_eq!(wait(&mut search, &[(A, Miss::Alone)]), Some(backoff.jittered(1, 7)), "it begins anew");
    }
}
