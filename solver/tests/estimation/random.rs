//! Random medium-voltage grids, seeded: trees with ties, loads and generators at some of the nodes.

use rand::Rng;
use rand::rngs::StdRng;
use solver::network::{
    Connection, Grid, Line, LoadKind, Network, Node, PhaseSet, Source, SymGen, SymLoad,
};

/// Nodes 0 to `nodes - 1` at 20 kV, lines from 1000, `ties` of them closing rings, loads from 2000, generators from 3000, a
/// source at node 0 and `sources - 1` others, from 4000.
pub(crate) fn network(random: &mut StdRng, nodes: i32, ties: i32, sources: i32) -> Network {
    let mut network = Network {
        node: (0..nodes).map(|id| Node { id, u_rated: 20e3 }).collect(),
        ..Network::default()
    };
    for k in 1..nodes + ties {
        let from = random.random_range((k - 4).max(0).min(nodes - 1)..k.min(nodes));
        let to = if k < nodes {
            k
        } else {
            random.random_range(0..nodes)
        };
        if from != to {
            network.line.push(line(random, 1000 + k, from, to));
        }
    }
    for node in 1..nodes {
        for id in [2000 + 2 * node, 2001 + 2 * node] {
            if random.random_bool(0.35) {
                network.sym_load.push(SymLoad {
                    id,
                    node,
                    status: 1,
                    connection: Connection::Wye,
                    u_min: None,
                    u_max: None,
                    kind: LoadKind::Power,
                    p_specified: random.random_range(5e4..4e5),
                    q_specified: random.random_range(1e4..1e5),
                });
            }
        }
        if random.random_bool(0.2) {
            network.sym_gen.push(SymGen {
                id: 3000 + node,
                node,
                status: 1,
                connection: Connection::Wye,
                u_min: None,
                u_max: None,
                kind: LoadKind::Power,
                p_specified: random.random_range(0.0..8e5),
                q_specified: random.random_range(-5e4..5e4),
            });
        }
    }
    for k in 0..sources {
        let node = if k == 0 {
            0
        } else {
            random.random_range(1..nodes)
        };
        network.source.push(Source {
            id: 4000 + k,
            node,
            status: 1,
            u_ref: 1.02,
            u_ref_angle: 0.0,
            sk: 1e9,
            rx_ratio: 0.1,
            z01_ratio: Some(1.0),
        });
    }
    network
}

fn line(random: &mut StdRng, id: i32, from_node: i32, to_node: i32) -> Line {
    let km = random.random_range(0.3..3.0);
    Line {
        id,
        from_node,
        to_node,
        from_status: 1,
        to_status: 1,
        r1: 0.3 * km,
        x1: 0.35 * km,
        c1: 1.5e-7 * km,
        tan1: 0.0,
        r0: Some(0.9 * km),
        x0: Some(1.4 * km),
        c0: Some(1e-7 * km),
        tan0: Some(0.0),
        i_n: Some(400.0),
        phases: PhaseSet::ABC,
    }
}

/// The grid, some of its lines open at one side.
pub(crate) fn grid(random: &mut StdRng, network: &Network, open: f64) -> Grid {
    let mut network = network.clone();
    for line in &mut network.line {
        if random.random_bool(open) {
            line.to_status = 0;
        }
    }
    Grid::new(&network).unwrap()
}
