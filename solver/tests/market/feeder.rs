//! Cases that the tests share.

use serde::Deserialize;
use solver::{
    market::clearing::Case,
    network::{Grid, pgm_json},
};

const NETWORK: &str = include_str!("../data/opf/cigre_mv_network.json");
const DER_ALL: &str = include_str!("../data/opf/cigre_mv_der_all.json");
const DER_X5: &str = include_str!("../data/opf/cigre_mv_der_x5_load0.3.json");

/// A case with the optimum another tool found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    pub(crate) about: String,
    pub(crate) case: Case,
    pub(crate) expected: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) cost_per_h: f64,
    pub(crate) import_mw: f64,
    pub(crate) import_mvar: f64,
    pub(crate) u_min_pu: f64,
    pub(crate) u_max_pu: f64,
    pub(crate) units: Vec<ExpectedUnit>,
    pub(crate) prices: Vec<ExpectedPrice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedUnit {
    pub(crate) unit: i32,
    pub(crate) p_mw: f64,
    #[serde(default)]
    pub(crate) q_mvar: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedPrice {
    pub(crate) node: i32,
    pub(crate) p: f64,
    pub(crate) q: f64,
}

/// The CIGRE medium-voltage network, without appliances.
pub(crate) fn network() -> Grid {
    Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap()
}

/// DER as published: nothing binds.
pub(crate) fn der_all() -> Reference {
    serde_json::from_str(DER_ALL).unwrap()
}

/// DER x 5, loads x 0.3: voltage and a line current bind.
pub(crate) fn stressed() -> Reference {
    serde_json::from_str(DER_X5).unwrap()
}
