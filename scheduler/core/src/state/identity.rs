//! Who we are: to Mesos, to people and to the other replicas.

use epic_common::ids::{Digest, FrameworkId};
use epic_common::time::Timestamp;

/// Who we are to Mesos, to people and to the other replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Our framework id.
    pub framework: Option<FrameworkId>,
    /// The Mesos roles whose reservations that framework uses.
    pub roles: Vec<String>,
    /// How many framework ids were ever chosen.
    pub frameworks_chosen: u64,
    /// Eight hexadecimal digits in every name that outlives the framework, so that two installations in one Mesos role
    /// never take each other's; `None` until every replica can read the choice.
    pub installation: Option<String>,
    /// The digest of the token that allows changes.
    pub token: Option<Digest>,
    /// The replica that claimed the lead last; `None` in a journal that has only one writer.
    pub leader: Option<Leader>,
    /// The journal that goes on from this one, without credentials; `None` unless this one has ended.
    pub moved_to: Option<String>,
    /// Since when there is no platform, if there is none.
    pub idle_since: Timestamp,
}

/// A replica that leads, or did until another one claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// How many have led before it, and itself.
    pub epoch: u64,
    /// A UUID of its process.
    pub replica: String,
    /// The URL at which it is reached.
    pub advertise: String,
    /// When it claimed.
    pub since: Timestamp,
}

impl Identity {
    /// Returns the epoch of the last claim, 0 if nobody ever claimed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.leader.as_ref().map_or(0, |leader| leader.epoch)
    }
}
