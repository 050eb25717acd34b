//! `epicctl`: what operators type.

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Bundle(command) => commands::bundle::run(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Shows an error with its causes, one line for each thing that is wrong.
#[expect(clippy::print_stderr, reason = "this is where a person reads it")]
fn complain(error: &anyhow::Error) {
    for line in commands::lines(error) {
        eprintln!("epicctl: {line}");
    }
}
