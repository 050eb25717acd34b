//! How time passes for replicas, and what people ask of them.

use std::collections::BTreeSet;
use std::time::Duration;

use epic_common::ids::FrameworkId;
use epic_common::machine::Machine;
use epic_common::time::Timestamp;
use epic_scheduler_core::director::Input;
use epic_scheduler_core::mesos::TaskState;
use epic_scheduler_core::request::{Answer, Applicant, ClientId, RejectionKind, Request, Wish};
use epic_scheduler_core::state::entry::Fact;

use super::{Process, Replicas};
use crate::model::desired;

/// Steps without any time passing; more mean that it never rests.
const STEPS_MAX: usize = 5_000;

impl Replicas {
    /// Lets time pass until something is due, but not beyond `until`.
    pub fn pass_time(&mut self, until: Timestamp) {
        let active = self.all.iter().filter(|replica| replica.process == Process::Running);
        let due = active.flat_map(|replica| {
            let own = [replica.director.deadline(), replica.machine.deadline()].into_iter().flatten();
            own.map(|at| Timestamp(at.0.saturating_add_signed(replica.skew.saturating_neg())))
        });
        let due = due.chain(self.fallen.map(|(_, until)| until));
        let due = due.chain(self.mesos.deadline(self.now)).chain(self.zookeeper.deadline()).min();
        self.now = self.now.max(due.unwrap_or(until).min(until));
        for who in 0..self.all.len() {
            if self.all[who].process == Process::Running {
                self.touch(who);
            }
        }
        self.zookeeper.expire(self.now);
        self.notice();
        if let Some((who, _)) = self.fallen.take_if(|(_, until)| *until <= self.now) {
            self.restart(who);
        }
        self.look();
    }

    /// Lets Mesos and all replicas do what is due.
    pub fn look(&mut self) {
        self.mesos.step(self.now);
        for who in 0..self.all.len() {
            self.collect(who);
        }
    }

    /// Lets everything happen until nothing is left to do at this time.
    ///
    /// # Panics
    ///
    /// If there is always more to do.
    pub fn rest(&mut self) {
        for _ in 0..STEPS_MAX {
            self.look();
            match self.steps().first() {
                Some(step) => self.perform(*step),
                None => return,
            }
        }
        panic!("it never rests; next would be {:?}", self.steps());
    }

    /// Lets everything happen until `goal` holds.
    ///
    /// # Panics
    ///
    /// If it doesn't hold within `limit`; says what was missing last.
    pub fn until(&mut self, limit: Duration, goal: impl Fn(&Self) -> Result<(), String>) {
        let end = self.now + limit;
        loop {
            self.rest();
            let Err(missing) = goal(self) else { return };
            assert!(self.now < end, "after {limit:?} still: {missing}");
            self.pass_time(end);
        }
    }

    /// Lets everything happen for so long.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.rest();
            self.pass_time(end);
        }
        self.rest();
    }

    /// Returns the replica that leads.
    ///
    /// # Panics
    ///
    /// If there isn't exactly one that runs and believes so.
    #[must_use]
    pub fn leader(&self) -> usize {
        let leading: Vec<_> = self.leading();
        assert_eq!(leading.len(), 1, "{leading:?} lead");
        leading[0]
    }

    /// Lists those that run and believe that they lead.
    #[must_use]
    pub fn leading(&self) -> Vec<usize> {
        let leads = |who: &usize| self.all[*who].process != Process::Dead && self.all[*who].director.is_leading();
        (0..self.all.len()).filter(leads).collect()
    }

    /// Counts the durable barriers.
    #[must_use]
    pub fn barriers(&self) -> usize {
        self.journal.entries().filter(|entry| matches!(entry.fact, Fact::Barrier { .. })).count()
    }

    /// Counts the attempts that ever ran.
    #[must_use]
    pub fn ran(&self) -> usize {
        let running = self.journal.entries().filter_map(|entry| {
            let Fact::StatusRecorded(status) = &entry.fact else { return None };
            (status.state == TaskState::Running).then_some(&status.task)
        });
        running.collect::<BTreeSet<_>>().len()
    }

    /// Tells whether a replica has applied all that is durable.
    #[must_use]
    pub fn is_caught_up(&self, who: usize) -> bool {
        *self.all[who].director.state() == self.durable
    }

    /// Asks a replica for something.
    pub fn ask(&mut self, who: usize, wish: Wish, key: Option<&str>) -> ClientId {
        self.clients += 1;
        let client = ClientId(self.clients);
        self.tell(who, Input::Request(client, Request { key: key.map(str::to_owned), ..Request::new(wish) }));
        client
    }

    /// Asks for a controller and so many workers.
    #[must_use]
    pub fn workers(&self, workers: u32) -> Wish {
        let framework = FrameworkId::new(format!("framework-{}", self.clients));
        Wish::Apply { desired: Box::new(desired(workers)), framework, by: Applicant::Person }
    }

    /// Asks whoever leads until there is an answer; repeats have the same key.
    ///
    /// # Panics
    ///
    /// If the wish is refused, or nobody answers it within ten minutes.
    pub fn insist(&mut self, wish: &Wish) {
        let key = format!("key-{}", self.clients);
        let end = self.now + Duration::from_secs(600);
        while self.now < end {
            self.rest();
            if let Some(leader) = self.leading().first().copied() {
                let client = self.ask(leader, wish.clone(), Some(&key));
                self.rest();
                match self.answer(client) {
                    Some(Ok(_)) => return,
                    Some(Err(refusal)) if refusal.kind == RejectionKind::Unavailable => {}
                    Some(Err(refusal)) => panic!("{wish:?} is refused: {refusal:?}"),
                    None => {}
                }
            }
            self.pass_time(end);
        }
        panic!("nobody answers {wish:?}");
    }

    /// Returns the answer to a request, if there is one.
    #[must_use]
    pub fn answer(&self, client: ClientId) -> Option<&Answer> {
        self.answers.iter().find(|(whose, _)| *whose == client).map(|(_, answer)| answer)
    }
}
