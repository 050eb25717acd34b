//! The chart for Kubernetes: rendered, refused and judged by the tools that operators use, without a cluster.

mod charted;
mod comments;
mod custom;
mod golden;
mod judged;
mod mutants;
mod objects;
mod odd;
mod options;
mod page;
mod refused;
mod secrets;
mod values;
mod wired;
