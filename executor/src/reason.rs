//! Errors as one line for people.

use std::error::Error;
use std::iter::successors;

/// Returns the error and its causes, joined by colons.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let words: Vec<_> = successors(Some(error), |error| (*error).source()).map(ToString::to_string).collect();
    words.join(": ")
}
