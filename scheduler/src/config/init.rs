//! What `epic-scheduler init` is told.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;

use super::connect::ConnectOptions;
use super::{Error, refusal, session_timeout, zookeeper};
use crate::mesos::masters::ZooKeeperPath;

/// Makes the journal that several schedulers share, once.
///
/// A journal that is there already is left as it is, so this may be run again at any time. Schedulers never make it
/// themselves: one that finds a ZooKeeper without it knows that something was lost.
#[derive(Clone, Debug, Parser)]
#[command(name = "epic-scheduler init", version)]
pub struct Init {
    /// Where: `zk://[user:password@]host:port[,...]/path`; with a password, only whoever has it may read or write there
    #[arg(long, env = "EPIC_ZK", hide_env_values = true, value_name = "URL", value_parser = zookeeper)]
    pub zk: ZooKeeperPath,

    /// How long ZooKeeper waits for us when we are silent: 4s to 60s
    #[arg(long, env = "EPIC_ZK_SESSION_TIMEOUT", default_value = "10s", value_parser = session_timeout)]
    pub zk_session_timeout: Duration,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a text here would replace that of the whole command")]
    pub connect: ConnectOptions,
}

impl Init {
    /// Reads the options if `args`, which begins with the program's name, asks for `init`; else `None`.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line for people.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Option<Result<Self, Error>> {
        let args: Vec<OsString> = args.into_iter().skip(1).collect();
        if args.first().is_none_or(|verb| verb != "init") {
            return None;
        }
        let read = || {
            let init = Self::try_parse_from(&args).map_err(|error| refusal(error, &args, None))?;
            init.connect.check()?;
            Ok(init)
        };
        Some(read())
    }
}
