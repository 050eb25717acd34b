//! What the fake master knows: its agents, what it has offered, and the stream of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use epic_common::recordio;
use epic_proto::mesos::v1::scheduler::{Call, Event, call, event};
use epic_proto::mesos::v1::{self, value};
use prost::Message as _;

use super::faults::{Faults, hits};
use super::tasks::Tasks;
use super::wire::Chunk;
use super::{Seen, Setup};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) seen: Seen,
    pub(super) stream_id: String,
    /// Requests of all kinds.
    pub(super) asked: u64,
    pub(super) tasks: Tasks,
    /// A task whose update nobody has acknowledged for good: each subscription begins with it.
    pub(super) restless: Option<String>,
    agents: Vec<Agent>,
    /// The ids of all agents that are registered.
    pub(super) registered: BTreeSet<String>,
    role: String,
    room: u32,
    pub(super) faults: Faults,
    stream: Option<mpsc::Sender<Chunk>>,
    framework: v1::FrameworkId,
    is_suppressed: bool,
    /// Agents with room that are neither offered nor refused.
    free: BTreeSet<u32>,
    /// Agents that are refused until then.
    refused: BTreeSet<(Instant, u32)>,
    offers: BTreeMap<String, u32>,
    /// Offers that were made, and the last number that was given to anything.
    made: u64,
    numbers: u64,
    beat: Option<Instant>,
}

#[derive(Debug, Default)]
struct Agent {
    id: String,
    hostname: String,
    used: u32,
    is_offered: bool,
}

impl State {
    pub(super) fn new(setup: &Setup) -> Self {
        let (role, room, faults) = (setup.role.clone(), setup.room, setup.faults);
        let mut state = Self { role, room, faults, ..Self::default() };
        state.add_agents(setup.agents);
        state
    }

    pub(super) fn add_agents(&mut self, agents: u32) {
        let first = u32::try_from(self.agents.len()).expect("there are few agents");
        for number in first..first + agents {
            let hostname = format!("host-{number:05}");
            let id = self.register();
            self.agents.push(Agent { id, hostname, ..Agent::default() });
            self.refused.insert((Instant::now() + NEVER, number));
        }
    }

    /// Counts up what names offers, agents, streams and updates.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn register(&mut self) -> String {
        let id = format!("{MASTER}-S{}", self.number());
        self.registered.insert(id.clone());
        id
    }

    pub(super) fn subscribe(&mut self, call: Call) -> mpsc::Receiver<Chunk> {
        let (stream, chunks) = mpsc::channel();
        self.stream_id = format!("stream-{}", self.number());
        self.stream = Some(stream);
        self.framework = call.framework_id.unwrap_or_default();
        for agent in std::mem::take(&mut self.offers).into_values() {
            self.agent(agent).is_offered = false;
            self.free.insert(agent);
        }
        self.accept_refused(None);
        let now = Instant::now();
        self.seen.subscriptions += 1;
        self.seen.began.get_or_insert(now);
        self.seen.subscribed = Some(now);
        self.seen.acted = None;
        self.beat = Some(now);
        self.is_suppressed = call.subscribe.is_some_and(|subscribe| !subscribe.suppressed_roles.is_empty());
        let subscribed = event::Subscribed {
            framework_id: self.framework.clone(),
            heartbeat_interval_seconds: Some(HEARTBEAT.as_secs_f64()),
            ..Default::default()
        };
        self.say(event::Type::Subscribed, |event| event.subscribed = Some(subscribed));
        if let Some(task) = self.restless.clone() {
            self.runs(&task);
        }
        self.offer();
        chunks
    }

    pub(super) fn obey(&mut self, call: Call) {
        match call.r#type() {
            call::Type::Accept => self.accept(call.accept.unwrap_or_default()),
            call::Type::Revive => {
                self.is_suppressed = false;
                self.accept_refused(None);
                self.offer();
            }
            call::Type::Suppress => self.is_suppressed = true,
            call::Type::Acknowledge => self.acknowledge(&call.acknowledge.unwrap_or_default()),
            call::Type::Reconcile => self.reconcile(call.reconcile.unwrap_or_default()),
            call::Type::Decline => {
                let decline = call.decline.unwrap_or_default();
                for offer in decline.offer_ids {
                    self.refuse(&offer.value, decline.filters);
                }
            }
            call::Type::Kill => self.kill(call.kill.unwrap_or_default()),
            call::Type::Teardown => self.teardown(),
            call::Type::Unknown
            | call::Type::Subscribe
            | call::Type::AcceptInverseOffers
            | call::Type::DeclineInverseOffers
            | call::Type::Shutdown
            | call::Type::AcknowledgeOperationStatus
            | call::Type::ReconcileOperations
            | call::Type::Message
            | call::Type::Request
            | call::Type::UpdateFramework => {}
        }
    }

    /// Takes an offer back from the framework, if it has it; the agent is offered again once the filter has passed.
    pub(super) fn refuse(&mut self, offer: &str, filters: Option<v1::Filters>) -> Option<u32> {
        let agent = self.offers.remove(offer)?;
        self.agent(agent).is_offered = false;
        let seconds = filters.and_then(|filters| filters.refuse_seconds).unwrap_or(5.0);
        let after = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.refused.insert((Instant::now() + after, agent));
        Some(agent)
    }

    fn agent(&mut self, agent: u32) -> &mut Agent {
        &mut self.agents[usize::try_from(agent).expect("there are few agents")]
    }

    /// Takes room on an agent, or gives it back.
    pub(super) fn use_room(&mut self, agent: u32, tasks: i64) {
        let one = self.agent(agent);
        one.used = u32::try_from(i64::from(one.used) + tasks).unwrap_or(0);
        if tasks < 0 && !one.is_offered {
            self.free.insert(agent);
        }
    }

    /// Forgets the refusals that have passed by then, or all.
    fn accept_refused(&mut self, by: Option<Instant>) {
        while let Some((at, agent)) = self.refused.first().copied().filter(|(at, _)| by.is_none_or(|by| *at <= by)) {
            self.refused.remove(&(at, agent));
            if !self.agent(agent).is_offered {
                self.free.insert(agent);
            }
        }
    }

    pub(super) fn allocate(&mut self, now: Instant) {
        if self.beat.is_some_and(|beat| now - beat >= HEARTBEAT) {
            self.beat = Some(now);
            self.say(event::Type::Heartbeat, |_| ());
        }
        self.accept_refused(Some(now));
        self.repeat(now);
        if self.stream.is_some() {
            self.offer();
        }
    }

    /// Offers, in one event, all agents that are free.
    fn offer(&mut self) {
        if self.is_suppressed || self.free.is_empty() {
            return;
        }
        let (mut offers, mut rescinded) = (Vec::new(), Vec::new());
        for agent in std::mem::take(&mut self.free) {
            let room = self.room.saturating_sub(self.agent(agent).used);
            if room == 0 {
                continue;
            }
            let id = v1::OfferId { value: format!("{MASTER}-O{}", self.number()) };
            self.made += 1;
            if hits(self.faults.rescind, self.made) {
                rescinded.push(id.clone());
            }
            self.offers.insert(id.value.clone(), agent);
            let (framework_id, resources) = (self.framework.clone(), resources(&self.role, room));
            let one = self.agent(agent);
            one.is_offered = true;
            let agent_id = v1::AgentId { value: one.id.clone() };
            let hostname = one.hostname.clone();
            offers.push(v1::Offer { id, framework_id, agent_id, hostname, resources, ..Default::default() });
        }
        if offers.is_empty() {
            return;
        }
        self.seen.offered.get_or_insert_with(Instant::now);
        self.say(event::Type::Offers, |event| event.offers = Some(event::Offers { offers }));
        for offer in rescinded {
            self.rescind(offer);
        }
    }

    fn rescind(&mut self, offer_id: v1::OfferId) {
        if let Some(agent) = self.offers.remove(&offer_id.value) {
            self.agent(agent).is_offered = false;
            self.free.insert(agent);
            self.say(event::Type::Rescind, |event| event.rescind = Some(event::Rescind { offer_id }));
        }
    }

    pub(super) fn renew(&mut self, agent: u32) {
        let offered: Vec<_> =
            self.offers.iter().filter(|(_, offered)| **offered == agent).map(|(id, _)| id.clone()).collect();
        for value in offered {
            self.rescind(v1::OfferId { value });
        }
        let id = self.register();
        let gone = std::mem::replace(&mut self.agent(agent).id, id);
        self.registered.remove(&gone);
        self.lose(&gone);
        self.agent(agent).used = 0;
        self.free.insert(agent);
    }

    pub(super) fn cut(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.send(Chunk::Cut).ok();
        }
    }

    fn teardown(&mut self) {
        self.tasks = Tasks::default();
        for agent in &mut self.agents {
            agent.used = 0;
        }
        self.stream = None;
    }

    pub(super) fn say(&self, kind: event::Type, fill: impl FnOnce(&mut Event)) {
        let mut event = Event { r#type: Some(kind.into()), ..Default::default() };
        fill(&mut event);
        if let Some(stream) = &self.stream {
            let mut record = Vec::new();
            recordio::encode(&event.encode_to_vec(), &mut record);
            // A scheduler that has gone hears nothing.
            stream.send(Chunk::Bytes(record)).ok();
        }
    }
}

/// Lists what so much room is.
fn resources(role: &str, room: u32) -> Vec<v1::Resource> {
    let resource = |name: &str, kind: value::Type| v1::Resource {
        name: name.to_owned(),
        r#type: kind.into(),
        allocation_info: Some(v1::resource::AllocationInfo { role: Some(role.to_owned()) }),
        ..Default::default()
    };
    let reserved = |name: &str, value: u32| v1::Resource {
        scalar: Some(value::Scalar { value: f64::from(value) }),
        reservations: vec![v1::resource::ReservationInfo {
            r#type: Some(v1::resource::reservation_info::Type::Static.into()),
            role: Some(role.to_owned()),
            ..Default::default()
        }],
        ..resource(name, value::Type::Scalar)
    };
    let range = value::Range { begin: 31_000, end: 31_000 + 100 * u64::from(room) - 1 };
    let ranges = Some(value::Ranges { range: vec![range] });
    vec![
        reserved("cpus", 4 * room),
        reserved("mem", 4096 * room),
        v1::Resource { ranges, ..resource("ports", value::Type::Ranges) },
    ]
}

/// What ids begin with: as long as those of a real master, and alike in their first 36 characters.
const MASTER: &str = "5f0c7b1e-8d5b-4d6f-9a43-2f6f0d7c1b11";
/// Longer than any test: a new agent waits for the next subscription or REVIVE.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
const HEARTBEAT: Duration = Duration::from_secs(15);
