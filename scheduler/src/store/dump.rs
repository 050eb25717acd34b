//! All keys and values of a store as a stream of bytes, from the process that opens it to the one that needs it.

use std::io::{self, Read, Write};

use super::layout::VALUE_BYTES_MAX;

/// Writes one pair.
pub(super) fn write_pair(to: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).map_err(|_| io::Error::other("a pair is too long"));
    to.write_all(&length(key)?.to_be_bytes())?;
    to.write_all(&length(value)?.to_be_bytes())?;
    to.write_all(key)?;
    to.write_all(value)
}

/// Writes that there are no more pairs.
pub(super) fn write_end(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&END.to_be_bytes())?;
    to.flush()
}

/// Reads the next pair; `None` after the last.
pub(super) fn read_pair(from: &mut impl Read) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let key = length(from)?;
    if key == END {
        return Ok(None);
    }
    let value = length(from)?;
    if usize::from(key) > KEY_BYTES_MAX || usize::from(value) > VALUE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a pair is too long"));
    }
    Ok(Some((bytes(from, key)?, bytes(from, value)?)))
}

fn length(from: &mut impl Read) -> io::Result<u16> {
    let mut length = [0; 2];
    from.read_exact(&mut length)?;
    Ok(u16::from_be_bytes(length))
}

fn bytes(from: &mut impl Read, length: u16) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.into()];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// No key is so long.
const END: u16 = u16::MAX;
const KEY_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_an_early_end_is_noticed() {
        let mut bytes = Vec::new();
        write_pair(&mut bytes, b"a", b"").unwrap();
        write_pair(&mut bytes, b"bc", &[7; VALUE_BYTES_MAX]).unwrap();
        write_end(&mut bytes).unwrap();
        let read =
            |mut bytes: &[u8]| std::iter::from_fn(|| read_pair(&mut bytes).transpose()).collect::<io::Result<Vec<_>>>();
        assert_eq!(read(&bytes).unwrap(), [(b"a".to_vec(), vec![]), (b"bc".to_vec(), vec![7; VALUE_BYTES_MAX])]);
        for length in 0..bytes.len() {
            read(&bytes[..length]).unwrap_err();
        }
        read(&[0, 1, 0xff, 0xff]).unwrap_err();
    }
}
