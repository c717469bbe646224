//! What the simulator's physics says: the truth that the appliance never sees.

use serde_json::Value;

/// One step of the simulator's history.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// UTC, ms since 1970.
    pub t_unix_ms: i64,
    /// Highest voltage, pu.
    pub u_max: f64,
    /// Lowest voltage, pu.
    pub u_min: f64,
    /// Highest loading of a line or transformer, 1 is full.
    pub loading_max: f64,
}

/// The rows of `GET /history`.
#[must_use]
pub fn rows(history: &Value) -> Vec<Row> {
    let rows = history["rows"].as_array().or_else(|| history.as_array());
    rows.into_iter()
        .flatten()
        .filter_map(|row| {
            Some(Row {
                t_unix_ms: row["t_unix_ms"].as_i64()?,
                u_max: row["u_max"].as_f64()?,
                u_min: row["u_min"].as_f64()?,
                loading_max: row["loading_max"].as_f64()?,
            })
        })
        .collect()
}

/// Extremes over the rows from `since_ms` on.
#[must_use]
pub fn extremes(rows: &[Row], since_ms: i64) -> Option<Row> {
    rows.iter()
        .filter(|row| row.t_unix_ms >= since_ms)
        .copied()
        .reduce(|a, b| Row {
            t_unix_ms: b.t_unix_ms,
            u_max: a.u_max.max(b.u_max),
            u_min: a.u_min.min(b.u_min),
            loading_max: a.loading_max.max(b.loading_max),
        })
}
