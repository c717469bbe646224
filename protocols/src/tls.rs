//! TLS around any TCP protocol, mutual: each end shows a certificate that an authority of the other's has
//! signed (IEC 62351-3). rustls with the `ring` provider, TLS 1.2 and 1.3.
//!
//! That a certificate is good says that its owner belongs to the grid's operator, not who of them it is: a
//! server ties each of its clients to a [`Fingerprint`]. Revocation lists are not looked at.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use ring::digest::{SHA256, digest};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring::default_provider},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

/// A connection, with or without TLS.
pub trait Octets: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Octets for T {}

/// Where an end's certificate, its key and whom it trusts are: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, followed by those between it and an authority.
    pub certificate: PathBuf,
    /// Its key, which only its owner may read.
    pub key: PathBuf,
    /// The authorities whose signature we believe.
    pub authorities: PathBuf,
}

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("{}: {reason}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// They do not fit together.
    #[error("certificate, key and authorities do not fit together: {0}")]
    Unfit(String),
}

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate, DER.
    #[must_use]
    pub fn of_der(certificate: &[u8]) -> Self {
        let mut octets = [0; 32];
        octets.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Self(octets)
    }

    /// Of the first certificate in a PEM file.
    ///
    /// # Errors
    /// It has none.
    pub fn of_file(file: &Path) -> Result<Self, TlsError> {
        let certificates = certificates(file)?;
        let first = certificates.first().ok_or_else(|| TlsError::File {
            file: file.to_owned(),
            reason: "has no certificate".to_owned(),
        })?;
        Ok(Self::of_der(first))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// 64 hexadecimal digits; colons between them are passed over, as `openssl x509 -fingerprint` prints
    /// them.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).map(|digit| digit as u8))
            .collect();
        let digits = digits.filter(|digits| digits.len() == 64);
        let digits = digits.ok_or("a SHA-256 fingerprint has 64 hexadecimal digits")?;
        let mut octets = [0; 32];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
            *octet = pair[0] << 4 | pair[1];
        }
        Ok(Self(octets))
    }
}

impl TlsFiles {
    /// What a server takes connections with.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn server(&self) -> Result<TlsServer, TlsError> {
        let (provider, roots) = (provider(), Arc::new(self.roots()?));
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let verifier = verifier.map_err(unfit)?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates(&self.certificate)?, self.private_key()?)
            .map_err(unfit)?;
        Ok(TlsServer(Arc::new(config)))
    }

    /// What a client opens connections with to a server whose certificate is for `name`, a DNS name or an
    /// IP address.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn client(&self, name: &str) -> Result<TlsClient, TlsError> {
        let name = ServerName::try_from(name.to_owned()).map_err(unfit)?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(certificates(&self.certificate)?, self.private_key()?)
            .map_err(unfit)?;
        let config = Arc::new(config);
        Ok(TlsClient { config, name })
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.authorities)? {
            roots.add(authority).map_err(unfit)?;
        }
        Ok(roots)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let wrong = |reason: String| TlsError::File {
            file: self.key.clone(),
            reason,
        };
        let meta = fs::metadata(&self.key).map_err(|error| wrong(error.to_string()))?;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let reason = format!("others than its owner can get at it (mode {mode:o}); use 600");
            return Err(wrong(reason));
        }
        PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(error.to_string()))
    }
}

/// A server's end.
#[derive(Clone, Debug)]
pub struct TlsServer(Arc<ServerConfig>);

impl TlsServer {
    /// Takes a client in; its certificate's fingerprint.
    ///
    /// # Errors
    /// The handshake fails: no certificate, or none that an authority has signed.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Box<dyn Octets>, Fingerprint)> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.0));
        let stream = acceptor.accept(stream).await?;
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        // The verifier takes nobody without.
        let fingerprint = Fingerprint::of_der(shown.ok_or(io::ErrorKind::PermissionDenied)?);
        Ok((Box::new(stream), fingerprint))
    }
}

/// A client's end.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Makes a connection one with TLS.
    ///
    /// # Errors
    /// The handshake fails: the certificate is for another name, or no authority has signed it.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<Box<dyn Octets>> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(self.name.clone(), stream).await?;
        Ok(Box::new(stream))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File {
        file: file.to_owned(),
        reason,
    };
    let all = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    let all: Vec<_> = all
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if all.is_empty() {
        return Err(wrong("has no certificate".to_owned()));
    }
    Ok(all)
}

fn unfit(error: impl fmt::Display) -> TlsError {
    TlsError::Unfit(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_printed() {
        let text = "ab".repeat(32);
        let one: Fingerprint = text.parse().unwrap();
        assert_eq!(one.to_string(), text);
        let colons: Vec<&str> = vec!["AB"; 32];
        assert_eq!(colons.join(":").parse(), Ok(one));
        for wrong in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
