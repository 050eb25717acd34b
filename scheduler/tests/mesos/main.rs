//! The client of the scheduler API, against a stand-in for a master that speaks HTTP byte by byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod convert;
mod lanes;
mod redirects;
mod stand_in;
mod subscribe;
