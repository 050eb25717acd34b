//! What an executor decides: agent events and process events in, things to do out; no I/O.

pub mod traffic;
pub mod executor;
pub mod instance;
pub mod service;
pub mod probe;
pub mod install;
pub mod updates;
