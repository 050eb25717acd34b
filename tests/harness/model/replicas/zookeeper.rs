//! Sessions and their candidates, as the election sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use epic_common::time::Timestamp;

/// How long a session outlives its replica's last word.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Sessions by number, candidates by theirs.
#[derive(Clone, Debug, Default)]
pub(super) struct ZooKeeper {
    /// When each was last heard of.
    sessions: BTreeMap<u64, Timestamp>,
    /// The session of each, and which replica it is.
    candidates: BTreeMap<u64, (u64, usize)>,
    numbers: u64,
}

impl ZooKeeper {
    pub(super) fn open(&mut self, now: Timestamp) -> u64 {
        self.numbers += 1;
        self.sessions.insert(self.numbers, now);
        self.numbers
    }

    pub(super) fn lives(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Hears of a session, if it still lives.
    pub(super) fn touch(&mut self, session: u64, now: Timestamp) {
        if let Some(heard) = self.sessions.get_mut(&session) {
            *heard = now;
        }
    }

    /// Ends the sessions that were silent for too long.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.sessions.retain(|_, heard| *heard + SESSION_TIMEOUT > now);
        self.candidates.retain(|_, (session, _)| self.sessions.contains_key(session));
    }

    /// Ends a session as its replica wants.
    pub(super) fn close(&mut self, session: u64) {
        self.sessions.remove(&session);
        self.candidates.retain(|_, (whose, _)| *whose != session);
    }

    /// Says when the next session ends if nothing is heard of it.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.sessions.values().map(|heard| *heard + SESSION_TIMEOUT).min()
    }

    pub(super) fn create(&mut self, owner: (u64, usize)) -> String {
        self.numbers += 1;
        self.candidates.insert(self.numbers, owner);
        name(self.numbers)
    }

    pub(super) fn delete(&mut self, candidate: &str) {
        self.candidates.retain(|number, _| name(*number) != candidate);
    }

    pub(super) fn own(&self, session: u64) -> Option<String> {
        self.candidates.iter().find(|(_, (whose, _))| *whose == session).map(|(number, _)| name(*number))
    }

    /// Lists which replicas take part, in the order of the election.
    pub(super) fn owners(&self) -> Vec<usize> {
        self.candidates.values().map(|(_, who)| *who).collect()
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.candidates.keys().rev().copied().map(name).collect()
    }
}

fn name(number: u64) -> String {
    format!("candidate-{number:010}")
}
