use std::{io, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::store::{LedgerError, Record, backup::backup, users::UserStore};

/// A site that has run: the example's, with a ledger, a key and an enrolment code.
struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv");
        let fixture = Self { directory };
        fs::create_dir(fixture.path("a")).unwrap();
        for name in ["site.toml", "network.json"] {
            fs::copy(example.join(name), fixture.path("a").join(name)).unwrap();
        }
        let state = fixture.path("a/state");
        UserStore::open(&state).unwrap();
        let ledger = Ledger::open(&state).unwrap();
        let started = Record::Started {
            version: "0".to_owned(),
            key: ledger.key().unwrap().public(),
        };
        ledger.append(&[started], 1, true).unwrap();
        fs::write(state.join("historian.redb"), "much").unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn backup(&self) -> PathBuf {
        let file = self.path("backup.tar");
        backup(&self.path("a/site.toml"), &file).unwrap();
        file
    }

    /// A file of the site at `folder`.
    fn read(&self, folder: &str, name: &str) -> Vec<u8> {
        fs::read(self.path(folder).join(name)).unwrap()
    }
}

const FILES: [&str; 5] = [
    "site.toml",
    "network.json",
    "state/ledger.redb",
    "state/ledger-key",
    "state/enrolment-code",
];

#[test]
fn what_was_kept_comes_back_as_it_was_and_is_nobody_elses_to_read() {
    let fixture = Fixture::new();
    let file = fixture.backup();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    let kept = FILES.map(|name| fixture.read("a", name));
    let restored = restore(&file, &fixture.path("b/site.toml"), false).unwrap();
    assert_eq!(restored.files, FILES.len());
    assert_eq!(restored.report.unwrap().records, 2);
    assert_eq!(restored.aside, None);
    // The check opens the ledger, which redb notes in its file: it is compared by its chain.
    for (name, kept) in FILES
        .iter()
        .zip(&kept)
        .filter(|(name, _)| !name.ends_with("redb"))
    {
        assert!(fixture.read("b", name) == *kept, "{name}");
    }
    for name in ["ledger.redb", "ledger-key", "enrolment-code"] {
        assert_eq!(mode(&fixture.path("b/state").join(name)), 0o600, "{name}");
    }
    assert!(!fixture.path("b/state/historian.redb").exists());
    assert!(!fixture.path("b").join(STAGE).exists());
    assert!(!fixture.path("b/state").join(STAGE).exists());
    let reports = ["a", "b"].map(|folder| {
        let ledger = Ledger::look(&fixture.path(folder).join("state")).unwrap();
        ledger.verify(&[]).unwrap()
    });
    assert_eq!(reports[0].last, reports[1].last);
}

#[test]
fn nothing_is_overwritten_unless_told_to_and_then_it_is_set_aside() {
    let fixture = Fixture::new();
    let file = fixture.backup();
    let error = backup(&fixture.path("a/site.toml"), &file).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    fs::write(fixture.path("a/state/users.json"), "{\"later\": 1}").unwrap();
    let site = fixture.path("a/site.toml");
    let error = restore(&file, &site, false).unwrap_err();
    assert!(matches!(error, BackupError::Exists(_)), "{error}");
    assert!(fixture.path("a/state/users.json").exists());
    let restored = restore(&file, &site, true).unwrap();
    let aside = restored.aside.unwrap();
    assert_eq!(
        fs::read(aside.join("users.json")).unwrap(),
        b"{\"later\": 1}"
    );
    assert!(aside.join("historian.redb").exists() && aside.join("ledger.redb").exists());
    assert!(
        !fixture.path("a/state/users.json").exists(),
        "the backup has no user"
    );
}

#[test]
fn an_appliance_that_runs_is_left_alone() {
    let fixture = Fixture::new();
    let file = fixture.backup();
    let site = fixture.path("a/site.toml");
    let running = Ledger::open(&fixture.path("a/state")).unwrap();
    for error in [
        backup(&site, &fixture.path("other.tar")).unwrap_err(),
        restore(&file, &site, true).unwrap_err(),
    ] {
        assert!(
            matches!(error, BackupError::Ledger(LedgerError::InUse(_))),
            "{error}"
        );
    }
    drop(running);
    restore(&file, &site, true).unwrap();
}

#[test]
fn a_damaged_backup_restores_nothing_or_what_was_kept() {
    let fixture = Fixture::new();
    let whole = fs::read(fixture.backup()).unwrap();
    let kept = FILES.map(|name| fixture.read("a", name));
    let site = fixture.path("c/site.toml");
    let mut refused = 0;
    for k in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[k] ^= 0x10;
        let file = fixture.path("damaged.tar");
        fs::write(&file, bytes).unwrap();
        if restore(&file, &site, false).is_err() {
            refused += 1;
            assert!(!site.exists(), "byte {k}");
            assert!(!fixture.path("c/state/ledger.redb").exists(), "byte {k}");
        } else {
            // A byte that says nothing: padding, or a time of the archive's own.
            for (name, kept) in FILES
                .iter()
                .zip(&kept)
                .filter(|(name, _)| !name.ends_with("redb"))
            {
                assert!(fixture.read("c", name) == *kept, "byte {k}: {name}");
            }
            fs::remove_dir_all(fixture.path("c")).unwrap();
        }
    }
    assert!(refused > 40, "{refused}");
    for end in [0, 511, whole.len() / 2] {
        let file = fixture.path("cut.tar");
        fs::write(&file, &whole[..end]).unwrap();
        restore(&file, &site, false).unwrap_err();
        assert!(!site.exists(), "cut at {end}");
    }
}

/// An archive of these entries, the list being the one given.
fn archive(fixture: &Fixture, list: &str, entries: &[(&str, &[u8])]) -> PathBuf {
    let file = fixture.path("made.tar");
    let mut builder = tar::Builder::new(fs::File::create(&file).unwrap());
    let site = fixture.read("a", "site.toml");
    let first: [(&str, &[u8]); 2] = [(LIST, list.as_bytes()), ("site/site.toml", &site)];
    for (path, content) in first.iter().chain(entries) {
        let mut header = tar::Header::new_gnu();
        // Written past the builder, which would refuse such paths.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.finish().unwrap();
    file
}

#[test]
fn a_foreign_or_newer_archive_is_refused_by_name() {
    let fixture = Fixture::new();
    let list = |format: u64, path: &str| {
        let site = fixture.read("a", "site.toml");
        let mut entries = Vec::new();
        for (path, content) in [("site/site.toml", site.as_slice()), (path, b"x")] {
            let (bytes, sha256) = copy(content, &mut io::sink()).unwrap();
            entries.push(serde_json::json!({"path": path, "bytes": bytes, "sha256": sha256}));
        }
        serde_json::json!({"format": format, "version": "9", "made": "", "files": entries})
            .to_string()
    };
    let site = fixture.path("d/site.toml");
    for path in [
        "state/../../evil",
        "/etc/evil",
        "site/../evil",
        "state/a/b",
        "other/evil",
    ] {
        let file = archive(&fixture, &list(1, path), &[(path, b"x")]);
        let error = restore(&file, &site, false).unwrap_err();
        assert!(
            error.to_string().contains("does not belong"),
            "{path}: {error}"
        );
        assert!(!fixture.path("evil").exists() && !site.exists());
    }
    let error = restore(&archive(&fixture, &list(2, "state/x"), &[]), &site, false).unwrap_err();
    assert!(error.to_string().contains("newer Busbar"), "{error}");
    let error = restore(&archive(&fixture, "{}", &[]), &site, false).unwrap_err();
    assert!(matches!(error, BackupError::Damaged(..)), "{error}");
}
