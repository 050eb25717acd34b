//! What the journal's encoding writes can be read, for ever, and nothing else can.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arbitrary;
mod compat;
mod damage;
mod history;
mod measured;
mod refusals;
mod round_trip;
mod samples;
