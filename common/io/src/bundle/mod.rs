//! Bundles: one file with a shell stub, a compressed payload, a manifest and a trailer.
//!
//! A bundle's identity is the sha256 of its whole file, as `sha256sum` shows it. The layout is in
//! `docs/reference/bundle-format.md`. All functions block; async callers use `spawn_blocking`.

mod build;
mod error;
mod install;
mod trailer;
mod walk;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use epic_common::ids::Digest;
use epic_common::manifest::{Manifest, Probe, Service};
use sha2::{Digest as _, Sha256};

pub use build::{Built, build};
pub use error::Error;
pub use install::{Installed, RESERVE_BYTES, install};
use trailer::{Refused, Trailer};
use walk::{Entry, Found, Listing, Sink};

/// A bundle whose trailer and manifest are read and valid; its bytes are not checked yet.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    file: File,
    bytes: u64,
    trailer: Trailer,
    yaml: String,
    manifest: Manifest,
}

impl Bundle {
    /// Reads a bundle's trailer and manifest: a few KiB, whatever the bundle's size.
    ///
    /// # Errors
    ///
    /// Not a bundle, truncated, another format, lengths that don't add up, a manifest that isn't valid, or bounds
    /// exceeded: 64 KiB of stub, 256 KiB of manifest, 4 GiB of file and of unpacked payload. A wrong digest is not
    /// noticed here, see [`verify`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let mut file = File::open(&path).map_err(Error::io("open", &path))?;
        let (trailer, bytes) = read_trailer(&path, &mut file)?;
        let mut yaml = Vec::new();
        file.seek(SeekFrom::Start(trailer.stub + trailer.payload)).map_err(Error::io("read", &path))?;
        (&file).take(trailer.manifest).read_to_end(&mut yaml).map_err(Error::io("read", &path))?;
        let yaml = String::from_utf8(yaml)
            .map_err(|_| Error::Damaged { path: path.clone(), why: "its manifest is not UTF-8".to_owned() })?;
        let manifest = Manifest::parse(&yaml).map_err(|source| Error::Manifest { path: path.clone(), source })?;
        Ok(Self { path, file, bytes, trailer, yaml, manifest })
    }

    /// Returns what the bundle says of itself.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the manifest as it is written.
    #[must_use]
    pub fn manifest_yaml(&self) -> &str {
        &self.yaml
    }

    /// Returns the length of the file in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the length of the unpacked payload in bytes (as a tar archive), as the trailer says.
    #[must_use]
    pub const fn unpacked_bytes(&self) -> u64 {
        self.trailer.unpacked
    }

    /// Reads the whole file, checks the trailer's sha256 and returns that of the file, the bundle's identity.
    ///
    /// # Errors
    ///
    /// A wrong sha256 in the trailer, and I/O.
    pub fn file_digest(&self) -> Result<Digest, Error> {
        self.digest(&mut |_| {})
    }

    /// Reads the whole file, checks the trailer's sha256 and returns that of the file.
    fn digest(&self, progress: &mut dyn FnMut(u64)) -> Result<Digest, Error> {
        let covered = self.bytes - trailer::DIGEST_BYTES;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(Error::io("read", &self.path))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut done = 0;
        while done < self.bytes {
            let end = if done < covered { covered } else { self.bytes };
            let take = usize::try_from(end - done).unwrap_or(usize::MAX).min(buffer.len());
            file.read_exact(&mut buffer[..take]).map_err(Error::io("read", &self.path))?;
            hash.update(&buffer[..take]);
            done += take as u64;
            if done == covered {
                let actual = Digest(hash.clone().finalize().into());
                self.compare("sha256 in its trailer", self.trailer.digest, actual)?;
            }
            progress(done);
        }
        Ok(Digest(hash.finalize().into()))
    }

    fn compare(&self, which: &'static str, expected: Digest, actual: Digest) -> Result<(), Error> {
        if expected == actual {
            Ok(())
        } else {
            Err(Error::WrongDigest { path: self.path.clone(), which, expected, actual })
        }
    }

    /// Gives each entry of the payload to `sink` and checks that all that the manifest names is there.
    fn walk(&self, sink: &mut dyn Sink) -> Result<Listing, Error> {
        let unreadable = |source: io::Error| Error::Payload { path: self.path.clone(), source };
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.trailer.stub)).map_err(Error::io("read", &self.path))?;
        let payload = BufReader::with_capacity(1 << 16, file.take(self.trailer.payload));
        let mut archive = zstd::stream::read::Decoder::with_buffer(payload).map_err(unreadable)?;
        archive.window_log_max(WINDOW_LOG_MAX).map_err(unreadable)?;
        let listing = walk::walk(&self.path, archive, self.trailer.unpacked, sink)?;
        for service in self.manifest.roles.iter().flat_map(|role| &role.services) {
            self.named_are_there(service, &listing)?;
        }
        Ok(listing)
    }

    fn named_are_there(&self, service: &Service, listing: &Listing) -> Result<(), Error> {
        let missing = |entry: &str, why: String| Error::Entry { path: self.path.clone(), entry: entry.to_owned(), why };
        for template in &service.templates {
            if !matches!(listing.get(&*template.source), Some(Found::File | Found::Program | Found::Link)) {
                return Err(missing(
                    &template.source,
                    format!("service {} has it as a template, but it is no file", service.id),
                ));
            }
        }
        let probe = match service.health.as_ref().map(|health| &health.probe) {
            Some(Probe::Command(command)) => command.first(),
            Some(Probe::Http { .. } | Probe::Tcp { .. }) | None => None,
        };
        for program in service.command.first().into_iter().chain(probe) {
            let in_payload = !program.starts_with('/') && !program.contains("{{");
            let runs = matches!(listing.get(&**program), Some(Found::Program | Found::Link));
            if in_payload && !runs {
                return Err(missing(program, format!("service {} runs it, but it is no executable file", service.id)));
            }
        }
        Ok(())
    }
}

/// Checks a bundle wholly and returns the sha256 of its file; writes nothing.
///
/// # Errors
///
/// Those of [`Bundle::open`], a wrong sha256 in the trailer, and whatever [`install`] would refuse in the payload.
pub fn verify(path: impl Into<PathBuf>) -> Result<Digest, Error> {
    let bundle = Bundle::open(path)?;
    let digest = bundle.digest(&mut |_| {})?;
    bundle.walk(&mut Nowhere)?;
    Ok(digest)
}

struct Nowhere;

impl Sink for Nowhere {
    fn entry(&mut self, _: &str, _: &Entry) -> Result<Option<(File, PathBuf)>, Error> {
        Ok(None)
    }

    fn progress(&mut self, _: u64) {}
}

fn read_trailer(path: &Path, file: &mut File) -> Result<(Trailer, u64), Error> {
    let found = file.metadata().map_err(Error::io("read", path))?.len();
    let mut head = Vec::new();
    file.take(STUB_HEAD.len() as u64).read_to_end(&mut head).map_err(Error::io("read", path))?;
    let missing = || match head.as_slice() {
        STUB_HEAD => Error::Truncated { path: path.to_owned(), found, expected: None },
        _ => Error::NotABundle(path.to_owned()),
    };
    let mut bytes = [0; trailer::BYTES];
    let start = found.checked_sub(trailer::BYTES as u64).ok_or_else(missing)?;
    file.seek(SeekFrom::Start(start)).map_err(Error::io("read", path))?;
    file.read_exact(&mut bytes).map_err(Error::io("read", path))?;
    let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
    let trailer = Trailer::parse(&bytes).map_err(|refused| match refused {
        Refused::NoMagic => missing(),
        Refused::Format(found) => Error::Format { path: path.to_owned(), found },
        Refused::Malformed => damaged("its trailer can't be read".to_owned()),
    })?;
    let bounds = [
        ("stub", trailer.stub, STUB_BYTES_MAX),
        ("manifest", trailer.manifest, MANIFEST_BYTES_MAX),
        ("payload", trailer.payload, PAYLOAD_BYTES_MAX),
        ("unpacked payload", trailer.unpacked, PAYLOAD_BYTES_MAX),
    ];
    for (what, bytes, max) in bounds {
        if bytes > max {
            let (what, allowed) = (format!("its {what} has {bytes} bytes"), format!("{max} bytes"));
            return Err(Error::TooLarge { path: path.to_owned(), what, allowed });
        }
    }
    match trailer.file_bytes() {
        Some(expected) if expected == found => Ok((trailer, found)),
        Some(expected) if expected < found => Err(damaged(format!("it has {} bytes too many", found - expected))),
        expected => Err(Error::Truncated { path: path.to_owned(), found, expected }),
    }
}

/// The longest that a bundle's file may be, in bytes.
pub const FILE_BYTES_MAX: u64 = STUB_BYTES_MAX + MANIFEST_BYTES_MAX + PAYLOAD_BYTES_MAX + trailer::BYTES as u64;

const STUB_HEAD: &[u8] = b"#!/bin/sh\n# EPIC bundle";
const STUB_BYTES_MAX: u64 = 64 << 10;
const MANIFEST_BYTES_MAX: u64 = 256 << 10;
/// Compressed or not.
const PAYLOAD_BYTES_MAX: u64 = 4 << 30;
/// 8 MiB, what every decoder should take (RFC 8878, 3.1.1.1.2) and twice what [`build`] needs; it is held in memory by executors.
const WINDOW_LOG_MAX: u32 = 23;
