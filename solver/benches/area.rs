//! An area's clearing over the number of its tenants: `cargo bench -p busbar-solver --bench area`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use solver::{
    market::{
        GridFee, Price,
        clearing::{Case, Options, VoltageCorner, clear},
        layers::{Area, Corner, Tenant, Voltage},
    },
    network::{Grid, Id, pgm_json},
};

/// Tenants along a feeder.
const FEEDER: usize = 10;

/// A 20 kV network with a tenant at each node but the first.
fn grid(tenants: usize, rng: &mut StdRng) -> Grid {
    let line = |node: usize, rng: &mut StdRng| {
        let from = if node % FEEDER == 1 { 0 } else { node - 1 };
        let km = rng.random_range(0.3..1.2);
        json!({"id": 10_000 + node, "from_node": from, "to_node": node, "from_status": 1, "to_status": 1,
            "r1": 0.2 * km, "x1": 0.12 * km, "c1": 2e-7 * km, "tan1": 0.0, "i_n": 145.0})
    };
    let lines: Vec<Value> = (1..=tenants).map(|node| line(node, rng)).collect();
    let nodes: Vec<Value> = (0..=tenants)
        .map(|id| json!({"id": id, "u_rated": 20e3}))
        .collect();
    let source = json!({"id": 90_000, "node": 0, "status": 1, "u_ref": 1.02, "sk": 1e9});
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {},
        "data": {"node": nodes, "line": lines, "source": [source]}});
    let network = pgm_json::read(&network.to_string()).expect("the network is one");
    Grid::new(&network).expect("the network is one")
}

fn own() -> Case {
    let case = json!({"duration_s": 900, "fixed": [], "units": [], "orders": [],
        "limits": {"u_min_pu": 0.96, "u_max_pu": 1.05},
        "interface": [{"source": 90_000, "import_price": 60_000_000, "export_price": 40_000_000}]});
    serde_json::from_value(case).expect("the case is one")
}

/// Free up to a voltage, then dearer and dearer.
fn voltage(rng: &mut StdRng) -> Voltage {
    let free = rng.random_range(0.99..1.03);
    let corner = |(k, cost_per_h): (f64, f64)| VoltageCorner {
        u_pu: free + 0.02 * k,
        cost_per_h,
    };
    Voltage {
        r_ohm: 1.0,
        x_ohm: 0.7,
        corners: [
            (-2.0, 0.0),
            (-1.0, 0.0),
            (0.0, 0.0),
            (1.0, 8.0),
            (2.0, 30.0),
        ]
        .map(corner)
        .to_vec(),
    }
}

/// From 1 MW of surplus to 1 MW of need, a dozen corners.
fn tenant(k: usize, rng: &mut StdRng) -> Tenant {
    let (mut exchange_w, mut price) = (-rng.random_range(0..1_000_000), 95_000_000);
    let corner = |_| {
        exchange_w += rng.random_range(50_000..200_000);
        price -= rng.random_range(1_000_000..12_000_000);
        Corner {
            exchange_w,
            price: Price(price),
            q_var: exchange_w / 10,
        }
    };
    let curve: Vec<Corner> = (0..12).map(corner).collect();
    Tenant {
        name: format!("t{k}"),
        unit: 20_000 + k as Id,
        node: k as Id,
        expected_w: curve[6].exchange_w,
        curve,
        q_min_var: 0.0,
        q_max_var: 0.0,
        voltage: Some(voltage(rng)),
        import_max_w: 10_000_000,
        export_max_w: 10_000_000,
    }
}

fn area(c: &mut Criterion) {
    let mut group = c.benchmark_group("area");
    group.sample_size(10);
    for count in [25, 50, 100, 200, 400] {
        let mut rng = StdRng::seed_from_u64(7);
        let (grid, own, options) = (grid(count, &mut rng), own(), Options::default());
        let tenants: Vec<Tenant> = (1..=count).map(|k| tenant(k, &mut rng)).collect();
        let made = || Area::new(&grid, &own, &tenants, &options).expect("curves are curves");
        let area = made();
        let cleared = || clear(&grid, &area.case, &options).expect("the case is one");
        let clearing = cleared();
        group.bench_function(BenchmarkId::new("case", count), |b| {
            b.iter(|| black_box(made()))
        });
        group.bench_function(BenchmarkId::new("clear", count), |b| {
            b.iter(|| black_box(cleared()))
        });
        group.bench_function(BenchmarkId::new("awards", count), |b| {
            b.iter(|| black_box(area.awards(&grid, &clearing, &GridFee::default())))
        });
    }
    group.finish();
}

criterion_group!(benches, area);
criterion_main!(benches);
