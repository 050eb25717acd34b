//! The replicas that take part, and what this one concludes from what each says of itself.

use crate::session::Elder;
use crate::state::entry::KNOWN;

/// A replica that stands for election, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// A UUID of its process.
    pub replica: String,
    /// The URL at which the others reach it.
    pub advertise: String,
    /// The URL at which agents and executors fetch artifacts from it.
    pub agents: String,
    /// The highest number of a kind of entry that it can read.
    pub knows: u32,
}

impl Peer {
    /// Describes this process, which the others reach at one URL, and agents at the other.
    #[must_use]
    pub fn own(replica: &str, advertise: &str, agents: &str) -> Self {
        Self { replica: replica.to_owned(), advertise: advertise.to_owned(), agents: agents.to_owned(), knows: KNOWN }
    }
}

/// Lists where the others than `replica` serve artifacts, each place once, in the order of the election.
///
/// A replica is its process: one that came back elsewhere is another, and what it was is left out once its node is gone.
#[must_use]
pub fn sources(peers: &[Peer], replica: &str) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for peer in peers.iter().filter(|peer| peer.replica != replica) {
        let url = peer.agents.trim_end_matches('/');
        let is_url = url.len() <= URL_BYTES_MAX && url.starts_with("http://");
        if is_url && !urls.iter().any(|known| known == url) {
            urls.push(url.to_owned());
        }
    }
    urls
}

/// Finds the replica that knows the fewest kinds of entries, if it knows fewer than this program.
#[must_use]
pub fn elder(peers: &[Peer]) -> Option<Elder> {
    let least = peers.iter().min_by_key(|peer| peer.knows).filter(|peer| peer.knows < KNOWN)?;
    Some(Elder { advertise: least.advertise.clone(), knows: least.knows })
}

/// Longer than any that the options allow to be of use; what somebody else writes must not fill messages.
const URL_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replica_that_knows_the_fewest_kinds_of_entries_is_the_elder_unless_all_know_as_many() {
        let own = Peer::own("a", "http://a", "http://a:81");
        assert_eq!(elder(&[]), None);
        assert_eq!(elder(std::slice::from_ref(&own)), None);
        let old = Peer { advertise: "http://b".to_owned(), knows: KNOWN - 1, ..own.clone() };
        let expected = Elder { advertise: "http://b".to_owned(), knows: KNOWN - 1 };
        assert_eq!(elder(&[own.clone(), old]), Some(expected));
        let newer = Peer { knows: KNOWN + 1, ..own };
        assert_eq!(elder(&[newer]), None);
    }

    #[test]
    fn sources_are_the_others_each_once_and_only_what_agents_can_fetch_from() {
        let peer = |replica: &str, agents: &str| Peer::own(replica, "https://x", agents);
        let peers = [
            peer("b", "http://b:81/"),
            peer("own", "http://own:81"),
            peer("c", "http://c:81"),
            peer("again", "http://b:81"),
            peer("tls", "https://d"),
            peer("long", &format!("http://{}", "x".repeat(600))),
        ];
        assert_eq!(sources(&peers, "own"), ["http://b:81", "http://c:81"]);
        assert!(sources(&peers[1..2], "own").is_empty());
    }
}
