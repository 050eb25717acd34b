//! The bytes of one slot: whose batch it is, which, and the batch.

use uuid::Uuid;

use super::Flaw;

/// Writes a batch with all that tells it from every other write of the same slot.
pub(super) fn encode(batch: u64, epoch: u64, writer: Uuid, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&batch.to_be_bytes());
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(writer.as_bytes());
    let checksum = checksum(&bytes, payload);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads the payload of this batch.
pub(super) fn decode(bytes: &[u8], batch: u64) -> Result<&[u8], Flaw> {
    let (header, payload) = bytes.split_at_checked(HEADER_BYTES).ok_or(Flaw::Short)?;
    let (facts, sum) = header.split_at(HEADER_BYTES - 4);
    let (magic, numbers) = facts.split_at(MAGIC.len());
    let (number, _) = numbers.split_at(8);
    if magic != MAGIC {
        return Err(Flaw::Magic);
    }
    if sum != checksum(facts, payload).to_be_bytes() {
        return Err(Flaw::Checksum);
    }
    let found = number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if found == batch { Ok(payload) } else { Err(Flaw::Batch { found }) }
}

fn checksum(facts: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(facts);
    hasher.update(payload);
    hasher.finalize()
}

/// Ends with the format's number.
const MAGIC: &[u8; 8] = b"epicrng\x01";
/// Magic, batch, epoch, writer, checksum.
pub(super) const HEADER_BYTES: usize = 8 + 8 + 8 + 16 + 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for payload in [&b""[..], b"x", &[7; 1000]] {
            let bytes = encode(17, 3, Uuid::from_u128(5), payload);
            assert_eq!(decode(&bytes, 17).unwrap(), payload);
            assert_eq!(decode(&bytes, 18).unwrap_err(), Flaw::Batch { found: 17 });
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let bytes = encode(17, 3, Uuid::from_u128(5), b"payload");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            decode(&changed, 17).unwrap_err();
            decode(&bytes[..at], 17).unwrap_err();
        }
        decode(&[&bytes[..], b"x"].concat(), 17).unwrap_err();
    }

    #[test]
    fn the_bytes_are_those_of_format_1() {
        let hex = "65706963726e6701000000000000001100000000000000030000000000000000000000000000000500000000";
        let bytes = encode(17, 3, Uuid::from_u128(5), b"");
        assert_eq!(hex::encode(&bytes[..40]), hex[..80]);
        assert_eq!(bytes.len(), hex.len() / 2);
    }
}
