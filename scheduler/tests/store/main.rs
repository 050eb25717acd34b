//! The store as others meet it: what it keeps, what it survives, and that it never tells anything wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod damage;
mod full;
mod kill;
mod panics;
mod power;
mod round_trip;
mod support;
