//! What each replica that takes part says of itself: JSON in its node in `ZooKeeper`.

use serde::{Deserialize, Serialize};

use epic_scheduler_core::replica::Peer;
use epic_scheduler_core::state::entry::KNOWN_BY_ALL;

/// What a replica of any version writes.
#[derive(Serialize, Deserialize)]
struct Node {
    replica: String,
    advertise: String,
    /// Earlier versions have one address for all.
    agents: Option<String>,
    #[serde(default = "known_by_all")]
    knows: u32,
}

/// Writes what a replica says of itself.
#[must_use]
pub(crate) fn written(peer: &Peer) -> Vec<u8> {
    let Peer { replica, advertise, agents, knows } = peer.clone();
    let node = Node { replica, advertise, agents: Some(agents), knows };
    serde_json::to_vec(&node).expect("numbers and text are always JSON")
}

/// Reads what a replica says of itself; `None` if that isn't understood.
#[must_use]
pub(crate) fn read(bytes: &[u8]) -> Option<Peer> {
    let Node { replica, advertise, agents, knows } = serde_json::from_slice(bytes).ok()?;
    let agents = agents.unwrap_or_else(|| advertise.clone());
    Some(Peer { replica, advertise, agents, knows })
}

const fn known_by_all() -> u32 {
    KNOWN_BY_ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_does_not_say_what_it_knows_knows_what_all_do() {
        let old = read(br#"{"replica":"b","advertise":"http://b"}"#).unwrap();
        assert_eq!(old, Peer { knows: KNOWN_BY_ALL, ..Peer::own("b", "http://b", "http://b") });
        assert_eq!(read(b"{}"), None);
    }

    #[test]
    fn what_a_replica_writes_is_read_and_one_of_an_earlier_version_serves_agents_where_it_is() {
        let own = Peer::own("a", "https://a", "http://a:81");
        assert_eq!(read(&written(&own)).unwrap(), own);
        let old = read(br#"{"replica":"b","advertise":"http://b","knows":18}"#).unwrap();
        assert_eq!(old, Peer { replica: "b".to_owned(), knows: 18, ..Peer::own("", "http://b", "http://b") });
    }
}
