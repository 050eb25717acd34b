//! What the tests and the demo stand on: real Mesos clusters, real ZooKeeper servers, and their removal.
#![doc = include_str!("README.md")]

pub mod address;
pub mod chaos;
pub mod cluster;
pub mod epic;
pub mod history;
pub mod http;
pub mod kernel;
pub mod kit;
pub mod kubernetes;
pub mod leftovers;
pub mod master;
mod members;
pub mod model;
pub mod page;
pub mod place;
pub mod process;
pub mod relay;
pub mod replicas;
pub mod spec;
pub mod valve;
pub mod wait;
pub mod zookeeper;
