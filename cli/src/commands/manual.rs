//! `epicctl man` and `epicctl completions`: what the system's manual and a shell know of this program.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use epic_common_io::manual::{self, Manual, Shell};

use crate::args::Args;

pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    Ok(io::stdout().write_all(&manual::completions(Args::command(), shell))?)
}

pub(crate) fn pages(folder: &Path) -> anyhow::Result<()> {
    let manual = Manual { command: Args::command(), section: "1", files: &[], related: &["epic-scheduler(8)"] };
    manual.write(folder).with_context(|| format!("cannot write the manual's pages into {}", folder.display()))
}
