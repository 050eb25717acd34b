//! What journals that are measured hold: a platform of many members, each with a task that runs.

use epic_common::conversation::{Phase, Report, ServiceReport};
use epic_common::ids::{Attempt, Digest, RoleId, TaskId, UnitId, UpdateId};
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, Grant, MIB, MilliCpus};
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Executor, StreamId, TaskState};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Bundle, Desired, RoleNeeds};
use epic_scheduler_core::state::entry::{Ended, Entry, Fact, LaunchDecided, StatusRecorded};

/// Writes a platform's life: it is applied, all its members start, then one after the other ends and starts again, for
/// ever.
#[derive(Debug)]
pub(crate) struct Life {
    members: u32,
    written: u64,
}

impl Life {
    /// Begins the life of a platform of so many members, at least two: a controller and workers.
    pub(crate) const fn of(members: u32) -> Self {
        Self { members, written: 0 }
    }

    /// Tells which member's turn it is in a round of so many entries for each, and which step of it in which round.
    fn turn(&self, at: u64, steps: u64) -> (u32, u64, u32) {
        let (round, at) = (at / (steps * u64::from(self.members)), at % (steps * u64::from(self.members)));
        let member = u32::try_from(at / steps).expect("it is below the number of members");
        (member, at % steps, u32::try_from(round).expect("nobody waits for so many rounds"))
    }

    fn fact(&self) -> Fact {
        if self.written < FIRST {
            return first(self.written, self.members);
        }
        let at = self.written - FIRST;
        let starts = 2 * u64::from(self.members);
        if at < starts {
            let (member, step, _) = self.turn(at, 2);
            return if step == 0 { self.launched(member, 1) } else { self.runs(member, 1) };
        }
        let (member, step, round) = self.turn(at - starts, 3);
        match step {
            0 => self.ended(member, round + 1),
            1 => self.launched(member, round + 2),
            _ => self.runs(member, round + 2),
        }
    }

    fn launched(&self, member: u32, attempt: u32) -> Fact {
        Fact::LaunchDecided(Box::new(LaunchDecided {
            task: task(member, attempt),
            agent: agent(member).as_str().into(),
            hostname: format!("host-{member:05}"),
            offer: format!("5f0c7b1e-8d5b-4d6f-9a43-2f6f0d7c1b11-O{}", self.written).as_str().into(),
            stream: StreamId("7a1d3c52-55c0-4b0e-8a43-0f6f0d7c1b12".to_owned()),
            grant: Grant {
                cpus: MilliCpus(100),
                mem: Bytes(32 * MIB),
                disk: Bytes(0),
                ports: [("metrics".to_owned(), 31_000)].into(),
            },
            disk_reserved: Bytes(0),
            ports_reserved: Vec::new(),
            executor: Executor {
                id: format!("epic-{}-0123456789ab", self.written).as_str().into(),
                url: format!("http://127.0.0.1:8080/artifacts/{}", Digest([0xcd; 32])),
                sha256: Digest([0xcd; 32]),
                cpus: MilliCpus(100),
                mem: Bytes(64 * MIB),
            },
        }))
    }

    fn runs(&self, member: u32, attempt: u32) -> Fact {
        let service = ServiceReport { id: "hand".into(), ready: true, restarts: 0, reason: String::new() };
        let report = Report { phase: Phase::Ready, percent: Some(100), services: vec![service], ..Report::default() };
        self.status(task(member, attempt), TaskState::Running, Some(report))
    }

    fn ended(&self, member: u32, attempt: u32) -> Fact {
        self.status(task(member, attempt), TaskState::Finished, None)
    }

    fn status(&self, task: TaskId, state: TaskState, report: Option<Report>) -> Fact {
        let ended = report.is_none().then_some(Ended { failures: 1, not_before: self.now() });
        Fact::StatusRecorded(Box::new(StatusRecorded {
            task,
            state,
            reason: String::new(),
            message: String::new(),
            uuid: Some(UpdateId((u128::from(self.written) << 64).to_be_bytes())),
            healthy: report.is_some().then_some(true),
            report,
            ended,
        }))
    }

    const fn now(&self) -> Timestamp {
        Timestamp(BEGAN + self.written)
    }
}

impl Iterator for Life {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let entry = Entry::new(self.now(), self.fact());
        self.written += 1;
        Some(entry)
    }
}

/// Returns the state of a platform of so many members, of which either none or each has a task that runs.
pub(crate) fn state(members: u32, tasks: Tasks) -> State {
    let started = match tasks {
        Tasks::None => 0,
        Tasks::Running => 2 * u64::from(members),
    };
    let entries = usize::try_from(FIRST + started).expect("a process holds as many entries");
    let mut state = State::default();
    for entry in Life::of(members).take(entries) {
        state.apply(&entry);
    }
    state
}

/// Whether members have tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tasks {
    /// None has.
    None,
    /// All have, each on an agent of its own.
    Running,
}

/// Returns the agent of a member.
pub(crate) fn agent(member: u32) -> String {
    format!("agent-{member:05}")
}

/// Names an attempt of a member; member 0 is the controller.
pub(crate) fn task(member: u32, attempt: u32) -> TaskId {
    let (role, ordinal) = if member == 0 { ("controller", 0) } else { ("worker", member - 1) };
    TaskId { unit: UnitId::of_platform(&RoleId::new(role), ordinal), attempt: Attempt(attempt) }
}

fn first(at: u64, members: u32) -> Fact {
    if at == 0 {
        let framework = "5f0c7b1e-8d5b-4d6f-9a43-2f6f0d7c1b11".into();
        return Fact::FrameworkChosen { framework, role: ROLE.to_owned() };
    }
    let role = |id: &str, cardinality| RoleNeeds {
        id: id.into(),
        cardinality,
        cpus: MilliCpus(100),
        mem: Bytes(32 * MIB),
        disk: Bytes(0),
        ports: [("metrics".to_owned(), None)].into(),
        reads_members: false,
        endpoints: Vec::new(),
    };
    let bundle = Bundle {
        sha256: Digest([0xab; 32]),
        bytes: MIB,
        distro_id: "test/quiet-platform".to_owned(),
        version: "1.0.0-1".to_owned(),
    };
    let desired = Desired {
        name: "bench".to_owned(),
        bundle,
        roles: vec![role("controller", Cardinality::Exactly(1)), role("worker", Cardinality::AtLeast(1))],
        members: [("controller".into(), 1), ("worker".into(), members - 1)].into(),
        ceiling: None,
        root_allowed: true,
    };
    Fact::PlatformApplied { desired: Box::new(desired), key: None }
}

/// The role whose reservations it uses.
pub(crate) const ROLE: &str = "BlueData";
/// Entries before the first launch.
const FIRST: u64 = 2;
/// A Thursday in January 2025.
const BEGAN: u64 = 1_735_800_000_000_000;

#[cfg(test)]
mod tests {
    use epic_scheduler_core::invariants;

    use super::*;

    #[test]
    fn a_life_goes_round_and_leaves_as_much_as_it_found() {
        let mut state = State::default();
        let entries = 2 + 2 * 5 + 3 * 5 * 4;
        for entry in Life::of(5).take(entries) {
            state.apply(&entry);
            invariants::check_all(&state);
        }
        assert_eq!((state.units.tasks.len(), state.units.unplaced.len(), state.index.0), (5, 0, entries as u64));
        assert!(state.units.tasks.values().all(|task| task.is_ready() && task.id.attempt == Attempt(5)));
    }

    #[test]
    fn a_state_has_the_tasks_that_it_is_to_have() {
        for (tasks, expected) in [(Tasks::None, (0, 7)), (Tasks::Running, (7, 0))] {
            let state = state(7, tasks);
            invariants::check_all(&state);
            assert_eq!((state.units.tasks.len(), state.units.unplaced.len()), expected);
        }
    }
}
