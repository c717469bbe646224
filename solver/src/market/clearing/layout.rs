//! Variables of a programme: where each is, and what an answer says of them.

use num_complex::Complex64;

use super::{
    limits::On,
    problem::{Problem, SourcePrice},
    programme::{Answer, At, Multipliers},
    rows::Entry,
};

/// Where each variable is.
pub(super) struct Layout {
    /// Number of real variables of voltages, which are the first.
    pub(super) voltages: usize,
    /// Of each block, unless it is held.
    block: Vec<Option<usize>>,
    /// The first of reactive powers.
    pub(super) q: usize,
    pub(super) source: usize,
    pub(super) import: Vec<Option<usize>>,
    /// Deviation of each source's reactive power from what is agreed on.
    pub(super) deviation: Vec<Option<usize>>,
    /// Cost of each voltage behind a unit, over the price scale.
    pub(super) cost: Vec<usize>,
    pub(super) excess: Vec<Option<usize>>,
    pub(super) len: usize,
}

impl Layout {
    pub(super) fn new(problem: &Problem<'_>, at: &At<'_>) -> Self {
        let voltages = 2 * problem.equations.variables;
        let mut len = voltages;
        let held = at.held.at.iter();
        let block = held.map(|held| place(&mut len, held.is_none())).collect();
        let q = len;
        let source = q + problem.reactive.len();
        len = source + 2 * problem.equations.sources.len();
        let mut next = |wanted: bool| place(&mut len, wanted);
        let spread = |of: &SourcePrice| of.import > of.export;
        let import = problem.sources.iter().map(|of| next(spread(of))).collect();
        let deviation = problem.sources.iter();
        let deviation = deviation.map(|of| next(of.reactive.is_some())).collect();
        let cost = len..len + problem.voltages.len();
        len = cost.end;
        let mut next = |wanted: bool| place(&mut len, wanted);
        let soft = at.penalty.is_some();
        let watched = at.watched.iter();
        let excess = watched.map(|&watched| next(soft && watched)).collect();
        Self {
            voltages,
            block,
            q,
            source,
            import,
            deviation,
            cost: cost.collect(),
            excess,
            len,
        }
    }

    /// Blocks that are variables, and which.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let all = self.block.iter().enumerate();
        all.filter_map(|(k, at)| Some((k, (*at)?)))
    }

    pub(super) fn read(
        &self,
        problem: &Problem<'_>,
        at: &At<'_>,
        (place, voltages): (&[Option<usize>], &[usize]),
        curvature: &[Entry],
        q: &[f64],
        x: &[f64],
        z: &[f64],
    ) -> Answer {
        let row = (0..problem.equations.rows)
            .map(|k| Complex64::new(z[2 * k], -z[2 * k + 1]))
            .collect();
        let (shadow, end) = of_limits(problem, place, z);
        let slack = problem.limits.iter().zip(&self.excess);
        let harm = slack
            .filter_map(|(limit, k)| Some(limit.weight * x[(*k)?].max(0.0)))
            .sum();
        let priced = self
            .excess
            .iter()
            .flatten()
            .min()
            .map_or(self.len, |&first| first);
        let cost: f64 = q[..priced].iter().zip(x).map(|(q, x)| q * x).sum();
        let form: f64 = curvature
            .iter()
            .map(|e| if e.row == e.column { 0.5 } else { 1.0 } * e.value * x[e.row] * x[e.column])
            .sum();
        let constant: f64 = problem.sources.iter().map(SourcePrice::constant).sum();
        debug_assert_eq!(at.watched.len(), problem.limits.len());
        let fill = self.block.iter().zip(at.held.fill());
        Answer {
            fill: fill.map(|(k, held)| k.map_or(held, |k| x[k])).collect(),
            q: problem.reactive_of_units(&x[self.q..self.source]),
            step: x[..self.voltages]
                .iter()
                .fold(0.0, |most, d| d.abs().max(most)),
            source: (problem.sources.iter())
                .map(|of| {
                    let each = of.at.clone().map(|k| self.source + 2 * k);
                    let sum: Complex64 = each.map(|k| Complex64::new(x[k], x[k + 1])).sum();
                    sum / problem.equations.phases as f64
                })
                .collect(),
            cost: cost + form + at.held.cost(problem) + constant,
            harm,
            multipliers: Multipliers { row, end },
            shadow,
            slope: (problem.voltages.iter().zip(voltages))
                .map(|(of, &first)| of.slope(first, z))
                .collect(),
        }
    }
}

/// Shadow prices of the limits, by their places among the rows, and what those of apparent powers weigh the
/// ends of links with.
fn of_limits(
    problem: &Problem<'_>,
    place: &[Option<usize>],
    z: &[f64],
) -> (Vec<f64>, Vec<(usize, usize, Complex64)>) {
    let mut end = Vec::new();
    let mut shadow = vec![0.0; problem.limits.len()];
    for (k, (limit, place)) in problem.limits.iter().zip(place).enumerate() {
        let Some(first) = *place else { continue };
        shadow[k] = z[first].max(0.0);
        if let On::Apparent(terminal) = limit.on {
            let weight = Complex64::new(-z[first + 1], z[first + 2]) / limit.norm;
            let ends = problem.equations.terminals[terminal].ends.iter();
            end.extend(ends.map(|&(link, side)| (link, side, weight)));
        }
    }
    (shadow, end)
}

/// The next variable, if one is wanted.
fn place(len: &mut usize, wanted: bool) -> Option<usize> {
    wanted.then(|| {
        *len += 1;
        *len - 1
    })
}
