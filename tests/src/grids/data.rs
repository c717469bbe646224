//! A data set of power-grid-model's JSON under construction.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Tables of components, and the ids given so far.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// Rows by component.
    pub tables: BTreeMap<String, Vec<Value>>,
    next_id: i32,
}

impl Data {
    /// Adds a component; its id.
    pub fn add(&mut self, component: &str, mut attributes: Value) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        attributes["id"] = json!(id);
        self.tables
            .entry(component.to_owned())
            .or_default()
            .push(attributes);
        id
    }

    /// Rows of a component.
    #[must_use]
    pub fn rows(&self, component: &str) -> &[Value] {
        self.tables.get(component).map_or(&[], Vec::as_slice)
    }

    /// Reads an `input` data set that was made here.
    ///
    /// # Errors
    /// It is not one.
    pub fn read(input: &str) -> Result<Self> {
        let mut document: Value = serde_json::from_str(input)?;
        let tables: BTreeMap<String, Vec<Value>> = serde_json::from_value(document["data"].take())?;
        let ids = tables.values().flatten().map(|row| row["id"].as_i64());
        let last = ids
            .max()
            .flatten()
            .context("a network without components")?;
        Ok(Self {
            tables,
            next_id: i32::try_from(last)? + 1,
        })
    }

    /// As an `input` data set in which the sensors read what the first scenario of `update` says.
    ///
    /// # Errors
    /// It has none.
    pub fn read_as(&self, update: &str) -> Result<String> {
        let update: Value = serde_json::from_str(update)?;
        let scenario = update["data"][0].as_object().context("no scenario")?;
        let mut read = self.clone();
        for (component, readings) in scenario {
            let rows = read.tables.get_mut(component).into_iter().flatten();
            for (row, reading) in rows.zip(readings.as_array().into_iter().flatten()) {
                for (attribute, value) in reading.as_object().into_iter().flatten() {
                    row[attribute] = value.clone();
                }
            }
        }
        Ok(read.input())
    }

    /// As an `input` data set.
    #[must_use]
    pub fn input(&self) -> String {
        document("input", false, json!(self.tables))
    }
}

/// An `update` data set of these scenarios.
#[must_use]
pub(super) fn update(scenarios: Vec<Map<String, Value>>) -> String {
    document("update", true, json!(scenarios))
}

fn document(kind: &str, is_batch: bool, data: Value) -> String {
    let document = json!({
        "version": "1.0", "type": kind, "is_batch": is_batch, "attributes": {}, "data": data,
    });
    document.to_string()
}
