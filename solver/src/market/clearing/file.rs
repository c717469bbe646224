//! Case and result as files, so that anybody can check a clearing offline: `docs/market-case.md`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Case, Clearing, ClearingError, Explanation, Horizon, Names, Options, PriceParts, clear,
    clear_horizon, explain, price_parts,
};
use crate::{
    market::Kind,
    network::{Grid, Id},
};

/// Version of the files' format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FileVersion {
    /// The first.
    #[default]
    #[serde(rename = "1.0")]
    V1,
}

/// What a case file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaseType {
    /// A market case.
    #[default]
    #[serde(rename = "market_case")]
    MarketCase,
}

/// What a result file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResultType {
    /// A market result.
    #[default]
    #[serde(rename = "market_result")]
    MarketResult,
}

/// A case to clear, with its network. One of `network` and `network_file` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// Version of this format.
    pub version: FileVersion,
    /// What this file is.
    #[serde(rename = "type")]
    pub kind: CaseType,
    /// The network: an `input` data set of power-grid-model's JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Map<String, Value>>,
    /// The network, in a file of its own; a path from the case file's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_file: Option<String>,
    /// What is to be cleared.
    pub case: Case,
    /// Intervals after it, looked ahead at for stores and windows; at most 95.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<Case>,
    /// How hard to try.
    #[serde(default)]
    pub options: Options,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultFile {
    /// Version of this format.
    pub version: FileVersion,
    /// What this file is.
    #[serde(rename = "type")]
    pub kind: ResultType,
    /// Awards, prices and checks.
    pub clearing: Clearing,
    /// Where there are later intervals, stores or windows: all intervals (the first is `clearing`), and
    /// what stores and windows do when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<Horizon>,
    /// What each price is made of, in the network's order of nodes.
    pub price_parts: Vec<PriceParts>,
    /// Why it came so, of the units that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explanations: Vec<Explanation>,
}

impl CaseFile {
    /// Clears it, and explains some units' awards. `grid` is that of its network.
    ///
    /// # Errors
    /// As of [`clear`] and [`clear_horizon`].
    pub fn clear(
        &self,
        grid: &Grid,
        explained: &[Id],
        names: &Names,
    ) -> Result<ResultFile, ClearingError> {
        let couples = |kind: Kind| matches!(kind, Kind::Storage(_) | Kind::Window(_));
        let mut orders = self.case.orders.iter();
        let (clearing, horizon) =
            if self.later.is_empty() && !orders.any(|order| couples(order.terms.kind)) {
                (clear(grid, &self.case, &self.options)?, None)
            } else {
                let cases = [std::slice::from_ref(&self.case), &self.later].concat();
                let horizon = clear_horizon(grid, &cases, &self.options)?;
                (horizon.intervals[0].clone(), Some(horizon))
            };
        let price_parts = price_parts(grid, &self.case, &clearing)?;
        let explained = explained.iter();
        let explanations =
            explained.filter_map(|&unit| explain(&self.case, &clearing, &price_parts, unit, names));
        Ok(ResultFile {
            version: self.version,
            kind: ResultType::MarketResult,
            explanations: explanations.collect(),
            clearing,
            horizon,
            price_parts,
        })
    }
}
