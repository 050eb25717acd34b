//! The Mesos master's v1 scheduler API: finding the leader, subscribing to it, and calling it.

mod body;
mod carrier;
pub mod client;
pub mod convert;
pub mod credentials;
pub mod detector;
pub mod event;
mod lane;
pub mod lanes;
pub mod masters;
mod pace;
pub mod redirect;
pub mod reservations;
pub mod subscription;
mod wire;
