//! Certificates of OPC UA applications (IEC 62541-6, 6.2): each end makes its own and says which of the
//! others' it trusts, one by one, by folders that an engineer can read.
//!
//! A certificate is renewed in two steps, since the other end has to trust the new one first:
//! [`Pki::renew`] puts it beside the old one, [`Pki::activate`] in its place.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use opcua::crypto::{KeySize as _, PrivateKey, X509};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;
use x509_cert::{
    der::Decode as _,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use super::{Pki, StartError};
use crate::tls::Fingerprint;

/// Of an RSA key made here; Basic256Sha256 takes 2048 to 4096.
pub const KEY_BITS: u32 = 3072;
/// What a certificate made here is good for, days.
pub const VALID_DAYS: u32 = 2 * 365;
/// From when on it is told that a certificate nears its end, days before.
pub const RENEW_DAYS: i64 = 60;
/// So many certificates that were turned away are kept to be looked at.
const REJECTED_KEPT: usize = 32;

pub(super) const CERTIFICATE: &str = "own/certificate.der";
pub(super) const KEY: &str = "own/key.pem";
const NEXT_CERTIFICATE: &str = "own/next.der";
const NEXT_KEY: &str = "own/next.pem";

/// A certificate, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// All of it, DER.
    pub der: Vec<u8>,
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// Its common name.
    pub name: String,
    /// The application's URI, and the hosts it runs on.
    pub names: Vec<String>,
    /// Seconds of UTC since 1970 from which on it is good.
    pub not_before: i64,
    /// And until when.
    pub not_after: i64,
    /// Of its RSA key.
    pub key_bits: usize,
}

/// For whom a certificate is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its common name.
    pub name: String,
    /// The application's URI, `urn:…`.
    pub uri: String,
    /// DNS names and addresses of where it runs: a client looks for the one it connects to.
    pub hosts: Vec<String>,
}

/// In which folder a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Its owner may connect, or be connected to.
    Trusted,
    /// Its owner is turned away.
    Rejected,
}

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It cannot be read.
    #[error("not a certificate")]
    Unreadable,
    /// Nobody has said that it is trusted.
    #[error("certificate {0} is not among the trusted")]
    Unknown(Fingerprint),
    /// Its time is over, or has not come.
    #[error("certificate {0} is not valid now")]
    Time(Fingerprint),
    /// Its key is too short or too long.
    #[error("certificate {0} has a key of {1} bit, not one of 2048 to 4096")]
    Key(Fingerprint, usize),
}

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// [`Untrusted::Unreadable`].
    pub fn read(der: &[u8]) -> Result<Self, Untrusted> {
        let x509 = X509::from_der(der).map_err(|_| Untrusted::Unreadable)?;
        let common_name = x509.common_name().unwrap_or_default();
        let time = |at: Result<_, _>| at.map_err(|_| Untrusted::Unreadable);
        Ok(Self {
            fingerprint: Fingerprint::of_der(der),
            // The library gives it with what it is.
            name: common_name.trim_start_matches("CN=").to_owned(),
            names: names(der),
            not_before: time(x509.not_before())?.timestamp(),
            not_after: time(x509.not_after())?.timestamp(),
            key_bits: x509.key_length().map_err(|_| Untrusted::Unreadable)?,
            der: der.to_vec(),
        })
    }

    /// Reads one of PEM.
    ///
    /// # Errors
    /// [`Untrusted::Unreadable`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, Untrusted> {
        let x509 = X509::from_pem(pem).map_err(|_| Untrusted::Unreadable)?;
        Self::read(&x509.to_der().map_err(|_| Untrusted::Unreadable)?)
    }

    /// Days until its end; negative once that is over.
    #[must_use]
    pub fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(86_400)
    }

    fn check(&self, now: i64) -> Result<(), Untrusted> {
        if !(2048..=4096).contains(&self.key_bits) {
            return Err(Untrusted::Key(self.fingerprint, self.key_bits));
        }
        if now < self.not_before || now > self.not_after {
            return Err(Untrusted::Time(self.fingerprint));
        }
        Ok(())
    }
}

impl Pki {
    /// One in a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self { folder }
    }

    /// Makes a key and a certificate of our own, and the folders. What is there already stays.
    ///
    /// # Errors
    /// A file cannot be written, or the names cannot stand in a certificate.
    pub fn create(&self, subject: &Subject, bits: u32) -> Result<Certificate, StartError> {
        self.folders()?;
        if !self.folder.join(CERTIFICATE).exists() {
            self.write_pair(subject, bits, CERTIFICATE, KEY)?;
        }
        self.own()
    }

    /// Makes a certificate, with a new key, that takes the place of our own at [`Pki::activate`]. It is in
    /// `own/next.der` for the other end to trust.
    ///
    /// # Errors
    /// There is none yet, or a file cannot be written.
    pub fn renew(&self, bits: u32) -> Result<Certificate, StartError> {
        let own = self.own()?;
        let (uris, hosts): (Vec<_>, Vec<_>) = own
            .names
            .into_iter()
            .partition(|name| name.contains(':') && name.parse::<IpAddr>().is_err());
        let uri = uris.into_iter().next().unwrap_or_default();
        let name = own.name;
        self.write_pair(
            &Subject { name, uri, hosts },
            bits,
            NEXT_CERTIFICATE,
            NEXT_KEY,
        )?;
        read_file(&self.folder.join(NEXT_CERTIFICATE))
    }

    /// Puts the certificate that was made last in the place of our own; both ends start again with it.
    ///
    /// # Errors
    /// None was made, or a file cannot be moved.
    pub fn activate(&self) -> Result<Certificate, StartError> {
        let next = self.folder.join(NEXT_CERTIFICATE);
        read_file(&next)?;
        for (from, to) in [(NEXT_KEY, KEY), (NEXT_CERTIFICATE, CERTIFICATE)] {
            let from = self.folder.join(from);
            fs::rename(&from, self.folder.join(to)).map_err(|error| file(&from, error))?;
        }
        self.own()
    }

    /// Our own certificate.
    ///
    /// # Errors
    /// It or its key is not there, they do not fit together, or others can get at the key.
    pub fn own(&self) -> Result<Certificate, StartError> {
        let key = self.folder.join(KEY);
        let meta = fs::metadata(&key).map_err(|error| file(&key, error))?;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let reason = format!("others than its owner can get at it (mode {mode:o}); use 600");
            return Err(StartError::File { file: key, reason });
        }
        let path = self.folder.join(CERTIFICATE);
        let own = read_file(&path)?;
        let private = PrivateKey::read_pem_file(&key)
            .map_err(|_| file(&key, "is not a private RSA key, PKCS #8 in PEM"))?;
        if !fits(&private, &own.der) {
            return Err(file(&path, format!("is not of the key in {KEY}")));
        }
        Ok(own)
    }

    /// All certificates of others; files that are none are passed over.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn list(&self) -> Result<Vec<(Trust, Certificate)>, StartError> {
        let mut all = Vec::new();
        for trust in [Trust::Trusted, Trust::Rejected] {
            for path in self.files(trust)? {
                if let Ok(certificate) = read_file(&path) {
                    all.push((trust, certificate));
                }
            }
        }
        Ok(all)
    }

    /// Trusts a certificate, from now on.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn trust(&self, certificate: &Certificate) -> Result<(), StartError> {
        self.put(certificate, Trust::Trusted)
    }

    /// Turns a certificate away, from now on.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn reject(&self, certificate: &Certificate) -> Result<(), StartError> {
        self.put(certificate, Trust::Rejected)
    }

    /// Looks whether a certificate is trusted, and good at `now`.
    ///
    /// # Errors
    /// See [`Untrusted`].
    pub fn check(&self, der: &[u8], now: i64) -> Result<Certificate, Untrusted> {
        let shown = Certificate::read(der)?;
        let all = self.list().unwrap_or_default();
        let is = |trust| {
            all.iter()
                .any(|(of, one)| *of == trust && one.der == shown.der)
        };
        if is(Trust::Rejected) || !is(Trust::Trusted) {
            return Err(Untrusted::Unknown(shown.fingerprint));
        }
        shown.check(now)?;
        Ok(shown)
    }

    /// Keeps a certificate that was turned away, for an engineer to look at; the oldest go when there are
    /// too many.
    pub(super) fn keep_rejected(&self, der: &[u8]) {
        let Ok(certificate) = Certificate::read(der) else {
            return;
        };
        let mut kept = self.files(Trust::Rejected).unwrap_or_default();
        if kept.len() >= REJECTED_KEPT {
            kept.sort_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok());
            for oldest in kept.iter().take(kept.len() + 1 - REJECTED_KEPT) {
                let _ = fs::remove_file(oldest);
            }
        }
        if let Err(error) = self.reject(&certificate) {
            tracing::warn!(%error, "a certificate that was turned away is not kept");
        }
    }

    /// Gives every trusted certificate the name and form that async-opcua looks for it by.
    pub(super) fn prepare(&self) -> Result<(), StartError> {
        self.folders()?;
        for path in self.files(Trust::Trusted)? {
            let Ok(certificate) = read_file(&path) else {
                tracing::warn!(file = %path.display(), "not a certificate");
                continue;
            };
            if path.file_name() != Some(file_name(&certificate)?.as_ref()) {
                self.write_in(Trust::Trusted, &certificate)?;
                fs::remove_file(&path).map_err(|error| file(&path, error))?;
            }
        }
        Ok(())
    }

    fn put(&self, certificate: &Certificate, trust: Trust) -> Result<(), StartError> {
        self.folders()?;
        self.write_in(trust, certificate)?;
        let other = match trust {
            Trust::Trusted => Trust::Rejected,
            Trust::Rejected => Trust::Trusted,
        };
        for path in self.files(other)? {
            if read_file(&path).is_ok_and(|one| one.der == certificate.der) {
                fs::remove_file(&path).map_err(|error| file(&path, error))?;
            }
        }
        Ok(())
    }

    fn write_in(&self, trust: Trust, certificate: &Certificate) -> Result<(), StartError> {
        let path = self.of(trust).join(file_name(certificate)?);
        write(&path, &certificate.der)
    }

    fn of(&self, trust: Trust) -> PathBuf {
        self.folder.join(match trust {
            Trust::Trusted => "trusted",
            Trust::Rejected => "rejected",
        })
    }

    fn files(&self, trust: Trust) -> Result<Vec<PathBuf>, StartError> {
        let folder = self.of(trust);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| file(&folder, error))?,
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        Ok(files)
    }

    fn folders(&self) -> Result<(), StartError> {
        for name in ["", "own", "trusted", "rejected"] {
            let path = self.folder.join(name);
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path);
            made.map_err(|error| file(&path, error))?;
        }
        Ok(())
    }

    fn write_pair(
        &self,
        subject: &Subject,
        bits: u32,
        certificate: &str,
        key: &str,
    ) -> Result<(), StartError> {
        let (der, pem) = make(subject, bits).map_err(StartError::Config)?;
        write(&self.folder.join(key), pem.as_bytes())?;
        write(&self.folder.join(certificate), &der)
    }
}

/// Reads a certificate from a file, DER or PEM.
///
/// # Errors
/// It has none.
pub fn read_file(path: &Path) -> Result<Certificate, StartError> {
    let octets = fs::read(path).map_err(|error| file(path, error))?;
    let read = match octets.starts_with(b"-----BEGIN") {
        true => Certificate::from_pem(&octets),
        false => Certificate::read(&octets),
    };
    read.map_err(|error| file(path, error))
}

/// Seconds of UTC since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

fn make(subject: &Subject, bits: u32) -> Result<(Vec<u8>, String), String> {
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    let private = PrivateKey::new(bits).map_err(|error| wrong(&error))?;
    let pkcs8 = private.to_der().map_err(|error| wrong(&error))?;
    let key = KeyPair::try_from(pkcs8.as_bytes()).map_err(|error| wrong(&error))?;
    let mut params =
        CertificateParams::new(subject.hosts.clone()).map_err(|error| wrong(&error))?;
    let uri = subject
        .uri
        .as_str()
        .try_into()
        .map_err(|error: rcgen::Error| wrong(&error))?;
    params.subject_alt_names.insert(0, SanType::URI(uri));
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, &subject.name);
    params.is_ca = IsCa::ExplicitNoCa;
    // IEC 62541-6, table 43.
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::ContentCommitment,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DataEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    // The other end's clock may be behind.
    let start = OffsetDateTime::now_utc() - time::Duration::hours(1);
    params.not_before = start;
    params.not_after = start + time::Duration::days(i64::from(VALID_DAYS));
    let certificate = params.self_signed(&key).map_err(|error| wrong(&error))?;
    Ok((certificate.der().to_vec(), key.serialize_pem()))
}

/// Whether a certificate is of a key: what the one signs, the other verifies.
fn fits(private: &PrivateKey, der: &[u8]) -> bool {
    let Some(public) = X509::from_der(der)
        .ok()
        .and_then(|x509| x509.public_key().ok())
    else {
        return false;
    };
    let mut signature = vec![0; private.size()];
    private.sign_sha256(b"busbar", &mut signature).is_ok()
        && public.verify_sha256(b"busbar", &signature).unwrap_or(false)
}

/// The application's URI and the hosts, as they stand in the certificate.
fn names(der: &[u8]) -> Vec<String> {
    let parsed = x509_cert::Certificate::from_der(der);
    let found = parsed.map(|parsed| parsed.tbs_certificate.get::<SubjectAltName>());
    let Ok(Ok(Some((_, SubjectAltName(names))))) = found else {
        return Vec::new();
    };
    let text = |name: &GeneralName| match name {
        GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(octets) => {
            let four = <[u8; 4]>::try_from(octets.as_bytes()).map(IpAddr::from);
            let sixteen = <[u8; 16]>::try_from(octets.as_bytes()).map(IpAddr::from);
            four.or(sixteen).ok().map(|address| address.to_string())
        }
        _ => None,
    };
    names.iter().filter_map(text).collect()
}

fn file_name(certificate: &Certificate) -> Result<String, StartError> {
    let x509 = X509::from_der(&certificate.der);
    let x509 = x509.map_err(|_| StartError::Config("not a certificate".to_owned()))?;
    Ok(opcua::crypto::CertificateStore::cert_file_name(&x509))
}

fn write(path: &Path, octets: &[u8]) -> Result<(), StartError> {
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut options = fs::OpenOptions::new();
    let opened = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary);
    let written = opened.and_then(|mut file| {
        io::Write::write_all(&mut file, octets)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&temporary, path));
    moved.map_err(|error| file(path, error))
}

fn file(path: &Path, reason: impl ToString) -> StartError {
    StartError::File {
        file: path.to_owned(),
        reason: reason.to_string(),
    }
}
