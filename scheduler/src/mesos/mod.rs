//! The Mesos master's v1 scheduler API: finding the leader, subscribing to it, and calling it.

mod body;
pub mod client;
pub mod convert;
pub mod credentials;
pub mod detector;
pub mod event;
pub mod lanes;
pub mod masters;
pub mod redirect;
pub mod subscription;
