//! Tests on a real Mesos.

mod base;
mod client;
mod confinement;
mod copies;
mod crash;
mod ensemble;
mod errors;
mod framework;
mod ha;
mod identity;
mod kit;
mod platform;
mod probe;
mod publish;
mod reasons;
mod reference;
mod requests;
mod ring;
mod secure;
mod services;
mod setbacks;
mod soak;
mod store;
mod tls;
mod verbs;
mod zookeeper;
