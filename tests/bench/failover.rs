//! How long nobody leads: from the death of a leader, or from the order to end, to the first deed of the next one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use epic_scheduler::journal::codec;
use epic_scheduler::journal::ring::Append;
use epic_scheduler::zookeeper::{Session, Watch};
use epic_tests::address::Network;
use epic_tests::master::{Master, Seen, Setup};
use epic_tests::wait;
use epic_tests::zookeeper::ZooKeeper;
use nix::sys::signal::Signal;

use crate::content::{self, ROLE, Tasks};
use crate::figures::{Sorted, ms};
use crate::pair::{PATIENCE, Pair};
use crate::server;

/// Tasks in the journal.
pub(crate) const SIZES: [u32; 4] = [0, 1_000, 10_000, 100_000];
const ROUNDS: usize = 5;
/// Members that wait for an offer while there is no task.
const WAITING: u32 = 100;

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run(sizes: &[u32]) -> Result<()> {
    println!("two replicas, one ZooKeeper server, a fake master; {ROUNDS} rounds each, times in ms");
    println!("SIGKILL: from the deletion of the dead leader's election node; SIGTERM: from the signal");
    println!("{:>7} {:>8} {:>22} {:>22}", "tasks", "signal", "to SUBSCRIBE", "to the first deed");
    println!("{:>7} {:>8} {:>11} {:>10} {:>11} {:>10}", "", "", "median", "worst", "median", "worst");
    for tasks in sizes {
        let mut bench = Bench::start(*tasks).await?;
        for (signal, name) in [(Signal::SIGKILL, "SIGKILL"), (Signal::SIGTERM, "SIGTERM")] {
            let (mut subscribed, mut acted) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let gap = bench.round(signal).await?;
                subscribed.push(gap.subscribed);
                acted.push(gap.acted);
            }
            let (subscribed, acted) = (Sorted::new(subscribed), Sorted::new(acted));
            println!(
                "{tasks:>7} {name:>8} {:>11} {:>10} {:>11} {:>10}",
                ms(subscribed.median()),
                ms(subscribed.worst()),
                ms(acted.median()),
                ms(acted.worst())
            );
        }
    }
    println!(
        "deed: the first ACCEPT or ACKNOWLEDGE that was answered 202; without tasks an offer calls for it, else an update"
    );
    Ok(())
}

/// What stands while leaders come and go.
struct Bench {
    master: Master,
    session: Session,
    pair: Pair,
    tasks: u32,
    _zookeeper: ZooKeeper,
    _network: Network,
    _dir: tempfile::TempDir,
}

/// How long it took to ask for a subscription, and to do something with it.
#[derive(Clone, Copy, Debug)]
struct Gap {
    subscribed: Duration,
    acted: Duration,
}

impl Bench {
    async fn start(tasks: u32) -> Result<Self> {
        let zookeeper = server::start(1).await?;
        let place = zookeeper.url("/epic");
        let session = fill(&place, tasks).await?;
        let network = Network::take()?;
        let master = Master::start(network.free(1)?, &Setup::of(ROLE, 0))?;
        if tasks > 0 {
            master.knows((0..tasks).map(|member| (content::task(member, 1).to_string(), content::agent(member))));
        }
        let dir = tempfile::tempdir()?;
        let pair = Pair::start(dir.path(), (&place, &master.address.to_string())).await?;
        Ok(Self { master, session, pair, tasks, _zookeeper: zookeeper, _network: network, _dir: dir })
    }

    /// Ends the leader, measures, and brings it back as a standby.
    async fn round(&mut self, signal: Signal) -> Result<Gap> {
        let leader = self.pair.settled().await?;
        let before = self.quiet().await?;
        if self.tasks == 0 {
            // The next leader finds a place for one more member.
            self.master.add_agents(1);
        }
        let node = self.watch(&leader).await?;
        let signalled = Instant::now();
        self.pair.signal(&leader, signal)?;
        node.changed().await?;
        let began = if signal == Signal::SIGKILL { Instant::now() } else { signalled };
        let gap = self.until_acted(&before, began).await?;
        self.pair.restart(&leader).await?;
        Ok(gap)
    }

    async fn until_acted(&self, before: &Seen, began: Instant) -> Result<Gap> {
        let acted = wait::until("the next leader does something", PATIENCE, async || {
            let seen = self.master.seen();
            ensure!(seen.subscriptions > before.subscriptions, "nobody has subscribed: {seen:?}");
            let times = seen.subscribed.zip(seen.acted).with_context(|| format!("nothing was done: {seen:?}"))?;
            Ok((times, seen.subscriptions))
        });
        let ((subscribed, acted), subscriptions) = acted.await.with_context(|| self.pair.logs())?;
        ensure!(subscriptions == before.subscriptions + 1, "it subscribed more than once:\n{}", self.pair.logs());
        Ok(Gap { subscribed: subscribed - began, acted: acted - began })
    }

    /// Waits until no call has come for a while.
    async fn quiet(&self) -> Result<Seen> {
        let (mut last, mut since) = (0, Instant::now());
        let quiet = wait::until("no more calls come", PATIENCE, async || {
            let seen = self.master.seen();
            if seen.calls != last {
                (last, since) = (seen.calls, Instant::now());
            }
            ensure!(since.elapsed() > QUIET, "{} calls have come", seen.calls);
            Ok(seen)
        });
        quiet.await
    }

    /// Watches the leader's election node.
    async fn watch(&self, leader: &str) -> Result<Watch> {
        for name in self.session.children(ELECTION).await? {
            let path = format!("{ELECTION}/{name}");
            let about: serde_json::Value = serde_json::from_slice(&self.session.read(&path).await?.bytes)?;
            if about["advertise"] == leader {
                let (exists, watch) = self.session.exists_and_watch(&path).await?;
                ensure!(exists, "{path} is gone before anybody was ended");
                return Ok(watch);
            }
        }
        anyhow::bail!("{leader} leads and has no election node")
    }
}

/// Makes a journal with a snapshot of so many running tasks.
async fn fill(place: &str, tasks: u32) -> Result<Session> {
    let ring = server::journal(place).await?;
    let state = match tasks {
        0 => content::state(WAITING, Tasks::None),
        members => content::state(members, Tasks::Running),
    };
    let appended = ring.append(1, 1, &codec::encode_batch(0, state.index.next(), &[])).await?;
    ensure!(matches!(appended, Append::Durable(_)), "nobody else writes, but the append says {appended:?}");
    ring.snapshot(1, &codec::encode_snapshot(&state)).await?;
    Ok(ring.session().clone())
}

const ELECTION: &str = "/election";
/// Longer than anything that the scheduler puts off while nothing happens.
const QUIET: Duration = Duration::from_secs(2);
