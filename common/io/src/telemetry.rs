//! Logs to stderr, and the hook that turns a panic into the end of the process.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to stderr; `EPIC_LOG` chooses levels, such as `debug` or `info,epic_scheduler::mesos=debug`.
///
/// A filter that can't be read is answered with the default, and a line that says so. Only the first call counts.
pub fn start(format: Format) {
    let asked = std::env::var("EPIC_LOG").unwrap_or_default();
    let (filter, problem) = match EnvFilter::try_new(&asked) {
        _ if asked.is_empty() => (EnvFilter::new(DEFAULT), None),
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_timer(SystemTime).with_writer(std::io::stderr);
    let started = match format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    if let (Ok(()), Some(error)) = (started, problem) {
        tracing::warn!(%error, asked, "EPIC_LOG can't be read, using {DEFAULT}");
    }
}

/// Ends the process with SIGABRT after any panic, on whichever thread: an actor that panicked would be dead, and the
/// process would live on without it.
pub fn abort_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        std::process::abort();
    }));
}

const DEFAULT: &str = "info";
