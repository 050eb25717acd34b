//! What happens to replicas, one step at a time.

use epic_common::machine::Machine;
use epic_scheduler_core::director::Input;
use epic_scheduler_core::replica::election::{self, Input as Heard, Output as Asked};

use super::{Process, Replica, Replicas};
use crate::model::Out;

/// Something that can happen next; numbers of replicas, or of a call on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its batch is written, or refused because something else is there.
    Commit(usize),
    /// It claims the lead in the journal.
    Claim(usize),
    /// It reads the next batch that it has not applied.
    Follow(usize),
    /// What its election asked for first is done.
    ZooKeeper(usize),
    /// Its election hears what happened first.
    Hear(usize),
    /// It hears the next thing on its subscription.
    News(usize),
    /// It hears the first answer to a call.
    Answer(usize),
    /// A call arrives; calls to one agent keep their order.
    Call(usize),
    /// Something that Mesos said is sent to whoever is subscribed.
    Event,
}

impl Replicas {
    /// Lists what can happen next without time passing.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (who, replica) in self.all.iter().enumerate().filter(|(_, replica)| replica.process == Process::Running) {
            let reads = replica.is_connected && !replica.director.is_leading() && replica.read < self.journal.len();
            let may_claim = replica.is_chosen && replica.claim.is_none() && !replica.director.is_leading();
            let claims = may_claim && replica.proposed.is_none() && replica.is_connected && !reads;
            let possible = [
                (replica.proposed.is_some() && replica.is_connected, Step::Commit(who)),
                (claims, Step::Claim(who)),
                (reads, Step::Follow(who)),
                (!replica.asked.is_empty(), Step::ZooKeeper(who)),
                (!replica.heard.is_empty(), Step::Hear(who)),
                (!replica.incoming.is_empty(), Step::News(who)),
                (!replica.replies.is_empty(), Step::Answer(who)),
            ];
            steps.extend(possible.into_iter().filter(|(is_possible, _)| *is_possible).map(|(_, step)| step));
        }
        let mut lanes = Vec::new();
        for (at, wire) in self.wires.iter().enumerate() {
            let lane = (&wire.stream, wire.call.lane());
            if !lanes.contains(&lane) {
                lanes.push(lane);
                steps.push(Step::Call(at));
            }
        }
        if !self.mesos.out.is_empty() {
            steps.push(Step::Event);
        }
        steps
    }

    /// Lets something happen.
    ///
    /// # Panics
    ///
    /// If it isn't one of [`steps`](Self::steps), or an invariant breaks.
    pub fn perform(&mut self, step: Step) {
        match step {
            Step::Commit(who) => self.commit(who),
            Step::Claim(who) => self.claim(who),
            Step::Follow(who) => self.follow(who),
            Step::ZooKeeper(who) => self.ask_zookeeper(who),
            Step::Hear(who) => {
                let heard = self.all[who].heard.pop_front().expect("something happened");
                self.all[who].election.handle(self.now, heard);
                self.collect(who);
            }
            Step::News(who) => self.news(who),
            Step::Answer(who) => {
                let (id, answer) = self.all[who].replies.pop_front().expect("an answer is on its way");
                self.tell(who, Input::Answered(id, answer));
            }
            Step::Call(at) => {
                let wire = self.wires.remove(at).expect("a call is on its way");
                let answer = self.mesos.call(self.now, &wire.stream, &wire.call);
                if let Some((who, id)) = wire.from {
                    self.all[who].replies.push_back((id, answer));
                }
            }
            Step::Event => {
                let (Out::Event(stream, _) | Out::End(stream, _)) =
                    self.mesos.out.front().expect("Mesos said something");
                let hears = |replica: &&mut Replica| replica.connection.as_ref() == Some(stream);
                let replica = self.all.iter_mut().find(hears);
                let said = self.mesos.out.pop_front();
                if let Some(replica) = replica {
                    replica.incoming.extend(said);
                }
            }
        }
        self.history.running(&self.durable, &self.mesos);
    }

    fn commit(&mut self, who: usize) {
        let replica = &mut self.all[who];
        let proposal = replica.proposed.take().expect("a batch is on its way");
        self.zookeeper.touch(replica.session, self.now);
        if !proposal.landed && self.journal.len() == proposal.at {
            self.append(proposal.epoch, &proposal.entries);
        } else if !proposal.landed {
            if self.all[who].director.is_leading() {
                self.deposed.push(who);
                self.tell(who, Input::StandDown("another replica writes to the journal".to_owned()));
            }
            self.all[who].election.handle(self.now, Heard::Deposed);
            return self.collect(who);
        }
        let leads = self.all[who].director.is_leading() && self.all[who].epoch == proposal.epoch;
        self.all[who].read += usize::from(leads);
        // Whoever has stood down meanwhile hears it late, and reads it back as everybody does.
        self.tell(who, Input::Committed(proposal.first));
    }

    fn claim(&mut self, who: usize) {
        let replica = &mut self.all[who];
        let state = replica.director.state();
        let (epoch, advertise) = (state.epoch() + 1, replica.place.clone());
        let entry = election::claim(state, self.now, &who.to_string(), &advertise);
        self.zookeeper.touch(replica.session, self.now);
        replica.claim = Some((replica.read, replica.clock(self.now)));
        self.append(epoch, &[entry]);
    }

    fn follow(&mut self, who: usize) {
        let replica = &mut self.all[who];
        let (first, entries) = self.journal[replica.read].clone();
        let claimed = replica.claim.take_if(|(batch, _)| *batch == replica.read).map(|(_, at)| at);
        replica.read += 1;
        self.tell(who, Input::Followed(first, entries));
        if let Some(clock) = claimed {
            let journal = self.all[who].director.state().at;
            self.all[who].epoch = self.all[who].director.state().epoch();
            self.tell(who, Input::Time { journal, clock });
            self.introduce(who);
            self.tell(who, Input::Lead { claimed });
        }
    }

    fn ask_zookeeper(&mut self, who: usize) {
        let replica = &mut self.all[who];
        let asked = replica.asked.pop_front().expect("something was asked");
        let works = replica.is_connected && self.zookeeper.lives(replica.session);
        if works {
            self.zookeeper.touch(replica.session, self.now);
        }
        let answer = match asked {
            Asked::Create(ask) if works => Heard::Created { ask, name: self.zookeeper.create(replica.session) },
            Asked::Create(ask) => Heard::CreateFailed { ask },
            Asked::List(ask) if works => {
                Heard::Candidates { ask, own: self.zookeeper.own(replica.session), names: self.zookeeper.list() }
            }
            Asked::Withdraw { ask, own } => {
                if works {
                    self.zookeeper.delete(&own);
                    self.notice();
                }
                let replica = &mut self.all[who];
                return replica.heard.push_back(Heard::Withdrawn { ask });
            }
            Asked::Watch { ask, predecessor } if works => {
                replica.watched = Some((ask, predecessor));
                return self.notice();
            }
            Asked::List(ask) | Asked::Watch { ask, .. } => Heard::ListFailed { ask },
            Asked::Claim | Asked::Pause | Asked::Resume | Asked::StandDown => return,
        };
        replica.heard.push_back(answer);
    }

    /// Tells whoever watches a candidate that is gone.
    pub(super) fn notice(&mut self) {
        let there = self.zookeeper.list();
        for replica in self.all.iter_mut().filter(|replica| replica.is_connected) {
            let gone = replica.watched.take_if(|(_, name)| !there.contains(name));
            replica.heard.extend(gone.map(|(ask, _)| Heard::PredecessorGone { ask }));
        }
    }

    fn news(&mut self, who: usize) {
        let replica = &mut self.all[who];
        match replica.incoming.pop_front().expect("something was said") {
            Out::Event(stream, event) => {
                replica.subscribed = true;
                self.tell(who, Input::Mesos(stream, event));
            }
            Out::End(stream, end) => {
                replica.connection = None;
                let had = replica.subscribed.then_some(stream);
                self.tell(who, Input::LinkEnded(had, end));
            }
        }
    }
}
