//! What this replica is to the others: alone, standing by, or leading.

use epic_common::time::Timestamp;

/// What a replica does just now, as far as it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It has no ZooKeeper and decides everything.
    #[default]
    Alone,
    /// It applies what another commits and decides nothing.
    Standby,
    /// It was elected and doesn't know yet whether the journal lets it lead.
    Claiming,
    /// The journal holds its claim: it decides.
    Leading,
}

/// A replica as it shows itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// What it does.
    pub mode: Mode,
    /// Its own URL, as `--advertise` says.
    pub advertise: String,
    /// The leader's URL, which may be its own; `None` while nobody is known to lead.
    pub leader: Option<String>,
    /// Since when that one leads.
    pub since: Option<Timestamp>,
    /// The highest epoch in the journal, 0 before the first claim and without ZooKeeper.
    pub epoch: u64,
    /// The last entry of the journal that it has applied; not counted without ZooKeeper.
    pub index: u64,
    /// Whether it has applied all that was in the journal a moment ago.
    pub caught_up: bool,
    /// Why it isn't what it should be; empty if nothing is wrong.
    pub problem: String,
}

impl Mode {
    /// Returns the word for it in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Standby => "standby",
            Self::Claiming => "claiming",
            Self::Leading => "leading",
        }
    }

    /// Tells whether changes are decided here.
    #[must_use]
    pub const fn decides(self) -> bool {
        match self {
            Self::Alone | Self::Leading => true,
            Self::Standby | Self::Claiming => false,
        }
    }
}

impl Replica {
    /// Describes a scheduler without ZooKeeper, which leads nobody but itself.
    #[must_use]
    pub fn alone(advertise: &str) -> Self {
        Self { advertise: advertise.to_owned(), leader: Some(advertise.to_owned()), caught_up: true, ..Self::default() }
    }

    /// Returns another replica's URL if that one leads, as far as is known.
    #[must_use]
    pub fn other_leader(&self) -> Option<&str> {
        self.leader.as_deref().filter(|leader| !self.mode.decides() && *leader != self.advertise)
    }

    /// Says in a sentence what it does and who leads.
    #[must_use]
    pub fn sentence(&self) -> String {
        let problem = if self.problem.is_empty() { String::new() } else { format!(": {}", self.problem) };
        match (self.mode, self.other_leader()) {
            (Mode::Alone, _) => format!("this scheduler is alone{problem}"),
            (Mode::Leading, _) => format!("this replica leads{problem}"),
            (Mode::Claiming, _) => format!("this replica was elected and is about to lead{problem}"),
            (Mode::Standby, Some(leader)) => format!("this replica stands by, {leader} leads{problem}"),
            (Mode::Standby, None) => format!("this replica stands by, and nobody is known to lead{problem}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_standby_knows_another_leader() {
        let with = |mode, leader: Option<&str>| Replica {
            mode,
            advertise: "http://a".to_owned(),
            leader: leader.map(str::to_owned),
            ..Replica::default()
        };
        assert_eq!(with(Mode::Standby, Some("http://b")).other_leader(), Some("http://b"));
        assert_eq!(with(Mode::Standby, Some("http://a")).other_leader(), None);
        assert_eq!(with(Mode::Standby, None).other_leader(), None);
        assert_eq!(with(Mode::Leading, Some("http://b")).other_leader(), None);
        assert_eq!(Replica::alone("http://a").other_leader(), None);
    }

    #[test]
    fn a_sentence_says_who_leads_and_what_is_wrong() {
        let mut replica = Replica { mode: Mode::Standby, advertise: "http://a".to_owned(), ..Replica::default() };
        assert_eq!(replica.sentence(), "this replica stands by, and nobody is known to lead");
        replica.leader = Some("http://b".to_owned());
        replica.problem = "12 entries behind".to_owned();
        assert_eq!(replica.sentence(), "this replica stands by, http://b leads: 12 entries behind");
    }
}
