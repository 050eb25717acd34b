//! `epic-executor`: runs services on one agent for one scheduler; `epic-executor exec` is how it starts them.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use epic_common_io::driver::{Clock, Driver};
use epic_common_io::http::{ClientOptions, clients};
use epic_common_io::telemetry;
use epic_executor::agent::Agent;
use epic_executor::confine::{self, Confinement};
use epic_executor::host::Host;
use epic_executor::sandbox::Sandbox;
use epic_executor::settings::Settings;
use epic_executor_core::executor::{self, Away, Executor};

/// Runs the services of an EPIC platform on a Mesos agent, which starts it and sets its environment
#[derive(Debug, Parser)]
#[command(name = "epic-executor", version)]
struct Args {
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the agent that started this process (the default)
    Run,
    /// Confine this process, then become a program
    Exec(Confinement),
}

/// The exit code for a wrong environment (sysexits.h, `EX_USAGE`).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match Args::parse().command.unwrap_or(Verb::Run) {
        Verb::Exec(confinement) => {
            let (code, error) = confine::exec(&confinement);
            say(&format!("{error:#}"));
            ExitCode::from(code)
        }
        Verb::Run => match Settings::read(|name| std::env::var(name).ok()) {
            Ok(settings) => run(settings).unwrap_or_else(|error| {
                say(&format!("{error:#}"));
                ExitCode::FAILURE
            }),
            Err(error) => {
                say(&error.to_string());
                ExitCode::from(USAGE)
            }
        },
    }
}

fn say(line: &str) {
    // There is nobody left to be told that this failed.
    writeln!(io::stderr(), "epic-executor: {line}").ok();
}

/// How long the last lines of logs may take.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Ends this process at the latest after so long: threads that wait for a disk would keep it for ever.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "all that could be done in good order is being done meanwhile"
)]
fn end_within(most: Duration, code: u8) {
    thread::spawn(move || {
        thread::sleep(most);
        std::process::exit(code.into());
    });
}

/// Serves until the machine has the executor end.
///
/// All is done on the main thread: children are to die with the executor, and their death signal is tied to the
/// thread that made them.
fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    // The agent has our standard error go to a file, whose disk may not answer; what doesn't fit into the queue is lost.
    let (log, flush) = tracing_appender::non_blocking(io::stderr());
    telemetry::start_to(telemetry::Format::Text, log);
    telemetry::abort_on_panic();
    tracing::info!(executor = settings.executor, url = settings.url, "the executor starts");
    let away = settings.recovery_timeout.map_or(Away::End, Away::Continue);
    let machine = executor::Settings {
        away,
        subscription_backoff_max: settings.subscription_backoff_max,
        shutdown_grace: settings.shutdown_grace,
        seed: rand::random(),
    };
    let system = actix::System::new();
    let clock = Clock::start();
    let clients = clients(&ClientOptions::default()).context("cannot make the http client")?;
    let sandbox = Sandbox::create(settings.sandbox.clone()).context("cannot use the sandbox")?;
    let agent = Agent::new(Rc::new(settings), clients.clone());
    let inbox = system.block_on(async move {
        let host = Host::new(agent, clients, sandbox);
        Driver::start(Executor::new(clock.now(), machine), host, clock)
    });
    let code = system.run_with_code().context("the executor's loop has failed")?;
    drop(inbox);
    let code = u8::try_from(code).unwrap_or(1);
    end_within(LAST_WRITES, code);
    drop(flush);
    Ok(ExitCode::from(code))
}
