//! Market cases as files: read or refused, cleared or said why not, and the result can be written.

#![no_main]

use fuzz::fuzz_target;
use solver::{
    market::clearing::{CaseFile, Names},
    network::{Grid, pgm_json},
};

fuzz_target!(|input: &[u8]| {
    let Ok(file) = serde_json::from_slice::<CaseFile>(input) else {
        return;
    };
    let Some(network) = &file.network else {
        return;
    };
    let network = serde_json::to_string(network).expect("what was read as JSON is written as JSON");
    let Ok(network) = pgm_json::read(&network) else {
        return;
    };
    let Ok(grid) = Grid::new(&network) else {
        return;
    };
    // What takes long is not what is looked for here.
    if network.node.len() > 20 || file.case.orders.len() > 20 || file.later.len() > 4 {
        return;
    }
    let explained: Vec<_> = file.case.units.iter().map(|unit| unit.id).collect();
    if let Ok(result) = file.clear(&grid, &explained, &Names::default()) {
        serde_json::to_string(&result).expect("a result can be written");
    }
});
