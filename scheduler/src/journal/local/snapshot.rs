//! A snapshot's file: a header, its bytes in records numbered from 1, and an empty record as the end.

use std::fs;
use std::path::Path;

use super::record::{self, Flaw, Kind};
use super::{files, read_bounded};
use crate::journal::{Error, PAYLOAD_BYTES_MAX, disk};

/// Writes a snapshot; after a power cut either all or nothing of it is there.
pub(super) fn write(dir: &Path, batch: u64, bytes: &[u8]) -> Result<(), Error> {
    let header = record::header(Kind::Snapshot, batch);
    let pieces = bytes.chunks(PAYLOAD_BYTES_MAX).chain([[].as_slice()]);
    let mut parts = vec![header.to_vec()];
    parts.extend(pieces.zip(1..).map(|(piece, number)| record::record(number, piece)));
    disk::replace(&files::snapshot(dir, batch), parts.iter().map(Vec::as_slice))
}

/// Reads a snapshot's bytes.
pub(super) fn read(path: &Path, batch: u64) -> Result<Vec<u8>, Error> {
    let length = fs::metadata(path).map_err(disk::failed("read", path))?.len();
    let file = read_bounded(path, length)?;
    unpack(&file, batch).map_err(|(offset, flaw)| flawed(path, offset, batch, flaw))
}

/// Makes the error of a flaw; a later format isn't damage.
pub(super) fn flawed(path: &Path, offset: usize, batch: u64, flaw: Flaw) -> Error {
    let path = path.to_owned();
    match flaw {
        Flaw::Newer(found) => Error::NewerFormat { path, found, known: record::FORMAT },
        Flaw::Short | Flaw::Checksum | Flaw::Length | Flaw::Number | Flaw::Kind | Flaw::Excess => {
            Error::Damaged { path, offset: offset as u64, batch, flaw }
        }
    }
}

fn unpack(file: &[u8], batch: u64) -> Result<Vec<u8>, (usize, Flaw)> {
    let mut rest = record::after_header(file, Kind::Snapshot, batch).map_err(|flaw| (0, flaw))?;
    let mut bytes = Vec::with_capacity(rest.len());
    for number in 1.. {
        let offset = file.len() - rest.len();
        let (piece, after) = record::split_record(rest, number).map_err(|flaw| (offset, flaw))?;
        bytes.extend_from_slice(piece);
        rest = after;
        if piece.is_empty() {
            break;
        }
    }
    if rest.is_empty() { Ok(bytes) } else { Err((file.len() - rest.len(), Flaw::Excess)) }
}
