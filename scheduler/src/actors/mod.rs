//! The actors: one that decides, driven by a pure machine, and one for each outside system.

pub mod journal;
pub mod link;
pub mod replica;
pub mod supply;
pub mod world;
