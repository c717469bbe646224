//! What is known of each node's injection from its appliances, sources and node sensors, and each
//! appliance's share of what is found.
//!
//! Appliances are no unknowns of the fast fit: the best estimate of a sum of independent quantities
//! has the sum of their values and variances, and what the network adds to it goes back to them in
//! proportion to their variances. That is the optimum of the whole.

use num_complex::Complex64;

use super::augmented::Gauss;
use super::equation::{Model, Part, What};
use super::problem::{Observation, appliance_is_live};

/// Active and reactive power.
type Power = [Gauss; 2];

/// What is known, in grid order, by phase. Per unit, generation-positive.
#[derive(Clone, Debug)]
pub(super) struct Injections<const P: usize> {
    /// Each appliance, and source among them; zero where it is not connected.
    appliances: Vec<[Power; P]>,
    /// The first source of each node; zero where there is none.
    infeeds: Vec<[Power; P]>,
    /// What sensors of nodes say.
    sensors: Vec<[Power; P]>,
    /// All appliances and sources of each node.
    sums: Vec<[Power; P]>,
    /// How many of these are not measured.
    unmeasured: Vec<[[u32; 2]; P]>,
    /// Node of each appliance.
    node: Vec<usize>,
}

/// Of which a value is a part, and how much it counts among those measuring the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contribution {
    of: Of,
    phase: usize,
    part: usize,
    share: f64,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Appliance(usize),
    Infeed(usize),
    Sensor(usize),
}

impl Contribution {
    /// None when the observation is of something else.
    pub(super) fn of(observation: &Observation) -> Option<Self> {
        let (of, part) = match observation.target.what {
            What::Appliance(k, part) => (Of::Appliance(k), part),
            What::Infeed(node, part) => (Of::Infeed(node), part),
            What::Injection(node, part) => (Of::Sensor(node), part),
            _ => return None,
        };
        Some(Self {
            of,
            phase: observation.target.phase,
            part: usize::from(part == Part::Q),
            share: 1.0,
        })
    }
}

impl<const P: usize> Injections<P> {
    /// Nothing is measured yet.
    pub(super) fn new(model: Model<'_>) -> Self {
        let Model { grid, layout, .. } = model;
        let nodes = grid.node_id.len();
        let known = |live: bool| [if live { Gauss::UNKNOWN } else { Gauss::ZERO }; 2];
        let infeed = |node| [known(layout.feeds(grid, node)); P];
        Self {
            appliances: (0..layout.appliances)
                .map(|a| std::array::from_fn(|p| known(appliance_is_live(model, a, p))))
                .collect(),
            infeeds: (0..nodes).map(infeed).collect(),
            sensors: vec![[known(true); P]; nodes],
            sums: vec![[[Gauss::ZERO; 2]; P]; nodes],
            unmeasured: vec![[[0; 2]; P]; nodes],
            node: (0..layout.appliances)
                .map(|a| layout.node_of(grid, a))
                .collect(),
        }
    }

    fn at(&mut self, c: &Contribution) -> &mut Gauss {
        let table = match c.of {
            Of::Appliance(k) => &mut self.appliances[k],
            Of::Infeed(node) => &mut self.infeeds[node],
            Of::Sensor(node) => &mut self.sensors[node],
        };
        &mut table[c.phase][c.part]
    }

    /// Takes note that this is measured.
    pub(super) fn announce(&mut self, c: &Contribution, weight: f64) {
        let known = self.at(c);
        known.variance = 1.0 / (weight + known.variance.recip());
    }

    /// Counts what is not measured, all being announced.
    pub(super) fn count(&mut self) {
        let own = self.appliances.iter().zip(self.node.iter().copied());
        for (summand, node) in own.chain(self.infeeds.iter().zip(0..)) {
            let count = self.unmeasured[node].as_flattened_mut();
            for (count, known) in count.iter_mut().zip(summand.as_flattened()) {
                *count += u32::from(known.variance == f64::INFINITY);
            }
        }
    }

    /// Powers that no measurement tells from others of their node.
    pub(super) fn indistinct(&self) -> usize {
        let counts = self.unmeasured.as_flattened().as_flattened().iter();
        counts.map(|&count| count.saturating_sub(1) as usize).sum()
    }

    /// How much a value counts, all being announced.
    pub(super) fn settle(&mut self, c: &mut Contribution, weight: f64) {
        let variance = self.at(c).variance;
        // A weight of nothing counts for nothing.
        c.share = if variance < f64::INFINITY {
            weight * variance
        } else {
            0.0
        };
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        for table in [&mut self.appliances, &mut self.infeeds, &mut self.sensors] {
            for known in table.as_flattened_mut().as_flattened_mut() {
                known.value = 0.0;
            }
        }
    }

    /// Takes in a value.
    pub(super) fn add(&mut self, c: &Contribution, value: f64) {
        self.at(c).value += c.share * value;
    }

    /// What is known of each node's injection, to its place in `into`.
    pub(super) fn combine(&mut self, place: &[usize], into: &mut [[Power; P]]) {
        self.sums.copy_from_slice(&self.infeeds);
        for (own, &node) in self.appliances.iter().zip(&self.node) {
            let sum = self.sums[node].as_flattened_mut();
            for (sum, own) in sum.iter_mut().zip(own.as_flattened()) {
                sum.value += own.value;
                sum.variance += own.variance;
            }
        }
        for ((sum, sensor), &place) in self.sums.iter().zip(&self.sensors).zip(place) {
            let all = sum.as_flattened().iter().zip(sensor.as_flattened());
            for (into, (sum, sensor)) in into[place].as_flattened_mut().iter_mut().zip(all) {
                *into = both(sum, sensor);
            }
        }
    }

    /// Powers of the appliances that fit best to these powers injected at nodes.
    pub(super) fn appliances(
        &self,
        injected: impl Fn(usize) -> [Complex64; P],
    ) -> impl Iterator<Item = [Complex64; P]> {
        (self.appliances.iter().zip(&self.node)).map(move |(own, &node)| {
            let injected = injected(node);
            std::array::from_fn(|p| {
                let part = |part: usize, of_node: f64| {
                    let among = self.unmeasured[node][p][part];
                    share(&own[p][part], &self.sums[node][p][part], of_node, among)
                };
                Complex64::new(part(0, injected[p].re), part(1, injected[p].im))
            })
        })
    }
}

/// Two independent observations of the same as one.
fn both(a: &Gauss, b: &Gauss) -> Gauss {
    match (a.variance, b.variance) {
        (_, f64::INFINITY) | (0.0, _) => *a,
        (f64::INFINITY, _) => *b,
        (a_variance, b_variance) => {
            let of_b = a_variance / (a_variance + b_variance);
            Gauss {
                value: a.value + of_b * (b.value - a.value),
                variance: of_b * b_variance,
            }
        }
    }
}

/// A summand's part when their sum is found to be `found`; what is left goes to the unmeasured.
fn share(own: &Gauss, sum: &Gauss, found: f64, unmeasured: u32) -> f64 {
    if own.variance == 0.0 {
        own.value
    } else if sum.variance < f64::INFINITY {
        own.value + (found - sum.value) * own.variance / sum.variance
    } else if own.variance < f64::INFINITY {
        own.value
    } else {
        (found - sum.value) / f64::from(unmeasured)
    }
}
