//! Tests of what the project is deployed with: each artifact is given to the tool that will run it.

mod borrowed;
mod chart;
mod docker;
mod engine;
mod executor;
mod images;
mod licences;
mod marathon;
mod monitoring;
mod package;
mod pages;
mod tools;
