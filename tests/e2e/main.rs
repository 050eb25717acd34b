//! Tests on a real Mesos.

mod client;
mod confinement;
mod crash;
mod ensemble;
mod errors;
mod framework;
mod ha;
mod identity;
mod kit;
mod platform;
mod probe;
mod reasons;
mod reference;
mod requests;
mod ring;
mod secure;
mod services;
mod setbacks;
mod soak;
mod tls;
mod verbs;
mod zookeeper;
