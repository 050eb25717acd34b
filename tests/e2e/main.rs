//! Tests on a real Mesos.

mod client;
mod framework;
mod kit;
mod tls;
mod zookeeper;
