//! Which offers are held.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use epic_common::ids::OfferId;
use epic_scheduler_core::mesos::{Call, Event};

use super::table::OFFERS_HELD;
use super::{number, wide};

/// The offers of a subscription that were neither used nor given back nor taken away; bounded by what Mesos offers.
///
/// A call ends an offer when it is handed to Mesos; if it gets lost, so does the subscription with all its offers.
#[derive(Clone, Debug, Default)]
pub struct Held(Rc<RefCell<BTreeSet<OfferId>>>);

impl Held {
    /// Takes note of what Mesos says.
    pub fn hear(&self, event: &Event) {
        match event {
            Event::Subscribed => self.change(BTreeSet::clear),
            Event::Offers(offers) => {
                self.change(|held| held.extend(offers.iter().map(|offer| offer.id.clone())));
            }
            Event::Rescind(offer) => self.change(|held| held.retain(|known| known != offer)),
            Event::Update(_) | Event::Failure { .. } => {}
        }
    }

    /// Takes note of a call.
    pub fn send(&self, call: &Call) {
        match call {
            Call::Accept { offers, .. } => self.change(|held| held.retain(|known| !offers.contains(known))),
            Call::Decline { offers, .. } => self.change(|held| held.retain(|offer| !offers.contains(offer))),
            Call::Revive
            | Call::Suppress
            | Call::Kill { .. }
            | Call::Acknowledge { .. }
            | Call::Reconcile { .. }
            | Call::ReconcileAll
            | Call::Message { .. }
            | Call::Teardown => {}
        }
    }

    /// Takes note that the subscription is over: its offers are void.
    pub fn clear(&self) {
        self.change(BTreeSet::clear);
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<OfferId>)) {
        let mut held = self.0.borrow_mut();
        change(&mut held);
        OFFERS_HELD.set([], number(wide(held.len())));
    }
}
