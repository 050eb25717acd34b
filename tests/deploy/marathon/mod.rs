//! Apps for Marathon: what `epic-scheduler print marathon` writes, checked and run on a real Mesos as Marathon does.
//!
//! Marathon itself can't be had here. `launcher` is told nothing but the definition, and refuses what it doesn't do.

mod definition;
mod fleet;
mod launcher;
mod life;
mod link;
mod printed;
mod rules;
mod task;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Returns what no other instance is called.
fn unique() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
