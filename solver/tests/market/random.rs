//! Random feeders with units and orders that the tests share.

use rand::{Rng, SeedableRng, rngs::StdRng};
use solver::{
    market::{Direction, Kind, Price, Step, clearing::Case},
    network::{Id, Line, Network, Node},
};

use crate::parts;

const SOURCE: Id = 1000;

fn line(rng: &mut StdRng, id: Id, from_node: Id, to_node: Id) -> Line {
    let km = rng.random_range(0.5..4.0);
    let i_n = rng.random_range(80.0..200.0);
    parts::line(id, [from_node, to_node], 0.4, km, i_n)
}

/// A 20 kV feeder: a random tree, sometimes with a loop.
fn network(rng: &mut StdRng) -> Network {
    let nodes = rng.random_range(3..12);
    let mut network = Network {
        node: (0..nodes).map(|id| Node { id, u_rated: 20e3 }).collect(),
        source: vec![parts::source(
            SOURCE,
            0,
            rng.random_range(1.0..1.03),
            rng.random_range(1e8..1e9),
        )],
        ..Network::default()
    };
    for node in 1..nodes {
        let parent = rng.random_range((node - 3).max(0)..node);
        network.line.push(line(rng, 100 + node, parent, node));
    }
    if nodes > 4 && rng.random_bool(0.5) {
        network.line.push(line(rng, 200, nodes - 1, 1));
    }
    network
}

fn steps(rng: &mut StdRng, direction: Direction, total_w: i64) -> Vec<Step> {
    let count = rng.random_range(1..4);
    // Coarse prices, so that ties happen.
    let mut prices: Vec<i64> = (0..count).map(|_| 5 * rng.random_range(2..14)).collect();
    prices.sort_unstable();
    if direction == Direction::Buy {
        prices.reverse();
    }
    let step = |price| Step {
        quantity_w: total_w / count,
        price: Price(price * 1_000_000),
    };
    prices.into_iter().map(step).collect()
}

fn case(rng: &mut StdRng, network: &Network) -> Case {
    let nodes = network.node.len() as Id;
    let export = Price(rng.random_range(0..=50) * 1_000_000);
    let mut case = parts::empty(SOURCE, Price(50_000_000), export);
    for node in 1..nodes {
        let p_w = -rng.random_range(0.0..4e5);
        case.fixed.push(parts::fixed(node, p_w, 0.3 * p_w));
    }
    for id in 300..300 + rng.random_range(2..10) {
        let kind = rng.random_range(0..3);
        let rated = f64::from(rng.random_range(2..30)) * 1e5;
        let (p_min_w, p_max_w) = [(0.0, rated), (-rated, 0.0), (-rated, rated)][kind];
        let s_max_va = rng.random_bool(0.3).then_some(1.05 * rated);
        let node = rng.random_range(1..nodes);
        let mut unit = parts::unit(id, &format!("p{}", id % 4), node, (p_min_w, p_max_w));
        unit.capability.q_max_var = 0.4 * rated;
        unit.capability.s_max_va = s_max_va;
        case.units.push(unit.clone());
        let mut directions = Vec::new();
        if p_max_w > 0.0 {
            directions.push(Direction::Sell);
        }
        if p_min_w < 0.0 {
            directions.push(Direction::Buy);
        }
        for direction in directions {
            let mut steps = steps(rng, direction, rated as i64);
            if directions_cross(&case, id, direction, &steps) {
                // The order rules let nobody sell to himself at a gain.
                steps.truncate(1);
                steps[0].price = Price(5_000_000);
            }
            let number = case.orders.len() as u64 + 1;
            case.orders
                .push(parts::order(number, &unit, direction, steps, Kind::Energy));
        }
    }
    case
}

fn directions_cross(case: &Case, unit: Id, direction: Direction, steps: &[Step]) -> bool {
    let own = case.orders.iter().filter(|order| order.unit == unit);
    let lowest = own
        .flat_map(|order| &order.steps)
        .map(|step| step.price)
        .min();
    direction == Direction::Buy
        && lowest.is_some_and(|lowest| steps.iter().any(|step| step.price > lowest))
}

pub(crate) fn sample(seed: u64) -> (Network, Case) {
    let mut rng = StdRng::seed_from_u64(seed);
    let network = network(&mut rng);
    let case = case(&mut rng, &network);
    (network, case)
}
