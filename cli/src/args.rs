//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use epic_common_io::manual::Shell;

use crate::commands;

/// Runs an EPIC platform on Mesos.
#[derive(Debug, Parser)]
#[command(name = "epicctl", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows the platform and changes it.
    Platform(commands::platform::Platform),
    /// Saves the scheduler's state, and changes who it is to Mesos.
    Admin(commands::admin::Admin),
    /// Makes and checks bundles.
    #[command(subcommand)]
    Bundle(commands::bundle::Command),
    /// Prints what a shell needs to complete commands: source <(epicctl completions bash).
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Writes the pages for man(1) into a folder.
    Man {
        /// The folder, which must be there; pages of the same names are replaced.
        dir: PathBuf,
    },
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs: one JSON object.
    Json,
}
