//! Tests on a real Mesos.

mod client;
mod confinement;
mod crash;
mod errors;
mod framework;
mod kit;
mod platform;
mod reasons;
mod reference;
mod services;
mod tls;
mod verbs;
mod zookeeper;
