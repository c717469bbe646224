//! The peer's script as a child process: commands in, what happened out, one JSON a line.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use busbar_tests::stack::workspace;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout},
};

/// Long enough for any machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Peer {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        Self::run("dnp3_peers.py", arguments)
    }

    pub(crate) fn run(script: &str, arguments: &[&str]) -> Result<Self> {
        let python = std::env::var_os("BUSBAR_PEERS_PYTHON").context(
            "BUSBAR_PEERS_PYTHON names no Python with the peers; run `cargo xtask test peers`, which sets them up",
        )?;
        let mut child = Command::new(PathBuf::from(python))
            .arg(workspace().join("tests/peers").join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self {
            child,
            stdin,
            lines,
        })
    }

    /// A command and its arguments, as a JSON array.
    pub(crate) async fn tell(&mut self, command: Json) -> Result<()> {
        self.stdin
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        Ok(())
    }

    /// The next thing that happened.
    pub(crate) async fn next(&mut self) -> Result<Json> {
        let line = timeout(PATIENCE, self.lines.next_line()).await??;
        Ok(serde_json::from_str(&line.context("the peer ended")?)?)
    }

    /// Everything until the first that `is` it; that is the last.
    pub(crate) async fn until(&mut self, is: impl Fn(&Json) -> bool) -> Result<Vec<Json>> {
        let mut seen = Vec::new();
        // Who goes on talking of other things must not be listened to for ever.
        let end = Instant::now() + 3 * PATIENCE;
        loop {
            ensure!(Instant::now() < end, "it never came; seen: {}", json!(seen));
            let next = match self.next().await {
                Ok(next) => next,
                Err(error) => bail!("{error}; seen: {}", json!(seen)),
            };
            let last = is(&next);
            seen.push(next);
            if last {
                return Ok(seen);
            }
        }
    }

    /// Until it has done all that it was told; what happened meanwhile.
    pub(crate) async fn finished(&mut self) -> Result<Vec<Json>> {
        self.tell(json!(["mark"])).await?;
        self.until(|line| line["mark"] == true).await
    }

    /// Until a task of the master's has ended, and the indications of its answer, which opendnp3
    /// tells after that; with its result.
    pub(crate) async fn ended(&mut self, name: &str) -> Result<(String, Vec<Json>)> {
        let mut seen = self.until(|line| line["task"] == name).await?;
        let last = seen.last().context("nothing")?;
        let result = last["result"].as_str().context("no result")?.to_owned();
        seen.extend(self.until(|line| !line["iin"].is_null()).await?);
        Ok((result, seen))
    }

    /// Until a task of the master's has ended well.
    pub(crate) async fn task(&mut self, name: &str) -> Result<Vec<Json>> {
        let (result, seen) = self.ended(name).await?;
        ensure!(result == "SUCCESS", "{name}: {result}");
        Ok(seen)
    }

    /// Commands an output, and gives status and state of its one point.
    pub(crate) async fn operate(&mut self, command: Json) -> Result<String> {
        self.tell(command).await?;
        let seen = self.until(|line| !line["command"].is_null()).await?;
        let result = seen.last().context("nothing")?;
        ensure!(result["command"] == "SUCCESS", "{result}");
        let status = result["points"][0][2].as_str().context("no status")?;
        Ok(status.to_owned())
    }

    /// Ends it in good order. What it still has to say is read: it would wait for that.
    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.stdin);
        let rest = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        timeout(PATIENCE, rest).await?;
        ensure!(timeout(PATIENCE, self.child.wait()).await??.success());
        Ok(())
    }
}

/// Items of all values of a group and variation, e.g. `Group30Var5`.
pub(crate) fn values(seen: &[Json], name: &str) -> Vec<Json> {
    let of = seen.iter().filter(|line| line["values"] == name);
    of.filter_map(|line| line["items"].as_array())
        .flatten()
        .cloned()
        .collect()
}

/// All indications seen.
pub(crate) fn indications(seen: &[Json]) -> Vec<[u64; 2]> {
    seen.iter()
        .filter_map(|line| {
            let iin = line["iin"].as_array()?;
            Some([iin[0].as_u64()?, iin[1].as_u64()?])
        })
        .collect()
}
