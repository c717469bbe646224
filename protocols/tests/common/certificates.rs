//! Certificates for tests: an authority of ours, one of somebody else's, and ends that they sign for
//! 127.0.0.1. Also of `tests/tests/peers_dnp3`.

use std::{
    error::Error,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use protocols::tls::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    ours: Authority,
    theirs: Authority,
}

impl Fixture {
    pub(crate) fn new() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let dir = tempfile::tempdir()?;
        let ours = authority(&dir.path().join("ca.pem"))?;
        let theirs = authority(&dir.path().join("other-ca.pem"))?;
        Ok(Self { dir, ours, theirs })
    }

    /// Files of an end whose certificate our authority has signed, and who trusts it.
    pub(crate) fn end(&self, name: &str) -> Result<TlsFiles, Box<dyn Error + Send + Sync>> {
        self.signed(name, &self.ours)
    }

    /// The same, signed by the other authority.
    pub(crate) fn stranger(&self, name: &str) -> Result<TlsFiles, Box<dyn Error + Send + Sync>> {
        self.signed(name, &self.theirs)
    }

    fn signed(&self, name: &str, by: &Authority) -> Result<TlsFiles, Box<dyn Error + Send + Sync>> {
        let file = |what: &str| -> PathBuf { self.dir.path().join(format!("{name}.{what}")) };
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        // OpenSSL takes a certificate of its issuer's name for one that has signed itself.
        params.distinguished_name.push(DnType::CommonName, name);
        fs::write(file("pem"), params.signed_by(&key, by)?.pem())?;
        fs::write(file("key"), key.serialize_pem())?;
        fs::set_permissions(file("key"), fs::Permissions::from_mode(0o600))?;
        Ok(TlsFiles {
            certificate: file("pem"),
            key: file("key"),
            authorities: self.dir.path().join("ca.pem"),
        })
    }
}

fn authority(file: &Path) -> Result<Authority, Box<dyn Error + Send + Sync>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(file, authority.pem())?;
    Ok(authority)
}
