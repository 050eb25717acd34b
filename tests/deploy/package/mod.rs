//! The Debian package: what is in it, and what Debian's and systemd's own tools say of that.

mod host;
mod life;
mod network;
mod page;
mod several;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use epic_tests::epic::built;

use crate::tools::{output, root, run};

/// Builds the package of the programs that this test was built with, once for each version, and returns its path.
///
/// # Panics
///
/// It can't be built; the reason is shown.
fn package(version: &str) -> PathBuf {
    package_in("deb", version)
}

/// As [`package`], in a folder beside the programs; what is there already is written anew.
fn package_in(folder: &str, version: &str) -> PathBuf {
    let programs = built("epic-scheduler").expect("make builds it before tests run");
    let programs = programs.parent().expect("a program is in a folder");
    let out = programs.join(folder);
    let made = Command::new(root().join("scheduler/debian/build.sh"))
        .args([programs, &out].map(Path::as_os_str))
        .arg(version)
        // Nobody ships it: neither small size nor old agents matter here.
        .env("EPIC_DEB_FAST", "1")
        .env_remove("EPIC_EXECUTOR")
        .output()
        .expect("the script is part of the repository");
    assert!(made.status.success(), "build.sh: {}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8_lossy(&made.stdout).trim().into()
}

/// Returns the package of this version.
fn this() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        run("tests/setup.sh", &["package"]);
        package(env!("CARGO_PKG_VERSION"))
    })
}

/// Returns the same as a later version.
fn next() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        this();
        package(NEXT)
    })
}

const NEXT: &str = "9.0.0";

/// Returns a folder with what the package of this version installs.
fn unpacked() -> &'static Path {
    static UNPACKED: OnceLock<tempfile::TempDir> = OnceLock::new();
    let unpacked = UNPACKED.get_or_init(|| {
        let folder = tempfile::tempdir().expect("there is room for a package");
        run("dpkg-deb", &["--extract", text(this()), text(folder.path())]);
        folder
    });
    unpacked.path()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

#[test]
fn lintian_finds_nothing_to_say() {
    let said = output("lintian", &["--allow-root", "--info", text(this())]);
    let (stdout, stderr) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && stdout.is_empty(), "{stdout}{stderr}");
}

#[test]
fn the_package_holds_programs_configuration_and_their_manual_and_needs_little() {
    let listed = run("dpkg-deb", &["--contents", text(this())]);
    let installed = |mode: &str, path: &str| {
        let found = listed.lines().any(|line| line.starts_with(mode) && line.ends_with(&format!(" ./{path}")));
        assert!(found, "{mode} {path} is not in\n{listed}");
    };
    installed("-rwxr-xr-x 0/0", "usr/bin/epic-scheduler");
    installed("-rwxr-xr-x 0/0", "usr/bin/epicctl");
    installed("-rwxr-xr-x 0/0", "usr/lib/epic/epic-executor");
    let share = |path: &str| installed("-rw-r--r-- 0/0", &format!("usr/share/{path}"));
    for page in ["man8/epic-scheduler", "man8/epic-scheduler-init", "man8/epic-scheduler-state-restore"] {
        share(&format!("man/{page}.8.gz"));
    }
    share("man/man1/epicctl.1.gz");
    share("man/man1/epicctl-platform-apply.1.gz");
    share("doc/epic-mesos-scheduler/changelog.gz");
    share("doc/epic-mesos-scheduler/copyright");
    share("doc/epic-mesos-scheduler/linked-crates.txt.gz");
    for unit in ["systemd/system/epic-scheduler.service", "sysusers.d/epic-mesos-scheduler.conf"] {
        installed("-rw-r--r-- 0/0", &format!("usr/lib/{unit}"));
    }
    installed("-rw-r--r-- 0/0", "usr/lib/tmpfiles.d/epic-scheduler.conf");
    assert_eq!(run("dpkg-deb", &["--info", text(this()), "conffiles"]).trim(), "/etc/epic/scheduler.yaml");
    let needed = run("dpkg-deb", &["--field", text(this()), "Depends"]);
    let needed: Vec<_> = needed.trim().split(", ").filter_map(|name| name.split(' ').next()).collect();
    assert_eq!(needed, ["libc6", "systemd"]);
}

#[test]
fn the_unit_may_do_little_and_systemd_says_so() {
    let unit = unpacked().join("usr/lib/systemd/system/epic-scheduler.service");
    // In tenths: 2.0.
    let said = output("systemd-analyze", &["security", "--offline=true", "--threshold=20", "--no-pager", text(&unit)]);
    let said_text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && said_text.contains("Overall exposure level"), "{said_text}");
}

#[test]
fn every_page_of_the_manual_can_be_read_without_a_warning() {
    let pages = run("find", &[text(&unpacked().join("usr/share/man")), "-type", "f"]);
    assert!(pages.lines().count() > 20, "{pages}");
    for page in pages.lines() {
        let read = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", page])
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80")
            .output()
            .expect("setup.sh installs man");
        let (shown, warned) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
        assert!(read.status.success() && warned.is_empty(), "{page}: {warned}");
        for part in ["NAME", "SYNOPSIS", "OPTIONS"] {
            assert!(shown.contains(part), "{page} lacks {part}:\n{shown}");
        }
    }
    let main = unpacked().join("usr/share/man/man8/epic-scheduler.8.gz");
    let shown = run("man", &["-l", text(&main)]);
    for part in ["EPIC_MASTER", "/etc/epic/scheduler.yaml", "epic-scheduler-init(8)", "epicctl(1)"] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[test]
fn shells_complete_verbs_and_options() {
    let share = unpacked().join("usr/share");
    for program in ["epic-scheduler", "epicctl"] {
        let file = |path: &str| text(&share.join(path)).to_owned();
        run("bash", &["-n", &file(&format!("bash-completion/completions/{program}"))]);
        run("zsh", &["-n", &file(&format!("zsh/vendor-completions/_{program}"))]);
        run("fish", &["--no-execute", &file(&format!("fish/vendor_completions.d/{program}.fish"))]);
    }
    let complete = |program: &str, words: &str| {
        let file = share.join("bash-completion/completions").join(program);
        let script = "source \"$1\"; f=$(complete -p \"$2\" | sed 's/.* -F \\([^ ]*\\) .*/\\1/'); COMP_WORDS=($3); \
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); $f \"$2\" \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; \
            echo \"${COMPREPLY[*]}\"";
        run("bash", &["-c", script, "bash", text(&file), program, words]).trim().to_owned()
    };
    assert_eq!(complete("epicctl", "epicctl pl"), "platform");
    assert_eq!(complete("epicctl", "epicctl platform un"), "uninstall");
    assert_eq!(complete("epic-scheduler", "epic-scheduler st"), "state");
    assert_eq!(complete("epic-scheduler", "epic-scheduler --framew"), "--framework-name");
}

#[test]
fn the_same_tree_gives_the_same_package() {
    let read = |path: &Path| fs::read(path).expect("it was just built");
    let first = read(this());
    assert!(
        first == read(&package_in("deb-again", env!("CARGO_PKG_VERSION"))),
        "two packages of the same programs differ"
    );
}
