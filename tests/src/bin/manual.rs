//! Manual pages and shell completions of the programs, out of their own command lines, into a folder
//! laid out as the Debian packages want it: `manual DIR`.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate_to};

fn main() -> Result<()> {
    let dir = std::env::args_os().nth(1).context("usage: manual DIR")?;
    for command in [edge::cli::command(), sim_rtu::cli::Cli::command()] {
        let name = command.get_name().to_owned();
        let dir = Path::new(&dir).join(&name);
        let man = dir.join("man");
        fs::create_dir_all(&man)?;
        clap_mangen::generate_to(command.clone(), &man)?;
        completions(command, &name, &dir.join("share"))?;
    }
    Ok(())
}

/// Where each shell looks for them, below `/usr/share`.
fn completions(mut command: Command, name: &str, share: &Path) -> Result<()> {
    for (shell, folder, file) in [
        (Shell::Bash, "bash-completion/completions", name.to_owned()),
        (Shell::Zsh, "zsh/vendor-completions", format!("_{name}")),
        (
            Shell::Fish,
            "fish/vendor_completions.d",
            format!("{name}.fish"),
        ),
    ] {
        let folder = share.join(folder);
        fs::create_dir_all(&folder)?;
        let made = generate_to(shell, &mut command, name, &folder)?;
        fs::rename(made, folder.join(file))?;
    }
    Ok(())
}
