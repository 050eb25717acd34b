//! Unpacks a checked bundle into a directory, all or nothing.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use epic_common::ids::Digest;
use nix::sys::statvfs::statvfs;
use nix::unistd::syncfs;

use super::walk::{Entry, MARKER, Sink};
use super::{Bundle, Error};

/// What an installation leaves free for others on its file system.
pub const RESERVE_BYTES: u64 = 64 << 20;

/// What an installation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The same bundle was installed there already; nothing was read but its mark.
    Already,
    /// The payload was unpacked.
    Now {
        /// Directories, files and links.
        entries: usize,
    },
}

/// Installs the bundle at `path`, whose file must have the sha256 `expected`, as the directory `into`.
///
/// Room and digest are checked before anything is unpacked, and all is on the disk before it is in its place. The payload goes to a directory beside `into` (its name with
/// `.part`; one that a crash left is removed first) that is then renamed, so `into` is there wholly or not at all.
/// The file `.epic-bundle` in it holds the digest: a second call returns at once. Everything belongs to the caller;
/// modes are those of the payload, whatever the umask. `progress` hears bytes done and in total, first of checking, then
/// of unpacking, never backwards. Two calls at once must not have the same `into`.
///
/// # Errors
///
/// Those of [`super::verify`], a digest other than `expected`, something else at `into`, a file system that has no room
/// for the payload and [`RESERVE_BYTES`], and I/O; `into` is then as it was.
pub fn install(
    path: &Path,
    expected: Digest,
    into: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Installed, Error> {
    if marked(into)?.as_deref() == Some(expected.to_string().as_str()) {
        return Ok(Installed::Already);
    }
    if !is_free(into)? {
        return Err(Error::Occupied(into.to_owned()));
    }
    let bundle = Bundle::open(path)?;
    room(into, bundle.unpacked_bytes())?;
    let total = bundle.bytes() + bundle.unpacked_bytes();
    let actual = bundle.digest(&mut |done| progress(done, total))?;
    bundle.compare("sha256", expected, actual)?;
    let part = part_of(into);
    remove(&part)?;
    let installed = unpack(&bundle, &part, &mut |done| progress(bundle.bytes() + done, total)).and_then(|entries| {
        let mark = part.join(MARKER);
        fs::write(&mark, format!("{expected}\n")).map_err(Error::io("write", &mark))?;
        mode(&mark, 0o644)?;
        File::open(&part).and_then(|part| Ok(syncfs(part)?)).map_err(Error::io("sync", &part))?;
        fs::rename(&part, into).map_err(Error::io("rename into place", &part))?;
        let parent = existing(into);
        File::open(&parent).and_then(|parent| parent.sync_all()).map_err(Error::io("sync", parent))?;
        Ok(Installed::Now { entries })
    });
    if installed.is_err() {
        // What went wrong first is what the caller must hear; the next call removes the rest again.
        let _ = remove(&part);
    }
    installed
}

/// Refuses what the file system of `into` has no room for.
fn room(into: &Path, needed: u64) -> Result<(), Error> {
    let place = existing(into);
    let found = statvfs(&place).map_err(|errno| Error::io("look at the room of", &place)(errno.into()))?;
    let free = u128::from(found.blocks_available()) * u128::from(found.fragment_size());
    if free >= u128::from(needed) + u128::from(RESERVE_BYTES) {
        return Ok(());
    }
    Err(Error::NoRoom { path: into.to_owned(), needed, free: u64::try_from(free).unwrap_or(u64::MAX) })
}

/// Returns the nearest directory above `into` that is there.
fn existing(into: &Path) -> PathBuf {
    let above = into.ancestors().skip(1).map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    above.into_iter().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn unpack(bundle: &Bundle, part: &Path, progress: &mut dyn FnMut(u64)) -> Result<usize, Error> {
    fs::create_dir_all(part).map_err(Error::io("create", part))?;
    mode(part, 0o755)?;
    let mut unpack = Unpack { root: part, progress };
    Ok(bundle.walk(&mut unpack)?.len())
}

struct Unpack<'a> {
    root: &'a Path,
    progress: &'a mut dyn FnMut(u64),
}

impl Sink for Unpack<'_> {
    fn entry(&mut self, path: &str, entry: &Entry) -> Result<Option<(File, PathBuf)>, Error> {
        let path = self.root.join(path);
        match entry {
            Entry::Directory => {
                fs::create_dir(&path).map_err(Error::io("create", &path))?;
                mode(&path, 0o755)?;
            }
            Entry::File { executable } => {
                let bits = if *executable { 0o755 } else { 0o644 };
                let file = OpenOptions::new().write(true).create_new(true).mode(bits).open(&path);
                let file = file.map_err(Error::io("create", &path))?;
                mode(&path, bits)?;
                return Ok(Some((file, path)));
            }
            Entry::Link { target } => symlink(target, &path).map_err(Error::io("create", &path))?,
        }
        Ok(None)
    }

    fn progress(&mut self, unpacked: u64) {
        (self.progress)(unpacked);
    }
}

/// Returns the digest of the bundle that is installed at `into`, if one is.
fn marked(into: &Path) -> Result<Option<String>, Error> {
    let mark = into.join(MARKER);
    match fs::read_to_string(&mark) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io("read", mark)(error)),
    }
}

/// Tells whether nothing, or an empty directory, is at `into`.
fn is_free(into: &Path) -> Result<bool, Error> {
    match fs::read_dir(into) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(Error::io("read", into)(error)),
    }
}

fn part_of(into: &Path) -> PathBuf {
    let mut part = into.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

fn remove(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", directory)(error)),
    }
}

fn mode(path: &Path, bits: u32) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(bits)).map_err(Error::io("set the mode of", path))
}
