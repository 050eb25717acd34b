//! Where the repository is, and commands that must succeed.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Returns the repository's root.
pub(crate) fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map_or(tests.clone(), PathBuf::from)
}

/// Runs a command in the repository's root and returns what it has written.
///
/// # Panics
///
/// It can't be started.
pub(crate) fn output(program: &str, args: &[&str]) -> Output {
    let ran = Command::new(program).args(args).current_dir(root()).output();
    ran.unwrap_or_else(|error| panic!("{program} can't be started: {error}"))
}

/// Runs a command in the repository's root, which must succeed, and returns its stdout.
///
/// # Panics
///
/// It can't be started or fails; what it has written is shown.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = output(program, args);
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{program} {}: {status}\n{stdout}\n{stderr}", args.join(" "));
    stdout.into_owned()
}

#[test]
fn a_command_that_fails_is_told_from_one_that_succeeds() {
    assert_eq!(run("sh", &["-c", "echo yes"]), "yes\n");
    assert_eq!(output("sh", &["-c", "exit 3"]).status.code(), Some(3));
}
