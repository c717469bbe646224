//! A site by phase: the example is right, and what does not fit its network's phases is named.

use std::{fs, path::Path};

use edge::site::{self, Site};

use crate::spoil;

fn text() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ieee13/site.toml");
    fs::read_to_string(file).unwrap()
}

fn parse(text: &str) -> Result<Site, Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ieee13/site.toml");
    let strip = |p: site::Problem| p.to_string().replace(&format!("{}:", file.display()), "");
    site::parse(&file, text).map_err(|found| found.into_iter().map(strip).collect())
}

#[test]
fn the_example_is_right_and_falls_back_within_limits() {
    let site = parse(&text()).unwrap();
    assert!(site.by_phase && site.units.len() == 8);
    // Node 11's load as the network has it: 145.5, 20.4 and 87 kW.
    let load = site.loads.iter().find(|load| load.node == 11).unwrap();
    for (share, kw) in load.shares.p.into_iter().zip([145.5, 20.4, 87.0]) {
        assert!((share - kw / 252.9).abs() < 1e-12, "{:?}", load.shares);
    }
    let mut states = site::fallback::states(&site).unwrap();
    // Without any load the feeder's fixed capacitors lift phase c, whatever units do.
    let unloaded = states.remove(1).violations;
    let in_c = |of: &String| of.contains(", phase c,");
    assert!(
        !unloaded.is_empty() && unloaded.iter().all(in_c),
        "{unloaded:?}"
    );
    for state in states {
        assert_eq!(
            state.violations,
            Vec::<String>::new(),
            "{}",
            state.assumption
        );
    }
}

/// A phase beyond its limit is named, although the mean of the three is well within.
#[test]
fn a_fallback_that_lifts_one_phase_is_named() {
    let mut text = text();
    spoil(&mut text, "fallback_p_w = 0.0", "fallback_p_w = 400000.0");
    let site = parse(&text).unwrap();
    let states = site::fallback::states(&site).unwrap();
    let found: Vec<String> = states.into_iter().flat_map(|of| of.violations).collect();
    assert!(
        found.iter().any(|of| of.contains("node 13, phase c,")),
        "{found:?}"
    );
    assert!(!found.iter().any(|of| of.contains("phase a,")), "{found:?}");
}

#[test]
fn what_does_not_fit_the_phases_is_named_with_its_place() {
    for (from, to, path, message) in [
        (
            "phase = \"c\"",
            "phase = \"b\"",
            "unit[0].phase",
            "node 13 has no phase b; it has c",
        ),
        (
            "phase = \"c\"",
            "phase = \"d\"",
            "unit[0].phase",
            "`d` is none of a, b, c",
        ),
        (
            "phase = \"c\"\n",
            "",
            "unit[0].phase",
            "which phase is generator 501, an `asym_gen`, of?",
        ),
        (
            "id = 507\n",
            "id = 507\nphase = \"a\"\n",
            "unit[6].phase",
            "is a `sym_gen`, of all phases",
        ),
        (
            "by_phase = true",
            "by_phase = false",
            "site.network",
            "asym_line 18 is by phase",
        ),
        (
            "by_phase = true",
            "by_phase = 1",
            "site.by_phase",
            "true or false",
        ),
    ] {
        let mut text = text();
        let line = spoil(&mut text, from, to);
        let found = parse(&text).unwrap_err();
        let named = |of: &&String| of.contains(path) && of.contains(message);
        assert!(
            found.iter().any(|of| named(&of)),
            "line {line}, {path}: {found:?}"
        );
    }
}

#[test]
fn a_phase_on_a_balanced_site_is_refused() {
    let mut text = crate::example();
    spoil(
        &mut text,
        "kind = \"pv\"\n",
        "kind = \"pv\"\nphase = \"a\"\n",
    );
    let found = crate::problems(&text);
    assert!(
        found[0].contains("unit[0].phase: goes with `by_phase = true`"),
        "{found:?}"
    );
}

/// Networks whose loads the market cannot take by phase.
#[test]
fn loads_that_tell_no_phases_are_refused() {
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ieee13/network.json");
    let network: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(network).unwrap()).unwrap();
    let delta =
        |n: &mut serde_json::Value| n["data"]["asym_load"][0]["connection"] = "delta".into();
    let mixed = |n: &mut serde_json::Value| {
        n["data"]["asym_load"][0]["p_specified"] = serde_json::json!([1e3, -1e3, 0.0]);
    };
    let elsewhere = |n: &mut serde_json::Value| {
        // Node 13 has phase c alone.
        n["data"]["asym_load"][0]["node"] = 13.into();
    };
    let symmetric = |n: &mut serde_json::Value| n["data"]["sym_gen"][0]["node"] = 12.into();
    for (spoiled, message) in [
        (
            &delta as &dyn Fn(&mut serde_json::Value),
            "load 601 is between phases",
        ),
        (&mixed, "load 601 is an `asym_load`: by its `p_specified`"),
        (
            &elsewhere,
            "asym_load 601, `p_specified`: value 5100 is impossible: its phases do not reach the node",
        ),
        (
            &symmetric,
            "sym_gen 507, `node`: can't be: not all phases reach it",
        ),
    ] {
        let mut network = network.clone();
        spoiled(&mut network);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("network.json");
        fs::write(&file, network.to_string()).unwrap();
        let mut text = text();
        spoil(&mut text, "network.json", file.to_str().unwrap());
        let found = parse(&text).unwrap_err();
        assert!(
            found.iter().any(|of| of.contains(message)),
            "{message}: {found:?}"
        );
    }
}
