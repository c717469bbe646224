//! What holds the house together: which room may see which.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context, Result, ensure};
use busbar_tests::stack::workspace;
use serde_json::Value;

/// Normal dependencies between our own crates, as `cargo metadata` sees them.
fn arrows() -> Result<BTreeMap<String, Vec<String>>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(workspace())
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut arrows = BTreeMap::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().context("no name")?.to_owned();
        let dependencies = package["dependencies"]
            .as_array()
            .context("no dependencies")?;
        let own = dependencies
            .iter()
            .filter(|d| !d["path"].is_null() && d["kind"].is_null())
            .filter_map(|d| d["name"].as_str().map(str::to_owned))
            .collect();
        arrows.insert(name, own);
    }
    Ok(arrows)
}

#[test]
fn dependencies_point_one_way() -> Result<()> {
    let arrows = arrows()?;
    let allowed: [(&str, &[&str]); 6] = [
        ("busbar-protocols", &[]),
        ("busbar-solver", &[]),
        ("busbar-edge", &["busbar-protocols", "busbar-solver"]),
        ("busbar-sim-rtu", &["busbar-protocols", "busbar-solver"]),
        (
            "busbar-tests",
            &[
                "busbar-protocols",
                "busbar-solver",
                "busbar-edge",
                "busbar-sim-rtu",
            ],
        ),
        ("xtask", &["busbar-tests"]),
    ];
    ensure!(
        arrows.len() == allowed.len(),
        "a crate is new or gone: {arrows:?}"
    );
    for (crate_, may_see) in allowed {
        for sees in &arrows[crate_] {
            ensure!(
                may_see.contains(&sees.as_str()),
                "{crate_} must not depend on {sees}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_example_site_is_the_simulated_network() -> Result<()> {
    let site = fs::read(workspace().join("edge/examples/cigre-mv/network.json"))?;
    let simulated = fs::read(workspace().join("sim-rtu/data/cigre_mv.json"))?;
    ensure!(
        site == simulated,
        "edge/examples/cigre-mv/network.json and sim-rtu/data/cigre_mv.json differ"
    );
    Ok(())
}
