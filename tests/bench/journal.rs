//! Commits to the ring beside a bare ZooKeeper client that writes as many bytes to as many nodes, in one run.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use epic_scheduler::journal::codec;
use epic_scheduler::journal::ring::{Append, Ring, SLOTS};
use epic_scheduler_core::policy::BATCH_WEIGHT_MAX;
use epic_scheduler_core::state::entry::{Entry, Index};
use zookeeper_client::{Acls, Client, CreateMode};

use crate::content::Life;
use crate::figures::{Sorted, ms};
use crate::server;

/// Entries that wait for the journal at once.
const IN_FLIGHT: [usize; 4] = [1, 10, 100, 1_000];
const ROUNDS: usize = 11;
/// Batches of one side in one round, at least.
const BATCHES: usize = 100;

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run() -> Result<()> {
    println!("Ring::append beside set_data of as many bytes, {ROUNDS} rounds that alternate; times in ms");
    println!(
        "{:>7} {:>6} {:>7} {:>6} {:>9} {:>9} {:>6} {:>7} {:>7} {:>7} {:>7}",
        "servers", "flight", "batches", "bytes", "ring e/s", "bare e/s", "ratio", "p50", "p99", "bare50", "bare99"
    );
    for servers in [1, 3] {
        let zookeeper = server::start(servers).await?;
        let mut sides = Sides {
            ring: server::journal(&zookeeper.url("/epic")).await?,
            bare: Bare::make(&zookeeper.addrs()).await?,
        };
        for in_flight in IN_FLIGHT {
            let flight = flight(in_flight);
            let measured = sides.measure(&flight).await?;
            println!("{servers:>7} {}", measured.line(in_flight, &flight));
        }
    }
    println!("ratio: the ring's entries/s to the bare client's, the median of the rounds");
    println!("entries beyond what one batch may weigh ({BATCH_WEIGHT_MAX} bytes) make further batches");
    Ok(())
}

/// Encodes so many entries as the leader does: as few batches as their weight allows.
fn flight(entries: usize) -> Vec<Vec<u8>> {
    // Launches and their states, as most entries are.
    let mut entries = Life::of(1_000).skip(2).take(entries).peekable();
    let mut batches = Vec::new();
    while entries.peek().is_some() {
        let (mut batch, mut weight): (Vec<Entry>, usize) = (Vec::new(), 0);
        while let Some(entry) = entries.next_if(|_| weight < BATCH_WEIGHT_MAX) {
            weight += entry.fact.weight();
            batch.push(entry);
        }
        batches.push(codec::encode_batch(0, Index(1), &batch));
    }
    batches
}

/// What is compared.
struct Sides {
    ring: Ring,
    bare: Bare,
}

/// What one side took in one round: of all, and of each batch.
type Took = (f64, Vec<Duration>);

#[derive(Default)]
struct Measured {
    ring: Vec<Took>,
    bare: Vec<Took>,
}

impl Sides {
    async fn measure(&mut self, flight: &[Vec<u8>]) -> Result<Measured> {
        let flights = BATCHES.div_ceil(flight.len());
        let mut measured = Measured::default();
        // The first round warms up both.
        for round in 0..=ROUNDS {
            let (ring, bare);
            if round % 2 == 0 {
                ring = self.append(flights, flight).await?;
                bare = self.bare.write(flights, flight).await?;
            } else {
                bare = self.bare.write(flights, flight).await?;
                ring = self.append(flights, flight).await?;
            }
            if round > 0 {
                measured.ring.push(ring);
                measured.bare.push(bare);
            }
        }
        Ok(measured)
    }

    async fn append(&self, flights: usize, flight: &[Vec<u8>]) -> Result<Took> {
        let mut each = Vec::new();
        for bytes in (0..flights).flat_map(|_| flight) {
            let began = Instant::now();
            let appended = self.ring.append(self.ring.position() + 1, 1, bytes).await?;
            each.push(began.elapsed());
            ensure!(matches!(appended, Append::Durable(_)), "nobody else writes, but the append says {appended:?}");
        }
        if self.ring.should_snapshot() {
            // In the product it runs beside appends; here it is left out.
            self.ring.snapshot(self.ring.position(), b"nothing").await?;
        }
        Ok((seconds(&each), each))
    }
}

/// A client that writes one node after the other, as often as there are nodes, over the version that it knows.
struct Bare {
    client: Client,
    written: u32,
}

impl Bare {
    async fn make(servers: &[SocketAddr]) -> Result<Self> {
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        let client = Client::connector().with_session_timeout(TIMEOUT).connect(&servers.join(",")).await?;
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        client.create("/bare", b"", &options).await?;
        for slot in 0..SLOTS {
            client.create(&format!("/bare/{slot}"), b"", &options).await?;
        }
        Ok(Self { client, written: 0 })
    }

    async fn write(&mut self, flights: usize, flight: &[Vec<u8>]) -> Result<Took> {
        let records: Vec<Vec<u8>> = flight.iter().map(|bytes| [&[0; RECORD_BYTES], &bytes[..]].concat()).collect();
        let mut each = Vec::new();
        for bytes in (0..flights).flat_map(|_| &records) {
            let (slot, version) = (self.written % SLOTS, i32::try_from(self.written / SLOTS)?);
            let began = Instant::now();
            self.client.set_data(&format!("/bare/{slot}"), bytes, Some(version)).await.context("cannot write")?;
            each.push(began.elapsed());
            self.written += 1;
        }
        Ok((seconds(&each), each))
    }
}

impl Measured {
    fn line(&self, in_flight: usize, flight: &[Vec<u8>]) -> String {
        let ratios = self.bare.iter().zip(&self.ring).map(|((bare, _), (ring, _))| bare / ring).collect();
        let ratio = Sorted::new(ratios).median().unwrap_or(f64::NAN);
        let largest = flight.iter().map(Vec::len).max().unwrap_or(0);
        let (ring, bare) = (each(&self.ring), each(&self.bare));
        let rate = |sides: &[Took]| rate(sides, in_flight, flight.len());
        format!(
            "{in_flight:>6} {:>7} {largest:>6} {:>9.0} {:>9.0} {ratio:>6.2} {:>7} {:>7} {:>7} {:>7}",
            flight.len(),
            rate(&self.ring),
            rate(&self.bare),
            ms(ring.median()),
            ms(ring.percentile(99)),
            ms(bare.median()),
            ms(bare.percentile(99)),
        )
    }
}

/// Returns entries per second of the median round.
fn rate(rounds: &[Took], in_flight: usize, batches: usize) -> f64 {
    let rates = rounds.iter().map(|(seconds, each)| {
        let entries = u32::try_from(each.len() / batches * in_flight).unwrap_or(u32::MAX);
        f64::from(entries) / seconds
    });
    Sorted::new(rates.collect()).median().unwrap_or(f64::NAN)
}

fn each(rounds: &[Took]) -> Sorted<Duration> {
    Sorted::new(rounds.iter().flat_map(|(_, each)| each).copied().collect())
}

fn seconds(each: &[Duration]) -> f64 {
    each.iter().sum::<Duration>().as_secs_f64()
}

/// What the ring adds to a batch: which one it is, whose, and a checksum.
const RECORD_BYTES: usize = 44;
const TIMEOUT: Duration = Duration::from_secs(30);
