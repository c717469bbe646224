//! `cargo xtask yocto-crates`: what the recipe needs of Cargo.lock and Cargo.toml, in BitBake's words. The same as
//! BitBake's own task `update_crates` writes, but without BitBake.

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use busbar_tests::stack::workspace;
use clap::Args;

use super::layer;
use crate::{deb::VERSION, run::say};

/// Where crates are fetched from, in Cargo.lock's words.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Arguments of `yocto-crates`.
#[derive(Args)]
pub(crate) struct Crates {
    /// Write nothing; fail where what is there is not up to date.
    #[arg(long)]
    check: bool,
}

impl Crates {
    pub(crate) fn run(self) -> Result<()> {
        if self.check {
            return fresh();
        }
        for (file, text) in made()? {
            fs::write(&file, text)?;
            say(file.display());
        }
        Ok(())
    }
}

/// Whether what is made is what is there.
pub(super) fn fresh() -> Result<()> {
    for (file, text) in made()? {
        ensure!(
            fs::read_to_string(&file).is_ok_and(|have| have == text),
            "{} is not of this Cargo.lock and Cargo.toml: cargo xtask yocto-crates",
            file.display()
        );
    }
    Ok(())
}

/// The files and what is in them.
fn made() -> Result<[(PathBuf, String); 2]> {
    let lock = fs::read_to_string(workspace().join("Cargo.lock"))?;
    let crates = "recipes-busbar/busbar/busbar-crates.inc";
    let version = format!("# Cargo.toml's: cargo xtask yocto-crates\nPV = \"{VERSION}\"\n");
    Ok([
        (layer().join(crates), of(&lock)?),
        (layer().join("conf/busbar-version.inc"), version),
    ])
}

/// `SRC_URI` and checksums of every crate of a Cargo.lock. All of them, those of tests too: cargo resolves
/// the workspace as a whole, and what it cannot find it would fetch.
fn of(lock: &str) -> Result<String> {
    let lock: toml::Table = lock.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let mut uris = String::from("# Cargo.lock's: cargo xtask yocto-crates\nSRC_URI += \"\\\n");
    let mut sums = String::new();
    for package in packages.context("Cargo.lock names no package")? {
        let field = |key: &str| package.get(key).and_then(toml::Value::as_str);
        let (name, version) = field("name").zip(field("version")).context("no name")?;
        // Ours are the sources themselves.
        let Some(source) = field("source") else {
            continue;
        };
        ensure!(source == REGISTRY, "{name} {version} comes from {source}");
        let sum = field("checksum").with_context(|| format!("{name} {version} has no checksum"))?;
        writeln!(uris, "    crate://crates.io/{name}/{version} \\")?;
        writeln!(sums, "SRC_URI[{name}-{version}.sha256sum] = \"{sum}\"")?;
    }
    ensure!(!sums.is_empty(), "Cargo.lock names no crate");
    Ok(format!("{uris}\"\n\n{sums}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
[[package]]
name = "ours"
version = "0.1.0"

[[package]]
name = "theirs"
version = "1.2.3"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "00ff"
"#;

    #[test]
    fn every_crate_of_the_registry_is_fetched_by_its_checksum() {
        let made = of(LOCK).unwrap();
        assert_eq!(
            made,
            "# Cargo.lock's: cargo xtask yocto-crates\n\
             SRC_URI += \"\\\n    crate://crates.io/theirs/1.2.3 \\\n\"\n\n\
             SRC_URI[theirs-1.2.3.sha256sum] = \"00ff\"\n"
        );
    }

    #[test]
    fn what_bitbake_could_not_fetch_or_check_is_an_error() {
        let git = LOCK.replace("registry+", "git+");
        assert!(of(&git).unwrap_err().to_string().contains("comes from git"));
        let unchecked = LOCK.replace("checksum = \"00ff\"", "");
        assert!(
            of(&unchecked)
                .unwrap_err()
                .to_string()
                .contains("no checksum")
        );
        assert!(of("version = 4").is_err());
    }
}
