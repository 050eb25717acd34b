//! The life of one instance within an attempt, from its order to its terminal state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use epic_common::conversation::{DocumentText, LaunchOrder, Phase, Report};
use epic_common::manifest::Manifest;
use epic_common::time::Timestamp;

use crate::install::{Install, Underway};
use crate::service::{Action, Generations, Service, Turn};
use crate::traffic::{Output, RunId, Scene, Work};
use crate::updates::{Content, Message, State};

/// One order and what has become of it.
#[derive(Debug)]
pub struct Instance {
    order: Arc<LaunchOrder>,
    documents: BTreeMap<String, DocumentText>,
    manifest: Option<Arc<Manifest>>,
    services: Vec<Service>,
    stage: Stage,
    verdict: Option<Verdict>,
    was_ready: bool,
    grace: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Accepted,
    Preparing,
    Prepared,
    Serving,
    Stopping,
    Destroying,
    Ended,
}

/// How it is to end.
#[derive(Clone, Debug)]
struct Verdict {
    state: State,
    reason: String,
}

impl Instance {
    /// Takes an order.
    #[must_use]
    pub fn new(order: LaunchOrder) -> Self {
        let documents = order.documents.iter().map(|document| (document.name.clone(), document.clone())).collect();
        Self {
            order: Arc::new(order),
            documents,
            manifest: None,
            services: Vec::new(),
            stage: Stage::Accepted,
            verdict: None,
            was_ready: false,
            grace: None,
        }
    }

    /// Returns the order.
    #[must_use]
    pub fn order(&self) -> &LaunchOrder {
        &self.order
    }

    /// Tells whether nothing of it is left.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Asks for its end on request; a second time can only shorten the grace.
    pub fn kill(&mut self, now: Timestamp, grace: Option<Duration>, reason: &str) {
        self.end(now, grace, Verdict { state: State::Killed, reason: reason.to_owned() });
    }

    /// Takes a document, unless it has it or a newer one, or [`DOCUMENTS_MAX`] others.
    pub fn document(&mut self, document: DocumentText) {
        let newer = match self.documents.get(&document.name) {
            Some(known) => known.generation < document.generation,
            None => self.documents.len() < DOCUMENTS_MAX,
        };
        if newer {
            self.documents.insert(document.name.clone(), document);
        }
    }

    /// Takes note of what has become of its bundle.
    pub fn bundle(&mut self, now: Timestamp, install: &Install) {
        if self.stage != Stage::Prepared {
            return;
        }
        match install {
            Install::Underway(_) => {}
            Install::Failed(reason) => self.fail(now, reason.clone()),
            Install::Done(manifest) => self.serve(now, manifest),
        }
    }

    /// Takes note of work that was done for it or one of its services.
    pub fn worked(&mut self, now: Timestamp, work: Work) {
        match work {
            Work::Prepared(_) => {
                if self.stage == Stage::Preparing {
                    self.stage = Stage::Prepared;
                    self.stop_if_asked(now);
                }
            }
            Work::Refused { reason, .. } => {
                if self.stage == Stage::Preparing {
                    self.stage = Stage::Prepared;
                }
                self.fail(now, reason);
            }
            Work::Rendered { run, files } => self.with(&run, |service| service.rendered(files)),
            Work::RenderFailed { run, reason } => {
                let mut fatal = None;
                self.with(&run, |service| fatal = service.render_failed(reason));
                if let Some(reason) = fatal {
                    self.fail(now, format!("service {} can't be configured: {reason}", run.service));
                }
            }
            Work::Started(run) => self.with(&run, |service| service.started(now)),
            Work::StartFailed { run, reason } => self.with(&run, |service| service.start_failed(now, reason)),
            Work::Exited { run, exit } => self.with(&run, |service| service.exited(now, &exit)),
            Work::Probed { run, answer } => self.with(&run, |service| service.probed(now, answer)),
            Work::Cleared(run) => self.with(&run, |service| service.cleared(now)),
            Work::Destroyed(_) => {
                if self.stage == Stage::Destroying {
                    self.stage = Stage::Ended;
                }
            }
            Work::Progressed { .. }
            | Work::Fetched(_)
            | Work::FetchFailed { .. }
            | Work::Installed { .. }
            | Work::InstallFailed { .. } => {}
        }
        self.was_ready |= self.stage == Stage::Serving && self.services.iter().all(Service::is_ready);
        if let Some(reason) = self.services.iter().find_map(Service::hopeless) {
            self.fail(now, reason);
        }
    }

    /// Says the next thing to do.
    pub fn poll(&mut self, now: Timestamp) -> Option<Output> {
        match self.stage {
            Stage::Accepted => {
                self.stage = Stage::Preparing;
                return Some(Output::Prepare(Arc::clone(&self.order)));
            }
            Stage::Stopping if self.services.iter().all(Service::is_stopped) => {
                self.stage = Stage::Destroying;
                return Some(Output::Destroy(self.order.task.clone()));
            }
            Stage::Preparing
            | Stage::Prepared
            | Stage::Serving
            | Stage::Stopping
            | Stage::Destroying
            | Stage::Ended => {}
        }
        let mut turn = Turn::Come;
        for at in 0..self.services.len() {
            let wanted = self.wanted(&self.services[at]);
            let service = &mut self.services[at];
            if let Some(action) = service.poll(now, &wanted, turn) {
                return Some(self.output(at, action));
            }
            if !service.was_started() {
                turn = Turn::NotYet;
            }
        }
        None
    }

    /// Returns when something is due even if nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.services.iter().filter_map(Service::deadline).min()
    }

    /// Says how it is, given what has become of its bundle.
    #[must_use]
    pub fn content(&self, install: Option<&Install>) -> Content {
        let phase = self.phase(install);
        let state = match (&self.verdict, self.stage) {
            (Some(verdict), Stage::Ended) => verdict.state,
            (Some(Verdict { state: State::Killed, .. }), _) => State::Killing,
            (Some(_) | None, _) if self.was_ready => State::Running,
            (Some(_) | None, _) => State::Starting,
        };
        let healthy = match state {
            State::Running => Some(phase == Phase::Ready),
            State::Starting | State::Killing | State::Killed | State::Failed => None,
        };
        let percent = match (self.stage, install) {
            (Stage::Prepared, Some(Install::Underway(underway))) => Some(underway.percent),
            (_, Some(_) | None) => None,
        };
        let services = self.services.iter().map(Service::report).collect();
        let report = Report { phase, percent, documents: self.seen(), services };
        Content { state, message: Message::new(self.message(phase, install)), healthy, report }
    }

    fn phase(&self, install: Option<&Install>) -> Phase {
        match self.stage {
            Stage::Accepted | Stage::Preparing => Phase::Accepted,
            Stage::Prepared => match install {
                Some(Install::Underway(underway)) => underway.phase,
                Some(Install::Done(_) | Install::Failed(_)) | None => Phase::Installing,
            },
            Stage::Serving if self.services.iter().all(Service::is_ready) => Phase::Ready,
            Stage::Serving if self.was_ready => Phase::Degraded,
            Stage::Serving if self.services.iter().all(|service| !service.was_started()) => Phase::Configuring,
            Stage::Serving => Phase::Starting,
            Stage::Stopping | Stage::Destroying => Phase::Stopping,
            Stage::Ended => Phase::Ended,
        }
    }

    fn message(&self, phase: Phase, install: Option<&Install>) -> String {
        if let Some(verdict) = &self.verdict {
            return match phase {
                Phase::Ended => verdict.reason.clone(),
                Phase::Accepted
                | Phase::Fetching
                | Phase::Installing
                | Phase::Configuring
                | Phase::Starting
                | Phase::Ready
                | Phase::Degraded
                | Phase::Stopping => format!("stopping: {}", verdict.reason),
            };
        }
        match phase {
            Phase::Accepted => "accepted".to_owned(),
            Phase::Fetching | Phase::Installing => match install {
                Some(Install::Underway(underway)) => self.progress(underway),
                Some(Install::Done(_) | Install::Failed(_)) | None => "installed".to_owned(),
            },
            Phase::Ready => "ready".to_owned(),
            Phase::Configuring | Phase::Starting | Phase::Degraded | Phase::Stopping | Phase::Ended => {
                let waiting = self.services.iter().map(Service::report).filter(|service| !service.ready);
                let words: Vec<_> = waiting
                    .map(|service| {
                        let colon = if service.reason.is_empty() { "" } else { ": " };
                        format!("{} is not ready yet{colon}{}", service.id, service.reason)
                    })
                    .collect();
                words.join("; ")
            }
        }
    }

    fn progress(&self, underway: &Underway) -> String {
        let verb = if underway.phase == Phase::Installing { "installing" } else { "fetching" };
        let name = format!("{verb} bundle {} for platform {}", self.order.bundle.short(), self.order.platform);
        if underway.trouble.is_empty() {
            format!("{name}: {} %", underway.percent)
        } else {
            format!("{name}: {}; it is tried again", underway.trouble)
        }
    }

    /// Returns the generation of each document that has been put to use; one that nobody reads is at once.
    fn seen(&self) -> Generations {
        let mut seen: Generations = BTreeMap::new();
        if self.manifest.is_none() {
            return seen;
        }
        for (name, document) in &self.documents {
            let readers = self.services.iter().filter(|service| reads(service, name));
            let oldest = readers.map(|service| service.files().get(name).copied()).min();
            if let Some(generation) = oldest.unwrap_or(Some(document.generation)) {
                seen.insert(name.clone(), generation);
            }
        }
        seen
    }

    fn wanted(&self, service: &Service) -> Generations {
        let read = self.documents.iter().filter(|(name, _)| reads(service, name));
        read.map(|(name, document)| (name.clone(), document.generation)).collect()
    }

    fn serve(&mut self, now: Timestamp, manifest: &Arc<Manifest>) {
        let Some(role) = manifest.role(&self.order.role) else {
            let roles: Vec<_> = manifest.roles.iter().map(|role| role.id.as_str()).collect();
            let reason = format!(
                "the bundle {} {} has no role {}; it has: {}",
                manifest.distro_id,
                manifest.version,
                self.order.role,
                roles.join(", ")
            );
            self.fail(now, reason);
            return;
        };
        if let Some(service) =
            role.services.iter().find(|service| service.user.as_deref() == Some("root") && !self.order.root_allowed)
        {
            let reason = format!("service {} asks for the user root, which the platform doesn't allow", service.id);
            self.fail(now, reason);
            return;
        }
        let mem = self.order.grant.mem;
        self.services = role.services.iter().map(|service| Service::new(Arc::new(service.clone()), mem)).collect();
        self.manifest = Some(Arc::clone(manifest));
        self.stage = Stage::Serving;
    }

    fn fail(&mut self, now: Timestamp, reason: String) {
        self.end(now, None, Verdict { state: State::Failed, reason });
    }

    fn end(&mut self, now: Timestamp, grace: Option<Duration>, verdict: Verdict) {
        if self.stage == Stage::Ended {
            return;
        }
        self.grace = match (self.grace, grace) {
            (Some(earlier), Some(grace)) => Some(earlier.min(grace)),
            (earlier, grace) => earlier.or(grace),
        };
        // What was asked first decides: a kill that finds a failing instance doesn't hide the failure.
        self.verdict.get_or_insert(verdict);
        self.stop_if_asked(now);
    }

    fn stop_if_asked(&mut self, now: Timestamp) {
        if self.verdict.is_none() {
            return;
        }
        for service in &mut self.services {
            service.stop(now, self.grace.unwrap_or(service.spec.stop.grace));
        }
        match self.stage {
            Stage::Accepted => self.stage = Stage::Ended,
            Stage::Prepared | Stage::Serving => self.stage = Stage::Stopping,
            Stage::Preparing | Stage::Stopping | Stage::Destroying | Stage::Ended => {}
        }
    }

    fn with(&mut self, run: &RunId, note: impl FnOnce(&mut Service)) {
        let service =
            self.services.iter_mut().find(|service| service.spec.id == run.service && service.run() == run.run);
        if let Some(service) = service {
            note(service);
        }
    }

    fn output(&self, at: usize, action: Action) -> Output {
        let service = &self.services[at];
        let run = RunId { task: self.order.task.clone(), service: service.spec.id.clone(), run: service.run() };
        let scene = |run| {
            let manifest = self.manifest.as_ref().expect("services are made together with the manifest's arrival");
            Box::new(Scene {
                run,
                order: Arc::clone(&self.order),
                manifest: Arc::clone(manifest),
                service: Arc::clone(&service.spec),
                documents: self.documents.values().cloned().collect(),
            })
        };
        match action {
            Action::Render => Output::Render(scene(run)),
            Action::Start => Output::Start(scene(run)),
            Action::Probe(health) => Output::Probe { scene: scene(run), probe: health.probe, timeout: health.timeout },
            Action::Signal(signal) => Output::Signal { run, signal },
            Action::Clear => Output::Clear(run),
        }
    }
}

/// The most documents that an instance takes beside those of its order.
pub const DOCUMENTS_MAX: usize = 16;

fn reads(service: &Service, document: &str) -> bool {
    service.spec.documents.iter().any(|read| read.name() == document)
}
