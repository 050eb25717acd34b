//! Static reservations that say more than their role, given back to Mesos as they were offered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use epic_proto::mesos::v1::resource::ReservationInfo;
use epic_proto::mesos::v1::scheduler::Call;
use epic_proto::mesos::v1::{Offer, Resource};

use super::event::Event;

/// What the reservations of the outstanding offers of one subscription say beside their role: a principal, or labels.
///
/// Mesos takes a launch only if its resources are described as they were offered. Few agents have such reservations, and
/// the others cost nothing. Of several reservations of one kind of resource in an offer the first counts.
#[derive(Debug, Default)]
pub struct Reservations(Mutex<BTreeMap<String, Described>>);

/// The reservation of each kind of resource, by its name.
type Described = BTreeMap<String, ReservationInfo>;

impl Reservations {
    /// Notes what an event says of offers.
    pub fn note(&self, event: &Event) {
        match event {
            Event::Offers(offers) => {
                for offer in offers {
                    let described = described(offer);
                    if !described.is_empty() {
                        self.offers().insert(offer.id.value.clone(), described);
                    }
                }
            }
            Event::Rescind(offer) => drop(self.offers().remove(&offer.value)),
            Event::Subscribed(_)
            | Event::Update { .. }
            | Event::Message(_)
            | Event::Failure(_)
            | Event::Error(_)
            | Event::Heartbeat => {}
        }
    }

    /// Completes the reservations of a call that uses offers, and forgets the offers that it uses or gives back.
    pub fn complete(&self, call: &mut Call) {
        if let Some(decline) = &call.decline {
            let mut offers = self.offers();
            decline.offer_ids.iter().for_each(|offer| drop(offers.remove(&offer.value)));
        }
        let Some(accept) = &mut call.accept else { return };
        let used: Vec<_> = accept.offer_ids.iter().filter_map(|offer| self.offers().remove(&offer.value)).collect();
        let launches = accept.operations.iter_mut().filter_map(|operation| operation.launch.as_mut());
        for task in launches.flat_map(|launch| &mut launch.task_infos) {
            let executor = task.executor.iter_mut().flat_map(|executor| &mut executor.resources);
            for resource in task.resources.iter_mut().chain(executor) {
                let found = used.iter().find_map(|described| described.get(&resource.name));
                if let (Some(found), [reservation]) = (found, resource.reservations.as_mut_slice()) {
                    reservation.clone_from(found);
                }
            }
        }
    }

    fn offers(&self) -> MutexGuard<'_, BTreeMap<String, Described>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn described(offer: &Offer) -> Described {
    let mut described = Described::new();
    for Resource { name, reservations, .. } in &offer.resources {
        if let [one] = reservations.as_slice()
            && (one.principal.is_some() || one.labels.is_some())
        {
            described.entry(name.clone()).or_insert_with(|| one.clone());
        }
    }
    described
}
