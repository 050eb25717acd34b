//! `epicctl platform`: shows the platform and changes it.

mod change;
mod follow;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::args::Output;
use crate::client::{Client, Connection};
use crate::failure::EXIT_CODES;

/// Shows the platform and changes it.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Platform {
    #[command(flatten)]
    connection: Connection,
    /// How to show answers.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows hosts, members, and why anything isn't as it is wanted.
    #[command(after_help = EXIT_CODES)]
    Status(Status),
    /// Makes the platform what a document says, and waits until it is ready.
    #[command(after_help = EXIT_CODES)]
    Apply {
        /// The Platform document, YAML or JSON; - reads standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stops every member, and waits until none runs; start runs them again.
    #[command(after_help = EXIT_CODES)]
    Stop(Wait),
    /// Runs every member again, and waits until all are ready.
    #[command(after_help = EXIT_CODES)]
    Start(Wait),
    /// Ends a member's attempt, and waits until the next one is ready.
    #[command(after_help = EXIT_CODES)]
    Restart {
        /// The member, such as worker-0.
        instance: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Removes the platform with all its members and its framework, and waits until nothing is left.
    #[command(after_help = EXIT_CODES)]
    Uninstall {
        /// Really remove it; without, what would be removed is shown.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Shows it again every second until Ctrl-C; when not on a terminal, only what changes.
    #[arg(long)]
    watch: bool,
    /// Ends as soon as the platform is ready; watches until then.
    #[arg(long)]
    until_ready: bool,
    /// The longest time to wait with --until-ready.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = epic_common::text::duration)]
    timeout: Duration,
}

/// How long a change is followed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Wait {
    /// Returns as soon as the change is granted and durable.
    #[arg(long)]
    no_wait: bool,
    /// The longest time to wait, such as 90s or 15m.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = epic_common::text::duration)]
    timeout: Duration,
}

pub(crate) fn run(platform: Platform) -> anyhow::Result<()> {
    let Platform { connection, output, command } = platform;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(connection)?;
    runtime.block_on(async {
        match command {
            Command::Status(status) => watch::status(&client, output, &status).await,
            Command::Apply { file, wait } => change::apply(&client, output, &file, wait).await,
            Command::Stop(wait) => change::stop(&client, output, wait).await,
            Command::Start(wait) => change::start(&client, output, wait).await,
            Command::Restart { instance, wait } => change::restart(&client, output, &instance, wait).await,
            Command::Uninstall { yes: true, wait } => change::uninstall(&client, output, wait).await,
            Command::Uninstall { yes: false, .. } => change::would_uninstall(&client).await,
        }
    })
}

/// Says what time it is, for ages.
fn now() -> epic_common::time::Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    epic_common::time::Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
