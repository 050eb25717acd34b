//! Gets a bundle from a server and checks it on the way.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use epic_common::ids::Digest;
use futures_util::StreamExt as _;
use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// A bundle as it was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its sha256.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
}

/// Why a bundle didn't arrive.
#[derive(Debug, Error)]
pub enum Error {
    /// The server doesn't answer, or stops in the middle.
    #[error("cannot get {url}")]
    Transport {
        /// What was asked for.
        url: String,
        /// What the HTTP client says.
        source: reqwest::Error,
    },
    /// Nothing came for [`IDLE_MAX`].
    #[error("nothing came of {url} for {} s", IDLE_MAX.as_secs())]
    Idle {
        /// What was asked for.
        url: String,
    },
    /// Less came than [`PACE_BYTES`] in [`IDLE_MAX`].
    #[error("{url} comes too slowly: {bytes} bytes in {} s", IDLE_MAX.as_secs())]
    Slow {
        /// What was asked for.
        url: String,
        /// How many came.
        bytes: u64,
    },
    /// The server answers something else.
    #[error("the server answers {status} to {url}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The file ended early, or went on behind its end.
    #[error("{url} has {found} bytes, not the {wanted} bytes of the order")]
    Length {
        /// What was asked for.
        url: String,
        /// How many came, at least.
        found: u64,
        /// How many were ordered.
        wanted: u64,
    },
    /// The file is another.
    #[error("{url} has the sha256 {found}, not {wanted} as ordered")]
    Digest {
        /// What was asked for.
        url: String,
        /// That of what came.
        found: Digest,
        /// That of the order.
        wanted: Digest,
    },
    /// It can't be kept.
    #[error("cannot write {}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// Tells whether another try can't help.
    ///
    /// One that brings something else is a try like any other: a replica's disk may have gone bad, or another server be
    /// where it was, and the next source has the right one.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Disk { .. } => true,
            Self::Transport { .. }
            | Self::Idle { .. }
            | Self::Slow { .. }
            | Self::Refused { .. }
            | Self::Length { .. }
            | Self::Digest { .. } => false,
        }
    }
}

/// The longest time without a byte.
pub const IDLE_MAX: Duration = Duration::from_secs(30);

/// What must come in each [`IDLE_MAX`], 16 KiB a second: another source may be faster, and a try must end some day.
pub const PACE_BYTES: u64 = 16 * 1024 * IDLE_MAX.as_secs();

/// Watches what comes, in windows of [`IDLE_MAX`].
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    since: Duration,
    bytes: u64,
}

impl Pace {
    /// Takes note of bytes that came at `now`, a time since the try's start; fails with how many came in a window that was
    /// too slow. The last window may be shorter, so it isn't looked at.
    fn note(&mut self, now: Duration, bytes: u64) -> Result<(), u64> {
        if now.saturating_sub(self.since) >= IDLE_MAX {
            if self.bytes < PACE_BYTES {
                return Err(self.bytes);
            }
            *self = Self { since: now, bytes: 0 };
        }
        self.bytes += bytes;
        Ok(())
    }
}

/// Fetches `<base>/artifacts/<sha256>` into the file `to`, by way of `<to>.part`.
///
/// Length and digest are checked while the bytes come, so `to` is there only if it is right.
/// `progress` hears each new percent.
///
/// # Errors
///
/// What went wrong; see [`Error::is_final`].
pub async fn fetch(
    client: &reqwest::Client,
    base: &str,
    wanted: Wanted,
    to: &Path,
    mut progress: impl AsyncFnMut(u8),
) -> Result<(), Error> {
    let url = format!("{}/artifacts/{}", base.trim_end_matches('/'), wanted.digest);
    let transport = |source: reqwest::Error| Error::Transport { url: url.clone(), source: source.without_url() };
    let idle = |_| Error::Idle { url: url.clone() };
    let response = timeout(IDLE_MAX, client.get(&url).send()).await.map_err(idle)?.map_err(transport)?;
    if response.status() != StatusCode::OK {
        return Err(Error::Refused { status: response.status(), url });
    }
    let part = to.with_added_extension("part");
    let disk = |source| Error::Disk { path: part.clone(), source };
    let mut file = File::create(&part).await.map_err(disk)?;
    let (mut hash, mut bytes, mut percent) = (Sha256::new(), 0, 0);
    let (start, mut pace) = (Instant::now(), Pace::default());
    let mut body = response.bytes_stream();
    while let Some(piece) = timeout(IDLE_MAX, body.next()).await.map_err(idle)? {
        let piece = piece.map_err(transport)?;
        bytes += piece.len() as u64;
        pace.note(start.elapsed(), piece.len() as u64).map_err(|bytes| Error::Slow { url: url.clone(), bytes })?;
        if bytes > wanted.bytes {
            return Err(Error::Length { url, found: bytes, wanted: wanted.bytes });
        }
        hash.update(&piece);
        file.write_all(&piece).await.map_err(disk)?;
        let now = u8::try_from(u128::from(bytes) * 100 / u128::from(wanted.bytes.max(1))).unwrap_or(100);
        if now != percent {
            percent = now;
            progress(percent).await;
        }
    }
    if bytes != wanted.bytes {
        return Err(Error::Length { url, found: bytes, wanted: wanted.bytes });
    }
    let found = Digest(hash.finalize().into());
    if found != wanted.digest {
        return Err(Error::Digest { url, found, wanted: wanted.digest });
    }
    file.flush().await.map_err(disk)?;
    fs::rename(&part, to).await.map_err(disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    const CONTENT: &[u8] = b"a bundle";

    fn digest(content: &[u8]) -> Digest {
        Digest(Sha256::digest(content).into())
    }

    /// Fetches from a server that gives `answer`; returns what came, the percents and the file's directory.
    async fn from(answer: Vec<u8>, wanted: Wanted) -> (Result<(), Error>, Vec<u8>, tempfile::TempDir) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        let serve = async {
            let mut stream = listener.accept().await.unwrap().0;
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            assert!(request.starts_with(format!("GET /artifacts/{} HTTP/1.1\r\n", wanted.digest).as_bytes()));
            stream.write_all(&answer).await.unwrap();
        };
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("bundle.bin");
        let mut percents = Vec::new();
        let client = epic_common_io::http::clients(&epic_common_io::http::ClientOptions::default()).unwrap().stream;
        let (result, ()) =
            tokio::join!(fetch(&client, &base, wanted, &to, async |percent| percents.push(percent)), serve);
        assert_eq!(result.is_ok(), to.exists());
        (result, percents, dir)
    }

    fn answer(length: usize, content: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").as_bytes(), content]
            .concat()
    }

    /// Fetches what should be [`CONTENT`] and compares the end of the error; another server may do better.
    async fn check(answer: Vec<u8>, expected: &str) {
        let (result, _, dir) = from(answer, Wanted { digest: digest(CONTENT), bytes: 8 }).await;
        let error = result.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.is_final(), "{error}");
        drop(dir);
    }

    #[test]
    fn a_source_that_gives_a_byte_now_and_then_is_left() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::default();
        assert_eq!(pace.note(second * 20, 1), Ok(()));
        assert_eq!(pace.note(second * 40, 1), Err(1));
        let mut pace = Pace::default();
        for at in 0..100 {
            assert_eq!(pace.note(second * at, 16 * 1024), Ok(()), "{at}");
        }
    }

    #[tokio::test]
    async fn a_bundle_that_is_as_ordered_is_kept() {
        let (result, percents, dir) = from(answer(8, CONTENT), Wanted { digest: digest(CONTENT), bytes: 8 }).await;
        result.unwrap();
        assert_eq!(percents.last(), Some(&100));
        assert_eq!(std::fs::read(dir.path().join("bundle.bin")).unwrap(), CONTENT);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_is_not_as_ordered_is_refused() {
        check(answer(8, b"a bungle"), "as ordered").await;
        check(answer(9, b"a bundle!"), "has 9 bytes, not the 8 bytes of the order").await;
        check(answer(7, b"a bundl"), "has 7 bytes, not the 8 bytes of the order").await;
        check(answer(8, b"a bun"), "cannot get http://127.0.0.1:").await;
        check(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), "the server answers 404 Not Found")
            .await;
        check(b"".to_vec(), "cannot get http://127.0.0.1:").await;
    }
}
