//! Certificates of the links between markets.

use protocols::opcua::pki::{Certificate, Trust};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A certificate at an end of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "link": "tenants", "standing": "rejected", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "name": "south", "names": ["urn:busbar:south", "localhost"], "days_left": 729, "key_bits": 3072
}))]
pub struct CertificateView {
    /// `above`, where this end is the client; `tenants`, where it serves.
    pub link: String,
    /// `own`, `trusted` or `rejected`.
    pub standing: String,
    /// SHA-256 of it, 64 hexadecimal digits.
    pub sha256: String,
    /// Its common name.
    pub name: String,
    /// The application's URI, and the hosts it runs on.
    pub names: Vec<String>,
    /// Days until its end; negative once that is over.
    pub days_left: i64,
    /// Of its RSA key.
    pub key_bits: u32,
}

/// What is to become of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "trusted": true }))]
pub struct Judgement {
    /// Whether its owner may connect, or be connected to, from now on.
    pub trusted: bool,
    /// The certificate, PEM, where this end has not seen it yet.
    #[serde(default)]
    pub pem: Option<String>,
}

impl CertificateView {
    /// Of a certificate; `standing` none: our own. `now`: s since 1970.
    #[must_use]
    pub fn of(link: &str, standing: Option<Trust>, of: &Certificate, now: i64) -> Self {
        let standing = match standing {
            None => "own",
            Some(Trust::Trusted) => "trusted",
            Some(Trust::Rejected) => "rejected",
        };
        Self {
            link: link.to_owned(),
            standing: standing.to_owned(),
            sha256: of.fingerprint.to_string(),
            name: of.name.clone(),
            names: of.names.clone(),
            days_left: of.days_left(now),
            key_bits: u32::try_from(of.key_bits).unwrap_or(u32::MAX),
        }
    }
}
