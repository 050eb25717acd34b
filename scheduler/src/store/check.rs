//! `epic-scheduler store-check DIR`: opens a store and reads all of it, in a process that may die of it.
//!
//! The engine panics on damage, in threads of its own too, or hangs; whoever wants to open a store asks a child first.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use epic_common_io::telemetry;

use super::error::Flaw;
use super::held::Held;
use super::image::Assembly;
use super::sled::Sled;
use super::{Error, Store, dump};
use crate::chain;

/// The hidden verb.
pub(super) const VERB: &str = "store-check";
/// Writes all that is there to stdout instead of a line.
pub(super) const DUMP: &str = "--dump";
/// The store is damaged.
pub(super) const DAMAGED: u8 = 65;
/// The store can't be used now, whatever is in it.
pub(super) const UNUSABLE: u8 = 74;

/// Does what `args`, which begins with the program's name, asks for if that is a check; else `None`.
///
/// One line says what was found. Ends with 0 if the store is whole or empty, 65 if it is damaged, 74 if it can't be
/// used; any other end is damage, too.
pub fn asked(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let args: Vec<OsString> = args.into_iter().skip(1).take(3).collect();
    let (verb, rest) = args.split_first()?;
    if verb != VERB {
        return None;
    }
    let (dir, dumps) = match rest {
        [dir] => (dir, false),
        [dir, option] if option == DUMP => (dir, true),
        [..] => return Some(said(&format!("usage: epic-scheduler {VERB} DIR"), 64)),
    };
    telemetry::abort_on_panic();
    Some(match check(&PathBuf::from(dir), dumps) {
        Ok(line) => {
            if !dumps {
                // It fails only when nobody reads it.
                writeln!(io::stdout(), "{line}").ok();
            }
            ExitCode::SUCCESS
        }
        Err(error) => said(&chain(&error), if is_damage(&error) { DAMAGED } else { UNUSABLE }),
    })
}

fn check(dir: &Path, dumps: bool) -> Result<String, Error> {
    if !dir.is_dir() {
        return Err(Error::Missing { path: dir.to_owned() });
    }
    let damaged = |flaw: Flaw| Error::Damaged { path: dir.to_owned(), flaw };
    let unheard = |source| Error::Check { path: dir.to_owned(), source };
    let store = Sled::open(dir)?;
    let mut out = dumps.then(|| BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()));
    let mut assembly = Assembly::default();
    store.each(&mut |key, value| {
        assembly.add(key, value).map_err(damaged)?;
        out.as_mut().map_or(Ok(()), |out| dump::write_pair(out, key, value)).map_err(unheard)?;
        Ok(true)
    })?;
    let held = assembly.finish().map_err(damaged)?;
    if let Some(mut out) = out {
        dump::write_end(&mut out).map_err(unheard)?;
    }
    Ok(held.map_or_else(|| "empty".to_owned(), |held| line(&held)))
}

fn line(held: &Held) -> String {
    let (at, after) = (&held.at, held.batches.len());
    let snapshot = held.snapshot.len();
    format!(
        "batch {}, epoch {} of journal {}: a snapshot of {snapshot} bytes at batch {}, {after} batches after it",
        at.batch, at.epoch, at.journal, held.base
    )
}

#[expect(clippy::print_stderr, reason = "the line that says what was found")]
fn said(line: &str, code: u8) -> ExitCode {
    eprintln!("epic-scheduler {VERB}: {line}");
    ExitCode::from(code)
}

/// Tells damage from what the system refuses; what isn't known to be the system's fault is damage.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Damaged { .. } | Error::Panicked { .. } => true,
        Error::Io { source, .. } => !is_refusal(source),
        Error::Disk(_)
        | Error::Gap { .. }
        | Error::Room { .. }
        | Error::Check { .. }
        | Error::Unusable { .. }
        | Error::Missing { .. }
        | Error::InUse { .. } => false,
    }
}

fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    const KINDS: [Kind; 9] = [
        Kind::PermissionDenied,
        Kind::ReadOnlyFilesystem,
        Kind::StorageFull,
        Kind::QuotaExceeded,
        Kind::FileTooLarge,
        Kind::OutOfMemory,
        Kind::ResourceBusy,
        Kind::StaleNetworkFileHandle,
        Kind::NotADirectory,
    ];
    // What the engine says of a store that somebody else has is of no kind.
    let is_locked = error.kind() == Kind::Other && error.to_string().contains("could not acquire lock");
    let codes = [nix::libc::EIO, nix::libc::EMFILE, nix::libc::ENFILE];
    KINDS.contains(&error.kind()) || is_locked || error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

const BUFFER_BYTES: usize = 256 << 10;
