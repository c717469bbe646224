//! The appliance's key: Ed25519 (RFC 8032). Its seed is made at the first start and kept in the
//! state directory, readable by the appliance only. A damaged one is an error, never replaced:
//! a new key would say that the record is somebody else's.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    LedgerError,
    chain::{hex, unhex},
};

pub(super) const FILE: &str = "ledger-key";

/// Who signed; shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads one as it is shown.
    ///
    /// # Errors
    /// It is no public key in hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, String> {
        unhex(text)
            .map(Self)
            .ok_or_else(|| "a public key is 64 lower-case hexadecimal digits".to_owned())
    }

    /// Whether the key's owner signed the message.
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &str) -> bool {
        unhex::<64>(signature).is_some_and(|signature| {
            let key = UnparsedPublicKey::new(&ED25519, &self.0);
            key.verify(message, &signature).is_ok()
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// See the module.
pub struct Key {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.public)
    }
}

impl Key {
    /// The key kept in a directory; made if there is none.
    ///
    /// # Errors
    /// It is damaged, or cannot be read or written.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join(FILE);
        let error = |reason: String| LedgerError::Key {
            file: path.display().to_string(),
            reason,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make(directory, &path).map_err(|e| error(e.to_string()))?
            }
            Err(e) => return Err(error(e.to_string())),
        };
        let seed: Option<[u8; 32]> = text.strip_suffix('\n').and_then(unhex);
        let pair = seed.and_then(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).ok());
        let pair = pair.ok_or_else(|| {
            error(
                "this is no key of the ledger's; restore it from a copy (without it the record \
                 cannot be continued under the same name)"
                    .to_owned(),
            )
        })?;
        let public = unhex(&hex(pair.public_key().as_ref()));
        let public = public.ok_or_else(|| error("not an Ed25519 key".to_owned()))?;
        Ok(Self {
            pair,
            public: PublicKey(public),
        })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs; hexadecimal.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        hex(self.pair.sign(message).as_ref())
    }
}

/// Makes a key; on disk, whole, before it is used.
fn make(directory: &Path, path: &Path) -> io::Result<String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let text = hex(&seed) + "\n";
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(directory)?.sync_all()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// RFC 8032, 7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let dir = tempfile::tempdir().unwrap();
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\n";
        fs::write(dir.path().join(FILE), seed).unwrap();
        let key = Key::open(dir.path()).unwrap();
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(key.public().to_string(), public);
        assert_eq!(key.sign(&[0x72]), signature);
        assert!(key.public().signed(&[0x72], signature));
        assert!(!key.public().signed(&[0x73], signature));
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let made = Key::open(dir.path()).unwrap().public();
        assert_eq!(Key::open(dir.path()).unwrap().public(), made);
        let file = dir.path().join(FILE);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&file, "no key\n").unwrap();
        assert!(matches!(
            Key::open(dir.path()),
            Err(LedgerError::Key { .. })
        ));
        assert_eq!(fs::read_to_string(&file).unwrap(), "no key\n");
    }
}
