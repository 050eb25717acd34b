//! What launching costs: the scheduler against a fake master, beside a raw loop of the same calls in the same run.

#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "figures for people")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use epic_common_io::bundle;
use epic_tests::address::Network;
use epic_tests::epic::{built, repository};
use epic_tests::master::{Master, Seen, Setup};
use epic_tests::process::{Process, Program};
use epic_tests::zookeeper::ZooKeeper;

use crate::content::ROLE;
use crate::figures::{Sorted, cpu_seconds};
use crate::{raw, server};

/// How many agents there are, and as many members: a host runs one.
pub(crate) const SIZES: [usize; 3] = [1_000, 5_000, 10_000];
const ROUNDS: usize = 3;
/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    /// On local disk.
    Local,
    /// In one ZooKeeper server, on the same cores.
    ZooKeeper,
}

/// What one run of the scheduler took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// From SUBSCRIBE to the last ACKNOWLEDGE.
    seconds: f64,
    /// Of the process, from its start.
    cpu: f64,
    /// Of the process, from SUBSCRIBE on.
    cpu_at_work: f64,
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run(journal: Journal, sizes: &[usize]) -> Result<()> {
    println!("one member on each agent of a fake master, {ROUNDS} rounds, journal: {journal:?}");
    println!("loop: the same calls one after the other on one connection, nothing stored");
    println!("times from SUBSCRIBE to the last ACKNOWLEDGE; CPU is user and system time of the scheduler's process");
    println!(
        "{:>7} {:>9} {:>12} {:>7} {:>10} {:>15}",
        "agents", "loop s", "scheduler s", "ratio", "CPU s", "CPU ms/member"
    );
    let zookeeper = match journal {
        Journal::Local => None,
        Journal::ZooKeeper => Some(server::start(1).await?),
    };
    let mut places = 0;
    for &agents in sizes {
        let (mut ratios, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let looped = looped(agents)?;
            places += 1;
            let cost = scheduler(agents, place(zookeeper.as_ref(), places).await?.as_deref()).await?;
            let (ratio, each) = (cost.seconds / looped, 1000.0 * cost.cpu_at_work / agents as f64);
            ratios.push(ratio);
            costs.push(each);
            println!("{agents:>7} {looped:>9.3} {:>12.3} {ratio:>7.2} {:>10.2} {each:>15.3}", cost.seconds, cost.cpu);
        }
        let (ratio, each) = (Sorted::new(ratios).median(), Sorted::new(costs).median());
        println!(
            "{agents:>7} {:>9} {:>12} {:>7.2} {:>10} {:>15.3}   (medians)",
            "",
            "",
            ratio.unwrap_or(f64::NAN),
            "",
            each.unwrap_or(f64::NAN)
        );
    }
    Ok(())
}

/// Makes a journal in ZooKeeper, if there is one.
async fn place(zookeeper: Option<&ZooKeeper>, number: usize) -> Result<Option<String>> {
    let Some(zookeeper) = zookeeper else { return Ok(None) };
    let place = zookeeper.url(&format!("/epic-{number}"));
    server::journal(&place).await?;
    Ok(Some(place))
}

fn looped(agents: usize) -> Result<f64> {
    let network = Network::take()?;
    let master = Master::start(network.free(1)?, &Setup::of(ROLE, u32::try_from(agents)?))?;
    let took = raw::run(master.address, agents)?;
    let seen = master.seen();
    ensure!((seen.launches, seen.up) == (agents, agents), "the loop launches as much: {seen:?}");
    Ok(took.as_secs_f64())
}

async fn scheduler(agents: usize, zk: Option<&str>) -> Result<Cost> {
    let network = Network::take()?;
    let dir = tempfile::tempdir()?;
    let master = Master::start(network.free(1)?, &Setup::of(ROLE, u32::try_from(agents)?))?;
    let mut program = program(dir.path(), &network, (&master, agents - 1))?;
    if let Some(zk) = zk {
        program = program.args(["--zk", zk, "--token-file", &token(dir.path())?]);
    }
    let mut process = program.start()?;
    until(&master, &mut process, |seen| seen.began.is_some()).await?;
    let before = cpu_seconds(process.pid())?;
    let seen = until(&master, &mut process, |seen| seen.acknowledgements >= agents).await?;
    let cpu = cpu_seconds(process.pid())?;
    process.kill();
    ensure!(seen.launches == agents, "each member is launched once: {seen:?}");
    let (began, last) = seen.began.zip(seen.acknowledged).context("nothing was seen")?;
    Ok(Cost { seconds: (last - began).as_secs_f64(), cpu, cpu_at_work: cpu - before })
}

/// Waits until the master has seen what is wanted.
pub(crate) async fn until(master: &Master, process: &mut Process, wanted: impl Fn(&Seen) -> bool) -> Result<Seen> {
    let began = Instant::now();
    loop {
        let seen = master.seen();
        if wanted(&seen) {
            return Ok(seen);
        }
        if let Some(status) = process.exited()? {
            bail!("the scheduler ended: {status}\n{}", process.log_tail(20));
        }
        ensure!(began.elapsed() < PATIENCE, "{seen:?}\n{}", process.log_tail(20));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Describes a scheduler of a platform with so many workers, on this master.
pub(crate) fn program(dir: &Path, network: &Network, (master, workers): (&Master, usize)) -> Result<Program> {
    let args = [
        ("--master", master.address.to_string()),
        ("--state-dir", dir.join("state").display().to_string()),
        ("--listen", network.free(2)?.to_string()),
        ("--platform", platform(dir, workers)?),
    ];
    let program = Program::new(built("epic-scheduler")?, dir.join("log"));
    Ok(program.args(args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value])))
}

/// Makes the document of a platform of a controller and so many workers that do nothing; returns its path.
fn platform(dir: &Path, workers: usize) -> Result<String> {
    let (bin, platform) = (dir.join("quiet.bin"), dir.join("platform.yaml"));
    bundle::build(&repository("tests/fixtures/quiet-platform"), &bin)?;
    let bundle = format!("bundle: {{uri: 'file://{}'}}", bin.display());
    let document =
        format!("kind: Platform\nlabel: {{name: bench}}\nspec:\n  {bundle}\n  workers: {{count: {workers}}}\n");
    std::fs::write(&platform, document)?;
    Ok(platform.display().to_string())
}

/// Makes the token's file that `--zk` asks for.
pub(crate) fn token(dir: &Path) -> Result<String> {
    let path = dir.join("token");
    std::fs::write(&path, "the-token-of-all-replicas")?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(path.display().to_string())
}
