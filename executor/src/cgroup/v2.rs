//! Control groups version 2: one hierarchy, whose inner groups hold no processes.

use std::path::{Path, PathBuf};

use epic_common::resources::Grant;

use super::{Error, Group, Mount, PROCS, Version, create_dir, own_path, tasks_max, write};

const CPU_PERIOD_MICROS: u64 = 100_000;
const CPU_QUOTA_MICROS_MIN: u64 = 1000;
const CONTROLLERS: &str = "+cpu +memory +pids";

pub(super) fn find(mounts: &[Mount], own: &str) -> Result<PathBuf, Error> {
    let mount = mounts.iter().find(|mount| mount.kind == "cgroup2").ok_or(Error::NoController("memory"))?;
    mount.dir(own_path(own, str::is_empty).ok_or(Error::NoController("memory"))?)
}

pub(super) fn create(base: &Path, name: &str, grant: &Grant) -> Result<Group, Error> {
    // Groups that hand controllers down hold no processes themselves, so this one moves to a leaf if need be.
    if write(base, SUBTREE, CONTROLLERS).is_err() {
        let leaf = base.join(format!("epic-{}", std::process::id()));
        create_dir(&leaf)?;
        write(&leaf, PROCS, "0")?;
        write(base, SUBTREE, CONTROLLERS)?;
    }
    let dir = base.join(name);
    create_dir(&dir)?;
    write(&dir, "memory.max", &grant.mem.0.to_string())?;
    if dir.join("memory.swap.max").exists() {
        write(&dir, "memory.swap.max", "0")?;
    }
    let milli = grant.cpus.0;
    let quota = (milli * CPU_PERIOD_MICROS / 1000).max(CPU_QUOTA_MICROS_MIN);
    write(&dir, "cpu.max", &format!("{quota} {CPU_PERIOD_MICROS}"))?;
    // A whole core weighs 100, the kernel's default; 1 and 10000 are its bounds.
    write(&dir, "cpu.weight", &(milli / 10).clamp(1, 10_000).to_string())?;
    write(&dir, "pids.max", &tasks_max(grant).to_string())?;
    // For each service's own count of memory kills.
    write(&dir, SUBTREE, "+memory +pids")?;
    Ok(Group { version: Version::V2, dirs: vec![dir] })
}

/// Kills all processes at once; tells whether the kernel could (5.14).
pub(super) fn kill(dirs: &[PathBuf]) -> bool {
    dirs.iter().all(|dir| dir.join(KILL).exists() && write(dir, KILL, "1").is_ok())
}

const KILL: &str = "cgroup.kill";

const SUBTREE: &str = "cgroup.subtree_control";
