//! The I/O that more than one program needs.

pub mod backup;
pub mod bundle;
pub mod conversation;
pub mod driver;
pub mod http;
pub mod manual;
pub mod pieces;
pub mod secret;
pub mod stream;
pub mod telemetry;
pub mod tls;

#[cfg(test)]
mod peer;
