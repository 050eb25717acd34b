//! Every metric of the scheduler: one line each, from which it is named, explained and counted.
//!
//! A new metric is a line here and a function in `metrics.rs` that counts it; then
//! `UPDATE=1 cargo test -p epic-scheduler --lib the_page_on_metrics`. Names are for ever: a metric that changes its
//! meaning gets a new name.

use super::kind::{Counter, Gauge, Histogram, Kind, Row};

macro_rules! table {
    ($($kind:ident $id:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            pub(super) const $id: $kind<{ <[&str]>::len(&[$($label),*]) }> =
                $kind { name: $name, labels: [$($label),*] };
        )*

        /// The table, in the order of the page.
        pub const ALL: &[Row] =
            &[$(Row { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help }),*];
    };
}

table! {
    Gauge BUILD "epic_scheduler_build_info" ["version"]
        "Always 1; its label says which version runs.";
    Gauge CERTIFICATE_EXPIRES "epic_scheduler_certificate_expires_seconds" []
        "When the certificate that this replica shows expires, in seconds since 1970; 0 without TLS.";
    Gauge CERTIFICATE_STALE "epic_scheduler_certificate_stale" []
        "1 while the files of the certificate can't be used and the one before them is shown, else 0.";

    Gauge LEADER "epic_scheduler_leader" []
        "1 while this replica decides, else 0; the sum over all replicas of an installation is to be 1.";
    Gauge CAUGHT_UP "epic_scheduler_caught_up" []
        "1 while this replica follows the journal to its end, as far as it knows, else 0.";
    Gauge EPOCH "epic_scheduler_epoch" []
        "The highest epoch in the journal: how often a replica has begun to lead.";
    Counter CLAIMS "epic_scheduler_claims_total" []
        "How often this replica has begun to lead; each one beyond the installation's first is a failover.";

    Counter ENTRIES "epic_scheduler_journal_entries_total" []
        "Entries that this replica has made durable in the journal.";
    Counter BATCHES "epic_scheduler_journal_batches_total" []
        "Batches that this replica has made durable in the journal.";
    Histogram COMMIT_SECONDS "epic_scheduler_journal_commit_seconds" []
        "Time that a batch takes to become durable: that of the disk's fsync, or of ZooKeeper.";
    Histogram BATCH_ENTRIES "epic_scheduler_journal_batch_entries" []
        "Entries of a batch.";
    Gauge APPEND_AGE "epic_scheduler_journal_append_age_seconds" []
        "For how long the batch that is on its way to the journal has been so; 0 while there is none.";
    Gauge INDEX "epic_scheduler_journal_index" []
        "The last entry of the journal that this replica has applied; by how much replicas differ is their lag.";
    Gauge BEHIND "epic_scheduler_journal_behind_seconds" []
        "For how long this replica hasn't known itself to be at the journal's end; 0 while it does.";
    Counter SNAPSHOTS "epic_scheduler_snapshots_total" []
        "Snapshots that this replica has made in ZooKeeper.";
    Gauge SNAPSHOT_BYTES "epic_scheduler_snapshot_bytes" []
        "Size of the last one.";
    Gauge STORE_LAG "epic_scheduler_store_lag_batches" []
        "Batches that this replica has applied and not yet made durable on its own disk.";
    Gauge STORE_SICK "epic_scheduler_store_sick" []
        "1 while the copy on this replica's disk can't be kept (a full disk, damage), else 0.";
    Gauge STORE_BYTES "epic_scheduler_store_bytes" []
        "What that copy takes on disk.";
    Gauge STATE_DIR_FREE "epic_scheduler_state_dir_free_bytes" []
        "What is free for this replica on the file system of its state directory; 0 before it was asked.";
    Gauge STATE_DIR_SIZE "epic_scheduler_state_dir_size_bytes" []
        "Size of that file system; 0 before it was asked.";

    Gauge CONNECTED "epic_scheduler_zookeeper_connected" []
        "1 while ZooKeeper answers, else 0; 0 without ZooKeeper.";
    Counter DISCONNECTIONS "epic_scheduler_zookeeper_disconnections_total" []
        "How often a connection with ZooKeeper was lost while its session might go on.";
    Counter SESSIONS_LOST "epic_scheduler_zookeeper_sessions_lost_total" []
        "Sessions with ZooKeeper that have ended without having been closed.";

    Gauge SUBSCRIBED "epic_scheduler_subscribed" []
        "1 while Mesos sends this replica events, else 0; only the leader asks for them.";
    Counter SUBSCRIPTIONS "epic_scheduler_subscriptions_total" []
        "Subscriptions that stood; more than one an hour means an unsteady link.";
    Counter EVENTS_PASSED_OVER "epic_scheduler_mesos_events_passed_over_total" []
        "Events from Mesos that could not be understood and were passed over.";
    Counter OFFERS "epic_scheduler_offers_received_total" []
        "Offers that came from Mesos.";
    Counter DECLINED "epic_scheduler_offers_declined_total" []
        "Offers that were given back.";
    Gauge OFFERS_HELD "epic_scheduler_offers_held" []
        "Offers that were neither used nor given back nor taken away.";
    Counter CALLS "epic_scheduler_mesos_calls_total" ["kind", "answer"]
        "Calls to Mesos, by kind and answer (accepted, refused, lost, fenced).";
    Gauge CALLS_WAITING "epic_scheduler_mesos_calls_waiting" []
        "Calls to Mesos that wait in a lane or for their answer.";
    Counter UPDATES "epic_scheduler_status_updates_total" ["state"]
        "Status updates from Mesos, by state; repeats count.";

    Gauge WANTED "epic_scheduler_members_wanted" ["role"]
        "Members that were applied, by role, whether or not they are to run now.";
    Gauge READY "epic_scheduler_members_ready" ["role"]
        "Members whose services answer, by role.";
    Gauge MISSING "epic_scheduler_members_missing" ["role"]
        "Members that are to run now and aren't ready, by role.";
    Gauge WAITING "epic_scheduler_members_waiting" ["reason"]
        "Those members, by what they wait for (answer, agent, start, backoff, subscription, bundle, room, offer), as the leader knows.";
    Gauge FAILURES "epic_scheduler_members_failures_max" ["role"]
        "The most failures in a row that a wanted member of the role has had, without having been ready between.";
    Counter ENDED "epic_scheduler_attempts_ended_total" ["role", "state", "reason"]
        "Attempts whose end this replica has recorded, by role, last state and Mesos' reason.";
    Gauge ARTIFACTS_MISSING "epic_scheduler_artifacts_missing" []
        "Bundles and executors that the journal names and this replica lacks.";

    Counter REQUESTS "epic_scheduler_http_requests_total" ["route", "status"]
        "Requests to the HTTP interface, by route and status.";
}

/// From a fast disk's fsync to one that an operator must hear of, in seconds.
const COMMIT_BOUNDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
/// From one decision to as many as a batch can hold.
const BATCH_BOUNDS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0];
/// The upper ends of each histogram's buckets.
pub(super) const BOUNDS: [(&str, &[f64]); 2] =
    [(COMMIT_SECONDS.name, &COMMIT_BOUNDS), (BATCH_ENTRIES.name, &BATCH_BOUNDS)];
