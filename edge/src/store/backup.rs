//! A backup: one tar file with what an appliance cannot do without. The site file and its network; of the
//! state directory everything but the history (which is large, and nothing depends on it) and the last
//! status. The first entry lists the others with their sizes and SHA-256.
//!
//! ```text
//! busbar-backup.json   {"format": 1, "version": …, "made": …, "files": [{"path", "bytes", "sha256"}, …]}
//! site/site.toml  site/NETWORK  state/ledger.redb  state/ledger-key  state/users.json  …
//! ```
//!
//! It holds secrets (the ledger's key, password hashes): mode 0600.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::{Ledger, LedgerError, ledger::Report};
use crate::clock::{now_us, rfc3339};

/// The format written here.
const FORMAT: u64 = 1;
pub(super) const LIST: &str = "busbar-backup.json";
/// No list of files or site file is longer.
const TEXT_MOST: u64 = 16 << 20;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The ledger is in use, or not as it was written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The site file does not say where its network and state are.
    #[error("{0}: {1}")]
    Site(PathBuf, String),
    /// It is no backup, or not as it was written.
    #[error("{0}: {1}; nothing was restored")]
    Damaged(PathBuf, String),
    /// It is of a version that came after this one.
    #[error("{path} has format {found}, written by a newer Busbar; this one knows format {FORMAT}")]
    Newer {
        /// The backup.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Something is there already.
    #[error("{0} is there already; --force sets it aside")]
    Exists(PathBuf),
}

/// The first entry.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct List {
    pub(super) format: u64,
    pub(super) version: String,
    pub(super) made: String,
    pub(super) files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Where a site file says that its network and its state are.
#[derive(Debug)]
pub(super) struct Places {
    /// Beside the site file, a path without `..`.
    pub(super) network: PathBuf,
    pub(super) state: PathBuf,
}

impl Places {
    /// `file` is for messages, and where relative paths start.
    pub(super) fn of(file: &Path, text: &str) -> Result<Self, BackupError> {
        let wrong = |reason: String| BackupError::Site(file.to_owned(), reason);
        let table: toml::Table = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let value = |key: &str| {
            let value = table.get("site").and_then(|site| site.get(key)?.as_str());
            value.ok_or_else(|| wrong(format!("site.{key}: missing")))
        };
        let network = PathBuf::from(value("network")?);
        let plain = |part| matches!(part, Component::Normal(_));
        if !network.components().all(plain) {
            let reason =
                "the network has to be in the site file's folder for a backup to hold both";
            return Err(wrong(reason.to_owned()));
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        Ok(Self {
            network,
            state: folder.join(value("state")?),
        })
    }
}

/// Writes a backup of a stopped appliance to a new file. How many files it holds, and what the check of
/// the ledger found; none where there is no ledger yet.
///
/// # Errors
/// The appliance runs, its ledger is damaged, or something cannot be read or written.
pub fn backup(site: &Path, to: &Path) -> Result<(usize, Option<Report>), BackupError> {
    let text = fs::read_to_string(site).map_err(at(site))?;
    let places = Places::of(site, &text)?;
    let ledger = places.state.join("ledger.redb");
    // Held until all is copied: nobody writes meanwhile.
    let held = match ledger.exists() {
        true => Some(Ledger::look(&places.state)?),
        false => None,
    };
    let report = held.as_ref().map(|ledger| ledger.verify(&[])).transpose()?;
    let folder = site.parent().unwrap_or(Path::new(""));
    let mut sources = vec![
        ("site/site.toml".to_owned(), site.to_owned()),
        (
            format!("site/{}", places.network.display()),
            folder.join(&places.network),
        ),
    ];
    for name in kept(&places.state)? {
        sources.push((format!("state/{name}"), places.state.join(name)));
    }
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let file = match options.open(to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let source = io::Error::new(
                error.kind(),
                "is there already; a backup overwrites nothing",
            );
            return Err(at(to)(source));
        }
        file => file.map_err(at(to))?,
    };
    let written = write(file, &sources).map_err(at(to));
    if written.is_err() {
        // Half a backup is none. What stopped the writing is what has to be said.
        let _ = fs::remove_file(to);
    }
    written.map(|()| (sources.len(), report))
}

/// Files of a state directory that belong into a backup.
fn kept(state: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(state).map_err(at(state))? {
        let entry = entry.map_err(at(state))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let file = entry.file_type().map_err(at(state))?.is_file();
        let other = ["historian", "status.json", "."]
            .iter()
            .any(|start| name.starts_with(start));
        if file && !other && !name.ends_with(".new") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn write(file: fs::File, sources: &[(String, PathBuf)]) -> io::Result<()> {
    let mut files = Vec::new();
    for (path, source) in sources {
        let (bytes, sha256) = copy(fs::File::open(source)?, &mut io::sink())?;
        let path = path.clone();
        files.push(Entry {
            path,
            bytes,
            sha256,
        });
    }
    let list = serde_json::to_vec_pretty(&List {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made: rfc3339(now_us()),
        files,
    })?;
    let mut archive = tar::Builder::new(io::BufWriter::new(file));
    archive.append_data(&mut header(list.len() as u64), LIST, list.as_slice())?;
    for (path, source) in sources {
        let source = fs::File::open(source)?;
        let bytes = source.metadata()?.len();
        archive.append_data(&mut header(bytes), path, source.take(bytes))?;
    }
    let file = archive
        .into_inner()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header
}

/// Copies to the end; how much, and its SHA-256 in hexadecimal digits.
pub(super) fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut digest = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        digest.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        bytes += n as u64;
    }
    let hash = digest.finish();
    let hex = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((bytes, hex))
}

/// The list of a backup and its site file.
pub(super) fn look(file: &Path) -> Result<(List, String), BackupError> {
    let damaged = |reason: String| BackupError::Damaged(file.to_owned(), reason);
    let mut archive = tar::Archive::new(fs::File::open(file).map_err(at(file))?);
    let mut entries = archive.entries().map_err(at(file))?;
    let mut text = |name: &str| {
        let entry = entries.next();
        let entry = entry.ok_or_else(|| damaged("it ends too early".to_owned()))?;
        let entry = entry.map_err(|e| damaged(e.to_string()))?;
        if entry.path().ok().as_deref() != Some(Path::new(name)) {
            return Err(damaged(format!(
                "it is no backup of Busbar: {name} is not where it should be"
            )));
        }
        let mut text = String::new();
        let read = entry.take(TEXT_MOST).read_to_string(&mut text);
        read.map_err(|e| damaged(e.to_string()))?;
        Ok(text)
    };
    let list: serde_json::Value =
        serde_json::from_str(&text(LIST)?).map_err(|e| damaged(e.to_string()))?;
    if let Some(found) = list["format"].as_u64().filter(|&found| found > FORMAT) {
        let path = file.to_owned();
        return Err(BackupError::Newer { path, found });
    }
    let list: List = serde_json::from_value(list).map_err(|e| damaged(e.to_string()))?;
    let site = text("site/site.toml")?;
    Ok((list, site))
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}
