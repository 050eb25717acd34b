//! The two clients of ZooKeeper side by side: appends to the journal, and what the death of the server costs.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use epic_scheduler::journal::ring::{self, Append, Ring};
use epic_scheduler::mesos::masters::Masters;
use epic_scheduler::zookeeper::{Client, Connect, Kind, Session};
use epic_tests::wait;
use epic_tests::zookeeper::ZooKeeper;

const CLIENTS: [Client; 2] = [Client::ZooKeeperClient, Client::ZooKeeperAsync];
const ROUNDS: usize = 3;
const WARM_UP: usize = 200;
/// Bytes of a batch, and how many are measured.
const SIZES: [(usize, usize); 2] = [(256, 1_000), (64 << 10, 400)];
/// What `--zk-session-timeout` is by default.
const SESSION: Duration = Duration::from_secs(10);
const BOUND: Duration = Duration::from_secs(60);

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run() -> Result<()> {
    println!("appends to the journal, one after the other, on one server; {ROUNDS} rounds, the clients in turn");
    println!("{:>5} {:>17} {:>8} {:>10} {:>8} {:>8}", "round", "client", "bytes", "appends/s", "p50 ms", "p99 ms");
    for round in 1..=ROUNDS {
        for client in CLIENTS {
            let zookeeper = ZooKeeper::start().await?;
            let ring = ring(&connect(&zookeeper, client)?).await?;
            let mut batch = 0;
            for (bytes, count) in SIZES {
                append(&ring, &mut batch, bytes, WARM_UP).await?;
                let mut took = append(&ring, &mut batch, bytes, count).await?;
                let rate = f64::from(u32::try_from(count)?) / took.iter().sum::<Duration>().as_secs_f64();
                took.sort_unstable();
                let (p50, p99) = (millis(took[count / 2]), millis(took[count * 99 / 100]));
                let client = client.to_string();
                println!("{round:>5} {client:>17} {bytes:>8} {rate:>10.0} {p50:>8.2} {p99:>8.2}");
            }
        }
    }
    println!(
        "\nthe server is killed and started again; seconds since SIGKILL; session time-out {} s",
        SESSION.as_secs()
    );
    println!("{:>5} {:>17} {:>10} {:>11} {:>15}", "round", "client", "it serves", "an append", "leads for sure");
    for round in 1..=ROUNDS {
        for client in CLIENTS {
            let [serves, appended, leads] = outlive(client).await?.map(|took| took.as_secs_f64());
            let client = client.to_string();
            println!("{round:>5} {client:>17} {serves:>10.2} {appended:>11.2} {leads:>15.2}");
        }
    }
    println!("an append: the first one that is durable, over the old session or a new one");
    println!("leads for sure: also, no election node of an older session stands before its own");
    Ok(())
}

/// Appends so many batches; returns how long each took.
async fn append(ring: &Ring, batch: &mut u64, bytes: usize, count: usize) -> Result<Vec<Duration>> {
    let payload = vec![7; bytes];
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        if ring.should_snapshot() {
            ring.snapshot(*batch, b"nothing").await?;
        }
        *batch += 1;
        let began = Instant::now();
        let appended = ring.append(*batch, 1, &payload).await?;
        took.push(began.elapsed());
        ensure!(matches!(appended, Append::Durable(_)), "nobody else writes");
    }
    Ok(took)
}

/// Kills the server and starts it again; returns how long it took until it served, a batch was durable, and this
/// client stood first in the election.
async fn outlive(client: Client) -> Result<[Duration; 3]> {
    let mut zookeeper = ZooKeeper::start().await?;
    let connect = connect(&zookeeper, client)?;
    let mut ring = ring(&connect).await?;
    ring.session().create("/election/candidate-", b"", Kind::Numbered).await?;
    append(&ring, &mut 0, 256, 1).await?;
    zookeeper.kill();
    let killed = Instant::now();
    let server = async {
        zookeeper.restart().await?;
        anyhow::Ok(killed.elapsed())
    };
    let writer = async {
        let appended = ring.append(2, 1, b"after").await;
        match appended {
            Ok(Append::Durable(_)) => {}
            Ok(Append::Deposed) => bail!("nobody else writes"),
            Err(error) => {
                ensure!(error.is_expired(), "{error}");
                let again = async || {
                    let ring = Ring::open(Session::connect(&connect, SESSION).await?).await?;
                    ring.recover().await?;
                    Ok(ring)
                };
                ring = wait::until("a new session", BOUND, again).await?;
                ring.session().create("/election/candidate-", b"", Kind::Numbered).await?;
                let next = ring.position() + 1;
                ring.append(next, 2, b"after").await?;
            }
        }
        let appended = killed.elapsed();
        let alone = async || {
            let names = ring.session().children("/election").await?;
            ensure!(names.len() == 1, "{} stand", names.len());
            Ok(())
        };
        wait::until("it stands alone", BOUND, alone).await?;
        Ok((appended, killed.elapsed()))
    };
    let (serves, led) = tokio::join!(server, writer);
    let (appended, leads) = led?;
    Ok([serves?, appended, leads])
}

async fn ring(connect: &Connect) -> Result<Ring> {
    let session = Session::connect(connect, BOUND).await?;
    ring::init(&session).await?;
    Ok(Ring::open(session).await?)
}

fn connect(zookeeper: &ZooKeeper, client: Client) -> Result<Connect> {
    let url = zookeeper.url("/epic");
    let Masters::ZooKeeper(path) = Masters::parse(&url).context("the server tells where it is")? else {
        bail!("{url} is no place in ZooKeeper")
    };
    Ok(Connect { client, ..Connect::new(path, SESSION) })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
