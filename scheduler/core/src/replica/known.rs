//! What a replica knows of the journal: up to where it has followed it, and the few facts of the state that it needs.

use epic_common::time::Timestamp;

use super::standing::At;
use crate::state::entry::{Entry, Fact, Index};
use crate::state::{Leader, State};

/// What a replica has followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What tells that journal from another one; `None` if none was ever followed.
    pub journal: Option<String>,
    /// The number of the last batch that was applied.
    pub batch: u64,
    /// The checksum of that batch, if it is known: another batch of the same number is another history.
    pub last_crc32: Option<u32>,
    /// What was once followed and is not known any more: a journal without it is another one, or has lost something.
    pub floor: Option<At>,
    /// The state after that batch, in short.
    pub summary: Summary,
}

/// What a replica needs of the state; the director has all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The last entry.
    pub index: Index,
    /// That entry's time.
    pub at: Timestamp,
    /// The role whose reservations the framework uses, if it was chosen.
    pub role: Option<String>,
    /// Who claimed the lead last.
    pub leader: Option<Leader>,
}

impl Known {
    /// Says up to where which journal was followed; `None` before any was.
    #[must_use]
    pub fn at(&self) -> Option<At> {
        let (batch, epoch) = (self.batch, self.summary.epoch());
        self.journal.clone().map(|journal| At { journal, batch, epoch })
    }

    /// Tells whether a journal was ever followed here.
    #[must_use]
    pub const fn has_followed(&self) -> bool {
        self.batch > 0 || self.floor.is_some()
    }

    /// Takes note of the next batch, after which the state is `summary`.
    pub(super) fn follow(&mut self, summary: Summary, crc32: u32) {
        self.batch += 1;
        self.last_crc32 = Some(crc32);
        self.summary = summary;
    }
}

impl Summary {
    /// Sums up a state.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let (role, leader) = (state.identity.roles.first().cloned(), state.identity.leader.clone());
        Self { index: state.index, at: state.at, role, leader }
    }

    /// Returns the epoch of the last claim, 0 if nobody ever claimed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.leader.as_ref().map_or(0, |leader| leader.epoch)
    }

    /// Returns the summary after these entries, as `State::apply` would have it.
    #[must_use]
    pub fn after(&self, entries: &[Entry]) -> Self {
        let mut summary = self.clone();
        for entry in entries {
            summary.apply(entry);
        }
        summary
    }

    fn apply(&mut self, entry: &Entry) {
        self.index = self.index.next();
        self.at = self.at.max(entry.at);
        match &entry.fact {
            Fact::FrameworkChosen { role, .. } => self.role = Some(role.clone()),
            Fact::Uninstalled => self.role = None,
            Fact::LeaderClaimed { epoch, replica, advertise } if *epoch > self.epoch() => {
                let (epoch, replica, advertise) = (*epoch, replica.clone(), advertise.clone());
                self.leader = Some(Leader { epoch, replica, advertise, since: entry.at });
            }
            Fact::LeaderClaimed { .. }
            | Fact::TokenSet { .. }
            | Fact::PlatformApplied { .. }
            | Fact::PlatformStopped { .. }
            | Fact::PlatformStarted { .. }
            | Fact::UninstallBegun { .. }
            | Fact::LaunchDecided(_)
            | Fact::InstallationChosen { .. }
            | Fact::UnitLaunched(_)
            | Fact::KillDecided { .. }
            | Fact::ReplacementDecided { .. }
            | Fact::StatusRecorded(_)
            | Fact::StrangerSeen { .. }
            | Fact::ReservationSeen { .. }
            | Fact::DocumentChanged { .. }
            | Fact::Barrier { .. }
            | Fact::FrameworkReplaced { .. }
            | Fact::MovedTo { .. } => {}
        }
    }
}
