//! What offers and updates become for the core, and what our calls say of them.

use epic_common::resources::{Bytes, MIB};
use epic_proto::mesos::v1::{self, resource, value};
use epic_scheduler::mesos::convert::Identity;
use epic_scheduler::mesos::event::Event;
use epic_scheduler_core::mesos as core;

fn identity() -> Identity {
    Identity { role: "r".to_owned(), name: "epic".to_owned(), principal: None, webui_url: String::new() }
}

/// An amount that is reserved for our role by the agent's configuration.
fn reserved(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value }),
        allocation_info: Some(resource::AllocationInfo { role: Some("r".to_owned()) }),
        reservations: vec![resource::ReservationInfo {
            r#type: Some(resource::reservation_info::Type::Static.into()),
            role: Some("r".to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn amounts(resources: Vec<v1::Resource>) -> Vec<core::Amount> {
    let offer = v1::Offer { resources, ..Default::default() };
    let Some(core::Event::Offers(offers)) = identity().event(Event::Offers(vec![offer])) else { panic!("no offers") };
    offers.into_iter().flat_map(|offer| offer.resources).map(|resource| resource.amount).collect()
}

#[test]
fn of_a_fraction_of_a_mebibyte_nothing_is_used() {
    let check = |mem, whole: u64| {
        assert_eq!(amounts(vec![reserved("mem", mem)]), [core::Amount::Mem(Bytes(whole * MIB))], "{mem}");
    };
    check(1000.5, 1000);
    check(1000.999, 1000);
    check(1000.0, 1000);
    check(0.5, 0);
    check(f64::NAN, 0);
    check(-1.0, 0);
}
