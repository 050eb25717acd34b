//! One subscription: asked for once, read to its end, never renewed from here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use epic_common::ids::FrameworkId;
use epic_common_io::driver::{Clock, Inbox};
use epic_scheduler_core::director::Input;
use epic_scheduler_core::mesos::{Call, Event, LinkEnd, StreamId, Subscribe};
use epic_scheduler_core::session::{CallAnswer, CallId};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::chain;
use crate::crash::{self, Point};
use crate::mesos::client::{Client, Error, Kind};
use crate::mesos::convert::Identity;
use crate::mesos::event;
use crate::mesos::lanes::{Answer, Lanes};
use crate::mesos::reservations::Reservations;
use crate::mesos::subscription::{Ended, Subscription};
use crate::metrics;

/// The link to Mesos: at most one subscription, and the lanes for its calls.
pub struct Link {
    client: Rc<Client>,
    identity: Arc<Identity>,
    reservations: Rc<Reservations>,
    clock: Clock,
    framework: FrameworkId,
    lanes: Rc<RefCell<Option<Lanes>>>,
    /// Why the last try failed; the same reason is told once.
    told: Rc<RefCell<String>>,
    reader: Option<JoinHandle<()>>,
    offers: metrics::Held,
}

impl Link {
    /// Makes a link that connects to nothing yet.
    #[must_use]
    pub fn new(client: Client, identity: Identity, clock: Clock) -> Self {
        Self {
            client: Rc::new(client),
            identity: Arc::new(identity),
            reservations: Rc::default(),
            clock,
            framework: FrameworkId::default(),
            lanes: Rc::new(RefCell::new(None)),
            told: Rc::default(),
            reader: None,
            offers: metrics::Held::default(),
        }
    }

    /// Asks for a subscription; whatever there was before is dropped.
    pub fn subscribe(&mut self, subscribe: &Subscribe, inbox: &Inbox<Input>) {
        self.drop_subscription();
        self.framework = subscribe.framework.clone();
        self.reservations = Rc::default();
        let call = self.identity.subscribe(subscribe);
        let (client, identity, lanes, inbox) =
            (Rc::clone(&self.client), Arc::clone(&self.identity), Rc::clone(&self.lanes), inbox.clone());
        let (told, offers) = (Rc::clone(&self.told), (self.offers.clone(), Rc::clone(&self.reservations)));
        let (clock, not_after) = (self.clock, subscribe.not_after);
        self.reader = Some(actix::spawn(async move {
            // This process may be stopped at any time, and masters may take theirs.
            let may = || not_after.is_none_or(|at| clock.now() <= at);
            match client.subscribe_while(&call, &may).await {
                Ok(subscription) => {
                    told.take();
                    lanes.replace(Some(client.lanes(&subscription)));
                    read(subscription, &identity, &inbox, &offers).await;
                    offers.0.clear();
                }
                Err(error) => {
                    let end = refusal(&error);
                    let why = chain(&error);
                    if told.replace(why.clone()) == why {
                        debug!(error = why, "still no subscription");
                    } else {
                        warn!(error = why, "no subscription; it is tried again");
                    }
                    inbox.put(Input::LinkEnded(None, end)).await.ok();
                }
            }
        }));
    }

    /// Drops the subscription; its calls that wait are fenced.
    pub fn drop_subscription(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.abort();
        }
        if let Some(lanes) = self.lanes.take() {
            lanes.close();
        }
        self.offers.clear();
    }

    /// Sends a call on the subscription that stands; its answer comes as an input.
    pub fn send(&self, id: CallId, call: Box<Call>, inbox: &Inbox<Input>) {
        metrics::called();
        self.offers.send(&call);
        let lane = call.lane().map(ToString::to_string);
        let pending = self.lanes.borrow().as_ref().map(|lanes| {
            let mut told = self.identity.call(&self.framework, &call);
            self.reservations.complete(&mut told);
            lanes.send(lane.as_deref(), told)
        });
        let inbox = inbox.clone();
        actix::spawn(async move {
            let answer = match pending {
                Some(pending) => answer(pending.await),
                None => CallAnswer::Fenced,
            };
            metrics::answered(&call, &answer);
            let accepted = matches!(*call, Call::Accept { .. }) && answer == CallAnswer::Accepted;
            crash::here_if(Point::Accepted, accepted);
            inbox.put(Input::Answered(id, answer)).await.ok();
        });
    }
}

async fn read(
    mut subscription: Subscription,
    identity: &Identity,
    inbox: &Inbox<Input>,
    (offers, reservations): &(metrics::Held, Rc<Reservations>),
) {
    let stream = StreamId(subscription.stream_id.clone());
    info!(master = %subscription.leader, stream = stream.0, "subscribed");
    metrics::subscribed();
    crash::here(Point::Subscribed);
    if inbox.put(Input::Mesos(stream.clone(), Event::Subscribed)).await.is_err() {
        return;
    }
    let end = loop {
        match subscription.next().await {
            Ok(event::Event::Error(text)) => break LinkEnd::Said(text),
            Ok(event) => {
                reservations.note(&event);
                let Some(event) = identity.event(event) else { continue };
                count(&event);
                offers.hear(&event);
                // Waiting until it was handled is what holds Mesos back.
                if inbox.put(Input::Mesos(stream.clone(), event)).await.is_err() {
                    return;
                }
            }
            // The call that ended it may be answered a little later.
            Err(Ended::GivenUp) => break LinkEnd::Fenced(chain(&Ended::GivenUp)),
            Err(ended) => break LinkEnd::Broke(chain(&ended)),
        }
    };
    warn!(?end, "the subscription ended");
    inbox.put(Input::LinkEnded(Some(stream), end)).await.ok();
}

fn count(event: &Event) {
    match event {
        Event::Offers(offers) => metrics::offered(offers.len()),
        Event::Update(status) => metrics::updated(status.state),
        Event::Subscribed | Event::Rescind(_) | Event::Failure { .. } => {}
    }
}

fn refusal(error: &Error) -> LinkEnd {
    if let Error::Ended { source: Ended::Refused { message }, .. } = error {
        return LinkEnd::Said(message.clone());
    }
    match error.kind() {
        Kind::Definite => LinkEnd::Refused(chain(error)),
        Kind::Retriable => LinkEnd::Broke(chain(error)),
    }
}

fn answer(answer: Answer) -> CallAnswer {
    match answer {
        Answer::Accepted => CallAnswer::Accepted,
        Answer::Refused { text, .. } => CallAnswer::Refused(text),
        Answer::Full => CallAnswer::Refused("too many calls wait for this agent".to_owned()),
        Answer::Ended { text } => CallAnswer::Ended(text),
        Answer::Lost { text } => CallAnswer::Lost(text),
        Answer::Fenced => CallAnswer::Fenced,
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("framework", &self.framework).finish_non_exhaustive()
    }
}
