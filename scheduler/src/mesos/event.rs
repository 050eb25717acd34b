//! Events of a subscription, decoded and checked.

use epic_proto::mesos::v1::scheduler::event::{Failure, Type};
use epic_proto::mesos::v1::{self, TaskState, scheduler};
use prost::Message as _;

/// An event with all that Mesos calls required in it.
///
/// Inverse offers and operation updates aren't among them: nothing that we send asks for either.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The subscription stands; always the first event, and all older offers are void.
    Subscribed(Box<scheduler::event::Subscribed>),
    /// Offers, each with its id, agent and framework.
    Offers(Vec<v1::Offer>),
    /// An offer is void.
    Rescind(v1::OfferId),
    /// A task's status. If it has a uuid, that has 16 bytes and an agent is named too.
    Update {
        /// The status; an empty uuid counts as none.
        ///
        /// A state of a number that we don't know is told as [`TaskState::TaskUnknown`], with the number as its
        /// message: an update must be acknowledged, or its agent tells nothing else of the task.
        status: Box<v1::TaskStatus>,
        /// Its state.
        state: TaskState,
    },
    /// Something that an executor says.
    Message(scheduler::event::Message),
    /// An executor has ended or an agent was removed; not reliable.
    Failure(Failure),
    /// The master ends the subscription, and says why.
    Error(String),
    /// The master is alive.
    Heartbeat,
}

/// Why a record is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It isn't the message that it should be.
    #[error("cannot decode an event")]
    Decode {
        /// What the decoder says.
        source: prost::DecodeError,
    },
    /// It lacks something that is required.
    #[error("an event of type {event} lacks {field}")]
    Lacks {
        /// The event's type.
        event: &'static str,
        /// The field's path.
        field: &'static str,
    },
}

/// Decodes one record; `None` if it is an event of a type that we don't know or don't use.
///
/// # Errors
/// When it isn't an event, or lacks what is required: prost itself doesn't check that.
pub fn decode(record: &[u8]) -> Result<Option<Event>, Error> {
    let event = scheduler::Event::decode(record).map_err(|source| Error::Decode { source })?;
    let event = match event.r#type() {
        Type::Subscribed => subscribed(event)?,
        Type::Offers => offers(event)?,
        Type::Rescind => {
            let rescind = event.rescind.ok_or_else(|| lacks(Type::Rescind, "rescind"))?;
            required(&rescind.offer_id.value, Type::Rescind, "rescind.offer_id")?;
            Event::Rescind(rescind.offer_id)
        }
        Type::Update => update(event)?,
        Type::Message => {
            let message = event.message.ok_or_else(|| lacks(Type::Message, "message"))?;
            required(&message.agent_id.value, Type::Message, "message.agent_id")?;
            required(&message.executor_id.value, Type::Message, "message.executor_id")?;
            Event::Message(message)
        }
        Type::Failure => Event::Failure(event.failure.ok_or_else(|| lacks(Type::Failure, "failure"))?),
        Type::Error => Event::Error(event.error.ok_or_else(|| lacks(Type::Error, "error"))?.message),
        Type::Heartbeat => Event::Heartbeat,
        Type::Unknown | Type::InverseOffers | Type::RescindInverseOffer | Type::UpdateOperationStatus => {
            return Ok(None);
        }
    };
    Ok(Some(event))
}

fn subscribed(event: scheduler::Event) -> Result<Event, Error> {
    let subscribed = event.subscribed.ok_or_else(|| lacks(Type::Subscribed, "subscribed"))?;
    required(&subscribed.framework_id.value, Type::Subscribed, "subscribed.framework_id")?;
    Ok(Event::Subscribed(Box::new(subscribed)))
}

fn offers(event: scheduler::Event) -> Result<Event, Error> {
    let offers = event.offers.ok_or_else(|| lacks(Type::Offers, "offers"))?.offers;
    for offer in &offers {
        required(&offer.id.value, Type::Offers, "offers.offers.id")?;
        required(&offer.agent_id.value, Type::Offers, "offers.offers.agent_id")?;
        required(&offer.framework_id.value, Type::Offers, "offers.offers.framework_id")?;
        for resource in &offer.resources {
            required(&resource.name, Type::Offers, "offers.offers.resources.name")?;
        }
    }
    Ok(Event::Offers(offers))
}

fn update(event: scheduler::Event) -> Result<Event, Error> {
    let mut status = Box::new(event.update.ok_or_else(|| lacks(Type::Update, "update"))?.status);
    required(&status.task_id.value, Type::Update, "update.status.task_id")?;
    status.uuid = status.uuid.filter(|uuid| !uuid.is_empty());
    if status.uuid.as_ref().is_some_and(|uuid| uuid.len() != UUID_BYTES) {
        return Err(lacks(Type::Update, "update.status.uuid of 16 bytes"));
    }
    if status.uuid.is_some() {
        let agent = status.agent_id.as_ref().map_or("", |agent| agent.value.as_str());
        required(agent, Type::Update, "update.status.agent_id")?;
    }
    // The accessor would read an unknown number as TASK_STAGING.
    let state = TaskState::try_from(status.state).unwrap_or_else(|_| {
        let said = status.message.take().unwrap_or_default();
        status.message =
            Some(format!("its state has number {}, which this version does not know; {said}", status.state));
        (status.reason, status.healthy) = (None, None);
        TaskState::TaskUnknown
    });
    Ok(Event::Update { status, state })
}

fn required(value: &str, event: Type, field: &'static str) -> Result<(), Error> {
    if value.is_empty() { Err(lacks(event, field)) } else { Ok(()) }
}

fn lacks(event: Type, field: &'static str) -> Error {
    Error::Lacks { event: event.as_str_name(), field }
}

const UUID_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use epic_proto::mesos::v1::scheduler::event::{Offers, Rescind, Subscribed, Update};
    use proptest::prelude::any;
    use proptest::proptest;

    use super::*;

    fn event(r#type: Type) -> scheduler::Event {
        scheduler::Event { r#type: Some(r#type.into()), ..Default::default() }
    }

    fn status(state: i32, uuid: Option<&[u8]>, agent: &str) -> scheduler::Event {
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: "t".to_owned() },
            state,
            uuid: uuid.map(<[u8]>::to_vec),
            agent_id: Some(v1::AgentId { value: agent.to_owned() }),
            ..Default::default()
        };
        scheduler::Event { update: Some(Update { status }), ..event(Type::Update) }
    }

    fn check(event: &scheduler::Event, expected: Result<bool, &str>) {
        let found = decode(&event.encode_to_vec());
        let found = found.as_ref().map(Option::is_some).map_err(ToString::to_string);
        assert_eq!(found, expected.map_err(str::to_owned), "{event:?}");
    }

    #[test]
    fn what_lacks_something_required_is_an_error() {
        check(&event(Type::Subscribed), Err("an event of type SUBSCRIBED lacks subscribed"));
        let nameless = scheduler::Event { subscribed: Some(Subscribed::default()), ..event(Type::Subscribed) };
        check(&nameless, Err("an event of type SUBSCRIBED lacks subscribed.framework_id"));
        check(&event(Type::Offers), Err("an event of type OFFERS lacks offers"));
        check(&scheduler::Event { offers: Some(Offers::default()), ..event(Type::Offers) }, Ok(true));
        let empty = Offers { offers: vec![v1::Offer::default()] };
        let empty = scheduler::Event { offers: Some(empty), ..event(Type::Offers) };
        check(&empty, Err("an event of type OFFERS lacks offers.offers.id"));
        let empty = scheduler::Event { rescind: Some(Rescind::default()), ..event(Type::Rescind) };
        check(&empty, Err("an event of type RESCIND lacks rescind.offer_id"));
        check(&status(1, Some(&[1; 16]), "a"), Ok(true));
        check(&status(1, None, ""), Ok(true));
        check(&status(1, Some(&[1; 16]), ""), Err("an event of type UPDATE lacks update.status.agent_id"));
        check(&status(1, Some(&[1; 15]), "a"), Err("an event of type UPDATE lacks update.status.uuid of 16 bytes"));
    }

    #[test]
    fn types_that_are_unknown_or_unused_are_passed_over() {
        check(&scheduler::Event { r#type: Some(99), ..Default::default() }, Ok(false));
        check(&scheduler::Event::default(), Ok(false));
        check(&event(Type::InverseOffers), Ok(false));
        check(&event(Type::Heartbeat), Ok(true));
    }

    #[test]
    fn a_state_of_an_unknown_number_is_unknown_and_can_be_acknowledged() {
        let Ok(Some(Event::Update { status, state })) = decode(&status(99, Some(&[1; 16]), "a").encode_to_vec()) else {
            panic!("no update");
        };
        assert_eq!((status.uuid, state), (Some(vec![1; 16]), TaskState::TaskUnknown));
        let message = status.message.unwrap_or_default();
        assert!(message.starts_with("its state has number 99,"), "{message}");
    }

    #[test]
    fn an_empty_uuid_is_none() {
        let Ok(Some(Event::Update { status, state })) = decode(&status(1, Some(&[]), "a").encode_to_vec()) else {
            panic!("no update");
        };
        assert_eq!((status.uuid, state), (None, TaskState::TaskRunning));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, kind in any::<u8>()) {
            let _any = decode(&bytes);
            let typed = [&[0x08, kind % 12], bytes.as_slice()].concat();
            let _any = decode(&typed);
        }
    }
}
