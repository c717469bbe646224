//! `busbar backup`, `busbar restore`: what an appliance cannot do without, as one file, and back.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{EX_DATAERR, say, say_error};
use crate::store::{
    backup::{self, BackupError},
    ledger::Report,
    restore,
};

#[derive(Args)]
pub(super) struct BackupArguments {
    /// The site file of an appliance that does not run.
    #[arg(long, value_name = "FILE")]
    site: PathBuf,
    /// The backup, a new file (tar, mode 0600: it holds the ledger's key and password hashes).
    file: PathBuf,
}

#[derive(Args)]
pub(super) struct RestoreArguments {
    /// Where the site file goes; its network beside it, the state to where it says.
    #[arg(long, value_name = "FILE")]
    site: PathBuf,
    /// The backup.
    file: PathBuf,
    /// Set aside what is there already.
    #[arg(long)]
    force: bool,
}

pub(super) fn backup(arguments: &BackupArguments) -> anyhow::Result<ExitCode> {
    match backup::backup(&arguments.site, &arguments.file) {
        Ok((files, report)) => {
            say(&format!("{}: {files} files", arguments.file.display()));
            good(report.as_ref());
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(refuse(&error)),
    }
}

pub(super) fn restore(arguments: &RestoreArguments) -> anyhow::Result<ExitCode> {
    match restore::restore(&arguments.file, &arguments.site, arguments.force) {
        Ok(restored) => {
            say(&format!(
                "{} files of {} (version {}) restored to {} and {}",
                restored.files,
                restored.made,
                restored.version,
                arguments.site.display(),
                restored.state.display()
            ));
            if let Some(aside) = &restored.aside {
                say(&format!("what was there is in {}", aside.display()));
            }
            good(restored.report.as_ref());
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(refuse(&error)),
    }
}

fn good(report: Option<&Report>) {
    match report {
        Some(report) => say(&format!("ledger: {} records in order", report.records)),
        None => say("there is no ledger yet"),
    }
}

fn refuse(error: &BackupError) -> ExitCode {
    say_error(&format!("busbar: {error}"));
    match error {
        BackupError::Damaged(..) | BackupError::Newer { .. } => ExitCode::from(EX_DATAERR),
        _ => ExitCode::FAILURE,
    }
}
