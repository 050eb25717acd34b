//! The life of one service within an attempt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::conversation::ServiceReport;
use epic_common::manifest::{self, Health, STOP_GRACE_MAX, Signal};
use epic_common::resources::Bytes;
use epic_common::time::Timestamp;

use crate::probe::{Verdict, Watch};
use crate::traffic::{Cause, Exit, Files};

/// One service, started and started anew until it is stopped.
///
/// | in | on | then | and |
/// |---|---|---|---|
/// | Waiting | its time, and it's its turn | Rendering | render |
/// | Rendering | rendered | Starting | start |
/// | Rendering | render failed | Rendering | the instance fails |
/// | Starting | started | Running | probe when due |
/// | Starting | start failed | Clearing | kill what may be there |
/// | Running | exited | Clearing | kill what is left |
/// | Running | too many failed probes | Stopping | signal |
/// | Stopping | exited, or the grace is over | Clearing | kill what is left |
/// | Clearing | cleared | Waiting | back off |
///
/// Once a stop is asked, Waiting and Rendering become Stopped at once, Starting goes on until the
/// process is there, Running becomes Stopping, and Clearing ends in Stopped. Anything else that
/// happens changes nothing.
#[derive(Clone, Debug)]
pub struct Service {
    /// What the manifest says.
    pub spec: Arc<manifest::Service>,
    mem: Bytes,
    state: State,
    stop: Option<Duration>,
    run: u32,
    failures: u32,
    barren: u32,
    ended: String,
    trouble: String,
    files: Generations,
    rendering: Option<Generations>,
    unrenderable: Option<Generations>,
    reload: Option<Signal>,
}

/// The generation of each document that something was made from.
pub type Generations = BTreeMap<String, u64>;

#[derive(Clone, Debug)]
enum State {
    Waiting { until: Timestamp },
    Rendering,
    Starting { asked: Asked },
    Running { watch: Watch },
    Stopping { until: Timestamp, signal: Option<Signal> },
    Clearing { asked: Asked },
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    NotYet,
    Yes,
}

/// Whether a service may be started for the first time: services of an instance are started in the manifest's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Those before it were started.
    Come,
    /// One before it wasn't.
    NotYet,
}

/// What a service wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write its files from the newest documents.
    Render,
    /// Start its process.
    Start,
    /// Ask how it is.
    Probe(Health),
    /// Send a signal to its process.
    Signal(Signal),
    /// Kill all of its processes.
    Clear,
}

/// How often in a row a service may fail to become ready before its instance fails.
pub const BARREN_RUNS_MAX: u32 = 5;

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
const STEADY_AFTER: Duration = Duration::from_secs(60);

impl Service {
    /// Makes a service that hasn't been started; `mem` is its instance's grant, for reasons.
    #[must_use]
    pub const fn new(spec: Arc<manifest::Service>, mem: Bytes) -> Self {
        Self {
            spec,
            mem,
            state: State::Waiting { until: Timestamp(0) },
            stop: None,
            run: 0,
            failures: 0,
            barren: 0,
            ended: String::new(),
            trouble: String::new(),
            files: BTreeMap::new(),
            rendering: None,
            unrenderable: None,
            reload: None,
        }
    }

    /// Returns the number of the current or last run, 0 before the first.
    #[must_use]
    pub const fn run(&self) -> u32 {
        self.run
    }

    /// Tells whether it is ready.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        match &self.state {
            State::Running { watch } => watch.ready_since().is_some(),
            State::Waiting { .. }
            | State::Rendering
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Clearing { .. }
            | State::Stopped => false,
        }
    }

    /// Tells whether its first process was made, which is when the next service's turn comes.
    #[must_use]
    pub const fn was_started(&self) -> bool {
        self.run > 1 || (self.run == 1 && !matches!(self.state, State::Rendering | State::Starting { .. }))
    }

    /// Tells whether nothing of it runs and nothing will.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    /// Returns the reason for which its instance must fail, if there is one.
    #[must_use]
    pub fn hopeless(&self) -> Option<String> {
        (self.barren >= BARREN_RUNS_MAX).then(|| {
            format!("service {} was started {} times and was never ready: {}", self.spec.id, self.barren, self.ended)
        })
    }

    /// Returns the generations of the documents that its files were made from.
    #[must_use]
    pub const fn files(&self) -> &Generations {
        &self.files
    }

    /// Says how it is.
    #[must_use]
    pub fn report(&self) -> ServiceReport {
        let reason = match (self.ended.as_str(), self.trouble.as_str()) {
            (ended, "") => ended.to_owned(),
            ("", trouble) => trouble.to_owned(),
            (ended, trouble) => format!("{trouble}; before that it {ended}"),
        };
        ServiceReport { id: self.spec.id.clone(), ready: self.is_ready(), restarts: self.run.saturating_sub(1), reason }
    }

    /// Asks for its end; a second time can only shorten the grace.
    pub fn stop(&mut self, now: Timestamp, grace: Duration) {
        let grace = self.stop.unwrap_or(STOP_GRACE_MAX).min(grace);
        self.stop = Some(grace);
        match &mut self.state {
            State::Waiting { .. } | State::Rendering | State::Starting { asked: Asked::NotYet } => {
                self.state = State::Stopped
            }
            State::Running { .. } => self.signal(now, grace),
            State::Stopping { until, .. } => *until = (*until).min(now + grace),
            State::Starting { asked: Asked::Yes } | State::Clearing { .. } | State::Stopped => {}
        }
    }

    /// Takes note that its files are written.
    pub fn rendered(&mut self, files: Files) {
        let Some(generations) = self.rendering.take() else { return };
        self.files = generations;
        if self.unrenderable.take().is_some() {
            self.trouble = String::new();
        }
        match &self.state {
            State::Rendering => self.state = State::Starting { asked: Asked::NotYet },
            State::Running { .. } if files == Files::Changed => self.reload = self.spec.reload,
            State::Running { .. }
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Clearing { .. }
            | State::Stopped => {}
        }
    }

    /// Takes note that its files can't be written; returns the reason if it can't be started for that.
    ///
    /// A service that runs goes on with the files that it has, until the documents change again.
    pub fn render_failed(&mut self, reason: String) -> Option<String> {
        self.unrenderable = self.rendering.take();
        self.trouble.clone_from(&reason);
        matches!(self.state, State::Rendering).then_some(reason)
    }

    /// Takes note that its process is there.
    pub fn started(&mut self, now: Timestamp) {
        if matches!(self.state, State::Starting { asked: Asked::Yes }) {
            self.state = State::Running { watch: Watch::new(now, self.spec.health.clone()) };
            if let Some(grace) = self.stop {
                self.signal(now, grace);
            }
        }
    }

    /// Takes note that its process could not be made.
    pub fn start_failed(&mut self, now: Timestamp, reason: String) {
        if matches!(self.state, State::Starting { asked: Asked::Yes }) {
            self.fail(now, None, reason);
            self.state = State::Clearing { asked: Asked::NotYet };
        }
    }

    /// Takes note of how its process ended.
    pub fn exited(&mut self, now: Timestamp, exit: &Exit) {
        match &self.state {
            State::Running { watch } => {
                let watch = watch.clone();
                self.fail(now, Some(&watch), self.words(exit));
                self.state = State::Clearing { asked: Asked::NotYet };
            }
            State::Stopping { .. } => self.state = State::Clearing { asked: Asked::NotYet },
            State::Waiting { .. }
            | State::Rendering
            | State::Starting { .. }
            | State::Clearing { .. }
            | State::Stopped => {}
        }
    }

    /// Takes the answer to its last probe.
    pub fn probed(&mut self, now: Timestamp, answer: Result<(), String>) {
        let State::Running { watch } = &mut self.state else { return };
        let trouble = answer.as_ref().err().cloned().unwrap_or_default();
        match watch.note(now, answer.map_err(drop)) {
            Verdict::Same if watch.ready_since().is_some() => {}
            Verdict::Same | Verdict::Unready => self.trouble = trouble,
            Verdict::Ready => {
                self.barren = 0;
                self.trouble = String::new();
            }
            Verdict::Hopeless => {
                let watch = watch.clone();
                self.fail(now, Some(&watch), format!("was restarted: {trouble} ({} times in a row)", watch.failures()));
                self.signal(now, self.spec.stop.grace);
            }
        }
    }

    /// Takes note that nothing of the run is left.
    pub fn cleared(&mut self, now: Timestamp) {
        if matches!(self.state, State::Clearing { asked: Asked::Yes }) {
            let again = State::Waiting { until: now + BACKOFF.delay(self.failures) };
            self.state = if self.stop.is_some() { State::Stopped } else { again };
        }
    }

    /// Says the next thing to do; `wanted` has the newest generation of each document that it reads.
    pub fn poll(&mut self, now: Timestamp, wanted: &Generations, turn: Turn) -> Option<Action> {
        match &mut self.state {
            State::Waiting { until } if *until <= now && (turn == Turn::Come || self.run > 0) => {
                self.run += 1;
                self.state = State::Rendering;
                self.rendering = Some(wanted.clone());
                Some(Action::Render)
            }
            State::Starting { asked: asked @ Asked::NotYet } => {
                *asked = Asked::Yes;
                Some(Action::Start)
            }
            State::Running { watch } => {
                // A program that is only just starting would be ended by a signal that it doesn't handle yet.
                if let Some(signal) = self.reload.take_if(|_| watch.was_ready()) {
                    return Some(Action::Signal(signal));
                }
                if let Some(health) = watch.due(now) {
                    return Some(Action::Probe(health));
                }
                if self.files == *wanted || self.rendering.is_some() || self.unrenderable.as_ref() == Some(wanted) {
                    return None;
                }
                self.rendering = Some(wanted.clone());
                Some(Action::Render)
            }
            State::Stopping { signal: signal @ Some(_), .. } => signal.take().map(Action::Signal),
            State::Stopping { until, .. } if *until <= now => {
                self.state = State::Clearing { asked: Asked::Yes };
                Some(Action::Clear)
            }
            State::Clearing { asked: asked @ Asked::NotYet } => {
                *asked = Asked::Yes;
                Some(Action::Clear)
            }
            State::Waiting { .. }
            | State::Rendering
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Clearing { .. }
            | State::Stopped => None,
        }
    }

    /// Returns when something is due even if nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::Waiting { until } => (self.run > 0).then_some(*until),
            State::Stopping { until, .. } => Some(*until),
            State::Running { watch } => watch.deadline(),
            State::Rendering | State::Starting { .. } | State::Clearing { .. } | State::Stopped => None,
        }
    }

    fn signal(&mut self, now: Timestamp, grace: Duration) {
        self.reload = None;
        self.state = State::Stopping { until: now + grace.min(STOP_GRACE_MAX), signal: Some(self.spec.stop.signal) };
    }

    fn fail(&mut self, now: Timestamp, watch: Option<&Watch>, reason: String) {
        let steady = watch.is_some_and(|watch| watch.ready_for(now) >= STEADY_AFTER);
        let was_ready = watch.is_some_and(Watch::was_ready);
        self.failures = if steady { 1 } else { self.failures + 1 };
        self.barren = if was_ready { 0 } else { self.barren + 1 };
        self.ended = reason;
        self.trouble = String::new();
        self.reload = None;
    }

    fn words(&self, exit: &Exit) -> String {
        let cause = match exit.cause {
            Cause::Code(code) => format!("exited with code {code}"),
            Cause::Signal(signal) => format!("was ended by signal {signal}"),
            Cause::OutOfMemory => return format!("was killed: used more than its grant of {} memory", self.mem),
        };
        let stderr = exit.stderr.trim();
        if stderr.is_empty() { cause } else { format!("{cause}: {stderr}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "
kind: App
apiLevel: 1
distroID: test/reload
version: 1.0.0-1
label: {name: Reload, description: For this test.}
roles: [{id: worker, cardinality: 1+, minCores: 0.1, minMemory: 32MiB}]
services:
  - {id: web, command: [bin/web], documents: [members], reload: SIGHUP, health: {command: [bin/ask], interval: 5s}}
config: {selectedRoles: [worker], roleServices: [{roleID: worker, serviceIDs: [web]}]}
";

    #[test]
    fn a_service_is_told_to_reload_only_once_it_was_ready() {
        let manifest = manifest::Manifest::parse(MANIFEST).unwrap();
        let mut service = Service::new(Arc::new(manifest.roles[0].services[0].clone()), Bytes(32 << 20));
        let (now, wanted) = (Timestamp(0), Generations::from([("members".to_owned(), 1)]));
        assert_eq!(service.poll(now, &wanted, Turn::Come), Some(Action::Render));
        service.rendered(Files::Changed);
        assert_eq!(service.poll(now, &wanted, Turn::Come), Some(Action::Start));
        service.started(now);
        let probe = service.poll(now, &wanted, Turn::Come);
        assert!(matches!(probe, Some(Action::Probe(_))), "{probe:?}");
        let newer = Generations::from([("members".to_owned(), 2)]);
        assert_eq!(service.poll(now, &newer, Turn::Come), Some(Action::Render));
        service.rendered(Files::Changed);
        assert_eq!(service.poll(now, &newer, Turn::Come), None, "it isn't ready yet");
        service.probed(now, Ok(()));
        assert_eq!(service.poll(now, &newer, Turn::Come), Some(Action::Signal(Signal::Hup)));
        assert_eq!(service.poll(now, &newer, Turn::Come), None);
    }
}
