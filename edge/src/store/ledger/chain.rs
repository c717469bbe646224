//! How records hang together: each hash is over the one before, the record's number, its time and
//! its bytes (SHA-256, FIPS 180-4), so that no record can be changed, taken out or put in without
//! changing every hash after it. What is signed is told apart by its first line.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A SHA-256 digest; shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands before the first record.
    pub const START: Self = Self([0; 32]);

    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// A digest from its 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// The hash after one more record.
    #[must_use]
    pub fn next(self, number: u64, at_us: i64, record: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(48 + record.len());
        bytes.extend(self.0);
        bytes.extend(number.to_be_bytes());
        bytes.extend(at_us.to_be_bytes());
        bytes.extend(record);
        Self::of(&bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not 64 lower-case hexadecimal digits"))
    }
}

/// What a checkpoint signs: its own number and time, and the hash of the record before it.
pub(super) fn checkpoint_message(number: u64, at_us: i64, previous: Hash) -> Vec<u8> {
    let mut message = b"busbar ledger checkpoint\n".to_vec();
    message.extend(number.to_be_bytes());
    message.extend(at_us.to_be_bytes());
    message.extend(previous.0);
    message
}

/// What an export signs: where it begins and ends, and the hashes there.
pub(super) fn export_message(first: u64, previous: Hash, last: u64, hash: Hash) -> Vec<u8> {
    let mut message = b"busbar ledger export\n".to_vec();
    message.extend(first.to_be_bytes());
    message.extend(previous.0);
    message.extend(last.to_be_bytes());
    message.extend(hash.0);
    message
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of lower-case hexadecimal digits; only one text stands for them.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = 16 * value(pair[0])? + value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        // FIPS 180-4, example of one block.
        assert_eq!(
            Hash::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn only_one_text_stands_for_a_hash() {
        let text = Hash::of(b"abc").to_string();
        assert_eq!(unhex(&text), Some(Hash::of(b"abc").0));
        for wrong in [
            text.to_uppercase(),
            text[1..].to_owned(),
            format!("{text}0"),
        ] {
            assert_eq!(unhex::<32>(&wrong), None, "{wrong}");
        }
    }
}
