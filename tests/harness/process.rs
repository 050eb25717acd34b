//! Child processes with a clean environment that never outlive the test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// What to start, as often as wanted.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    log: PathBuf,
}

impl Program {
    /// Describes a program whose stdout and stderr are appended to the file `log`; stdin is empty.
    ///
    /// Its environment is `PATH`, `LANG` and `TZ`, and what [`Self::env`] adds.
    pub fn new(path: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        let env = [("PATH", SYSTEM_PATH), ("LANG", "C.UTF-8"), ("TZ", "UTC")]
            .map(|(name, value)| (name.into(), value.into()));
        Self { path: path.into(), args: Vec::new(), env: BTreeMap::from(env), log: log.into() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Takes out a flag with the value that follows it.
    #[must_use]
    pub fn without(mut self, flag: &str) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == flag) {
            self.args.drain(at..self.args.len().min(at + 2));
        }
        self
    }

    /// Sets one variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The file with its output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts it in a process group of its own, so that Ctrl-C reaches only the test.
    ///
    /// # Errors
    /// When the log cannot be opened or the process not be made. A missing program shows as an exit.
    pub fn start(&self) -> anyhow::Result<Process> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot open the log {}", self.log.display()))?;
        let copy = log.try_clone().context("cannot share the log between stdout and stderr")?;
        let mut command = Command::new("/usr/bin/setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.path)
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .process_group(0);
        let child = spawn(command).with_context(|| format!("cannot start {}", self.path.display()))?;
        Ok(Process { child, program: self.clone() })
    }
}

/// A running program; dropping it kills it.
///
/// The kernel kills it as well when the test process dies, however that dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
    program: Program,
}

impl Process {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or nothing while it runs.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask for the state of process {}", self.pid()))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(pid_of(&self.child), signal).with_context(|| format!("cannot send {signal} to process {}", self.pid()))
    }

    /// Waits until it has ended by itself or by a signal sent before.
    ///
    /// # Errors
    /// When it still runs after `limit`; the end of its log is part of the error.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.program.path.display());
        let ended = wait::until(&what, limit, async || match self.exited()? {
            Some(status) => Ok(status),
            None => bail!("it runs"),
        });
        let ended = ended.await;
        ended.map_err(|error| anyhow!("{error:#}\n{}", self.log_tail(20)))
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        // Both fail only when it is gone already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// The file with its output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.program.log
    }

    /// The last lines of its output, under a headline with the file's name.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.program.log, lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a file, under a headline with its name.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("({error})"),
    };
    let all: Vec<&str> = text.lines().collect();
    let last = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    format!("--- {}\n{}", path.display(), last.join("\n"))
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("Linux process ids fit in i32"))
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a process from a thread that lives as long as the test process.
///
/// The kernel sends the parent-death signal when the *thread* that forked ends, and tests end their threads.
fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        let serve = move || {
            for (mut command, answer) in orders {
                let _sent = answer.send(command.spawn());
            }
        };
        thread::Builder::new().name("spawner".to_owned()).spawn(serve).expect("a process has room for one more thread");
        sender
    });
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    orders.send((command, answer)).map_err(|_order| gone())?;
    child.recv().map_err(|_closed| gone())?
}

const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
