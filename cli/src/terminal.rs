//! Where answers and progress go.

use std::io::{self, IsTerminal, Write};

/// Writes to standard output, which may be a pipe that somebody closes.
pub(crate) fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    out.flush()
}

/// Shows a text in place of all that is on the terminal.
pub(crate) fn redraw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\x1b[H\x1b[2J{text}")?;
    out.flush()
}

/// Tells whether a person looks at standard output.
pub(crate) fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// Tells whether a command failed only because nobody reads its output any more, as in `epicctl … | head`.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Progress on standard error: one line that changes for a person, a line for each change otherwise.
#[derive(Debug)]
pub(crate) struct Progress {
    is_terminal: bool,
    is_drawn: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_drawn: false }
    }

    /// Shows how far it is; `changes` are what is new since the last time. Nobody has to see it, so that a failure is
    /// none.
    pub(crate) fn show(&mut self, bar: &str, changes: &[String]) {
        let mut out = io::stderr().lock();
        let _ = if self.is_terminal {
            self.is_drawn = true;
            write!(out, "\r\x1b[K{bar}").and_then(|()| out.flush())
        } else {
            changes.iter().try_for_each(|change| writeln!(out, "{change}"))
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn {
            // As above.
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
