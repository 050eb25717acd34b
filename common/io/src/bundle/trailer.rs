//! The fixed-size text at a bundle's end: where its parts are, and its sha256.

use epic_common::ids::Digest;

/// Length of a trailer in bytes.
pub(super) const BYTES: usize = 192;

/// Length of the part that names the sha256; it alone is outside of what the sha256 covers.
pub(super) const DIGEST_BYTES: u64 = 64;

const MAGIC: &str = "EPIC-BUNDLE";

/// The lengths of the parts, which follow each other without gaps, and the sha256 of all before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) stub: u64,
    pub(super) payload: u64,
    pub(super) manifest: u64,
    /// Length of the tar archive in the payload.
    pub(super) unpacked: u64,
    pub(super) digest: Digest,
}

/// Why bytes are not a trailer that we can read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NoMagic,
    Format(String),
    Malformed,
}

impl Trailer {
    /// Returns the length of the whole file, `None` if no file can be so long.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.stub.checked_add(self.payload)?.checked_add(self.manifest)?.checked_add(BYTES as u64)
    }

    /// Returns all but the sha256: 128 bytes.
    pub(super) fn fields(&self) -> String {
        let Self { stub, payload, manifest, unpacked, digest: _ } = self;
        let fields = format!("{MAGIC:<16}{:<8}{stub:<20}{payload:<20}{manifest:<20}{unpacked:<20}", 1);
        format!("{fields:<127}\n")
    }

    /// Reads what [`Self::fields`] and the sha256 give, and nothing else.
    pub(super) fn parse(bytes: &[u8; BYTES]) -> Result<Self, Refused> {
        if !bytes.starts_with(MAGIC.as_bytes()) {
            return Err(Refused::NoMagic);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Refused::Malformed)?;
        let word = |from: usize, to: usize| text.get(from..to).map(|word| word.trim_end_matches(' '));
        let number = |from| word(from, from + 20).and_then(|word| word.parse().ok()).ok_or(Refused::Malformed);
        match word(16, 24) {
            Some("1") => {}
            Some(format) => return Err(Refused::Format(format.to_owned())),
            None => return Err(Refused::Malformed),
        }
        let trailer = Self {
            stub: number(24)?,
            payload: number(44)?,
            manifest: number(64)?,
            unpacked: number(84)?,
            digest: word(128, 192).and_then(|hex| hex.parse().ok()).ok_or(Refused::Malformed)?,
        };
        if format!("{}{}", trailer.fields(), trailer.digest) == text { Ok(trailer) } else { Err(Refused::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(trailer: &Trailer) -> [u8; BYTES] {
        format!("{}{}", trailer.fields(), trailer.digest).into_bytes().try_into().unwrap()
    }

    #[test]
    fn a_trailer_reads_what_it_wrote_and_no_other_spelling() {
        let trailer = Trailer { stub: 1, payload: u64::MAX, manifest: 300, unpacked: 0, digest: Digest([7; 32]) };
        assert_eq!(Trailer::parse(&bytes(&trailer)), Ok(trailer.clone()));
        assert_eq!(trailer.file_bytes(), None);
        for (at, byte) in [(24, b'+'), (25, b'x'), (110, b'x'), (127, b' '), (191, b'g'), (0, b'e')] {
            let mut changed = bytes(&trailer);
            changed[at] = byte;
            assert!(Trailer::parse(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let trailer = Trailer { stub: 1, payload: 2, manifest: 3, unpacked: 4, digest: Digest([7; 32]) };
        let mut later = bytes(&trailer);
        later[16] = b'2';
        assert_eq!(Trailer::parse(&later), Err(Refused::Format("2".to_owned())));
    }
}
