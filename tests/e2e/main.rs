//! Tests on a real Mesos.

mod client;
mod framework;
mod kit;
mod platform;
mod tls;
mod zookeeper;
