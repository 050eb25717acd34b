//! Asks a child process what is in a store, and sets a damaged one aside.

use std::fs;
use std::io::{self, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing::warn;

use super::error::Flaw;
use super::held::Held;
use super::image::Assembly;
use super::{Error, NAME, check, dump};
use crate::journal::disk;

/// The program that looks at a store before anybody else does.
#[derive(Clone, Debug)]
pub struct Checker {
    program: PathBuf,
    within: Duration,
}

/// What a child found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The store is as it was written: this, or empty.
    Whole(Option<Held>),
    /// It isn't.
    Damaged(Flaw),
    /// Nobody can say now, for this reason.
    Unusable(String),
}

impl Checker {
    /// Takes this very program, also after its file was replaced by a newer one.
    #[must_use]
    pub fn own() -> Self {
        Self::of("/proc/self/exe")
    }

    /// Takes another `epic-scheduler`.
    #[must_use]
    pub fn of(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), within: WITHIN }
    }

    /// Takes a check that lasts longer than this for damage; a minute if it isn't said.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Lets a child open the store in this directory, and reads what it holds.
    pub(super) fn examine(&self, dir: &Path) -> Result<Verdict, Error> {
        let failed = |source| Error::Check { path: dir.to_owned(), source };
        let mut command = Command::new(&self.program);
        command.arg0("epic-scheduler").arg(check::VERB).arg(dir).arg(check::DUMP).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let outcome = self.hear(&mut child);
        if outcome.is_err() {
            // It may have ended by itself.
            child.kill().ok();
        }
        let status = child.wait().map_err(failed)?;
        Ok(match outcome.map_err(failed)? {
            Some(report) => verdict(status, report),
            None => Verdict::Damaged(Flaw::Check(format!("did not end within {} s", self.within.as_secs()))),
        })
    }

    /// Reads what a child says until it ends; `None`, and the child is killed, if it takes too long.
    fn hear(&self, child: &mut Child) -> io::Result<Option<Report>> {
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("a child without ends of its pipes"));
        };
        let (tell, heard) = mpsc::channel();
        let also = tell.clone();
        let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
        spawn("store-check-out").spawn(move || tell.send(Heard::Held(assemble(stdout))))?;
        spawn("store-check-err").spawn(move || also.send(Heard::Said(first_line(stderr))))?;
        let (mut held, mut said) = (None, None);
        while held.is_none() || said.is_none() {
            match heard.recv_timeout(self.within) {
                Ok(Heard::Held(whole)) => held = Some(whole),
                Ok(Heard::Said(line)) => said = Some(line),
                Err(_) => {
                    child.kill()?;
                    return Ok(None);
                }
            }
        }
        Ok(held.zip(said).map(|(held, said)| Report { held, said }))
    }
}

/// All that a child said.
struct Report {
    held: Result<Option<Held>, Flaw>,
    said: String,
}

enum Heard {
    Held(Result<Option<Held>, Flaw>),
    Said(String),
}

/// Moves a damaged store out of the way for whoever wants to look at it; the last two are kept.
pub(super) fn set_aside(state_dir: &Path, flaw: &Flaw) -> Result<(), Error> {
    let aside = damaged(state_dir)?;
    let number = aside.last().map_or(1, |(number, _)| number + 1);
    let (from, to) = (state_dir.join(NAME), state_dir.join(format!("{DAMAGED}{number}")));
    fs::rename(&from, &to).map_err(Error::io("set aside", &from))?;
    disk::sync_dir(state_dir)?;
    warn!(why = %flaw, kept = %to.display(), "the store is damaged and was set aside; it is made anew from ZooKeeper");
    for (_, path) in aside.iter().rev().skip(KEPT - 1) {
        fs::remove_dir_all(path).map_err(Error::io("remove", path))?;
    }
    Ok(())
}

/// Gives back the space of all that was set aside.
pub(super) fn remove_set_aside(state_dir: &Path) -> Result<(), Error> {
    for (_, path) in damaged(state_dir)? {
        fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        warn!(path = %path.display(), "removed a damaged store that was set aside, since the disk is full");
    }
    Ok(())
}

/// Lists what was set aside, in that order.
fn damaged(state_dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let failed = Error::io("list", state_dir);
    let names = fs::read_dir(state_dir).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let names: Vec<_> = names.map_err(failed)?;
    let number = |name: &str| name.strip_prefix(DAMAGED)?.parse().ok();
    let found = names.iter().filter_map(|name| Some((number(name.to_str()?)?, state_dir.join(name))));
    let mut found: Vec<(u64, PathBuf)> = found.collect();
    found.sort();
    Ok(found)
}

fn verdict(status: ExitStatus, Report { held, said }: Report) -> Verdict {
    match (status.code(), held) {
        (Some(0), Ok(held)) => Verdict::Whole(held),
        (Some(0), Err(flaw)) => Verdict::Damaged(flaw),
        (Some(code), _) if code == i32::from(check::UNUSABLE) => Verdict::Unusable(said),
        (Some(code), _) if code == i32::from(check::DAMAGED) => Verdict::Damaged(Flaw::Check(format!("says: {said}"))),
        (Some(_) | None, _) => Verdict::Damaged(Flaw::Check(format!("ended with {status}: {said}"))),
    }
}

/// Adds up what a child writes; it is proved here once more.
fn assemble(stdout: impl Read) -> Result<Option<Held>, Flaw> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, stdout.take(HELD_BYTES_MAX));
    let mut assembly = Assembly::default();
    let cut = |error: io::Error| Flaw::Check(format!("was cut short: {error}"));
    while let Some((key, value)) = dump::read_pair(&mut from).map_err(cut)? {
        assembly.add(&key, &value)?;
    }
    // It may have things to do after its last word; what counts is how it ends.
    io::copy(&mut from, &mut io::sink()).map_err(cut)?;
    assembly.finish()
}

fn first_line(stderr: impl Read) -> String {
    let mut from = BufReader::new(stderr);
    let mut text = Vec::new();
    // What can't be read is told by how the child ends.
    from.by_ref().take(LINE_BYTES_MAX).read_to_end(&mut text).ok();
    io::copy(&mut from, &mut io::sink()).ok();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(2);
    let line = lines.collect::<Vec<_>>().join(" ");
    line.trim_start_matches("epic-scheduler store-check: ").to_owned()
}

const WITHIN: Duration = Duration::from_secs(60);
const DAMAGED: &str = "store.damaged-";
const KEPT: usize = 2;
const BUFFER_BYTES: usize = 256 << 10;
/// A store of 100,000 tasks has some 50 MB.
const HELD_BYTES_MAX: u64 = 2 << 30;
const LINE_BYTES_MAX: u64 = 2048;
