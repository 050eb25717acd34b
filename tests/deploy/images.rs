//! The project's images: what they hold, and how they behave under the engine that runs them.

use std::process::Output;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use epic_tests::wait;
use serde_json::Value;

use crate::engine::{Container, engine};
use crate::tools::{output, run};

/// The image of the scheduler.
pub(crate) const SCHEDULER: &str = concat!("epic-mesos/scheduler:", env!("CARGO_PKG_VERSION"));
/// The image of epicctl.
pub(crate) const CLI: &str = concat!("epic-mesos/cli:", env!("CARGO_PKG_VERSION"));

/// Makes sure that the engine has `debian:bookworm-slim`.
///
/// # Panics
///
/// It can't be made; the reason is shown.
pub(crate) fn base() {
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| made("tests/tools/base-images.sh", &["debian"]));
}

/// Makes sure that the engine has [`SCHEDULER`] and [`CLI`], built of the sources as they are.
///
/// `EPIC_IMAGE_PROFILE` is how: `dev` unless it is set, which takes less time.
///
/// # Panics
///
/// They can't be built; the reason is shown.
pub(crate) fn built() {
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| {
        made("tests/tools/base-images.sh", &[]);
        made("docker/build.sh", &[&profile()]);
        // What these builds have taken the names from.
        let ours = "label=org.opencontainers.image.vendor=EPIC on Mesos";
        engine().docker(&["image", "prune", "--force", "--filter", ours]);
    });
}

/// Makes sure that the engine has what `docker/compose.yaml` shows the scheduler with, or the like.
///
/// # Panics
///
/// It can't be made; the reason is shown.
pub(crate) fn demo() {
    base();
    made("tests/tools/demo-images.sh", &[]);
}

fn profile() -> String {
    std::env::var("EPIC_IMAGE_PROFILE").unwrap_or_else(|_| "dev".to_owned())
}

fn made(script: &str, args: &[&str]) {
    let made = engine().command(script).args(args).output();
    let Output { status, stdout, stderr } = made.expect("the script is part of the repository");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{script} {}: {status}\n{stdout}\n{stderr}", args.join(" "));
}

fn inspect(image: &str) -> Value {
    let facts = engine().docker(&["image", "inspect", "--format", "{{json .}}", image]);
    serde_json::from_str(&facts).expect("JSON was asked for")
}

/// The paths of all files in an image, links too, without those that the engine makes in each container.
fn files(image: &str) -> Vec<String> {
    let container = Container::create(&[image]);
    let script = format!("docker export {} | tar --list", container.id());
    let listed = engine().command("/bin/bash").args(["-o", "pipefail", "-c", &script]).output();
    let listed = listed.expect("Debian has bash");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let engines = [".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab", "dev/console"];
    let listed = String::from_utf8_lossy(&listed.stdout);
    let mut files: Vec<_> = listed.lines().filter(|path| !path.ends_with('/')).map(str::to_owned).collect();
    files.retain(|path| !engines.contains(&path.as_str()));
    files.sort();
    files
}

#[test]
fn an_image_holds_its_programs_and_nothing_to_run_others_with() {
    built();
    let common = ["etc/group", "etc/nsswitch.conf", "etc/passwd", "etc/ssl/certs/ca-certificates.crt"];
    for (image, programs) in
        [(SCHEDULER, &["usr/bin/epic-executor", "usr/bin/epic-scheduler"][..]), (CLI, &["usr/bin/epicctl"])]
    {
        let list = ["usr/share/doc/epic/linked-crates.txt"];
        assert_eq!(files(image), [&common[..], programs, &list].concat(), "{image}");
    }
}

#[test]
fn an_image_is_small_says_what_it_is_and_runs_as_nobody() {
    built();
    let revision = run("git", &["-c", "safe.directory=*", "rev-parse", "HEAD"]);
    for (image, title) in [(SCHEDULER, "epic-scheduler"), (CLI, "epicctl")] {
        let facts = inspect(image);
        let size = facts["Size"].as_u64().unwrap();
        // What isn't optimised is larger; it only has to stay in proportion.
        let most = if profile() == "release" { 40_000_000 } else { 80_000_000 };
        assert!(size < most, "{image} has {size} bytes");
        let config = &facts["Config"];
        assert_eq!(config["User"], "65532:65532", "{image}");
        let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].clone();
        assert_eq!(label("version"), env!("CARGO_PKG_VERSION"), "{image}");
        assert_eq!(label("revision"), revision.trim(), "{image}");
        assert_eq!((label("title"), label("licenses")), (title.into(), "Apache-2.0".into()), "{image}");
        for name in ["created", "description", "vendor"] {
            assert!(label(name).as_str().is_some_and(|text| !text.is_empty()), "{image} has no label {name}");
        }
        let said = engine().docker(&["run", "--rm", "--network", "none", image, "--version"]);
        assert_eq!(said, format!("{title} {}", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_scheduler_with_nothing_but_a_volume_is_healthy_and_ends_at_once_when_asked() {
    built();
    let restricted = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"];
    let options =
        ["--volume", "/var/lib/epic", SCHEDULER, "--master", "127.0.0.1:5050", "--advertise", "http://127.0.0.1:8080"];
    let scheduler = Container::run(&[&restricted[..], &options].concat());
    let state =
        |what: &str| engine().docker(&["inspect", "--format", &format!("{{{{.State.{what}}}}}"), scheduler.id()]);
    let healthy = wait::blocking_until(Duration::from_secs(60), || state("Health.Status") == "healthy");
    assert!(
        healthy,
        "{}: {}",
        state("Health.Status"),
        String::from_utf8_lossy(&engine().ask(&["logs", scheduler.id()]).stderr)
    );
    // The same question where nobody answers: health is more than a program that can be started.
    let elsewhere = ["exec", scheduler.id(), "/usr/bin/epic-scheduler", "healthcheck", "--listen", "127.0.0.1:9"];
    assert_eq!(engine().ask(&elsewhere).status.code(), Some(1));

    engine().docker(&["stop", "--time", "20", scheduler.id()]);
    assert_eq!((state("ExitCode"), state("OOMKilled")), ("0".to_owned(), "false".to_owned()));
    let took = nanos(scheduler.id(), "die") - nanos(scheduler.id(), "kill");
    assert!(took < 1_000_000_000, "it took {took} ns from SIGTERM to the end");
}

#[test]
fn epicctl_ends_at_once_when_asked_also_as_a_containers_first_process() {
    built();
    let watching =
        Container::run(&["--network", "none", CLI, "platform", "status", "--watch", "--server", "http://127.0.0.1:1"]);
    let shown = || engine().docker(&["logs", watching.id()]).contains("still trying");
    assert!(wait::blocking_until(Duration::from_secs(60), shown), "it says nothing of the scheduler that isn't there");
    engine().docker(&["stop", "--time", "20", watching.id()]);
    let code = engine().docker(&["inspect", "--format", "{{.State.ExitCode}}", watching.id()]);
    let took = nanos(watching.id(), "die") - nanos(watching.id(), "kill");
    assert!(code == "143" && took < 1_000_000_000, "{took} ns after SIGTERM it ended with {code}");
}

/// When the engine saw something happen to a container, which isn't when we asked for it: this machine may be busy.
fn nanos(id: &str, event: &str) -> i64 {
    let (container, event) = (format!("container={id}"), format!("event={event}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    let until = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
    let args = ["events", "--since", "10m", "--until", &until, "--filter", &container, "--filter", &event];
    let times = engine().docker(&[&args[..], &["--format", "{{.TimeNano}}"]].concat());
    times.lines().next().unwrap_or_default().parse().unwrap_or_else(|_| panic!("there is no {event}"))
}

#[test]
fn dockerfiles_are_clean() {
    let hadolint = run("tests/tools/hadolint.sh", &[]);
    let files = ["docker/Dockerfile", "docker/mesos/Dockerfile", "docker/zookeeper/Dockerfile"];
    run(hadolint.trim(), &files);
    // It would see something.
    let careless = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(careless.path(), "FROM debian\nRUN cd / && apt-get install -y bash\n").unwrap();
    assert!(!output(hadolint.trim(), &[careless.path().to_str().unwrap()]).status.success());
}

#[test]
fn the_compose_file_is_understood_by_both_versions_of_compose() {
    let program = run("tests/tools/compose.sh", &[]);
    for compose in ["docker-compose", program.trim()] {
        let shown = engine().command(compose).args(["--file", "docker/compose.yaml", "config"]).output().unwrap();
        let (shown, said) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
        // Version 2 shows the parts that services share as well, less indented.
        let services = shown.matches(&format!("\n    image: {SCHEDULER}\n")).count();
        assert_eq!(services, 4, "{compose}: {shown}{said}");
        // Three ZooKeeper servers, replicas and agents, and a master come back when the engine does.
        let come_back = shown.matches("\n    restart: unless-stopped\n").count();
        assert_eq!(come_back, 10, "{compose}: {shown}");
        // It warns of what it will not do.
        assert_eq!(said, "", "{compose}");
    }
}

#[test]
fn secrets_are_made_once_where_one_is_missing_below_the_callers_folder() {
    let folder = tempfile::tempdir().unwrap();
    let made = || {
        let script = crate::tools::root().join("docker/secrets.sh");
        let made = std::process::Command::new(script).arg("made/here").current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{}: {}", made.status, String::from_utf8_lossy(&made.stderr));
        let names = ["token", "mesos-secret", "mesos-credentials", "zk-digest"];
        names.map(|name| std::fs::read_to_string(folder.path().join("made/here").join(name)).unwrap())
    };
    let [token, secret, credentials, digest] = made();
    assert!(credentials.contains(&format!("\"{secret}\"")), "the master knows another secret: {credentials}");
    std::fs::remove_file(folder.path().join("made/here/zk-digest")).unwrap();
    let [same_token, same_secret, same_credentials, another_digest] = made();
    assert_eq!([token, secret, credentials], [same_token, same_secret, same_credentials]);
    assert_ne!(digest, another_digest);
    assert_eq!(std::fs::read_dir(folder.path().join("made/here")).unwrap().count(), 4, "nothing half made is left");
}
