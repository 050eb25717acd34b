//! A stand-in for a Mesos master on the wire: it speaks the v1 scheduler API to one scheduler and has as many agents
//! as are wanted, each of which starts whatever it is told to at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use epic_common::recordio;
use epic_proto::mesos::v1::scheduler::{Call, Event, call, event};
use epic_proto::mesos::v1::{self, TaskState, value};
use prost::Message as _;
use tokio::sync::mpsc;

/// A running stand-in.
#[derive(Debug)]
pub struct StandIn {
    /// Where it listens.
    pub address: SocketAddr,
    inner: web::Data<Inner>,
    server: ServerHandle,
}

/// What it has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When the first offers were sent.
    pub offered: Option<Instant>,
    /// When the last ACCEPT came.
    pub accepted: Option<Instant>,
    /// When the last ACKNOWLEDGE came.
    pub acknowledged: Option<Instant>,
    /// Tasks that were launched.
    pub launches: usize,
    /// Updates that were acknowledged.
    pub acknowledgements: usize,
    /// Calls of all kinds.
    pub calls: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// When the newest subscription was asked for.
    pub subscribed: Option<Instant>,
    /// When the first ACCEPT or ACKNOWLEDGE of that subscription was answered.
    pub acted: Option<Instant>,
}

#[derive(Debug)]
struct Inner {
    role: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stream: Option<mpsc::UnboundedSender<Bytes>>,
    stream_id: String,
    framework: Option<v1::FrameworkId>,
    agents: u32,
    /// Each running task's agent.
    tasks: BTreeMap<String, String>,
    /// A task whose update nobody has acknowledged for good: each subscription begins with it.
    restless: Option<String>,
    offers: BTreeMap<String, u32>,
    next: u64,
    seen: Seen,
}

impl StandIn {
    /// Starts one with so many agents, each with 4 cpus and 4 GiB reserved for `role`.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn start(address: SocketAddr, role: &str, agents: u32) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = Mutex::new(State { agents, ..State::default() });
        let inner = web::Data::from(Arc::new(Inner { role: role.to_owned(), state }));
        let data = inner.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(16 << 20))
                .route("/api/v1/scheduler", web::post().to(answer))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { address, inner, server: handle })
    }

    /// Makes it know tasks that run, each with its agent, as a master does that had them before.
    ///
    /// From then on each subscription begins with an update of the first of them that is to be acknowledged.
    pub fn knows(&self, tasks: impl IntoIterator<Item = (String, String)>) {
        let mut state = self.inner.lock();
        state.tasks.extend(tasks);
        state.restless = state.tasks.keys().next().cloned();
    }

    /// Adds agents, which are offered to whoever subscribes next or revives offers.
    pub fn add_agents(&self, agents: u32) {
        self.inner.lock().agents += agents;
    }

    /// Returns what it has seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.inner.lock().seen.clone()
    }

    /// Ends it.
    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

async fn answer(inner: web::Data<Inner>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let Ok(call) = Call::decode(body) else { return HttpResponse::BadRequest().body("not a call") };
    if call.r#type() == call::Type::Subscribe {
        return inner.subscribe(call);
    }
    let id = request.headers().get("Mesos-Stream-Id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let mut state = inner.lock();
    if id != state.stream_id {
        return HttpResponse::BadRequest().body("The stream ID included in this request didn't match");
    }
    state.seen.calls += 1;
    inner.obey(&mut state, call);
    HttpResponse::Accepted().finish()
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, call: Call) -> HttpResponse {
        let mut state = self.lock();
        let (stream, records) = mpsc::unbounded_channel();
        state.next += 1;
        state.stream_id = format!("stream-{}", state.next);
        state.stream = Some(stream);
        state.framework = call.framework_id;
        state.offers.clear();
        state.seen.subscriptions += 1;
        state.seen.subscribed = Some(Instant::now());
        state.seen.acted = None;
        let suppressed = call.subscribe.is_some_and(|subscribe| !subscribe.suppressed_roles.is_empty());
        let subscribed = event::Subscribed {
            framework_id: state.framework.clone().unwrap_or_default(),
            heartbeat_interval_seconds: Some(15.0),
            ..Default::default()
        };
        state.say(event::Type::Subscribed, |event| event.subscribed = Some(subscribed));
        if let Some(task) = state.restless.clone() {
            state.runs(&task);
        }
        if !suppressed {
            self.offer(&mut state);
        }
        let id = state.stream_id.clone();
        drop(state);
        let records = futures_util::stream::unfold(records, async |mut records| {
            records.recv().await.map(|record| (Ok::<_, actix_web::Error>(record), records))
        });
        HttpResponse::Ok()
            .insert_header(("Mesos-Stream-Id", id))
            .insert_header(("Content-Type", "application/x-protobuf"))
            .streaming(Box::pin(records))
    }

    fn obey(&self, state: &mut State, call: Call) {
        match call.r#type() {
            call::Type::Accept => Self::accept(state, call.accept.unwrap_or_default()),
            call::Type::Revive => self.offer(state),
            call::Type::Acknowledge => {
                state.seen.acknowledgements += 1;
                state.seen.acknowledged = Some(Instant::now());
                state.seen.acted.get_or_insert_with(Instant::now);
            }
            call::Type::Reconcile => Self::reconcile(state, call.reconcile.unwrap_or_default()),
            call::Type::Decline => {
                for offer in call.decline.unwrap_or_default().offer_ids {
                    state.offers.remove(&offer.value);
                }
            }
            call::Type::Unknown
            | call::Type::Subscribe
            | call::Type::Teardown
            | call::Type::AcceptInverseOffers
            | call::Type::DeclineInverseOffers
            | call::Type::Kill
            | call::Type::Shutdown
            | call::Type::AcknowledgeOperationStatus
            | call::Type::ReconcileOperations
            | call::Type::Message
            | call::Type::Request
            | call::Type::Suppress
            | call::Type::UpdateFramework => {}
        }
    }

    fn accept(state: &mut State, accept: call::Accept) {
        for offer in &accept.offer_ids {
            state.offers.remove(&offer.value);
        }
        let launches = accept.operations.into_iter().filter_map(|operation| operation.launch);
        for task in launches.flat_map(|launch| launch.task_infos) {
            state.tasks.insert(task.task_id.value.clone(), task.agent_id.value);
            state.runs(&task.task_id.value);
            state.seen.launches += 1;
            state.seen.accepted = Some(Instant::now());
        }
        state.seen.acted.get_or_insert_with(Instant::now);
    }

    /// Tells the state of each task that is asked about, of all if none is named.
    fn reconcile(state: &State, reconcile: call::Reconcile) {
        let mut asked: Vec<_> = reconcile.tasks.into_iter().map(|task| task.task_id.value).collect();
        if asked.is_empty() {
            asked = state.tasks.keys().cloned().collect();
        }
        for task in asked {
            let is_known = state.tasks.contains_key(&task);
            state.update(&task, if is_known { TaskState::TaskRunning } else { TaskState::TaskUnknown }, None);
        }
    }

    /// Offers all of every agent that has no task; who has an offer already gets no second one.
    fn offer(&self, state: &mut State) {
        let offered: BTreeSet<u32> = state.offers.values().copied().collect();
        let busy: BTreeSet<String> = state.tasks.values().cloned().collect();
        let mut offers = Vec::new();
        for agent in (0..state.agents).filter(|agent| !offered.contains(agent)) {
            let name = format!("agent-{agent:05}");
            if busy.contains(&name) {
                continue;
            }
            state.next += 1;
            let id = format!("offer-{}", state.next);
            state.offers.insert(id.clone(), agent);
            offers.push(v1::Offer {
                id: v1::OfferId { value: id },
                framework_id: state.framework.clone().unwrap_or_default(),
                agent_id: v1::AgentId { value: name },
                hostname: format!("host-{agent:05}"),
                resources: self.resources(),
                ..Default::default()
            });
        }
        state.seen.offered.get_or_insert_with(Instant::now);
        state.say(event::Type::Offers, |event| event.offers = Some(event::Offers { offers }));
    }

    fn resources(&self) -> Vec<v1::Resource> {
        let resource = |name: &str, kind: value::Type| v1::Resource {
            name: name.to_owned(),
            r#type: kind.into(),
            allocation_info: Some(v1::resource::AllocationInfo { role: Some(self.role.clone()) }),
            ..Default::default()
        };
        let reserved = |name: &str, value: f64| v1::Resource {
            scalar: Some(value::Scalar { value }),
            reservations: vec![v1::resource::ReservationInfo {
                r#type: Some(v1::resource::reservation_info::Type::Static.into()),
                role: Some(self.role.clone()),
                ..Default::default()
            }],
            ..resource(name, value::Type::Scalar)
        };
        let range = value::Range { begin: 31000, end: 31099 };
        let ranges = Some(value::Ranges { range: vec![range] });
        vec![
            reserved("cpus", 4.0),
            reserved("mem", 4096.0),
            v1::Resource { ranges, ..resource("ports", value::Type::Ranges) },
        ]
    }
}

impl State {
    /// Says that a task runs, in an update that is to be acknowledged.
    fn runs(&mut self, task: &str) {
        self.next += 1;
        self.update(task, TaskState::TaskRunning, Some([[0; 8], self.next.to_be_bytes()].concat()));
    }

    fn update(&self, task: &str, state: TaskState, uuid: Option<Vec<u8>>) {
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: task.to_owned() },
            state: state.into(),
            agent_id: self.tasks.get(task).map(|agent| v1::AgentId { value: agent.clone() }),
            healthy: uuid.as_ref().map(|_| true),
            uuid,
            ..Default::default()
        };
        self.say(event::Type::Update, |event| event.update = Some(event::Update { status }));
    }

    fn say(&self, kind: event::Type, fill: impl FnOnce(&mut Event)) {
        let mut event = Event { r#type: Some(kind.into()), ..Default::default() };
        fill(&mut event);
        if let Some(stream) = &self.stream {
            let mut record = Vec::new();
            recordio::encode(&event.encode_to_vec(), &mut record);
            // A scheduler that has gone hears nothing.
            stream.send(Bytes::from(record)).ok();
        }
    }
}

/// Makes the calls of so many launches one after the other on one connection, as a scheduler without a journal, a plan
/// or lanes could; returns the seconds that they took.
///
/// # Errors
/// A call fails.
pub async fn raw_serial_loop(address: SocketAddr, launches: u32) -> Result<f64> {
    let client = epic_common_io::http::clients(&epic_common_io::http::ClientOptions::default())?.calls;
    let url = format!("http://{address}/api/v1/scheduler");
    let framework = v1::FrameworkId { value: "raw".to_owned() };
    let base = |kind: call::Type| Call {
        framework_id: Some(framework.clone()),
        r#type: Some(kind.into()),
        ..Default::default()
    };
    let post = |call: Call, stream: &str| {
        let request = client.post(&url).header("Content-Type", "application/x-protobuf");
        let request = if stream.is_empty() { request } else { request.header("Mesos-Stream-Id", stream) };
        request.body(call.encode_to_vec()).send()
    };
    let subscription = post(base(call::Type::Subscribe), "").await?;
    let stream = subscription.headers().get("Mesos-Stream-Id").context("no stream id")?.to_str()?.to_owned();
    let started = Instant::now();
    for launch in 0..launches {
        let agent_id = v1::AgentId { value: format!("agent-{launch:05}") };
        let task_id = v1::TaskId { value: format!("worker-{launch}.1") };
        let task = v1::TaskInfo {
            name: format!("worker-{launch}"),
            task_id: task_id.clone(),
            agent_id: agent_id.clone(),
            data: Some(vec![0; 512]),
            ..Default::default()
        };
        let operation = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos: vec![task] }),
            ..Default::default()
        };
        let offer_ids = vec![v1::OfferId { value: format!("offer-{launch}") }];
        let accept = call::Accept { offer_ids, operations: vec![operation], filters: None };
        post(Call { accept: Some(accept), ..base(call::Type::Accept) }, &stream).await?.error_for_status()?;
        let acknowledge = call::Acknowledge { agent_id, task_id, uuid: vec![0; 16] };
        post(Call { acknowledge: Some(acknowledge), ..base(call::Type::Acknowledge) }, &stream)
            .await?
            .error_for_status()?;
    }
    drop(subscription);
    Ok(started.elapsed().as_secs_f64())
}
