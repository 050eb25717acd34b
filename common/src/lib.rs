//! Values shared by every program: words, units and the machine trait; no I/O.

pub mod api;
pub mod backoff;
pub mod conversation;
pub mod ids;
pub mod invalid;
pub mod machine;
pub mod manifest;
pub mod recordio;
pub mod resources;
pub mod spec;
pub mod text;
pub mod time;
