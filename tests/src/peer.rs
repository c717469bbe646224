//! A peer in Python, in a process of its own: a question a line, an answer a line.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::stack::workspace;

/// The running peer; it ends with its standard input.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts power-grid-model.
    ///
    /// # Errors
    /// There is no Python that has it.
    pub fn start() -> Result<Self> {
        Self::running("pgm_peer.py")
    }

    /// Starts a program of `tests/peers/`.
    ///
    /// # Errors
    /// There is no Python that has the peers.
    pub fn running(program: &str) -> Result<Self> {
        let python = std::env::var_os("BUSBAR_PEERS_PYTHON").context(
            "BUSBAR_PEERS_PYTHON names no Python with the peers; run `cargo xtask test peers`, \
             which sets them up",
        )?;
        let mut child = Command::new(PathBuf::from(python))
            .arg(workspace().join("tests/peers").join(program))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        Ok(Self { child, output })
    }

    /// Its answer to a question; both are described in its own file.
    ///
    /// # Errors
    /// It has ended, or does not speak JSON.
    pub fn ask(&mut self, question: &Value) -> Result<Value> {
        let input = self.child.stdin.as_mut().context("its input is a pipe")?;
        writeln!(input, "{question}")?;
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the peer has ended");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.stdin = None;
        let _ = self.child.wait();
    }
}
