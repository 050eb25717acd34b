//! What the session notes of a plan that is being carried out.

use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::ids::UnitId;
use epic_common::time::Timestamp;

use super::timers::Timers;
use super::{Ack, CallId, Link, Repeatable, Sent, Session};
use crate::matcher::Unfit;
use crate::mesos::Call;
use crate::planner::Plan;
use crate::policy::{HOLD, Policy, REASONS_MAX, RECONCILE_TASKS_MAX};
use crate::state::State;

impl Session {
    /// Notes everything of a plan but its calls, which are noted one by one by [`sent`](Self::sent).
    pub fn took(&mut self, now: Timestamp, (state, policy): (&State, &Policy), plan: &Plan) {
        if let Some(subscribe) = &plan.subscribe {
            self.link = Link::Connecting { tries: self.link.tries(now, policy.steady_after) };
            self.suppressed = Some(subscribe.suppressed);
            // A filter from before the break may still stand.
            self.untold = true;
        }
        self.updates.drain(..plan.updates_taken);
        self.requests.drain(..plan.requests_taken);
        for task in &plan.questions {
            self.unsent.remove(task);
            self.questions.ensure(task, now);
        }
        for task in &plan.informed {
            self.nudges.remove(task);
        }
        for (id, fresh) in plan.unmet.iter().flatten() {
            self.unfit(id, fresh);
        }
        self.unmet.retain(|id, _| state.units.unplaced.contains(id));
        if plan.ledger_seen {
            self.seen.clear();
        }
        if plan.members_seen {
            self.members_touched = false;
        }
        if self.link.is_up() {
            self.acks.clear();
        }
        if !plan.entries.is_empty() {
            let mut batch = plan.batch.clone();
            batch.entries = plan.entries.len();
            self.proposed = Some(batch);
        }
    }

    /// Replaces what was known of the hosts that were just looked at; offers of the others may come at another time.
    fn unfit(&mut self, id: &UnitId, fresh: &[Unfit]) {
        let known = self.unmet.entry(id.clone()).or_default();
        known.retain(|old| fresh.iter().all(|new| new.hostname != old.hostname));
        known.extend_from_slice(fresh);
        known.sort();
        known.truncate(REASONS_MAX);
    }

    /// Notes a call that is being sent.
    pub fn sent(&mut self, now: Timestamp, state: &State, policy: &Policy, (id, call): (CallId, &Call)) {
        let sent = match call {
            Call::Accept { offers, launches, .. } => {
                for offer in offers {
                    self.offers.remove(offer);
                }
                let tasks: Vec<_> = launches.iter().map(|launch| launch.order.task.clone()).collect();
                for task in &tasks {
                    self.questions.remove(task);
                    self.unsent.remove(task);
                    self.accepting.insert(task.clone());
                }
                Sent::Accept { offers: offers.clone(), tasks }
            }
            Call::Decline { offers, refuse } => {
                for offer in offers {
                    self.offers.remove(offer);
                }
                self.repeated(Repeatable::Decline { offers: offers.clone(), refuse: *refuse })
            }
            Call::Revive => {
                self.suppressed = Some(false);
                (self.untold, self.told_until) = (false, now + HOLD);
                self.revive.failed(now, policy.revive);
                Sent::Wish
            }
            Call::Suppress => {
                self.suppressed = Some(true);
                Sent::Wish
            }
            Call::Kill { .. } | Call::Message { .. } => Sent::Other,
            Call::Acknowledge { task, agent, uuid } => {
                self.repeated(Repeatable::Acknowledge(Ack { task: task.clone(), agent: agent.clone(), uuid: *uuid }))
            }
            Call::Reconcile { tasks } => {
                for (task, _) in tasks {
                    let tries = self.questions.tries(task).unwrap_or(0).saturating_add(1);
                    self.questions.set(task.clone(), now + policy.reconcile.jittered(tries, now.0), tries);
                }
                Sent::Reconcile
            }
            Call::ReconcileAll => {
                // Tasks that Mesos doesn't know are not in its answer, so each is asked about, some at a time.
                if self.ask_all.due > Timestamp(0) && self.ask_all.tries == 0 {
                    self.ask_each(now, state);
                }
                self.ask_all.due = Timestamp(u64::MAX);
                Sent::ReconcileAll
            }
            Call::Teardown => {
                self.teardown.due = Timestamp(u64::MAX);
                Sent::Teardown
            }
        };
        self.sent.insert(id, sent);
    }

    fn ask_each(&mut self, now: Timestamp, state: &State) {
        for (nth, task) in state.units.tasks.keys().enumerate() {
            let second = u64::try_from(nth / RECONCILE_TASKS_MAX).unwrap_or(u64::MAX);
            self.questions.ensure(task, now + Duration::from_secs(second));
        }
    }

    /// Puts off what was due and has now been tried, or can't be done yet.
    pub fn put_off(&mut self, now: Timestamp, policy: &Policy) {
        put_off(&mut self.kills, now, policy.kill);
        put_off(&mut self.nudges, now, policy.nudge);
        put_off(&mut self.seekers, now, policy.nudge);
        put_off(&mut self.starting, now, policy.look_at_start);
        let questions: Vec<_> = self.accepting.iter().filter(|id| self.questions.is_due(id, now)).cloned().collect();
        for task in questions {
            self.questions.set(task, now + policy.reconcile.first, 0);
        }
    }

    /// Says when something is due of its own, if nothing happens before.
    #[must_use]
    pub fn deadline(&self, state: &State, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
        let mut times = Vec::new();
        if let (Link::Down { retry, .. }, true) = (&self.link, state.identity.framework.is_some()) {
            times.push(*retry);
        }
        if self.link.is_up() {
            let timers = [self.questions.next(), self.kills.next(), self.nudges.next(), self.seekers.next()];
            times.extend(timers.into_iter().chain([self.repeats.next(), self.starting.next()]).flatten());
            times.extend([self.ask_all.due, self.wish.due, self.revive.due, self.teardown.due]);
            times.push(self.holding + HOLD);
        }
        // Offers are asked for a little before a back-off ends.
        let waits =
            [state.units.waits.next(now), state.units.waits.next(now + HOLD).map(|at| now + (at.since(now) - HOLD))];
        times.extend(waits.into_iter().flatten());
        let mut given_up = state.units.unreachable.iter().map(|(since, _)| *since + policy.unreachable_after);
        times.extend(given_up.find(|at| *at > now));
        times.into_iter().filter(|at| *at > now && *at < Timestamp(u64::MAX)).min()
    }
}

/// Puts off what is due, each for longer than the time before.
fn put_off<K: Ord + Clone>(timers: &mut Timers<K>, now: Timestamp, backoff: Backoff) {
    let due: Vec<_> = timers.due(now).cloned().collect();
    for key in due {
        let tries = timers.tries(&key).unwrap_or(0).saturating_add(1);
        timers.set(key, now + backoff.jittered(tries, now.0), tries);
    }
}
