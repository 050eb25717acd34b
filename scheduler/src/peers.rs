//! The replicas that take part, as each of them says of itself.

use serde::{Deserialize, Serialize};

use epic_scheduler_core::session::Elder;
use epic_scheduler_core::state::entry::{KNOWN, KNOWN_BY_ALL};

/// A replica that stands for election; JSON in its node in `ZooKeeper`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// A UUID of its process.
    pub replica: String,
    /// The URL at which the others reach it.
    pub advertise: String,
    /// The highest number of a kind of entry that it can read.
    #[serde(default = "known_by_all")]
    pub knows: u32,
}

impl Peer {
    /// Describes this process.
    #[must_use]
    pub fn own(replica: &str, advertise: &str) -> Self {
        Self { replica: replica.to_owned(), advertise: advertise.to_owned(), knows: KNOWN }
    }
}

/// Finds the replica that knows the fewest kinds of entries, if it knows fewer than this program.
#[must_use]
pub fn elder(peers: &[Peer]) -> Option<Elder> {
    let least = peers.iter().min_by_key(|peer| peer.knows).filter(|peer| peer.knows < KNOWN)?;
    Some(Elder { advertise: least.advertise.clone(), knows: least.knows })
}

const fn known_by_all() -> u32 {
    KNOWN_BY_ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_does_not_say_what_it_knows_is_the_elder() {
        let own = Peer::own("a", "http://a");
        let bytes = br#"{"replica":"b","advertise":"http://b"}"#;
        let old: Peer = serde_json::from_slice(bytes).unwrap();
        assert_eq!(elder(&[]), None);
        assert_eq!(elder(std::slice::from_ref(&own)), None);
        let expected = Elder { advertise: "http://b".to_owned(), knows: KNOWN_BY_ALL };
        assert_eq!(elder(&[own.clone(), old]), Some(expected));
        let newer = Peer { knows: KNOWN + 1, ..own };
        assert_eq!(elder(&[newer]), None);
    }
}
