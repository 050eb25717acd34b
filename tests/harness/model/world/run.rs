//! How time passes.

use std::time::Duration;

use epic_common::machine::Machine;
use epic_common::time::Timestamp;

use super::{OUTPUTS_MAX, World};

impl World {
    /// Lets time pass until something is due, but not beyond `until`; tells whether anything was.
    pub fn pass_time(&mut self, until: Timestamp) -> bool {
        let mesos = self.mesos.deadline(self.now);
        let due = [self.director.deadline(), mesos].into_iter().flatten().min().filter(|due| *due <= until);
        self.now = self.now.max(due.unwrap_or(until));
        self.mesos.step(self.now);
        self.collect();
        due.is_some()
    }

    /// Lets everything happen without faults until nothing is left to do at this time.
    ///
    /// # Panics
    ///
    /// If there is always more to do.
    pub fn rest(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            self.mesos.step(self.now);
            self.collect();
            match self.actions().first() {
                Some(action) => self.perform(*action),
                None => return,
            }
        }
        let last = &self.calls_made[self.calls_made.len().saturating_sub(6)..];
        panic!("it never rests; its last calls were {last:#?}\n{}", self.summary());
    }

    /// Lets everything happen without faults until `goal` holds.
    ///
    /// # Panics
    ///
    /// If it doesn't hold within `limit`; says what was missing last.
    pub fn until(&mut self, limit: Duration, goal: impl Fn(&Self) -> Result<(), String>) {
        let end = self.now + limit;
        loop {
            self.rest();
            let Err(missing) = goal(self) else { return };
            assert!(self.now < end, "after {limit:?} still: {missing}\n{}", self.summary());
            self.pass_time(end);
        }
    }

    /// Says where everything stands.
    fn summary(&self) -> String {
        let session = self.director.session();
        let held = session.offers.len();
        let tasks: Vec<_> = self
            .durable
            .units
            .tasks
            .values()
            .map(|task| (task.id.to_string(), task.agent.to_string(), &task.progress))
            .collect();
        let told = session.told_until;
        format!(
            "now {:?}, {:?}, wants offers: {:?} (told for {told:?}), holds {held}, Mesos holds {}, suppressed: {}\n{:#?}\n{tasks:#?}\n\
            strangers {:?}, unanswered {:?}, updates {}, in flight {}, torn down {}\nlast calls {:#?}",
            self.now,
            session.link,
            session.suppressed.map(|suppressed| !suppressed),
            self.mesos.offers_held(),
            self.mesos.is_suppressed(),
            self.durable.units.all,
            self.durable.strangers,
            session.sent,
            session.updates.len(),
            session.proposed.is_some(),
            session.torn_down,
            &self.calls_made[self.calls_made.len().saturating_sub(4)..],
        )
    }

    /// Lets everything happen without faults for so long.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.rest();
            self.pass_time(end);
        }
        self.rest();
    }
}
