//! What offers and updates become for the core, and what our calls say of them.

use epic_common::resources::{Bytes, MIB};
use epic_proto::mesos::v1::scheduler::{Call, call};
use epic_proto::mesos::v1::{self, resource, value};
use epic_scheduler::mesos::convert::Identity;
use epic_scheduler::mesos::event::Event;
use epic_scheduler::mesos::reservations::Reservations;
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

/// A launch by this offer, of a task and an executor that each take some memory.
fn launch(offer: &str) -> Call {
    let executor = v1::ExecutorInfo { resources: vec![reserved("mem", 32.0)], ..Default::default() };
    let resources = vec![reserved("mem", 64.0), reserved("cpus", 1.0)];
    let task = v1::TaskInfo { resources, executor: Some(executor), ..Default::default() };
    let launch = v1::offer::operation::Launch { task_infos: vec![task] };
    let operations = vec![v1::offer::Operation { launch: Some(launch), ..Default::default() }];
    let accept = call::Accept { offer_ids: vec![v1::OfferId { value: offer.to_owned() }], operations, filters: None };
    Call { accept: Some(accept), ..Default::default() }
}

/// Whose reservations the memory of the task and of its executor, and its cpus, are said to be.
fn principals(call: &Call) -> Vec<Option<&str>> {
    let task = &call.accept.as_ref().unwrap().operations[0].launch.as_ref().unwrap().task_infos[0];
    let all = task.resources.iter().chain(&task.executor.as_ref().unwrap().resources);
    all.map(|resource| resource.reservations[0].principal.as_deref()).collect()
}

#[test]
fn a_reservation_with_a_principal_is_given_back_as_it_was_offered() {
    let reservations = Reservations::default();
    let mut mem = reserved("mem", 1024.0);
    mem.reservations[0].principal = Some("ops".to_owned());
    let offer =
        |id: &str, resources| v1::Offer { id: v1::OfferId { value: id.to_owned() }, resources, ..Default::default() };
    let offers = vec![offer("O-1", vec![mem, reserved("cpus", 4.0)]), offer("O-2", vec![reserved("mem", 1024.0)])];
    reservations.note(&Event::Offers(offers));
    let complete = |offer| {
        let mut call = launch(offer);
        reservations.complete(&mut call);
        call
    };
    assert_eq!(principals(&complete("O-2")), [None, None, None]);
    assert_eq!(principals(&complete("O-1")), [Some("ops"), None, Some("ops")]);
    assert_eq!(principals(&complete("O-1")), [None, None, None], "an offer is used once");
}
