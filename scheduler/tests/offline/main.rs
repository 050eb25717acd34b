//! `epic-scheduler state`: what it shows, checks, saves and restores, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod desk;
mod moved;
mod reads;
mod restores;
