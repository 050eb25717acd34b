//! How everything is counted that the table lists.

mod ages;
mod disk;
mod kind;
mod offers;
#[cfg(test)]
mod page;
mod platform;
pub mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Call, Meaning, TaskState};
use epic_scheduler_core::session::CallAnswer;
use epic_scheduler_core::state::entry::{Entry, Fact};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_process::Collector;

pub use ages::Append;
pub use disk::watch as watch_state_dir;
pub use kind::{Counter, Gauge, Histogram, Kind, Row};
pub use offers::Held;

use self::table::{
    ARTIFACTS_MISSING, BATCH_ENTRIES, BATCHES, BOUNDS, BUILD, CALLS, CALLS_WAITING, CAUGHT_UP, CERTIFICATE_EXPIRES,
    CERTIFICATE_STALE, CLAIMS, COMMIT_SECONDS, CONNECTED, DECLINED, DISCONNECTIONS, ENDED, ENTRIES, EPOCH,
    EVENTS_PASSED_OVER, INDEX, LEADER, OFFERS, REQUESTS, SESSIONS_LOST, SNAPSHOT_BYTES, SNAPSHOTS, STORE_BYTES,
    STORE_LAG, STORE_SICK, SUBSCRIPTIONS, UPDATES,
};
use crate::replica::{Mode, Replica};
use crate::store::{Condition, Health};
use crate::view::Published;

/// Shows all counts.
#[derive(Clone, Debug)]
pub struct Counts {
    handle: PrometheusHandle,
    /// All roles that were ever shown; as many as the platform's bundles had.
    roles: Arc<Mutex<BTreeSet<String>>>,
}

/// Why nothing can be counted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bounds of a histogram are wrong.
    #[error("cannot set the bounds of {name}")]
    Bounds {
        /// Which.
        name: &'static str,
        /// What is wrong with them.
        source: metrics_exporter_prometheus::BuildError,
    },
    /// Something else counts in this process already.
    #[error("cannot count: another recorder is in use")]
    Taken,
}

/// Begins to count, once for the process, and returns what shows the counts; later calls return the same.
///
/// # Errors
///
/// Another library of the process counts already.
pub fn install() -> Result<Counts, Error> {
    static COUNTS: Mutex<Option<Counts>> = Mutex::new(None);
    // Held to the end: whoever calls meanwhile waits for these counts.
    let mut installed = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(counts) = &*installed {
        return Ok(counts.clone());
    }
    let recorder = recorder()?;
    let counts = Counts { handle: recorder.handle(), roles: Arc::default() };
    metrics::set_global_recorder(recorder).map_err(|_| Error::Taken)?;
    describe();
    Ok(installed.insert(counts).clone())
}

fn recorder() -> Result<PrometheusRecorder, Error> {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in BOUNDS {
        let bounded = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds);
        builder = bounded.map_err(|source| Error::Bounds { name, source })?;
    }
    Ok(builder.build_recorder())
}

fn describe() {
    Collector::default().describe();
    metrics::with_recorder(|recorder| table::ALL.iter().for_each(|row| row.describe(recorder)));
    BUILD.set([env!("CARGO_PKG_VERSION")], 1.0);
}

impl Counts {
    /// Shows all counts in Prometheus' text format, those of the platform and of the process as they are now.
    #[must_use]
    pub fn render(&self, published: &Published, replica: &Replica, now: Timestamp) -> String {
        let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        platform::show(published, replica.mode.decides(), now, &mut roles);
        drop(roles);
        // Without ZooKeeper nobody but the director knows it.
        if replica.mode == Mode::Alone {
            indexed(published.state.index.0);
        }
        ages::show();
        Collector::default().collect();
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Bounds the memory of counts that nobody scrapes; runs until it is dropped, so it is spawned.
    pub async fn keep_small(self) {
        let mut ticks = tokio::time::interval(UPKEEP_EVERY);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}

/// A batch of this replica is durable; `took` is the time of its append.
pub fn committed(entries: &[Entry], took: Duration) {
    ENTRIES.add([], wide(entries.len()));
    BATCHES.add([], 1);
    BATCH_ENTRIES.record([], number(wide(entries.len())));
    COMMIT_SECONDS.record([], took.as_secs_f64());
    entries.iter().for_each(ended);
}

/// Counts the end of an attempt, if the entry is one.
fn ended(entry: &Entry) {
    let Fact::StatusRecorded(status) = &entry.fact else { return };
    if status.state.meaning() != Meaning::Ended {
        return;
    }
    let role = status.task.unit.role.as_str();
    let reason = if status.reason.is_empty() { "none" } else { &status.reason };
    ENDED.add([role, &status.state.to_string(), reason], 1);
}

/// What this replica is to the others has changed.
pub fn replica(replica: &Replica) {
    LEADER.set([], flag(replica.mode.decides()));
    CAUGHT_UP.set([], flag(replica.caught_up));
    EPOCH.set([], number(replica.epoch));
    ages::caught_up(replica.caught_up);
    indexed(replica.index);
}

/// The state is the sum of all entries up to this one.
pub fn indexed(index: u64) {
    INDEX.set([], number(index));
}

/// The replica has applied this batch, and its copy on disk is so.
pub fn stored(position: u64, health: &Health) {
    STORE_LAG.set([], number(position.saturating_sub(health.batch)));
    STORE_SICK.set([], flag(matches!(health.condition, Condition::Sick(_))));
    STORE_BYTES.set([], number(health.disk_bytes));
}

/// ZooKeeper answers, or doesn't.
pub fn connected(is_connected: bool) {
    CONNECTED.set([], flag(is_connected));
}

/// The connection with ZooKeeper was lost; its session may go on.
pub fn disconnected() {
    DISCONNECTIONS.add([], 1);
}

/// A session with ZooKeeper has ended without being closed.
pub fn session_lost() {
    SESSIONS_LOST.add([], 1);
}

/// This replica's claim to lead stands.
pub fn claimed() {
    CLAIMS.add([], 1);
}

/// A snapshot of so many bytes stands.
pub fn snapshot(bytes: usize) {
    SNAPSHOTS.add([], 1);
    SNAPSHOT_BYTES.set([], number(wide(bytes)));
}

/// So many offers came.
pub fn offered(offers: usize) {
    OFFERS.add([], wide(offers));
}

/// A call is handed to Mesos; [`answered`] follows in any case.
pub fn called() {
    CALLS_WAITING.change([], 1.0);
}

/// A call was answered; declined offers are counted when Mesos has taken them back.
pub fn answered(call: &Call, answer: &CallAnswer) {
    if let (Call::Decline { offers, .. }, CallAnswer::Accepted) = (call, answer) {
        DECLINED.add([], wide(offers.len()));
    }
    CALLS.add([kind(call), word(answer)], 1);
    CALLS_WAITING.change([], -1.0);
}

/// Mesos said something of a task.
pub fn updated(state: TaskState) {
    UPDATES.add([&state.to_string()], 1);
}

/// A subscription stands.
pub fn subscribed() {
    SUBSCRIPTIONS.add([], 1);
}

/// An event of Mesos could not be understood.
pub fn passed_over() {
    EVENTS_PASSED_OVER.add([], 1);
}

/// So many artifacts that the journal names are not here.
pub fn artifacts_missing(missing: usize) {
    ARTIFACTS_MISSING.set([], number(wide(missing)));
}

/// The certificate that is shown from now on ends then.
pub fn certificate_expires(at: Timestamp) {
    CERTIFICATE_EXPIRES.set([], number(at.seconds()));
}

/// The files of the certificate hold what can't be shown, or no longer.
pub fn certificate_stale(is_stale: bool) {
    CERTIFICATE_STALE.set([], flag(is_stale));
}

/// A request was answered; `route` is one of the routes' patterns, or empty for a path that there isn't.
pub fn requested(route: &str, status: u16) {
    let route = if route.is_empty() { "none" } else { route };
    REQUESTS.add([route, &status.to_string()], 1);
}

fn kind(call: &Call) -> &'static str {
    match call {
        Call::Accept { .. } => "accept",
        Call::Decline { .. } => "decline",
        Call::Revive => "revive",
        Call::Suppress => "suppress",
        Call::Kill { .. } => "kill",
        Call::Acknowledge { .. } => "acknowledge",
        Call::Reconcile { .. } | Call::ReconcileAll => "reconcile",
        Call::Message { .. } => "message",
        Call::Teardown => "teardown",
    }
}

const fn word(answer: &CallAnswer) -> &'static str {
    match answer {
        CallAnswer::Accepted => "accepted",
        CallAnswer::Refused(_) => "refused",
        CallAnswer::Lost(_) => "lost",
        CallAnswer::Fenced | CallAnswer::Ended(_) => "fenced",
    }
}

const fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

/// Exact up to 2^53, which no journal reaches.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
const fn number(count: u64) -> f64 {
    count as f64
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

const UPKEEP_EVERY: Duration = Duration::from_secs(5);
