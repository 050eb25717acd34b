//! Messages generated from the `.proto` files beside this crate.
//!
//! Module paths are the packages' names: `mesos::v1`, `mesos::v1::scheduler`, `mesos::v1::executor`
//! and `epic::v1`. In the proto2 messages of Mesos `required` is not checked on reading, and an
//! enum accessor gives the first value for a number it doesn't know: check both where it matters.

#![allow(clippy::all, reason = "everything here is generated, and most names are Mesos' own")]

include!(concat!(env!("OUT_DIR"), "/modules.rs"));
