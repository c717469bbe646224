//! Case and result as files, so that anybody can check a clearing offline: `docs/market-case.md`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Award, Case, Clearing, ClearingError, Explanation, Horizon, Names, Options, PriceParts, clear,
    clear_horizon, explain, price_parts,
};
use crate::{
    market::{CallContract, Called, Calls, Kind, call::call_contracts},
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
    /// Calls of the DSO, of `case` and of those later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
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
    /// What called units would have been awarded without the calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_calls: Vec<Award>,
    /// What is paid for calls that bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallContract>,
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
        let mut cases = [std::slice::from_ref(&self.case), &self.later].concat();
        if let Some(calls) = &self.calls {
            calls.bind_later(&mut cases);
        }
        let without = self.clear_cases(grid, &cases)?;
        let calls = self.calls.as_ref();
        let without_calls = calls.map_or_else(Vec::new, |of| of.of_called(&without.0.awards));
        let binding = calls.filter(|of| !of.are_kept(&self.case, &without.0.awards));
        let (clearing, horizon) = match binding {
            Some(calls) => self.clear_called(grid, calls)?,
            None => without,
        };
        let paid = calls.map_or_else(Vec::new, |of| {
            call_contracts(&self.case, of, &clearing, &without_calls)
        });
        let price_parts = price_parts(grid, &self.case, &clearing)?;
        let explained = explained.iter().filter_map(|&unit| {
            let mut names = names.clone();
            let sentence = calls.and_then(|of| of.sentence(unit, &without_calls));
            names.called.extend(sentence.map(|text| (unit, text)));
            explain(&self.case, &clearing, &price_parts, unit, &names)
        });
        let explanations = explained.collect();
        Ok(ResultFile {
            version: self.version,
            kind: ResultType::MarketResult,
            explanations,
            without_calls,
            calls: paid,
            clearing,
            horizon,
            price_parts,
        })
    }

    /// By itself, or with those after it where there are any or something is scheduled.
    fn clear_cases(
        &self,
        grid: &Grid,
        cases: &[Case],
    ) -> Result<(Clearing, Option<Horizon>), ClearingError> {
        let couples = |kind: Kind| matches!(kind, Kind::Storage(_) | Kind::Window(_));
        let mut orders = cases[0].orders.iter();
        if cases.len() == 1 && !orders.any(|order| couples(order.terms.kind)) {
            return Ok((clear(grid, &cases[0], &self.options)?, None));
        }
        let horizon = clear_horizon(grid, cases, &self.options)?;
        Ok((horizon.intervals[0].clone(), Some(horizon)))
    }

    /// With the calls of `case` in it.
    fn clear_called(
        &self,
        grid: &Grid,
        calls: &Calls,
    ) -> Result<(Clearing, Option<Horizon>), ClearingError> {
        let called = Called::new(&self.case, &calls.orders, calls, &BTreeSet::new());
        let mut cases = [std::slice::from_ref(&called.case), &self.later].concat();
        calls.bind_later(&mut cases);
        let (mut clearing, mut horizon) = self.clear_cases(grid, &cases)?;
        called.restore(&self.case, &mut clearing);
        if let Some(of) = &mut horizon {
            of.intervals[0] = clearing.clone();
        }
        Ok((clearing, horizon))
    }
}
