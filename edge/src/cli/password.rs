//! `busbar hash-password`: what an area's site file wants of a tenant's password.

use std::{io, process::ExitCode};

use super::say;
use crate::store::users::hash;

/// Reads a password from standard input, its line's end left out, and prints its hash.
pub(super) fn password() -> anyhow::Result<ExitCode> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        password.len() >= 12,
        "a tenant's password has at least 12 characters: it is a program's, not a person's"
    );
    say(&hash(password)?);
    Ok(ExitCode::SUCCESS)
}
