//! The JSON Schema of case and result files: what is committed is what the types say, and the
//! shipped examples are read by them.

use std::path::{Path, PathBuf};

use schemars::{JsonSchema, generate::SchemaSettings};
use solver::{
    market::clearing::{CaseFile, Names, ResultFile},
    network::{Grid, Id, pgm_json},
};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// `BUSBAR_UPDATE=1` writes it anew.
fn is_committed<T: JsonSchema>(path: &str) {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    let fresh = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = repository(path);
    if std::env::var_os("BUSBAR_UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "{} is stale: run this test with BUSBAR_UPDATE=1",
        path.display()
    );
}

#[test]
fn schema_of_cases_is_fresh() {
    is_committed::<CaseFile>("solver/schema/market-case.json");
}

#[test]
fn schema_of_results_is_fresh() {
    is_committed::<ResultFile>("solver/schema/market-result.json");
}

/// Every example is read, clears, and its result is read back as it was written.
#[test]
fn examples_are_what_they_claim() {
    let folder = repository("docs/examples/market");
    let mut read = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("\"market_case\"") {
            continue;
        }
        let file: CaseFile = serde_json::from_str(&text).unwrap();
        let network = match (&file.network, &file.network_file) {
            (Some(network), None) => serde_json::to_string(network).unwrap(),
            (None, Some(name)) => std::fs::read_to_string(folder.join(name)).unwrap(),
            _ => panic!("{}: one of network and network_file", path.display()),
        };
        let grid = Grid::new(&pgm_json::read(&network).unwrap()).unwrap();
        let units: Vec<Id> = file.case.units.iter().map(|of| of.id).collect();
        let result = file.clear(&grid, &units, &Names::default()).unwrap();
        assert_eq!(result.explanations.len(), units.len());
        let text = serde_json::to_string(&result).unwrap();
        assert_eq!(serde_json::from_str::<ResultFile>(&text).unwrap(), result);
        read += 1;
    }
    assert!(read > 0, "no example in {}", folder.display());
}
