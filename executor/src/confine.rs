//! `epic-executor exec`: confines itself, then becomes a service.
//!
//! It begins as root, so nothing that a bundle says may reach it before it has become the service's user: its own
//! environment is empty, and the service's is read from standard input at the end.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, dup2_stdin, geteuid, getppid, setgid, setgroups, setsid, setuid};

use crate::seccomp;

/// What a process is to be confined to; the program's environment comes through standard input, see [`encode`].
#[derive(Clone, Debug, clap::Args)]
pub struct Confinement {
    /// A cgroup.procs file of a control group to join; may be given several times
    #[arg(long = "cgroup", value_name = "FILE")]
    pub cgroups: Vec<PathBuf>,
    /// The user to become
    #[arg(long)]
    pub uid: u32,
    /// The group to become
    #[arg(long)]
    pub gid: u32,
    /// The most files that may be open, if the hard limit isn't lower
    #[arg(long, value_name = "COUNT")]
    pub nofile: u64,
    /// The process that must outlive this one
    #[arg(long, value_name = "PID")]
    pub parent: i32,
    /// The directory to work in
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// The exit code if the process can't be confined.
pub const NOT_CONFINED: u8 = 125;
/// The exit code if the program is there but can't be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The exit code if the program isn't there.
pub const NOT_FOUND: u8 = 127;

/// The most bytes of an environment; Linux takes a quarter of the stack's limit, which is 2 MiB, for it and the arguments.
pub const ENVIRONMENT_BYTES_MAX: usize = 2 << 20;

/// What a root service keeps: the capabilities of the usual container.
const ROOT_CAPABILITIES: [Capability; 14] = [
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
];

/// Confines this process and becomes the program; returns only if it can't, with an exit code and the reason.
pub fn exec(confinement: &Confinement) -> (u8, anyhow::Error) {
    let environment = match confine(confinement) {
        Ok(environment) => environment,
        Err(error) => return (NOT_CONFINED, error.context("cannot confine the process")),
    };
    let [program, arguments @ ..] = &confinement.command[..] else {
        return (NOT_FOUND, anyhow::anyhow!("no program is named"));
    };
    let error = Command::new(program).args(arguments).env_clear().envs(environment).exec();
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    (code, anyhow::Error::new(error).context(format!("cannot execute {}", program.display())))
}

/// Makes what [`exec`] reads from standard input: `NAME=VALUE` and a NUL for each variable, and one NUL more.
#[must_use]
pub fn encode(environment: &[(String, String)]) -> Vec<u8> {
    let pairs: String = environment.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
    format!("{pairs}\0").into_bytes()
}

/// Gives up all that the program must not have, in an order that keeps what the next step needs; returns the program's
/// environment.
fn confine(confinement: &Confinement) -> anyhow::Result<Vec<(OsString, OsString)>> {
    for file in &confinement.cgroups {
        fs::write(file, "0").with_context(|| format!("cannot join {}", file.display()))?;
    }
    setsid().context("cannot begin a session")?;
    umask(Mode::from_bits_truncate(0o022));
    // Where raising the hard limit is forbidden, less must do.
    let files =
        confinement.nofile.min(getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?.1);
    setrlimit(Resource::RLIMIT_NOFILE, files, files).context("cannot limit open files")?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("cannot limit core files")?;
    become_user(Uid::from_raw(confinement.uid), Gid::from_raw(confinement.gid))?;
    prctl::set_no_new_privs().context("cannot give up privileges")?;
    // A change of user clears the death signal, so it comes after it (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot ask for the death signal")?;
    // The parent may have died before the signal was asked for.
    anyhow::ensure!(getppid() == Pid::from_raw(confinement.parent), "the executor has ended");
    std::env::set_current_dir(&confinement.dir)
        .with_context(|| format!("cannot work in {}", confinement.dir.display()))?;
    let environment = read_environment()?;
    // Closed by the exec, so whatever the agent or a bug has left open ends here.
    close_fds::set_fds_cloexec(3, &[]);
    seccomp::restrict()?;
    Ok(environment)
}

/// Becomes the user, who keeps no capability unless it is root.
fn become_user(uid: Uid, gid: Gid) -> anyhow::Result<()> {
    let kept = if uid.is_root() { &ROOT_CAPABILITIES[..] } else { &[] };
    let is_lost = |capability: &Capability| !kept.contains(capability);
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).context("cannot read capabilities")? {
        let bounds = caps::read(None, CapSet::Bounding).context("cannot read the bounds of capabilities")?;
        bounds
            .into_iter()
            .filter(is_lost)
            .try_for_each(|capability| caps::drop(None, CapSet::Bounding, capability))
            .context("cannot bound capabilities")?;
    }
    caps::clear(None, CapSet::Inheritable).context("cannot give up inheritable capabilities")?;
    if geteuid().is_root() {
        setgroups(&[]).context("cannot leave supplementary groups")?;
        setgid(gid).with_context(|| format!("cannot become group {gid}"))?;
        setuid(uid).with_context(|| format!("cannot become user {uid}"))?;
    }
    let held = caps::read(None, CapSet::Permitted).context("cannot read capabilities")?;
    let held = held.into_iter().filter(|capability| !is_lost(capability)).collect();
    caps::set(None, CapSet::Effective, &held).context("cannot give up effective capabilities")?;
    caps::set(None, CapSet::Permitted, &held).context("cannot give up capabilities")
}

/// Reads the environment from standard input and leaves nothing there for the program.
fn read_environment() -> anyhow::Result<Vec<(OsString, OsString)>> {
    let mut bytes = Vec::new();
    let most = ENVIRONMENT_BYTES_MAX as u64 + 1;
    io::stdin().lock().take(most).read_to_end(&mut bytes).context("cannot read the environment")?;
    anyhow::ensure!(
        bytes.len() <= ENVIRONMENT_BYTES_MAX,
        "the environment has more than {ENVIRONMENT_BYTES_MAX} bytes"
    );
    let environment = decode(&bytes).context("the environment is cut off")?;
    let nothing = File::open("/dev/null").context("cannot open /dev/null")?;
    dup2_stdin(nothing).context("cannot close standard input")?;
    Ok(environment)
}

/// Reads what [`encode`] made; `None` if it isn't whole.
fn decode(bytes: &[u8]) -> Option<Vec<(OsString, OsString)>> {
    let pairs = bytes.strip_suffix(b"\0")?;
    let own = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let mut environment = Vec::new();
    for pair in pairs.split_inclusive(|byte| *byte == 0) {
        let pair = pair.strip_suffix(b"\0")?;
        let at = pair.iter().position(|byte| *byte == b'=')?;
        environment.push((own(&pair[..at]), own(&pair[at + 1..])));
    }
    Some(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_arrives_whole_or_not_at_all() {
        let check = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let bytes = encode(&pairs);
            let expected: Vec<_> = pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
            assert_eq!(decode(&bytes), Some(expected));
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut]), None, "{cut}");
            }
        };
        check(&[]);
        check(&[("A", "1"), ("B", ""), ("C", "x=y\n z")]);
    }
}
