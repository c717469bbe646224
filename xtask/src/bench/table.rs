//! What was measured, for people and for programs.

use serde_json::{Value, json};

use super::measure::{Calculation, Measured, Method, fastest};

/// One calculation on one network.
pub(super) struct Row {
    pub(super) nodes: u64,
    pub(super) meshed: bool,
    pub(super) calculation: Calculation,
    pub(super) measured: Measured,
}

impl Row {
    fn shape(&self) -> &'static str {
        if self.meshed { "meshed" } else { "radial" }
    }

    pub(super) fn line(&self) -> String {
        let side = |methods: &[Method]| match fastest(methods) {
            Some(m) => format!("{:>9.3} ms {:<18}", 1e3 * m.seconds(), m.name),
            None => "disagrees".to_owned(),
        };
        let (busbar, peer) = (side(&self.measured.busbar), side(&self.measured.peer));
        let (ratio, target) = (
            self.measured.ratio().unwrap_or(f64::NAN),
            self.calculation.target(),
        );
        let verdict = if ratio <= target { "" } else { "  above" };
        format!(
            "{:>6} {}  {:<28}{busbar}{peer}{ratio:>7.3} {target:>7.2}{verdict}",
            self.nodes,
            self.shape(),
            self.calculation.name(),
        )
    }

    fn json(&self) -> Value {
        let methods = |methods: &[Method]| {
            let methods = methods.iter().map(|m| {
                json!({"method": m.name, "median_s": m.seconds(), "samples": m.samples.len(),
                       "distance": m.distance, "error": m.error})
            });
            methods.collect::<Vec<Value>>()
        };
        json!({
            "calculation": self.calculation.name(), "nodes": self.nodes, "shape": self.shape(),
            "busbar": methods(&self.measured.busbar), "peer": methods(&self.measured.peer),
            "ratio": self.measured.ratio(), "target": self.calculation.target(),
            "agrees": self.measured.agrees(),
        })
    }
}

#[expect(clippy::print_stdout, reason = "the table is the bench's output")]
pub(super) fn print(rows: &[Row]) {
    println!(
        "\n {:>5} {:<7} {:<28}{:<31}{:<31}{:>6} {:>7}",
        "nodes", "shape", "calculation", "   Busbar", "   peer", "ratio", "at most"
    );
    for row in rows {
        println!("{}", row.line());
    }
    print_growth(rows);
    println!(
        "\nMedian thread-CPU time of a scenario in a batch, tolerance 1e-8. Peer: power-grid-model, all outputs\n\
         included; OpenDSS, the voltages only."
    );
    for row in rows {
        for (side, methods) in [
            ("Busbar", &row.measured.busbar),
            ("peer", &row.measured.peer),
        ] {
            for method in methods.iter().filter(|m| !m.is_right()) {
                let why = method
                    .error
                    .clone()
                    .unwrap_or_else(|| format!("{:.1e} away", method.distance));
                let (name, nodes, shape) = (row.calculation.name(), row.nodes, row.shape());
                println!("{side}'s {}, {name}, {nodes} {shape}: {why}", method.name);
            }
        }
    }
}

/// How much longer ten times the nodes may take.
const GROWTH: f64 = 12.0;

/// Busbar's time on about 10,000 nodes over that on about 1,000, as measured.
fn growth(rows: &[Row]) -> impl Iterator<Item = (&Row, f64)> {
    let about = |row: &Row, nodes: f64| (row.nodes as f64 / nodes - 1.0).abs() < 0.2;
    rows.iter().filter_map(move |large| {
        let alike = |row: &&Row| {
            about(row, 1e3) && row.meshed == large.meshed && row.calculation == large.calculation
        };
        let small = rows.iter().find(alike).filter(|_| about(large, 1e4))?;
        let seconds = |row: &Row| fastest(&row.measured.busbar).map(Method::seconds);
        Some((large, seconds(large)? / seconds(small)?))
    })
}

#[expect(clippy::print_stdout, reason = "the table is the bench's output")]
fn print_growth(rows: &[Row]) {
    let mut header = "\nBusbar's time, 10,000 nodes over 1,000, at most:\n";
    for (row, times) in growth(rows) {
        println!(
            "{header}        {}  {:<28}{times:>6.1} {GROWTH:>7.0}{}",
            row.shape(),
            row.calculation.name(),
            if times <= GROWTH { "" } else { "  above" },
        );
        header = "";
    }
}

pub(super) fn json(rows: &[Row]) -> Value {
    let grown = growth(rows).map(|(row, times)| {
        json!({"calculation": row.calculation.name(), "shape": row.shape(), "times": times,
               "target": GROWTH})
    });
    json!({
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "growth": grown.collect::<Vec<_>>(),
    })
}
