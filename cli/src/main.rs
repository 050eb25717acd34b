//! `epicctl`: what operators type.

mod args;
mod client;
mod commands;
mod failure;
mod render;
mod signals;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let command = Args::parse().command;
    match signals::heeding(|| ended(run(command))) {
        Ok(code) => code,
        Err(error) => ended(Err(error.into())),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Admin(admin) => commands::admin::run(admin),
        Command::Bundle(command) => commands::bundle::run(command),
        Command::Completions { shell } => commands::manual::completions(shell),
        Command::Man { dir } => commands::manual::pages(&dir),
        Command::Platform(platform) => commands::platform::run(platform),
    }
}

/// Says why it failed, if so.
fn ended(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if terminal::is_closed(&error) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            error.downcast_ref().map_or(ExitCode::FAILURE, Failure::exit_code)
        }
    }
}

/// Shows an error with its causes, one line for each thing that is wrong.
#[expect(clippy::print_stderr, reason = "this is where a person reads it")]
fn complain(error: &anyhow::Error) {
    let lines = match error.downcast_ref() {
        Some(Failure::Refused(problem)) => failure::lines(problem),
        Some(_) | None => commands::lines(error),
    };
    for line in lines {
        eprintln!("epicctl: {line}");
    }
}
