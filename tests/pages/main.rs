//! `epic-pages PAGE...`: does what pages of `docs/how-to/` say, as it is printed, in a small data centre of its own.
//!
//! The data centre is in a network and mount namespace: hosts `sched1` to `sched3`, `zk1` to `zk4` and `master1` have their own
//! `/etc`, `/usr` and `/var/lib`, and share this machine's kernel and processes. `ssh`, `sudo`, `systemctl` and a few more are small stand-ins
//! that know these hosts; everything else is the real thing.

mod centre;
mod hosts;
mod orders;
mod unit;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use centre::Centre;
use epic_tests::page::{Notes, Page};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((first, pages)) if first == INSIDE && !pages.is_empty() => inside(pages),
        Some((first, _)) if !first.starts_with('-') => outside(&args),
        _ => {
            say("usage: epic-pages PAGE.md...");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Becomes this program in namespaces of its own; the programs it starts are killed with it.
fn outside(pages: &[String]) -> Result<()> {
    let own = std::env::current_exe()?;
    let args = ["--net", "--mount", "--propagation", "private", "--"];
    let mut command = Command::new("/usr/bin/unshare");
    let failed = command.args(args).arg(own).arg(INSIDE).args(pages).exec();
    Err(failed).context("cannot make namespaces; this needs root")
}

fn inside(pages: &[String]) -> Result<()> {
    let mut all = Vec::new();
    for path in pages.iter().map(PathBuf::from) {
        all.push((Page::read(&path)?, Notes::of(&path)?));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut centre = Centre::open().await?;
        for (page, notes) in &all {
            centre.follow(page, notes).await?;
        }
        Ok(())
    })
}

#[expect(clippy::print_stderr, reason = "whoever runs this wants to see how far it is")]
fn say(text: &str) {
    eprintln!("{text}");
}

const INSIDE: &str = "--inside";
