//! The shipped example, and what is said of a broken one.

use std::fs;

use solver::market::Price;
use tempfile::TempDir;

use crate::{
    site::{AreaSite, Loaded, load, load_any},
    store::users::hash,
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/area");

/// The example beside hashes of passwords, with a change of its text.
fn example(change: impl Fn(String) -> String) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = |name: &str| fs::read_to_string(format!("{EXAMPLE}/{name}")).unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    let hash = hash("a long enough secret").unwrap();
    for name in ["north", "south", "west"] {
        fs::write(dir.path().join(format!("secrets/{name}.hash")), &hash).unwrap();
    }
    fs::write(dir.path().join("network.json"), from("network.json")).unwrap();
    fs::write(dir.path().join("site.toml"), change(from("site.toml"))).unwrap();
    dir
}

fn area(change: impl Fn(String) -> String) -> Result<AreaSite, Vec<String>> {
    let dir = example(change);
    match load_any(&dir.path().join("site.toml")) {
        Ok(Loaded::Area(site)) => Ok(*site),
        Ok(Loaded::Substation(_)) => panic!("it is an area's"),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn the_example_is_right() {
    let site = area(|text| text).unwrap();
    let setup = &site.setup;
    let names: Vec<_> = setup
        .tenants
        .iter()
        .map(|of| (&*of.name, of.unit, of.node))
        .collect();
    assert_eq!(
        names,
        [("north", 101, 2), ("south", 102, 3), ("west", 103, 4)]
    );
    assert_eq!(site.access[1].user, "south");
    assert_eq!(setup.product.gate_lead_s, 240);
    assert_eq!(setup.import_price, Price(110_000_000));
    assert_eq!(setup.rulebook.imbalance.short_price, Price(180_000_000));
    assert_eq!(setup.participants[0].orders[0].steps.len(), 2);
    assert_eq!(setup.patience_s, 3600);
}

/// Who wants a substation's is told what this is.
#[test]
fn it_is_no_substations() {
    let dir = example(|text| text);
    let problems = load(&dir.path().join("site.toml")).unwrap_err();
    assert!(
        problems.iter().any(|of| of.path == "site.role"),
        "{problems:?}"
    );
}

#[test]
fn everything_that_is_wrong_is_named() {
    let problems = area(|text| {
        text.replace("gate_s = 240", "gate_s = 900")
            .replace("source = 20", "source = 21")
            .replace("unit = 103", "unit = 12")
            .replace("name = \"south\"", "name = \"north\"")
            .replace("node = 4", "node = 9")
            .replace("0000002\"", "0000001\"")
            .replace("secrets/west.hash", "network.json")
            .replace(
                "export_price_per_mwh = 60.0",
                "export_price_per_mwh = 160.0",
            )
            .replace("price_per_mwh = 70.0", "price_per_mwh = 170.0")
            .replace("q_max_var = 0", "q_max_va = 0")
    })
    .unwrap_err();
    let text = problems.join("\n");
    for wanted in [
        "market.gate_s: must be below interval_s, which is 900",
        "market.source: the network has no source 21",
        "market.export_price_per_mwh: must not be above import_price_per_mwh",
        "tenant[1].name: tenant `north` is there twice",
        "tenant[1].certificates_sha256: one of them is of tenant `north` already",
        "tenant[2].password_hash_file",
        "tenant[2].unit: 12 is the number of something else already",
        "tenant[2].node: the network has no node 9",
        "participant[0].q_max_var: missing",
        "participant[0].q_max_va: unknown key; did you mean `q_max_var`?",
        "participant[0].buy[1].price_per_mwh: prices must rise to sell and fall to buy",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
}

const AGGREGATOR: &str = "\n[[aggregator]]\nname = \"flex-co\"\ntenants = [\"north\", \"south\"]\n";
const ABOVE: &str = "\n[above]\nendpoint = \"opc.tcp://wide.example:4840\"\nuser = \"riverside\"\n\
    password_file = \"secrets/above\"\npki = \"pki\"\naward_s = 100\nfallback = \"zero\"\nspread_per_mwh = 5.0\n";

#[test]
fn aggregators_are_read() {
    let passed = "aggregators = [\"works\", \"flex-co\"]\n";
    let site = area(|text| text + AGGREGATOR + ABOVE + passed).unwrap();
    let setup = &site.setup;
    assert_eq!(setup.aggregators.len(), 1);
    assert!(setup.aggregates("south", "flex-co") && setup.aggregates("north", "flex-co"));
    assert!(!setup.aggregates("west", "flex-co") && !setup.aggregates("south", "sun-co"));
    assert_eq!(setup.rulebook.settled_above, ["flex-co", "works"]);
    let none = area(|text| text + ABOVE).unwrap();
    assert!(none.setup.rulebook.settled_above.is_empty());
}

#[test]
fn what_is_wrong_with_an_aggregator_is_named() {
    let wrong = |name: &str, tenants: &str| {
        let table = format!("\n[[aggregator]]\nname = \"{name}\"\n{tenants}\n");
        let text = area(|text| text + AGGREGATOR + &table).unwrap_err();
        text.join("\n")
    };
    let both = "tenants = [\"north\", \"west\"]";
    for (name, tenants, wanted) in [
        (
            "flex-co",
            both,
            "aggregator[1].name: there is an aggregator `flex-co` already",
        ),
        (
            "south",
            both,
            "aggregator[1].name: there is a tenant `south` already",
        ),
        (
            "works",
            both,
            "aggregator[1].name: there is a participant `works` already",
        ),
        (
            "sun co",
            both,
            "aggregator[1].name: `sun co` must be 1 to 64 letters, digits, `-` and `_`",
        ),
        (
            "sun-co",
            "tenants = []",
            "aggregator[1].tenants: names no tenant that it holds orders in",
        ),
        ("sun-co", "", "aggregator[1].tenants: missing"),
        (
            "sun-co",
            "tenants = [\"east\"]",
            "aggregator[1].tenants: there is no tenant `east`",
        ),
        (
            "sun-co",
            "tenants = [\"west\", \"west\"]",
            "aggregator[1].tenants: `west` is there twice",
        ),
        (
            "sun-co",
            "tenants = [\"west\"]\nnode = 3",
            "aggregator[1].node: unknown key",
        ),
    ] {
        let text = wrong(name, tenants);
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    for (passed, wanted) in [
        (
            "[\"sun-co\"]",
            "above.aggregators: there is neither [[aggregator]] nor [[participant]] `sun-co`",
        ),
        (
            "[\"works\", \"works\"]",
            "above.aggregators: `works` is there twice",
        ),
        (
            "[\"wor ks\"]",
            "above.aggregators: `wor ks` must be 1 to 64 letters",
        ),
    ] {
        let problems = area(|text| format!("{text}{ABOVE}aggregators = {passed}\n"));
        let text = problems.unwrap_err().join("\n");
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
}
