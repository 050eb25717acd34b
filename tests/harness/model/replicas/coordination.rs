//! What a replica asks of `ZooKeeper` besides the journal: sessions, candidates, and who takes part.

use epic_scheduler_core::replica::election::{Answer, Question};
use epic_scheduler_core::replica::{Connection, Input as Heard, Peer};

use super::Replicas;

impl Replicas {
    /// Tells whether a replica has a session that lives, and reaches a server.
    pub(super) fn reaches(&self, who: usize) -> bool {
        let replica = &self.all[who];
        replica.is_connected && replica.session.is_some_and(|(session, _)| self.zookeeper.lives(session))
    }

    /// Lets `ZooKeeper` hear of a replica's session, if it can.
    pub(super) fn touch(&mut self, who: usize) {
        let replica = &self.all[who];
        if let Some((session, _)) = replica.session.filter(|_| replica.is_connected) {
            self.zookeeper.touch(session, self.now);
        }
    }

    /// Lets a replica hear later that its session is so.
    pub(super) fn session_is(&mut self, who: usize, connection: Connection) {
        let replica = &mut self.all[who];
        if let Some((_, number)) = replica.session {
            replica.heard.push_back(Heard::Session(number, connection));
        }
    }

    /// Closes a replica's session; if it is cut off, the session goes on without it.
    pub(super) fn close(&mut self, who: usize) {
        let replica = &mut self.all[who];
        if let Some((session, _)) = replica.session.take().filter(|_| replica.is_connected) {
            self.zookeeper.close(session);
        }
        (replica.question, replica.candidates, replica.inquiry) = (None, None, None);
        (replica.appending, replica.stray, replica.snapshot, replica.watched) = (None, None, None, None);
        replica.heard.push_back(Heard::Closed);
        self.notice();
    }

    /// Answers what a replica has asked about the candidates; it hears it later.
    pub(super) fn ask_zookeeper(&mut self, who: usize) {
        let (ask, question) = self.all[who].candidates.take().expect("something was asked");
        let works = self.reaches(who);
        self.touch(who);
        let session = self.all[who].session.map_or(0, |(session, _)| session);
        let answer = match question {
            Question::Create if works => Answer::Created(self.zookeeper.create((session, who))),
            Question::Create => Answer::CreateFailed,
            Question::List if works => {
                Answer::Candidates { own: self.zookeeper.own(session), names: self.zookeeper.list() }
            }
            Question::Withdraw(own) => {
                if works {
                    self.zookeeper.delete(&own);
                    self.notice();
                }
                Answer::Withdrawn
            }
            Question::Watch(predecessor) if works => {
                self.all[who].watched = Some((ask, predecessor));
                return self.notice();
            }
            Question::List | Question::Watch(_) => Answer::ListFailed,
        };
        self.all[who].heard.push_back(Heard::Candidates(ask, answer));
    }

    /// Tells whoever watches a candidate that is gone.
    pub(super) fn notice(&mut self) {
        let there = self.zookeeper.list();
        for replica in self.all.iter_mut().filter(|replica| replica.is_connected) {
            let gone = replica.watched.take_if(|(_, name)| !there.contains(name));
            replica.heard.extend(gone.map(|(ask, _)| Heard::Candidates(ask, Answer::PredecessorGone)));
        }
    }

    /// Lets a replica hear who takes part.
    pub(super) fn ask_for_peers(&mut self, who: usize) {
        let ask = self.all[who].inquiry.take().expect("somebody wants to know");
        let peer = |who: usize| Peer::own(&who.to_string(), &self.all[who].place, &self.all[who].place);
        let peers = self.zookeeper.owners().into_iter().map(peer).collect();
        self.touch(who);
        self.hear(who, Heard::Peers(ask, Ok(peers)));
    }
}
