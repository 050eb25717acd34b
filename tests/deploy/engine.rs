//! The Docker engine that tests share, which lives as long as one of them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::tools::root;

/// An engine that runs, and what a command needs to find it.
#[derive(Debug)]
pub(crate) struct Engine {
    environment: BTreeMap<String, String>,
    // The holder ends with its stdin, so with this process, however that ends; the engine ends with its last holder.
    _holder: Child,
    _stdin: ChildStdin,
}

/// Starts the engine at the first call of this process; `tests/tools/docker-engine.sh` says where it lives.
///
/// # Panics
///
/// It can't be started; the reason is on stderr.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut command = Command::new(root().join("tests/tools/docker-engine.sh"));
        command.arg("hold").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("the engine's script is part of the repository");
        let stdin = holder.stdin.take().expect("it was asked for");
        let stdout = BufReader::new(holder.stdout.take().expect("it was asked for"));
        let lines = stdout.lines().map_while(Result::ok).take_while(|line| line != "ready=yes");
        let pairs = lines.filter_map(|line| line.split_once('=').map(|(name, value)| (name.into(), value.into())));
        let environment: BTreeMap<String, String> = pairs.collect();
        assert!(environment.contains_key("DOCKER_HOST"), "no Docker engine can be started; its reason is on stderr");
        Engine { environment, _holder: holder, _stdin: stdin }
    })
}

impl Engine {
    /// Prepares any command so that it finds the engine and its client, in the repository's root.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // The shell looks for the program, since it has the engine's PATH.
        if !program.contains('/') {
            command = Command::new("/bin/sh");
            command.args(["-c", "exec \"$0\" \"$@\"", program]);
        }
        command.envs(&self.environment).current_dir(root()).stdin(Stdio::null());
        command
    }

    /// Runs `docker` with these arguments and returns what it has written, also if it failed.
    ///
    /// # Panics
    ///
    /// It can't be started.
    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        self.command("docker").args(args).output().expect("the engine's script has installed its client")
    }

    /// Runs `docker` with these arguments, which must succeed, and returns its stdout without the space around it.
    ///
    /// # Panics
    ///
    /// It fails; what it has written is shown.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.ask(args);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "docker {}: {status}\n{stdout}\n{stderr}", args.join(" "));
        stdout.trim().to_owned()
    }
}

/// A container that is removed with its volumes when the test ends, also in a panic.
#[derive(Debug)]
pub(crate) struct Container {
    id: String,
}

impl Container {
    /// Makes a container that doesn't run yet: `docker create` with these arguments.
    ///
    /// # Panics
    ///
    /// It can't be made.
    pub(crate) fn create(args: &[&str]) -> Self {
        Self { id: engine().docker(&[&["create"], args].concat()) }
    }

    /// Starts a container in the background: `docker run -d` with these arguments.
    ///
    /// # Panics
    ///
    /// It can't be started.
    pub(crate) fn run(args: &[&str]) -> Self {
        // From here the drop removes it, also where it can't be started.
        let container = Self::create(args);
        engine().docker(&["start", &container.id]);
        container
    }

    /// Its id, which every `docker` command takes.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _removed = engine().ask(&["rm", "--force", "--volumes", &self.id]);
    }
}

#[test]
fn a_container_leaves_nothing_when_its_test_fails() {
    let all = |id: &str| engine().docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &format!("id={id}")]);
    crate::images::base();
    let started = Container::run(&["debian:bookworm-slim", "sleep", "600"]);
    let id = started.id().to_owned();
    assert_eq!(all(&id), id);
    let failed = std::thread::spawn(move || {
        let _held = started;
        panic!("this panic is part of the test");
    });
    assert!(failed.join().is_err());
    assert_eq!(all(&id), "");
}

/// What the machine has of the engine of a cache: processes, its folder in `/run`, its link, its control groups.
fn traces(cache: &str) -> Vec<PathBuf> {
    let below = |path: &str| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let named =
        |path: &PathBuf| std::fs::read(path.join("cmdline")).is_ok_and(|line| contains(&line, cache.as_bytes()));
    let mut found: Vec<_> = below("/proc").filter(named).collect();
    let digest = hex::encode(Sha256::digest(format!("{cache}/docker")));
    let mark = &digest[..6];
    let places = [format!("/run/epic-docker-{mark}"), format!("/sys/class/net/epic{mark}")].map(PathBuf::from);
    let groups = below("/sys/fs/cgroup").map(|hierarchy| hierarchy.join(format!("epic-docker-{mark}")));
    found.extend(places.into_iter().chain(groups).filter(|path| path.exists()));
    found
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

#[test]
fn an_engine_ends_with_its_last_user_and_comes_back_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().display().to_string();
    let with = |command: &str| {
        let mut script = Command::new(root().join("tests/tools/docker-engine.sh"));
        let ran = script.args(["with", "/bin/bash", "-c", command]).env("EPIC_CACHE_DIR", &cache).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let gone = || epic_tests::wait::blocking_until(Duration::from_secs(30), || traces(&cache).is_empty());
    let (done, said) = with("test -d /sys/class/net/epic$(printf %s $EPIC_CACHE_DIR/docker | sha256sum | cut -c1-6)");
    assert!(done, "{said}");
    assert!(gone(), "{:?}", traces(&cache));

    // Killed together with nobody else; what it leaves is removed by the next one.
    let (done, _) = with("kill -KILL $(cat $EPIC_CACHE_DIR/docker/keeper.pid); until ! docker version; do :; done");
    assert!(done);
    let (done, said) = with("docker version");
    assert!(done, "{said}");
    assert!(gone(), "{:?}", traces(&cache));
}
