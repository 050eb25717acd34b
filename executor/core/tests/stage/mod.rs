//! A stage for the executor's machine: a host that does what it is told, and an agent that answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use epic_common::conversation::{DocumentText, LaunchOrder, Nudge, Phase};
use epic_common::ids::{Digest, TaskId};
use epic_common::machine::Machine;
use epic_common::manifest::Manifest;
use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_common::time::Timestamp;
use epic_executor_core::executor::{Away, Executor, Settings};
use epic_executor_core::traffic::{Cause, Exit, Files, Input, Launch, Output, RunId, Work};
use epic_executor_core::updates::{State, Update};

pub(crate) const MANIFEST: &str = r"
kind: App
apiLevel: 1
distroID: test/stage
version: 1.0.0-1
label: {name: Stage, description: For tests.}
roles:
  - {id: worker, cardinality: 1+, minCores: 0.1, minMemory: 32MiB}
services:
  - id: first
    command: [bin/first]
    documents: [members]
    templates: [{source: members.tmpl, target: members}]
    reload: SIGHUP
    ports: [{name: web, port: auto}]
    health: {http: {port: web, path: /}, interval: 5s, timeout: 3s, grace: 10s, failures: 3}
    stop: {signal: SIGINT, grace: 7s}
  - id: second
    command: [bin/second]
    ports: [{name: more, port: auto}]
    health: {tcp: {port: more}, interval: 5s, timeout: 3s, grace: 10s, failures: 3}
config:
  selectedRoles: [worker]
  roleServices: [{roleID: worker, serviceIDs: [first, second]}]
";

/// What the host does when it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Everything works at once.
    Works,
    /// Nothing is answered; the test does that.
    Silent,
}

/// The machine, its time and its surroundings.
pub(crate) struct Stage {
    pub(crate) machine: Executor,
    pub(crate) now: Timestamp,
    pub(crate) host: Host,
    /// All outputs but sends and subscriptions, in words, until [`Stage::log`] takes them.
    pub(crate) done: Vec<String>,
    /// Everything that the agent was told, repeats included.
    pub(crate) told: Vec<Update>,
    pub(crate) subscriptions: Vec<(usize, Vec<Update>)>,
    pub(crate) exit: Option<u8>,
    pub(crate) acknowledges: bool,
    /// Services that never become ready.
    pub(crate) sick: BTreeSet<String>,
    pub(crate) manifest: Arc<Manifest>,
    inputs: VecDeque<Input>,
}

pub(crate) fn settings(away: Away) -> Settings {
    Settings {
        away,
        subscription_backoff_max: Duration::from_secs(2),
        shutdown_grace: Duration::from_secs(5),
        seed: [9; 8],
    }
}

pub(crate) fn task(text: &str) -> TaskId {
    text.parse().unwrap()
}

pub(crate) fn document(generation: u64) -> DocumentText {
    DocumentText { name: "members".into(), generation, json: "{}".into() }
}

pub(crate) fn order(id: &str) -> LaunchOrder {
    LaunchOrder {
        task: task(id),
        role: "worker".into(),
        bundle: Digest([1; 32]),
        bundle_bytes: 1000,
        artifacts: vec!["http://a".into(), "http://b".into()],
        grant: Grant {
            cpus: MilliCpus(500),
            mem: Bytes(64 << 20),
            disk: Bytes(0),
            ports: [("web".to_owned(), 31_000), ("more".to_owned(), 31_001)].into(),
        },
        hostname: "127.0.0.1".into(),
        platform: "demo".into(),
        root_allowed: false,
        documents: vec![document(1)],
    }
}

impl Stage {
    /// An executor that has subscribed, on a host that works.
    pub(crate) fn new() -> Self {
        Self::with(Away::Continue(Duration::from_secs(900)))
    }

    pub(crate) fn with(away: Away) -> Self {
        let now = Timestamp(1_000_000_000);
        let mut stage = Self {
            machine: Executor::new(now, settings(away)),
            now,
            host: Host::Works,
            done: Vec::new(),
            told: Vec::new(),
            subscriptions: Vec::new(),
            exit: None,
            acknowledges: true,
            sick: BTreeSet::new(),
            manifest: Arc::new(Manifest::parse(MANIFEST).unwrap()),
            inputs: VecDeque::new(),
        };
        stage.settle();
        stage.put(Input::Subscribed);
        stage
    }

    /// A stage on which the order `worker-0.1` runs and is ready; its log is taken.
    pub(crate) fn running() -> Self {
        let mut stage = Self::new();
        stage.launch(order("worker-0.1"));
        stage.log();
        assert_eq!(stage.last().content.state, State::Running);
        stage
    }

    pub(crate) fn launch(&mut self, order: LaunchOrder) {
        let description = order.task.to_string().into_bytes();
        self.put(Input::Launch(Launch { order, description }));
    }

    pub(crate) fn kill(&mut self, id: &str) {
        self.put(Input::Kill { task: task(id), grace: None });
    }

    pub(crate) fn nudge(&mut self, generation: u64) {
        self.put(Input::Nudged(Nudge::Document {
            instance: "worker-0".parse().unwrap(),
            document: document(generation),
        }));
    }

    pub(crate) fn work(&mut self, work: Work) {
        self.put(Input::Worked(work));
    }

    pub(crate) fn exited(&mut self, run: RunId, cause: Cause, stderr: &str) {
        self.work(Work::Exited { run, exit: Exit { cause, stderr: stderr.into() } });
    }

    pub(crate) fn put(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        self.settle();
    }

    /// Lets time pass, stopping at each deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.machine.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now || self.machine.poll(self.now).is_none());
            self.now = self.now.max(at);
            let before = self.machine.deadline();
            self.settle();
            assert_ne!(self.machine.deadline(), before, "the machine wakes and does nothing, for ever");
        }
        self.now = end;
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(output) = self.machine.poll(self.now) {
                self.act(output);
            }
            let Some(input) = self.inputs.pop_front() else { return };
            self.machine.handle(self.now, input);
        }
    }

    pub(crate) fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    pub(crate) fn last(&self) -> &Update {
        self.told.last().expect("nothing was told")
    }

    /// The states that the agent was told of a task, without repeats.
    pub(crate) fn states(&self, id: &str) -> Vec<State> {
        let mut states: Vec<_> =
            self.told.iter().filter(|update| update.task == task(id)).map(|update| update.content.state).collect();
        states.dedup();
        states
    }

    fn act(&mut self, output: Output) {
        let words = match &output {
            Output::Subscribe { tasks, updates } => {
                self.subscriptions.push((tasks.len(), updates.clone()));
                return;
            }
            Output::Send(update) => {
                self.told.push(update.clone());
                if self.acknowledges {
                    self.inputs.push_back(Input::Acknowledged { task: update.task.clone(), update: update.id });
                }
                return;
            }
            Output::Prepare(order) => format!("prepare {}", order.task),
            Output::Fetch { base, .. } => format!("fetch {base}"),
            Output::Install(_) => "install".to_owned(),
            Output::Render(scene) => format!("render {}", word(&scene.run)),
            Output::Start(scene) => format!("start {}", word(&scene.run)),
            Output::Probe { scene, .. } => format!("probe {}", word(&scene.run)),
            Output::Signal { run, signal } => format!("{signal:?} {}", word(run)),
            Output::Clear(run) => format!("clear {}", word(run)),
            Output::Destroy(task) => format!("destroy {task}"),
            Output::Exit { code, .. } => {
                self.exit = Some(*code);
                format!("exit {code}")
            }
        };
        self.done.push(words);
        if self.host == Host::Works {
            self.inputs.extend(self.answers(output).into_iter().map(Input::Worked));
        }
    }

    fn answers(&self, output: Output) -> Vec<Work> {
        match output {
            Output::Prepare(order) => vec![Work::Prepared(order.task.clone())],
            Output::Fetch { bundle, .. } => {
                vec![Work::Progressed { bundle, phase: Phase::Fetching, percent: 50 }, Work::Fetched(bundle)]
            }
            Output::Install(bundle) => vec![Work::Installed { bundle, manifest: Arc::clone(&self.manifest) }],
            Output::Render(scene) => vec![Work::Rendered { run: scene.run, files: Files::Changed }],
            Output::Start(scene) => vec![Work::Started(scene.run)],
            Output::Probe { scene, .. } => {
                let sick = self.sick.contains(scene.run.service.as_str());
                vec![Work::Probed { run: scene.run, answer: if sick { Err("it is sick".into()) } else { Ok(()) } }]
            }
            Output::Signal { run, signal } => {
                let ends = signal != epic_common::manifest::Signal::Hup;
                let exit = Exit { cause: Cause::Signal(2), stderr: String::new() };
                if ends { vec![Work::Exited { run, exit }] } else { Vec::new() }
            }
            Output::Clear(run) => vec![Work::Cleared(run)],
            Output::Destroy(task) => vec![Work::Destroyed(task)],
            Output::Subscribe { .. } | Output::Send(_) | Output::Exit { .. } => Vec::new(),
        }
    }
}

/// Says `first#1` for the first run of the service `first`.
pub(crate) fn word(run: &RunId) -> String {
    format!("{}#{}", run.service, run.run)
}

pub(crate) fn run(service: &str, number: u32) -> RunId {
    RunId { task: task("worker-0.1"), service: service.into(), run: number }
}

/// Counts, for each text, how often it is there.
pub(crate) fn count(log: &[String], start: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in log.iter().filter(|line| line.starts_with(start)) {
        *counts.entry(line.clone()).or_insert(0) += 1;
    }
    counts
}
