//! The scheduler's program.

use std::io::{self, Write as _};
use std::process::ExitCode;

use epic_common_io::telemetry::{self, Format};
use epic_scheduler::check::check;
use epic_scheduler::config::healthcheck::Healthcheck;
use epic_scheduler::config::init::Init;
use epic_scheduler::config::manual::Manual;
use epic_scheduler::config::offline::State;
use epic_scheduler::config::print::{Print, What};
use epic_scheduler::config::{self, Config, LogFormat};
use epic_scheduler::failure::{Code, Failure};
use epic_scheduler::marathon::App;
use epic_scheduler::run::run;
use epic_scheduler::settle::settle;
use epic_scheduler::signals::Signals;
use epic_scheduler::start::start;
use epic_scheduler::{files, healthcheck, init, offline, store};

fn main() -> ExitCode {
    if let Some(checked) = store::check::asked(std::env::args_os()) {
        return checked;
    }
    if let Some(asked) = Init::read(std::env::args_os()) {
        return verb(asked, async |asked| init::run(&asked).await);
    }
    if let Some(asked) = State::read(std::env::args_os()) {
        return verb(asked, async |asked| offline::run(&asked).await);
    }
    if let Some(asked) = Print::read(std::env::args_os()) {
        return verb(asked, async |asked| print(&asked));
    }
    if let Some(asked) = Healthcheck::read(std::env::args_os()) {
        return verb(asked, async |asked| healthcheck::run(&asked).await);
    }
    if let Some(asked) = Manual::read(std::env::args_os()) {
        return verb(asked, async |asked| asked.write());
    }
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(config::Error::Asked(answer)) => {
            // Printing fails only when nobody reads it.
            answer.print().ok();
            return ExitCode::SUCCESS;
        }
        Err(error) => return ended(&[error.into()]),
    };
    telemetry::abort_on_panic();
    telemetry::start(match config.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    });
    if config.check {
        return ended(&check(&config));
    }
    files::raise();
    match scheduled(&config, &actix::System::new()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&[failure]),
    }
}

/// Runs a scheduler until it is told to end, perhaps before it has begun.
fn scheduled(config: &Config, system: &actix::SystemRunner) -> Result<(), Failure> {
    let hear = system.block_on(async { Signals::hear() });
    let mut signals = hear.map_err(|error| Failure::new(Code::Io, &error).about("cannot hear signals"))?;
    let is_ended = system.block_on(async {
        tokio::select! {
            () = signals.wait() => true,
            () = settle(config) => false,
        }
    });
    if is_ended {
        return Ok(());
    }
    let ready = start(config)?;
    system.block_on(run(config, ready, &mut signals))
}

/// Does what is done once and isn't running a scheduler.
fn verb<T>(asked: Result<T, config::Error>, run: impl AsyncFnOnce(T) -> Result<(), Failure>) -> ExitCode {
    let asked = match asked {
        Ok(asked) => asked,
        Err(config::Error::Asked(answer)) => {
            answer.print().ok();
            return ExitCode::SUCCESS;
        }
        Err(error) => return ended(&[error.into()]),
    };
    telemetry::abort_on_panic();
    telemetry::start(Format::Text);
    match actix::System::new().block_on(run(asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&[failure]),
    }
}

/// Writes what was asked for to stdout.
fn print(asked: &Print) -> Result<(), Failure> {
    let What::Marathon(app) = &asked.what;
    let text = serde_json::to_string_pretty(&App::new(app)).map_err(|error| Failure::new(Code::Io, &error))?;
    writeln!(io::stdout().lock(), "{text}").map_err(|error| Failure::new(Code::Io, &error))
}

/// Says each reason in a line; the first one's code is the program's.
#[expect(clippy::print_stderr, reason = "the lines that say why the program ended, whatever logs say")]
fn ended(failures: &[Failure]) -> ExitCode {
    for failure in failures {
        eprintln!("epic-scheduler: {}", failure.text);
    }
    failures.first().map_or(ExitCode::SUCCESS, |failure| failure.code.into())
}
