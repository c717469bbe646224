//! The Yocto layer: what is made for it (`cargo xtask yocto-crates`), and what of it can be checked
//! without building an image (`cargo xtask test yocto`).

mod crates;
#[cfg(test)]
mod scripts;
mod staged;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use busbar_tests::stack::workspace;

use crate::{
    deb,
    run::{output, run},
    test::Count,
    tools,
};

pub(crate) use crates::Crates;

/// The layer.
fn layer() -> PathBuf {
    workspace().join("yocto-layer/meta-busbar")
}

/// Linters, and a package that carries BitBake's parser and fetcher; pinned.
const TOOLS: [&str; 3] = ["oelint-adv==9.11.2", "kas==5.5", "bitbake-setup==2.19.0"];

/// Machines that there is a `kas` file for.
const MACHINES: [&str; 3] = ["qemux86-64", "qemuarm64", "genericarm64"];

/// What `oelint-adv` is not asked, and why not. Single exceptions are beside what they are about
/// (`nooelint`).
const NOT_ASKED: [(&str, &str); 7] = [
    (
        "oelint.file.underscores",
        "versions are Cargo.toml's (conf/busbar-version.inc), not those of file names",
    ),
    (
        "oelint.var.mandatoryvar.SRC_URI",
        "sources are this repository; a site, an image and a bundle have none",
    ),
    (
        "oelint.var.mandatoryvar.HOMEPAGE",
        "the project has no public page",
    ),
    (
        "oelint.var.suggestedvar.BUGTRACKER",
        "the project has no public tracker",
    ),
    (
        "oelint.var.suggestedvar.CVE_PRODUCT",
        "no CVE names the product",
    ),
    (
        "oelint.var.bbclassextend",
        "nothing of it is needed on the machine that builds",
    ),
    (
        "oelint.var.licenseremotefile",
        "the licence is the repository's own file",
    ),
];

/// Runs the checks. An image is not built: that takes BitBake and the layers beside this one.
pub(crate) fn check(count: &mut Count) -> Result<()> {
    for check in [
        crates::fresh as fn() -> Result<()>,
        staged::check,
        bitbake,
        grub,
        oelint,
        kas,
    ] {
        check()?;
        count.passed += 1;
    }
    Ok(())
}

fn tool(name: &str) -> Result<PathBuf> {
    Ok(tools::venv("yocto", &TOOLS)?.with_file_name(name))
}

/// BitBake's own parser reads every recipe and its fetcher every crate; what it needs of other layers is
/// played (`parse.py`).
fn bitbake() -> Result<()> {
    let script = workspace().join("xtask/src/yocto/parse.py");
    let mut parse = Command::new(tool("python3")?);
    run(parse.arg("-B").arg(script).arg(layer()).arg(deb::VERSION))
}

/// The boot loader's script and its first choice are such, by GRUB's own word; what it does is tested in `scripts`.
fn grub() -> Result<()> {
    let check = tools::debian_package("grub-script-check", "grub-common")?;
    let files = layer().join("recipes-bsp/busbar-boot/files");
    run(Command::new(check).arg(files.join("grub.cfg")))?;
    let edit = tools::debian_package("grub-editenv", "grub-common")?;
    let first = output(Command::new(edit).arg(files.join("grubenv")).arg("list"))?;
    // Slot A is on a new disk; B is empty until the first update.
    let expected = "ORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=0\n";
    ensure!(first == expected, "grubenv says {first}");
    Ok(())
}

/// Every recipe and configuration file of the layer, without a finding of any severity.
fn oelint() -> Result<()> {
    let files = output(
        Command::new("find")
            .args(["conf", "recipes-busbar", "recipes-bsp", "recipes-core"])
            .args(["recipes-kernel", "recipes-rauc", "-type", "f"])
            .args(["-not", "-path", "*/files/*"])
            .current_dir(layer()),
    )?;
    let suppressed = NOT_ASKED.iter().flat_map(|(rule, _)| ["--suppress", rule]);
    run(Command::new(tool("oelint-adv")?)
        .args(["--quiet", "--relpaths", "--release", "wrynose"])
        .args(["--extra-layer", "rauc", "--constantmods", "+../oelint.json"])
        .args(suppressed)
        .arg("--")
        .args(files.lines())
        .current_dir(layer()))
}

/// The `kas` files are of its schema, include what they name, and say what shall be built. Which
/// revisions the other layers are at is not looked at: that takes their repositories.
fn kas() -> Result<()> {
    let offline = ["repo_setup_loop", "finish_setup_repos", "repos_checkout"];
    let offline = offline
        .iter()
        .chain(&["repos_apply_patches", "setup_environ"]);
    for machine in MACHINES {
        let file = format!("yocto-layer/kas/{machine}.yml");
        let dump = output(
            Command::new(tool("kas")?)
                .args(["--log-level", "error", "dump", "--format", "json"])
                .args(offline.clone().flat_map(|step| ["--skip", step]))
                .arg(&file)
                .current_dir(workspace()),
        )?;
        let dump: serde_json::Value = serde_json::from_str(&dump).with_context(|| file.clone())?;
        ensure!(
            dump["machine"] == machine && dump["distro"] == "busbar",
            "{file} builds {} for {}",
            dump["distro"],
            dump["machine"]
        );
        let layers = dump["repos"]["busbar"]["layers"].as_object();
        let mut layers = layers.into_iter().flat_map(|layers| layers.keys());
        ensure!(
            layers.any(|of| workspace().join(of) == layer()),
            "{file} does not take our layer"
        );
        for target in dump["target"].as_array().into_iter().flatten() {
            let target = target.as_str().unwrap_or_default();
            recipe(target).with_context(|| file.clone())?;
        }
    }
    Ok(())
}

/// A recipe of the layer, by name.
fn recipe(name: &str) -> Result<PathBuf> {
    let found = output(
        Command::new("find")
            .arg(layer())
            .args(["-name", &format!("{name}.bb")]),
    )?;
    let path = found.lines().next();
    Ok(Path::new(path.with_context(|| format!("no recipe {name}"))?).to_owned())
}
