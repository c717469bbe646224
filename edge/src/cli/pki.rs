//! `busbar pki`: the certificate that the link between markets shows, and those that it trusts
//! (`docs/opcua.md`).

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use clap::Subcommand;
use protocols::{
    opcua::{
        Pki,
        pki::{Certificate, KEY_BITS, Subject, Trust, read_file},
    },
    tls::Fingerprint,
};

use super::say;

#[derive(Subcommand)]
pub(super) enum PkiVerb {
    /// Make a key and a certificate, if there are none yet, and show the certificate.
    Create {
        /// The folder.
        folder: PathBuf,
        /// What the certificate is for: the appliance's name.
        #[arg(long)]
        name: String,
        /// A DNS name or address of it, as others connect to it; may be given several times. By default
        /// 127.0.0.1 and localhost.
        #[arg(long, value_name = "HOST")]
        host: Vec<String>,
    },
    /// Show the folder's own certificate: SHA-256, name, days left, and where it stands for the other end
    /// to fetch.
    Show {
        /// The folder.
        folder: PathBuf,
    },
    /// List the certificates of others: trusted or rejected, SHA-256, days left, name.
    List {
        /// The folder.
        folder: PathBuf,
    },
    /// Trust a certificate from now on, also while the appliance runs.
    Trust {
        /// The folder.
        folder: PathBuf,
        /// A file, DER or PEM, or the SHA-256 of one that was rejected.
        certificate: String,
    },
    /// Turn a certificate away from now on.
    Reject {
        /// The folder.
        folder: PathBuf,
        /// A file, DER or PEM, or the SHA-256 of one that is trusted.
        certificate: String,
    },
    /// Make the next certificate, with a new key, for the other end to trust before it is used.
    Renew {
        /// The folder.
        folder: PathBuf,
    },
    /// Use the next certificate from the next connection or start on.
    Activate {
        /// The folder.
        folder: PathBuf,
    },
}

pub(super) fn pki(verb: PkiVerb) -> anyhow::Result<ExitCode> {
    match verb {
        PkiVerb::Create { folder, name, host } => {
            let own = Pki::new(&folder).create(&subject(name, host), KEY_BITS)?;
            show(&own, &folder.join("own/certificate.der"));
        }
        PkiVerb::Show { folder } => {
            let own = Pki::new(&folder).own()?;
            show(&own, &folder.join("own/certificate.der"));
        }
        PkiVerb::List { folder } => {
            for (trust, certificate) in Pki::new(folder).list()? {
                say(&line(trust, &certificate));
            }
        }
        PkiVerb::Trust {
            folder,
            certificate,
        } => {
            let pki = Pki::new(folder);
            let certificate = find(&pki, &certificate)?;
            pki.trust(&certificate)?;
            say(&line(Trust::Trusted, &certificate));
        }
        PkiVerb::Reject {
            folder,
            certificate,
        } => {
            let pki = Pki::new(folder);
            let certificate = find(&pki, &certificate)?;
            pki.reject(&certificate)?;
            say(&line(Trust::Rejected, &certificate));
        }
        PkiVerb::Renew { folder } => {
            let next = Pki::new(&folder).renew(KEY_BITS)?;
            show(&next, &folder.join("own/next.der"));
        }
        PkiVerb::Activate { folder } => {
            let own = Pki::new(&folder).activate()?;
            show(&own, &folder.join("own/certificate.der"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn subject(name: String, mut hosts: Vec<String>) -> Subject {
    if hosts.is_empty() {
        hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    }
    let uri = format!(
        "urn:busbar:{}",
        name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    );
    Subject { name, uri, hosts }
}

/// A certificate by its file, or by its fingerprint among those of a folder.
fn find(pki: &Pki, which: &str) -> anyhow::Result<Certificate> {
    let Ok(fingerprint) = which.parse::<Fingerprint>() else {
        return Ok(read_file(Path::new(which))?);
    };
    let all = pki.list()?.into_iter().map(|(_, one)| one);
    let found = all.into_iter().find(|one| one.fingerprint == fingerprint);
    let Some(found) = found else {
        bail!("{}: no certificate {fingerprint}", pki.folder.display());
    };
    Ok(found)
}

fn show(certificate: &Certificate, file: &Path) {
    say(&format!(
        "{}  {}",
        certificate.fingerprint, certificate.name
    ));
    say(&format!("names  {}", certificate.names.join(", ")));
    say(&format!("days   {}", certificate.days_left(now())));
    say(&format!("file   {}", file.display()));
}

fn line(trust: Trust, certificate: &Certificate) -> String {
    let trust = match trust {
        Trust::Trusted => "trusted ",
        Trust::Rejected => "rejected",
    };
    let days = certificate.days_left(now());
    format!(
        "{trust}  {}  {days:>5} d  {}",
        certificate.fingerprint, certificate.name
    )
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engineer_trusts_rejects_and_trusts_again_by_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let (area, north) = (folder.path().join("area"), folder.path().join("north"));
        let subject = subject("Umspannwerk Nord 1".to_owned(), Vec::new());
        assert_eq!(subject.uri, "urn:busbar:Umspannwerk-Nord-1");
        let own = Pki::new(&north).create(&subject, 2048).unwrap();
        let file = north.join("own/certificate.der").display().to_string();
        let run = |verb| pki(verb).unwrap();
        let pki = Pki::new(&area);
        let listed = || {
            pki.list()
                .unwrap()
                .into_iter()
                .map(|(trust, one)| (trust, one.fingerprint))
                .collect::<Vec<_>>()
        };
        run(PkiVerb::Trust {
            folder: area.clone(),
            certificate: file,
        });
        assert_eq!(listed(), [(Trust::Trusted, own.fingerprint)]);
        let certificate = own.fingerprint.to_string();
        run(PkiVerb::Reject {
            folder: area.clone(),
            certificate: certificate.clone(),
        });
        assert_eq!(listed(), [(Trust::Rejected, own.fingerprint)]);
        run(PkiVerb::Trust {
            folder: area.clone(),
            certificate,
        });
        assert_eq!(listed(), [(Trust::Trusted, own.fingerprint)]);
        let unknown = "00".repeat(32);
        assert!(
            super::pki(PkiVerb::Trust {
                folder: area.clone(),
                certificate: unknown
            })
            .is_err()
        );
    }
}
