//! The secret of a token: 256 random bits, of which only a hash is kept.
//!
//! SHA-256 without salt or stretching is enough: there is nothing to guess in 256 random bits, other
//! than in a password.

use std::fmt;

use crate::store::{
    Hash,
    users::{UserError, random_text},
};

/// What every token begins with, so that one in the wrong place is known for what it is.
const PREFIX: &str = "busbar_";

/// A token's text, which is shown once and never kept.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> Result<Self, UserError> {
        Ok(Self(format!("{PREFIX}{}", random_text::<32>()?)))
    }

    /// What somebody presents as one.
    #[must_use]
    pub fn presented(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, for who it is issued to.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(self.0.as_bytes())
    }

    /// A name for it that says nothing of it: the first digits of its hash.
    #[must_use]
    pub fn id(&self) -> String {
        let mut id = self.hash().to_string();
        id.truncate(12);
        id
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.id())
    }
}
