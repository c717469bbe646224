//! `busbar events`: the historian's list of events, one JSON object a line.

use std::{path::Path, process::ExitCode};

use serde_json::json;

use super::say;
use crate::store::Historian;

pub(super) fn events(state: &Path, last: usize) -> anyhow::Result<ExitCode> {
    for (number, event) in Historian::existing(state)?.events(last)? {
        say(&json!({ "number": number, "event": event }).to_string());
    }
    Ok(ExitCode::SUCCESS)
}
