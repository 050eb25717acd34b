//! A file's bytes as a stream of pieces.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// Streams the first `bytes` of a file in pieces of at most 128 KiB, one in memory at a time.
pub fn pieces(file: File, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((file, bytes), |(mut file, left)| async move {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let most = u64::try_from(PIECE_BYTES).unwrap_or(left).min(left);
        let read = (&mut file).take(most).read_to_end(&mut piece).await?;
        let left = left - u64::try_from(read).unwrap_or(left);
        Ok((read > 0).then(|| (Bytes::from(piece), (file, left))))
    })
}

const PIECE_BYTES: usize = 128 * 1024;
