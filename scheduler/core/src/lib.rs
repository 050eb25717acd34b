//! The scheduler's decisions: pure values in, values out.

pub mod mesos;
pub mod policy;
pub mod request;
pub mod state;
pub mod document;
pub mod matcher;
pub mod session;
pub mod planner;
pub mod invariants;
pub mod director;
pub mod replica;
