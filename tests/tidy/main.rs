//! Checks that hold the layout of the repository.
