//! What a million entries leave in ZooKeeper, and what a task costs there.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use epic_scheduler::journal::codec;
use epic_scheduler::journal::ring::{Append, Ring};
use epic_scheduler::zookeeper::Session;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::Entry;

use crate::content::{self, Life, Tasks};
use crate::server;

const MEMBERS: u32 = 1_000;
const ENTRIES: u64 = 1_000_000;
const BATCH: usize = 100;
/// When it is counted, in entries.
const MARKS: [u64; 8] = [10_000, 100_000, 200_000, 300_000, 400_000, 600_000, 800_000, ENTRIES];

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run() -> Result<()> {
    let zookeeper = server::start(1).await?;
    let ring = server::journal(&zookeeper.url("/epic")).await?;
    println!("{MEMBERS} members that end and start again; batches of {BATCH} entries; one ZooKeeper server");
    println!("{:>9} {:>8} {:>9} {:>8} {:>9} {:>10}", "entries", "batches", "snapshots", "nodes", "bytes", "entries/s");
    let mut state = State::default();
    let mut life = Life::of(MEMBERS);
    let (mut snapshots, mut writing) = (0, 0.0);
    while state.index.0 < ENTRIES {
        let entries: Vec<Entry> = life.by_ref().take(BATCH).collect();
        let began = Instant::now();
        snapshots += u32::from(write(&ring, &mut state, &entries).await?);
        writing += began.elapsed().as_secs_f64();
        if MARKS.contains(&state.index.0) {
            let (nodes, bytes) = size(ring.session()).await?;
            let entries = u32::try_from(state.index.0)?;
            let (batches, rate) = (ring.position(), f64::from(entries) / writing);
            println!("{entries:>9} {batches:>8} {snapshots:>9} {nodes:>8} {bytes:>9} {rate:>10.0}");
        }
    }
    check(&ring, &state).await?;
    println!("the ring has 1,024 slots: until all are written once, at 102,400 entries, bytes grow with it");
    per_task();
    Ok(())
}

/// Appends a batch as the leader does; tells whether a snapshot was made after it.
async fn write(ring: &Ring, state: &mut State, entries: &[Entry]) -> Result<bool> {
    let bytes = codec::encode_batch(0, state.index.next(), entries);
    let appended = ring.append(ring.position() + 1, 1, &bytes).await?;
    ensure!(matches!(appended, Append::Durable(_)), "nobody else writes, but the append says {appended:?}");
    for entry in entries {
        state.apply(entry);
    }
    let due = ring.should_snapshot();
    if due {
        ring.snapshot(ring.position(), &codec::encode_snapshot(state)).await?;
    }
    Ok(due)
}

/// Reads it all back.
async fn check(ring: &Ring, state: &State) -> Result<()> {
    let recovered = ring.recover().await?;
    let snapshot = recovered.snapshot.context("a snapshot stands")?;
    let mut read = codec::decode_snapshot(&snapshot.bytes)?;
    for (batch, bytes) in &recovered.batches {
        let (first, entries) = codec::decode_batch(bytes)?;
        ensure!(first == read.index.next(), "batch {batch} begins with entry {}", first.0);
        for entry in &entries {
            read.apply(entry);
        }
    }
    ensure!(read == *state, "what is read differs from what was written");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn per_task() {
    println!("{:>9} {:>14} {:>14}", "tasks", "snapshot bytes", "bytes per task");
    for tasks in [1_000, 10_000, 100_000] {
        let bytes = codec::encode_snapshot(&content::state(tasks, Tasks::Running)).len();
        println!("{tasks:>9} {bytes:>14} {:>14}", bytes / usize::try_from(tasks).unwrap_or(usize::MAX));
    }
}

/// Counts nodes and bytes of all below the path.
async fn size(session: &Session) -> Result<(u64, u64)> {
    let mut paths = vec!["/".to_owned()];
    let (mut nodes, mut bytes) = (0, 0);
    while let Some(path) = paths.pop() {
        nodes += 1;
        bytes += u64::try_from(session.read(&path).await?.bytes.len())?;
        let parent = path.trim_end_matches('/');
        paths.extend(session.children(&path).await?.iter().map(|name| format!("{parent}/{name}")));
        if nodes > 10_000 {
            bail!("there are nodes without end");
        }
    }
    Ok((nodes, bytes))
}
