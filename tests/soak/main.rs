//! `make soak`: misfortune after misfortune on replicas, ZooKeeper and Mesos, each checked to its end.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use epic_tests::chaos::{self, Plan};
use epic_tests::kit::Kit;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let rounds = number("ROUNDS")?.map_or(Ok(ROUNDS), u32::try_from).context("ROUNDS is too large")?;
    let seed = number("SEED")?.unwrap_or_else(chance);
    let client = std::env::var("ZK_CLIENT").ok().filter(|client| !client.is_empty());
    say(&format!("SEED={seed} ROUNDS={rounds} ZK_CLIENT={}", client.as_deref().unwrap_or_default()));
    Kit::ready()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(chaos::play(Plan { rounds, seed, client }, say))?;
    say(&figures.to_string());
    Ok(())
}

/// A number from the environment; nothing if it isn't there or empty.
fn number(name: &str) -> Result<Option<u64>> {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).with_context(|| format!("{name}={text:?} must be a number"))
}

fn chance() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.as_secs() ^ u64::from(now.subsec_nanos())
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that was closed is no reason to leave anything behind.
    let _unread = writeln!(out, "{text}").and_then(|()| out.flush());
}

const ROUNDS: u32 = 30;
