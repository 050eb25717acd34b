//! A machine that runs a real systemd, as a container.

use std::path::Path;
use std::process::Output;
use std::sync::OnceLock;
use std::time::Duration;

use epic_tests::wait::blocking_until;

use crate::engine::{Container, engine};

/// A machine whose systemd has finished starting; it is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Host(Container);

impl Host {
    /// Starts one; `args` are more options of `docker run`, such as its network.
    ///
    /// # Panics
    ///
    /// It doesn't start within a minute.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut all = vec![
            // What systemd needs: mounts, control groups of its own, and what a unit's confinement is made of.
            "--cap-add=SYS_ADMIN",
            "--cap-add=NET_ADMIN",
            "--cap-add=SYS_PTRACE",
            "--security-opt=seccomp=unconfined",
            "--security-opt=apparmor=unconfined",
            "--tmpfs=/run:exec",
            "--tmpfs=/run/lock",
            "--tmpfs=/tmp",
            "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
        ];
        all.extend(args);
        all.push(image());
        let host = Self(Container::run(&all));
        let mut seen = String::new();
        let is_up = blocking_until(Duration::from_secs(60), || {
            seen = String::from_utf8_lossy(&host.ask(&["systemctl", "is-system-running"]).stdout).trim().to_owned();
            seen == "running"
        });
        assert!(is_up, "systemd is \"{seen}\" after a minute:\n{}", host.told(&["systemctl", "--failed"]));
        host
    }

    /// Runs a command on it and returns what it has written, also if it failed.
    pub(crate) fn ask(&self, command: &[&str]) -> Output {
        engine().ask(&[&["exec", self.0.id()], command].concat())
    }

    /// Runs a command on it, which must succeed, and returns its stdout without the space around it.
    ///
    /// # Panics
    ///
    /// It fails; what it has written is shown.
    #[track_caller]
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.ask(command);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{}: {status}\n{stdout}\n{stderr}\n{}", command.join(" "), self.log());
        stdout.trim().to_owned()
    }

    /// Runs a line of shell on it, which must succeed.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str) -> String {
        self.run(&["sh", "-c", line])
    }

    /// Returns all that a command has written, whether it failed or not.
    pub(crate) fn told(&self, command: &[&str]) -> String {
        let Output { stdout, stderr, .. } = self.ask(command);
        (String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr)).into_owned()
    }

    /// Returns what the scheduler has logged last.
    pub(crate) fn log(&self) -> String {
        self.told(&["journalctl", "--no-pager", "--lines=30", "--unit=epic-scheduler"])
    }

    /// Puts a file of this machine there.
    pub(crate) fn put(&self, file: &Path, path: &str) {
        engine().docker(&["cp", file.to_str().expect("paths of tests are text"), &format!("{}:{path}", self.0.id())]);
    }

    /// Returns a property of the scheduler's unit.
    pub(crate) fn unit(&self, property: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", property, "epic-scheduler"])
    }

    /// Waits until a line of shell succeeds there.
    ///
    /// # Panics
    ///
    /// It doesn't within half a minute.
    #[track_caller]
    pub(crate) fn until(&self, line: &str) {
        let came = blocking_until(Duration::from_secs(30), || self.ask(&["sh", "-c", line]).status.success());
        assert!(came, "half a minute was not enough for: {line}\n{}\n{}", self.told(&["sh", "-c", line]), self.log());
    }
}

/// Makes the image of such a machine, once.
fn image() -> &'static str {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        crate::images::base();
        let recipe = crate::tools::root().join("tests/deploy/package");
        let recipe = recipe.to_str().expect("paths of tests are text");
        engine().docker(&["build", "--quiet", "--tag", IMAGE, recipe]);
    });
    IMAGE
}

const IMAGE: &str = "epic-mesos-tests/systemd";
