//! The executor's world: what its machine wants done is done here, on this host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use actix::System;
use epic_common::conversation::{LaunchOrder, Phase};
use epic_common::ids::{Digest, ServiceId, TaskId};
use epic_common::manifest::{Probe, Signal};
use epic_common_io::bundle::{self, Bundle};
use epic_common_io::driver::{Inbox, World};
use epic_common_io::http::Clients;
use epic_executor_core::executor::Executor;
use epic_executor_core::traffic::{Input, Output, RunId, Scene, Work};
use nix::sys::signal;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use crate::agent::Agent;
use crate::cgroup::{self, Cgroups, Group, Owner};
use crate::fetch::{self, Wanted};
use crate::probe;
use crate::process::{Logs, Program};
use crate::reason::chain;
use crate::render::Renderer;
use crate::sandbox::{Root, Sandbox, Stream, User};
use crate::scene::{self, Places};

/// All that an executor acts on.
#[derive(Debug)]
pub struct Host {
    agent: Agent,
    clients: Clients,
    sandbox: Rc<Sandbox>,
    cgroups: Result<Cgroups, cgroup::Error>,
    groups: BTreeMap<TaskId, Group>,
    runs: BTreeMap<(TaskId, ServiceId), Run>,
}

#[derive(Debug)]
struct Run {
    number: u32,
    group: Group,
    program: Program,
    signals: mpsc::UnboundedSender<signal::Signal>,
}

impl Host {
    /// Makes the world of an executor that has done nothing yet, and cleans up behind dead ones; needs the runtime.
    #[must_use]
    pub fn new(agent: Agent, clients: Clients, sandbox: Sandbox) -> Self {
        let cgroups = Cgroups::of_this_process();
        if let Some(cgroups) = cgroups.as_ref().ok().cloned() {
            actix::spawn(async move { cgroups.sweep().await });
        }
        Self { agent, clients, sandbox: Rc::new(sandbox), cgroups, groups: BTreeMap::new(), runs: BTreeMap::new() }
    }

    fn prepare(&mut self, order: &LaunchOrder) -> Work {
        let task = order.task.clone();
        let refused = |reason| Work::Refused { task: task.clone(), reason };
        if let Err(error) = self.sandbox.create_instance(&order.task.unit) {
            return refused(chain(&error));
        }
        // Executors of other agents on this host may share our place in the hierarchy.
        let name = Owner::this_process().group(&order.task.to_string());
        let made = match &self.cgroups {
            Ok(cgroups) => cgroups.create(&name, &order.grant).map_err(|error| chain(&error)),
            Err(error) => Err(chain(error)),
        };
        match made {
            Ok(group) => {
                self.groups.insert(task.clone(), group);
                Work::Prepared(task)
            }
            Err(reason) => refused(format!(
                "nothing is started without confinement: {reason}; the Mesos agent must run as root where cgroups can be written"
            )),
        }
    }

    fn fetch(&self, wanted: Wanted, base: String, inbox: Inbox<Input>) {
        let (client, to) = (self.clients.stream.clone(), self.sandbox.bundle(&wanted.digest));
        actix::spawn(async move {
            let bundle = wanted.digest;
            let progress =
                async |percent| put(inbox.clone(), Work::Progressed { bundle, phase: Phase::Fetching, percent }).await;
            let work = match fetch::fetch(&client, &base, wanted, &to, progress).await {
                Ok(()) => Work::Fetched(bundle),
                Err(error) if error.is_final() => Work::InstallFailed { bundle, reason: chain(&error) },
                Err(error) => Work::FetchFailed { bundle, reason: chain(&error) },
            };
            put(inbox.clone(), work).await;
        });
    }

    fn install(&self, digest: Digest, inbox: Inbox<Input>) {
        let (file, into) = (self.sandbox.bundle(&digest), self.sandbox.payload(&digest));
        let (sender, mut percents) = watch::channel(0);
        let unpacked = spawn_blocking(move || {
            let mut progress = |done: u64, total: u64| {
                let percent = u8::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(100);
                sender.send_if_modified(|known| std::mem::replace(known, percent) != percent);
            };
            let manifest = bundle::install(&file, digest, &into, &mut progress)
                .and_then(|_| Bundle::open(&file))
                .map(|bundle| bundle.manifest().clone());
            // The payload is all that is needed from now on.
            std::fs::remove_file(&file).ok();
            manifest
        });
        actix::spawn(async move {
            while percents.changed().await.is_ok() {
                let percent = *percents.borrow_and_update();
                put(inbox.clone(), Work::Progressed { bundle: digest, phase: Phase::Installing, percent }).await;
            }
            let work = match unpacked.await {
                Ok(Ok(manifest)) => Work::Installed { bundle: digest, manifest: manifest.into() },
                Ok(Err(error)) => Work::InstallFailed { bundle: digest, reason: chain(&error) },
                Err(error) => Work::InstallFailed { bundle: digest, reason: chain(&error) },
            };
            put(inbox.clone(), work).await;
        });
    }

    fn render(&self, scene: Box<Scene>, inbox: Inbox<Input>) {
        let (dir, payload) = self.paths(&scene);
        let sandbox = Sandbox::clone(&self.sandbox);
        actix::spawn(async move {
            let run = scene.run.clone();
            let rendered = spawn_blocking(move || {
                let user =
                    User::find(scene.service.user.as_deref(), root(&scene.order)).map_err(|error| chain(&error))?;
                sandbox
                    .create_service(&scene.run.task.unit, &scene.run.service, &user)
                    .map_err(|error| chain(&error))?;
                let places = Places { dir: &dir, payload: &payload };
                let renderer = Renderer::new(&scene, places).map_err(|error| chain(&error))?;
                renderer.files(&scene, places, &user).map_err(|error| chain(&error))
            });
            let work = match rendered.await {
                Ok(Ok(files)) => Work::Rendered { run, files },
                Ok(Err(reason)) => Work::RenderFailed { run, reason },
                Err(error) => Work::RenderFailed { run, reason: chain(&error) },
            };
            put(inbox.clone(), work).await;
        });
    }

    fn start(&mut self, scene: &Scene, inbox: Inbox<Input>) {
        if let Err(reason) = self.spawn(scene, &inbox) {
            actix::spawn(put(inbox, Work::StartFailed { run: scene.run.clone(), reason }));
        }
    }

    fn spawn(&mut self, scene: &Scene, inbox: &Inbox<Input>) -> Result<(), String> {
        let run = scene.run.clone();
        let instance = self.groups.get(&run.task).ok_or("its instance has no cgroup")?;
        let group = instance.child(&format!("{}.{}", run.service, run.run)).map_err(|error| chain(&error))?;
        let (dir, payload) = self.paths(scene);
        let places = Places { dir: &dir, payload: &payload };
        let user = User::find(scene.service.user.as_deref(), root(&scene.order)).map_err(|error| chain(&error))?;
        let program = scene::program(scene, places, user, group.clone()).map_err(|error| chain(&error))?;
        let log = |stream| self.sandbox.log(&run.task.unit, &run.service, stream);
        let process = program.spawn(Logs { out: log(Stream::Out), err: log(Stream::Err) });
        let (signals, received) = mpsc::unbounded_channel();
        self.runs.insert((run.task.clone(), run.service.clone()), Run { number: run.run, group, program, signals });
        let process = process.map_err(|error| chain(&error))?;
        let inbox = inbox.clone();
        actix::spawn(async move {
            put(inbox.clone(), Work::Started(run.clone())).await;
            let exit = process.run(received).await;
            tracing::info!(task = %run.task, service = %run.service, run = run.run, cause = ?exit.cause, "service ended");
            put(inbox.clone(), Work::Exited { run, exit }).await;
        });
        Ok(())
    }

    fn probe(&self, scene: Box<Scene>, probe: Probe, most: Duration, inbox: Inbox<Input>) {
        let (dir, payload) = self.paths(&scene);
        let program = self.run(&scene.run).map(|run| run.program.clone());
        actix::spawn(async move {
            let question =
                probe::Question { scene: &scene, places: Places { dir: &dir, payload: &payload }, probe: &probe, most };
            let answer = question.ask(program).await;
            put(inbox, Work::Probed { run: scene.run, answer }).await;
        });
    }

    fn clear(&mut self, id: RunId, inbox: Inbox<Input>) {
        let key = (id.task.clone(), id.service.clone());
        let run = self.runs.remove(&key);
        actix::spawn(async move {
            if let Some(run) = run {
                run.group.destroy().await;
            }
            put(inbox.clone(), Work::Cleared(id)).await;
        });
    }

    fn destroy(&mut self, task: TaskId, inbox: Inbox<Input>) {
        let group = self.groups.remove(&task);
        actix::spawn(async move {
            if let Some(group) = group {
                group.destroy().await;
            }
            put(inbox.clone(), Work::Destroyed(task)).await;
        });
    }

    fn run(&self, id: &RunId) -> Option<&Run> {
        self.runs.get(&(id.task.clone(), id.service.clone())).filter(|run| run.number == id.run)
    }

    fn paths(&self, scene: &Scene) -> (PathBuf, PathBuf) {
        (self.sandbox.service(&scene.run.task.unit, &scene.run.service), self.sandbox.payload(&scene.order.bundle))
    }
}

impl World<Executor> for Host {
    fn act(&mut self, output: Output, inbox: &Inbox<Input>) {
        let inbox = inbox.clone();
        match output {
            Output::Subscribe { tasks, updates } => self.agent.subscribe(&tasks, &updates, inbox),
            Output::Send(update) => {
                let content = &update.content;
                tracing::info!(task = %update.task, state = ?content.state, healthy = content.healthy, message = content.message.as_str(), "update");
                self.agent.send(&update);
            }
            Output::Prepare(order) => {
                let work = self.prepare(&order);
                actix::spawn(put(inbox, work));
            }
            Output::Fetch { bundle, bytes, base } => self.fetch(Wanted { digest: bundle, bytes }, base, inbox),
            Output::Install(bundle) => self.install(bundle, inbox),
            Output::Render(scene) => self.render(scene, inbox),
            Output::Start(scene) => self.start(&scene, inbox),
            Output::Probe { scene, probe, timeout } => self.probe(scene, probe, timeout, inbox),
            Output::Signal { run, signal } => {
                if let Some(run) = self.run(&run) {
                    // Nobody listens once the process has ended.
                    run.signals.send(number(signal)).ok();
                }
            }
            Output::Clear(run) => self.clear(run, inbox),
            Output::Destroy(task) => self.destroy(task, inbox),
            Output::Exit { code, reason } => {
                tracing::info!(code, reason, "the executor ends");
                System::current().stop_with_code(code.into());
            }
        }
    }
}

async fn put(inbox: Inbox<Input>, work: Work) {
    // The machine is gone only when the executor ends.
    inbox.put(Input::Worked(work)).await.ok();
}

const fn number(signal: Signal) -> signal::Signal {
    match signal {
        Signal::Term => signal::Signal::SIGTERM,
        Signal::Int => signal::Signal::SIGINT,
        Signal::Quit => signal::Signal::SIGQUIT,
        Signal::Hup => signal::Signal::SIGHUP,
        Signal::Usr1 => signal::Signal::SIGUSR1,
        Signal::Usr2 => signal::Signal::SIGUSR2,
    }
}

const fn root(order: &LaunchOrder) -> Root {
    if order.root_allowed { Root::Allowed } else { Root::Forbidden }
}
