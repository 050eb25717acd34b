//! Rounds of misfortune on three replicas, three ZooKeeper servers and three Mesos masters, each checked to its end.

mod check;
mod dice;
mod fault;
mod people;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use epic_scheduler::journal::ring;
use epic_scheduler::mesos::masters::Masters;
use epic_scheduler::zookeeper::{Connect, Session};

use crate::cluster::{Cluster, Part};
use crate::epic::document;
use crate::process::tail;
use crate::relay::Relays;
use crate::replicas::{Crew, Replicas};
use crate::spec::ClusterSpec;
use crate::zookeeper::{Pace, ZooKeeper};

use check::Checker;
use dice::Dice;
use fault::Fault;
use people::People;
use watch::Watch;

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many rounds, one misfortune in each.
    pub rounds: u32,
    /// Decides who suffers what, when and for how long, and what people ask for; not how fast processes are.
    pub seed: u64,
    /// The replicas' client for ZooKeeper, as in `--zk-client`; nothing leaves it to them.
    pub client: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Figures {
    plan: Plan,
    /// How often another replica took over.
    failovers: u64,
    entries: u64,
    batches: u64,
    launches: usize,
    /// Changes that people were told are granted, and those of which they were told nothing.
    told: (usize, u32),
    /// How long nobody led, at each failover, in order of length.
    without_leader: Vec<Duration>,
    took: Duration,
}

/// All that misfortune may strike.
#[derive(Debug)]
struct Stage {
    replicas: Replicas,
    /// Each master's way to ZooKeeper.
    masters: Vec<Relays>,
}

impl Stage {
    async fn set(plan: &Plan) -> Result<Self> {
        let zookeeper = ZooKeeper::ensemble(SERVERS, Pace { tick: TICK, session_max: SESSION }).await?;
        small_journal(&zookeeper.url("/epic")).await?;
        let masters = (0..SERVERS).map(|index| Relays::before(&zookeeper, 80 + index)).collect::<Result<Vec<_>>>()?;
        let mut spec = ClusterSpec::agents_of(4);
        spec.masters = SERVERS;
        spec.zookeeper = Some(zookeeper.url("/mesos"));
        spec.master_zookeepers = masters.iter().map(|relays| relays.url("/mesos")).collect();
        let cluster = Cluster::start(spec).await?;
        let client = plan.client.iter().flat_map(|client| ["--zk-client".to_owned(), client.clone()]);
        let crew = Crew { session: SESSION, args: client.collect(), ..Crew::of(SERVERS, 2) };
        Ok(Self { replicas: Replicas::start_on(cluster, zookeeper, &crew).await?, masters })
    }

    fn relays(&self) -> impl Iterator<Item = &Relays> {
        (0..usize::from(SERVERS)).map(|index| self.replicas.relays(index)).chain(&self.masters)
    }

    /// Removes the first candidate in the line of those who would lead, and leaves its session alone.
    async fn rob(&self) -> Result<()> {
        let session = session(&self.replicas.zk()).await?;
        let mut candidates = session.children("/election").await?;
        candidates.sort();
        if let Some(first) = candidates.first() {
            session.delete(&format!("/election/{first}")).await?;
        }
        session.close(SESSION).await;
        Ok(())
    }

    fn people(&self) -> Result<People> {
        let urls = (0..usize::from(SERVERS)).map(|index| self.replicas.url(index).to_owned()).collect();
        let write = |workers| -> Result<PathBuf> {
            // Replicas that are starting read the platform's own file, so that is left alone.
            let path = self.replicas.platform_file().with_file_name(format!("workers-{workers}.yaml"));
            std::fs::write(&path, document(self.replicas.bin(), workers))?;
            Ok(path)
        };
        let documents = (0..=WORKERS_MAX).map(write).collect::<Result<_>>()?;
        Ok(People::new(urls, self.replicas.token_file(), documents))
    }

    fn watch(&self) -> Watch {
        let urls = (0..usize::from(SERVERS)).map(|index| self.replicas.url(index).to_owned()).collect();
        let masters = (0..usize::from(SERVERS)).map(|index| self.replicas.cluster.addr(Part::Master(index))).collect();
        Watch::start(urls, masters)
    }

    fn log_tails(&self) -> String {
        let replicas = (0..usize::from(SERVERS)).map(|index| tail(self.replicas.log_file(index), 40));
        let replicas: Vec<_> = replicas.collect();
        [replicas.join("\n"), self.replicas.cluster.log_tails(), self.replicas.zookeeper.log_tails()].join("\n")
    }
}

/// Plays all rounds, and says of each what was done; stops at the first that isn't as it should be.
///
/// # Errors
/// What can't be, with the seed, the round and the logs' ends; or something can't be started.
pub async fn play(plan: Plan, mut say: impl FnMut(&str)) -> Result<Figures> {
    let started = Instant::now();
    let mut stage = Stage::set(&plan).await?;
    let mut checker = Checker::start(&stage)?;
    let mut people = stage.people()?;
    let watch = stage.watch();
    if let Err(error) = checker.settled(&mut stage).await {
        bail!("SEED={} before the first round: {error:#}\n{}", plan.seed, stage.log_tails());
    }
    say(&format!("three of each are up after {:.1?}", started.elapsed()));
    for round in 1..=plan.rounds {
        let mut done = String::new();
        let outcome = async {
            let mut dice = Dice::new(plan.seed, round, 0);
            let fault = Fault::choose(&mut dice, SESSION);
            let mut whims = Dice::new(plan.seed, round, 1);
            let (struck, changed) = tokio::join!(fault.strike(&mut stage), people.change(&mut whims));
            done = struck?;
            changed?;
            people.settle(&mut whims).await?;
            checker.settled(&mut stage).await?;
            checker.told(people.told())?;
            watch.check()
        };
        if let Err(error) = outcome.await {
            let Plan { seed, rounds, .. } = plan;
            bail!("SEED={seed} round {round} of {rounds}: {done}: {error:#}\n{}", stage.log_tails());
        }
        say(&format!("round {round} {done}; {}", checker.sum()));
    }
    let history = checker.history();
    Ok(Figures {
        plan,
        failovers: history.state().epoch().saturating_sub(1),
        entries: history.state().index.0,
        batches: history.batch(),
        launches: history.launches(),
        told: (people.told().len(), people.untold),
        without_leader: watch.without_leader(),
        took: started.elapsed(),
    })
}

/// Makes a journal so small that replicas take snapshots and write over old batches.
async fn small_journal(url: &str) -> Result<()> {
    let session = session(url).await?;
    ring::init_with(&session, SLOTS).await.context("cannot make the journal")?;
    session.close(SESSION).await;
    Ok(())
}

async fn session(url: &str) -> Result<Session> {
    let Masters::ZooKeeper(path) = Masters::parse(url)? else { bail!("{url} is no place in ZooKeeper") };
    Ok(Session::connect(&Connect::new(path, SESSION), Duration::from_secs(10)).await?)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, without_leader: without, .. } = self;
        let client = plan.client.as_deref().unwrap_or("the default client");
        writeln!(f, "SEED={}: {} rounds with {client} in {:.0?}", plan.seed, plan.rounds, self.took)?;
        writeln!(f, "  {} failovers; {} entries in {} batches", self.failovers, self.entries, self.batches)?;
        let (told, untold) = self.told;
        writeln!(f, "  {} launches; {told} changes granted, {untold} refused or not answered in time", self.launches)?;
        let (middle, longest) = (without.get(without.len() / 2), without.last());
        if let (Some(middle), Some(longest)) = (middle, longest) {
            write!(f, "  time without leader: p50 {middle:.1?}, max {longest:.1?}, at {} failovers", without.len())
        } else {
            write!(f, "  at no time was there no leader")
        }
    }
}

/// Of each kind of process.
const SERVERS: u8 = 3;
const TICK: Duration = Duration::from_millis(200);
/// ZooKeeper keeps no session longer; it is the shortest that a replica takes.
const SESSION: Duration = Duration::from_secs(4);
const SLOTS: u32 = 128;
/// With the controller, one for each agent.
const WORKERS_MAX: u32 = 3;
