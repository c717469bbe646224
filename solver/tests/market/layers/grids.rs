//! Random grids of an area and the feeders behind it, whole and in parts.

use num_complex::Complex64;
use rand::{Rng, SeedableRng, rngs::StdRng};
use solver::{
    market::{Direction, Kind, Price, Step, clearing::Case},
    network::{Id, Line, Network, Node, Source},
};

use crate::parts::{self, empty};

pub(crate) const SOURCE: Id = 9_000;
const IMPORT: Price = Price(50_000_000);

/// A market with a network of its own. A feeder's first node is the area's where it is connected.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) network: Network,
    pub(crate) case: Case,
}

/// Area, feeders, and all of it as one.
pub(crate) struct Sample {
    pub(crate) area: Part,
    pub(crate) feeders: Vec<Part>,
    pub(crate) whole: Part,
}

/// The grid above a feeder's first node, as its operator knows it: what the area's tree is from there on.
pub(crate) fn grid_above(area: &Network, node: Id, u_ref: f64) -> Source {
    let (source, mut at) = (&area.source[0], node);
    let z_source = 20e3_f64.powi(2) / source.sk;
    let x = z_source / (1.0 + source.rx_ratio.powi(2)).sqrt();
    let mut z = Complex64::new(source.rx_ratio * x, x);
    while at != source.node {
        let line = area.line.iter().find(|line| line.to_node == at).unwrap();
        z += Complex64::new(line.r1, line.x1);
        at = line.from_node;
    }
    Source {
        id: SOURCE + node,
        node,
        u_ref,
        sk: 20e3_f64.powi(2) / z.norm(),
        rx_ratio: z.re / z.im,
        ..source.clone()
    }
}

fn line(
    rng: &mut StdRng,
    from_node: Id,
    to_node: Id,
    (ohm_per_km, km, i_n): (f64, f64, f64),
) -> Line {
    let km = km * rng.random_range(0.3..1.5);
    let i_n = i_n * rng.random_range(0.8..1.6);
    parts::line(1_000 + to_node, [from_node, to_node], ohm_per_km, km, i_n)
}

/// A unit with an order in each direction that it has, of two steps.
fn unit(rng: &mut StdRng, case: &mut Case, node: Id, rated: f64) {
    let id = 20_000 + 10 * node + case.units.iter().filter(|of| of.node == node).count() as Id;
    let kind = rng.random_range(0..3);
    let (p_min_w, p_max_w) = [(0.0, rated), (-rated, 0.0), (-rated, rated)][kind];
    let mut of = parts::unit(id, &format!("p{}", id % 7), node, (p_min_w, p_max_w));
    of.capability.q_max_var = 0.3 * rated;
    case.units.push(of.clone());
    let ask = rng.random_range(5..70);
    let (more, less) = (
        ask + rng.random_range(1..20),
        (ask - rng.random_range(1..20)).max(1),
    );
    for (direction, is, prices) in [
        (Direction::Sell, p_max_w > 0.0, [ask, more]),
        // A store pays less than it asks.
        (
            Direction::Buy,
            p_min_w < 0.0,
            if kind == 2 {
                [less, less / 2]
            } else {
                [more, ask]
            },
        ),
    ] {
        if !is {
            continue;
        }
        let number = 2 * id as u64 + u64::from(direction == Direction::Buy);
        let step = |price: i32| Step {
            quantity_w: (0.5 * rated) as i64,
            price: Price(i64::from(price) * 1_000_000),
        };
        let steps = prices.map(step).to_vec();
        case.orders
            .push(parts::order(number, &of, direction, steps, Kind::Energy));
    }
}

fn load(rng: &mut StdRng, case: &mut Case, node: Id, most: f64) {
    let p_w = -rng.random_range(0.0..most);
    case.fixed.push(parts::fixed(node, p_w, 0.3 * p_w));
}

/// A 20 kV tree from an area's node, the last of its nodes with a transformer and 400 V behind it.
fn feeder(rng: &mut StdRng, area: &Network, root: Id, first: Id) -> Part {
    let mut network = Network {
        node: vec![Node {
            id: root,
            u_rated: 20e3,
        }],
        source: vec![grid_above(area, root, area.source[0].u_ref)],
        ..Network::default()
    };
    let mut case = empty(SOURCE + root, IMPORT, IMPORT);
    let nodes = rng.random_range(2..5);
    for k in 0..nodes {
        let node = first + k;
        let parent = if k == 0 {
            root
        } else {
            first + rng.random_range((k - 2).max(0)..k)
        };
        network.node.push(Node {
            id: node,
            u_rated: 20e3,
        });
        network.line.push(line(rng, parent, node, (0.5, 4.0, 60.0)));
        load(rng, &mut case, node, 3e5);
        if rng.random_bool(0.7) {
            let rated = f64::from(rng.random_range(2..25)) * 1e5;
            unit(rng, &mut case, node, rated);
        }
    }
    let low = first + nodes;
    network
        .node
        .extend([low, low + 1].map(|id| Node { id, u_rated: 400.0 }));
    let transformer = serde_json::json!({"id": 1_000 + low, "from_node": low - 1, "to_node": low,
        "from_status": 1, "to_status": 1, "u1": 20e3, "u2": 400.0, "sn": 4e5, "uk": 0.05, "pk": 4e3,
        "i0": 0.0, "p0": 0.0, "winding_from": 2, "winding_to": 1, "clock": 5, "tap_side": 0,
        "tap_pos": 0, "tap_min": -1, "tap_max": 1, "tap_size": 500.0});
    network
        .transformer
        .push(serde_json::from_value(transformer).unwrap());
    network
        .line
        .push(line(rng, low, low + 1, (0.2, 0.1, 300.0)));
    load(rng, &mut case, low + 1, 6e4);
    for _ in 0..2 {
        let rated = f64::from(rng.random_range(3..15)) * 1e4;
        unit(rng, &mut case, low + 1, rated);
    }
    Part { network, case }
}

/// How strong the area's network is beside what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Area {
    Stronger,
    Weaker,
    /// Either, by the seed.
    Drawn,
}

pub(crate) fn sample(seed: u64, of: Area) -> Sample {
    let mut rng = StdRng::seed_from_u64(seed);
    let rng = &mut rng;
    let nodes = rng.random_range(3..7);
    let mut network = Network {
        node: vec![Node {
            id: 0,
            u_rated: 20e3,
        }],
        source: vec![parts::source(SOURCE, 0, rng.random_range(1.0..1.03), 1e9)],
        ..Network::default()
    };
    let mut case = empty(SOURCE, IMPORT, Price(rng.random_range(20..=50) * 1_000_000));
    let weak = match of {
        Area::Stronger => false,
        Area::Weaker => true,
        Area::Drawn => rng.random_bool(0.5),
    };
    let cable = if weak {
        (0.3, 5.0, 45.0)
    } else {
        (0.2, 5.0, 110.0)
    };
    for node in 1..nodes {
        let parent = rng.random_range((node - 2).max(0)..node);
        network.node.push(Node {
            id: node,
            u_rated: 20e3,
        });
        network.line.push(line(rng, parent, node, cable));
        load(rng, &mut case, node, 3e5);
    }
    let rated = f64::from(rng.random_range(2..20)) * 1e5;
    unit(rng, &mut case, nodes - 1, rated);
    let area = Part { network, case };
    let feeders: Vec<Part> = (0..rng.random_range(2..5))
        .map(|k| feeder(rng, &area.network, 1 + (k % (nodes - 1)), 100 * (k + 1)))
        .collect();
    let mut whole = area.clone();
    for Part { network, case } in &feeders {
        whole.network.node.extend(network.node[1..].iter().cloned());
        whole.network.line.extend(network.line.iter().cloned());
        whole
            .network
            .transformer
            .extend(network.transformer.iter().cloned());
        whole.case.fixed.extend(case.fixed.iter().cloned());
        whole.case.units.extend(case.units.iter().cloned());
        whole.case.orders.extend(case.orders.iter().cloned());
    }
    Sample {
        area,
        feeders,
        whole,
    }
}
