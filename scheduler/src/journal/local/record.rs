//! The bytes of the journal's files: a header that names the kind of file, then checksummed records.
//!
//! Header, 24 bytes: kind (8 ASCII letters), format (u32), number (u64), crc32 of these 20 bytes.
//! Record: length of the payload (u32), number (u64), crc32 of both and the payload, payload.
//! All numbers are little-endian. The header stays as it is in every later format.

use std::fmt;

use crate::journal::PAYLOAD_BYTES_MAX;

/// The length of a file's header.
pub(super) const HEADER_BYTES: usize = 24;
/// What a record is longer than its payload.
pub(super) const FRAME_BYTES: usize = 16;
/// The longest record.
pub(super) const RECORD_BYTES_MAX: usize = FRAME_BYTES + PAYLOAD_BYTES_MAX;
/// The latest format that this program reads, and the one it writes.
pub(super) const FORMAT: u32 = 1;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Batches; the header's number is that of the first.
    Segment,
    /// One snapshot in pieces; the header's number is that of its last batch.
    Snapshot,
}

/// What is wrong with a header or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The file ends inside it, or before the end of what it holds.
    Short,
    /// Its checksum doesn't hold.
    Checksum,
    /// Its length is over the bound.
    Length,
    /// It has another number than its place demands.
    Number,
    /// The file is of another kind.
    Kind,
    /// A later program wrote it, in this format.
    Newer(u32),
    /// Bytes follow where nothing should.
    Excess,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "the file ends too early",
            Self::Checksum => "the checksum does not hold",
            Self::Length => "the length is impossible",
            Self::Number => "the number is not the next one",
            Self::Kind => "the file is of another kind",
            Self::Newer(_) => "the format is a later one",
            Self::Excess => "the file is longer than it should be",
        })
    }
}

/// Makes a file's header.
pub(super) fn header(kind: Kind, number: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(kind.letters());
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..20].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..20]);
    bytes[20..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Checks a file's header and returns what follows it.
pub(super) fn after_header(bytes: &[u8], kind: Kind, number: u64) -> Result<&[u8], Flaw> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(Flaw::Short)?;
    if u32_at(header, 20) != crc32fast::hash(&header[..20]) {
        return Err(Flaw::Checksum);
    }
    if header[..8] != *kind.letters() {
        return Err(Flaw::Kind);
    }
    let format = u32_at(header, 8);
    if format > FORMAT {
        return Err(Flaw::Newer(format));
    }
    if u64_at(header, 12) == number { Ok(rest) } else { Err(Flaw::Number) }
}

/// Makes one record.
///
/// # Panics
/// When the payload is over the bound.
pub(super) fn record(number: u64, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "a payload of {} bytes is over the bound", payload.len());
    let length = u32::try_from(payload.len()).expect("the bound is far below 4 GiB");
    let mut bytes = Vec::with_capacity(FRAME_BYTES + payload.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&checksum(&bytes, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads the record at the start of `bytes`; it must have this number. Returns its payload and what follows it.
pub(super) fn split_record(bytes: &[u8], number: u64) -> Result<(&[u8], &[u8]), Flaw> {
    let (frame, rest) = bytes.split_at_checked(FRAME_BYTES).ok_or(Flaw::Short)?;
    let length = u32_at(frame, 0) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err(Flaw::Length);
    }
    let (payload, rest) = rest.split_at_checked(length).ok_or(Flaw::Short)?;
    if u32_at(frame, 12) != checksum(&frame[..12], payload) {
        return Err(Flaw::Checksum);
    }
    if u64_at(frame, 4) == number { Ok((payload, rest)) } else { Err(Flaw::Number) }
}

/// Says whether a whole record with a number of at least `number` starts anywhere in `bytes`.
///
/// Numbers that no journal reaches aren't looked at closer: in bytes of chance they would cost a checksum each.
pub(super) fn holds_record(bytes: &[u8], number: u64) -> bool {
    let plausible = number..number.saturating_add(1 << 20);
    (0..bytes.len().saturating_sub(FRAME_BYTES - 1)).any(|start| {
        let bytes = &bytes[start..];
        let found = u64_at(bytes, 4);
        plausible.contains(&found) && split_record(bytes, found).is_ok()
    })
}

impl Kind {
    const fn letters(self) -> &'static [u8; 8] {
        match self {
            Self::Segment => b"EPICJRNL",
            Self::Snapshot => b"EPICSNAP",
        }
    }
}

fn checksum(length_and_number: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length_and_number);
    hasher.update(payload);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let whole = record(7, b"what was decided");
        assert_eq!(split_record(&whole, 7), Ok((b"what was decided".as_slice(), b"".as_slice())));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(split_record(&bytes, 7).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let whole = header(Kind::Segment, 7);
        assert!(after_header(&whole, Kind::Segment, 7).is_ok());
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(after_header(&bytes, Kind::Segment, 7), Err(Flaw::Checksum), "bit {bit}");
        }
    }

    #[test]
    fn another_kind_number_or_a_later_format_is_told_apart_from_damage() {
        assert_eq!(after_header(&header(Kind::Segment, 7), Kind::Snapshot, 7), Err(Flaw::Kind));
        assert_eq!(after_header(&header(Kind::Segment, 7), Kind::Segment, 8), Err(Flaw::Number));
        let mut later = header(Kind::Segment, 7);
        later[8..12].copy_from_slice(&9_u32.to_le_bytes());
        let checksum = crc32fast::hash(&later[..20]);
        later[20..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(after_header(&later, Kind::Segment, 7), Err(Flaw::Newer(9)));
    }

    #[test]
    fn zeros_are_no_record() {
        assert!(split_record(&[0; 64], 0).is_err());
        assert!(!holds_record(&[0; 64], 0));
    }

    #[test]
    fn a_record_is_found_wherever_it_starts() {
        let mut bytes = b"rubbish before".to_vec();
        bytes.extend(record(8, b"later"));
        assert!(holds_record(&bytes, 8) && holds_record(&bytes, 3));
        assert!(!holds_record(&bytes, 9));
        bytes.pop();
        assert!(!holds_record(&bytes, 8));
    }
}
