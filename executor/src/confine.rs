//! `epic-executor exec`: confines itself, then becomes a service.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, geteuid, getppid, setgid, setgroups, setsid, setuid};

/// What a process is to be confined to; its environment is its own.
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

/// Confines this process and becomes the program; returns only if it can't, with an exit code and the reason.
pub fn exec(confinement: &Confinement) -> (u8, anyhow::Error) {
    if let Err(error) = confine(confinement) {
        return (NOT_CONFINED, error.context("cannot confine the process"));
    }
    let [program, arguments @ ..] = &confinement.command[..] else {
        return (NOT_FOUND, anyhow::anyhow!("no program is named"));
    };
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    (code, anyhow::Error::new(error).context(format!("cannot execute {}", program.display())))
}

fn confine(confinement: &Confinement) -> anyhow::Result<()> {
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
    let (uid, gid) = (Uid::from_raw(confinement.uid), Gid::from_raw(confinement.gid));
    if geteuid().is_root() {
        setgroups(&[]).context("cannot leave supplementary groups")?;
        setgid(gid).with_context(|| format!("cannot become group {gid}"))?;
        setuid(uid).with_context(|| format!("cannot become user {uid}"))?;
    }
    prctl::set_no_new_privs().context("cannot give up privileges")?;
    // A change of user clears the death signal, so it comes after it (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot ask for the death signal")?;
    // The parent may have died before the signal was asked for.
    anyhow::ensure!(getppid() == Pid::from_raw(confinement.parent), "the executor has ended");
    std::env::set_current_dir(&confinement.dir).with_context(|| format!("cannot work in {}", confinement.dir.display()))
}
