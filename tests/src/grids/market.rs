//! Made-up market cases for `cargo xtask bench market`: a radial 20 kV network of several feeders, on
//! every other of which there is more sun than it carries, and on the rest more demand than it serves.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

/// Nodes of a feeder.
const FEEDER: usize = 50;
/// Nodes back that the next one of a feeder may be connected to.
const NEAR: usize = 8;
/// Of the grid above, per MWh.
const PRICE: f64 = 50.0;
const DURATION: usize = 900;

/// How large a market case is.
#[derive(Clone, Copy, Debug)]
pub struct MarketSize {
    /// Buses.
    pub nodes: usize,
    /// Orders in an interval, each of a unit of its own.
    pub orders: usize,
    /// Intervals of 15 min.
    pub intervals: usize,
    /// Batteries, each with a storage order.
    pub batteries: usize,
}

/// A unit with the order it always has.
struct Asset {
    id: usize,
    node: usize,
    sells: bool,
    mw: f64,
    price: f64,
}

/// A case file of `busbar clear`; the same seed gives the same.
#[must_use]
pub fn market_case(size: MarketSize, seed: u64) -> Value {
    let mut rng = StdRng::seed_from_u64(seed);
    let (feeders, network) = network(size.nodes, &mut rng);
    let asset = |k: usize, rng: &mut StdRng| {
        let node = 1 + k % (size.nodes - 1);
        let sunny = ((node - 1) % feeders).is_multiple_of(2);
        let sells = rng.random_bool(if sunny { 0.8 } else { 0.2 });
        let mw =
            round(rng.random_range(0.04..0.2) * (2.0 * size.nodes as f64) / size.orders as f64);
        let price = round(if sells {
            rng.random_range(5.0..65.0)
        } else {
            rng.random_range(35.0..120.0)
        });
        Asset {
            id: 100_000 + k,
            node,
            sells,
            mw,
            price,
        }
    };
    let assets: Vec<Asset> = (0..size.orders).map(|k| asset(k, &mut rng)).collect();
    let loads: Vec<f64> = (1..size.nodes)
        .map(|_| rng.random_range(0.01..0.06))
        .collect();
    let mut cases: Vec<Value> = (0..size.intervals)
        .map(|t| interval(&assets, &loads, &size, t))
        .collect();
    let first = cases.remove(0);
    json!({"version": "1.0", "type": "market_case", "network": network, "case": first, "later": cases})
}

fn round(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

/// Number of feeders, and the network in power-grid-model's JSON.
fn network(nodes: usize, rng: &mut StdRng) -> (usize, Value) {
    let feeders = (nodes / FEEDER).max(1);
    let lines: Vec<Value> = (1..nodes)
        .map(|node| {
            let place = (node - 1) / feeders;
            // Mostly a trunk, with laterals.
            let back = if rng.random_bool(0.7) { 1 } else { rng.random_range(1..=NEAR) };
            let parent = if place == 0 { 0 } else { node - feeders * back.min(place) };
            let km = rng.random_range(0.3..0.9);
            json!({"id": 10_000 + node, "from_node": parent, "to_node": node, "from_status": 1, "to_status": 1,
                "r1": 0.21 * km, "x1": 0.12 * km, "c1": 2e-7 * km, "tan1": 0.0, "i_n": 145.0})
        })
        .collect();
    let rows: Vec<Value> = (0..nodes)
        .map(|id| json!({"id": id, "u_rated": 20e3}))
        .collect();
    let source = json!({"id": 900_000, "node": 0, "status": 1, "u_ref": 1.02, "sk": 1e15});
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {},
        "data": {"node": rows, "line": lines, "source": [source]}});
    (feeders, network)
}

/// Sun and demand of an interval as shares of the first one's, which is noon's, and the price above.
fn moment(t: usize) -> (f64, f64, f64) {
    let angle = t as f64 / 24.0 * std::f64::consts::TAU;
    (
        0.6 + 0.4 * angle.cos(),
        0.9 - 0.1 * angle.cos(),
        PRICE - 15.0 * angle.cos() + 15.0,
    )
}

fn interval(assets: &[Asset], loads: &[f64], size: &MarketSize, t: usize) -> Value {
    let (sun, demand, price) = moment(t);
    let micro = |per_mwh: f64| (per_mwh * 1e6).round() as i64;
    let start = (t * DURATION) as i64;
    let mut units = Vec::new();
    let mut orders = Vec::new();
    for of in assets {
        let share = if of.sells { sun } else { demand };
        let w = (of.mw * share * 1e6).round();
        let (low, high) = if of.sells { (0.0, w) } else { (-w, 0.0) };
        units.push(unit(of.id, of.node, [low, high], 0.3 * of.mw * 1e6));
        orders.push(
            json!({"id": of.id + t * 1_000_000, "client_id": of.id.to_string(), "participant": "p",
            "unit": of.id, "interval": start, "direction": if of.sells { "sell" } else { "buy" },
            "steps": [{"quantity_w": w as i64, "price": micro(of.price)}]}),
        );
    }
    for k in 0..size.batteries {
        let (id, node) = (500_000 + k, 1 + (k * 37 + 11) % (size.nodes - 1));
        units.push(unit(id, node, [-3e5, 3e5], 1e5));
        if t == 0 {
            orders.push(json!({"id": id, "client_id": id.to_string(), "participant": "p", "unit": id,
                "interval": 0, "direction": "sell", "steps": [], "terms": {"kind": {"of": "storage",
                "energy_wh": 300_000, "energy_min_wh": 60_000, "energy_max_wh": 600_000,
                "charge_ppm": 950_000, "discharge_ppm": 950_000, "wear": micro(2.0), "end_value": micro(40.0)}}}));
        }
    }
    let fixed: Vec<Value> = (1..).zip(loads)
        .map(|(node, mw)| json!({"node": node, "p_w": -mw * demand * 1e6, "q_var": -0.3 * mw * demand * 1e6}))
        .collect();
    json!({"duration_s": DURATION, "fixed": fixed, "units": units, "orders": orders,
        "limits": {"u_min_pu": 0.96, "u_max_pu": 1.05},
        "interface": [{"source": 900_000, "import_price": micro(price), "export_price": micro(price - 4.0)}]})
}

fn unit(id: usize, node: usize, p: [f64; 2], q_max: f64) -> Value {
    json!({"id": id, "participant": "p", "node": node, "dispatchable": true,
        "capability": {"p_min_w": p[0], "p_max_w": p[1], "q_max_var": q_max}})
}
