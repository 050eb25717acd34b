//! Nothing waits for ever, and nothing is asked for again and again: by values, against a Mesos that fails as told.

mod calls;
mod link;
mod offers;
mod scene;
mod tasks;
