//! SIGINT and SIGTERM, to the first process of a container.

use std::process::ExitCode;
use std::{io, thread};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Runs a command to its end, or to a signal that ends any other process by default, but not a container's first.
pub(crate) fn heeding(run: impl FnOnce() -> ExitCode + Send + 'static) -> io::Result<ExitCode> {
    if std::process::id() != 1 {
        return Ok(run());
    }
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (tell, told) = oneshot::channel();
        // Nobody hears of it any more after a signal.
        thread::Builder::new().name("command".to_owned()).spawn(move || tell.send(run()).ok())?;
        Ok(tokio::select! {
            _ = int.recv() => signalled(SignalKind::interrupt()),
            _ = term.recv() => signalled(SignalKind::terminate()),
            code = told => code.unwrap_or(ExitCode::FAILURE),
        })
    })
}

/// What a shell says of a process that a signal has ended.
fn signalled(by: SignalKind) -> ExitCode {
    u8::try_from(128 + by.as_raw_value()).map_or(ExitCode::FAILURE, ExitCode::from)
}
