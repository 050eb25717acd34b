//! The numbers that decisions depend on, with safe defaults.

use std::fmt;
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::ids::Digest;
use epic_common::resources::{Bytes, MIB, MilliCpus};

use crate::state::entry::Entry;

/// Fixed when the scheduler starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The role whose reservations a new framework uses.
    pub role: String,
    /// Where executors fetch artifacts of this replica, without a slash at the end.
    pub advertise: String,
    /// The executor's program.
    pub executor_sha256: Digest,
    /// Cores of each executor itself.
    pub executor_cpus: MilliCpus,
    /// Memory of each executor itself.
    pub executor_mem: Bytes,
    /// Waits between attempts of an instance that fails.
    pub relaunch: Backoff,
    /// An attempt that was ready for so long before its end ends a row of failures.
    pub forgiven_after: Duration,
    /// Waits between subscriptions.
    pub resubscribe: Backoff,
    /// Waits between subscriptions that Mesos refuses for a reason that stays until somebody changes something.
    pub resubscribe_refused: Backoff,
    /// A subscription that has stood for so long ends a row of failures.
    pub steady_after: Duration,
    /// Waits between calls that failed and are made again.
    pub repeat: Backoff,
    /// Waits between two times that Mesos is told that offers are wanted.
    pub revive: Backoff,
    /// How often Mesos is asked about all tasks; half of it to all of it.
    pub reconcile_every: Backoff,
    /// How often an attempt that doesn't start is asked about.
    pub look_at_start: Backoff,
    /// How long an attempt may stay in one phase of its start before it is ended.
    pub start_deadline: Duration,
    /// Waits between questions about a task that nobody answers.
    pub reconcile: Backoff,
    /// Waits between kills of a task that doesn't end.
    pub kill: Backoff,
    /// Waits between nudges to an executor.
    pub nudge: Backoff,
    /// How long a launch may stay without any word of it.
    pub launch_deadline: Duration,
    /// How long an agent may be unreachable before its members are replaced.
    pub unreachable_after: Duration,
    /// How long an offer that fits nothing that waits isn't offered again.
    pub refuse_unfit: Duration,
    /// How long an offer that nobody needs isn't offered again.
    pub refuse_unneeded: Duration,
    /// With several replicas: a subscription is asked for only on a barrier that is younger than this, a third of the
    /// session time-out. `None` for a scheduler that has its journal to itself.
    pub barrier: Option<Duration>,
    /// How entries are measured before they are proposed.
    pub measure: Measure,
}

/// Writes an entry as the journal will, reads it back, and says how many bytes it takes.
///
/// What it refuses is never proposed: an entry that no replica can read would stop all of them for good.
#[derive(Clone, Copy)]
pub struct Measure(pub fn(&Entry) -> Result<usize, String>);

impl Default for Measure {
    /// Takes each entry for readable, and estimates what it takes; for decisions without a journal.
    fn default() -> Self {
        Self(|entry| Ok(entry.fact.weight()))
    }
}

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measure")
    }
}

/// All measures are alike: they differ in where the encoding comes from, not in what may be decided.
impl PartialEq for Measure {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Measure {}

impl Policy {
    /// Returns the defaults for a scheduler of `role` that serves artifacts at `advertise`.
    #[must_use]
    pub fn new(role: String, advertise: String, executor_sha256: Digest) -> Self {
        let backoff = |first, most| Backoff { first: Duration::from_millis(first), most: Duration::from_millis(most) };
        Self {
            role,
            advertise,
            executor_sha256,
            executor_cpus: MilliCpus(100),
            executor_mem: Bytes(64 * MIB),
            relaunch: backoff(1_000, 300_000),
            forgiven_after: Duration::from_secs(60),
            resubscribe: backoff(500, 15_000),
            resubscribe_refused: backoff(15_000, 60_000),
            steady_after: Duration::from_secs(30),
            repeat: backoff(100, 10_000),
            revive: backoff(1_000, 30_000),
            reconcile_every: backoff(900_000, 900_000),
            look_at_start: backoff(180_000, 180_000),
            start_deadline: Duration::from_secs(3600),
            reconcile: backoff(1_000, 30_000),
            kill: backoff(5_000, 60_000),
            nudge: backoff(1_000, 30_000),
            launch_deadline: Duration::from_secs(30),
            unreachable_after: Duration::from_secs(300),
            refuse_unfit: Duration::from_secs(5),
            refuse_unneeded: Duration::from_secs(3600),
            barrier: None,
            measure: Measure::default(),
        }
    }
}

/// A unit whose back-off ends so soon is worth asking for offers and holding them; no offer is held for longer.
pub const HOLD: Duration = Duration::from_secs(5);
/// Tasks asked about in one call.
pub const RECONCILE_TASKS_MAX: usize = 500;
/// Such calls that wait for their answers at the same time.
pub const RECONCILES_AT_ONCE: usize = 2;
/// Updates that wait to be recorded; more are left to Mesos, which repeats them.
pub const UPDATES_MAX: usize = 20_000;
/// Requests that wait to be decided; more are refused.
pub const REQUESTS_MAX: usize = 256;
/// Bytes of a batch beyond which it takes no further entry.
pub const BATCH_WEIGHT_MAX: usize = 192 * 1024;
/// Bytes of one entry: with it, a batch that still took one stays below the 512 KiB that the journal takes.
pub const ENTRY_BYTES_MAX: usize = 256 * 1024;
/// Idempotency keys that are remembered.
pub const KEYS_MAX: usize = 1_000;
/// Strangers that are remembered.
pub const STRANGERS_MAX: usize = 1_000;
/// Reasons kept for one waiting member.
pub const REASONS_MAX: usize = 50;
/// Bytes kept of any text from outside.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Members of a platform some of whose services read the document `members`, so that it fits into 64 KiB.
pub const READ_MEMBERS_MAX: u32 = 512;
/// Services of one report, and documents, that are kept.
pub const SERVICES_MAX: usize = 100;
/// Bytes kept of all reasons of one report together.
pub const REASONS_BYTES_MAX: usize = 128 * 1024;
/// Bytes kept of any name from outside.
pub const NAME_BYTES_MAX: usize = 255;
