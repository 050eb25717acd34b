//! Processes of services: started through `epic-executor exec`, listened to until they end.

use std::cell::RefCell;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use epic_executor_core::traffic::{Cause, Exit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::cgroup::Group;
use crate::confine;
use crate::log::{BURST_BYTES, BYTES_PER_SECOND, LOG_BYTES_MAX, Log, Pace, Tail};
use crate::reason::chain;
use crate::sandbox::User;

/// A program and all that it gets.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file of this program, whose `exec` confines; [`ITSELF`] unless another program starts it.
    pub starter: PathBuf,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// All of its environment.
    pub env: Vec<(String, String)>,
    /// Where it works.
    pub dir: PathBuf,
    /// As whom.
    pub user: User,
    /// Where it is confined.
    pub group: Group,
}

/// Where a process's output goes.
#[derive(Clone, Debug)]
pub struct Logs {
    /// For standard output.
    pub out: PathBuf,
    /// For standard error.
    pub err: PathBuf,
}

/// A process that was started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    logs: Logs,
    group: Group,
}

/// The running executable, even if its file has been replaced or removed.
pub const ITSELF: &str = "/proc/self/exe";

const OPEN_FILES_MAX: u64 = 65_536;

/// How long output is awaited after the process's end; who inherited its pipes may hold them for ever.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// A service that waits all the time does so about 250 times a second: a line of our own log in about a minute.
const WAITS_A_LINE: u64 = 16_384;

/// How long an answer waits until nothing of its probe is left.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

impl Program {
    /// Makes the command that starts it, without the program's environment: it begins as root, and who made the bundle
    /// must not choose what it loads.
    ///
    /// It must be started from the main thread: a death signal comes when the *thread* ends that
    /// made the child (prctl(2), `PR_SET_PDEATHSIG`).
    fn start(&self) -> Command {
        let mut command = Command::new(&self.starter);
        command.arg("exec");
        for file in self.group.procs_files() {
            command.arg("--cgroup").arg(file);
        }
        command.arg("--uid").arg(self.user.uid.to_string()).arg("--gid").arg(self.user.gid.to_string());
        command.arg("--nofile").arg(OPEN_FILES_MAX.to_string()).arg("--parent").arg(std::process::id().to_string());
        command.arg("--dir").arg(&self.dir).arg("--").args(&self.command);
        command.env_clear().current_dir("/").stdin(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Gives the environment to a process that was just started.
    fn equip(&self, stdin: Option<ChildStdin>) {
        let environment = confine::encode(&self.env);
        actix::spawn(async move {
            if let Some(mut stdin) = stdin {
                // If it has ended before it read all, its exit code says why.
                stdin.write_all(&environment).await.ok();
            }
        });
    }

    /// Starts it as a service.
    ///
    /// # Errors
    ///
    /// What the system says; whether the program is there shows only in its exit code.
    pub fn spawn(&self, logs: Logs) -> io::Result<Process> {
        let mut child = self.start().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        self.equip(child.stdin.take());
        Ok(Process { child, logs, group: self.group.clone() })
    }

    /// Runs it to its end, at most for `most`, in a group of its own within the service's, and ends whatever it leaves
    /// behind; the answer says why not if it isn't exit code 0.
    ///
    /// # Errors
    ///
    /// The reason, for people.
    pub async fn check(&self, most: Duration) -> Result<(), String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("probe.{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let group = self.group.child(&name).map_err(|error| chain(&error))?;
        let answer = Self { group: group.clone(), ..self.clone() }.answer(most).await;
        // What the kernel can't end now is ended with the service, so the answer needn't wait for it.
        timeout(LEFT_BEHIND, actix::spawn(group.destroy())).await.ok();
        answer
    }

    async fn answer(&self, most: Duration) -> Result<(), String> {
        let failed = |error: io::Error| format!("{} can't be started: {error}", self.command[0]);
        let mut child = self.start().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        self.equip(child.stdin.take());
        let tail = Rc::new(RefCell::new(Tail::default()));
        let stderr = child.stderr.take().map(|stderr| actix::spawn(copy(stderr, None, Rc::clone(&tail))));
        let status = timeout(most, child.wait()).await;
        let ended = matches!(status, Ok(Ok(_)));
        if let Some(mut stderr) = stderr
            && (!ended || timeout(LAST_OUTPUT, &mut stderr).await.is_err())
        {
            stderr.abort();
        }
        match status {
            Err(_) => Err(format!("{} takes longer than {} ms", self.command[0], most.as_millis())),
            Ok(Err(error)) => Err(failed(error)),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                let code = status.code();
                let code = code.map_or_else(|| "was killed".to_owned(), |code| format!("exits with code {code}"));
                let reason = format!("{} {code}: {}", self.command[0], tail.borrow().text());
                Err(reason.trim_end_matches([':', ' ']).to_owned())
            }
        }
    }
}

impl Process {
    /// Listens until it ends, and sends it the signals that come meanwhile.
    pub async fn run(mut self, mut signals: mpsc::UnboundedReceiver<Signal>) -> Exit {
        let tail = Rc::new(RefCell::new(Tail::default()));
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let stdout = stdout.map(|stdout| actix::spawn(copy(stdout, Some(self.logs.out.clone()), Rc::default())));
        let stderr = stderr.map(|stderr| actix::spawn(copy(stderr, Some(self.logs.err.clone()), Rc::clone(&tail))));
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status.ok(),
                Some(signal) = signals.recv() => self.signal(signal),
            }
        };
        timeout(LAST_OUTPUT, async {
            for copy in [stderr, stdout].into_iter().flatten() {
                copy.await.ok();
            }
        })
        .await
        .ok();
        let stderr = tail.borrow().text();
        Exit { cause: self.cause(status), stderr }
    }

    fn signal(&self, signal: Signal) {
        // Without an id it was waited for, and the number may be another's.
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            kill(Pid::from_raw(pid), signal).ok();
        }
    }

    fn cause(&self, status: Option<ExitStatus>) -> Cause {
        if self.group.was_out_of_memory() {
            return Cause::OutOfMemory;
        }
        match status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => Cause::Code(code),
            Some((None, Some(signal))) => Cause::Signal(signal),
            // It can't be waited for, so all that is known is that it isn't there.
            Some((None, None)) | None => Cause::Code(-1),
        }
    }
}

/// Copies output into a log, if there is one, and the last of it into `tail`; ends with the output.
///
/// While the log is written, on a thread that may wait for its disk, or is ahead of its pace, the pipe is left unread, and
/// once that is full the service waits.
async fn copy(mut output: impl AsyncRead + Unpin, path: Option<PathBuf>, tail: Rc<RefCell<Tail>>) {
    let mut log = path.map(|path| Log::new(path, LOG_BYTES_MAX));
    let (start, mut pace) = (Instant::now(), Pace::new(BYTES_PER_SECOND, BURST_BYTES));
    let mut waits: u64 = 0;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        tail.borrow_mut().push(&buffer[..count]);
        let Some(mut own) = log.take() else { continue };
        let written = spawn_blocking(move || {
            own.append(&buffer[..count]);
            (own, buffer)
        });
        // It fails only if the program ends or panics.
        let Ok((own, again)) = written.await else { return };
        (log, buffer) = (Some(own), again);
        let wait = pace.spend(start.elapsed(), count);
        if !wait.is_zero() {
            if waits.is_multiple_of(WAITS_A_LINE) {
                tracing::warn!(waits, "a service writes faster than its log takes it, and waits");
            }
            waits += 1;
            sleep(wait).await;
        }
    }
}
