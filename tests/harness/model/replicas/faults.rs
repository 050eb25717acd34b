//! What can happen to replicas: they die and come back, stop and go on, and lose `ZooKeeper` and find it again.

use epic_common::machine::Machine;
use epic_scheduler_core::replica::election::Input as Heard;

use super::{Process, Replicas};

impl Replicas {
    /// Ends a process; its calls may still arrive, its session outlives it.
    pub fn kill(&mut self, who: usize) {
        self.all[who].process = Process::Dead;
        for wire in &mut self.wires {
            wire.from.take_if(|(from, _)| *from == who);
        }
        self.all[who].connection = None;
        self.mesos.gone.insert(self.all[who].place.clone());
    }

    /// Starts a process that is dead, with as much of the journal as its own store had: half of it.
    pub fn restart(&mut self, who: usize) {
        if self.all[who].process == Process::Dead {
            let replica = self.fresh(self.journal.len() / 2);
            self.all[who] = replica;
            for who in 0..self.all.len() {
                self.introduce(who);
            }
        }
    }

    /// Stops a process, as SIGSTOP does.
    pub fn stop(&mut self, who: usize) {
        if self.all[who].process == Process::Running {
            self.all[who].process = Process::Stopped;
        }
    }

    /// Lets a stopped process go on; it learns of its session's end only now.
    pub fn wake(&mut self, who: usize) {
        let replica = &mut self.all[who];
        if replica.process != Process::Stopped {
            return;
        }
        replica.process = Process::Running;
        if replica.is_connected && !self.zookeeper.lives(replica.session) {
            replica.heard.push_back(Heard::Disconnected);
            self.renew(who);
        }
    }

    /// Cuts a replica from `ZooKeeper`.
    pub fn cut(&mut self, who: usize) {
        if std::mem::replace(&mut self.all[who].is_connected, false) {
            self.all[who].heard.push_back(Heard::Disconnected);
        }
    }

    /// Lets a replica reach `ZooKeeper` again.
    pub fn mend(&mut self, who: usize) {
        let replica = &mut self.all[who];
        if std::mem::replace(&mut replica.is_connected, true) {
            return;
        }
        if self.zookeeper.lives(replica.session) {
            self.zookeeper.touch(replica.session, self.now);
            replica.heard.push_back(Heard::Connected);
        } else {
            self.renew(who);
        }
        self.notice();
    }

    fn renew(&mut self, who: usize) {
        let replica = &mut self.all[who];
        replica.session = self.zookeeper.open(self.now);
        replica.watched = None;
        replica.asked.clear();
        replica.heard.extend([Heard::Expired, Heard::Connected]);
    }

    /// Lets a leader that has nothing on its way make room for another; does nothing to others.
    pub fn abdicate(&mut self, who: usize) {
        let now = self.now;
        if self.all[who].process == Process::Running && self.all[who].proposed.is_none() {
            self.all[who].election.handle(now, Heard::Abdicate);
            self.collect(who);
        }
    }

    /// Writes the batch that a replica proposed without telling it so yet; tells whether there was one that could land.
    pub fn land(&mut self, who: usize) -> bool {
        let Some(mut proposal) = self.all[who].proposed.take() else { return false };
        let lands = !proposal.landed && proposal.at == self.journal.len();
        if lands {
            self.append(proposal.epoch, &proposal.entries);
            proposal.landed = true;
        }
        self.all[who].proposed = Some(proposal);
        lands
    }
}
