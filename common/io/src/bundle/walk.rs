//! Reads a payload entry by entry and refuses all that could leave its directory or outgrow its bounds.
//!
//! Only directories, files and symbolic links are known; each entry's parent must be a directory entry before it
//! and no path may come twice, so nothing is ever written through a link. The tar headers are read here, since a
//! general reader holds long names of any length in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use epic_common::text;
use tar::Header;

use super::Error;

/// The most entries that a payload may have.
pub(super) const ENTRIES_MAX: usize = 100_000;

/// The most bytes that all paths and link targets may have together: they are held while a payload is read.
pub(super) const NAMES_BYTES_MAX: usize = 8 << 20;

/// The longest path or link target in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// The root entry that an installation adds to say which bundle it is.
pub(super) const MARKER: &str = ".epic-bundle";

const BLOCK: usize = 512;

/// One entry of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Directory,
    File { executable: bool },
    Link { target: String },
}

/// What is done with the entries: nothing when verifying, files when installing.
pub(super) trait Sink {
    /// Makes an entry, whose path is checked and whose parent was made before; returns where its content goes, if anywhere.
    fn entry(&mut self, path: &str, entry: &Entry) -> Result<Option<(File, PathBuf)>, Error>;
    /// Hears how many bytes of the archive were read.
    fn progress(&mut self, unpacked: u64);
}

/// What was found at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Directory,
    File,
    Program,
    Link,
}

/// All entries by their paths; small, since there may be [`ENTRIES_MAX`].
pub(super) type Listing = BTreeMap<Box<str>, Found>;

/// Walks through the payload's tar archive in `archive`, which must have just `unpacked` bytes.
pub(super) fn walk(bundle: &Path, archive: impl Read, unpacked: u64, sink: &mut dyn Sink) -> Result<Listing, Error> {
    let mut walk = Walk { bundle, archive, unpacked, done: 0, names: 0, listing: Listing::new() };
    let (mut long_path, mut long_target) = (None, None);
    while let Some(header) = walk.header()? {
        let size = header.entry_size().map_err(|source| walk.unreadable(source))?;
        let kind = header.entry_type();
        if kind.is_gnu_longname() {
            long_path = Some(walk.long(size)?);
        } else if kind.is_gnu_longlink() {
            long_target = Some(walk.long(size)?);
        } else {
            let path = long_path.take().unwrap_or_else(|| header.path_bytes().into_owned());
            let target = long_target.take().or_else(|| header.link_name_bytes().map(Cow::into_owned));
            let path = walk.path(&path)?;
            let entry = walk.entry(&path, &header, target)?;
            if !matches!(entry, Entry::File { .. }) && size != 0 {
                return Err(walk.refuse(&path, "only files may have content"));
            }
            let out = sink.entry(&path, &entry)?;
            walk.note(path, &entry)?;
            walk.content(size, out, sink)?;
        }
    }
    walk.end()?;
    Ok(walk.listing)
}

/// Tells whether a link's target stays within the root, whatever other links it passes.
///
/// Leading `..` go up from a real directory, at most to the root; from there only names go down, and each of them
/// that is itself a link stays within the root by the same rule. A later `..` would go up from wherever a link led.
pub(super) fn is_target_within(link: &str, target: &str) -> bool {
    let depth = link.split('/').count() - 1;
    let ups = target.split('/').take_while(|part| *part == "..").count();
    let rest = target.split('/').skip(ups).collect::<Vec<_>>().join("/");
    let only_ups = ups > 0 && rest.is_empty() && !target.ends_with('/');
    let is_clean = target.len() <= PATH_BYTES_MAX && !target.chars().any(char::is_control);
    ups <= depth && is_clean && (only_ups || text::is_path_within(&rest))
}

struct Walk<'a, R> {
    bundle: &'a Path,
    archive: R,
    unpacked: u64,
    done: u64,
    /// How many bytes the names in the listing have, with those of link targets.
    names: usize,
    listing: Listing,
}

impl<R: Read> Walk<'_, R> {
    /// Reads the next header; the archive's end is a block of zeros.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if self.listing.len() >= ENTRIES_MAX {
            return Err(self.too_large("its entries".to_owned(), format!("{ENTRIES_MAX} entries")));
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(self.unreadable(io::Error::other("a tar header has a wrong checksum")));
        }
        Ok(Some(header))
    }

    /// Reads the long path or target that belongs to the next header.
    fn long(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        let Some(size) = usize::try_from(size).ok().filter(|size| *size <= PATH_BYTES_MAX + 1) else {
            return Err(self.too_large(format!("a path of {size} bytes"), format!("{PATH_BYTES_MAX} bytes")));
        };
        let mut padded = [0; PATH_BYTES_MAX.next_multiple_of(BLOCK) + BLOCK];
        self.fill(&mut padded[..size.next_multiple_of(BLOCK)])?;
        Ok(padded[..size].split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
    }

    /// Checks an entry's path and that its place is free.
    fn path(&self, bytes: &[u8]) -> Result<String, Error> {
        let shown = String::from_utf8_lossy(bytes).into_owned();
        let Ok(path) = std::str::from_utf8(bytes) else {
            return Err(self.refuse(&shown, "its path is not UTF-8"));
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.chars().any(char::is_control) {
            return Err(self.refuse(path, "its path has control characters"));
        }
        if !text::is_path_within(path) {
            return Err(self.refuse(&shown, "its path must be relative, without . and .., and have at most 1024 bytes"));
        }
        if path == MARKER {
            return Err(self.refuse(path, "this name is kept for the installation"));
        }
        if self.listing.contains_key(path) {
            return Err(self.refuse(path, "it is there twice"));
        }
        let parent = path.rsplit_once('/').map(|(parent, _)| self.listing.get(parent));
        match parent {
            None | Some(Some(Found::Directory)) => Ok(path.to_owned()),
            Some(Some(Found::File | Found::Program | Found::Link)) => {
                Err(self.refuse(path, "it is below something that is not a directory"))
            }
            Some(None) => Err(self.refuse(path, "its directory must come before it")),
        }
    }

    fn entry(&self, path: &str, header: &Header, target: Option<Vec<u8>>) -> Result<Entry, Error> {
        let mode = header.mode().map_err(|source| self.unreadable(source))?;
        let kind = header.entry_type();
        if kind.is_symlink() {
            let target = target.and_then(|target| String::from_utf8(target).ok()).unwrap_or_default();
            if !is_target_within(path, &target) {
                return Err(self.refuse(path, &format!("its link target \"{target}\" could leave the payload")));
            }
            return Ok(Entry::Link { target });
        }
        if !kind.is_file() && !kind.is_dir() {
            return Err(self.refuse(path, "only directories, files and symbolic links are allowed"));
        }
        if mode != 0o755 && (mode != 0o644 || kind.is_dir()) {
            return Err(self.refuse(path, &format!("its mode is {mode:04o}; 0755 is allowed, for files also 0644")));
        }
        Ok(if kind.is_dir() { Entry::Directory } else { Entry::File { executable: mode == 0o755 } })
    }

    fn note(&mut self, path: String, entry: &Entry) -> Result<(), Error> {
        let (found, target) = match entry {
            Entry::Directory => (Found::Directory, 0),
            Entry::File { executable: true } => (Found::Program, 0),
            Entry::File { executable: false } => (Found::File, 0),
            Entry::Link { target } => (Found::Link, target.len()),
        };
        self.names += path.len() + target;
        if self.names > NAMES_BYTES_MAX {
            return Err(self.too_large("its paths and link targets".to_owned(), format!("{NAMES_BYTES_MAX} bytes")));
        }
        self.listing.insert(path.into(), found);
        Ok(())
    }

    fn content(&mut self, size: u64, mut out: Option<(File, PathBuf)>, sink: &mut dyn Sink) -> Result<(), Error> {
        let mut buffer = [0; 1 << 16];
        let mut left = size;
        while left > 0 {
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.fill(&mut buffer[..take])?;
            if let Some((file, path)) = &mut out {
                file.write_all(&buffer[..take]).map_err(Error::io("write", path.as_path()))?;
            }
            sink.progress(self.done);
            left -= take as u64;
        }
        let beyond = usize::try_from(size % BLOCK as u64).unwrap_or(BLOCK);
        self.fill(&mut buffer[..(BLOCK - beyond) % BLOCK])
    }

    /// Reads the zeros after the archive's end.
    fn end(&mut self) -> Result<(), Error> {
        let mut block = [0; BLOCK];
        while self.done < self.unpacked {
            let take = usize::try_from(self.unpacked - self.done).unwrap_or(BLOCK).min(BLOCK);
            self.fill(&mut block[..take])?;
            if block[..take].iter().any(|byte| *byte != 0) {
                return Err(self.unreadable(io::Error::other("something follows the archive's end")));
            }
        }
        match self.archive.read(&mut block[..1]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.outgrown()),
            Err(source) => Err(self.unreadable(source)),
        }
    }

    /// Fills the buffer, never reading beyond what the trailer speaks of.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.done += buffer.len() as u64;
        if self.done > self.unpacked {
            return Err(self.outgrown());
        }
        self.archive.read_exact(buffer).map_err(|source| self.unreadable(source))
    }

    fn outgrown(&self) -> Error {
        self.too_large(
            "its payload unpacks to more than its trailer says".to_owned(),
            format!("{} bytes", self.unpacked),
        )
    }

    fn too_large(&self, what: String, allowed: String) -> Error {
        Error::TooLarge { path: self.bundle.to_owned(), what, allowed }
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::Payload { path: self.bundle.to_owned(), source }
    }

    fn refuse(&self, entry: &str, why: &str) -> Error {
        let clean = |text: &str| text.replace(char::is_control, "\u{fffd}");
        Error::Entry { path: self.bundle.to_owned(), entry: clean(entry), why: clean(why) }
    }
}
