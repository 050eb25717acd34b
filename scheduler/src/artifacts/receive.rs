//! Takes a file in as its bytes come: within bounds, beside the others, and kept only if it is what it has to be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use epic_common::ids::Digest;
use epic_common::resources::Bytes as Amount;
use epic_common_io::bundle;
use futures_util::stream::{Stream, StreamExt as _};
use nix::sys::statvfs::statvfs;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::{Artifacts, PART};
use crate::chain;

/// What a file has to be beside having its sha256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bundle that can be used.
    Bundle,
    /// Anything: the journal names this sha256.
    Named,
}

/// How fast bytes have to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The longest time without any.
    pub silence: Duration,
    /// The time that is given for nothing.
    pub grace: Duration,
    /// After that, as many as these in each second on average.
    pub bytes_per_second: u64,
}

impl Default for Pace {
    /// 10 seconds of silence, a minute of grace, then 64 KiB a second.
    fn default() -> Self {
        Self { silence: Duration::from_secs(10), grace: Duration::from_secs(60), bytes_per_second: 64 * 1024 }
    }
}

/// Why a file wasn't taken in; nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others are being taken in.
    #[error("{RECEIVING_MAX} artifacts are being received already; try again in a moment")]
    Busy,
    /// It is longer than any bundle may be.
    #[error("it is larger than {} bytes, and no bundle may be", bundle::FILE_BYTES_MAX)]
    TooLarge,
    /// Its bytes didn't come fast enough.
    #[error("it came too slowly: {received} bytes in {} s", took.as_secs())]
    Slow {
        /// Bytes that came.
        received: u64,
        /// In this time.
        took: Duration,
    },
    /// It ended before its end.
    #[error("it broke off after {received} bytes: {why}")]
    Cut {
        /// Bytes that came.
        received: u64,
        /// What the sender's side says.
        why: String,
    },
    /// It is another file.
    #[error("what came has sha256 {actual}, {expected} was announced: {received} bytes came")]
    WrongDigest {
        /// Announced.
        expected: Digest,
        /// Of what came.
        actual: Digest,
        /// Bytes that came.
        received: u64,
    },
    /// It has its sha256 and can't be used all the same.
    #[error("{why}")]
    NotABundle {
        /// Why not.
        why: String,
    },
    /// There is no room for it.
    #[error("{needed} are needed, {free} are free on the disk of {}", folder.display())]
    Full {
        /// Its length.
        needed: Amount,
        /// What is left.
        free: Amount,
        /// Where it would be.
        folder: PathBuf,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] super::Error),
}

impl Error {
    /// Tells whether more room on the disk would have helped.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        match self {
            Self::Full { .. } => true,
            Self::Disk(super::Error::Io { source, .. }) => full.contains(&source.kind()),
            Self::Busy
            | Self::TooLarge
            | Self::Slow { .. }
            | Self::Cut { .. }
            | Self::WrongDigest { .. }
            | Self::NotABundle { .. }
            | Self::Disk(_) => false,
        }
    }
}

/// What is asked to be taken in.
#[derive(Clone, Copy, Debug)]
pub struct Announced {
    /// Its sha256.
    pub digest: Digest,
    /// What it has to be.
    pub kind: Kind,
    /// Its length, if the sender says.
    pub bytes: Option<u64>,
}

/// Takes in a file whose bytes come as `pieces`, and returns its length once it is durable under its name.
///
/// Few pieces are in memory at a time. At most [`RECEIVING_MAX`] files are taken in at once, each of at most
/// [`bundle::FILE_BYTES_MAX`] bytes. If the future is dropped, nothing stays.
///
/// # Errors
///
/// The first bound or check that it fails.
pub async fn receive<E: std::error::Error + 'static>(
    artifacts: &Arc<Artifacts>,
    announced: Announced,
    pieces: impl Stream<Item = Result<Bytes, E>>,
    pace: Pace,
) -> Result<u64, Error> {
    let Ok(_permit) = artifacts.receiving.try_acquire() else { return Err(Error::Busy) };
    if announced.bytes.is_some_and(|bytes| bytes > bundle::FILE_BYTES_MAX) {
        return Err(Error::TooLarge);
    }
    let (send, received) = mpsc::channel(PIECES);
    let (store, begun) = (Arc::clone(artifacts), announced);
    let writer = tokio::task::spawn_blocking(move || write(&store, begun, received));
    match pass_on(pieces, &send, pace).await {
        // A writer that ended before the end says why.
        Ok(()) => drop(send),
        Err(error) => {
            drop(send);
            // Only then is its part gone.
            writer.await.ok();
            return Err(error);
        }
    }
    writer.await.unwrap_or_else(|died| Err(Error::Cut { received: 0, why: died.to_string() }))
}

/// Reads on and keeps nothing, so that a sender hears the answer.
///
/// # Errors
///
/// It is too slow, too long or breaks off.
pub async fn drain<E: std::error::Error + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>>,
    pace: Pace,
) -> Result<(), Error> {
    let (send, mut received) = mpsc::channel(PIECES);
    let (passed, ()) = tokio::join!(
        async {
            let passed = pass_on(pieces, &send, pace).await;
            drop(send);
            passed
        },
        async { while received.recv().await.is_some() {} }
    );
    passed
}

/// One step of a file on its way to the disk.
enum Step {
    Piece(Bytes),
    End,
}

async fn pass_on<E: std::error::Error + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>>,
    send: &mpsc::Sender<Step>,
    pace: Pace,
) -> Result<(), Error> {
    let mut pieces = std::pin::pin!(pieces);
    let (began, mut received) = (Instant::now(), 0);
    loop {
        let allowed = pace.grace + Duration::from_secs(received / pace.bytes_per_second.max(1));
        let until = (Instant::now() + pace.silence).min(began + allowed);
        let step = match timeout_at(until, pieces.next()).await {
            Err(_) => return Err(Error::Slow { received, took: began.elapsed() }),
            Ok(Some(Err(error))) => return Err(Error::Cut { received, why: chain(&error) }),
            Ok(Some(Ok(piece))) => {
                received += piece.len() as u64;
                if received > bundle::FILE_BYTES_MAX {
                    return Err(Error::TooLarge);
                }
                Step::Piece(piece)
            }
            Ok(None) => Step::End,
        };
        let is_end = matches!(step, Step::End);
        if send.send(step).await.is_err() || is_end {
            return Ok(());
        }
    }
}

/// A file that goes with its owner unless it is kept.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // What is kept was renamed, and what stays is removed at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

fn write(artifacts: &Artifacts, announced: Announced, mut steps: mpsc::Receiver<Step>) -> Result<u64, Error> {
    let folder = &artifacts.folder;
    if let (Some(bytes), Ok(disk)) = (announced.bytes, statvfs(folder)) {
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free < bytes {
            return Err(Error::Full { needed: Amount(bytes), free: Amount(free), folder: folder.clone() });
        }
    }
    let part = Part(folder.join(format!("{}.{}{PART}", announced.digest, uuid::Uuid::new_v4())));
    let failed = |source| super::Error::Io { operation: "write", path: part.0.clone(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).open(&part.0).map_err(failed)?;
    let (mut hash, mut received) = (Sha256::new(), 0);
    loop {
        match steps.blocking_recv() {
            Some(Step::Piece(piece)) => {
                hash.update(&piece);
                file.write_all(&piece).map_err(failed)?;
                received += piece.len() as u64;
            }
            Some(Step::End) => break,
            None => return Err(Error::Cut { received, why: "nobody sends any more".to_owned() }),
        }
    }
    let actual = Digest(hash.finalize().into());
    if actual != announced.digest {
        return Err(Error::WrongDigest { expected: announced.digest, actual, received });
    }
    file.sync_all().map_err(failed)?;
    keep(artifacts, announced, &part, received)?;
    Ok(received)
}

/// Gives a whole file its name.
fn keep(artifacts: &Artifacts, announced: Announced, part: &Part, bytes: u64) -> Result<(), Error> {
    if announced.kind == Kind::Bundle
        && let Err(error) = bundle::verify(&part.0)
    {
        let why = chain(&error).replace(&part.0.display().to_string(), "what came");
        return Err(Error::NotABundle { why });
    }
    let to = artifacts.folder.join(announced.digest.to_string());
    fs::rename(&part.0, &to).map_err(super::failed("rename into place", &part.0))?;
    let synced = File::open(&artifacts.folder).and_then(|folder| folder.sync_all());
    synced.map_err(super::failed("write", &artifacts.folder))?;
    artifacts.know(announced.digest, to, bytes);
    Ok(())
}

/// Returns as many permits as files may be taken in at once.
pub(super) const fn permits() -> Semaphore {
    Semaphore::const_new(RECEIVING_MAX)
}

/// Files that are taken in at once.
pub const RECEIVING_MAX: usize = 4;
/// Pieces on their way to the disk.
const PIECES: usize = 8;

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tempfile::TempDir;

    use super::*;

    const PACE: Pace =
        Pace { silence: Duration::from_millis(50), grace: Duration::from_secs(60), bytes_per_second: 64 * 1024 };

    fn store() -> (TempDir, Arc<Artifacts>) {
        let folder = TempDir::new().unwrap();
        let artifacts = Arc::new(Artifacts::open(folder.path()).unwrap());
        (folder, artifacts)
    }

    fn files(folder: &TempDir) -> usize {
        fs::read_dir(folder.path().join("artifacts")).unwrap().count()
    }

    fn named(content: &[u8]) -> Announced {
        Announced { digest: Digest(Sha256::digest(content).into()), kind: Kind::Named, bytes: None }
    }

    fn pieces(content: &[&'static str]) -> impl Stream<Item = io::Result<Bytes>> {
        stream::iter(content.iter().map(|piece| Ok(Bytes::from(*piece))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn a_file_in_pieces_is_there_as_a_whole() {
        let (folder, artifacts) = store();
        let announced = named(b"hello world");
        assert_eq!(receive(&artifacts, announced, pieces(&["hello", "", " world"]), PACE).await.unwrap(), 11);
        let path = artifacts.find(&announced.digest).unwrap().path;
        assert_eq!(fs::read(path).unwrap(), b"hello world");
        assert_eq!(files(&folder), 1);
    }

    #[tokio::test]
    async fn what_stops_coming_is_cut_off_and_leaves_nothing() {
        let (folder, artifacts) = store();
        let silent = pieces(&["hel"]).chain(stream::pending());
        let error = receive(&artifacts, named(b"hello"), silent, PACE).await.unwrap_err();
        assert!(matches!(error, Error::Slow { received: 3, .. }), "{error:?}");
        assert_eq!(files(&folder), 0);
    }

    #[tokio::test]
    async fn what_trickles_is_cut_off_though_it_is_never_silent() {
        let (_folder, artifacts) = store();
        let drop = |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b"x")), ()))
        };
        let pace = Pace { grace: Duration::from_millis(100), ..PACE };
        let error = receive(&artifacts, named(b"x"), stream::unfold((), drop), pace).await.unwrap_err();
        assert!(matches!(error, Error::Slow { received: 1.., .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_part_whose_receiver_is_dropped_is_removed() {
        let (folder, artifacts) = store();
        let silent = pieces(&["hel"]).chain(stream::pending());
        let receiving = receive(&artifacts, named(b"hello"), silent, Pace::default());
        let part = tokio::time::timeout(Duration::from_millis(50), receiving).await;
        assert!(part.is_err());
        let mut tries = 0..1000;
        while files(&folder) > 0 && tries.next().is_some() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(files(&folder), 0);
    }

    #[tokio::test]
    async fn what_breaks_off_or_is_another_file_or_no_bundle_leaves_nothing() {
        let (folder, artifacts) = store();
        let broken = pieces(&["hel"]).chain(stream::iter([Err(io::Error::other("gone"))]));
        let error = receive(&artifacts, named(b"hello"), broken, PACE).await.unwrap_err();
        assert_eq!(error.to_string(), "it broke off after 3 bytes: gone");
        let error = receive(&artifacts, named(b"hello"), pieces(&["hullo"]), PACE).await.unwrap_err();
        assert!(matches!(error, Error::WrongDigest { received: 5, .. }), "{error:?}");
        let bundle = Announced { kind: Kind::Bundle, ..named(b"hello") };
        let error = receive(&artifacts, bundle, pieces(&["hello"]), PACE).await.unwrap_err();
        assert!(error.to_string().starts_with("what came is not an EPIC bundle: "), "{error}");
        assert_eq!(files(&folder), 0);
    }

    #[tokio::test]
    async fn what_has_no_room_or_is_too_long_is_refused_before_its_bytes_come() {
        let (_folder, artifacts) = store();
        let too_long = Announced { bytes: Some(bundle::FILE_BYTES_MAX + 1), ..named(b"hello") };
        let error = receive(&artifacts, too_long, stream::pending::<io::Result<Bytes>>(), PACE).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge), "{error:?}");
    }

    #[tokio::test]
    async fn only_so_many_are_taken_in_at_once() {
        let (_folder, artifacts) = store();
        let _all = artifacts.receiving.try_acquire_many(u32::try_from(RECEIVING_MAX).unwrap()).unwrap();
        let error = receive(&artifacts, named(b"hello"), pieces(&["hello"]), PACE).await.unwrap_err();
        assert!(matches!(error, Error::Busy), "{error:?}");
    }
}
