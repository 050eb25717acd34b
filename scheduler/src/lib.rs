//! The scheduler: everything between the pure core and the world.

pub mod actors;
pub mod api;
pub mod artifacts;
pub mod check;
pub mod config;
pub mod crash;
pub mod failure;
pub mod files;
pub mod healthcheck;
pub mod holders;
pub mod init;
pub mod journal;
pub mod marathon;
pub mod mesos;
pub mod metrics;
mod moved;
pub mod notify;
pub mod offline;
pub mod peers;
pub mod reach;
pub mod replica;
pub mod run;
pub mod seed;
pub mod settle;
pub mod signals;
pub mod start;
pub mod store;
pub mod token;
pub mod view;
pub mod watchdog;
pub mod zookeeper;

/// Says an error with all its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
