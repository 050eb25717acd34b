//! Makes a bundle from a directory, the same bytes from the same input.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use epic_common::ids::Digest;
use epic_common::manifest::Manifest;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::trailer::Trailer;
use super::walk::{ENTRIES_MAX, is_target_within};
use super::{Error, MANIFEST_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// A bundle that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The sha256 of the file.
    pub digest: Digest,
    /// The length of the file in bytes.
    pub bytes: u64,
}

/// Makes the bundle `out_file` from `manifest.yaml` and `payload/` in `source_dir`, and verifies it.
///
/// The same input gives the same bytes: entries are sorted by name, belong to 0:0, have the time 0 and the mode 0755
/// (directories, and files that their owner may execute) or 0644. Only names, contents, that bit and link targets count.
/// A file that is at `out_file` is replaced once the new one is complete.
///
/// # Errors
///
/// A manifest that isn't valid, whatever [`super::verify`] refuses, set-id bits, and I/O.
pub fn build(source_dir: &Path, out_file: &Path) -> Result<Built, Error> {
    let manifest_path = source_dir.join("manifest.yaml");
    let yaml = read_manifest(&manifest_path)?;
    let manifest = Manifest::parse(&yaml).map_err(|source| Error::Manifest { path: manifest_path, source })?;
    let payload = source_dir.join("payload");
    let mut entries = Vec::new();
    list(&payload, "", &mut entries)?;
    let part = part_of(out_file);
    let built = write(&part, &manifest, &yaml, &entries).and_then(|bytes| {
        let digest = super::verify(&part)?;
        fs::rename(&part, out_file).map_err(Error::io("rename into place", &part))?;
        Ok(Built { digest, bytes })
    });
    if built.is_err() {
        // What went wrong first is what the caller must hear.
        let _ = fs::remove_file(&part);
    }
    built
}

struct Source {
    source: PathBuf,
    /// Path in the payload.
    path: String,
    kind: Kind,
}

enum Kind {
    Directory,
    File { mode: u32, bytes: u64 },
    Link(PathBuf),
}

fn read_manifest(path: &Path) -> Result<String, Error> {
    let bytes = fs::metadata(path).map_err(Error::io("read", path))?.len();
    if bytes > MANIFEST_BYTES_MAX {
        let (what, allowed) = (format!("it has {bytes} bytes"), format!("{MANIFEST_BYTES_MAX} bytes"));
        return Err(Error::TooLarge { path: path.to_owned(), what, allowed });
    }
    fs::read_to_string(path).map_err(Error::io("read", path))
}

/// Lists what is in `directory`, which is `below` the payload's root, each directory before its content.
fn list(directory: &Path, below: &str, found: &mut Vec<Source>) -> Result<(), Error> {
    let entries = fs::read_dir(directory).map_err(Error::io("read", directory))?;
    let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(Error::io("read", directory))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let source = entry.path();
        let name = entry.file_name();
        let path = format!("{below}{}", name.to_string_lossy());
        if name.to_str().is_none() {
            return Err(refuse(&source, &path, "its name is not UTF-8"));
        }
        if found.len() >= ENTRIES_MAX {
            let (what, allowed) = ("its entries".to_owned(), format!("{ENTRIES_MAX} entries"));
            return Err(Error::TooLarge { path: source, what, allowed });
        }
        let kind = kind(&source, &path)?;
        let inside = matches!(kind, Kind::Directory).then(|| format!("{path}/"));
        found.push(Source { source: source.clone(), path, kind });
        if let Some(inside) = inside {
            list(&source, &inside, found)?;
        }
    }
    Ok(())
}

/// Tells what is at `source`, which is to become the entry `path`.
fn kind(source: &Path, path: &str) -> Result<Kind, Error> {
    let metadata = fs::symlink_metadata(source).map_err(Error::io("read", source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_dir() {
        Ok(Kind::Directory)
    } else if metadata.is_file() && mode & 0o6000 != 0 {
        Err(refuse(source, path, &format!("its mode {mode:04o} sets a user or group id")))
    } else if metadata.is_file() {
        Ok(Kind::File { mode, bytes: metadata.len() })
    } else if metadata.is_symlink() {
        let target = fs::read_link(source).map_err(Error::io("read", source))?;
        if target.to_str().is_some_and(|target| is_target_within(path, target)) {
            return Ok(Kind::Link(target));
        }
        let target = target.display();
        Err(refuse(source, path, &format!("its link target \"{target}\" could leave the payload")))
    } else {
        Err(refuse(source, path, "only directories, files and symbolic links are allowed"))
    }
}

fn refuse(source: &Path, entry: &str, why: &str) -> Error {
    Error::Entry { path: source.to_owned(), entry: entry.to_owned(), why: why.to_owned() }
}

fn write(out_file: &Path, manifest: &Manifest, yaml: &str, entries: &[Source]) -> Result<u64, Error> {
    let failed = |source| Error::Io { operation: "write", path: out_file.to_owned(), source };
    let stub = STUB.replace("@DISTRO@", &manifest.distro_id).replace("@VERSION@", &manifest.version);
    let mut out = Out { file: BufWriter::new(File::create(out_file).map_err(failed)?), hash: Sha256::new(), bytes: 0 };
    out.write_all(stub.as_bytes()).map_err(failed)?;
    let zstd = zstd::stream::write::Encoder::new(&mut out, LEVEL).map_err(failed)?;
    let mut archive = tar::Builder::new(Counted { inner: zstd, bytes: 0 });
    for entry in entries {
        append(&mut archive, entry, out_file)?;
    }
    let counted = archive.into_inner().map_err(failed)?;
    let unpacked = counted.bytes;
    counted.inner.finish().map_err(failed)?;
    let stub = stub.len() as u64;
    let mut trailer =
        Trailer { stub, payload: out.bytes - stub, manifest: yaml.len() as u64, unpacked, digest: Digest([0; 32]) };
    out.write_all(yaml.as_bytes()).map_err(failed)?;
    out.write_all(trailer.fields().as_bytes()).map_err(failed)?;
    trailer.digest = Digest(out.hash.clone().finalize().into());
    out.write_all(trailer.digest.to_string().as_bytes()).map_err(failed)?;
    out.file.flush().map_err(failed)?;
    fs::set_permissions(out_file, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(out.bytes)
}

fn append<W: Write>(archive: &mut tar::Builder<Counted<W>>, entry: &Source, out_file: &Path) -> Result<(), Error> {
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    let (kind, mode) = match &entry.kind {
        Kind::Directory => (EntryType::Directory, 0o755),
        Kind::File { mode, .. } => (EntryType::Regular, if mode & 0o100 == 0 { 0o644 } else { 0o755 }),
        Kind::Link(_) => (EntryType::Symlink, 0o777),
    };
    header.set_entry_type(kind);
    header.set_mode(mode);
    let written = match &entry.kind {
        Kind::Directory => archive.append_data(&mut header, &entry.path, io::empty()),
        Kind::Link(target) => archive.append_link(&mut header, &entry.path, target),
        Kind::File { bytes, .. } => {
            header.set_size(*bytes);
            let file = File::open(&entry.source).map_err(Error::io("open", &entry.source))?;
            let mut content = Counted { inner: file.take(*bytes), bytes: 0 };
            let written = archive.append_data(&mut header, &entry.path, &mut content);
            if content.bytes != *bytes {
                let shrunk = io::Error::other(format!("it had {bytes} bytes before, now {}", content.bytes));
                return Err(Error::io("read", &entry.source)(shrunk));
            }
            written
        }
    };
    written.map_err(Error::io("write", out_file))?;
    if archive.get_ref().bytes > PAYLOAD_BYTES_MAX {
        let (what, allowed) = ("its unpacked payload".to_owned(), format!("{PAYLOAD_BYTES_MAX} bytes"));
        return Err(Error::TooLarge { path: out_file.to_owned(), what, allowed });
    }
    Ok(())
}

/// Hashes and counts all that goes into the file.
struct Out {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Counts all that goes through.
struct Counted<T> {
    inner: T,
    bytes: u64,
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

fn part_of(out_file: &Path) -> PathBuf {
    let mut part = out_file.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

const STUB: &str = include_str!("stub.sh");

/// Of a platform's programs this takes a second for 50 MB; 19 takes a minute for a tenth less.
const LEVEL: i32 = 9;
