//! Runs the recipes' `do_install` on this machine, with their variables as BitBake sets them, and compares
//! what it installs with what the recipes say: every source is there, every file is in a package, every
//! unit that is named exists, and the service is the Debian package's.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use busbar_tests::stack::workspace;

use super::{layer, recipe};
use crate::run::{output, target};

/// Recipes that install something.
const RECIPES: [&str; 5] = [
    "busbar",
    "busbar-boot",
    "busbar-rauc-conf",
    "busbar-site",
    "busbar-system",
];

/// Paths of bitbake.conf, and what the recipes take from the build.
const VARIABLES: [(&str, &str); 13] = [
    ("bindir", "/usr/bin"),
    ("sbindir", "/usr/sbin"),
    ("libexecdir", "/usr/libexec"),
    ("datadir", "/usr/share"),
    ("sysconfdir", "/etc"),
    ("localstatedir", "/var"),
    ("nonarch_libdir", "/usr/lib"),
    ("systemd_system_unitdir", "/usr/lib/systemd/system"),
    ("EFI_FILES_PATH", "/boot/EFI/BOOT"),
    ("KERNEL_IMAGETYPE", "bzImage"),
    ("MACHINE", "qemux86-64"),
    ("BUSBAR_CONSOLE", "console=ttyS0"),
    ("CARGO_TARGET_SUBDIR", "release"),
];

/// What `FILES:${PN}` has without being told (bitbake.conf), of what is installed here.
const BY_DEFAULT: [&str; 6] = [
    "${bindir}/*",
    "${sbindir}/*",
    "${libexecdir}/*",
    "${sysconfdir}",
    "${datadir}/${BPN}",
    "${nonarch_libdir}/tmpfiles.d/*",
];

pub(super) fn check() -> Result<()> {
    let root = target().join("yocto");
    let _ = fs::remove_dir_all(&root);
    for name in RECIPES {
        let recipe = Recipe::read(name)?;
        let installed = recipe
            .install(&root.join(name))
            .with_context(|| format!("{name}.bb"))?;
        recipe
            .packaged(&installed)
            .with_context(|| format!("{name}.bb"))?;
        recipe
            .units(&installed)
            .with_context(|| format!("{name}.bb"))?;
    }
    sources_are_used()?;
    debian(&root.join("busbar"))
}

/// A recipe, as far as installing goes.
struct Recipe {
    variables: BTreeMap<String, String>,
    install: String,
    files: PathBuf,
}

impl Recipe {
    fn read(name: &str) -> Result<Self> {
        let path = recipe(name)?;
        let text = fs::read_to_string(&path)?;
        let mut variables: BTreeMap<String, String> = VARIABLES
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        variables.insert("BPN".to_owned(), name.to_owned());
        variables.insert("PN".to_owned(), name.to_owned());
        // What a site and a keyring are made of is the builder's.
        let example = workspace().join("edge/examples/cigre-mv");
        variables.insert("BUSBAR_SITE".to_owned(), example.display().to_string());
        let keyring = workspace().join("LICENSE").display().to_string();
        variables.insert("RAUC_KEYRING_FILE".to_owned(), keyring);
        for (name, value) in assignments(&text) {
            let before = variables.entry(name).or_default();
            *before = format!("{before} {value}");
        }
        let install = body(&text, "do_install").context("no do_install")?;
        let files = path.with_file_name("files");
        Ok(Self {
            variables,
            install,
            files,
        })
    }

    /// Runs `do_install`; every file and empty folder that it made, as absolute paths of the target.
    fn install(&self, into: &Path) -> Result<Vec<String>> {
        fs::create_dir_all(into)?;
        let build = into.with_extension("build");
        let programs = build.join("target/release");
        fs::create_dir_all(&programs)?;
        for program in ["busbar", "busbar-sim"] {
            fs::write(programs.join(program), "")?;
        }
        let sources = match self.files.is_dir() {
            true => self.files.clone(),
            false => workspace(),
        };
        let script = format!("bbfatal() {{ echo \"$*\" >&2; exit 1; }}\n{}", self.install);
        let mut sh = Command::new("sh");
        sh.args(["-euc", &script]).env_clear();
        sh.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for name in self
            .variables
            .keys()
            .filter(|name| !name.contains([':', '[', '{']))
        {
            sh.env(name, self.expanded(&self.variables[name]).trim());
        }
        sh.env("S", &sources).env("B", &build).env("D", into);
        output(&mut sh)?;
        let found = output(
            Command::new("find")
                .arg(".")
                .args(["-type", "f", "-o", "-type", "d", "-empty"])
                .current_dir(into),
        )?;
        let mut found: Vec<String> = found.lines().map(|line| line[1..].to_owned()).collect();
        found.sort();
        ensure!(!found.is_empty(), "do_install installs nothing");
        Ok(found)
    }

    /// Every file is in a package, and every pattern of a package finds a file.
    fn packaged(&self, installed: &[String]) -> Result<()> {
        let own = self.variables.iter();
        let own = own.filter(|(name, _)| name.starts_with("FILES:"));
        let own: Vec<String> = own.flat_map(|(_, value)| self.words(value)).collect();
        for pattern in &own {
            ensure!(
                installed.iter().any(|path| within(path, pattern)),
                "FILES has {pattern}, which nothing is installed in"
            );
        }
        let by_default = BY_DEFAULT.iter().flat_map(|pattern| self.words(pattern));
        let units = self.services().into_iter();
        let units = units.map(|unit| format!("/usr/lib/systemd/system/{unit}"));
        let all: Vec<String> = own.into_iter().chain(by_default).chain(units).collect();
        for path in installed {
            ensure!(
                all.iter().any(|pattern| within(path, pattern)),
                "{path} is installed, but in no package"
            );
        }
        Ok(())
    }

    /// Every unit that is enabled is installed.
    fn units(&self, installed: &[String]) -> Result<()> {
        for unit in self.services() {
            let path = format!("/usr/lib/systemd/system/{unit}");
            ensure!(
                installed.contains(&path),
                "SYSTEMD_SERVICE has {unit}, which is not installed"
            );
        }
        Ok(())
    }

    fn services(&self) -> Vec<String> {
        let named = self.variables.get("SYSTEMD_SERVICE:${PN}");
        named.map(|value| self.words(value)).unwrap_or_default()
    }

    fn words(&self, value: &str) -> Vec<String> {
        let value = self.expanded(value);
        value.split_whitespace().map(str::to_owned).collect()
    }

    /// `${NAME}` of the variables known here replaced.
    fn expanded(&self, value: &str) -> String {
        let simple = |name: &&String| !name.contains([':', '[', '{']);
        let names = self.variables.keys().filter(simple);
        names.fold(value.to_owned(), |text, name| {
            text.replace(&format!("${{{name}}}"), self.variables[name].trim())
        })
    }
}

/// Every `NAME = "…"`, `NAME += "…"` of a recipe, lines joined.
fn assignments(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", " ");
    let pairs = joined.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name
            .trim_end()
            .trim_end_matches(['+', '?', ':', '.'])
            .trim_end();
        let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        // What BitBake computes is not known here.
        let plain = !name.is_empty() && !name.contains(' ') && !value.contains("${@");
        plain.then(|| (name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// The body of a shell function.
fn body(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\n{name}() {{\n"))?;
    let (body, _) = rest.split_once("\n}\n")?;
    Some(body.to_owned())
}

/// Whether a path is what a pattern of `FILES` means: the very path, below it, or by its `*`.
fn within(path: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(before) => path.starts_with(before),
        None => path
            .strip_prefix(pattern)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

/// Every file beside a recipe is named by it, and every one that is named is there.
fn sources_are_used() -> Result<()> {
    let all = output(
        Command::new("find")
            .arg(layer())
            .args(["-path", "*/files/*", "-type", "f"]),
    )?;
    for file in all.lines().map(Path::new) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let folder = file.parent().and_then(Path::parent).context("no folder")?;
        let named = format!("file://{name}");
        let recipes = fs::read_dir(folder)?.flatten();
        let mut texts = recipes.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        let is_named = texts.any(|text| {
            text.match_indices(&named).any(|(at, _)| {
                !text[at + named.len()..]
                    .starts_with(|c: char| c.is_alphanumeric() || "-_.".contains(c))
            })
        });
        ensure!(is_named, "{} is in no recipe", file.display());
    }
    Ok(())
}

/// The unit is the Debian package's, the very file.
fn debian(image: &Path) -> Result<()> {
    let unit = "busbar.service";
    let ours = workspace().join("packaging/deb/debian").join(unit);
    let there = image.join("usr/lib/systemd/system").join(unit);
    ensure!(
        fs::read(&ours)? == fs::read(&there).with_context(|| there.display().to_string())?,
        "{unit} is not the Debian package's"
    );
    Ok(())
}
