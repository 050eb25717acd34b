//! Control groups version 1: one hierarchy for each controller, or for a few together.

use std::path::{Path, PathBuf};

use epic_common::resources::Grant;

use super::{Error, Group, Mount, Version, create_dir, own_path, tasks_max, write};

/// Our own directory in each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bases {
    /// For the limit of cores.
    cpu: PathBuf,
    /// For the limit of memory.
    memory: PathBuf,
    /// For the limit of processes; kernels before 4.3 have none.
    pids: Option<PathBuf>,
    /// So that a fork bomb is killed at one blow, if it is there.
    freezer: Option<PathBuf>,
}

impl Bases {
    pub(super) fn all(&self) -> Vec<&Path> {
        let mut all = vec![self.memory.as_path()];
        for base in [&self.cpu].into_iter().chain(&self.pids).chain(&self.freezer) {
            if !all.contains(&base.as_path()) {
                all.push(base);
            }
        }
        all
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freezer {
    Frozen,
    Thawed,
}

const CPU_PERIOD_MICROS: u64 = 100_000;
const CPU_QUOTA_MICROS_MIN: u64 = 1000;
const CPU_SHARES_MIN: u64 = 2;

/// Answers `None` if neither cpu nor memory has a hierarchy of version 1.
pub(super) fn find(mounts: &[Mount], own: &str) -> Result<Option<Bases>, Error> {
    let base = |controller: &str| {
        let has = |options: &[String]| options.iter().any(|option| option == controller);
        let mount = mounts.iter().find(|mount| mount.kind == "cgroup" && has(&mount.options))?;
        let path = own_path(own, |controllers| controllers.split(',').any(|one| one == controller))?;
        Some(mount.dir(path))
    };
    let (cpu, memory) = match (base("cpu"), base("memory")) {
        (None, None) => return Ok(None),
        (Some(cpu), Some(memory)) => (cpu?, memory?),
        (None, Some(_)) => return Err(Error::NoController("cpu")),
        (Some(_), None) => return Err(Error::NoController("memory")),
    };
    Ok(Some(Bases { cpu, memory, pids: base("pids").transpose()?, freezer: base("freezer").and_then(Result::ok) }))
}

pub(super) fn create(bases: &Bases, name: &str, grant: &Grant) -> Result<Group, Error> {
    let (cpu, memory) = (bases.cpu.join(name), bases.memory.join(name));
    create_dir(&memory)?;
    // Without it the groups within would not count against the limit; newer kernels know nothing else.
    if std::fs::read_to_string(memory.join("memory.use_hierarchy")).is_ok_and(|text| text.trim() == "0") {
        write(&memory, "memory.use_hierarchy", "1")?;
    }
    let bytes = grant.mem.0.to_string();
    write(&memory, "memory.limit_in_bytes", &bytes)?;
    if memory.join("memory.memsw.limit_in_bytes").exists() {
        write(&memory, "memory.memsw.limit_in_bytes", &bytes)?;
    }
    create_dir(&cpu)?;
    let milli = grant.cpus.0;
    write(&cpu, "cpu.shares", &(milli * 1024 / 1000).max(CPU_SHARES_MIN).to_string())?;
    write(&cpu, "cpu.cfs_period_us", &CPU_PERIOD_MICROS.to_string())?;
    write(&cpu, QUOTA, &(milli * CPU_PERIOD_MICROS / 1000).max(CPU_QUOTA_MICROS_MIN).to_string())?;
    let mut dirs = vec![memory];
    if let Some(pids) = bases.pids.as_ref().map(|base| base.join(name)) {
        create_dir(&pids)?;
        write(&pids, "pids.max", &tasks_max(grant).to_string())?;
        dirs.push(pids);
    }
    // No limit needs the freezer, so one that can't be written is left out.
    let freezer = bases.freezer.as_ref().map(|base| base.join(name)).filter(|dir| create_dir(dir).is_ok());
    for dir in [cpu].into_iter().chain(freezer) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    Ok(Group { version: Version::V1, dirs })
}

/// Freezes or thaws the group, if it has a directory in the freezer hierarchy.
pub(super) fn freeze(dirs: &[PathBuf], state: Freezer) {
    let word = match state {
        Freezer::Frozen => "FROZEN",
        Freezer::Thawed => "THAWED",
    };
    for dir in dirs.iter().filter(|dir| is_freezer(dir)) {
        write(dir, STATE, word).ok();
    }
}

/// Gives up the limit of cores, since the kernel lets go of a removed group only after a while.
///
/// Until then it refuses a lower quota of the group above; the Mesos agent, which lowers it when a task has
/// ended, would destroy the whole container for that (`EINVAL` from kernel/sched/core.c, `tg_cfs_schedulable_down`).
pub(super) fn release(dirs: &[PathBuf]) {
    for dir in dirs.iter().filter(|dir| dir.join(QUOTA).exists()) {
        write(dir, QUOTA, "-1").ok();
    }
}

fn is_freezer(dir: &Path) -> bool {
    dir.join(STATE).exists()
}

const STATE: &str = "freezer.state";
const QUOTA: &str = "cpu.cfs_quota_us";
