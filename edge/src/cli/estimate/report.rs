//! What an estimate found, as JSON with power-grid-model's names.

use serde_json::{Map, Value, json};
use solver::{
    estimation::{
        EndEstimate, Estimate, EstimationError, Form, Options, Phase, Quantity, Suspicion,
        UnusedReason,
    },
    network::{BranchKind, Grid, Id, Side},
};

use super::places::{Places, grouped};

/// What came of one scenario.
pub(super) struct Outcome {
    /// The report.
    pub(super) report: Value,
}

impl Outcome {
    /// There is an answer, for all of the network.
    pub(super) fn is_solved(&self) -> bool {
        self.report["status"] == "solved"
    }

    pub(super) fn not_converged(places: &Places<'_>, error: &EstimationError) -> Self {
        let missing = match error {
            EstimationError::NotConverged { missing, .. } => missing.as_slice(),
            _ => &[],
        };
        let parts = match missing.is_empty() {
            true => json!([]),
            false => json!([{"nodes": [], "sensors_that_would_help": grouped(places, missing)}]),
        };
        let report = json!({
            "status": "not_converged",
            "error": error.to_string(),
            "measurements": places.count(),
            "unobservable_parts": parts,
        });
        Self { report }
    }

    pub(super) fn estimated<F: Form>(
        grid: &Grid,
        places: &Places<'_>,
        estimate: &Estimate<F>,
        options: &Options,
    ) -> Self {
        let status = match estimate.unobservable.is_empty() {
            true => "solved",
            false => "not_observable",
        };
        let missing = estimate.missing.iter().map(|part| {
            let sensors = grouped(places, &part.sensors);
            json!({"nodes": part.nodes, "sensors_that_would_help": sensors})
        });
        let critical = (estimate.critical.iter())
            .map(|&index| Value::Object(places.measurement(index, Phase::Sym)));
        let unused = estimate.unused.iter().map(|unused| {
            let mut place = places.measurement(unused.index, Phase::Sym);
            place.insert("reason".into(), reason(unused.reason).into());
            Value::Object(place)
        });
        let report = json!({
            "status": status,
            "iterations": estimate.iterations,
            "gradient_norm": estimate.gradient_norm,
            "measurements": places.count(),
            "objective": estimate.objective,
            "chi_square": {
                "degrees_of_freedom": estimate.degrees_of_freedom,
                "confidence": options.confidence,
                "threshold": estimate.chi_square_threshold,
                "passed": estimate.passed,
            },
            "normalised_residual_threshold": estimate.residual_threshold,
            "bad_data": bad_data(places, estimate),
            "suspected_switch": switch(places, estimate),
            "unobservable_nodes": estimate.unobservable,
            "unobservable_parts": missing.collect::<Value>(),
            "critical": critical.collect::<Value>(),
            "unused": unused.collect::<Value>(),
            "standard_deviations": sigmas(grid, places, estimate),
        });
        Self { report }
    }
}

fn bad_data<F: Form>(places: &Places<'_>, estimate: &Estimate<F>) -> Value {
    let bad = estimate.rejected.iter().map(|rejected| {
        let mut place = places.measurement(rejected.index, rejected.phase);
        let ambiguous = (rejected.ambiguous_with.iter())
            .map(|&index| Value::Object(places.measurement(index, Phase::Sym)));
        let (suspicion, factor) = match rejected.suspicion {
            Suspicion::SignFlipped => ("sign_flipped", None),
            Suspicion::ScaleFactor(factor) => ("scale_factor", Some(factor)),
            Suspicion::GrossError => ("gross_error", None),
        };
        for (name, value) in [
            ("suspicion", json!(suspicion)),
            ("scale_factor", json!(factor)),
            ("measured", json!(rejected.measured)),
            ("estimated", json!(rejected.estimated.map(|q| q.value))),
            (
                "estimated_sigma",
                json!(rejected.estimated.map(|q| q.sigma)),
            ),
            ("normalised_residual", json!(rejected.normalised_residual)),
            ("threshold", json!(rejected.threshold)),
            ("ambiguous_with", ambiguous.collect()),
            ("text", json!(rejected.to_string())),
        ] {
            place.insert(name.into(), value);
        }
        Value::Object(place)
    });
    bad.collect()
}

fn switch<F: Form>(places: &Places<'_>, estimate: &Estimate<F>) -> Value {
    let switch = estimate.suspected_switch.as_ref().map(|s| {
        let side = s.side.map(|side| match side {
            Side::From => "from",
            Side::To => "to",
        });
        json!({
            "branch": s.branch,
            "branch_type": places.table(s.branch),
            "side": side,
            "modelled": match s.modelled_closed {
                true => "closed",
                false => "open",
            },
            "objective_before": s.objective_before,
            "objective_after": s.objective_after,
            "ambiguous_with": s.ambiguous_with,
            "text": s.to_string(),
        })
    });
    json!(switch)
}

fn reason(reason: UnusedReason) -> &'static str {
    match reason {
        UnusedReason::NotFinite => "not_finite",
        UnusedReason::NotEnergised => "not_energised",
        UnusedReason::CurrentBelowNoise => "current_below_noise",
    }
}

/// Of a quantity: one, or one for each phase; null where not observable.
fn sigma<F: Form>(values: &F::Of<Option<Quantity>>) -> Value {
    each::<F>(|phase| F::phase(values, phase).map(|quantity| quantity.sigma))
}

fn each<F: Form>(of: impl FnMut(usize) -> Option<f64>) -> Value {
    let values: Vec<Option<f64>> = (0..F::PHASES).map(of).collect();
    match values.as_slice() {
        [only] => json!(only),
        _ => json!(values),
    }
}

/// Standard deviations by component table, attributes named as in the answer.
fn sigmas<F: Form>(grid: &Grid, places: &Places<'_>, estimate: &Estimate<F>) -> Value {
    let mut tables = Map::new();
    let mut add = |table: &str, row: Value| {
        let rows = tables.entry(table).or_insert_with(|| json!([]));
        if let Value::Array(rows) = rows {
            rows.push(row);
        }
    };
    // The inner nodes of three-winding transformers are no nodes of the file.
    let nodes = estimate.nodes.iter().take(grid.network().node.len());
    for node in nodes {
        let row = json!({
            "id": node.id,
            "u": sigma::<F>(&node.u),
            "u_angle": sigma::<F>(&node.angle),
            "p": sigma::<F>(&node.p),
            "q": sigma::<F>(&node.q),
        });
        add("node", row);
    }
    let mut arms: Vec<(Id, Map<String, Value>)> = Vec::new();
    for (branch, b) in estimate.branches.iter().zip(&grid.branches) {
        if b.kind == BranchKind::ThreeWinding {
            if arms.last().is_none_or(|arm| arm.0 != branch.id) {
                arms.push((branch.id, Map::from_iter([("id".into(), branch.id.into())])));
            }
            let Some((_, row)) = arms.last_mut() else {
                continue;
            };
            // Id and three attributes for each side before this one.
            let side = (row.len() - 1) / 3 + 1;
            add_end::<F>(row, &side.to_string(), &branch.from);
        } else {
            let mut row = Map::from_iter([("id".into(), branch.id.into())]);
            add_end::<F>(&mut row, "from", &branch.from);
            add_end::<F>(&mut row, "to", &branch.to);
            add(b.kind.name(), row.into());
        }
    }
    for (_, row) in arms {
        add(BranchKind::ThreeWinding.name(), row.into());
    }
    let appliances = estimate.appliances.iter().map(|a| (a.id, &a.p, &a.q));
    let sources = estimate.sources.iter().map(|s| (s.id, &s.p, &s.q));
    for (id, p, q) in appliances.chain(sources) {
        let row = json!({"id": id, "p": sigma::<F>(p), "q": sigma::<F>(q)});
        add(places.table(id), row);
    }
    Value::Object(tables)
}

fn add_end<F: Form>(row: &mut Map<String, Value>, side: &str, end: &F::Of<Option<EndEstimate>>) {
    for (k, name) in ["p", "q", "i"].into_iter().enumerate() {
        let quantity = |end: EndEstimate| [end.p, end.q, end.i][k];
        let values = each::<F>(|phase| F::phase(end, phase).map(|end| quantity(end).sigma));
        row.insert(format!("{name}_{side}"), values);
    }
}
