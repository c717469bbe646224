//! Random feeders with units and orders that the tests share.

use rand::{Rng, SeedableRng, rngs::StdRng};
use solver::{
    market::{
        Capability, Direction, Order, OrderId, Price, Step, Terms, Unit,
        clearing::{Case, Controls, Interface, LimitSet, NodePower},
    },
    network::{Id, Line, Network, Node, PhaseSet, Source},
};

const SOURCE: Id = 1000;

fn line(rng: &mut StdRng, id: Id, from_node: Id, to_node: Id) -> Line {
    let km = rng.random_range(0.5..4.0);
    Line {
        id,
        from_node,
        to_node,
        from_status: 1,
        to_status: 1,
        r1: 0.4 * km,
        x1: 0.35 * km,
        c1: 0.2e-6 * km,
        tan1: 0.0,
        r0: None,
        x0: None,
        c0: None,
        tan0: None,
        i_n: Some(rng.random_range(80.0..200.0)),
        phases: PhaseSet::ABC,
    }
}

/// A 20 kV feeder: a random tree, sometimes with a loop.
fn network(rng: &mut StdRng) -> Network {
    let nodes = rng.random_range(3..12);
    let mut network = Network {
        node: (0..nodes).map(|id| Node { id, u_rated: 20e3 }).collect(),
        source: vec![Source {
            id: SOURCE,
            node: 0,
            status: 1,
            u_ref: rng.random_range(1.0..1.03),
            u_ref_angle: 0.0,
            sk: rng.random_range(1e8..1e9),
            rx_ratio: 0.1,
            z01_ratio: None,
        }],
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
    let mut case = Case {
        duration_s: 900,
        fixed: Vec::new(),
        units: Vec::new(),
        orders: Vec::new(),
        limits: LimitSet {
            u_min_pu: 0.95,
            u_max_pu: 1.05,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        interface: vec![Interface {
            source: SOURCE,
            import_price: Price(50_000_000),
            export_price: Price(rng.random_range(0..=50) * 1_000_000),
            import_max_w: None,
            export_max_w: None,
            scheduled: None,
        }],
        controls: Controls::default(),
        by_phase: None,
        start: None,
    };
    for node in 1..nodes {
        let p_w = -rng.random_range(0.0..4e5);
        case.fixed.push(NodePower {
            node,
            p_w,
            q_var: 0.3 * p_w,
            owner: None,
        });
    }
    for id in 300..300 + rng.random_range(2..10) {
        let kind = rng.random_range(0..3);
        let rated = f64::from(rng.random_range(2..30)) * 1e5;
        let (p_min_w, p_max_w) = [(0.0, rated), (-rated, 0.0), (-rated, rated)][kind];
        let s_max_va = rng.random_bool(0.3).then_some(1.05 * rated);
        case.units.push(Unit {
            id,
            participant: format!("p{}", id % 4),
            node: rng.random_range(1..nodes),
            capability: Capability {
                p_min_w,
                p_max_w,
                q_max_var: 0.4 * rated,
                s_max_va,
            },
            dispatchable: true,
        });
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
            let order = OrderId(case.orders.len() as u64 + 1);
            case.orders.push(Order {
                id: order,
                client_id: order.to_string(),
                participant: format!("p{}", id % 4),
                unit: id,
                interval: 0,
                direction,
                steps,
                terms: Terms::default(),
            });
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
