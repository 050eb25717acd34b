//! A second process that removes what the demo leaves behind if it is killed.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use epic_tests::leftovers;

/// The guard's process; dropping it lets the guard look, and waits until it has.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
}

/// Starts a guard of this process, in a process group that Ctrl-C doesn't reach.
///
/// # Errors
/// The process can't be made.
pub(crate) fn start() -> Result<Guard> {
    let program = std::env::current_exe()?;
    let child = Command::new(program)
        .args(["--guard", &std::process::id().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start the process that cleans up if this one is killed")?;
    Ok(Guard { child })
}

/// Waits for the end of the process that holds the other end of our standard input, then removes what it left.
///
/// # Errors
/// Standard input can't be read.
pub(crate) fn watch(owner: u32) -> io::Result<()> {
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    for leftovers in leftovers::of_process(owner) {
        leftovers.remove();
    }
    Ok(())
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It fails only if the guard is gone already.
        let _ended = self.child.wait();
    }
}
