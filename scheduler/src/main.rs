//! The scheduler's program.

use std::process::ExitCode;

use epic_common_io::telemetry::{self, Format};
use epic_scheduler::config::{self, Config, LogFormat};
use epic_scheduler::failure::Failure;
use epic_scheduler::run::run;
use epic_scheduler::start::start;

fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(config::Error::Options(error)) => return options(&error),
        Err(error) => return failed(&error.into()),
    };
    telemetry::abort_on_panic();
    telemetry::start(match config.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    });
    let ended = start(&config).and_then(|ready| {
        if config.check {
            return Ok(());
        }
        actix::System::new().block_on(run(&config, ready))
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

#[expect(clippy::print_stderr, reason = "the one line that says why the program ended, whatever logs say")]
fn failed(failure: &Failure) -> ExitCode {
    eprintln!("epic-scheduler: {}", failure.text);
    failure.code.into()
}

/// Help and version end well; anything else is a usage error.
fn options(error: &clap::Error) -> ExitCode {
    // Printing fails only when nobody reads it.
    error.print().ok();
    if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS }
}
