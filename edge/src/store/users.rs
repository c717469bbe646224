//! Users and their password hashes: one JSON file, replaced atomically, readable by the appliance
//! only. No password exists before somebody sets one: while there is no user, a one-time enrolment
//! code (128 bit) is kept beside it, survives restarts, and is deleted with its use. A damaged
//! file is an error and never means "no users", which would open enrolment to whoever comes first.
//!
//! Passwords are hashed by Argon2id with the parameters of OWASP's Password Storage Cheat Sheet
//! (19 MiB, 2 passes); that takes tens of milliseconds, so call from where blocking is allowed.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use serde::{Deserialize, Serialize};

use crate::web::api::Role;

const USERS: &str = "users.json";
const CODE: &str = "enrolment-code";
/// Fewest characters of a password.
const PASSWORD_MIN: usize = 10;
/// Most bytes of a password: hashing time shall not be the sender's choice.
const PASSWORD_MAX: usize = 256;
/// Most characters of a user name.
pub(crate) const NAME_MAX: usize = 32;

/// Why a user could not be stored, added or enrolled.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The state directory does not let us.
    #[error("{path}: {source}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The users' file is not as we wrote it.
    #[error("{path} is damaged ({source}); restore it, or delete it to enrol anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The system gave no random numbers, or hashing failed.
    #[error("cannot make a secret: {0}")]
    Secret(String),
    /// Not a user name.
    #[error("`{0}` is not a user name")]
    Name(String),
    /// Not a password we take.
    #[error("the password has {0} characters")]
    Password(usize),
    /// There is no such user.
    #[error("there is no user `{0}`")]
    Unknown(String),
    /// Nobody could add users, or act, without them.
    #[error("`{0}` is the last operator")]
    LastOperator(String),
    /// The name is taken.
    #[error("user `{0}` exists already")]
    Exists(String),
    /// Not the enrolment code.
    #[error("this is not the enrolment code")]
    WrongCode,
    /// The first user exists, so the code is used up.
    #[error("the first user exists already")]
    Enrolled,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    role: Role,
    /// PHC string.
    hash: String,
}

type Records = BTreeMap<String, Record>;

struct State {
    users: Records,
    code: Option<String>,
}

/// The users of this appliance. Clones share one store.
#[derive(Clone)]
pub struct UserStore {
    directory: Arc<Path>,
    state: Arc<Mutex<State>>,
    /// A hash nobody's password has: an unknown user costs the same time as a known one.
    decoy: Arc<str>,
}

impl UserStore {
    /// Opens the users kept in `directory`, which is made if missing. While there are none, an
    /// enrolment code exists.
    ///
    /// # Errors
    /// The directory cannot be read or written, or the users' file is damaged.
    pub fn open(directory: &Path) -> Result<Self, UserError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(at(directory))?;
        let users = read_users(&directory.join(USERS))?;
        let code_file = directory.join(CODE);
        let code = if users.is_empty() {
            Some(read_or_make_code(&code_file)?)
        } else {
            // A power cut may have come between writing the first user and deleting the code.
            remove(&code_file)?;
            None
        };
        Ok(Self {
            directory: directory.into(),
            state: Arc::new(Mutex::new(State { users, code })),
            decoy: hash(&random_text::<16>()?)?.into(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is assigned only after the file is written: a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one-time code, while no user exists.
    #[must_use]
    pub fn enrolment_code(&self) -> Option<String> {
        self.lock().code.clone()
    }

    /// Whether the first user exists.
    #[must_use]
    pub fn enrolled(&self) -> bool {
        self.lock().code.is_none()
    }

    /// Creates the first user, an operator, and uses the code up.
    ///
    /// # Errors
    /// Wrong code, used code, unfit name or password, or it cannot be written.
    pub fn enrol(&self, code: &str, user: &str, password: &str) -> Result<(), UserError> {
        self.check_code(code)?;
        check(user, password)?;
        let hash = hash(password)?;
        let mut state = self.lock();
        if state.code.is_none() {
            return Err(UserError::Enrolled);
        }
        self.insert(&mut state, user, Role::Operator, hash)?;
        state.code = None;
        remove(&self.directory.join(CODE))
    }

    fn check_code(&self, code: &str) -> Result<(), UserError> {
        match &self.lock().code {
            None => Err(UserError::Enrolled),
            Some(right) if same(right.as_bytes(), code.as_bytes()) => Ok(()),
            Some(_) => Err(UserError::WrongCode),
        }
    }

    /// Adds a user.
    ///
    /// # Errors
    /// The name is taken, name or password are unfit, or it cannot be written.
    pub fn add(&self, user: &str, password: &str, role: Role) -> Result<(), UserError> {
        check(user, password)?;
        let hash = hash(password)?;
        self.insert(&mut self.lock(), user, role, hash)
    }

    fn insert(
        &self,
        state: &mut State,
        user: &str,
        role: Role,
        hash: String,
    ) -> Result<(), UserError> {
        if state.users.contains_key(user) {
            return Err(UserError::Exists(user.to_owned()));
        }
        let mut users = state.users.clone();
        users.insert(user.to_owned(), Record { role, hash });
        write_users(&self.directory, &users)?;
        state.users = users;
        Ok(())
    }

    /// Sets a user's password.
    ///
    /// # Errors
    /// There is no such user, the password is unfit, or it cannot be written.
    pub fn set_password(&self, user: &str, password: &str) -> Result<(), UserError> {
        check(user, password)?;
        let hash = hash(password)?;
        self.change(user, |users, record| {
            users.insert(user.to_owned(), Record { hash, ..record });
            Ok(())
        })
    }

    /// Removes a user and says what it was.
    ///
    /// # Errors
    /// There is no such user, it is the last operator, or it cannot be written.
    pub fn remove(&self, user: &str) -> Result<Role, UserError> {
        self.change(user, |users, record| {
            users.remove(user);
            let mut left = users.values();
            if left.all(|other| other.role != Role::Operator) {
                return Err(UserError::LastOperator(user.to_owned()));
            }
            Ok(record.role)
        })
    }

    /// Changes the users around one of them, durably or not at all.
    fn change<T>(
        &self,
        user: &str,
        change: impl FnOnce(&mut Records, Record) -> Result<T, UserError>,
    ) -> Result<T, UserError> {
        let mut state = self.lock();
        let record = state.users.get(user).cloned();
        let record = record.ok_or_else(|| UserError::Unknown(shown(user)))?;
        let mut users = state.users.clone();
        let done = change(&mut users, record)?;
        write_users(&self.directory, &users)?;
        state.users = users;
        Ok(done)
    }

    /// The user's role, if the password is right. Takes as long for a user who does not exist.
    #[must_use]
    pub fn verify(&self, user: &str, password: &str) -> Option<Role> {
        let record = self.lock().users.get(user).cloned();
        let hash = record.as_ref().map_or(&*self.decoy, |record| &record.hash);
        let right = is_password(hash, password);
        record.filter(|_| right).map(|record| record.role)
    }

    /// Names and roles, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Role)> {
        let state = self.lock();
        let users = state.users.iter();
        users
            .map(|(name, record)| (name.clone(), record.role))
            .collect()
    }
}

/// What a user name and password must be, in words.
pub const ACCEPTED: &str = "a user name of 1 to 32 lower-case letters, digits, `.`, `-` or `_` \
     that begins with a letter, and a password of 10 characters or more, at most 256 bytes";

fn check(user: &str, password: &str) -> Result<(), UserError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    let begins_well = user.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins_well || user.len() > NAME_MAX || !user.chars().all(allowed) {
        return Err(UserError::Name(shown(user)));
    }
    let characters = password.chars().count();
    if characters < PASSWORD_MIN || password.len() > PASSWORD_MAX {
        return Err(UserError::Password(characters));
    }
    Ok(())
}

/// What somebody took for a name, as far as it is worth showing.
fn shown(user: &str) -> String {
    user.chars().take(NAME_MAX).collect()
}

/// Whether a password is the one of a hash (PHC string, Argon2).
pub(crate) fn is_password(hash: &str, password: &str) -> bool {
    password.len() <= PASSWORD_MAX
        && PasswordHash::new(hash).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        })
}

/// A password's hash, as a PHC string.
pub(crate) fn hash(password: &str) -> Result<String, UserError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| UserError::Secret(error.to_string()))
}

/// `N` random bytes of the system's generator, in base 32 (RFC 4648, lower case, no padding).
///
/// # Errors
/// The system gives none.
pub(crate) fn random_text<const N: usize>() -> Result<String, UserError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|error| UserError::Secret(error.to_string()))?;
    Ok(base32(&bytes))
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let letter = |bits: u32| char::from(ALPHABET[(bits & 31) as usize]);
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = ((held << 8) | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> UserError {
    let path = path.to_owned();
    move |source| UserError::Io { path, source }
}

fn read_users(path: &Path) -> Result<Records, UserError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Records::new()),
        Err(error) => return Err(at(path)(error)),
    };
    serde_json::from_slice(&text).map_err(|source| UserError::Damaged {
        path: path.to_owned(),
        source,
    })
}

fn write_users(directory: &Path, users: &Records) -> Result<(), UserError> {
    let path = directory.join(USERS);
    let text = serde_json::to_vec_pretty(users).map_err(|source| UserError::Damaged {
        path: path.clone(),
        source,
    })?;
    write(directory, &path, &text)
}

fn read_or_make_code(path: &Path) -> Result<String, UserError> {
    match fs::read_to_string(path) {
        Ok(code) if code.trim().len() == 26 => return Ok(code.trim().to_owned()),
        // Cut short by a power failure before anybody saw it whole: make another.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(path)(error)),
    }
    let code = random_text::<16>()?;
    let directory = path.parent().unwrap_or(Path::new("."));
    write(directory, path, code.as_bytes())?;
    Ok(code)
}

/// Replaces a file as a whole, durably, readable by the owner only.
fn write(directory: &Path, path: &Path, content: &[u8]) -> Result<(), UserError> {
    let beside = path.with_extension("new");
    remove(&beside)?;
    let replace = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        io::Write::write_all(&mut file, content)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(directory)?.sync_all()
    };
    replace().map_err(at(path))
}

fn remove(path: &Path) -> Result<(), UserError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
