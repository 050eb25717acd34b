//! What is done with a scheduler's state while it doesn't run: `epic-scheduler state`.

mod backup;
mod base;
mod forget;
mod publish;
mod restore;
mod show;
mod source;
mod verify;

use std::io::{self, Write as _};

use crate::config::offline::{State, Verb};
use crate::failure::{Code, Failure};

/// Does it, and says on standard output what came of it.
///
/// # Errors
///
/// Why it can't be done, or isn't without `--yes`.
pub async fn run(asked: &State) -> Result<(), Failure> {
    let said = match &asked.verb {
        Verb::Show(show) => show::show(show)?,
        Verb::Verify { dir } => verify::verify(dir)?,
        Verb::Backup { dir, file } => backup::backup(dir, file)?,
        Verb::Restore(restore) => restore::restore(restore).await?,
        Verb::Forget { dir, yes } => forget::forget(dir, *yes)?,
        Verb::Publish(publish) => publish::publish(publish).await?,
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{said}").and_then(|()| out.flush()).map_err(|error| Failure::new(Code::Io, &error))
}

/// Refuses, and says what to do instead.
fn refused(why: impl Into<String>) -> Failure {
    Failure::text(Code::Usage, why)
}
