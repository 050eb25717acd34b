//! What goes into the executor's machine and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use epic_common::conversation::{DocumentText, LaunchOrder, Nudge, Phase};
use epic_common::ids::{Digest, ServiceId, TaskId, UpdateId};
use epic_common::manifest::{Manifest, Probe, Service, Signal};

use crate::updates::Update;

/// One run of one service: services are started anew under the next number, so that a late answer about an old run is known as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId {
    /// The attempt that the service belongs to.
    pub task: TaskId,
    /// Which service.
    pub service: ServiceId,
    /// Counted from 1 within the attempt.
    pub run: u32,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The agent has opened its stream of events.
    Subscribed,
    /// The stream has ended, or could not be opened, or a call was refused.
    Disconnected,
    /// The agent wants a task.
    Launch(Launch),
    /// The agent wants a task whose order can't be read.
    Unreadable {
        /// Which task.
        task: TaskId,
        /// The task as the agent described it, as in [`Launch`].
        description: Vec<u8>,
        /// Why, for people.
        reason: String,
    },
    /// The agent wants a task's end; may come twice.
    Kill {
        /// Which task.
        task: TaskId,
        /// Instead of what the manifest says.
        grace: Option<Duration>,
    },
    /// The agent has stored an update.
    Acknowledged {
        /// Whose update.
        task: TaskId,
        /// Which one.
        update: UpdateId,
    },
    /// The scheduler has sent word; may be lost, late or repeated.
    Nudged(Nudge),
    /// The agent wants everything to end within the executor's grace period.
    Shutdown,
    /// Something that the machine asked for has been done, or not.
    Worked(Work),
}

/// A task to run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What to run.
    pub order: LaunchOrder,
    /// The task as the agent described it, given back when subscribing; its bytes are never read here.
    pub description: Vec<u8>,
}

/// How something that the machine asked for went.
#[derive(Clone, Debug)]
pub enum Work {
    /// The instance's directories and cgroup are there.
    Prepared(TaskId),
    /// The instance can't run here whatever is tried again.
    Refused {
        /// The instance.
        task: TaskId,
        /// Why, for people.
        reason: String,
    },
    /// A bundle is further.
    Progressed {
        /// The bundle.
        bundle: Digest,
        /// [`Phase::Fetching`] or [`Phase::Installing`].
        phase: Phase,
        /// 0 to 100.
        percent: u8,
    },
    /// A bundle is complete on disk, not checked yet.
    Fetched(Digest),
    /// One source did not give the bundle; another or the same may, later.
    FetchFailed {
        /// The bundle.
        bundle: Digest,
        /// Why, for people.
        reason: String,
    },
    /// A bundle's payload is in place.
    Installed {
        /// The bundle.
        bundle: Digest,
        /// What it says of itself.
        manifest: Arc<Manifest>,
    },
    /// A bundle can't be kept or unpacked here.
    InstallFailed {
        /// The bundle.
        bundle: Digest,
        /// Why, for people.
        reason: String,
    },
    /// The service's files are written.
    Rendered {
        /// For which run.
        run: RunId,
        /// Whether any file is different from before.
        files: Files,
    },
    /// A template is wrong, or a file can't be written.
    RenderFailed {
        /// For which run.
        run: RunId,
        /// Why, for people.
        reason: String,
    },
    /// The service's process is there; comes before any other news of the run.
    Started(RunId),
    /// The service's process could not be made.
    StartFailed {
        /// Which run.
        run: RunId,
        /// Why, for people.
        reason: String,
    },
    /// The service's first process has ended.
    Exited {
        /// Which run.
        run: RunId,
        /// How.
        exit: Exit,
    },
    /// A probe has an answer; comes for each probe, within its time-out.
    Probed {
        /// Of which run.
        run: RunId,
        /// Why not, for people.
        answer: Result<(), String>,
    },
    /// Nothing of the run is left.
    Cleared(RunId),
    /// Nothing of the instance is left.
    Destroyed(TaskId),
}

/// Whether rendering made a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// At least one file has other content than before.
    Changed,
    /// All files are as they were.
    Same,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The cause.
    pub cause: Cause,
    /// The last lines that it wrote to stderr, bounded by who collects them.
    pub stderr: String,
}

/// Why a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It left with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel killed it, since its instance used up its memory.
    OutOfMemory,
}

/// What a service needs to be rendered, started or probed.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Which run.
    pub run: RunId,
    /// What was ordered.
    pub order: Arc<LaunchOrder>,
    /// The bundle's manifest.
    pub manifest: Arc<Manifest>,
    /// The service in it.
    pub service: Arc<Service>,
    /// The newest text of each document that the instance was given.
    pub documents: Vec<DocumentText>,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Subscribe with the agent, telling it all that it hasn't acknowledged; answered by `Subscribed` or `Disconnected`.
    Subscribe {
        /// Descriptions of tasks none of whose updates was acknowledged.
        tasks: Vec<Vec<u8>>,
        /// In the order in which they were made.
        updates: Vec<Update>,
    },
    /// Send an update on the current subscription; a failure is a `Disconnected`.
    Send(Update),
    /// Make the instance's directories and cgroup; answered by `Prepared` or `Refused`.
    Prepare(Arc<LaunchOrder>),
    /// Fetch a bundle; answered by `Fetched` or `FetchFailed`.
    Fetch {
        /// The bundle.
        bundle: Digest,
        /// Its length in bytes.
        bytes: u64,
        /// The server, such as `http://10.0.0.1:8080`.
        base: String,
    },
    /// Check and unpack a fetched bundle; answered by `Installed` or `InstallFailed`.
    Install(Digest),
    /// Write the service's files; answered by `Rendered` or `RenderFailed`.
    Render(Box<Scene>),
    /// Start the service; answered by `Started` or `StartFailed`, and by `Exited` after `Started`.
    Start(Box<Scene>),
    /// Ask the service how it is; answered by `Probed`.
    Probe {
        /// The service.
        scene: Box<Scene>,
        /// What to ask.
        probe: Probe,
        /// How long to wait for the answer.
        timeout: Duration,
    },
    /// Send a signal to the service's first process, which tells its own children; not answered.
    Signal {
        /// Which run.
        run: RunId,
        /// The signal.
        signal: Signal,
    },
    /// Kill all of the run's processes and await their end; answered by `Cleared`.
    Clear(RunId),
    /// Kill all of the instance's processes, await their end, and remove its cgroup; answered by `Destroyed`.
    Destroy(TaskId),
    /// End the executor; nothing of its instances runs any more.
    Exit {
        /// 0 if all went well.
        code: u8,
        /// Why, for the log.
        reason: &'static str,
    },
}

impl Work {
    /// Returns the task that it was for; `None` if it was for a bundle.
    #[must_use]
    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Self::Prepared(task) | Self::Refused { task, .. } | Self::Destroyed(task) => Some(task),
            Self::Rendered { run, .. }
            | Self::RenderFailed { run, .. }
            | Self::Started(run)
            | Self::StartFailed { run, .. }
            | Self::Exited { run, .. }
            | Self::Probed { run, .. }
            | Self::Cleared(run) => Some(&run.task),
            Self::Progressed { .. }
            | Self::Fetched(_)
            | Self::FetchFailed { .. }
            | Self::Installed { .. }
            | Self::InstallFailed { .. } => None,
        }
    }
}
