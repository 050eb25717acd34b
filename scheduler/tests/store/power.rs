//! A power cut: only what has reached the disk is there afterwards.
//!
//! The disk is a file; what the kernel has not written to it yet is lost with the copy that is taken while the writer
//! stands still.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use epic_scheduler::store::Keeper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::kill::{CHILD as KEEP_IN, ONE_BASE, WEIGHT};
use crate::support::{aside, assert_is_true, fast_dir, options};

/// Names the directory for the child; without it the child's test has nothing to do.
const CHILD: &str = "EPIC_TEST_POWER_IN";
const ROUNDS: usize = 6;

#[test]
fn a_power_cut_takes_nothing_that_was_called_durable() {
    let dir = fast_dir();
    // What is mounted there is gone with the last process there.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "power::child_cuts_the_power", "--nocapture"]).env(CHILD, dir.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", output.status);
}

#[test]
fn child_cuts_the_power() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let dir = Path::new(&dir);
    let (disk, copy) = (dir.join("disk"), dir.join("copy"));
    let (before, after) = (dir.join("before"), dir.join("after"));
    fs::create_dir(&before).unwrap();
    fs::create_dir(&after).unwrap();
    for round in 1..=ROUNDS {
        File::create(&disk).unwrap().set_len(64 << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk));
        run(Command::new("mount").args(["-o", "loop"]).args([&disk, &before]));
        let durable = cut(&before.join("state"), round, || fs::copy(&disk, &copy).map(|_| ()).unwrap());
        run(Command::new("umount").arg(&before));
        run(Command::new("mount").args(["-o", "loop"]).args([&copy, &after]));
        let state = after.join("state");
        let (held, keeper) = Keeper::open(&state, options());
        let held = held.unwrap_or_else(|| panic!("round {round}: {durable} batches are gone"));
        assert!(held.at.batch >= durable, "round {round}: {} of {durable}", held.at.batch);
        assert_is_true(&held, WEIGHT);
        assert_eq!(aside(&state).len(), 0);
        drop((held, keeper));
        run(Command::new("umount").arg("--lazy").arg(&after));
    }
}

/// Lets a child keep batches, takes the copy while it stands still, and returns what it had called durable by then.
fn cut(state: &Path, rounds: usize, copy: impl FnOnce()) -> u64 {
    fs::create_dir(state).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_keeps_batches_until_it_is_killed", "--nocapture"])
        .env(KEEP_IN, state)
        .env(ONE_BASE, "")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok());
    let last = lines.by_ref().take(rounds + 1).last().expect("the child keeps something");
    kill(pid(&child), Signal::SIGSTOP).unwrap();
    let stopped = waitpid(pid(&child), Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    copy();
    child.kill().unwrap();
    child.wait().unwrap();
    lines.last().unwrap_or(last)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
