//! What a replica shows of itself and of the others.

use epic_common::time::Timestamp;

use super::election::Ask;
use super::peers::{Peer, elder, sources};
use super::traffic::{Connection, Output, Role, Shown};
use super::{Inquiry, PEERS_EVERY, Phase, Replica};
use crate::director;
use crate::state::Leader;

impl Replica {
    /// Takes note of who takes part; a claim that stands has waited for that.
    pub(super) fn heard_of(&mut self, now: Timestamp, asked: Ask, peers: Result<Vec<Peer>, String>) {
        let Inquiry::Open { ask, epoch } = self.inquiry else { return };
        if ask != asked {
            return;
        }
        self.inquiry = Inquiry::At(now + PEERS_EVERY);
        let peers = match peers {
            Ok(peers) => peers,
            Err(why) if self.phase == Phase::Claimed => return self.lose(now, why),
            // It is asked again soon.
            Err(_) => return,
        };
        self.asked_in = epoch;
        if self.phase == Phase::Claimed || peers != self.peers {
            self.direct(director::Input::Elder(elder(&peers)));
            self.direct(director::Input::Sources(sources(&peers, &self.terms.id)));
            self.told.push_back(Output::ShowPeers(peers.clone()));
            self.peers = peers;
        }
        if self.phase == Phase::Claimed {
            self.lead();
        }
    }

    /// Says what others may see, if that has changed.
    pub(super) fn poll_shown(&mut self) -> Option<Output> {
        let mut shown = self.shown();
        // What a leader commits is seen in the state.
        if let Some(before) = self.shown.as_ref().filter(|before| [before.role, shown.role] == [Role::Leading; 2]) {
            shown.index = before.index;
        }
        if self.shown.as_ref() == Some(&shown) {
            return None;
        }
        self.shown = Some(shown.clone());
        Some(Output::Show(shown))
    }

    /// Returns what others may see now.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let role = match self.phase {
            Phase::Claiming | Phase::Claimed => Role::Claiming,
            Phase::Leading(_) => Role::Leading,
            Phase::Waiting(_)
            | Phase::Opening
            | Phase::Joining
            | Phase::Standby
            | Phase::Closing
            | Phase::Ending
            | Phase::Ended => Role::Standby,
        };
        let problem = self.problem();
        // Whoever led and takes part no more doesn't lead; neither is it known of anybody while something is wrong.
        let takes_part = |leader: &&Leader| {
            leader.epoch > self.asked_in || self.peers.iter().any(|peer| peer.replica == leader.replica)
        };
        let leader = self.known.summary.leader.as_ref().filter(|_| problem.is_empty()).filter(takes_part).cloned();
        let (epoch, index) = (self.known.summary.epoch(), self.known.summary.index);
        Shown { role, leader, epoch, index, problem: problem.to_owned() }
    }

    fn problem(&self) -> &str {
        let connection = self.session.as_ref().filter(|_| self.takes_part()).map(|session| session.connection);
        match connection {
            Some(Connection::Broken) => "ZooKeeper doesn't answer just now",
            Some(Connection::Up | Connection::Over) | None => &self.problem,
        }
    }
}
