//! The folders with certificates.

use std::{fs, os::unix::fs::PermissionsExt as _};

use protocols::opcua::{
    Pki, StartError,
    pki::{Certificate, Trust, Untrusted, VALID_DAYS, read_file},
};

use crate::ends::{BITS, subject};

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_for_its_owner_alone_and_of_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path().join("pki"));
    let own = pki.create(&subject("north"), BITS).unwrap();
    assert_eq!(
        pki.create(&subject("other"), BITS).unwrap(),
        own,
        "what is there stays"
    );
    assert_eq!(own.name, "north");
    assert_eq!(
        own.names,
        ["urn:busbar:test:north", "127.0.0.1", "localhost"]
    );
    assert_eq!(own.key_bits, 2048);
    assert_eq!(
        own.not_after - own.not_before,
        i64::from(VALID_DAYS) * 86_400
    );
    let key = pki.folder.join("own/key.pem");
    assert_eq!(mode(&key), 0o600);
    for name in ["", "own", "trusted", "rejected"] {
        assert_eq!(mode(pki.folder.join(name)), 0o700, "{name}");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let open = pki.own().unwrap_err().to_string();
    assert!(open.contains("mode 640"), "{open}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    let other = Pki::new(folder.path().join("other"));
    other.create(&subject("north"), BITS).unwrap();
    fs::copy(other.folder.join("own/key.pem"), &key).unwrap();
    let other = pki.own().unwrap_err();
    assert!(matches!(other, StartError::File { .. }), "{other}");
}

#[test]
fn a_certificate_is_renewed_in_two_steps() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    assert!(pki.renew(BITS).is_err(), "there is none yet");
    let old = pki.create(&subject("north"), BITS).unwrap();
    assert!(pki.activate().is_err(), "none was made");
    let next = pki.renew(BITS).unwrap();
    assert_eq!((&next.name, &next.names), (&old.name, &old.names));
    assert_ne!(next.fingerprint, old.fingerprint);
    assert_eq!(pki.own().unwrap(), old, "until it is activated");
    assert_eq!(pki.activate().unwrap(), next);
    assert_eq!(pki.own().unwrap(), next);
    assert_eq!(mode(folder.path().join("own/key.pem")), 0o600);
    assert!(!folder.path().join("own/next.pem").exists());
}

#[test]
fn a_certificate_is_trusted_until_it_is_rejected_or_over() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let (ours, theirs) = (Pki::new(ours), Pki::new(theirs));
    let shown = theirs.create(&subject("north"), BITS).unwrap();
    let within = shown.not_before + 1;
    let check = |now| ours.check(&shown.der, now);
    assert_eq!(check(within), Err(Untrusted::Unknown(shown.fingerprint)));
    // As PEM, under any name, as an engineer would put it there.
    let trusted = ours.folder.join("trusted");
    fs::create_dir_all(&trusted).unwrap();
    let pem = pem_of(&shown.der);
    fs::write(trusted.join("from north.pem"), pem).unwrap();
    assert_eq!(read_file(&trusted.join("from north.pem")).unwrap(), shown);
    fs::write(trusted.join("README"), "not a certificate").unwrap();
    assert_eq!(check(within), Ok(shown.clone()));
    for now in [shown.not_before - 1, shown.not_after + 1] {
        assert_eq!(check(now), Err(Untrusted::Time(shown.fingerprint)), "{now}");
    }
    assert_eq!(shown.days_left(shown.not_after - 86_400), 1);
    assert_eq!(shown.days_left(shown.not_after + 1), -1);
    ours.reject(&shown).unwrap();
    assert_eq!(check(within), Err(Untrusted::Unknown(shown.fingerprint)));
    assert_eq!(ours.list().unwrap(), [(Trust::Rejected, shown.clone())]);
    ours.trust(&shown).unwrap();
    assert_eq!(check(within), Ok(shown));

    assert_eq!(Certificate::read(b"nonsense"), Err(Untrusted::Unreadable));
}

fn pem_of(der: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in base64(der).as_bytes().chunks(64) {
        writeln!(pem, "{}", String::from_utf8_lossy(line)).unwrap();
    }
    pem + "-----END CERTIFICATE-----\n"
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in octets.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let there = digit <= chunk.len();
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if there {
                char::from(DIGITS[value as usize])
            } else {
                '='
            });
        }
    }
    text
}
