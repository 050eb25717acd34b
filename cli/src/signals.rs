//! SIGINT and SIGTERM, to the first process of a container.

use std::process::exit;
use std::{io, thread};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Ends this process when it is told to, as the kernel ends any other; for a container's first one it does nothing.
pub(crate) fn heed() -> io::Result<()> {
    if std::process::id() != 1 {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut int, mut term) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = int.recv() => SignalKind::interrupt(),
                _ = term.recv() => SignalKind::terminate(),
            }
        });
        // What a shell says of a process that a signal has ended.
        exit(128 + number.as_raw_value());
    })?;
    Ok(())
}
