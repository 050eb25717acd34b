//! RecordIO: records in a byte stream, each after its length in decimal digits and a line feed.
//!
//! The framing of Mesos' event streams. Lengths alone tell where a record ends: a record may hold
//! any bytes, line feeds too. Source: Mesos documentation, `recordio.md`.

use std::collections::VecDeque;
use std::mem;

use thiserror::Error;

/// The bound on one record that [`Decoder::default`] sets: 64 MiB.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// The digits of `u64::MAX`.
const DIGITS_MAX: u32 = 20;

/// Why a byte stream can't be cut into records any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// Something else than 1 to 20 digits and a line feed stands before a record.
    #[error("byte {byte:#04x} at position {position} doesn't belong in a record's length")]
    NotALength {
        /// The first byte that doesn't fit: no digit, a line feed without digits, or a digit too many.
        byte: u8,
        /// How many bytes of the stream came before it.
        position: u64,
    },
    /// A record is longer than the decoder's bound.
    #[error("record of {record_bytes} bytes is over the bound of {record_bytes_max} bytes")]
    TooLarge {
        /// The length that the stream tells; `u64::MAX` stands for everything above it, too.
        record_bytes: u64,
        /// The decoder's bound.
        record_bytes_max: usize,
    },
}

/// Cuts a byte stream into records, however it comes in pieces.
///
/// Give it bytes with [`push`](Self::push), then take records from it as an iterator until that says
/// `None`, which means "not yet": it goes on after the next push. Who takes all records before the
/// next push keeps its memory within one record and one piece. Each byte is copied once. A failure
/// comes after all records before it, once; nothing comes after a failure.
#[derive(Debug)]
pub struct Decoder {
    record_bytes_max: usize,
    expected: Expected,
    complete: VecDeque<Vec<u8>>,
    position: u64,
    failure: Option<Error>,
}

/// What the next byte of the stream belongs to.
#[derive(Debug)]
enum Expected {
    Length {
        digits: u32,
        record_bytes: u64,
    },
    Record {
        record: Vec<u8>,
        missing: usize,
    },
    /// Nothing after a failure has a meaning.
    Nothing,
}

impl Expected {
    const START: Self = Self::Length { digits: 0, record_bytes: 0 };
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(RECORD_BYTES_MAX)
    }
}

impl Decoder {
    /// Makes a decoder at the start of a stream; records of more bytes than this are refused.
    #[must_use]
    pub const fn new(record_bytes_max: usize) -> Self {
        Self { record_bytes_max, expected: Expected::START, complete: VecDeque::new(), position: 0, failure: None }
    }

    /// Takes the next bytes of the stream; after a failure they are ignored.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&first, behind)) = bytes.split_first() {
            self.expected = match mem::replace(&mut self.expected, Expected::Nothing) {
                Expected::Length { digits, record_bytes } => {
                    let next = self.after_length_byte(first, digits, record_bytes);
                    self.position += 1;
                    bytes = behind;
                    next
                }
                Expected::Record { mut record, missing } => {
                    let (part, behind) = bytes.split_at(bytes.len().min(missing));
                    record.extend_from_slice(part);
                    self.position += part.len() as u64;
                    bytes = behind;
                    self.after_part(record, missing - part.len())
                }
                Expected::Nothing => return,
            };
        }
    }

    /// Says whether the stream would be cut inside a record, or its length, if it ended here.
    #[must_use]
    pub const fn is_mid_record(&self) -> bool {
        match self.expected {
            Expected::Length { digits, .. } => digits > 0,
            Expected::Record { .. } => true,
            Expected::Nothing => false,
        }
    }

    fn after_length_byte(&mut self, byte: u8, digits: u32, record_bytes: u64) -> Expected {
        let position = self.position;
        match byte {
            b'0'..=b'9' if digits < DIGITS_MAX => Expected::Length {
                digits: digits + 1,
                record_bytes: record_bytes.saturating_mul(10).saturating_add(u64::from(byte - b'0')),
            },
            b'\n' if digits > 0 => match usize::try_from(record_bytes) {
                Ok(missing) if missing <= self.record_bytes_max => {
                    self.after_part(Vec::with_capacity(missing), missing)
                }
                Ok(_) | Err(_) => self.fail(Error::TooLarge { record_bytes, record_bytes_max: self.record_bytes_max }),
            },
            _ => self.fail(Error::NotALength { byte, position }),
        }
    }

    fn after_part(&mut self, record: Vec<u8>, missing: usize) -> Expected {
        if missing > 0 {
            return Expected::Record { record, missing };
        }
        self.complete.push_back(record);
        Expected::START
    }

    const fn fail(&mut self, error: Error) -> Expected {
        self.failure = Some(error);
        Expected::Nothing
    }
}

impl Iterator for Decoder {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.complete.pop_front() {
            Some(record) => Some(Ok(record)),
            None => self.failure.take().map(Err),
        }
    }
}

/// Appends one record to a stream: its length in digits, a line feed, its bytes.
pub fn encode(record: &[u8], stream: &mut Vec<u8>) {
    stream.extend_from_slice(record.len().to_string().as_bytes());
    stream.push(b'\n');
    stream.extend_from_slice(record);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const BOUND: usize = 1 << 10;

    /// Pushes the stream in pieces of these sizes, over and over, and takes what is there each time.
    fn decode(stream: &[u8], pieces: &[usize]) -> (Vec<Result<Vec<u8>, Error>>, Decoder) {
        let mut decoder = Decoder::new(BOUND);
        let mut results = Vec::new();
        let mut left = stream;
        for size in pieces.iter().cycle() {
            let (piece, behind) = left.split_at(left.len().min(*size));
            decoder.push(piece);
            results.extend(decoder.by_ref());
            left = behind;
            if left.is_empty() {
                break;
            }
        }
        (results, decoder)
    }

    fn check(stream: &str, records: &[&str], failure: Option<Error>, is_mid_record: bool) {
        let mut expected: Vec<_> = records.iter().map(|record| Ok(record.as_bytes().to_vec())).collect();
        expected.extend(failure.map(Err));
        for piece in [1, 2, stream.len().max(1)] {
            let (results, decoder) = decode(stream.as_bytes(), &[piece]);
            assert_eq!(results, expected, "{stream:?} in pieces of {piece}");
            assert_eq!(decoder.is_mid_record(), is_mid_record, "{stream:?} in pieces of {piece}");
        }
    }

    fn not_a_length(byte: u8, position: u64) -> Error {
        Error::NotALength { byte, position }
    }

    fn too_large(record_bytes: u64) -> Error {
        Error::TooLarge { record_bytes, record_bytes_max: BOUND }
    }

    #[test]
    fn records_end_where_their_length_says() {
        check("", &[], None, false);
        check("5\nhello", &["hello"], None, false);
        check("3\na\nb1\n9", &["a\nb", "9"], None, false);
        check("0\n0\n1\n\n", &["", "", "\n"], None, false);
        check("00000000000000000002\nok", &["ok"], None, false);
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        check("1\na1", &["a"], None, true);
        check("1\na1\n", &["a"], None, true);
        check("1\na2\nb", &["a"], None, true);
    }

    #[test]
    fn only_digits_make_a_length() {
        check("1\na\n", &["a"], Some(not_a_length(b'\n', 3)), false);
        check("1\na+1\nb", &["a"], Some(not_a_length(b'+', 3)), false);
        check("-1\n", &[], Some(not_a_length(b'-', 0)), false);
        check("1 \na", &[], Some(not_a_length(b' ', 1)), false);
        check("1\r\na", &[], Some(not_a_length(b'\r', 1)), false);
        check("000000000000000000001\na", &[], Some(not_a_length(b'1', 20)), false);
        check("<html>1\na", &[], Some(not_a_length(b'<', 0)), false);
    }

    #[test]
    fn a_record_over_the_bound_is_refused_before_it_is_read() {
        let just = "x".repeat(BOUND);
        check(&format!("1024\n{just}"), &[&just], None, false);
        check("1\na1025\n", &["a"], Some(too_large(1025)), false);
        check("18446744073709551615\n", &[], Some(too_large(u64::MAX)), false);
        check("99999999999999999999\n", &[], Some(too_large(u64::MAX)), false);
    }

    #[test]
    fn a_failure_is_told_once_and_nothing_follows_it() {
        let mut decoder = Decoder::default();
        decoder.push(b"1\na?");
        decoder.push(b"1\nb");
        assert_eq!(decoder.next(), Some(Ok(b"a".to_vec())));
        assert_eq!(decoder.next(), Some(Err(not_a_length(b'?', 3))));
        assert_eq!(decoder.next(), None);
        decoder.push(b"1\nc");
        assert_eq!(decoder.next(), None);
    }

    fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
        vec(vec(any::<u8>(), 0..200), 0..20)
    }

    fn pieces() -> impl Strategy<Value = Vec<usize>> {
        vec(1..300_usize, 1..20)
    }

    /// Bytes that are lengths often enough to get somewhere.
    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => b'0'..=b'9', 3 => Just(b'\n'), 1 => any::<u8>()];
        vec(byte, 0..200)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(records in records(), pieces in pieces()) {
            let mut stream = Vec::new();
            records.iter().for_each(|record| encode(record, &mut stream));
            let (results, decoder) = decode(&stream, &pieces);
            prop_assert_eq!(results, records.into_iter().map(Ok).collect::<Vec<_>>());
            prop_assert!(!decoder.is_mid_record());
        }

        #[test]
        fn a_cut_stream_gives_the_records_before_the_cut(
            records in records(),
            pieces in pieces(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut stream = Vec::new();
            let mut ends = vec![0];
            for record in &records {
                encode(record, &mut stream);
                ends.push(stream.len());
            }
            let cut = cut.index(stream.len() + 1);
            let (results, decoder) = decode(&stream[..cut], &pieces);
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let expected: Vec<_> = records[..whole].iter().cloned().map(Ok).collect();
            prop_assert_eq!(results, expected);
            prop_assert_eq!(decoder.is_mid_record(), !ends.contains(&cut));
        }

        #[test]
        fn pieces_make_no_difference(stream in streams(), pieces in pieces()) {
            let (whole, at_end) = decode(&stream, &[stream.len().max(1)]);
            let (pieced, decoder) = decode(&stream, &pieces);
            prop_assert_eq!(pieced, whole);
            prop_assert_eq!(decoder.is_mid_record(), at_end.is_mid_record());
        }
    }
}
