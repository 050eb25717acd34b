//! States made of entries, and bundles made of a few bytes.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use epic_common::conversation::{Phase, Report, ServiceReport};
use epic_common::ids::{Attempt, Digest, FrameworkId, TaskId};
use epic_common::manifest::Manifest;
use epic_common::resources::{Bytes, Grant, MIB, MilliCpus};
use epic_common::spec::Platform;
use epic_common::time::Timestamp;
use epic_common_io::bundle;
use epic_scheduler::api::desired::desired;
use epic_scheduler::artifacts::BundleFacts;
use epic_scheduler::view::Published;
use epic_scheduler_core::mesos::{Executor, StreamId, TaskState};
use epic_scheduler_core::session::Link;
use epic_scheduler_core::state::deployment::Desired;
use epic_scheduler_core::state::entry::{Ended, Entry, Fact, LaunchDecided, StatusRecorded};

pub(crate) const MANIFEST: &str = "kind: App
apiLevel: 1
distroID: open/platform
version: 1.0.0-1
label: {name: Platform}
roles:
  - {id: controller, cardinality: 1, minCores: 0.5, minMemory: 512MiB}
  - {id: worker, cardinality: 0+, minCores: 0.25, minMemory: 256MiB}
services:
  - id: monitor
    command: [bin/run]
    ports: [{name: web, port: auto}]
    endpoint: {urlScheme: http, port: web, path: /graph, isDashboard: true}
  - id: exporter
    command: [bin/run]
    ports: [{name: metrics, port: auto}]
    endpoint: {urlScheme: http, port: metrics}
config:
  selectedRoles: [controller, worker]
  roleServices:
    - {roleID: controller, serviceIDs: [monitor]}
    - {roleID: worker, serviceIDs: [exporter]}
";

/// Builds a bundle with this manifest in `folder`.
pub(crate) fn bundle(folder: &Path) -> PathBuf {
    let program = folder.join("source/payload/bin/run");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("source/manifest.yaml"), MANIFEST).unwrap();
    let file = folder.join("platform.bin");
    bundle::build(&folder.join("source"), &file).unwrap();
    file
}

pub(crate) fn facts() -> BundleFacts {
    BundleFacts { digest: Digest([7; 32]), bytes: 1000, manifest: Manifest::parse(MANIFEST).unwrap() }
}

/// The platform `demo` of one controller and so many workers.
pub(crate) fn demo(workers: u32) -> Desired {
    let yaml = format!(
        "kind: Platform\nlabel: {{name: demo}}\nspec: {{bundle: {{uri: 'file:///b'}}, workers: {{count: {workers}}}}}"
    );
    desired(&Platform::parse(&yaml).unwrap(), &facts()).unwrap()
}

/// A scheduler's history, one entry a second from 1970-01-01T00:00:01Z.
pub(crate) struct History {
    pub(crate) published: Published,
}

impl History {
    /// Subscribed and with a framework, but without a platform.
    pub(crate) fn new() -> Self {
        let link = Link::Up { stream: StreamId("s".to_owned()), since: Timestamp(0), tries: 0 };
        let (role, unreachable_after) = ("BlueData".to_owned(), Duration::from_secs(300));
        Self { published: Published { link, role, unreachable_after, ..Published::default() } }
    }

    /// With the platform `demo` of one controller and so many workers.
    pub(crate) fn demo(workers: u32) -> Self {
        let mut history = Self::new();
        history.says(Fact::FrameworkChosen { framework: FrameworkId::from("fw"), role: "BlueData".to_owned() });
        history.says(Fact::PlatformApplied { desired: Box::new(demo(workers)), key: None });
        history
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.published.state.index.0 * 1_000_000)
    }

    pub(crate) fn says(&mut self, fact: Fact) {
        let at = self.now() + Duration::from_secs(1);
        self.published.state.apply(&Entry::new(at, fact));
    }

    /// Decides the first or next attempt of a member on a host, with port 31000.
    pub(crate) fn launches(&mut self, id: &str, attempt: u32, host: &str) {
        let port = if id.starts_with("controller") { "web" } else { "metrics" };
        let mem = Bytes(256 * MIB);
        self.says(Fact::LaunchDecided(Box::new(LaunchDecided {
            task: TaskId { unit: id.parse().unwrap(), attempt: Attempt(attempt) },
            agent: format!("agent-{host}").as_str().into(),
            hostname: host.to_owned(),
            offer: "o".into(),
            stream: StreamId("s".to_owned()),
            grant: Grant {
                cpus: MilliCpus(250),
                mem,
                disk: Bytes(0),
                ports: BTreeMap::from([(port.to_owned(), 31000)]),
            },
            disk_reserved: Bytes(0),
            ports_reserved: Vec::new(),
            executor: Executor {
                id: format!("epic-{host}").as_str().into(),
                url: String::new(),
                sha256: Digest([0; 32]),
                cpus: MilliCpus(100),
                mem: Bytes(64 * MIB),
            },
        })));
    }

    /// Records what Mesos and the executor say of a task; the words are a phase, and what is said for people.
    pub(crate) fn hears(&mut self, task: &str, state: TaskState, (phase, percent): (Phase, Option<u8>), message: &str) {
        let is_up = phase == Phase::Ready;
        let service = ServiceReport { id: "s".into(), ready: is_up, restarts: 0, reason: String::new() };
        let over = matches!(state, TaskState::Failed | TaskState::Killed);
        let now = self.now();
        self.says(Fact::StatusRecorded(Box::new(StatusRecorded {
            task: task.parse().unwrap(),
            state,
            reason: String::new(),
            message: message.to_owned(),
            uuid: None,
            healthy: (state == TaskState::Running).then_some(is_up),
            report: Some(Report { phase, percent, documents: BTreeMap::new(), services: vec![service] }),
            ended: over.then_some(Ended { failures: 1, not_before: now + Duration::from_secs(9) }),
        })));
    }

    pub(crate) fn is_ready(&mut self, id: &str, host: &str) {
        self.launches(id, 1, host);
        self.hears(&format!("{id}.1"), TaskState::Running, (Phase::Ready, None), "all services are ready");
    }

    pub(crate) fn sees(&mut self, host: &str) {
        self.says(Fact::ReservationSeen {
            agent: format!("agent-{host}").as_str().into(),
            hostname: host.to_owned(),
            cpus: MilliCpus(2000),
            mem: Bytes(2048 * MIB),
        });
    }
}
