//! The executor's shell: the agent, processes, control groups and files that its machine acts on.

pub mod settings;
pub mod convert;
pub mod agent;
pub mod host;
pub mod fetch;
pub mod sandbox;
pub mod render;
pub mod scene;
pub mod process;
pub mod confine;
pub mod seccomp;
pub mod cgroup;
pub mod log;
pub mod probe;
pub mod reason;
