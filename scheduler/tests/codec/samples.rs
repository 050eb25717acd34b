//! One entry of every kind, with every field set; and the state that they lead to.

use epic_common::conversation::{Phase, Report, ServiceReport};
use epic_common::ids::{Digest, FrameworkId, UpdateId};
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_common::spec::Ceiling;
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Executor, StreamId, TaskState};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Bundle, Desired, Endpoint, RoleNeeds, Wanted};
use epic_scheduler_core::state::entry::{Ended, Entry, Fact, LaunchDecided, Origin, StatusRecorded, UnitLaunched};
use epic_scheduler_core::state::unit::{Program, resources};

/// The position of the first entry of [`every_kind`].
pub(crate) const FIRST: u64 = 41;

/// One entry of every kind; the last one leaves nothing.
pub(crate) fn every_kind() -> Vec<Entry> {
    let origin = Origin { principal: "admin".to_owned(), request: "r-1".to_owned(), key: Some("fifth-1".to_owned()) };
    let chosen = Fact::InstallationChosen { id: "0a1b2c3d".to_owned() };
    let later = [chosen, unit_launched()];
    let later =
        later.map(|fact| Entry { origin: origin.clone(), ..Entry::new(Timestamp(1_800_000_020_000_000), fact) });
    let mut entries = every_kind_of_the_fourth_batch();
    let last = entries.len() - 1;
    entries.splice(last..last, later);
    entries
}

fn unit_launched() -> Fact {
    let Fact::LaunchDecided(decided) = launch("controller-0.2", "agent-1") else { unreachable!("it launches") };
    let LaunchDecided { task, agent, hostname, stream, grant, executor, .. } = *decided;
    let program = Program {
        deployment: "demo".to_owned(),
        bundle: Digest([0xef; 32]),
        bundle_bytes: 3,
        root_allowed: true,
        reads_members: true,
        wanted: Wanted { group: "g".to_owned(), flavor: "small".to_owned(), generation: 2 },
    };
    let resources = resources(&grant, Bytes(1 << 20), &[9_090]);
    let offers = vec!["offer-1".into(), "offer-2".into()];
    let launched = UnitLaunched { task, agent, hostname, offers, stream, program, grant, resources, executor };
    Fact::UnitLaunched(Box::new(launched))
}

/// One entry of every kind that the fourth batch has.
pub(crate) fn every_kind_of_the_fourth_batch() -> Vec<Entry> {
    let url = "zk://127.0.0.1:2181,127.0.0.2:2181/epic".to_owned();
    let moved = Entry::new(Timestamp(1_799_999_999_000_000), Fact::MovedTo { url });
    std::iter::once(moved).chain(every_kind_of_the_third_batch()).collect()
}

/// One entry of every kind that the third batch has.
pub(crate) fn every_kind_of_the_third_batch() -> Vec<Entry> {
    let framework = FrameworkId::new("1c9f6c3e-6c3c-4f43-a0a8-5a3b4ad5b5b1");
    let fact = Fact::FrameworkReplaced { framework, key: Some("/api/v2/admin/new-framework k".to_owned()) };
    let replaced = Entry::new(Timestamp(1_799_999_999_000_000), fact);
    std::iter::once(replaced).chain(every_kind_of_the_second_batch()).collect()
}

/// One entry of every kind that the second batch has.
pub(crate) fn every_kind_of_the_second_batch() -> Vec<Entry> {
    let claim = Fact::LeaderClaimed {
        epoch: 3,
        replica: "7a1d3c52-55c0-4b0e-8a43-0f6f0d7c1b12".to_owned(),
        advertise: "http://127.0.0.1:8080".to_owned(),
    };
    let ahead = [claim, Fact::Barrier { epoch: 3 }];
    let claimed = (1_799_999_999_000_000..).zip(ahead).map(|(at, fact)| Entry::new(Timestamp(at), fact));
    claimed.chain(every_kind_of_the_first_batch()).collect()
}

/// One entry of every kind that the first batch has.
pub(crate) fn every_kind_of_the_first_batch() -> Vec<Entry> {
    let task = |text: &str| text.parse().unwrap();
    let facts = vec![
        Fact::FrameworkChosen { framework: "5f0c7b1e-8d5b-4d6f-9a43-2f6f0d7c1b11".into(), role: "BlueData".to_owned() },
        Fact::TokenSet { sha256: Digest([0x11; 32]) },
        Fact::PlatformApplied { desired: Box::new(desired()), key: Some("apply-1".to_owned()) },
        Fact::ReservationSeen {
            agent: "agent-1".into(),
            hostname: "127.0.1.11".to_owned(),
            cpus: MilliCpus(2_000),
            mem: Bytes(2 << 30),
        },
        launch("controller-0.1", "agent-1"),
        launch("worker-0.1", "agent-2"),
        launch("worker-1.1", "agent-3"),
        Fact::DocumentChanged { name: "members".to_owned(), generation: 1, sha256: Digest([0x22; 32]) },
        status("worker-0.1", TaskState::Running, None),
        status("worker-1.1", TaskState::Unreachable, None),
        Fact::ReplacementDecided { task: task("worker-1.1") },
        Fact::StrangerSeen { task: "someone-elses".to_owned(), agent: "agent-9".into(), state: TaskState::Running },
        Fact::KillDecided {
            task: task("worker-0.1"),
            why: "a restart was asked for".to_owned(),
            key: Some("restart-1".to_owned()),
        },
        status(
            "controller-0.1",
            TaskState::Failed,
            Some(Ended { failures: 3, not_before: Timestamp(1_800_000_009_000_000) }),
        ),
        Fact::PlatformStopped { key: Some("stop-1".to_owned()) },
        Fact::PlatformStarted { key: None },
        Fact::UninstallBegun { key: Some(String::new()) },
        Fact::Uninstalled,
    ];
    (1_800_000_000_000_000..).zip(facts).map(|(at, fact)| Entry::new(Timestamp(at), fact)).collect()
}

/// The state after all of [`every_kind`] but the last.
pub(crate) fn state() -> State {
    state_after(&every_kind())
}

/// The state after all of these entries but the last, which leaves nothing.
pub(crate) fn state_after(entries: &[Entry]) -> State {
    let mut state = State::default();
    for entry in &entries[..entries.len() - 1] {
        state.apply(entry);
    }
    state
}

/// Numbers each kind; a new one must get a number here, a place in [`every_kind`] and a new fixture.
pub(crate) const fn number(fact: &Fact) -> usize {
    match fact {
        Fact::FrameworkChosen { .. } => 0,
        Fact::TokenSet { .. } => 1,
        Fact::PlatformApplied { .. } => 2,
        Fact::PlatformStopped { .. } => 3,
        Fact::PlatformStarted { .. } => 4,
        Fact::UninstallBegun { .. } => 5,
        Fact::Uninstalled => 6,
        Fact::LaunchDecided(_) => 7,
        Fact::KillDecided { .. } => 8,
        Fact::ReplacementDecided { .. } => 9,
        Fact::StatusRecorded(_) => 10,
        Fact::StrangerSeen { .. } => 11,
        Fact::ReservationSeen { .. } => 12,
        Fact::DocumentChanged { .. } => 13,
        Fact::LeaderClaimed { .. } => 14,
        Fact::Barrier { .. } => 15,
        Fact::FrameworkReplaced { .. } => 16,
        Fact::MovedTo { .. } => 17,
        Fact::InstallationChosen { .. } => 18,
        Fact::UnitLaunched(_) => 19,
    }
}

/// How many kinds there are.
pub(crate) const KINDS: usize = 20;

fn desired() -> Desired {
    Desired {
        name: "demo".to_owned(),
        bundle: Bundle {
            sha256: Digest([0xab; 32]),
            bytes: 1 << 33,
            distro_id: "open/platform".to_owned(),
            version: "0.1.0".to_owned(),
        },
        roles: vec![role("controller", Cardinality::Exactly(1)), role("worker", Cardinality::AtLeast(1))],
        members: [("controller".into(), 1), ("worker".into(), 2)].into(),
        ceiling: Some(Ceiling { cpus: MilliCpus(1_500), mem: Bytes(1 << 30) }),
        root_allowed: true,
    }
}

fn role(id: &str, cardinality: Cardinality) -> RoleNeeds {
    RoleNeeds {
        id: id.into(),
        cardinality,
        cpus: MilliCpus(500),
        mem: Bytes(256 << 20),
        disk: Bytes(1 << 30),
        ports: [("web".to_owned(), Some(9_090)), ("metrics".to_owned(), None)].into(),
        reads_members: true,
        endpoints: vec![Endpoint {
            service: "prometheus".into(),
            scheme: "http".to_owned(),
            port: "web".to_owned(),
            path: "/graph".to_owned(),
            is_dashboard: true,
        }],
    }
}

fn launch(task: &str, agent: &str) -> Fact {
    Fact::LaunchDecided(Box::new(LaunchDecided {
        task: task.parse().unwrap(),
        agent: agent.into(),
        hostname: "127.0.1.11".to_owned(),
        offer: "offer-1".into(),
        stream: StreamId("stream-1".to_owned()),
        grant: Grant {
            cpus: MilliCpus(500),
            mem: Bytes(256 << 20),
            disk: Bytes(1 << 30),
            ports: [("web".to_owned(), 9_090), ("metrics".to_owned(), 31_000)].into(),
        },
        disk_reserved: Bytes(1 << 20),
        ports_reserved: vec![9_090],
        executor: Executor {
            id: format!("epic-1-{agent}").as_str().into(),
            url: "http://127.0.0.1:8080/artifacts/cd".to_owned(),
            sha256: Digest([0xcd; 32]),
            cpus: MilliCpus(100),
            mem: Bytes(64 << 20),
        },
    }))
}

fn status(task: &str, state: TaskState, ended: Option<Ended>) -> Fact {
    Fact::StatusRecorded(Box::new(StatusRecorded {
        task: task.parse().unwrap(),
        state,
        reason: "REASON_COMMAND_EXECUTOR_FAILED".to_owned(),
        message: "exited with code 3: ä".to_owned(),
        uuid: Some(UpdateId([7; 16])),
        healthy: Some(true),
        report: Some(Report {
            phase: Phase::Ready,
            percent: Some(100),
            documents: [("members".to_owned(), 1)].into(),
            services: vec![ServiceReport {
                id: "prometheus".into(),
                ready: true,
                restarts: 2,
                reason: "was slow".to_owned(),
            }],
        }),
        ended,
    }))
}
