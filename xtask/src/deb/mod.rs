//! `cargo xtask deb`: the Debian packages, a CycloneDX bill of materials and SHA256SUMS.
//!
//! Plain debhelper packs what is built here: the Rust toolchain that builds it is no Debian package, so
//! `dpkg-buildpackage` finds programs, manuals and completions ready in `stage/`. Paths are remapped and
//! every time stamp is that of the last commit: the same sources give the same bytes, wherever they are
//! built (`--twice` shows it).

mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use busbar_tests::stack::workspace;
use clap::Args;

use crate::{
    run::{cargo, output, run, say, target},
    tools, ui,
};

/// The workspace's version, which is every program's and package's.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Arguments of `deb`.
#[derive(Args)]
pub(crate) struct Deb {
    /// Build all of it again from a copy of the sources elsewhere, and compare the hashes.
    #[arg(long)]
    twice: bool,
}

impl Deb {
    pub(crate) fn run(self) -> Result<()> {
        let sums = build()?.sums;
        if self.twice {
            again(&sums)?;
        }
        Ok(())
    }
}

/// What was built.
pub(crate) struct Built {
    /// `busbar_….deb`.
    pub(crate) busbar: PathBuf,
    /// `busbar-sim_….deb`.
    pub(crate) sim: PathBuf,
    /// `SHA256SUMS` of all that was built.
    pub(crate) sums: PathBuf,
    stage: PathBuf,
}

/// Builds the programs and packs them into `target/deb/`.
pub(crate) fn build() -> Result<Built> {
    tools::debian_package("dh", "debhelper")?;
    tools::debian_package("dh_apparmor", "dh-apparmor")?;
    ui::build()?;
    programs()?;
    let out = target().join("deb");
    let stage = out.join("stage");
    staged(&stage)?;
    let [busbar, sim] = pack(&stage, VERSION, &out)?;
    let bill = format!("busbar_{VERSION}.cdx.json");
    fs::write(out.join(&bill), sbom::bill(VERSION)?)?;
    let mut files: Vec<String> = [&busbar, &sim].map(|file| name(file)).into();
    files.push(bill);
    let sums = output(Command::new("sha256sum").args(&files).current_dir(&out))?;
    fs::write(out.join("SHA256SUMS"), &sums)?;
    say(format_args!("in {}:\n{}", out.display(), sums.trim_end()));
    Ok(Built {
        busbar,
        sim,
        sums: out.join("SHA256SUMS"),
        stage,
    })
}

impl Built {
    /// The same programs packed as another version, into a folder of its own.
    pub(crate) fn packed_as(&self, version: &str) -> Result<[PathBuf; 2]> {
        pack(&self.stage, version, &target().join("deb").join(version))
    }
}

/// Builds the programs without a trace of where.
fn programs() -> Result<()> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let flags = [
        (workspace(), "/busbar"),
        (home, "/cargo"),
        (PathBuf::from(sysroot.trim()), "/rust"),
    ]
    .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    run(cargo()
        .args(["build", "--release", "--locked", "--bins"])
        .args(["-p", "busbar-edge", "-p", "busbar-sim-rtu"])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .current_dir(workspace()))
}

/// Lays out everything that goes into the packages.
fn staged(stage: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(stage);
    run(cargo()
        .args(["run", "--quiet", "--locked", "-p", "busbar-tests"])
        .args(["--features", "manual", "--bin", "manual", "--"])
        .arg(stage)
        .current_dir(workspace()))?;
    let root = workspace();
    let release = target().join("release");
    let busbar = "busbar/share/busbar/examples";
    let sim = "busbar-sim/share/busbar-sim";
    for (from, to) in [
        (release.join("busbar"), "bin"),
        (release.join("busbar-sim"), "bin"),
        (root.join("edge/examples/cigre-mv"), busbar),
        (root.join("sim-rtu/scenarios"), sim),
        (root.join("sim-rtu/data"), sim),
        (
            root.join("packaging/deb/apparmor/busbar"),
            "busbar/etc/apparmor.d",
        ),
        (root.join("docs/install.md"), "docs"),
        (root.join("docs/operating.md"), "docs"),
        (root.join("docs/site-file.md"), "docs"),
    ] {
        let to = stage.join(to);
        fs::create_dir_all(&to)?;
        run(Command::new("cp").arg("-r").arg(from).arg(to))?;
    }
    // By its own name it would be taken for Debian's changelog.
    fs::copy(root.join("CHANGELOG.md"), stage.join("docs/NEWS.md"))?;
    Ok(())
}

/// Packs what is staged into `out`: `busbar`, `busbar-sim`.
fn pack(stage: &Path, version: &str, out: &Path) -> Result<[PathBuf; 2]> {
    let source = out.join("source");
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source)?;
    let debian = workspace().join("packaging/deb/debian");
    run(Command::new("cp").arg("-r").arg(debian).arg(&source))?;
    run(Command::new("cp")
        .arg("-r")
        .arg(stage)
        .arg(source.join("stage")))?;
    let git = |format: &str| {
        output(
            Command::new("git")
                .args(["log", "-1", &format!("--format={format}")])
                .current_dir(workspace()),
        )
    };
    let epoch = git("%ct").context("the time of the packages is that of the last commit")?;
    let date =
        output(Command::new("date").args(["-u", "-R", "-d", &format!("@{}", epoch.trim())]))?;
    let changelog = format!(
        "busbar ({version}) unstable; urgency=medium\n\n  * See NEWS.md in this folder.\n\n \
         -- Busbar maintainers <busbar@localhost.localdomain>  {}\n",
        date.trim()
    );
    fs::write(source.join("debian/changelog"), changelog)?;
    run(Command::new("dpkg-buildpackage")
        .args(["--build=binary", "--no-sign"])
        .env("SOURCE_DATE_EPOCH", epoch.trim())
        .env("LC_ALL", "C")
        .current_dir(&source))?;
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let packages = ["busbar", "busbar-sim"]
        .map(|package| out.join(format!("{package}_{version}_{}.deb", architecture.trim())));
    for package in &packages {
        ensure!(package.is_file(), "{} was not built", package.display());
    }
    Ok(packages)
}

/// Builds everything again elsewhere; the hashes have to be the same.
fn again(sums: &Path) -> Result<()> {
    let copy = target().join("deb/again");
    let _ = fs::remove_dir_all(&copy);
    run(Command::new("git")
        .args(["clone", "--quiet", "--no-hardlinks"])
        .arg(workspace())
        .arg(&copy))?;
    run(cargo()
        .args(["xtask", "deb"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", copy.join("target")))?;
    let (first, second) = (
        fs::read_to_string(sums)?,
        fs::read_to_string(copy.join("target/deb/SHA256SUMS"))?,
    );
    ensure!(
        first == second,
        "two builds differ (is everything committed?):\n{first}\n{second}"
    );
    say("built twice, in two places, with the same hashes");
    // Gigabytes that nobody needs any more.
    Ok(fs::remove_dir_all(copy)?)
}

fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
