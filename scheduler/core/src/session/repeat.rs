//! What becomes of calls: which are made again, and which one ends the subscription.

use std::time::Duration;

use epic_common::ids::{OfferId, TaskId};
use epic_common::time::Timestamp;

use super::{Ack, CallAnswer, CallId, Session};
use crate::mesos::{Call, LinkEnd};
use crate::policy::Policy;

/// What a call was that is not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It launches tasks.
    Accept {
        /// On these offers.
        offers: Vec<OfferId>,
        /// These.
        tasks: Vec<TaskId>,
    },
    /// It is made again until it has been taken.
    Repeatable {
        /// What it says.
        call: Repeatable,
        /// How often it has failed.
        tries: u32,
    },
    /// It asks about tasks, which have timers of their own.
    Reconcile,
    /// It asks about all tasks.
    ReconcileAll,
    /// It says whether offers are wanted.
    Wish,
    /// It ends the framework.
    Teardown,
    /// Nothing waits for its answer.
    Other,
}

/// A call that harms nobody when it arrives twice, and that nothing else would repeat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repeatable {
    /// An acknowledgement.
    Acknowledge(Ack),
    /// Offers that are given back.
    Decline {
        /// Which.
        offers: Vec<OfferId>,
        /// How long they aren't offered again.
        refuse: Duration,
    },
}

impl Repeatable {
    /// Returns the call itself.
    #[must_use]
    pub fn call(&self) -> Call {
        match self {
            Self::Acknowledge(ack) => ack.call(),
            Self::Decline { offers, refuse } => Call::Decline { offers: offers.clone(), refuse: *refuse },
        }
    }
}

/// An acknowledgement that fails so often is left to Mesos, which repeats the update.
const ACKNOWLEDGE_TRIES_MAX: u32 = 10;

impl Session {
    /// Notes how a call went; returns how the subscription ends if it must because of it.
    ///
    /// Only a launch that may still arrive needs a new subscription, which fences it. All else is made again: a second
    /// arrival changes nothing.
    #[must_use]
    pub fn answered(&mut self, now: Timestamp, policy: &Policy, id: CallId, answer: &CallAnswer) -> Option<LinkEnd> {
        let (why, failed) = match answer {
            // The end of its subscription is on its way and settles the call; until then it would only be fenced again.
            CallAnswer::Fenced => return None,
            CallAnswer::Ended(why) => return Some(LinkEnd::Broke(why.clone())),
            CallAnswer::Accepted => ("", false),
            CallAnswer::Refused(why) | CallAnswer::Lost(why) => (why.as_str(), true),
        };
        match self.sent.remove(&id)? {
            Sent::Accept { tasks, .. } if matches!(answer, CallAnswer::Lost(_)) => {
                self.settle(&tasks, now + policy.launch_deadline);
                return Some(LinkEnd::Fenced(why.to_owned()));
            }
            Sent::Accept { offers, tasks } if failed => {
                // Mesos still takes the offers for held.
                let back = Repeatable::Decline { offers, refuse: policy.refuse_unfit };
                self.repeats.ensure(&back, now);
                self.settle(&tasks, now);
            }
            Sent::Accept { tasks, .. } => {
                self.has_launched = true;
                self.settle(&tasks, now + policy.launch_deadline);
            }
            Sent::Repeatable { call, tries } if failed => self.again(now, policy, call, tries.saturating_add(1)),
            Sent::ReconcileAll if failed => self.ask_all.failed(now, policy.reconcile),
            Sent::ReconcileAll => self.ask_all.succeeded(now + policy.reconcile_every.jittered(1, now.0)),
            Sent::Wish if failed => {
                self.suppressed = None;
                self.wish.failed(now, policy.repeat);
            }
            Sent::Wish => self.wish.succeeded(now),
            Sent::Teardown if failed => self.teardown.failed(now, policy.repeat),
            Sent::Teardown => self.torn_down = true,
            Sent::Repeatable { .. } | Sent::Reconcile | Sent::Other => {}
        }
        None
    }

    /// Mesos is asked about launches of which nothing was heard by then.
    fn settle(&mut self, tasks: &[TaskId], due: Timestamp) {
        for task in tasks {
            // One that was heard of meanwhile needs no deadline.
            if self.accepting.remove(task) {
                self.questions.set(task.clone(), due, 0);
            }
        }
    }

    fn again(&mut self, now: Timestamp, policy: &Policy, call: Repeatable, tries: u32) {
        let is_hopeless = matches!(call, Repeatable::Acknowledge(_)) && tries > ACKNOWLEDGE_TRIES_MAX;
        if !is_hopeless {
            self.repeats.set(call, now + policy.repeat.jittered(tries, now.0), tries);
        }
    }

    /// Takes a call out of those that are to be made again; returns what it is while it isn't answered.
    pub(super) fn repeated(&mut self, call: Repeatable) -> Sent {
        let tries = self.repeats.tries(&call).unwrap_or(0);
        self.repeats.remove(&call);
        Sent::Repeatable { call, tries }
    }

    /// Tells whether an acknowledgement is not known to have arrived.
    #[must_use]
    pub fn is_acknowledging(&self) -> bool {
        let is_ack = |call: &Repeatable| matches!(call, Repeatable::Acknowledge(_));
        self.repeats.keys().any(is_ack)
            || self.sent.values().any(|sent| matches!(sent, Sent::Repeatable { call, .. } if is_ack(call)))
    }
}
