//! Who writes the journal, and who has what it names.

pub mod artifact_search;
pub mod election;
