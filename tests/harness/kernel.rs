//! What the kernel says of processes and control groups.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// Tells whether a process runs; a zombie doesn't.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_ok_and(|fields| !fields.starts_with(['Z', 'X']))
}

/// Returns a process's parent.
///
/// # Errors
/// There is no such process.
pub fn parent(pid: u32) -> Result<u32> {
    let fields = stat(pid)?;
    Ok(fields.split(' ').nth(1).context("a process has a parent")?.parse()?)
}

/// Returns the cpu time that a process has used, in hundredths of a second.
///
/// # Errors
/// There is no such process.
///
/// Source: proc(5): `utime` and `stime` of `/proc/PID/stat`, in clock ticks, of which Linux shows a hundred a second.
pub fn cpu_ticks(pid: u32) -> Result<u64> {
    let fields = stat(pid)?;
    let times = fields.split(' ').skip(11).take(2).map(|field| Ok(field.parse::<u64>()?));
    times.sum()
}

/// Returns the directory of a process's control group in the version 1 hierarchy of a controller.
///
/// # Errors
/// There is no such process, or no such hierarchy.
pub fn cgroup(pid: u32, controller: &str) -> Result<PathBuf> {
    let table =
        fs::read_to_string(format!("/proc/{pid}/cgroup")).with_context(|| format!("there is no process {pid}"))?;
    let line = table.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|one| one == controller).then_some(path)
    });
    let path = line.with_context(|| format!("there is no hierarchy for {controller}"))?;
    Ok(PathBuf::from("/sys/fs/cgroup").join(controller).join(path.trim_start_matches('/')))
}

/// Reads a file of a control group that has one value a line, `name value`, or the one value that a file without names has.
///
/// # Errors
/// The file can't be read, or has no such line.
pub fn cgroup_value(file: &Path, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    for line in text.lines() {
        match line.split_once(' ') {
            Some((known, value)) if known == name => return Ok(value.parse()?),
            None if name.is_empty() => return Ok(line.parse()?),
            Some(_) | None => {}
        }
    }
    bail!("{} has no {name:?}: {text}", file.display())
}

/// Returns the processes that work in a directory or below it and whose command line is told by `is_it`, which gets its parts.
#[must_use]
pub fn processes(dir: &Path, is_it: impl Fn(&[&str]) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = pids.filter(|pid: &u32| {
        let inside = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        inside && is_it(&line.split_terminator('\0').collect::<Vec<_>>())
    });
    found.collect()
}

/// The fields of `/proc/PID/stat` from the state on; the name before it may have anything in it.
fn stat(pid: u32) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("there is no process {pid}"))?;
    let (_, fields) = text.rsplit_once(") ").context("a process has a name")?;
    ensure!(!fields.is_empty(), "process {pid} has no state");
    Ok(fields.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_until_it_has_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(is_alive(child.id()));
        assert_eq!(parent(child.id()).unwrap(), std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
        assert!(cpu_ticks(child.id()).is_err());
    }
}
