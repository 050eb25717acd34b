//! Real processes in this machine's real control groups: confinement, limits, ends, output.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_executor::cgroup::{Cgroups, Group};
use epic_executor::confine;
use epic_executor::process::{Logs, Process, Program};
use epic_executor::sandbox::{Root, User};
use epic_executor_core::traffic::{Cause, Exit};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

const EXECUTOR: &str = env!("CARGO_BIN_EXE_epic-executor");
const LONG: Duration = Duration::from_secs(30);

/// A control group with 64 MiB or as asked, and a directory that everybody can pass.
struct Place {
    dir: TempDir,
    group: Group,
}

impl Place {
    fn new() -> Self {
        Self::with(Bytes(64 << 20))
    }

    fn with(mem: Bytes) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let grant = Grant { cpus: MilliCpus(1000), mem, disk: Bytes(0), ports: BTreeMap::new() };
        let name = format!("epic-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let cgroups = Cgroups::of_this_process().expect("these tests need cgroups");
        let group = cgroups.create(&name, &grant).expect("these tests need root and writable cgroups");
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, group }
    }

    fn program(&self, command: &[&str]) -> Program {
        Program {
            starter: EXECUTOR.into(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("EPIC_X".into(), "a b=c".into())],
            dir: self.dir.path().to_owned(),
            user: User::find(None, Root::Forbidden).unwrap(),
            group: self.group.child("service.1").unwrap(),
        }
    }

    fn start(&self, command: &[&str]) -> Process {
        let logs = Logs { out: self.dir.path().join("out"), err: self.dir.path().join("err") };
        self.program(command).spawn(logs).unwrap()
    }

    async fn run(&self, command: &[&str]) -> Exit {
        let (_signals, received) = mpsc::unbounded_channel();
        timeout(LONG, self.start(command).run(received)).await.expect("it doesn't end")
    }

    fn out(&self) -> String {
        fs::read_to_string(self.dir.path().join("out")).unwrap_or_default()
    }

    /// Kills what is left, waits for its end, and leaves nothing behind.
    async fn end(self) {
        timeout(LONG, self.group.destroy()).await.expect("the group doesn't end");
    }
}

/// Waits for the first line of a file.
async fn line(path: &Path) -> String {
    let wait = async {
        loop {
            if let Some((line, _)) = fs::read_to_string(path).unwrap_or_default().split_once('\n') {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, wait).await.expect("nothing is written")
}

fn is_alive(pid: &str) -> bool {
    // A zombie is dead, whoever may be slow to notice.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[actix::test]
async fn a_service_is_confined_to_what_it_was_given() {
    let place = Place::new();
    let script = r#"env | sort; id -u; id -g; id -G; pwd; ulimit -c; grep NoNewPrivs /proc/self/status; umask
        cut -d' ' -f6 /proc/$$/stat | sed "s/^$$\$/own session/"; cat /proc/self/cgroup"#;
    let exit = place.run(&["/bin/sh", "-c", script]).await;
    assert_eq!(exit, Exit { cause: Cause::Code(0), stderr: String::new() });
    let out = place.out();
    let dir = place.dir.path().display().to_string();
    let lines: Vec<_> = out.lines().collect();
    let pwd = format!("PWD={dir}");
    let expected = [
        "EPIC_X=a b=c",
        "PATH=/usr/bin:/bin",
        &pwd,
        "65534",
        "65534",
        "65534",
        &dir,
        "0",
        "NoNewPrivs:\t1",
        "0022",
        "own session",
    ];
    assert_eq!(lines[..expected.len()], expected, "{out}");
    for controller in ["cpu", "memory"] {
        let line = lines
            .iter()
            .find(|line| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == controller)));
        assert!(line.is_some_and(|line| line.contains("/epic-test-") && line.ends_with("/service.1")), "{out}");
    }
    place.end().await;
}

#[actix::test]
async fn nothing_of_a_services_environment_reaches_the_program_that_is_still_root() {
    let place = Place::new();
    let dir = place.dir.path();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    // The starter needs this library, the program doesn't.
    fs::write(dir.join("libgcc_s.so.1"), "").unwrap();
    let mut program = place.program(&["/bin/true"]);
    let debug = dir.join("loaded").display().to_string();
    let variables = [("LD_LIBRARY_PATH", dir.to_str().unwrap()), ("LD_DEBUG", "files"), ("LD_DEBUG_OUTPUT", &debug)];
    program.env.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(program.check(LONG).await, Ok(()));
    let written = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let owners: Vec<_> = written
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("loaded"))
        .map(|entry| entry.metadata().unwrap().uid())
        .collect();
    assert_eq!(owners, [65_534], "only the program itself has heard of it");
    place.end().await;
}

#[actix::test]
async fn an_environment_may_be_larger_than_a_pipe_and_one_that_is_too_large_is_refused() {
    let place = Place::new();
    let mut program = place.program(&["/bin/sh", "-c", "test ${#BIG} = 100000 && test ${#LAST} = 100000"]);
    for name in ["BIG", "MIDDLE", "LAST"] {
        program.env.push((name.into(), "x".repeat(100_000)));
    }
    assert_eq!(program.check(LONG).await, Ok(()));
    program.env.push(("HUGE".into(), "x".repeat(2 << 20)));
    let reason = program.check(LONG).await.unwrap_err();
    assert!(reason.contains("the environment has more than 2097152 bytes"), "{reason}");
    place.end().await;
}

#[actix::test]
async fn no_descriptor_but_the_standard_three_is_inherited() {
    let place = Place::new();
    let secret = fs::File::create(place.dir.path().join("secret")).unwrap();
    fcntl(&secret, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    place.run(&["/bin/sh", "-c", "readlink /proc/$$/fd/*"]).await;
    let out = place.out();
    assert!(out.starts_with("/dev/null\npipe:") && !out.contains("secret"), "{out}");
    place.end().await;
}

#[actix::test]
async fn a_service_has_no_capability_and_root_those_of_a_container() {
    let place = Place::new();
    let nothing = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                   CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    let status = ["/bin/grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", "/proc/self/status"];
    place.run(&status).await;
    assert_eq!(place.out(), nothing);
    let mut program = place.program(&status);
    program.user = User::find(Some("root"), Root::Allowed).unwrap();
    let logs = Logs { out: place.dir.path().join("root"), err: place.dir.path().join("err") };
    let (_signals, received) = mpsc::unbounded_channel();
    program.spawn(logs).unwrap().run(received).await;
    let held = fs::read_to_string(place.dir.path().join("root")).unwrap();
    assert!(held.contains("CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"), "{held}");
    place.end().await;
}

#[actix::test]
async fn system_calls_that_reach_for_the_host_are_refused() {
    let place = Place::new();
    // Numbers of x86_64; 1000 is no call of any kernel.
    let calls = [("ptrace", 101, 1), ("mount", 165, 1), ("unshare", 272, 1), ("keyctl", 250, 1), ("bpf", 321, 1)];
    for (name, number, errno) in calls.into_iter().chain([("clone3", 435, 38), ("none", 1000, 38)]) {
        let script = format!("syscall({number}, 0, 0, 0, 0, 0); exit ($!+0 == {errno} ? 0 : 1)");
        assert_eq!(place.program(&["/usr/bin/perl", "-e", &script]).check(LONG).await, Ok(()), "{name}");
    }
    place.end().await;
}

#[actix::test]
async fn what_cannot_be_started_says_why() {
    let place = Place::new();
    fs::write(place.dir.path().join("text"), "x").unwrap();
    let text = place.dir.path().join("text").display().to_string();
    for (program, code, words) in [("/no/such/program", 127, "No such file"), (&text, 126, "Permission denied")] {
        let exit = place.run(&[program]).await;
        assert_eq!(exit.cause, Cause::Code(code));
        let start = format!("epic-executor: cannot execute {program}: ");
        assert!(exit.stderr.starts_with(&start) && exit.stderr.contains(words), "{}", exit.stderr);
    }
    let mut program = place.program(&["/bin/true"]);
    program.dir = "/no/such/dir".into();
    let reason = program.check(LONG).await.unwrap_err();
    assert!(reason.contains("exits with code 125") && reason.contains("cannot work in /no/such/dir"), "{reason}");
    place.end().await;
}

#[actix::test]
async fn memory_over_the_grant_ends_the_service_and_is_seen() {
    for (script, cause) in [
        ("$x = 'x' x (200 << 20); sleep 600", Cause::OutOfMemory),
        ("$x = 'x' x (8 << 20); kill 9, $$", Cause::Signal(9)),
    ] {
        let place = Place::new();
        let exit = place.run(&["/usr/bin/perl", "-e", script]).await;
        assert_eq!(exit.cause, cause);
        place.end().await;
    }
}

#[actix::test]
async fn a_child_in_a_session_of_its_own_that_ignores_signals_does_not_outlive_its_group() {
    let place = Place::new();
    let pid = place.dir.path().join("out");
    let process = place.start(&[
        "/bin/sh",
        "-c",
        "setsid sh -c 'trap \"\" TERM HUP INT; echo $$; while :; do sleep 600; done' & wait",
    ]);
    let (signals, received) = mpsc::unbounded_channel();
    let (child, exit) = tokio::join!(
        async {
            let child = line(&pid).await;
            signals.send(Signal::SIGTERM).unwrap();
            child
        },
        timeout(LONG, process.run(received)),
    );
    assert_eq!(exit.unwrap().cause, Cause::Signal(15));
    assert!(is_alive(&child));
    place.end().await;
    assert!(!is_alive(&child));
}

#[actix::test]
async fn a_group_that_keeps_forking_is_ended() {
    // Each process makes another, in a session of its own, and ends a little later.
    const FORK: &str = "use POSIX 'setsid'; open F, '>', 'pid'; print F \"$$\\n\"; close F;
        while (1) { my $p = fork; if (!$p) { setsid } else { select undef, undef, undef, 0.01; exit if rand() < 0.9 } }";
    let place = Place::new();
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let process = place.start(&["/usr/bin/perl", "-e", FORK]);
    line(&place.dir.path().join("pid")).await;
    let (_signals, received) = mpsc::unbounded_channel();
    timeout(LONG, process.run(received)).await.unwrap();
    place.end().await;
}

#[actix::test]
async fn the_last_lines_of_stderr_are_kept_whatever_their_bytes() {
    let place = Place::new();
    let script =
        "printf '\\377\\376 not text\\n' >&2; yes | head -c 100000 >&2; printf '\\377\\nthe end\\n' >&2; exit 3";
    let exit = place.run(&["/bin/sh", "-c", script]).await;
    assert_eq!(exit.cause, Cause::Code(3));
    assert!(exit.stderr.ends_with("y\n\u{fffd}\nthe end") && exit.stderr.lines().count() == 20, "{}", exit.stderr);
    assert_eq!(fs::metadata(place.dir.path().join("err")).unwrap().len(), 12 + 100_000 + 10);
    place.end().await;
}

#[actix::test]
async fn the_end_of_a_service_is_not_hidden_by_a_child_that_holds_its_output() {
    let place = Place::new();
    let exit = place.run(&["/bin/sh", "-c", "setsid sleep 600 & echo gone >&2; exit 4"]).await;
    assert_eq!(exit, Exit { cause: Cause::Code(4), stderr: "gone".into() });
    place.end().await;
}

#[actix::test]
async fn a_command_probe_is_its_exit_code_and_is_bounded() {
    let place = Place::new();
    let check = |script: &str, most| {
        let program = place.program(&["/bin/sh", "-c", script]);
        async move { program.check(most).await }
    };
    assert_eq!(check("exit 0", LONG).await, Ok(()));
    assert_eq!(check("echo why >&2; exit 2", LONG).await, Err("/bin/sh exits with code 2: why".into()));
    let late = check("sleep 600 & sleep 600", Duration::from_millis(300)).await;
    assert_eq!(late, Err("/bin/sh takes longer than 300 ms".into()));
    place.end().await;
}

#[actix::test]
async fn nothing_that_a_probe_leaves_behind_lives_on() {
    let place = Place::new();
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for end in ["exit 0", "exit 1", "sleep 600"] {
        let script = format!("setsid sleep 600 & echo $! >pid; {end}");
        let answer = place.program(&["/bin/sh", "-c", &script]).check(Duration::from_millis(500)).await;
        assert_eq!(answer.is_ok(), end == "exit 0", "{answer:?}");
        let left = line(&place.dir.path().join("pid")).await;
        assert!(!is_alive(&left), "{end}");
        fs::remove_file(place.dir.path().join("pid")).unwrap();
    }
    place.end().await;
}

#[actix::test]
async fn a_log_on_a_disk_that_does_not_answer_stops_no_probe_and_no_signal() {
    let place = Place::new();
    let out = place.dir.path().join("out");
    // Whoever opens a pipe for writing waits until somebody reads it.
    mkfifo(&out, Mode::S_IRWXU).unwrap();
    let process = place.start(&["/bin/sh", "-c", "yes & while :; do sleep 600; done"]);
    let (signals, received) = mpsc::unbounded_channel();
    let probes = async {
        for _ in 0..3 {
            assert_eq!(place.program(&["/bin/true"]).check(LONG).await, Ok(()));
        }
        signals.send(Signal::SIGKILL).unwrap();
    };
    let ((), exit) = timeout(LONG, async { tokio::join!(probes, process.run(received)) }).await.unwrap();
    assert_eq!(exit.cause, Cause::Signal(9));
    place.group.clone().destroy().await;
    // The disk answers again.
    let text = tokio::task::spawn_blocking(move || fs::read_to_string(out).unwrap()).await.unwrap();
    assert!(text.starts_with("y\ny\n") && text.len() < 128 * 1024, "the service was to wait: {}", text.len());
}

#[actix::test]
async fn a_fork_bomb_reaches_the_limit_of_its_grant() {
    const FORK: &str =
        "my $n = 0; while ($n < 2000) { my $p = fork; last unless defined $p; if (!$p) { sleep 600 } $n++ }
        print \"$n\\n\"; exit 0";
    let place = Place::with(Bytes(512 << 20));
    assert_eq!(place.run(&["/usr/bin/perl", "-e", FORK]).await.cause, Cause::Code(0));
    let made: u64 = line(&place.dir.path().join("out")).await.parse().unwrap();
    assert_eq!(made, 1023, "a grant of 512 MiB has room for 1024");
    place.end().await;
}

#[actix::test]
async fn services_die_with_the_executor() {
    let mut environment = tempfile::NamedTempFile::new().unwrap();
    environment.write_all(&confine::encode(&[])).unwrap();
    let exec = format!("'{EXECUTOR}' exec --uid 65534 --gid 65534 --nofile 64 --parent $$ --dir /");
    let program = "/bin/sh -c 'trap \"\" TERM; echo $$; exec /bin/sleep 600'";
    let script = format!("{exec} -- {program} <'{}' & wait", environment.path().display());
    let mut parent = Command::new("/bin/sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let child = lines.next().unwrap().unwrap();
    assert!(is_alive(&child));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let wait = async {
        while is_alive(&child) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, wait).await.expect("the service outlives its executor");
}

#[test]
fn a_service_whose_executor_is_gone_already_is_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let arguments =
        ["exec", "--uid", "0", "--gid", "0", "--nofile", "64", "--parent", "1", "--dir", "/", "--", "/usr/bin/touch"];
    let output = Command::new(EXECUTOR).args(arguments).arg(&mark).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "epic-executor: cannot confine the process: the executor has ended\n"
    );
    assert!(!mark.exists());
}

#[test]
fn without_the_agents_environment_it_says_what_is_missing() {
    let output = Command::new(EXECUTOR).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        stderr,
        "epic-executor: the environment has no MESOS_SLAVE_PID; a Mesos agent sets it for the executors that it starts\n"
    );
}
