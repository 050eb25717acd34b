//! What happens to replicas, one step at a time.

use epic_scheduler_core::director::Input;
use epic_scheduler_core::replica::{Input as Heard, Summary};

use super::{Process, Replica, Replicas};
use crate::model::Out;

/// Something that can happen next; numbers of replicas, or of a call on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its batch is written, or refused because something else is there.
    Commit(usize),
    /// What it has asked of the journal is answered.
    Journal(usize),
    /// Its snapshot is written.
    Snapshot(usize),
    /// Its director handles the first of what it was told.
    Direct(usize),
    /// It hears what its director proposes.
    Propose(usize),
    /// What its election asked for is done.
    ZooKeeper(usize),
    /// It hears who takes part.
    Peers(usize),
    /// It hears what happened first of what it hasn't heard.
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
            let reaches = self.reaches(who);
            let possible = [
                (replica.appending.is_some() && replica.is_connected, Step::Commit(who)),
                (self.answers(who), Step::Journal(who)),
                (replica.snapshot.is_some() && reaches, Step::Snapshot(who)),
                (!replica.directed.is_empty(), Step::Direct(who)),
                (!replica.proposed.is_empty(), Step::Propose(who)),
                (replica.candidates.is_some(), Step::ZooKeeper(who)),
                (replica.inquiry.is_some() && reaches, Step::Peers(who)),
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
            Step::Journal(who) => self.ask_journal(who),
            Step::Snapshot(who) => self.write_snapshot(who),
            Step::Direct(who) => self.direct(who),
            Step::Propose(who) => {
                let (first, entries) = self.all[who].proposed.pop_front().expect("a batch is proposed");
                self.hear(who, Heard::Proposed(first, entries));
            }
            Step::ZooKeeper(who) => self.ask_zookeeper(who),
            Step::Peers(who) => self.ask_for_peers(who),
            Step::Hear(who) => {
                let heard = self.all[who].heard.pop_front().expect("something happened");
                self.hear(who, heard);
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

    /// Lets a director handle what it was told, and its replica know so.
    fn direct(&mut self, who: usize) {
        let input = self.all[who].directed.pop_front().expect("something was said");
        if matches!(input, Input::Lead { .. }) {
            self.all[who].epoch = self.all[who].director.state().epoch();
        }
        self.tell(who, input);
        let replica = &self.all[who];
        if replica.directed.is_empty() {
            let state = Summary::of(replica.director.state());
            assert_eq!(replica.machine.known().summary, state, "a director has another state than its replica knows");
        }
        self.hear(who, Heard::Directed);
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
