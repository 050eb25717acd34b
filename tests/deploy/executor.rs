//! The executor as it is built for agents that are older than the machine that builds it.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::engine::{Container, engine};
use crate::images::{SCHEDULER, built};
use crate::tools::run;

/// What Mesos' agents have had since 2012: RHEL 7, Debian 8 and all that came later.
const GLIBC: (u32, u32) = (2, 17);
/// What belongs to glibc itself, so that no other package need be there.
const LIBRARIES: [&str; 6] =
    ["ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1"];

/// The newest version of glibc that a program asks for.
fn newest_glibc(program: &Path) -> (u32, u32) {
    let symbols = run("objdump", &["-T", &program.display().to_string()]);
    let versions = symbols.split("GLIBC_").skip(1).map(|rest| {
        let version = rest.split(|sign: char| !sign.is_ascii_digit() && sign != '.').next().unwrap_or_default();
        let mut parts = version.split('.').map(|part| part.parse::<u32>());
        let mut part = || parts.next().and_then(Result::ok);
        (part().unwrap_or_else(|| panic!("GLIBC_{version} isn't a version")), part().unwrap_or(0))
    });
    versions.max().unwrap_or_else(|| panic!("{} has no versions of glibc:\n{symbols}", program.display()))
}

/// The executor out of the scheduler's image.
fn artifact() -> TempDir {
    built();
    let folder = TempDir::new().expect("there is room for an executor");
    let container = Container::create(&[SCHEDULER]);
    let (from, to) = (format!("{}:/usr/bin/epic-executor", container.id()), folder.path().display().to_string());
    engine().docker(&["cp", &from, &to]);
    folder
}

#[test]
fn the_executor_asks_for_nothing_but_a_glibc_of_2012() {
    let folder = artifact();
    let program = folder.path().join("epic-executor");
    assert!(newest_glibc(&program) <= GLIBC, "{:?}", newest_glibc(&program));
    // This test itself is built the usual way, and wouldn't do.
    assert!(newest_glibc(&std::env::current_exe().unwrap()) > GLIBC);
    let headers = run("objdump", &["-p", program.to_str().unwrap()]);
    let needed = headers.lines().filter_map(|line| line.trim().strip_prefix("NEEDED"));
    let foreign: Vec<_> = needed.map(str::trim).filter(|library| !LIBRARIES.contains(library)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn the_executor_runs_and_starts_programs_where_only_an_older_c_library_is() {
    let folder = artifact();
    let root = folder.path().join("root");
    let old = run("tests/tools/old-root.sh", &[]);
    run("cp", &["-a", old.trim(), root.to_str().unwrap()]);
    std::fs::copy(folder.path().join("epic-executor"), root.join("epic-executor")).unwrap();
    // What the executor hands to a program through standard input, here no variable at all, and what it leaves there.
    let environment = folder.path().join("environment");
    std::fs::write(&environment, "\0").unwrap();
    std::fs::create_dir_all(root.join("dev")).unwrap();
    if !root.join("dev/null").exists() {
        std::fs::write(root.join("dev/null"), "").unwrap();
    }
    let enter = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new("chroot");
        command.stdin(File::open(&environment).unwrap());
        command.arg(&root).arg("/epic-executor").args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let version = format!("epic-executor {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(enter(&["--version"], &[]), (Some(0), version.clone(), String::new()));

    // Started as no agent starts it, it says what is missing.
    let (code, _, said) = enter(&[], &[]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("a Mesos agent sets it"), "{said}");

    // A service is started so: confined, as another user. The program that it becomes is the executor once more.
    let parent = std::process::id().to_string();
    let confined = ["exec", "--uid", "65534", "--gid", "65534", "--nofile", "64", "--parent", &parent, "--dir", "/tmp"];
    assert_eq!(enter(&[&confined[..], &["--", "/epic-executor", "--version"]].concat(), &[]).1, version);
}
