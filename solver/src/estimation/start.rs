//! Where the iteration begins when nothing is known: the network with its measured injections as
//! constant impedances and its sources at their own voltages. One linear problem, which takes
//! regulators, taps and long feeders out of the first steps of the iteration.

use num_complex::Complex64;

use super::equation::{Model, Part, Row, State, What};
use super::factor::{Factor, Weight};
use super::problem::Observation;

/// A start with a voltage outside these, pu, is none: some measured power is out of this world.
const USABLE: std::ops::Range<f64> = 0.5..1.5;

/// Moves a state without load to the linear network's voltages.
pub(super) fn linear(
    model: Model<'_>,
    observations: &[Observation],
    factor: &mut Factor,
    state: &mut State,
) {
    let (grid, layout) = (model.grid, model.layout);
    let injected = injections(model, observations, state);
    let mut is_source = vec![false; grid.node_id.len()];
    for source in grid.sources.iter().filter(|s| s.closed) {
        is_source[source.node] = true;
        for phase in model
            .phases()
            .filter(|&phase| model.is_live(source.node, phase))
        {
            let u = &mut state.u[model.at(source.node, phase)];
            *u *= source.u_ref.norm() / u.norm();
        }
    }
    factor.clear();
    let (mut real, mut imaginary) = (Row::new(), Row::new());
    for node in 0..grid.node_id.len() {
        for phase in model.phases() {
            if is_source[node] || !model.is_live(node, phase) {
                for column in [layout.theta(node, phase), layout.v(node, phase)] {
                    factor.add(&[(column, 1.0)], 0.0, Weight::Exact);
                }
                continue;
            }
            let u = state.u[model.at(node, phase)];
            let load = -injected[model.at(node, phase)].conj() / u.norm_sqr();
            let rows = [&mut real, &mut imaginary];
            let missing = model.balance(node, phase, load, state, rows);
            factor.add(&real, -missing.re, Weight::Exact);
            factor.add(&imaginary, -missing.im, Weight::Exact);
        }
    }
    factor.factorise(&layout.pattern);
    let mut step = vec![0.0; layout.pattern.len()];
    factor.solve(&layout.pattern, &mut step);
    let moved: Vec<Complex64> = (state.u.iter().enumerate())
        .map(|(at, u)| {
            let (node, phase) = (at / layout.phases, at % layout.phases);
            // The balance of currents is linear in this, not in magnitude and angle.
            u * Complex64::new(
                1.0 + step[layout.v(node, phase)],
                step[layout.theta(node, phase)],
            )
        })
        .collect();
    let usable = |u: &Complex64| *u == Complex64::ZERO || USABLE.contains(&u.norm());
    if moved.iter().all(usable) {
        state.u = moved;
    }
}

/// What is measured of each node's injection, else what its appliances do in `state`; nothing
/// where there are none, whatever is measured.
fn injections(model: Model<'_>, observations: &[Observation], state: &State) -> Vec<Complex64> {
    let mut injected = vec![Complex64::ZERO; state.u.len()];
    for (appliance, a) in model.grid.appliances.iter().enumerate() {
        for phase in model.phases() {
            injected[model.at(a.node, phase)] += state.s[model.at(appliance, phase)];
        }
    }
    for observation in observations {
        if let What::Injection(node, part) = observation.target.what
            && !model.layout.appliances_at[node].is_empty()
        {
            let s = &mut injected[model.at(node, observation.target.phase)];
            match part {
                Part::P => s.re = observation.value,
                Part::Q => s.im = observation.value,
            }
        }
    }
    injected
}
