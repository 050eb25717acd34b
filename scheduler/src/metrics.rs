//! Every metric of the scheduler, with its help, and how each is counted.

use std::sync::OnceLock;
use std::time::Duration;

use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Call, TaskState};
use epic_scheduler_core::session::CallAnswer;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_process::Collector;

use crate::replica::Replica;
use crate::store::{Condition, Health};
use crate::view::{self, Published};

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
pub fn install() -> Result<PrometheusHandle, Error> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let recorder = recorder()?;
    let handle = recorder.handle();
    match metrics::set_global_recorder(recorder) {
        Ok(()) => {
            describe();
            Ok(HANDLE.get_or_init(|| handle).clone())
        }
        // Two callers at once: the other's handle is there in a moment.
        Err(_) => HANDLE.get().cloned().ok_or(Error::Taken),
    }
}

fn recorder() -> Result<PrometheusRecorder, Error> {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in [(COMMIT_SECONDS, &COMMIT_BOUNDS[..]), (BATCH_ENTRIES, &BATCH_BOUNDS[..])] {
        let bounded = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds);
        builder = bounded.map_err(|source| Error::Bounds { name, source })?;
    }
    Ok(builder.build_recorder())
}

/// Shows all counts in Prometheus' text format, those of the process included.
#[must_use]
pub fn render(handle: &PrometheusHandle) -> String {
    Collector::default().collect();
    handle.run_upkeep();
    handle.render()
}

/// Bounds the memory of counts that nobody scrapes; runs until it is dropped, so it is spawned.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// A batch of so many entries is durable; `took` is the time of its append.
pub fn committed(entries: usize, took: Duration) {
    counter!(ENTRIES).increment(wide(entries));
    counter!(BATCHES).increment(1);
    histogram!(BATCH_ENTRIES).record(f64::from(u32::try_from(entries).unwrap_or(u32::MAX)));
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
}

/// What this replica is to the others has changed.
pub fn replica(replica: &Replica) {
    gauge!(LEADER).set(flag(replica.mode.decides()));
    gauge!(CAUGHT_UP).set(flag(replica.caught_up));
    gauge!(EPOCH).set(number(replica.epoch));
    indexed(replica.index);
}

/// The state is the sum of all entries up to this one.
pub fn indexed(index: u64) {
    gauge!(INDEX).set(number(index));
}

/// The replica has applied this batch, and its copy on disk is so.
pub fn stored(position: u64, health: &Health) {
    gauge!(STORE_LAG).set(number(position.saturating_sub(health.batch)));
    gauge!(STORE_SICK).set(flag(matches!(health.condition, Condition::Sick(_))));
    gauge!(STORE_BYTES).set(number(health.disk_bytes));
}

/// ZooKeeper answers, or doesn't.
pub fn connected(is_connected: bool) {
    gauge!(CONNECTED).set(flag(is_connected));
}

/// A session with ZooKeeper has ended without being closed.
pub fn session_lost() {
    counter!(SESSIONS_LOST).increment(1);
}

/// This replica's claim to lead stands.
pub fn claimed() {
    counter!(CLAIMS).increment(1);
}

/// A snapshot of so many bytes stands.
pub fn snapshot(bytes: usize) {
    counter!(SNAPSHOTS).increment(1);
    gauge!(SNAPSHOT_BYTES).set(number(wide(bytes)));
}

/// So many offers came.
pub fn offered(offers: usize) {
    counter!(OFFERS).increment(wide(offers));
}

/// A call was answered; declined offers are counted when Mesos has taken them back.
pub fn answered(call: &Call, answer: &CallAnswer) {
    if let (Call::Decline { offers, .. }, CallAnswer::Accepted) = (call, answer) {
        counter!(DECLINED).increment(wide(offers.len()));
    }
    counter!(CALLS, "kind" => kind(call), "answer" => word(answer)).increment(1);
}

/// Mesos said something of a task.
pub fn updated(state: TaskState) {
    let name = TaskState::ALL.iter().find(|(known, _)| *known == state).map_or("", |(_, name)| name);
    counter!(UPDATES, "state" => name).increment(1);
}

/// A subscription stands.
pub fn subscribed() {
    counter!(SUBSCRIPTIONS).increment(1);
}

/// Counts what others may see now; as much work as there are members, so only when somebody asks.
pub fn published(published: &Published) {
    gauge!(SUBSCRIBED).set(flag(published.link.is_up()));
    for (role, count) in view::counts(&published.state) {
        gauge!(WANTED, "role" => role.to_owned()).set(count.wanted);
        gauge!(READY, "role" => role.to_owned()).set(count.ready);
    }
}

/// So many artifacts that the journal names are not here.
pub fn artifacts_missing(missing: usize) {
    gauge!(ARTIFACTS_MISSING).set(f64::from(u32::try_from(missing).unwrap_or(u32::MAX)));
}

/// The certificate that is shown from now on ends then.
pub fn certificate_expires(at: Timestamp) {
    gauge!(CERTIFICATE_EXPIRES).set(number(at.seconds()));
}

/// The files of the certificate hold what can't be shown, or no longer.
pub fn certificate_stale(is_stale: bool) {
    gauge!(CERTIFICATE_STALE).set(flag(is_stale));
}

/// A request was answered; `route` is one of the routes' patterns, or empty for a path that there isn't.
pub fn requested(route: &str, status: u16) {
    let route = if route.is_empty() { "none" } else { route };
    counter!(REQUESTS, "route" => route.to_owned(), "status" => status.to_string()).increment(1);
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
        CallAnswer::Fenced => "fenced",
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

fn describe() {
    Collector::default().describe();
    describe_counter!(ENTRIES, "Entries that are durable in the journal.");
    describe_counter!(BATCHES, "Batches that are durable in the journal.");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time that a batch takes to become durable.");
    describe_histogram!(BATCH_ENTRIES, "Entries of a batch.");
    describe_gauge!(
        INDEX,
        "The last entry of the journal that this replica has applied; replicas differ by their lag."
    );
    describe_gauge!(EPOCH, "The highest epoch in the journal: how often a replica has begun to lead.");
    describe_gauge!(LEADER, "1 while this replica decides, else 0.");
    describe_gauge!(CAUGHT_UP, "1 while this replica follows the journal to its end, else 0.");
    describe_counter!(CLAIMS, "How often this replica has begun to lead.");
    describe_counter!(SNAPSHOTS, "Snapshots that this replica has made.");
    describe_gauge!(SNAPSHOT_BYTES, Unit::Bytes, "Size of the last snapshot that this replica has made.");
    describe_gauge!(STORE_LAG, "Batches that this replica has applied and not yet made durable on its own disk.");
    describe_gauge!(STORE_SICK, "1 while the copy on this replica's disk can't be kept, else 0.");
    describe_gauge!(STORE_BYTES, Unit::Bytes, "What that copy takes on disk.");
    describe_gauge!(CONNECTED, "1 while ZooKeeper answers, else 0; 0 without --zk.");
    describe_counter!(SESSIONS_LOST, "Sessions with ZooKeeper that have expired.");
    describe_counter!(OFFERS, "Offers that came from Mesos.");
    describe_counter!(DECLINED, "Offers that were declined.");
    describe_counter!(CALLS, "Calls to Mesos, by kind and answer.");
    describe_counter!(UPDATES, "Status updates from Mesos, by state; repeats count.");
    describe_counter!(SUBSCRIPTIONS, "Subscriptions that stood.");
    describe_gauge!(SUBSCRIBED, "1 while a subscription stands, else 0.");
    describe_gauge!(WANTED, "Members that were applied, by role.");
    describe_gauge!(READY, "Members that are ready, by role.");
    describe_gauge!(ARTIFACTS_MISSING, "Bundles and executors that the journal names and this replica lacks.");
    describe_gauge!(
        CERTIFICATE_EXPIRES,
        Unit::Seconds,
        "When the certificate that is shown ends, in seconds since 1970; absent without --tls-cert-file."
    );
    describe_gauge!(
        CERTIFICATE_STALE,
        "1 while the files of the certificate can't be used and the one before them is shown, else 0."
    );
    describe_counter!(REQUESTS, "Requests to the HTTP interface, by route and status.");
    // What is absent can't be told from what is not scraped.
    for name in [ENTRIES, BATCHES, CLAIMS, SNAPSHOTS, SESSIONS_LOST, OFFERS, DECLINED, SUBSCRIPTIONS] {
        counter!(name).absolute(0);
    }
    for name in
        [INDEX, EPOCH, LEADER, CAUGHT_UP, SNAPSHOT_BYTES, STORE_LAG, STORE_SICK, STORE_BYTES, CONNECTED, SUBSCRIBED]
    {
        gauge!(name).set(0.0);
    }
    for name in [ARTIFACTS_MISSING, CERTIFICATE_STALE] {
        gauge!(name).set(0.0);
    }
}

const ENTRIES: &str = "epic_scheduler_journal_entries_total";
const BATCHES: &str = "epic_scheduler_journal_batches_total";
const COMMIT_SECONDS: &str = "epic_scheduler_journal_commit_seconds";
const BATCH_ENTRIES: &str = "epic_scheduler_journal_batch_entries";
const INDEX: &str = "epic_scheduler_journal_index";
const EPOCH: &str = "epic_scheduler_epoch";
const LEADER: &str = "epic_scheduler_leader";
const CAUGHT_UP: &str = "epic_scheduler_caught_up";
const CLAIMS: &str = "epic_scheduler_claims_total";
const SNAPSHOTS: &str = "epic_scheduler_snapshots_total";
const SNAPSHOT_BYTES: &str = "epic_scheduler_snapshot_bytes";
const STORE_LAG: &str = "epic_scheduler_store_lag_batches";
const STORE_SICK: &str = "epic_scheduler_store_sick";
const STORE_BYTES: &str = "epic_scheduler_store_bytes";
const CONNECTED: &str = "epic_scheduler_zookeeper_connected";
const SESSIONS_LOST: &str = "epic_scheduler_zookeeper_sessions_lost_total";
const OFFERS: &str = "epic_scheduler_offers_received_total";
const DECLINED: &str = "epic_scheduler_offers_declined_total";
const CALLS: &str = "epic_scheduler_mesos_calls_total";
const UPDATES: &str = "epic_scheduler_status_updates_total";
const SUBSCRIPTIONS: &str = "epic_scheduler_subscriptions_total";
const SUBSCRIBED: &str = "epic_scheduler_subscribed";
const WANTED: &str = "epic_scheduler_members_wanted";
const READY: &str = "epic_scheduler_members_ready";
const ARTIFACTS_MISSING: &str = "epic_scheduler_artifacts_missing";
const CERTIFICATE_EXPIRES: &str = "epic_scheduler_certificate_expires_seconds";
const CERTIFICATE_STALE: &str = "epic_scheduler_certificate_stale";
const REQUESTS: &str = "epic_scheduler_http_requests_total";

/// From a fast disk's fsync to one that an operator must hear of, in seconds.
const COMMIT_BOUNDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
/// From one decision to as many as a batch can hold.
const BATCH_BOUNDS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0];
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_shown_with_their_help() {
        let recorder = recorder().unwrap();
        let text = metrics::with_local_recorder(&recorder, || {
            describe();
            committed(3, Duration::from_millis(2));
            answered(&Call::Decline { offers: vec!["o".into()], refuse: Duration::ZERO }, &CallAnswer::Accepted);
            updated(TaskState::Running);
            requested("", 404);
            render(&recorder.handle())
        });
        for line in [
            "# HELP epic_scheduler_journal_entries_total Entries that are durable in the journal.",
            "# TYPE epic_scheduler_journal_entries_total counter",
            "epic_scheduler_journal_entries_total 3",
            "epic_scheduler_journal_commit_seconds_bucket{le=\"0.0025\"} 1",
            "epic_scheduler_journal_commit_seconds_bucket{le=\"0.001\"} 0",
            "epic_scheduler_offers_declined_total 1",
            "epic_scheduler_mesos_calls_total{kind=\"decline\",answer=\"accepted\"} 1",
            "epic_scheduler_status_updates_total{state=\"TASK_RUNNING\"} 1",
            "epic_scheduler_http_requests_total{route=\"none\",status=\"404\"} 1",
            "epic_scheduler_subscriptions_total 0",
            "process_resident_memory_bytes",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
