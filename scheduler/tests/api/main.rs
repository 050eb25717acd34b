//! The HTTP interface over a real connection, and the views that it shows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod artifacts;
mod backup;
mod changes;
mod fixture;
mod push;
mod reach;
mod reads;
mod replicas;
mod server;
mod streaming;
mod supply;
mod view;
