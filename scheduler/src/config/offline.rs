//! What `epic-scheduler state` is told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::connect::ConnectOptions;
use super::{Error, refusal, session_timeout, zookeeper};
use crate::mesos::masters::ZooKeeperPath;

/// Shows, checks, saves and moves what a scheduler has decided, while it doesn't run.
///
/// Exit codes: 0 done; 64 refused, or the options are wrong; 65 a journal or backup can't be used; 69 ZooKeeper can't be
/// used; 74 a file or directory can't be read or written.
#[derive(Clone, Debug, Parser)]
#[command(name = "epic-scheduler state", version)]
pub struct State {
    /// What is to be done.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What is to be done with a state.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Shows what is in a state directory; changes nothing
    Show(Show),
    /// Reads everything in a state directory, and says what is damaged; changes nothing
    Verify {
        /// The state directory
        dir: PathBuf,
    },
    /// Writes what is in a state directory to one new file
    Backup {
        /// The state directory
        dir: PathBuf,
        /// The file; one that is there is never overwritten
        file: PathBuf,
    },
    /// Makes a journal that begins with a backup
    Restore(Restore),
    /// Lets a replica forget which journal it has followed, so that it follows another one; its copy is set aside
    Forget {
        /// The state directory
        dir: PathBuf,
        /// Really do it; without, what would be set aside is said
        #[arg(long)]
        yes: bool,
    },
    /// Moves the journal of a scheduler without --zk to ZooKeeper, with its framework and all that runs
    Publish(Publish),
}

impl Verb {
    /// Returns the state directory that it changes, if it does.
    #[must_use]
    pub fn writes_to(&self) -> Option<&Path> {
        match self {
            Self::Show(_) | Self::Verify { .. } | Self::Backup { .. } => None,
            Self::Restore(Restore { state_dir, .. }) => state_dir.as_deref(),
            Self::Forget { dir, .. } => Some(dir),
            Self::Publish(Publish { state_dir, .. }) => Some(state_dir),
        }
    }
}

/// What is shown, and how.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// The state directory
    pub dir: PathBuf,
    /// How it is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Which backup goes where.
#[derive(Clone, Debug, Args)]
pub struct Restore {
    /// The backup
    pub file: PathBuf,
    /// The state directory of a scheduler without --zk; its old journal is set aside
    #[arg(long, value_name = "DIR", required_unless_present = "zk", conflicts_with = "zk")]
    pub state_dir: Option<PathBuf>,
    /// Where: `zk://[user:password@]host:port[,...]/path`; what has batches there is never overwritten
    #[arg(long, env = "EPIC_ZK", hide_env_values = true, value_name = "URL", value_parser = zookeeper)]
    pub zk: Option<ZooKeeperPath>,
    /// How long ZooKeeper waits for us when we are silent: 4s to 60s
    #[arg(long, env = "EPIC_ZK_SESSION_TIMEOUT", default_value = "10s", value_parser = session_timeout)]
    pub zk_session_timeout: Duration,
    /// How to speak with it
    #[command(flatten)]
    pub connect: ConnectOptions,
    /// Also goes back, replaces another framework, or replaces a journal that can't be read
    #[arg(long)]
    pub yes: bool,
}

/// Which journal goes where.
#[derive(Clone, Debug, Args)]
pub struct Publish {
    /// The state directory of the scheduler without --zk
    #[arg(long, env = "EPIC_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Where: `zk://[user:password@]host:port[,...]/path`, with no journal there, or one without batches
    #[arg(long, env = "EPIC_ZK", hide_env_values = true, value_name = "URL", value_parser = zookeeper)]
    pub zk: ZooKeeperPath,
    /// How long ZooKeeper waits for us when we are silent: 4s to 60s
    #[arg(long, env = "EPIC_ZK_SESSION_TIMEOUT", default_value = "10s", value_parser = session_timeout)]
    pub zk_session_timeout: Duration,
    /// How to speak with it
    #[command(flatten)]
    pub connect: ConnectOptions,
    /// Really move it; without, what would be moved is said
    #[arg(long)]
    pub yes: bool,
}

impl State {
    /// Reads the options if `args`, which begins with the program's name, asks for `state`; else `None`.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line for people.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Option<Result<Self, Error>> {
        let args: Vec<OsString> = args.into_iter().skip(1).collect();
        if args.first().is_none_or(|verb| verb != "state") {
            return None;
        }
        Some(Self::try_parse_from(&args).map_err(|error| refusal(error, &args, None)))
    }
}
