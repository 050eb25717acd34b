//! Finding and removing what a cluster puts on the machine besides its own children.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::address::{GUARD_PORT, Network};
use crate::wait;

/// The marks by which a cluster's processes, cgroups, mounts and sockets are known.
#[derive(Debug, Clone)]
pub struct Leftovers {
    work_dir: PathBuf,
    cgroup_prefix: String,
    network: Option<[u8; 3]>,
}

impl Leftovers {
    /// Describes what lives under a work directory, whose last part is also how its cgroups' names begin.
    ///
    /// # Panics
    /// When the last part is so short that others' cgroups could begin like it.
    #[must_use]
    pub fn of(work_dir: &Path, network: Option<&Network>) -> Self {
        let cgroup_prefix = work_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(cgroup_prefix.len() > 4, "{} would match too much", work_dir.display());
        Self { work_dir: work_dir.to_owned(), cgroup_prefix, network: network.map(Network::prefix) }
    }

    /// Lists, in words, each process, cgroup, mount, listening socket and file that still exists.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut found: Vec<String> = self.processes().into_iter().map(describe).collect();
        found.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        found.extend(self.mounts().iter().map(|path| format!("mount {}", path.display())));
        found.extend(self.listeners().iter().map(|address| format!("listening socket {address}")));
        if self.work_dir.exists() {
            found.push(format!("directory {}", self.work_dir.display()));
        }
        found
    }

    /// Kills the processes, then removes cgroups and mounts; files stay.
    ///
    /// Gives up after ten seconds; [`Self::check`] then says what is left.
    pub fn end(&self) {
        self.end_group("");
        wait::blocking_until(LIMIT, || {
            for mount in self.mounts().iter().rev() {
                let _unmounted = umount2(mount, MntFlags::MNT_DETACH);
            }
            self.mounts().is_empty()
        });
    }

    /// As [`Self::end`], then removes the work directory.
    pub fn remove(&self) {
        self.end();
        // A mount that is still there would lose its content; and while the directory stays, the next run tries again.
        if self.mounts().is_empty() && self.cgroups().is_empty() && self.processes().is_empty() {
            let _removed = fs::remove_dir_all(&self.work_dir);
        }
    }

    /// Kills what runs for one agent: the processes and cgroups whose mark ends in `name`.
    pub(crate) fn end_agent(&self, name: &str) {
        self.end_group(name);
    }

    fn end_group(&self, name: &str) {
        let part = Self {
            work_dir: self.work_dir.join(name),
            cgroup_prefix: if name.is_empty() { self.cgroup_prefix.clone() } else { self.cgroup(name) },
            network: None,
        };
        let mut strays = Vec::new();
        wait::blocking_until(LIMIT, || {
            part.thaw();
            let alive = part.processes();
            strays.extend(alive.iter().flat_map(|pid| part.strays(*pid)));
            for pid in &alive {
                let _killed = kill(*pid, Signal::SIGKILL);
            }
            alive.is_empty()
        });
        wait::blocking_until(LIMIT, || {
            let mut all = part.cgroups();
            strays.iter().for_each(|path| descend(path.clone(), &mut all));
            for path in all {
                let _removed = fs::remove_dir(path);
            }
            strays.retain(|path| path.exists());
            part.cgroups().is_empty() && strays.is_empty()
        });
    }

    /// The cgroup root of one agent.
    pub(crate) fn cgroup(&self, name: &str) -> String {
        format!("{}-{name}", self.cgroup_prefix)
    }

    /// Processes in our cgroups, or with our directory as their own, or named in their environment.
    fn processes(&self) -> Vec<Pid> {
        let own = Pid::this();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
        pids.filter(|pid| *pid != own && self.owns(*pid)).collect()
    }

    fn owns(&self, pid: Pid) -> bool {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        // What can't be read has ended or is not ours.
        let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
        if stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X'])) {
            return false;
        }
        let in_cgroup = cgroups_of(&proc).iter().any(|path| self.has_cgroup(path));
        let in_directory = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.work_dir));
        let environment = fs::read(proc.join("environ")).unwrap_or_default();
        let mut variables =
            environment.split(|byte| *byte == 0).filter_map(|variable| std::str::from_utf8(variable).ok());
        in_cgroup
            || in_directory
            || variables.any(|variable| {
                variable.split_once('=').is_some_and(|(_, value)| Path::new(value).starts_with(&self.work_dir))
            })
    }

    /// Cgroups of a process that do not bear our mark: it made them where Mesos has put it into none.
    fn strays(&self, pid: Pid) -> Vec<PathBuf> {
        let shared = cgroups_of(Path::new("/proc/self"));
        let own = cgroups_of(&PathBuf::from(format!("/proc/{pid}")));
        let own = own.into_iter().filter(|path| path != "/" && !shared.contains(path) && !self.has_cgroup(path));
        let hierarchies: Vec<PathBuf> = hierarchies().collect();
        let all = own.flat_map(|path| {
            let whole = whole(&path).trim_start_matches('/').to_owned();
            hierarchies.iter().map(move |root| root.join(&whole)).collect::<Vec<_>>()
        });
        all.filter(|path| path.exists()).collect()
    }

    fn has_cgroup(&self, path: &str) -> bool {
        path.split('/').any(|part| {
            part.strip_prefix(&self.cgroup_prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }

    /// Our cgroups in all hierarchies, children before parents.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for child in hierarchies().flat_map(|root| directories(&root)) {
            let name = child.file_name().unwrap_or_default().to_string_lossy();
            if self.has_cgroup(&name) {
                descend(child, &mut found);
            }
        }
        found
    }

    /// A frozen process does not die of SIGKILL until it is thawed.
    fn thaw(&self) {
        for path in self.cgroups() {
            if path.join("freezer.state").exists() {
                let _thawed = fs::write(path.join("freezer.state"), "THAWED");
            }
        }
    }

    fn mounts(&self) -> Vec<PathBuf> {
        let all = mount_points().into_iter().map(|(_, point)| point);
        all.filter(|point| point.starts_with(&self.work_dir)).collect()
    }

    fn listeners(&self) -> Vec<SocketAddr> {
        let Some(prefix) = self.network else {
            return Vec::new();
        };
        let ours = |address: &SocketAddr| match address.ip() {
            IpAddr::V4(ip) => ip.octets()[..3] == prefix,
            IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some_and(|ip| ip.octets()[..3] == prefix),
        };
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        let lines = tables.iter().flat_map(|table| table.lines().skip(1));
        let all = lines.filter_map(listener).filter(ours);
        all.filter(|address| address.port() != GUARD_PORT).collect()
    }
}

/// Removes what earlier test processes left behind that no longer exist.
pub(crate) fn sweep() {
    for (_, leftovers) in work_dirs().filter(|(owner, _)| !Path::new(&format!("/proc/{owner}")).exists()) {
        leftovers.remove();
    }
}

/// What the clusters of a process have on the machine, as far as they aren't removed; their sockets aren't looked for.
#[must_use]
pub fn of_process(pid: u32) -> Vec<Leftovers> {
    work_dirs().filter(|(owner, _)| *owner == pid).map(|(_, leftovers)| leftovers).collect()
}

/// The work directories of all processes, each with its owner.
fn work_dirs() -> impl Iterator<Item = (u32, Leftovers)> {
    directories(&std::env::temp_dir()).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?;
        let owner = name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()?;
        Some((owner, Leftovers::of(&path, None)))
    })
}

fn describe(pid: Pid) -> String {
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("process {pid}: {}", command.replace('\0', " ").trim())
}

/// The group that an executor made for a member, if the path is of one that it made below that, else the path.
fn whole(path: &str) -> &str {
    let made = path.rfind("/epic-").and_then(|at| path[at + 1..].find('/').map(|end| at + 1 + end));
    &path[..made.unwrap_or(path.len())]
}

/// The paths of a process in all hierarchies.
fn cgroups_of(proc: &Path) -> Vec<String> {
    let table = fs::read_to_string(proc.join("cgroup")).unwrap_or_default();
    table.lines().filter_map(|line| line.splitn(3, ':').nth(2).map(str::to_owned)).collect()
}

/// Where the cgroup hierarchies of both versions are mounted.
fn hierarchies() -> impl Iterator<Item = PathBuf> {
    mount_points().into_iter().filter(|(kind, _)| kind.starts_with("cgroup")).map(|(_, point)| point)
}

/// The type and place of every mount.
fn mount_points() -> Vec<(String, PathBuf)> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter_map(|f| Some(((*f.get(2)?).to_owned(), PathBuf::from(f.get(1)?)))).collect()
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn descend(path: PathBuf, found: &mut Vec<PathBuf>) {
    for child in directories(&path) {
        descend(child, found);
    }
    found.push(path);
}

/// The address of a line of `/proc/net/tcp` or `tcp6`, if it listens.
///
/// Source: proc(5); addresses are hexadecimal 32-bit words in the byte order of the machine.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let (ip, port) = fields.next()?.split_once(':')?;
    if fields.nth(1)? != "0A" {
        return None;
    }
    let bytes = hex::decode(ip).ok()?;
    let words: Vec<u8> = bytes.chunks_exact(4).flat_map(|word| word.iter().rev().copied()).collect();
    let ip = match <[u8; 4]>::try_from(words.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_longer) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.as_slice()).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// How the names of work directories begin; the process id of their owner follows.
pub(crate) const PREFIX: &str = "epic-mesos-test.";
const LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_read_from_the_kernels_table() {
        let v4 = "   0: 0B01167F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100";
        assert_eq!(listener(v4), Some("127.22.1.11:8080".parse().unwrap()));
        let v6 = "   0: 0000000000000000FFFF00000B01167F:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1";
        assert_eq!(listener(v6), Some("[::ffff:127.22.1.11]:8080".parse().unwrap()));
        assert_eq!(listener(&v4.replace(" 0A ", " 01 ")), None);
    }

    #[test]
    fn a_services_group_is_removed_with_that_of_its_member() {
        assert_eq!(whole("/epic-1-2-3-worker-1.1/probe.2"), "/epic-1-2-3-worker-1.1");
        assert_eq!(whole("/outer/epic-1-2-3-worker-1.1/probe.2/deeper"), "/outer/epic-1-2-3-worker-1.1");
        assert_eq!(whole("/epic-1-2-3-worker-1.1"), "/epic-1-2-3-worker-1.1");
        assert_eq!(whole("/another/group"), "/another/group");
    }

    #[test]
    fn a_cgroup_of_another_cluster_is_not_ours() {
        let ours = Leftovers::of(Path::new("/tmp/epic-mesos-test.7-abc"), None);
        assert!(ours.has_cgroup("/epic-mesos-test.7-abc-a1/container/service"));
        assert!(!ours.has_cgroup("/epic-mesos-test.7-abcd-a1/container"));
        assert!(!ours.has_cgroup("/epic-mesos-test.77-abc-a1"));
    }
}
