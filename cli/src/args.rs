//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands;

/// Runs an EPIC platform on Mesos.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
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
