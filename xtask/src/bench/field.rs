//! `cargo xtask bench field`: five hundred Modbus devices, each asked once a second, and twenty IEDs that report, under
//! one appliance; beside it, on the same devices, the same polling loop on C libmodbus.
//!
//! The yardstick is the time on the processor per point of the field and the point table alone, since that is what
//! libmodbus does too; what the whole appliance takes is said besides.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use busbar_tests::stack::workspace;
use clap::Args;
use serde_json::{Value, json};

use crate::run::{cargo, output, run, say, target};

/// Modbus devices behind one port, as `field_bench` has them.
const UNITS: &str = "50";
/// Most that the field may take of libmodbus's time on the processor per point.
const MOST: f64 = 2.0;

/// Arguments of `bench field`.
#[derive(Args)]
pub(super) struct Field {
    /// Also write what was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Modbus devices with 30 points each; rounded up to whole fifties.
    #[arg(long, default_value_t = 500)]
    modbus: usize,
    /// IEDs that report 100 points each.
    #[arg(long, default_value_t = 20)]
    ieds: usize,
    /// How long each part is measured, s.
    #[arg(long, default_value_t = 30)]
    seconds: usize,
}

impl Field {
    pub(super) fn run(self) -> Result<()> {
        let yardstick = yardstick()?;
        let mut build = cargo();
        build.args(["build", "--release", "-p", "busbar-tests"]);
        run(build.args(["--features", "field", "--bin", "field_bench"]))?;
        let bench = target().join("release/field_bench");
        let dir = target()
            .join("bench")
            .join(format!("field-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let shown = dir
            .to_str()
            .context("the target folder's name is no text")?;
        let seconds = self.seconds.to_string();

        let numbers = [self.modbus.to_string(), self.ieds.to_string()];
        let mut plant = Process::start(&bench, &["plant", &numbers[0], &numbers[1]])?;
        let plan = plant.hear()?;
        plant.say(shown)?;
        let ports = plan["modbus"].as_array().context("no ports")?;
        let ports: Vec<String> = ports.iter().map(Value::to_string).collect();

        say("libmodbus");
        let mut c = Command::new(yardstick);
        let said = output(c.args([seconds.as_str(), UNITS]).args(&ports))?;
        let libmodbus: Value = serde_json::from_str(&said).context("libmodbus_poll")?;
        say("field and point table");
        let polled = Process::start(&bench, &["poll", &seconds, shown])?.hear()?;
        say("the whole appliance");
        let mut appliance = Process::start(&bench, &["appliance", &seconds, shown])?;
        appliance.hear()?;
        plant.say("measure")?;
        let whole = appliance.hear()?;
        plant.say("result")?;
        let latency = plant.hear()?;
        fs::remove_dir_all(&dir)?;
        self.report(&json!({
            "modbus": self.modbus, "ieds": self.ieds, "seconds": self.seconds,
            "libmodbus": libmodbus, "field": polled, "appliance": whole, "latency": latency,
        }))
    }

    #[expect(clippy::print_stdout, reason = "the table is this task's output")]
    fn report(&self, all: &Value) -> Result<()> {
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(all)?;
            fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        let per_point = |of: &str| {
            let (cpu, points) = (number(all, of, "cpu_s")?, number(all, of, "points")?);
            Ok::<f64, anyhow::Error>(1e6 * cpu / points)
        };
        let (c, field, whole) = (
            per_point("libmodbus")?,
            per_point("field")?,
            per_point("appliance")?,
        );
        let whole_share =
            number(all, "appliance", "cpu_s")? / number(all, "appliance", "window_s")?;
        println!("time on the processor per point");
        println!("  libmodbus, polling alone      {c:>8.3} µs");
        println!(
            "  field and point table         {field:>8.3} µs   {:.2} of libmodbus's",
            field / c
        );
        println!(
            "  whole appliance, IEDs too     {whole:>8.3} µs   {:.2} of libmodbus's, {:.0} % of a processor",
            whole / c,
            100.0 * whole_share
        );
        let missed = ["polls_missed", "reports_missed"].map(|key| number(all, "appliance", key));
        let [polls, reports] = missed;
        let (polls, reports) = (polls?, reports?);
        println!(
            "missed: {polls} polls, {reports} reports of {}",
            number(all, "appliance", "reports")?
        );
        println!(
            "latest poll {:.1} ms late",
            number(all, "appliance", "latest_poll_ms")?
        );
        println!(
            "memory {:.0} MB",
            number(all, "appliance", "rss_bytes")? / 1e6
        );
        for (of, what) in [("polled", "polled each second"), ("reported", "reported")] {
            let row = &all["latency"][of];
            println!(
                "from a change to the event at the DNP3 master, {what}: p50 {:.1} ms, p99 {:.1} ms, of {}",
                row["p50_ms"].as_f64().unwrap_or(f64::NAN),
                row["p99_ms"].as_f64().unwrap_or(f64::NAN),
                row["changes"]
            );
        }
        ensure!(polls + reports == 0.0, "something was missed");
        ensure!(
            field <= MOST * c,
            "the field takes more than {MOST} times libmodbus's time per point"
        );
        Ok(())
    }
}

fn number(all: &Value, of: &str, key: &str) -> Result<f64> {
    let value = all[of][key].as_f64();
    value.with_context(|| format!("{of}: no {key} in {}", all[of]))
}

/// Builds the same loop on libmodbus.
fn yardstick() -> Result<PathBuf> {
    let program = target().join("libmodbus_poll");
    fs::create_dir_all(target())?;
    let source = workspace().join("xtask/src/bench/libmodbus_poll.c");
    let flags = ["-O2", "-Wall", "-Wextra", "-I/usr/include/modbus", "-o"];
    let mut cc = Command::new("cc");
    let built = run(cc.args(flags).arg(&program).arg(source).arg("-lmodbus"));
    built.context("the yardstick needs Debian's `gcc`, `libc6-dev` and `libmodbus-dev`")?;
    Ok(program)
}

/// A program that is told and tells lines.
struct Process {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Process {
    fn start(program: &Path, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| program.display().to_string())?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            to: to.context("no standard input")?,
            from: BufReader::new(from.context("no standard output")?),
        })
    }

    fn say(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.to, "{line}")?)
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("it ended: {}", self.child.wait()?);
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Our own, by its number; one that has ended does not mind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
