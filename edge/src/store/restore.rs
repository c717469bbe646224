//! Restoring a backup. Everything is unpacked beside where it belongs and checked there (sizes and
//! hashes, the site file, the ledger's whole chain under its own key) before anything is moved. What was
//! there is set aside, never deleted.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

use super::{
    Key, Ledger,
    backup::{BackupError, Entry, LIST, Places, at, copy, look},
    ledger::Report,
};
use crate::{
    clock::{US, now_us},
    site,
};

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// Files.
    pub files: usize,
    /// Version that made the backup.
    pub version: String,
    /// When it was made.
    pub made: String,
    /// The state directory.
    pub state: PathBuf,
    /// Where the state that was there is now.
    pub aside: Option<PathBuf>,
    /// What the check of the ledger found; none where the backup has no ledger.
    pub report: Option<Report>,
}

/// Folder in which a backup is unpacked.
const STAGE: &str = ".busbar-restore";

/// Restores a backup: its site to `site`, its state to where the site file says.
///
/// # Errors
/// It is damaged, its site or ledger is not right, an appliance runs on the state directory, or
/// something is there already and `force` is not given. Then nothing has changed.
pub fn restore(backup: &Path, site: &Path, force: bool) -> Result<Restored, BackupError> {
    let (list, text) = look(backup)?;
    let places = Places::of(site, &text)?;
    let folder = site
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let state = &places.state;
    let has_state = nothing_in_use(site, state, force)?;
    make(folder, 0o755)?;
    make(state, 0o700)?;
    let stages = Stages {
        site: folder.join(STAGE),
        state: state.join(STAGE),
    };
    stages.unpack(backup, &list.files)?;
    let report = stages.check(backup)?;
    let aside = set_aside(state, has_state)?;
    stages.move_to(site, folder, &places)?;
    drop(stages);
    Ok(Restored {
        files: list.files.len(),
        version: list.version,
        made: list.made,
        state: places.state,
        aside,
        report,
    })
}

/// Whether there is a state already, which only `force` takes the place of, and never an appliance's that runs.
fn nothing_in_use(site: &Path, state: &Path, force: bool) -> Result<bool, BackupError> {
    let vital = ["ledger.redb", "users.json"].map(|name| state.join(name));
    let has_state = vital.iter().any(|file| file.exists());
    let there = [site, &vital[0], &vital[1]]
        .into_iter()
        .find(|f| f.exists());
    if let Some(there) = there.filter(|_| !force) {
        return Err(BackupError::Exists(there.to_path_buf()));
    }
    if vital[0].exists() {
        // In use: an appliance runs here. Damaged: that may be why it is replaced.
        if let Err(error @ super::LedgerError::InUse(_)) = Ledger::look(state) {
            return Err(error.into());
        }
    }
    Ok(has_state)
}

/// The folders in which a backup is unpacked; gone with this.
struct Stages {
    site: PathBuf,
    state: PathBuf,
}

impl Drop for Stages {
    fn drop(&mut self) {
        for stage in [&self.site, &self.state] {
            // What is left there is in nobody's way.
            let _ = fs::remove_dir_all(stage);
        }
    }
}

impl Stages {
    /// Where an entry goes, if it is one of ours.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let (stage, name) = match path.split_once('/')? {
            ("site", name) => (&self.site, name),
            ("state", name) if !name.contains('/') => (&self.state, name),
            _ => return None,
        };
        let plain = |part| matches!(part, std::path::Component::Normal(_));
        let safe = !name.is_empty() && Path::new(name).components().all(plain);
        safe.then(|| stage.join(name))
    }

    fn unpack(&self, backup: &Path, files: &[Entry]) -> Result<(), BackupError> {
        let damaged = |reason: String| BackupError::Damaged(backup.to_owned(), reason);
        for stage in [&self.site, &self.state] {
            // Of a restore that a power cut ended.
            let _ = fs::remove_dir_all(stage);
            make(stage, 0o700)?;
        }
        let mut missing: BTreeMap<&str, &Entry> =
            files.iter().map(|f| (f.path.as_str(), f)).collect();
        let mut archive = tar::Archive::new(fs::File::open(backup).map_err(at(backup))?);
        for entry in archive.entries().map_err(at(backup))? {
            let entry = entry.map_err(|e| damaged(e.to_string()))?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if path == LIST {
                continue;
            }
            let listed = missing.remove(path.as_str());
            let place = self
                .place(&path)
                .filter(|_| entry.header().entry_type().is_file());
            let (Some(listed), Some(to)) = (listed, place) else {
                return Err(damaged(format!("`{path}` does not belong into it")));
            };
            if let Some(parent) = to.parent() {
                make(parent, 0o700)?;
            }
            let mut options = fs::OpenOptions::new();
            let options = options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(&to).map_err(at(&to))?;
            let copied = copy(entry, &mut file).and_then(|copied| file.sync_all().map(|()| copied));
            let (bytes, sha256) = copied.map_err(|e| damaged(format!("`{path}`: {e}")))?;
            if bytes != listed.bytes || sha256 != listed.sha256 {
                return Err(damaged(format!("`{path}` is not as it was written")));
            }
        }
        match missing.keys().next() {
            Some(path) => Err(damaged(format!("`{path}` is missing"))),
            None => Ok(()),
        }
    }

    /// Moves everything to where it belongs.
    fn move_to(&self, site: &Path, folder: &Path, places: &Places) -> Result<(), BackupError> {
        let state = &places.state;
        for entry in fs::read_dir(&self.state).map_err(at(&self.state))? {
            let from = entry.map_err(at(&self.state))?.path();
            let to = state.join(from.file_name().unwrap_or_default());
            own(&from, state)?;
            fs::rename(&from, &to).map_err(at(&to))?;
        }
        let network = folder.join(&places.network);
        if let Some(parent) = network.parent() {
            make(parent, 0o755)?;
        }
        // The site file last: an appliance without one waits for it.
        for (from, to) in [
            (self.site.join(&places.network), network.as_path()),
            (self.site.join("site.toml"), site),
        ] {
            if to.exists() {
                let mut before = to.as_os_str().to_owned();
                before.push(format!(".before-restore-{}", now_us() / US));
                fs::rename(to, before).map_err(at(to))?;
            }
            readable(&from)?;
            fs::rename(&from, to).map_err(at(to))?;
        }
        Ok(())
    }

    /// The site file and the ledger have to be good.
    fn check(&self, backup: &Path) -> Result<Option<Report>, BackupError> {
        let damaged = |reason: String| BackupError::Damaged(backup.to_owned(), reason);
        if let Err(problems) = site::load(&self.site.join("site.toml")) {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Err(damaged(format!(
                "this version does not take its site file: {}",
                problems.join("; ")
            )));
        }
        if !self.state.join("ledger.redb").exists() {
            return Ok(None);
        }
        if !self.state.join("ledger-key").exists() {
            return Err(damaged("it has a ledger without its key".to_owned()));
        }
        let key = Key::open(&self.state)?.public();
        Ok(Some(Ledger::look(&self.state)?.verify(&[key])?))
    }
}

/// Moves what a state directory holds into a folder in it.
fn set_aside(state: &Path, needed: bool) -> Result<Option<PathBuf>, BackupError> {
    if !needed {
        return Ok(None);
    }
    let aside = state.join(format!("before-restore-{}", now_us() / US));
    make(&aside, 0o700)?;
    own(&aside, state)?;
    for entry in fs::read_dir(state).map_err(at(state))? {
        let entry = entry.map_err(at(state))?;
        if entry.file_type().map_err(at(state))?.is_file() {
            let to = aside.join(entry.file_name());
            fs::rename(entry.path(), &to).map_err(at(&to))?;
        }
    }
    Ok(Some(aside))
}

fn make(folder: &Path, mode: u32) -> Result<(), BackupError> {
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(mode)
        .create(folder)
        .map_err(at(folder))
}

/// Restored by root, it still is the appliance's.
fn own(path: &Path, like: &Path) -> Result<(), BackupError> {
    let meta = fs::metadata(like).map_err(at(like))?;
    let own = fs::metadata(path).map_err(at(path))?;
    if (own.uid(), own.gid()) == (meta.uid(), meta.gid()) {
        return Ok(());
    }
    chown(path, Some(meta.uid()), Some(meta.gid())).map_err(at(path))
}

/// A site is no secret, and the appliance is not its owner.
fn readable(path: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(at(path))
}

#[cfg(test)]
mod tests;
