//! What a replica shows of itself and of the others.

use std::sync::Arc;

use epic_scheduler_core::state::Leader;
use tracing::warn;

use super::Replica;
use crate::metrics;
use crate::peers::Peer;
use crate::replica::{Mode, Replica as Shown};

impl Replica {
    /// Passes on who takes part.
    pub(super) async fn heard_of(&mut self, peers: Option<Vec<Peer>>, asked_in: u64) {
        let Some(peers) = peers else { return };
        self.asked_in = asked_in;
        if **self.ends.peers.borrow() == peers {
            return;
        }
        self.introduce(&peers).await;
        self.ends.peers.send_replace(Arc::new(peers));
        let (mode, problem) = {
            let shown = self.ends.shown.borrow();
            (shown.mode, shown.problem.clone())
        };
        self.show(mode, problem);
    }

    /// Shows itself before the first connection.
    pub fn show_connecting(&self) {
        self.show(
            Mode::Standby,
            format!("ZooKeeper at {} has not answered yet", self.terms.connect.path.servers.join(",")),
        );
    }

    /// Shows that it takes no part; the same reason is told once.
    pub(super) fn show_out(&self, why: String) {
        if self.ends.shown.borrow().problem != why {
            warn!(why, "this replica takes no part");
        }
        self.show(Mode::Standby, why);
    }

    pub(super) fn show(&self, mode: Mode, problem: String) {
        // Whoever led and takes part no more doesn't lead; neither is it known of anybody while something is wrong.
        let peers = Arc::clone(&self.ends.peers.borrow());
        let takes_part =
            |leader: &&Leader| leader.epoch > self.asked_in || peers.iter().any(|peer| peer.replica == leader.replica);
        let leader = self.known.state.identity.leader.as_ref().filter(|_| problem.is_empty()).filter(takes_part);
        let shown = Shown {
            mode,
            advertise: self.terms.advertise.clone(),
            leader: leader.map(|leader| leader.advertise.clone()),
            since: leader.map(|leader| leader.since),
            epoch: self.known.state.epoch(),
            index: self.known.state.index.0,
            caught_up: problem.is_empty(),
            problem,
        };
        metrics::replica(&shown);
        self.ends.shown.send_replace(shown);
    }
}
