//! Control groups: one for each instance, with its limits, and in it one for each run of a service.

mod owner;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use epic_common::resources::{Grant, MIB};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use thiserror::Error;

pub use owner::Owner;

/// Where this process may make control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    layout: Layout,
}

/// Our own directory in each hierarchy that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    V1(v1::Bases),
    V2(PathBuf),
}

/// One control group: a directory in each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    version: Version,
    dirs: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Why there are no control groups.
#[derive(Debug, Error)]
pub enum Error {
    /// A controller that limits need isn't there.
    #[error("there is no cgroup hierarchy with the {0} controller")]
    NoController(&'static str),
    /// The executor's own control group isn't below the mounted hierarchy.
    #[error("the executor's own cgroup {cgroup} is not visible at {}", mount.display())]
    Hidden {
        /// Its path in the hierarchy.
        cgroup: String,
        /// Where the hierarchy is mounted.
        mount: PathBuf,
    },
    /// The kernel or the file system refuses.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }
}

impl Cgroups {
    /// Finds the hierarchies of this process.
    ///
    /// # Errors
    ///
    /// What is missing; that a directory can't be written shows only in [`create`](Self::create).
    pub fn of_this_process() -> Result<Self, Error> {
        let read = |path: &str| fs::read_to_string(path).map_err(Error::io("read", Path::new(path)));
        Self::find(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
    }

    /// Finds the hierarchies in the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
    ///
    /// Version 1 is taken if its cpu and memory controllers are mounted, else version 2. Groups
    /// are made below the process's own, so that whoever removes that one removes them too.
    ///
    /// # Errors
    ///
    /// What is missing.
    ///
    /// Source: cgroups(7), proc(5).
    pub fn find(mountinfo: &str, own: &str) -> Result<Self, Error> {
        let mounts: Vec<_> = mountinfo.lines().filter_map(Mount::parse).collect();
        match v1::find(&mounts, own)? {
            Some(bases) => Ok(Self { layout: Layout::V1(bases) }),
            None => Ok(Self { layout: Layout::V2(v2::find(&mounts, own)?) }),
        }
    }

    /// Makes a group with the limits of `grant`.
    ///
    /// # Errors
    ///
    /// The first file or directory that can't be written; what was made before stays, empty.
    pub fn create(&self, name: &str, grant: &Grant) -> Result<Group, Error> {
        match &self.layout {
            Layout::V1(bases) => v1::create(bases, name, grant),
            Layout::V2(base) => v2::create(base, name, grant),
        }
    }

    /// Ends and removes the groups of executors that are dead.
    ///
    /// The Mesos agent does that itself if its launcher is the Linux one; with the posix launcher an executor that is
    /// killed leaves its groups behind, and in them whatever has left its process tree.
    pub async fn sweep(&self) {
        let (version, bases) = match &self.layout {
            Layout::V1(bases) => (Version::V1, bases.all()),
            Layout::V2(base) => (Version::V2, vec![base.as_path()]),
        };
        for base in &bases {
            let names = fs::read_dir(base)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok());
            for name in names.filter(|name| Owner::of_group(name).is_some_and(Owner::is_gone)).collect::<Vec<_>>() {
                let dirs = bases.iter().map(|base| base.join(&name)).filter(|dir| dir.is_dir()).collect();
                Group { version, dirs }.destroy().await;
            }
        }
    }
}

impl Group {
    /// Makes a group within this one, without limits of its own.
    ///
    /// # Errors
    ///
    /// The first directory that can't be made.
    pub fn child(&self, name: &str) -> Result<Self, Error> {
        let dirs: Vec<_> = self.dirs.iter().map(|dir| dir.join(name)).collect();
        for dir in &dirs {
            create_dir(dir)?;
        }
        Ok(Self { version: self.version, dirs })
    }

    /// Returns the files to which a process writes `0` in order to join.
    pub fn procs_files(&self) -> impl Iterator<Item = PathBuf> {
        self.dirs.iter().map(|dir| dir.join(PROCS))
    }

    /// Tells whether the kernel has killed a process of this group for want of memory.
    #[must_use]
    pub fn was_out_of_memory(&self) -> bool {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let texts = self.dirs.iter().filter_map(|dir| fs::read_to_string(dir.join(file)).ok());
        texts
            .into_iter()
            .any(|text| text.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0"))
    }

    /// Kills every process in the group and the groups within it, waits until there is none, and removes the groups.
    ///
    /// A process can't escape by forking, by a session of its own, or by ignoring signals. It ends
    /// only when the group is empty: a process that the kernel can't end keeps it waiting.
    pub async fn destroy(self) {
        let mut pause = Duration::from_millis(1);
        loop {
            self.kill_once();
            if self.pids().is_empty() {
                self.release();
                if self.remove() {
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn kill_once(&self) {
        match self.version {
            Version::V1 => v1::freeze(&self.dirs, v1::Freezer::Frozen),
            // A process that this has ended may have given its number to another since.
            Version::V2 if v2::kill(&self.dirs) => return,
            Version::V2 => {}
        }
        for pid in self.pids() {
            // It may be gone already.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        match self.version {
            Version::V1 => v1::freeze(&self.dirs, v1::Freezer::Thawed),
            Version::V2 => {}
        }
    }

    fn release(&self) {
        match self.version {
            Version::V1 => v1::release(&self.dirs),
            Version::V2 => {}
        }
    }

    fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        for dir in self.dirs.iter().flat_map(|dir| tree(dir)) {
            let text = fs::read_to_string(dir.join(PROCS)).unwrap_or_default();
            // 0 is a process of another pid namespace, and what is not positive would be more than one process.
            pids.extend(text.lines().filter_map(|line| line.parse().ok()).filter(|pid: &i32| *pid > 0));
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    fn remove(&self) -> bool {
        let mut gone = true;
        for dir in self.dirs.iter().flat_map(|dir| tree(dir).into_iter().rev()) {
            gone &= match fs::remove_dir(&dir) {
                Ok(()) => true,
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
        }
        gone
    }
}

const PROCS: &str = "cgroup.procs";

/// Returns how many processes and threads a grant allows: 512 and one more for each MiB, so that memory ends first for all
/// but a fork bomb; at most 16,384, which is half of the fewest that a kernel has room for.
fn tasks_max(grant: &Grant) -> u64 {
    (512 + grant.mem.0 / MIB).min(16_384)
}

/// Lists a directory and all directories in it, parents first.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    let mut at = 0;
    while at < all.len() {
        let entries = fs::read_dir(&all[at]).into_iter().flatten().flatten();
        all.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect::<Vec<_>>(),
        );
        at += 1;
    }
    all
}

fn create_dir(dir: &Path) -> Result<(), Error> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(Error::io("create", dir)),
    }
}

fn write(dir: &Path, file: &str, value: &str) -> Result<(), Error> {
    let path = dir.join(file);
    fs::write(&path, value).map_err(Error::io("write", &path))
}

/// A mounted cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    root: String,
    at: PathBuf,
    kind: String,
    options: Vec<String>,
}

impl Mount {
    /// Reads one line of mountinfo: `id parent major:minor root mount-point options … - type source super-options`.
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, at) = (left.next()?.to_owned(), PathBuf::from(left.next()?));
        let mut right = right.split(' ');
        let kind = right.next().filter(|kind| kind.starts_with("cgroup"))?.to_owned();
        let options = right.nth(1)?.split(',').map(str::to_owned).collect();
        Some(Self { root, at, kind, options })
    }

    /// Returns the directory of the group that has `path` in the hierarchy.
    fn dir(&self, path: &str) -> Result<PathBuf, Error> {
        let hidden = || Error::Hidden { cgroup: path.to_owned(), mount: self.at.clone() };
        let below = if self.root == "/" { path } else { path.strip_prefix(&self.root).ok_or_else(hidden)? };
        let dir = self.at.join(below.trim_start_matches('/'));
        if dir.is_dir() { Ok(dir) } else { Err(hidden()) }
    }
}

/// Finds our path in the hierarchy for which `is_it` holds of the line's controllers, in the text of `/proc/self/cgroup`.
fn own_path(own: &str, is_it: impl Fn(&str) -> bool) -> Option<&str> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        is_it(controllers).then_some(path)
    })
}

#[cfg(test)]
mod tests;
