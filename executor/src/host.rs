//! The executor's world: what its machine wants done is done here, on this host.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
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
use crate::probe::{self, Target};
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
    sandbox: Sandbox,
    cgroups: Arc<Result<Cgroups, cgroup::Error>>,
    groups: Shared<TaskId, Group>,
    runs: Shared<(TaskId, ServiceId), Run>,
}

/// What tasks of the main thread share; never borrowed over an `await`.
type Shared<K, V> = Rc<RefCell<BTreeMap<K, V>>>;

#[derive(Debug)]
struct Run {
    number: u32,
    group: Group,
    program: Program,
    target: Rc<Target>,
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
        Self { agent, clients, sandbox, cgroups: Arc::new(cgroups), groups: Rc::default(), runs: Rc::default() }
    }

    fn prepare(&self, order: Arc<LaunchOrder>, inbox: Inbox<Input>) {
        let (sandbox, cgroups, groups) = (self.sandbox.clone(), Arc::clone(&self.cgroups), Rc::clone(&self.groups));
        actix::spawn(async move {
            let task = order.task.clone();
            let made = blocking(move || make_group(&sandbox, &cgroups, &order)).await;
            let work = match made {
                Ok(group) => {
                    groups.borrow_mut().insert(task.clone(), group);
                    Work::Prepared(task)
                }
                Err(reason) => Work::Refused { task, reason },
            };
            put(inbox, work).await;
        });
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
        let sandbox = self.sandbox.clone();
        actix::spawn(async move {
            let run = scene.run.clone();
            let rendered = blocking(move || {
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
                Ok(files) => Work::Rendered { run, files },
                Err(reason) => Work::RenderFailed { run, reason },
            };
            put(inbox.clone(), work).await;
        });
    }

    fn start(&self, scene: Box<Scene>, inbox: Inbox<Input>) {
        let (dir, payload) = self.paths(&scene);
        let run = scene.run.clone();
        let log = |stream| self.sandbox.log(&run.task.unit, &run.service, stream);
        let logs = Logs { out: log(Stream::Out), err: log(Stream::Err) };
        let hostname = scene.order.hostname.clone();
        let (instance, runs) = (self.groups.borrow().get(&run.task).cloned(), Rc::clone(&self.runs));
        actix::spawn(async move {
            let made = blocking(move || make_program(&scene, Places { dir: &dir, payload: &payload }, instance)).await;
            let (signals, received) = mpsc::unbounded_channel();
            let started = made.and_then(|program| {
                // On this thread, see `Program::spawn`.
                let process = program.spawn(logs).map_err(|error| chain(&error));
                let group = program.group.clone();
                let known = Run { number: run.run, group, program, target: Rc::new(Target::new(hostname)), signals };
                runs.borrow_mut().insert((run.task.clone(), run.service.clone()), known);
                process
            });
            let process = match started {
                Ok(process) => process,
                Err(reason) => return put(inbox, Work::StartFailed { run, reason }).await,
            };
            put(inbox.clone(), Work::Started(run.clone())).await;
            let exit = process.run(received).await;
            tracing::info!(task = %run.task, service = %run.service, run = run.run, cause = ?exit.cause, "service ended");
            put(inbox, Work::Exited { run, exit }).await;
        });
    }

    fn probe(&self, scene: Box<Scene>, probe: Probe, most: Duration, inbox: Inbox<Input>) {
        let (dir, payload) = self.paths(&scene);
        let run = self.run(&scene.run, |run| (run.program.clone(), Rc::clone(&run.target)));
        actix::spawn(async move {
            let (id, order) = (scene.run.clone(), Arc::clone(&scene.order));
            let rendered = move || probe::rendered(&probe, &scene, Places { dir: &dir, payload: &payload });
            let answer = match (run, blocking(rendered).await) {
                (Some((program, target)), Ok(probe)) => {
                    let question = probe::Question { grant: &order.grant, target: &target, probe: &probe, most };
                    question.ask(program).await
                }
                (Some(_), Err(reason)) => Err(reason),
                (None, _) => Err("it is not there".to_owned()),
            };
            put(inbox, Work::Probed { run: id, answer }).await;
        });
    }

    fn clear(&self, id: RunId, inbox: Inbox<Input>) {
        let run = self.runs.borrow_mut().remove(&(id.task.clone(), id.service.clone()));
        actix::spawn(async move {
            if let Some(run) = run {
                run.group.destroy().await;
            }
            put(inbox.clone(), Work::Cleared(id)).await;
        });
    }

    fn destroy(&self, task: TaskId, inbox: Inbox<Input>) {
        let group = self.groups.borrow_mut().remove(&task);
        actix::spawn(async move {
            if let Some(group) = group {
                group.destroy().await;
            }
            put(inbox.clone(), Work::Destroyed(task)).await;
        });
    }

    fn run<T>(&self, id: &RunId, take: impl FnOnce(&Run) -> T) -> Option<T> {
        let runs = self.runs.borrow();
        runs.get(&(id.task.clone(), id.service.clone())).filter(|run| run.number == id.run).map(take)
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
            Output::Prepare(order) => self.prepare(order, inbox),
            Output::Fetch { bundle, bytes, base } => self.fetch(Wanted { digest: bundle, bytes }, base, inbox),
            Output::Install(bundle) => self.install(bundle, inbox),
            Output::Render(scene) => self.render(scene, inbox),
            Output::Start(scene) => self.start(scene, inbox),
            Output::Probe { scene, probe, timeout } => self.probe(scene, probe, timeout, inbox),
            Output::Signal { run, signal } => {
                // Nobody listens once the process has ended.
                self.run(&run, |run| run.signals.send(number(signal)).ok());
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

/// Does what may wait for a disk or take its time on another thread; one that panics is a reason, too.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(chain(&error)))
}

fn make_group(
    sandbox: &Sandbox,
    cgroups: &Result<Cgroups, cgroup::Error>,
    order: &LaunchOrder,
) -> Result<Group, String> {
    sandbox.create_instance(&order.task.unit).map_err(|error| chain(&error))?;
    // Executors of other agents on this host may share our place in the hierarchy.
    let name = Owner::this_process().group(&order.task.to_string());
    let made = match cgroups {
        Ok(cgroups) => cgroups.create(&name, &order.grant).map_err(|error| chain(&error)),
        Err(error) => Err(chain(error)),
    };
    made.map_err(|reason| {
        format!(
            "nothing is started without confinement: {reason}; the Mesos agent must run as root where cgroups can be written"
        )
    })
}

fn make_program(scene: &Scene, places: Places<'_>, instance: Option<Group>) -> Result<Program, String> {
    let instance = instance.ok_or("its instance has no cgroup")?;
    let user = User::find(scene.service.user.as_deref(), root(&scene.order)).map_err(|error| chain(&error))?;
    let group = instance.child(&format!("{}.{}", scene.run.service, scene.run.run)).map_err(|error| chain(&error))?;
    scene::program(scene, places, user, group).map_err(|error| chain(&error))
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
