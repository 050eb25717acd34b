//! Which panics end the process, tried in processes of their own.

use std::io::Write as _;
use std::process::{Command, Output};
use std::thread;

use epic_common_io::telemetry;

/// Names the thread that a child lets panic; without it the child's test has nothing to do.
const CHILD: &str = "EPIC_TEST_PANICKING_THREAD";

#[test]
fn a_panic_ends_the_process_unless_its_thread_is_spared() {
    let spared = child("spared-1");
    assert!(spared.status.success() && said(&spared).contains("1 panics"), "{}", said(&spared));
    assert!(said(&spared).contains("on purpose"), "nobody was told: {}", said(&spared));
    for other in ["other", "spare", "not-spared-1"] {
        let ended = child(other);
        assert!(!ended.status.success() && !said(&ended).contains("panics so far"), "{other}: {}", said(&ended));
    }
}

#[test]
fn child_panics() {
    let Ok(name) = std::env::var(CHILD) else { return };
    telemetry::abort_on_panic();
    let spared = telemetry::spare_threads("spared-");
    let ended = thread::Builder::new().name(name).spawn(|| panic!("on purpose")).expect("there is room").join();
    assert!(ended.is_err());
    assert_eq!(telemetry::spare_threads("spared-").panics(), spared.panics());
    writeln!(std::io::stdout(), "{} panics so far", spared.panics()).expect("somebody reads it");
}

fn child(thread: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this test runs"));
    command.args(["--exact", "child_panics", "--nocapture"]).env(CHILD, thread);
    command.output().expect("this test can be run")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
