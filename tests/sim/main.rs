//! The scheduler's core against a model of Mesos: scenarios, crashes at every output, random faults.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod goals;
mod place;
