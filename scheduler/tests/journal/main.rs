//! The local journal never loses what it acknowledged and never returns what nobody wrote.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
mod damage;
mod kill;
mod refusals;
mod support;
