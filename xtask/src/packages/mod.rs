//! `cargo xtask test packages`: the Debian packages, linted, installed in a booted container and put
//! through what a substation does to them. Not part of the default run: it builds for release and waits
//! for watchdogs and market intervals.

mod checks;
mod container;
mod limits;
mod serial;

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use busbar_tests::stack::workspace;
use clap::Args;

use self::{checks::CHECKS, container::Container};
use crate::{
    deb::{self, Built},
    run::{output, run, say},
    test::Count,
    tools,
};

/// Highest exposure that `systemd-analyze security` may find.
const EXPOSURE: f64 = 1.3;

/// What of a check this machine cannot do: counted as skipped, so it fails the run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotTested(String);

/// What is not tested because it was asked for.
#[derive(Args)]
pub(crate) struct Without {
    /// Test of the packages only what can be without a booted container, and say what was not.
    #[arg(long)]
    without_nspawn: bool,
    /// Do not test that the packaged service reaches no public address, where the kernel gives a container no BPF.
    #[arg(long)]
    without_bpf: bool,
}

/// Runs the step.
pub(crate) fn test(without: &Without, count: &mut Count) -> Result<()> {
    let built = deb::build()?;
    let mut rows = Vec::new();
    let mut note = |name: &str, outcome: Result<String>, seconds: f64| {
        let word = match &outcome {
            Ok(_) => {
                count.passed += 1;
                "ok"
            }
            Err(error) if error.is::<NotTested>() => {
                count.skipped += 1;
                "NOT TESTED"
            }
            Err(_) => {
                count.failed += 1;
                "FAILED"
            }
        };
        let said = outcome.unwrap_or_else(|error| format!("{error:#}"));
        say(format_args!("{word}: {name}: {said}"));
        rows.push(format!("  {word:<12}{name:<34}{seconds:>6.1} s  {said}"));
    };
    for (name, check) in [
        (
            "packed twice, same bytes",
            same_bytes as fn(&Built) -> Result<String>,
        ),
        ("lintian", lintian),
        ("exposure", exposure),
    ] {
        let start = Instant::now();
        note(name, check(&built), start.elapsed().as_secs_f64());
    }
    if without.without_nspawn {
        say("NOT TESTED, since --without-nspawn was given: everything that needs a booted system:");
        for (name, _) in CHECKS {
            say(format_args!("NOT TESTED: {name}"));
        }
    } else {
        let container = Container::boot().context(
            "nothing was installed or run; --without-nspawn tests only what can be without a container",
        )?;
        let mut appliance = checks::Appliance::new(container, built);
        for (name, check) in CHECKS {
            if without.without_bpf && name == checks::ADDRESSES {
                say(format_args!(
                    "NOT TESTED, since --without-bpf was given: {name}"
                ));
                continue;
            }
            let start = Instant::now();
            let outcome = check(&mut appliance);
            note(name, outcome, start.elapsed().as_secs_f64());
        }
    }
    say(format_args!("packages:\n{}", rows.join("\n")));
    ensure!(count.failed == 0, "{} checks failed", count.failed);
    Ok(())
}

fn same_bytes(built: &Built) -> Result<String> {
    let again = built.packed_as(deb::VERSION)?;
    let sums = |files: [&Path; 2]| -> Result<Vec<String>> {
        let sums = output(Command::new("sha256sum").args(files))?;
        Ok(sums
            .lines()
            .map(|line| line.chars().take(64).collect())
            .collect())
    };
    let first = sums([&built.busbar, &built.sim])?;
    ensure!(
        first == sums([&again[0], &again[1]])?,
        "packing again gives other bytes"
    );
    Ok(first.join(" "))
}

fn lintian(built: &Built) -> Result<String> {
    tools::debian("lintian")?;
    run(Command::new("lintian")
        .args([
            "--fail-on",
            "error",
            "--no-tag-display-limit",
            "--allow-root",
        ])
        .args([&built.busbar, &built.sim]))?;
    Ok("no error".to_owned())
}

fn exposure(_: &Built) -> Result<String> {
    tools::debian_package("systemd-analyze", "systemd")?;
    let mut found = Vec::new();
    for unit in ["busbar.service", "busbar@.service"] {
        let file = workspace().join("packaging/deb/debian").join(unit);
        let said = output(
            Command::new("systemd-analyze")
                .args(["security", "--offline=yes", "--no-pager"])
                .arg(file),
        )?;
        let level = said
            .rsplit_once(".service: ")
            .context("no exposure level")?
            .1;
        let level: f64 = level
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .parse()?;
        ensure!(level <= EXPOSURE, "{unit} has an exposure of {level}");
        found.push(format!("{unit} {level}"));
    }
    Ok(found.join(", "))
}
