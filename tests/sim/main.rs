//! The scheduler's core against a model of Mesos: scenarios, crashes at every output, random faults.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agents;
mod artifacts;
mod backoff;
mod crash;
mod documents;
mod goals;
mod launches;
mod life;
mod masters;
mod offers;
mod place;
mod random;
mod replicas;
mod sources;
mod strangers;
mod updates;
