//! Logs to stderr, and the hook that turns a panic into the end of the process.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
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
    start_to(format, std::io::stderr);
}

/// Starts logging as [`start`] does, by way of a writer that ends at stderr.
pub fn start_to(format: Format, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
    let asked = std::env::var("EPIC_LOG").unwrap_or_default();
    let (filter, problem) = match EnvFilter::try_new(&asked) {
        _ if asked.is_empty() => (EnvFilter::new(DEFAULT), None),
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_timer(SystemTime).with_writer(writer);
    let started = match format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    if let (Ok(()), Some(error)) = (started, problem) {
        tracing::warn!(%error, asked, "EPIC_LOG can't be read, using {DEFAULT}");
    }
}

/// Ends the process with SIGABRT after any panic, on whichever thread but those that [`spare_threads`] names: an actor
/// that panicked would be dead, and the process would live on without it.
pub fn abort_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        if !spares(std::thread::current().name()) {
            std::process::abort();
        }
    }));
}

/// Lets a panic end nothing but its own thread if that thread's name begins with `prefix`.
///
/// Whoever asks for it answers for what such a thread leaves undone; the answer counts their panics from the first call
/// for the same prefix on.
pub fn spare_threads(prefix: &'static str) -> Spared {
    let mut spared = SPARED.write().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = spared.iter().find(|(known, _)| *known == prefix) {
        return known.clone();
    }
    let new = Spared::default();
    spared.push((prefix, new.clone()));
    new
}

/// How often threads of one kind have panicked.
#[derive(Clone, Debug, Default)]
pub struct Spared(Arc<AtomicU64>);

impl Spared {
    /// Returns the number of panics so far; stays 0 where [`abort_on_panic`] was not called.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

fn spares(thread: Option<&str>) -> bool {
    let spared = SPARED.read().unwrap_or_else(PoisonError::into_inner);
    let of = |name: &str| spared.iter().find(|(prefix, _)| name.starts_with(prefix));
    thread.and_then(of).is_some_and(|(_, spared)| {
        spared.0.fetch_add(1, Ordering::AcqRel);
        true
    })
}

/// As many as there are places in the program that ask.
static SPARED: RwLock<Vec<(&str, Spared)>> = RwLock::new(Vec::new());

/// What the one library says at lower levels is said better by whoever uses it; the other has an error for each client
/// that sends nonsense.
const DEFAULT: &str = "info,zookeeper_async=warn,actix_http=off";
