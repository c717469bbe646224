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

/// A number of active and one of reactive power, by phase.
type Powers<const P: usize, T = f64> = [[T; 2]; P];

/// What is known, in grid order, by phase. Per unit, generation-positive.
///
/// Values come every second, how exact they are seldom: they are kept apart.
#[derive(Clone, Debug)]
pub(super) struct Injections<const P: usize> {
    values: Known<P>,
    /// Zero where it is not connected or there is none, infinite where it is not measured.
    variances: Known<P>,
    /// Value and variance of all appliances and sources of each node.
    sums: Vec<Powers<P>>,
    sum_variances: Vec<Powers<P>>,
    /// How much a node's sensors count beside the sum.
    of_sensor: Vec<Powers<P>>,
    /// How much of what is found beyond a node's sum goes to each appliance.
    takes: Vec<Powers<P>>,
    /// How many of the summands are not measured.
    unmeasured: Vec<Powers<P, u32>>,
    /// Node of each appliance.
    node: Vec<usize>,
    /// Nodes where sources' or sensors' values come in: few.
    beyond: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Known<const P: usize> {
    /// Each appliance, and source among them.
    appliances: Vec<Powers<P>>,
    /// The first source of each node.
    infeeds: Vec<Powers<P>>,
    /// What sensors of nodes say.
    sensors: Vec<Powers<P>>,
}

/// Of which a value is a part, and how much it counts among those measuring the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contribution {
    of: Of,
    /// Appliance or node, phase and part as one number.
    at: u32,
    share: f64,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Appliance,
    Infeed,
    Sensor,
}

impl Contribution {
    /// None when the observation is of something else; there are `phases`.
    pub(super) fn of(observation: &Observation, phases: usize) -> Option<Self> {
        let (of, k, part) = match observation.target.what {
            What::Appliance(k, part) => (Of::Appliance, k, part),
            What::Infeed(node, part) => (Of::Infeed, node, part),
            What::Injection(node, part) => (Of::Sensor, node, part),
            _ => return None,
        };
        let at = 2 * (phases * k + observation.target.phase) + usize::from(part == Part::Q);
        Some(Self {
            of,
            at: u32::try_from(at).expect("fewer than 2^32 powers: they fit in memory"),
            share: 1.0,
        })
    }
}

impl<const P: usize> Known<P> {
    fn at(&mut self, c: &Contribution) -> &mut f64 {
        let table = match c.of {
            Of::Appliance => &mut self.appliances,
            Of::Infeed => &mut self.infeeds,
            Of::Sensor => &mut self.sensors,
        };
        &mut table.as_flattened_mut().as_flattened_mut()[c.at as usize]
    }
}

impl<const P: usize> Injections<P> {
    /// Nothing is measured yet.
    pub(super) fn new(model: Model<'_>) -> Self {
        let Model { grid, layout, .. } = model;
        let nodes = grid.node_id.len();
        let known = |live: bool| [if live { f64::INFINITY } else { 0.0 }; 2];
        let of_appliance = |a| std::array::from_fn(|p| known(appliance_is_live(model, a, p)));
        let variances = Known {
            appliances: (0..layout.appliances).map(of_appliance).collect(),
            infeeds: (0..nodes)
                .map(|node| [known(layout.feeds(grid, node)); P])
                .collect(),
            sensors: vec![[known(true); P]; nodes],
        };
        let zero = vec![[[0.0; 2]; P]; nodes];
        Self {
            values: Known {
                appliances: vec![[[0.0; 2]; P]; layout.appliances],
                infeeds: zero.clone(),
                sensors: zero.clone(),
            },
            variances,
            sums: zero.clone(),
            sum_variances: zero.clone(),
            of_sensor: zero,
            takes: vec![[[0.0; 2]; P]; layout.appliances],
            unmeasured: vec![[[0; 2]; P]; nodes],
            node: (0..layout.appliances)
                .map(|a| layout.node_of(grid, a))
                .collect(),
            beyond: Vec::new(),
        }
    }

    /// Takes note that this is measured.
    pub(super) fn announce(&mut self, c: &Contribution, weight: f64) {
        let variance = self.variances.at(c);
        *variance = 1.0 / (weight + variance.recip());
        if let Of::Infeed | Of::Sensor = c.of {
            self.beyond.push(c.at as usize / (2 * P));
        }
    }

    /// Counts what is not measured and weighs it, all being announced; what is known of each node's
    /// injection, but for the value, goes `into` its place.
    pub(super) fn weigh(&mut self, into: &mut [[[Gauss; 2]; P]]) {
        self.beyond.sort_unstable();
        self.beyond.dedup();
        self.sum_variances.copy_from_slice(&self.variances.infeeds);
        let own = self
            .variances
            .appliances
            .iter()
            .zip(self.node.iter().copied());
        for (own, node) in own.clone() {
            let sum = self.sum_variances[node].as_flattened_mut();
            for (sum, own) in sum.iter_mut().zip(own.as_flattened()) {
                *sum += own;
            }
        }
        for (summand, node) in own.chain(self.variances.infeeds.iter().zip(0..)) {
            let count = self.unmeasured[node].as_flattened_mut();
            for (count, variance) in count.iter_mut().zip(summand.as_flattened()) {
                *count += u32::from(*variance == f64::INFINITY);
            }
        }
        let all = self.sum_variances.as_flattened().as_flattened().iter();
        let all = all.zip(self.variances.sensors.as_flattened().as_flattened());
        let of_sensor = self.of_sensor.as_flattened_mut().as_flattened_mut();
        let into = into.as_flattened_mut().as_flattened_mut();
        for (((&sum, &sensor), of_sensor), into) in all.zip(of_sensor).zip(into) {
            (*of_sensor, into.variance) = both(sum, sensor);
        }
        let own = self.variances.appliances.iter().zip(&self.node);
        for (takes, (own, &node)) in self.takes.iter_mut().zip(own) {
            let sums = self.sum_variances[node].as_flattened();
            let among = self.unmeasured[node].as_flattened();
            let all = own.as_flattened().iter().zip(sums).zip(among);
            for (takes, ((&own, &sum), &among)) in takes.as_flattened_mut().iter_mut().zip(all) {
                *takes = share(own, sum, among);
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
        let variance = *self.variances.at(c);
        // A weight of nothing counts for nothing.
        c.share = if variance < f64::INFINITY {
            weight * variance
        } else {
            0.0
        };
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        self.values.appliances.fill([[0.0; 2]; P]);
        for &node in &self.beyond {
            self.values.infeeds[node] = [[0.0; 2]; P];
            self.values.sensors[node] = [[0.0; 2]; P];
        }
    }

    /// Takes in a value.
    #[inline]
    pub(super) fn add(&mut self, c: &Contribution, value: f64) {
        *self.values.at(c) += c.share * value;
    }

    /// The values of each node's injection, to its place in `into`.
    pub(super) fn combine(&mut self, place: &[usize], into: &mut [[[Gauss; 2]; P]]) {
        self.sums.fill([[0.0; 2]; P]);
        let appliances = self.values.appliances.iter().zip(&self.node);
        let infeeds = self
            .beyond
            .iter()
            .map(|node| (&self.values.infeeds[*node], node));
        for (own, &node) in appliances.chain(infeeds) {
            let sum = self.sums[node].as_flattened_mut();
            for (sum, own) in sum.iter_mut().zip(own.as_flattened()) {
                *sum += own;
            }
        }
        for (sum, &place) in self.sums.iter().zip(place) {
            let into = into[place].as_flattened_mut();
            for (into, sum) in into.iter_mut().zip(sum.as_flattened()) {
                into.value = *sum;
            }
        }
        for &node in &self.beyond {
            let sensors = self.values.sensors[node].as_flattened();
            let known = sensors.iter().zip(self.of_sensor[node].as_flattened());
            let into = into[place[node]].as_flattened_mut();
            for (into, (sensor, of_sensor)) in into.iter_mut().zip(known) {
                into.value += of_sensor * (sensor - into.value);
            }
        }
    }

    /// Powers of the appliances that fit best to these powers injected at nodes.
    pub(super) fn appliances(
        &self,
        injected: impl Fn(usize) -> [Complex64; P],
    ) -> impl Iterator<Item = [Complex64; P]> {
        let own = self.values.appliances.iter().zip(&self.takes);
        own.zip(&self.node).map(move |((value, takes), &node)| {
            let (injected, sum) = (injected(node), &self.sums[node]);
            let mut s = [Complex64::ZERO; P];
            for p in 0..P {
                s[p].re = value[p][0] + (injected[p].re - sum[p][0]) * takes[p][0];
                s[p].im = value[p][1] + (injected[p].im - sum[p][1]) * takes[p][1];
            }
            s
        })
    }
}

/// Two independent observations of the same as one, by their variances: how much the second counts,
/// and the variance of both together.
fn both(a: f64, b: f64) -> (f64, f64) {
    match (a, b) {
        (_, f64::INFINITY) | (0.0, _) => (0.0, a),
        (f64::INFINITY, _) => (1.0, b),
        _ => {
            let of_b = a / (a + b);
            (of_b, of_b * b)
        }
    }
}

/// How much a summand takes of what is found beyond the sum, by its variance and that of the sum;
/// what is left goes to the unmeasured.
fn share(own: f64, sum: f64, unmeasured: u32) -> f64 {
    if own == 0.0 {
        0.0
    } else if sum < f64::INFINITY {
        own / sum
    } else if own < f64::INFINITY {
        0.0
    } else {
        1.0 / f64::from(unmeasured)
    }
}
