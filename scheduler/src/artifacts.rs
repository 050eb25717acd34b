//! What executors fetch, by digest: copies in the state directory that no later start needs the originals of.

pub mod receive;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use epic_common::ids::Digest;
use epic_common::manifest::Manifest;
use epic_common::spec::BundleSource;
use epic_common_io::bundle::{self, Bundle};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};

/// What a platform has to know of its bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFacts {
    /// The file's sha256.
    pub digest: Digest,
    /// The file's length.
    pub bytes: u64,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// A file that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

impl Artifact {
    /// Opens the file; `None` if it is gone or has another length than it had.
    pub async fn open(&self) -> Option<tokio::fs::File> {
        let file = tokio::fs::File::open(&self.path).await.ok()?;
        let bytes = file.metadata().await.ok()?.len();
        (bytes == self.bytes).then_some(file)
    }
}

/// The files of one state directory; all methods but [`find`](Self::find) block on the disk.
///
/// Files are only added: an executor of an older program may fetch its own again as long as it lives.
#[derive(Debug)]
pub struct Artifacts {
    folder: PathBuf,
    known: watch::Sender<BTreeMap<Digest, Artifact>>,
    receiving: Semaphore,
    /// Held while a file is added, so that the same one isn't copied twice at once.
    adding: Mutex<()>,
}

/// Why a file can't be an artifact.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory can't be used.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, such as `copy`.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It isn't a bundle that can be used.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// It is another file than was asked for.
    #[error("{} has sha256 {actual}, {expected} was asked for", path.display())]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// Asked for.
        expected: Digest,
        /// There.
        actual: Digest,
    },
    /// Somebody wrote to it at the same time.
    #[error("{} changed while it was being copied; try again once it is complete", .0.display())]
    Changed(PathBuf),
    /// Only its digest was given, and no such file is there.
    #[error(
        "no bundle with sha256 {0} is here; supply it with epicctl bundle push FILE, or name its file as \
         spec.bundle.uri: file:///absolute/path"
    )]
    Unknown(Digest),
}

impl Artifacts {
    /// Opens `<state_dir>/artifacts`, makes it if need be, and knows all that is there by name; contents are not
    /// checked, see [`verify`](Self::verify).
    ///
    /// # Errors
    ///
    /// The directory can't be made or read.
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let folder = state_dir.join("artifacts");
        fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
            let entry = entry.map_err(failed("read", &folder))?;
            let (path, name) = (entry.path(), entry.file_name());
            let metadata = entry.metadata().map_err(failed("read", &path))?;
            let name = name.to_string_lossy();
            if name.ends_with(PART) {
                // A crash left it.
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            } else if let (Ok(digest), true) = (name.parse(), metadata.is_file()) {
                known.insert(digest, Artifact { path, bytes: metadata.len() });
            }
        }
        Ok(Self { folder, known: watch::Sender::new(known), receiving: receive::permits(), adding: Mutex::new(()) })
    }

    /// Finds a file by its digest.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<Artifact> {
        self.known.borrow().get(digest).cloned()
    }

    /// Shows all files, and when others are there or some have gone.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<BTreeMap<Digest, Artifact>> {
        self.known.subscribe()
    }

    /// Reads every file; one that isn't what its name says is set aside as `<name>.damaged`, forgotten and returned.
    ///
    /// # Errors
    ///
    /// The first file that can't be read or set aside.
    pub fn verify(&self) -> Result<Vec<PathBuf>, Error> {
        let known = self.known.borrow().clone();
        let mut damaged = Vec::new();
        for (digest, artifact) in known {
            let path = artifact.path;
            if digest_of(&path)?.0 == digest {
                continue;
            }
            let aside = path.with_extension("damaged");
            fs::rename(&path, &aside).map_err(failed("set aside", &path))?;
            self.forget(&digest);
            damaged.push(aside);
        }
        Ok(damaged)
    }

    /// Does [`verify`](Self::verify) on a thread of its own, and logs what is found; nobody waits for it.
    pub fn verify_in_background(self: &Arc<Self>) {
        let artifacts = Arc::clone(self);
        let verify = move || match artifacts.verify() {
            Ok(damaged) => {
                for path in damaged {
                    tracing::error!(path = %path.display(), "artifact is damaged and set aside: it is fetched from another replica, or supply it with epicctl bundle push");
                }
            }
            Err(error) => tracing::error!(error = crate::chain(&error), "artifacts can't be checked"),
        };
        if let Err(error) = thread::Builder::new().name("artifacts".to_owned()).spawn(verify) {
            tracing::error!(%error, "artifacts can't be checked");
        }
    }

    /// Forgets a file that is no longer there; whoever supplies it makes it known anew.
    pub fn forget(&self, digest: &Digest) {
        self.known.send_if_modified(|known| known.remove(digest).is_some());
    }

    /// Adds the executor's program.
    ///
    /// # Errors
    ///
    /// It isn't a regular file, or can't be copied.
    pub fn add_executor(&self, path: &Path) -> Result<Digest, Error> {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let (digest, bytes) = digest_of(path)?;
        self.copy(path, digest, bytes)?;
        Ok(digest)
    }

    /// Checks a bundle wholly and adds it.
    ///
    /// # Errors
    ///
    /// It isn't a valid bundle, or can't be copied.
    pub fn add_bundle(&self, path: &Path) -> Result<BundleFacts, Error> {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        is_regular(path)?;
        let (digest, bytes) = digest_of(path)?;
        let is_known = self.find(&digest).is_some_and(|known| known.bytes == bytes);
        if !is_known && bundle::verify(path)? != digest {
            return Err(Error::Changed(path.to_owned()));
        }
        self.copy(path, digest, bytes)?;
        self.bundle(&digest)
    }

    /// Reads a bundle that was added before.
    ///
    /// # Errors
    ///
    /// There is none with this digest, or it isn't a bundle.
    pub fn bundle(&self, digest: &Digest) -> Result<BundleFacts, Error> {
        let artifact = self.find(digest).ok_or(Error::Unknown(*digest))?;
        let bundle = Bundle::open(&artifact.path)?;
        Ok(BundleFacts { digest: *digest, bytes: bundle.bytes(), manifest: bundle.manifest().clone() })
    }

    /// Finds the bundle that a platform document names; its file is read only if no such digest is here yet.
    ///
    /// # Errors
    ///
    /// Those of [`add_bundle`](Self::add_bundle), another digest than the document says, or a digest alone that isn't here.
    pub fn resolve(&self, source: &BundleSource) -> Result<BundleFacts, Error> {
        match (source.sha256, source.path.as_str()) {
            (Some(digest), "") => self.bundle(&digest),
            (Some(digest), _) if self.find(&digest).is_some() => self.bundle(&digest),
            (expected, path) => {
                let facts = self.add_bundle(Path::new(path))?;
                match expected {
                    Some(expected) if expected != facts.digest => {
                        Err(Error::WrongDigest { path: path.into(), expected, actual: facts.digest })
                    }
                    Some(_) | None => Ok(facts),
                }
            }
        }
    }

    /// Copies a file under its digest's name, durably and all at once; does nothing if it is there unharmed.
    fn copy(&self, from: &Path, digest: Digest, bytes: u64) -> Result<(), Error> {
        let to = self.folder.join(digest.to_string());
        if digest_of(&to).is_ok_and(|there| there == (digest, bytes)) {
            self.know(digest, to, bytes);
            return Ok(());
        }
        let part = self.folder.join(format!("{digest}{PART}"));
        let copied = copy_to(from, &part).map_err(failed("copy", from)).and_then(|copied| {
            if copied != digest {
                return Err(Error::Changed(from.to_owned()));
            }
            fs::rename(&part, &to).map_err(failed("rename into place", &part))?;
            File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed("write", &self.folder))
        });
        if copied.is_err() {
            // What went wrong first is what the caller must hear.
            let _ = fs::remove_file(&part);
        }
        copied?;
        self.know(digest, to, bytes);
        Ok(())
    }

    fn know(&self, digest: Digest, path: PathBuf, bytes: u64) {
        let fresh = Artifact { path, bytes };
        self.known.send_if_modified(|known| known.insert(digest, fresh.clone()) != Some(fresh));
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { operation, path, source }
}

/// Opening a pipe or a device could block for ever.
fn is_regular(path: &Path) -> Result<(), Error> {
    let metadata = fs::metadata(path).map_err(failed("read", path))?;
    if metadata.is_file() { Ok(()) } else { Err(failed("read", path)(io::Error::other("it is not a regular file"))) }
}

fn digest_of(path: &Path) -> Result<(Digest, u64), Error> {
    is_regular(path)?;
    let file = File::open(path).map_err(failed("read", path))?;
    pour(file, &mut io::sink()).map_err(failed("read", path))
}

fn copy_to(from: &Path, to: &Path) -> io::Result<Digest> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(to)?;
    let (digest, _) = pour(File::open(from)?, &mut file)?;
    file.sync_all()?;
    Ok(digest)
}

fn pour(mut from: File, to: &mut dyn Write) -> io::Result<(Digest, u64)> {
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 17], 0);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((Digest(hash.finalize().into()), bytes));
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
}

const PART: &str = ".part";
