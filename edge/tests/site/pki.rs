//! What `busbar check` says of the certificate and the key of a link between markets.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The example of an area, with a certificate of its own, and its passwords.
struct Area {
    folder: TempDir,
}

impl Area {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/area");
        for name in ["site.toml", "network.json"] {
            fs::copy(example.join(name), folder.path().join(name)).unwrap();
        }
        fs::create_dir(folder.path().join("secrets")).unwrap();
        for tenant in ["north", "south", "west"] {
            let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$3pQ0NoUBSQmlPMpCpqLMqQ5FmZp2Iy8d4nH7Fh3Gk5I\n";
            let file = format!("secrets/{tenant}.hash");
            fs::write(folder.path().join(file), hash).unwrap();
        }
        let area = Self { folder };
        area.create("pki");
        area
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn create(&self, pki: &str) {
        let folder = self.file(pki).display().to_string();
        let (success, said) = busbar(&["pki", "create", &folder, "--name", "area"]);
        assert!(success, "{said}");
    }

    /// Whether it finds nothing wrong, and what it says.
    fn check(&self) -> (bool, String) {
        busbar(&[
            "check",
            "--site",
            &self.file("site.toml").display().to_string(),
        ])
    }

    /// What it says is wrong, in a line; it is told to no avail to run.
    fn wrong(&self) -> String {
        let (success, said) = self.check();
        assert!(!success && !said.contains(": ok"), "{said}");
        let line = said.lines().find(|line| line.contains("serve.pki: "));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    }
}

fn busbar(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busbar"));
    let output = command.args(arguments).output().unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

#[test]
fn a_certificate_with_its_key_is_good() {
    let area = Area::new();
    let (success, said) = area.check();
    assert!(
        success && said.contains(": ok, the market of an area"),
        "{said}"
    );
    let nobody = "serve.pki: no certificate of another end is trusted";
    assert!(said.contains(nobody), "{said}");
    area.create("other");
    let [pki, other] = ["pki", "other/own/certificate.der"].map(|of| area.file(of));
    let trusts = [
        "pki",
        "trust",
        pki.to_str().unwrap(),
        other.to_str().unwrap(),
    ];
    assert!(busbar(&trusts).0);
    let (success, said) = area.check();
    assert!(success && !said.contains("serve.pki"), "{said}");
}

#[test]
fn a_key_that_is_not_there_is_named() {
    let area = Area::new();
    fs::remove_file(area.file("pki/own/key.pem")).unwrap();
    let said = area.wrong();
    assert!(said.contains("own/key.pem: No such file"), "{said}");
}

#[test]
fn a_key_of_another_certificate_is_named() {
    let area = Area::new();
    area.create("other");
    let [from, to] = ["other/own/key.pem", "pki/own/key.pem"].map(|of| area.file(of));
    fs::copy(from, to).unwrap();
    let said = area.wrong();
    let told = "own/certificate.der: is not of the key in own/key.pem";
    assert!(said.contains(told), "{said}");
}

#[test]
fn a_key_that_others_can_read_is_named() {
    let area = Area::new();
    let key = area.file("pki/own/key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = area.wrong();
    let told = "others than its owner can get at it (mode 644); use 600";
    assert!(said.contains(told), "{said}");
}

/// With its times replaced; that it signs itself is not looked at.
#[test]
fn a_certificate_out_of_its_time_is_named_and_one_that_ends_soon_is_a_warning() {
    let area = Area::new();
    let file = area.file("pki/own/certificate.der");
    let made = fs::read(&file).unwrap();
    let valid = |from: &str, until: &str| {
        let mut der = made.clone();
        // UTCTime, 13 characters: the first is from when on, the second until when.
        let times = |der: &[u8]| -> Vec<usize> {
            let starts = der.windows(2).enumerate();
            let is = starts.filter(|(_, tag)| *tag == [0x17, 13]);
            is.map(|(at, _)| at + 2).collect()
        };
        let found = times(&der);
        assert_eq!(found.len(), 2, "{found:?}");
        for (at, time) in found.into_iter().zip([from, until]) {
            der[at..at + 13].copy_from_slice(time.as_bytes());
        }
        fs::write(&file, der).unwrap();
    };
    valid("200101000000Z", "210101000000Z");
    let said = area.wrong();
    assert!(
        said.contains("the certificate is not valid now (-"),
        "{said}"
    );
    valid("480101000000Z", "490101000000Z");
    let said = area.wrong();
    assert!(
        said.contains("the certificate is not valid now ("),
        "{said}"
    );
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(30 * 86_400 + 3_600);
    let soon = edge::clock::rfc3339_s(
        i64::try_from(
            soon.duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        )
        .unwrap(),
    );
    // 2026-12-23T11:00:00Z as UTCTime.
    let digits: String = soon[2..19].chars().filter(char::is_ascii_digit).collect();
    valid("200101000000Z", &format!("{digits}Z"));
    let (success, said) = area.check();
    assert!(success, "{said}");
    let told = "warning: serve.pki: the certificate ends in 30 days: busbar pki renew";
    assert!(said.contains(told), "{said}");
}
