//! Data sets that come from files or standard input and go to files or standard output, `-` meaning
//! the latter two, and what is said when one is wrong.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::Value;
use solver::network::NetworkError;

use super::{EX_DATAERR, say_error};

/// The text of a file; says what is wrong with it.
pub(super) fn read(file: &Path) -> Result<String, ExitCode> {
    let text = if is_standard(file) {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|error| {
        say_error(&format!("can't read {}: {error}", file.display()));
        ExitCode::from(EX_DATAERR)
    })
}

/// Says every problem of a data set.
pub(super) fn say_problems(error: &NetworkError) -> ExitCode {
    for problem in error.problems() {
        say_error(&problem);
    }
    ExitCode::from(EX_DATAERR)
}

/// Writes a document, in short form to a file.
pub(super) fn write(file: Option<&Path>, document: &Value) -> anyhow::Result<()> {
    match file.filter(|file| !is_standard(file)) {
        Some(file) => {
            let text = serde_json::to_vec(document)?;
            fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
        }
        None => {
            let mut text = serde_json::to_vec_pretty(document)?;
            text.push(b'\n');
            match io::stdout().lock().write_all(&text) {
                // Whoever reads may have seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                result => result.context("can't write to standard output"),
            }
        }
    }
}

/// Standard input or output is meant.
pub(super) fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// A number above zero, as an argument.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err("must be above zero".to_owned())
}
