//! Whatever happens in whatever order, no terminal update is lost and no service runs twice at once.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[expect(dead_code, reason = "the scenarios use the rest")]
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use epic_common::conversation::{Nudge, Phase};
use epic_common::ids::{Digest, TaskId, UpdateId};
use epic_common::machine::Machine;
use epic_common::manifest::Manifest;
use epic_common::time::Timestamp;
use epic_executor_core::executor::{Away, Executor};
use epic_executor_core::traffic::{Cause, Exit, Files, Input, Launch, Output, RunId, Work};
use epic_executor_core::updates::Update;
use proptest::prelude::*;
use stage::{MANIFEST, document, order, settings, task};

/// A world whose answers wait until the test chooses one, and that may be bad ones.
struct World {
    machine: Executor,
    now: Timestamp,
    manifest: Arc<Manifest>,
    /// Answers that are owed, in the order in which they were asked for.
    owed: Vec<Work>,
    /// Runs whose process is there.
    alive: BTreeSet<(TaskId, String, u32)>,
    /// Runs that may have left something, by service.
    uncleared: BTreeMap<(TaskId, String), u32>,
    subscribed: bool,
    opening: bool,
    /// What the agent has stored: the updates of each task in order, without repeats.
    stored: BTreeMap<TaskId, Vec<Update>>,
    unacknowledged: Vec<(TaskId, UpdateId)>,
    launched: BTreeSet<TaskId>,
    /// A shutdown was asked for: the agent tells of what the executor can't.
    shut_down: bool,
    exit: Option<u8>,
}

const TASKS: [&str; 2] = ["worker-0.1", "worker-1.1"];

impl World {
    fn new() -> Self {
        let now = Timestamp(1_000_000_000);
        let mut world = Self {
            machine: Executor::new(now, settings(Away::Continue(Duration::from_secs(1_000_000)))),
            now,
            manifest: Arc::new(Manifest::parse(MANIFEST).unwrap()),
            owed: Vec::new(),
            alive: BTreeSet::new(),
            uncleared: BTreeMap::new(),
            subscribed: false,
            opening: false,
            stored: BTreeMap::new(),
            unacknowledged: Vec::new(),
            launched: BTreeSet::new(),
            shut_down: false,
            exit: None,
        };
        world.settle();
        world
    }

    fn put(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            match self.machine.poll(self.now) {
                Some(output) => self.act(output),
                None => return,
            }
        }
        panic!("the machine never rests");
    }

    fn act(&mut self, output: Output) {
        assert_eq!(self.exit, None, "{output:?} after the exit");
        match output {
            Output::Subscribe { tasks, updates } => {
                assert!(!self.subscribed && !self.opening);
                self.opening = true;
                for launched in &self.launched {
                    let known = tasks.iter().any(|description| description == launched.to_string().as_bytes());
                    assert!(known || self.stored.contains_key(launched), "the agent would drop {launched}");
                }
                updates.into_iter().for_each(|update| self.store(update));
            }
            Output::Send(update) => {
                assert!(self.subscribed);
                self.store(update);
            }
            Output::Prepare(order) => self.owed.push(Work::Prepared(order.task.clone())),
            Output::Fetch { bundle, .. } => self.owed.push(Work::Fetched(bundle)),
            Output::Install(bundle) => self.owed.push(Work::Installed { bundle, manifest: Arc::clone(&self.manifest) }),
            Output::Render(scene) => self.owed.push(Work::Rendered { run: scene.run, files: Files::Changed }),
            Output::Start(scene) => {
                let earlier =
                    self.uncleared.insert((scene.run.task.clone(), scene.run.service.to_string()), scene.run.run);
                assert_eq!(earlier, None, "{:?} is started while its earlier run isn't cleared", scene.run);
                self.owed.push(Work::Started(scene.run));
            }
            Output::Probe { scene, .. } => self.owed.push(Work::Probed { run: scene.run, answer: Ok(()) }),
            Output::Signal { run, .. } => {
                if self.alive.contains(&key(&run)) {
                    self.owed.push(exited(run, Cause::Signal(15)));
                }
            }
            Output::Clear(run) => self.owed.push(Work::Cleared(run)),
            Output::Destroy(task) => self.owed.push(Work::Destroyed(task)),
            Output::Exit { code, .. } => self.exit = Some(code),
        }
    }

    /// Stores an update as an agent does: once, and in the order of a task's life.
    fn store(&mut self, update: Update) {
        let stored = self.stored.entry(update.task.clone()).or_default();
        if let Some(known) = stored.iter().find(|known| known.id == update.id) {
            assert_eq!(*known, update, "an update changed after it was sent");
        } else {
            assert!(
                stored.last().is_none_or(|last| !last.content.state.is_terminal()),
                "{update:?} follows a terminal update"
            );
            if update.content.state.is_terminal() {
                assert!(
                    !self.uncleared.keys().any(|(owner, _)| *owner == update.task),
                    "{} ended while something of it runs",
                    update.task
                );
            }
            stored.push(update.clone());
        }
        self.unacknowledged.push((update.task, update.id));
    }

    /// Answers one thing that is owed, as it was asked for.
    fn answer(&mut self, nth: usize) {
        if self.owed.is_empty() {
            return;
        }
        let work = self.owed.remove(nth % self.owed.len());
        match &work {
            Work::Started(run) => {
                self.alive.insert(key(run));
            }
            Work::Exited { run, .. } => {
                self.alive.remove(&key(run));
            }
            Work::Cleared(run) => {
                self.alive.remove(&key(run));
                self.uncleared.remove(&(run.task.clone(), run.service.to_string()));
            }
            Work::Prepared(_)
            | Work::Refused { .. }
            | Work::Progressed { .. }
            | Work::Fetched(_)
            | Work::FetchFailed { .. }
            | Work::Installed { .. }
            | Work::InstallFailed { .. }
            | Work::Rendered { .. }
            | Work::RenderFailed { .. }
            | Work::StartFailed { .. }
            | Work::Probed { .. }
            | Work::Destroyed(_) => {}
        }
        self.put(Input::Worked(work));
    }

    /// Turns one thing that is owed into its failure.
    fn spoil(&mut self, nth: usize) {
        if self.owed.is_empty() {
            return;
        }
        let nth = nth % self.owed.len();
        let reason = || "spoilt".to_owned();
        let failed = match self.owed[nth].clone() {
            Work::Prepared(task) => Work::Refused { task, reason: reason() },
            Work::Fetched(bundle) => Work::FetchFailed { bundle, reason: reason() },
            Work::Installed { bundle, .. } => Work::InstallFailed { bundle, reason: reason() },
            Work::Rendered { run, .. } => Work::RenderFailed { run, reason: reason() },
            Work::Started(run) => Work::StartFailed { run, reason: reason() },
            Work::Probed { run, .. } => Work::Probed { run, answer: Err(reason()) },
            failed @ (Work::Refused { .. }
            | Work::Progressed { .. }
            | Work::FetchFailed { .. }
            | Work::InstallFailed { .. }
            | Work::RenderFailed { .. }
            | Work::StartFailed { .. }
            | Work::Exited { .. }
            | Work::Cleared(_)
            | Work::Destroyed(_)) => failed,
        };
        self.owed[nth] = failed;
    }

    fn acknowledge(&mut self, nth: usize) {
        if self.subscribed && !self.unacknowledged.is_empty() {
            let (task, update) = self.unacknowledged.remove(nth % self.unacknowledged.len());
            self.put(Input::Acknowledged { task, update });
        }
    }

    fn happen(&mut self, event: u8, nth: usize) {
        if self.exit.is_some() {
            return;
        }
        let id = TASKS[nth % TASKS.len()];
        match event {
            0..=99 => self.answer(nth),
            100..=109 => self.spoil(nth),
            110..=129 => self.acknowledge(nth),
            130..=149 if self.opening => self.open(),
            150..=154 if self.subscribed || self.opening => self.close(),
            155..=164 if self.subscribed && (self.launched.is_empty() || nth.is_multiple_of(3)) => {
                if self.launched.insert(task(id)) {
                    self.put(Input::Launch(Launch { order: order(id), description: id.as_bytes().to_vec() }));
                }
            }
            165..=169 if self.subscribed => self.put(Input::Kill { task: task(id), grace: None }),
            170..=179 => {
                let run = nth.checked_rem(self.alive.len()).and_then(|nth| self.alive.iter().nth(nth).cloned());
                if let Some((task, service, run)) = run {
                    self.owed.push(exited(RunId { task, service: service.as_str().into(), run }, Cause::OutOfMemory));
                }
            }
            180..=189 => {
                let instance = task(id).unit;
                self.put(Input::Nudged(Nudge::Document {
                    instance,
                    document: document(u64::try_from(nth % 16).unwrap()),
                }));
            }
            190 => {
                self.shut_down = true;
                self.put(Input::Shutdown);
            }
            191..=199 => {
                self.put(Input::Worked(Work::Progressed {
                    bundle: Digest([1; 32]),
                    phase: Phase::Fetching,
                    percent: event,
                }));
            }
            _ => self.pass(Duration::from_millis(u64::try_from(nth % 20_000).unwrap())),
        }
    }

    fn open(&mut self) {
        (self.opening, self.subscribed) = (false, true);
        self.put(Input::Subscribed);
    }

    fn close(&mut self) {
        (self.opening, self.subscribed) = (false, false);
        self.unacknowledged.clear();
        self.put(Input::Disconnected);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.settle();
    }

    /// Lets all go well from now on, until the executor ends.
    fn calm_down(&mut self) {
        for id in TASKS {
            self.put(Input::Kill { task: task(id), grace: None });
        }
        for _ in 0..10_000 {
            if self.exit.is_some() || self.launched.is_empty() {
                return;
            }
            if self.opening {
                self.open();
            }
            self.answer(0);
            self.acknowledge(0);
            self.pass(Duration::from_millis(500));
        }
        panic!(
            "the executor doesn't end; owed {:?}, stored {:?}",
            self.owed,
            self.stored.values().map(|all| all.last()).collect::<Vec<_>>()
        );
    }
}

fn key(run: &RunId) -> (TaskId, String, u32) {
    (run.task.clone(), run.service.to_string(), run.run)
}

fn exited(run: RunId, cause: Cause) -> Work {
    Work::Exited { run, exit: Exit { cause, stderr: String::new() } }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_terminal_update_is_lost_and_no_service_runs_twice_at_once(events in prop::collection::vec((any::<u8>(), any::<u16>()), 0..200)) {
        let mut world = World::new();
        world.open();
        for (event, nth) in events {
            world.happen(event, nth.into());
        }
        world.calm_down();
        if !world.shut_down {
            for launched in &world.launched {
                let last = world.stored.get(launched).and_then(|all| all.last());
                prop_assert!(last.is_some_and(|last| last.content.state.is_terminal()), "{launched} ended as {last:?}");
            }
        }
    }
}
