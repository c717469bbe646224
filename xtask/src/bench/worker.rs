//! A program on the other end of a pipe: one JSON object a line there, one back.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A running worker; ends with its standard input.
pub(super) struct Worker {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    pub(super) fn start(program: &Path, arguments: &[&Path]) -> Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            // One thread each: what a numerical library would add is not part of the comparison.
            .env("OMP_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("its output is a pipe")?;
        Ok(Self {
            name: program.display().to_string(),
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// The worker's answer; an error when it says that something went wrong.
    pub(super) fn ask(&mut self, command: &Value) -> Result<Value> {
        let input = self.input.as_mut().context("its input is a pipe")?;
        writeln!(input, "{command}")?;
        input.flush()?;
        let mut line = String::new();
        let read = self.output.read_line(&mut line)?;
        ensure!(read > 0, "{} ended at {command}", self.name);
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("{} said {line}", self.name))?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{error}");
        }
        Ok(answer)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}
