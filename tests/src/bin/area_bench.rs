//! `cargo xtask bench area`: the market of an area with more and more tenants. Each interval every tenant
//! offers, closes and says what was metered, all of it on a ledger on disk; what counts is the process's time
//! on the processor, and how long the interval takes by the clock.
//!
//! In one process and without sockets: the machine, its clearing and its record. Arguments: numbers of
//! tenants.

use std::{env, fs, path::Path, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use edge::{
    area::{Market, Setup, Tenant},
    store::{Ledger, Record},
};
use protocols::opcua::message::{Basis, Closing, Corner, Offer, State, Total, Up, Voltage};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use solver::{
    market::{Imbalance, Price, Product, Rulebook, clearing::LimitSet},
    network::{Network, pgm_json},
};

/// Intervals of each size; the median of all is what is said.
const INTERVALS: i64 = 7;
const LENGTH: i64 = 900;
const GATE: i64 = 240;
const START: i64 = 1_800_000_000;
const US: i64 = 1_000_000;
/// Corners of a tenant's curve.
const CORNERS: usize = 8;
/// Substations on one line out of the primary substation.
const ON_A_LINE: usize = 10;

/// Of one part of an interval: on the processor and by the clock, s.
#[derive(Clone, Copy, Default)]
struct Took {
    cpu: f64,
    wall: f64,
}

#[expect(clippy::print_stdout, reason = "the table is this program's output")]
fn main() -> Result<()> {
    let sizes: Result<Vec<usize>, _> = env::args().skip(1).map(|of| of.parse()).collect();
    println!(
        "tenants   offers ms   gate to awards ms   closings, totals ms   interval on the processor ms   by the clock ms   record kB"
    );
    let mut before: Option<(usize, f64)> = None;
    for tenants in sizes? {
        let row = measure(tenants)?;
        let all: f64 = row.parts.iter().map(|of| of.cpu).sum();
        let wall: f64 = row.parts.iter().map(|of| of.wall).sum();
        let ms = |of: &Took| 1e3 * of.cpu;
        print!(
            "{tenants:>7}   {:>9.1}   {:>17.1}   {:>19.1}   {:>28.1}   {:>15.1}   {:>9.0}",
            ms(&row.parts[0]),
            ms(&row.parts[1]),
            ms(&row.parts[2]),
            1e3 * all,
            1e3 * wall,
            row.record_bytes / 1e3,
        );
        if let Some((fewer, less)) = before {
            let growth = (all / less).ln() / (tenants as f64 / fewer as f64).ln();
            print!("   grows with tenants to the power of {growth:.2}");
        }
        println!();
        before = Some((tenants, all));
    }
    Ok(())
}

struct Row {
    parts: [Took; 3],
    record_bytes: f64,
}

fn measure(tenants: usize) -> Result<Row> {
    let dir = env::temp_dir().join(format!("area-bench-{}-{tenants}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let result = intervals(tenants, &dir);
    fs::remove_dir_all(&dir)?;
    result
}

fn intervals(tenants: usize, dir: &Path) -> Result<Row> {
    let setup = Arc::new(setup(tenants)?);
    let mut market = Market::new(Arc::clone(&setup))?;
    let ledger = Ledger::open(dir)?;
    let mut random = StdRng::seed_from_u64(tenants as u64);
    let mut parts: [Vec<Took>; 3] = Default::default();
    let mut bytes = 0;
    for k in 0..INTERVALS {
        let start = START + k * LENGTH;
        let names = || setup.tenants.iter().map(|of| of.name.clone());
        let offers: Vec<(String, Up)> = names()
            .map(|name| (name, Up::Offer(offer(start, &mut random))))
            .collect();
        let (took, size) = timed(|| take(&mut market, &ledger, offers, (start - GATE - 20) * US))?;
        parts[0].push(took);
        bytes += size;

        let (took, size) = timed(|| {
            let step = market.step((start - GATE) * US);
            ensure!(step.awarded, "interval {start} was not cleared");
            keep(&ledger, &step.records, (start - GATE) * US)
        })?;
        parts[1].push(took);
        bytes += size;

        let words: Vec<(String, Up)> = names()
            .flat_map(|name| {
                let (closing, total) = words(&market, start, &name, &mut random);
                [
                    (name.clone(), Up::Closing(closing)),
                    (name, Up::Total(total)),
                ]
            })
            .collect();
        let end = start + LENGTH + 30;
        let (took, size) = timed(|| {
            let size = take(&mut market, &ledger, words, end * US)?;
            let step = market.step(end * US);
            Ok(size + keep(&ledger, &step.records, end * US)?)
        })?;
        parts[2].push(took);
        bytes += size;
    }
    Ok(Row {
        parts: parts.map(|of| median(&of)),
        record_bytes: bytes as f64 / INTERVALS as f64,
    })
}

fn timed(work: impl FnOnce() -> Result<usize>) -> Result<(Took, usize)> {
    let cpu = || {
        let of = clock_gettime(ClockId::ProcessCPUTime);
        of.tv_sec as f64 + of.tv_nsec as f64 * 1e-9
    };
    let (begun, used) = (Instant::now(), cpu());
    let size = work()?;
    let took = Took {
        cpu: cpu() - used,
        wall: begun.elapsed().as_secs_f64(),
    };
    Ok((took, size))
}

fn median(samples: &[Took]) -> Took {
    let middle = |of: fn(&Took) -> f64| {
        let mut sorted: Vec<f64> = samples.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Took {
        cpu: middle(|of| of.cpu),
        wall: middle(|of| of.wall),
    }
}

/// Takes documents, on record as many together as the appliance puts there.
fn take(market: &mut Market, ledger: &Ledger, of: Vec<(String, Up)>, now_us: i64) -> Result<usize> {
    let mut size = 0;
    for together in of.chunks(256) {
        let mut records = Vec::new();
        for (tenant, document) in together {
            let taken = market.submit(tenant, document.clone(), now_us);
            records.extend(taken.map_err(|refused| anyhow::anyhow!("{refused}"))?.0);
        }
        size += keep(ledger, &records, now_us)?;
    }
    Ok(size)
}

/// Puts records on disk; how many bytes of JSON they are.
fn keep(ledger: &Ledger, records: &[Record], now_us: i64) -> Result<usize> {
    ledger.append(records, now_us, false)?;
    let sizes = records
        .iter()
        .map(|record| serde_json::to_vec(record).map(|of| of.len()));
    let sizes: Result<Vec<usize>, _> = sizes.collect();
    Ok(sizes?.iter().sum())
}

/// A concave curve across nothing: up to 1 MW either way; and what its voltage is worth.
fn offer(start: i64, random: &mut StdRng) -> Offer {
    let mut price: i64 = random.random_range(80_000_000..160_000_000);
    let mut exchange_w: i64 = -random.random_range(0..800_000);
    let mut curve = Vec::new();
    for _ in 0..CORNERS {
        curve.push(Corner {
            exchange_w,
            price,
            q_var: 0,
        });
        exchange_w += random.random_range(20_000..150_000);
        price -= random.random_range(5_000_000..20_000_000);
    }
    Offer {
        interval: start,
        length_s: LENGTH as u32,
        sequence: 1,
        curve,
        q_min_var: -50_000,
        q_max_var: 50_000,
        forecast_w: 0,
        state: State::default(),
        voltage: Some(voltage(random)),
    }
}

/// Free up to a voltage, then dearer and dearer.
fn voltage(random: &mut StdRng) -> Voltage {
    let free: i64 = random.random_range(990_000..1_030_000);
    let costs = [0, 0, 0, 8_000_000, 30_000_000];
    let corner = |(k, cost): (i64, i64)| (free + 20_000 * (k - 2), cost);
    Voltage {
        r_ohm: 1.0,
        x_ohm: 0.7,
        corners: (0..).zip(costs).map(corner).collect(),
    }
}

/// What a tenant says after its award: that it keeps to it, and that it did, but for a little.
fn words(market: &Market, start: i64, tenant: &str, random: &mut StdRng) -> (Closing, Total) {
    let deal = market.book().deal(start, tenant);
    let award = deal.and_then(|deal| deal.award.as_ref());
    let exchange_w = award.map_or(0, |of| of.exchange_w);
    let closing = Closing {
        interval: start,
        sequence: 1,
        basis: Basis::Award,
        award: award.map(|of| of.sequence),
        exchange_w,
        price: award.map_or(0, |of| of.price),
    };
    let wh = exchange_w * LENGTH / 3600 + random.random_range(-500..500);
    let total = Total {
        interval: start,
        sequence: 1,
        import_wh: wh.max(0),
        export_wh: (-wh).max(0),
        replaced: false,
        aggregators: Vec::new(),
    };
    (closing, total)
}

/// Lines of 20 kV out of one primary substation, each with ten substations on it.
fn setup(tenants: usize) -> Result<Setup> {
    let (network, below) = network(tenants)?;
    Ok(Setup {
        network,
        product: Product {
            length_s: LENGTH as u32,
            gate_lead_s: GATE as u32,
            publish_lead_s: 120,
            settle_delay_s: 2,
            horizon: 2,
        },
        tenants: below,
        participants: Vec::new(),
        aggregators: Vec::new(),
        limits: LimitSet {
            u_min_pu: 0.95,
            u_max_pu: 1.05,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        source: 300_000,
        import_price: Price(100_000_000),
        export_price: Price(60_000_000),
        import_max_w: None,
        export_max_w: None,
        rulebook: Rulebook {
            imbalance: Imbalance {
                short_price: Price(150_000_000),
                long_price: Price(20_000_000),
            },
            ..Rulebook::default()
        },
        patience_s: 3600,
        above: None,
    })
}

/// Lines of ten substations each.
fn network(tenants: usize) -> Result<(Network, Vec<Tenant>)> {
    let node_of = |k: usize| i32::try_from(2 + k).context("too many");
    let mut nodes = vec![json!({"id": 1, "u_rated": 20000})];
    let mut lines = Vec::new();
    let mut below = Vec::new();
    for k in 0..tenants {
        let node = node_of(k)?;
        nodes.push(json!({"id": node, "u_rated": 20000}));
        let from = match k % ON_A_LINE {
            0 => 1,
            _ => node - 1,
        };
        lines.push(json!({
            "id": 100_000 + node, "from_node": from, "to_node": node, "from_status": 1,
            "to_status": 1, "r1": 0.16, "x1": 0.12, "c1": 2.5e-7, "tan1": 0, "i_n": 150,
        }));
        below.push(Tenant {
            name: format!("substation-{k}"),
            unit: 200_000 + node,
            node,
            import_max_w: 2_000_000,
            export_max_w: 2_000_000,
        });
    }
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {},
        "data": {"node": nodes, "line": lines,
                 "source": [{"id": 300_000, "node": 1, "status": 1, "u_ref": 1.02}]}});
    Ok((pgm_json::read(&network.to_string())?, below))
}
