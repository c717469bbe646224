//! What the meters of a site by phase read, and how its feeder is told what units and loads do.

use edge::site::{BayOf, Shares, Site};
use num_complex::Complex64;
use protocols::point::{DeviceId, Value};
use solver::{
    network::{Grid, Id, Side},
    powerflow::{AsymOutput, AsymPowerFlow, Options},
};

/// The feeder, solved by phase.
pub(crate) struct Solved {
    pub(crate) output: AsymOutput,
    /// Voltage of each node in each phase, pu; zero where there is none.
    pub(crate) u: Vec<[f64; 3]>,
}

pub(crate) fn solve(grid: &Grid) -> Solved {
    let mut flow = AsymPowerFlow::new(grid).unwrap();
    let solution = flow.run(grid, None, &Options::default()).unwrap();
    Solved {
        output: AsymOutput::new(grid, flow.phases(), &solution),
        u: solution.u.iter().map(|u| u.map(|u| u.norm())).collect(),
    }
}

/// Sets a power by the shares of its phases.
pub(crate) fn set(grid: &mut Grid, id: Id, (p, q): (f64, f64), shares: &Shares) {
    let of = |power: f64, shares: [f64; 3]| shares.map(|share| share * power);
    grid.set_appliance_by_phase(id, of(p, shares.p), of(q, shares.q))
        .or_else(|_| grid.set_appliance(id, p, q))
        .unwrap();
}

/// What bays read of each phase, and units of the voltage at their terminals as a SunSpec device shows it.
pub(crate) fn readings(
    site: &Site,
    grid: &Grid,
    solved: &Solved,
) -> Vec<(DeviceId, String, Value)> {
    let mut readings = Vec::new();
    let volts = |node: usize| solved.u[node].map(|u| u * grid.u_rated[node] / 3_f64.sqrt());
    for device in &site.devices {
        let mut say = |name: String, value: f64| {
            readings.push((device.id.clone(), name, Value::Analog(value)));
        };
        for bay in &device.bays {
            let BayOf::Branch { branch, side } = bay.of else {
                panic!("by phase, bays of this bench are at branches");
            };
            let lines = solved.output.asym_line.iter();
            let of = lines
                .chain(&solved.output.transformer)
                .find(|of| of.id == branch);
            let of = of.unwrap();
            let ends = &grid.branches[grid.index_of_branch(branch).unwrap()];
            let (node, p, q, i) = match side {
                Side::From => (ends.from, of.p_from, of.q_from, of.i_from),
                Side::To => (ends.to, of.p_to, of.q_to, of.i_to),
            };
            for (k, letter) in ["a", "b", "c"]
                .into_iter()
                .enumerate()
                .filter(|(k, _)| ends.phases[*k])
            {
                let number = bay.number;
                say(format!("bay{number}_u_{letter}"), volts(node)[k]);
                say(format!("bay{number}_p_{letter}"), p[k]);
                say(format!("bay{number}_q_{letter}"), q[k]);
                say(format!("bay{number}_i_{letter}"), i[k]);
            }
        }
        if let Some(unit) = site.units.iter().find(|u| u.device == device.id) {
            let u = volts(grid.index_of_node(unit.node).unwrap());
            // Line to line, or what that would be of the one phase.
            let shown = match unit.phase {
                Some(phase) => u[phase.index()] * 3_f64.sqrt(),
                None => line_to_line(grid, solved, unit.node),
            };
            say("u".to_owned(), shown);
        }
    }
    readings
}

/// The mean of the voltages between phases, V.
fn line_to_line(grid: &Grid, solved: &Solved, node: Id) -> f64 {
    let of = solved.output.node.iter().find(|of| of.id == node).unwrap();
    let phases: Vec<Complex64> = (0..3)
        .map(|k| Complex64::from_polar(of.u[k], of.u_angle[k]))
        .collect();
    assert!(grid.index_of_node(node).is_some());
    (0..3)
        .map(|k| (phases[k] - phases[(k + 1) % 3]).norm())
        .sum::<f64>()
        / 3.0
}
