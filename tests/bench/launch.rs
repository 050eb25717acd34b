//! Launches per second against a stand-in for a master, beside something else in the same run: a raw serial loop of the
//! same calls, or the same scheduler with its journal elsewhere.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use epic_common_io::bundle;
use epic_tests::address::Network;
use epic_tests::epic::{built, repository};
use epic_tests::process::Program;
use epic_tests::standin::{StandIn, raw_serial_loop};

use crate::figures::Sorted;
use crate::server;

/// One agent for each member: a host runs one.
const MEMBERS: u32 = 1000;
const ROUNDS: usize = 5;

/// What a scheduler is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// A scheduler with a journal on local disk, with a loop that stores nothing.
    Raw,
    /// A scheduler with its journal in ZooKeeper, with one that has it on local disk.
    Local,
}

pub(crate) async fn run(against: Against) -> Result<()> {
    match against {
        Against::Raw => beside_raw().await,
        Against::Local => beside_local().await,
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
async fn beside_local() -> Result<()> {
    println!("{MEMBERS} members on {MEMBERS} agents of a stand-in, {ROUNDS} rounds, one ZooKeeper server");
    println!("{:>5} {:>14} {:>14} {:>14} {:>7}", "round", "local s", "zookeeper s", "launches/s", "ratio");
    let zookeeper = server::start(1).await?;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let (local, _) = scheduler(None).await?;
        let place = zookeeper.url(&format!("/epic-{round}"));
        server::journal(&place).await?;
        let (seconds, calls) = scheduler(Some(&place)).await?;
        let (rate, ratio) = (f64::from(MEMBERS) / seconds, seconds / local);
        ratios.push(ratio);
        println!("{round:>5} {local:>14.3} {seconds:>14.3} {rate:>14.0} {ratio:>7.2}   ({calls} calls)");
    }
    let median = Sorted::new(ratios).median().unwrap_or(f64::NAN);
    println!("median ratio {median:.2}; from the first offer to the last acknowledgement");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
async fn beside_raw() -> Result<()> {
    println!("{MEMBERS} members on {MEMBERS} agents of a stand-in, {ROUNDS} rounds, journal on local disk");
    println!("{:>5} {:>14} {:>14} {:>14} {:>7}", "round", "raw loop s", "scheduler s", "launches/s", "ratio");
    for round in 1..=ROUNDS {
        let raw = raw().await?;
        let (seconds, calls) = scheduler(None).await?;
        let rate = f64::from(MEMBERS) / seconds;
        println!("{round:>5} {raw:>14.3} {seconds:>14.3} {rate:>14.0} {:>7.2}   ({calls} calls)", seconds / raw);
    }
    println!("raw loop: the same ACCEPTs and ACKNOWLEDGEs one after the other on one connection, nothing stored");
    println!("scheduler: from the first offer to the last acknowledgement: two durable entries for each launch");
    Ok(())
}

async fn raw() -> Result<f64> {
    let network = Network::take()?;
    let standin = StandIn::start(network.free(1)?, "BlueData", 0)?;
    let seconds = raw_serial_loop(standin.address, MEMBERS).await?;
    let seen = standin.seen();
    ensure!(seen.launches == usize::try_from(MEMBERS)?, "the loop launches as much: {seen:?}");
    standin.stop().await;
    Ok(seconds)
}

/// Returns how long it took, and how many calls; the journal is at `zk`, or on local disk.
async fn scheduler(zk: Option<&str>) -> Result<(f64, usize)> {
    let network = Network::take()?;
    let dir = tempfile::tempdir()?;
    let bin = dir.path().join("quiet.bin");
    bundle::build(&repository("tests/fixtures/quiet-platform"), &bin)?;
    let platform = dir.path().join("platform.yaml");
    let workers = MEMBERS - 1;
    let bundle = format!("bundle: {{uri: 'file://{}'}}", bin.display());
    let document =
        format!("kind: Platform\nlabel: {{name: bench}}\nspec:\n  {bundle}\n  workers: {{count: {workers}}}\n");
    std::fs::write(&platform, document)?;
    let standin = StandIn::start(network.free(1)?, "BlueData", MEMBERS)?;
    let args = [
        ("--master", standin.address.to_string()),
        ("--state-dir", dir.path().join("state").display().to_string()),
        ("--listen", network.free(2)?.to_string()),
        ("--platform", platform.display().to_string()),
    ];
    let program = Program::new(built("epic-scheduler")?, dir.path().join("log"));
    let program = program.args(args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
    let mut process = match zk {
        None => program.start()?,
        Some(zk) => program.args(["--zk", zk, "--token-file", &token(dir.path())?]).start()?,
    };
    let members = usize::try_from(MEMBERS)?;
    let began = Instant::now();
    while standin.seen().acknowledgements < members {
        if let Some(status) = process.exited()? {
            bail!("the scheduler ended: {status}\n{}", process.log_tail(20));
        }
        ensure!(began.elapsed() < Duration::from_secs(120), "{:?}\n{}", standin.seen(), process.log_tail(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = standin.seen();
    process.kill();
    standin.stop().await;
    ensure!(seen.launches == members, "each member is launched once: {seen:?}");
    let (Some(first), Some(last)) = (seen.offered, seen.acknowledged) else { bail!("nothing was seen: {seen:?}") };
    Ok(((last - first).as_secs_f64(), seen.calls))
}

/// Makes the token's file that `--zk` asks for.
pub(crate) fn token(dir: &Path) -> Result<String> {
    let path = dir.join("token");
    std::fs::write(&path, "the-token-of-all-replicas")?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(path.display().to_string())
}
