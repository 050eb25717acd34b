//! Gets a bundle from a server and checks it on the way.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Digest { .. } | Self::Disk { .. } => true,
            Self::Transport { .. } | Self::Idle { .. } | Self::Refused { .. } | Self::Length { .. } => false,
        }
    }
}

/// The longest time without a byte.
pub const IDLE_MAX: Duration = Duration::from_secs(30);

/// Fetches `<base>/artifacts/<sha256>` into the file `to`, by way of `<to>.part`.
///
/// Length and digest are checked while the bytes come, so `to` is there only if it is right.
/// `progress` hears each new percent.
///
/// # Errors
///
/// What went wrong; see [`Error::is_final`].
pub async fn fetch(client: &reqwest::Client, base: &str, wanted: Wanted, to: &Path, mut progress: impl AsyncFnMut(u8)) -> Result<(), Error> {
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
    let mut body = response.bytes_stream();
    while let Some(piece) = timeout(IDLE_MAX, body.next()).await.map_err(idle)? {
        let piece = piece.map_err(transport)?;
        bytes += piece.len() as u64;
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
