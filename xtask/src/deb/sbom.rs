//! What the packages are made of, as a CycloneDX 1.5 document: every crate that is linked in, and every
//! npm package of the UI's build. Of `cargo metadata`, `Cargo.lock` and `package-lock.json`; without
//! a serial number and a time, so that the same sources give the same document.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, ensure};
use busbar_tests::stack::workspace;
use serde_json::{Value, json};

use crate::run::{cargo, output};

/// The document.
pub(super) fn bill(version: &str) -> Result<String> {
    let mut components = crates()?;
    components.extend(npm()?);
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": "busbar", "name": "busbar", "version": version,
            "licenses": [{"expression": "Apache-2.0"}],
        }},
        "components": components,
    });
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

/// Crates that are linked into the programs, by name and version.
fn crates() -> Result<Vec<Value>> {
    let host = output(std::process::Command::new("rustc").args(["--print", "host-tuple"]))?;
    let metadata = output(
        cargo()
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", host.trim()])
            .current_dir(workspace()),
    )?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let edges: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let linked = list(&node["deps"]).into_iter().filter(|dependency| {
                list(&dependency["dep_kinds"])
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            });
            let linked = linked.map(|dependency| text(&dependency["pkg"]));
            (text(&node["id"]), linked.collect())
        })
        .collect();
    let packages = list(&metadata["packages"]);
    let programs = ["busbar-edge", "busbar-sim-rtu"];
    let mut todo: Vec<String> = packages
        .iter()
        .filter(|package| programs.contains(&text(&package["name"]).as_str()))
        .map(|package| text(&package["id"]))
        .collect();
    let mut linked = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if linked.insert(id.clone()) {
            todo.extend(edges.get(&id).cloned().unwrap_or_default());
        }
    }
    let sums = checksums()?;
    let components: Vec<Value> = packages
        .iter()
        .filter(|package| linked.contains(&text(&package["id"])) && !package["source"].is_null())
        .map(|package| component(package, &sums))
        .collect();
    ensure!(
        components.len() > 100,
        "cargo names only {} crates",
        components.len()
    );
    Ok(components)
}

fn component(package: &Value, sums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
    });
    if let Some(licence) = package["license"].as_str() {
        // The way crates wrote it before SPDX expressions.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    if let Some(sum) = sums.get(&(name, version)) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
    }
    component
}

/// SHA-256 of each crate's archive, out of Cargo.lock.
fn checksums() -> Result<BTreeMap<(String, String), String>> {
    let lock = fs::read_to_string(workspace().join("Cargo.lock"))?;
    let lock: toml::Table = lock.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let packages = packages.context("Cargo.lock names no package")?;
    let field = |package: &toml::Value, key: &str| {
        package
            .get(key)
            .and_then(toml::Value::as_str)
            .map(str::to_owned)
    };
    let sums = packages.iter().filter_map(|package| {
        let id = (field(package, "name")?, field(package, "version")?);
        Some((id, field(package, "checksum")?))
    });
    Ok(sums.collect())
}

/// npm packages of the UI's build. Svelte's runtime ends up in the pages; all others only build or test
/// them.
fn npm() -> Result<Vec<Value>> {
    let lock = fs::read_to_string(workspace().join("web-ui/package-lock.json"))?;
    let lock: Value = serde_json::from_str(&lock)?;
    let packages = lock["packages"]
        .as_object()
        .context("package-lock.json names no package")?;
    let components = packages.iter().filter_map(|(path, package)| {
        let name = path.rsplit_once("node_modules/")?.1;
        let version = package["version"].as_str()?;
        let purl = format!("pkg:npm/{}@{version}", name.replacen('@', "%40", 1));
        let mut component = json!({
            "type": "library", "bom-ref": format!("{purl}#{path}"), "name": name,
            "version": version, "purl": purl,
            "scope": if name == "svelte" { "required" } else { "excluded" },
        });
        if let Some(licence) = package["license"].as_str() {
            component["licenses"] = json!([{"expression": licence}]);
        }
        if let Some(integrity) = package["integrity"].as_str() {
            component["properties"] = json!([{"name": "npm:integrity", "value": integrity}]);
        }
        Some(component)
    });
    Ok(components.collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
