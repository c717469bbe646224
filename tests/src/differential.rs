//! Random networks of consecutive seeds, each compared with a peer's answer; a network with a
//! difference is left in the target directory.

use std::{fs, ops::Range, path::PathBuf};

use anyhow::{Error, Result, ensure};

/// Differences told about, at most.
const TOLD: usize = 20;

/// A run of comparisons.
#[derive(Debug)]
pub struct Differential {
    name: &'static str,
    dir: PathBuf,
    different: Vec<String>,
}

impl Differential {
    /// A run whose files' names begin with `name`, in `dir`, such as `CARGO_TARGET_TMPDIR`.
    #[must_use]
    pub fn new(name: &'static str, dir: &str) -> Self {
        Self {
            name,
            dir: dir.into(),
            different: Vec::new(),
        }
    }

    /// The seeds of this many networks: from `BUSBAR_SEED` on, or from 1.
    ///
    /// # Errors
    /// That is no number.
    pub fn seeds(networks: u64) -> Result<Range<u64>> {
        let first = match std::env::var("BUSBAR_SEED") {
            Ok(text) => text.parse()?,
            Err(_) => 1,
        };
        Ok(first..first + networks)
    }

    /// Takes note of a difference, and keeps what it was in.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn note(&mut self, seed: u64, input: &str, update: &str, error: &Error) -> Result<()> {
        for (kind, text) in [("input", input), ("update", update)] {
            let file = format!("{}-{seed}-{kind}.json", self.name);
            fs::write(self.dir.join(file), text)?;
        }
        let place = self.dir.display();
        self.different
            .push(format!("seed {seed}, in {place}: {error:#}"));
        Ok(())
    }

    /// Ends the run.
    ///
    /// # Errors
    /// Differences.
    pub fn finish(self) -> Result<()> {
        let count = self.different.len();
        let told = self.different[..count.min(TOLD)].join("\n");
        ensure!(count == 0, "{count} networks differ:\n{told}");
        Ok(())
    }
}
