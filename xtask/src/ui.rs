//! The web UI's build, done again only when its sources changed.

use std::{fs, path::Path, time::SystemTime};

use anyhow::Result;
use busbar_tests::stack::workspace;

use crate::{
    run::{run, say},
    tools::npm,
};

/// Builds `web-ui/dist`.
pub(crate) fn build() -> Result<()> {
    let dir = workspace().join("web-ui");
    let built = modified(&dir.join("dist/index.html"));
    let sources = [
        "src",
        "public",
        "index.html",
        "package-lock.json",
        "openapi.json",
        "vite.config.ts",
    ];
    let newest = sources
        .iter()
        .filter_map(|name| newest(&dir.join(name)))
        .max();
    if built.is_some() && built > newest {
        say("web-ui/dist is up to date");
        return Ok(());
    }
    install()?;
    run(npm()?.args(["run", "build"]))
}

/// Installs the UI's packages, exactly as locked.
pub(crate) fn install() -> Result<()> {
    let dir = workspace().join("web-ui");
    let installed = modified(&dir.join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= modified(&dir.join("package-lock.json")) {
        return Ok(());
    }
    run(npm()?.arg("ci"))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

fn newest(path: &Path) -> Option<SystemTime> {
    let own = modified(path)?;
    let inside = fs::read_dir(path).into_iter().flatten().flatten();
    inside
        .filter_map(|entry| newest(&entry.path()))
        .chain([own])
        .max()
}
