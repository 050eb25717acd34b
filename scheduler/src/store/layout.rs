//! The keys and values of a copy: what each is named, and how each shows that it is whole.

use serde::{Deserialize, Serialize};

use super::error::Flaw;

/// No value has more bytes than this, so that the engine's pages stay small; see `sled.rs`.
pub const VALUE_BYTES_MAX: usize = 4 << 10;

/// The account is the first of all keys.
pub(super) const ACCOUNT: &[u8] = b"0account";

/// What must be there, no more and no less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) journal: String,
    /// The last batch, and the epoch after it.
    pub(super) batch: u64,
    pub(super) epoch: u64,
    pub(super) last_crc32: Option<u32>,
    /// Only the values of this one count; a crash may leave others.
    pub(super) generation: u64,
    pub(super) base: Base,
    /// Bytes of all batches after the base.
    pub(super) bytes: u64,
    /// How many values there are besides the account.
    pub(super) values: u64,
    /// Their checksums, all combined by exclusive or.
    pub(super) sum: u32,
}

/// The snapshot that all batches come after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) batch: u64,
    pub(super) pieces: u32,
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}

/// The name of a value besides the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A piece of the snapshot.
    Base { generation: u64, piece: u32 },
    /// A piece of a batch.
    Batch { generation: u64, batch: u64, piece: u32 },
}

impl Key {
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Base { generation, piece } => {
                [b"g", &generation.to_be_bytes()[..], b"b", &piece.to_be_bytes()].concat()
            }
            Self::Batch { generation, batch, piece } => {
                [b"g", &generation.to_be_bytes()[..], b"j", &batch.to_be_bytes(), &piece.to_be_bytes()].concat()
            }
        }
    }

    pub(super) fn read(key: &[u8]) -> Option<Self> {
        let (generation, rest) = key.strip_prefix(b"g")?.split_first_chunk()?;
        let generation = u64::from_be_bytes(*generation);
        if let Some(piece) = rest.strip_prefix(b"b") {
            return Some(Self::Base { generation, piece: u32::from_be_bytes(piece.try_into().ok()?) });
        }
        let (batch, piece) = rest.strip_prefix(b"j")?.split_first_chunk()?;
        let (batch, piece) = (u64::from_be_bytes(*batch), u32::from_be_bytes(piece.try_into().ok()?));
        Some(Self::Batch { generation, batch, piece })
    }

    pub(super) const fn generation(self) -> u64 {
        match self {
            Self::Base { generation, .. } | Self::Batch { generation, .. } => generation,
        }
    }
}

/// A value in its envelope, with the checksum that counts in the account.
pub(super) struct Sealed {
    pub(super) value: Vec<u8>,
    pub(super) crc32: u32,
}

/// Puts a payload into an envelope that belongs to its key.
pub(super) fn seal(key: &[u8], payload: &[u8]) -> Sealed {
    let crc32 = checksum(key, payload);
    Sealed { value: [&[FORMAT][..], &crc32.to_be_bytes(), payload].concat(), crc32 }
}

/// Takes a payload out of its envelope.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<(&'a [u8], u32), Flaw> {
    let (format, rest) = value.split_first().ok_or_else(|| Flaw::Short { key: readable(key) })?;
    if *format != FORMAT {
        return Err(Flaw::Format { key: readable(key), found: *format });
    }
    let (crc32, payload) = rest.split_first_chunk().ok_or_else(|| Flaw::Short { key: readable(key) })?;
    let crc32 = u32::from_be_bytes(*crc32);
    if crc32 == checksum(key, payload) { Ok((payload, crc32)) } else { Err(Flaw::Checksum { key: readable(key) }) }
}

pub(super) fn write_account(account: &Account) -> Vec<u8> {
    let text = serde_json::to_vec(account).expect("numbers and a text become JSON");
    seal(ACCOUNT, &text).value
}

pub(super) fn read_account(value: &[u8]) -> Result<Account, Flaw> {
    let (text, _) = unseal(ACCOUNT, value)?;
    serde_json::from_slice(text).map_err(|error| Flaw::Account(error.to_string()))
}

/// Cuts bytes into pieces that fit; nothing makes one empty piece, so that it can't be taken for something lost.
pub(super) fn pieces(bytes: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
    let count = bytes.len().div_ceil(PIECE_BYTES_MAX).max(1);
    (0..count).map(|nth| &bytes[nth * PIECE_BYTES_MAX..bytes.len().min((nth + 1) * PIECE_BYTES_MAX)])
}

/// Counts those pieces.
pub(super) fn count(bytes: &[u8]) -> u32 {
    u32::try_from(pieces(bytes).len()).expect("no memory holds 16 TB")
}

pub(super) fn readable(key: &[u8]) -> String {
    match Key::read(key) {
        Some(Key::Base { generation, piece }) => format!("base {generation}/{piece}"),
        Some(Key::Batch { generation, batch, piece }) => format!("batch {generation}/{batch}/{piece}"),
        None => String::from_utf8_lossy(key).escape_debug().take(KEY_CHARS_MAX).collect(),
    }
}

fn checksum(key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    // Keys have lengths of their own kind, so that no key and payload run into each other.
    hasher.update(&[FORMAT]);
    hasher.update(&key.len().to_be_bytes());
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize()
}

const FORMAT: u8 = 1;
const ENVELOPE_BYTES: usize = 1 + 4;
/// Before a batch's piece stands how many pieces the batch has.
pub(super) const COUNT_BYTES: usize = 4;
const PIECE_BYTES_MAX: usize = VALUE_BYTES_MAX - ENVELOPE_BYTES - COUNT_BYTES;
const KEY_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written_and_stand_in_order() {
        let keys = [
            Key::Base { generation: 1, piece: 0 },
            Key::Base { generation: 1, piece: 300 },
            Key::Batch { generation: 1, batch: 2, piece: 0 },
            Key::Batch { generation: 1, batch: 256, piece: 7 },
            Key::Base { generation: 2, piece: 0 },
        ];
        let written = keys.map(Key::bytes);
        assert!(written.is_sorted() && written.iter().all(|key| key.as_slice() > ACCOUNT && key.len() <= 32));
        assert_eq!(written.each_ref().map(|key| Key::read(key)), keys.map(Some));
        for wrong in [&b""[..], b"g", b"gxxxxxxxxb123", b"gxxxxxxxxj12345678123", b"gxxxxxxxxk1234"] {
            assert_eq!(Key::read(wrong), None);
        }
    }

    #[test]
    fn a_value_is_whole_under_its_own_key_only() {
        let key = Key::Base { generation: 1, piece: 4 }.bytes();
        let sealed = seal(&key, b"payload");
        assert_eq!(unseal(&key, &sealed.value), Ok((&b"payload"[..], sealed.crc32)));
        unseal(&Key::Base { generation: 1, piece: 5 }.bytes(), &sealed.value).unwrap_err();
        for at in 0..sealed.value.len() {
            let mut changed = sealed.value.clone();
            changed[at] ^= 0x40;
            unseal(&key, &changed).unwrap_err();
            unseal(&key, &sealed.value[..at]).unwrap_err();
        }
    }

    #[test]
    fn pieces_make_the_whole_and_fit() {
        for length in [0, 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 3 * PIECE_BYTES_MAX] {
            let bytes = vec![7; length];
            let cut: Vec<_> = pieces(&bytes).collect();
            assert_eq!((cut.len(), cut.concat()), (length.div_ceil(PIECE_BYTES_MAX).max(1), bytes));
        }
        assert!(seal(b"k", &vec![0; PIECE_BYTES_MAX + COUNT_BYTES]).value.len() <= VALUE_BYTES_MAX);
    }
}
