//! What can happen to replicas: they die and come back, stop and go on, and lose `ZooKeeper` and find it again.

use epic_scheduler_core::replica::{Answer, Connection, Input as Heard};

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

    /// Starts a process that is dead, with as much of the journal as its disk has kept: nothing, half of it, or all.
    pub fn restart(&mut self, who: usize) {
        if self.all[who].process == Process::Dead {
            let kept = [0, self.all[who].copy / 2, self.all[who].copy][usize::try_from(self.started % 3).unwrap_or(0)];
            self.all[who] = self.fresh(who, kept);
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
        if replica.is_connected && !self.reaches(who) {
            self.session_is(who, Connection::Broken);
            self.session_is(who, Connection::Over);
        }
    }

    /// Cuts a replica from `ZooKeeper`.
    pub fn cut(&mut self, who: usize) {
        if std::mem::replace(&mut self.all[who].is_connected, false) {
            self.session_is(who, Connection::Broken);
        }
    }

    /// Lets a replica reach `ZooKeeper` again.
    pub fn mend(&mut self, who: usize) {
        if std::mem::replace(&mut self.all[who].is_connected, true) {
            return;
        }
        self.touch(who);
        let lives = self.reaches(who);
        self.session_is(who, if lives { Connection::Up } else { Connection::Over });
        self.notice();
    }

    /// Lets what a replica waits for fail: its snapshot, who takes part, or what it has asked of the journal.
    pub fn fail(&mut self, who: usize) {
        if self.all[who].process != Process::Running {
            return;
        }
        let (replica, why) = (&mut self.all[who], "a server refuses".to_owned());
        let snapshot = replica.snapshot.take().map(|(ask, ..)| Heard::Snapshotted(ask, Err(why.clone())));
        let peers = replica.inquiry.take_if(|_| snapshot.is_none()).map(|ask| Heard::Peers(ask, Err(why.clone())));
        let question = replica.question.take_if(|_| snapshot.is_none() && peers.is_none());
        let failed = question.map(|(ask, _)| Heard::Journal(ask, Answer::Failed(why)));
        if let Some(heard) = snapshot.or(peers).or(failed) {
            self.hear(who, heard);
        }
    }
}
