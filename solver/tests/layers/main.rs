//! Layers of the market against one clearing of the whole grid: what is lost by passing curves up and awards
//! down, and whether all limits of the whole are kept.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod grids;

use grids::{Part, Sample, behind, sample};
use num_complex::Complex64;
use solver::{
    market::{
        Direction, GridFee, Price,
        clearing::{
            Case, Clearing, Interface, NodePower, Options, Scheduled, ScheduledReactive, Status,
            clear,
        },
        layers::{Area, Corner, Residual, ResidualOptions, Tenant, TenantAward, residual},
    },
    network::{Grid, Id},
};

/// What a feeder's deviation from its award costs, per MWh of either direction and per Mvarh.
const SPREAD: i64 = 20_000_000;
const REACTIVE: Price = Price(500_000);

fn cleared(part: &Part) -> Clearing {
    clear(
        &Grid::new(&part.network).unwrap(),
        &part.case,
        &Options::default(),
    )
    .unwrap()
}

fn is_kept(of: &Clearing) -> bool {
    !matches!(of.status, Status::LeastViolation { .. })
}

/// A feeder whose first node is at a voltage with a power from above.
fn at(feeder: &Part, u: f64, s: Complex64) -> Part {
    let mut part = feeder.clone();
    let source = &mut part.network.source[0];
    source.u_ref = behind(source, u, s);
    part
}

fn curve(feeder: &Part) -> Residual {
    let grid = Grid::new(&feeder.network).unwrap();
    residual(
        &grid,
        &feeder.case,
        &Options::default(),
        &ResidualOptions::default(),
    )
    .unwrap()
}

fn tenant(k: usize, node: Id, of: &Residual) -> Tenant {
    let corner = |of: &solver::market::layers::ResidualCorner| Corner {
        exchange_w: of.exchange_w,
        price: of.price,
        q_var: of.q_var,
    };
    Tenant {
        name: format!("t{k}"),
        unit: 50_000 + k as Id,
        node,
        curve: of.corners.iter().map(corner).collect(),
        expected_w: of.forecast_w,
        q_min_var: of.q_min_var as f64,
        q_max_var: of.q_max_var as f64,
        import_max_w: i64::MAX / 4,
        export_max_w: i64::MAX / 4,
    }
}

/// The area's clearing of the feeders' curves.
fn area(sample: &Sample, curves: &[Residual]) -> (Clearing, Vec<TenantAward>) {
    let feeders = sample.feeders.iter().zip(curves).enumerate();
    let tenants: Vec<Tenant> = feeders
        .map(|(k, (feeder, curve))| tenant(k, feeder.network.node[0].id, curve))
        .collect();
    let grid = Grid::new(&sample.area.network).unwrap();
    let options = Options::default();
    let area = Area::new(&grid, &sample.area.case, &tenants, &options).unwrap();
    let clearing = clear(&grid, &area.case, &options).unwrap();
    let awards = area.awards(&grid, &clearing, &GridFee::default());
    (clearing, awards)
}

/// A feeder's clearing for good.
fn for_good(feeder: &Part, award: &TenantAward) -> Clearing {
    let mut part = feeder.clone();
    part.case.interface[0] = Interface {
        import_price: Price(award.price.0 + SPREAD),
        export_price: Price(award.price.0 - SPREAD),
        scheduled: Some(Scheduled {
            exchange_w: award.exchange_w as f64,
            price: award.price,
            reactive: Some(ScheduledReactive {
                q_var: award.q_var as f64,
                weight: REACTIVE,
            }),
        }),
        ..part.case.interface[0]
    };
    cleared(&part)
}

/// All awards of all layers in the whole grid, with nothing left to decide: what the power flow makes of it.
fn together(sample: &Sample, area: &Clearing, feeders: &[Clearing]) -> Clearing {
    let mut whole = sample.whole.clone();
    for of in std::iter::once(area).chain(feeders) {
        for award in &of.awards {
            let Some(unit) = sample
                .whole
                .case
                .units
                .iter()
                .find(|unit| unit.id == award.unit)
            else {
                continue;
            };
            whole.case.fixed.push(NodePower {
                node: unit.node,
                p_w: award.p_w,
                q_var: award.q_var,
                owner: None,
            });
        }
    }
    whole.case.units.clear();
    whole.case.orders.clear();
    cleared(&whole)
}

/// What was taken of the orders of a case, less what that is worth to who buys, currency per h.
fn cost_of_orders(case: &Case, of: &Clearing) -> f64 {
    let each = case.orders.iter().filter_map(|order| {
        let mut left = of
            .fills
            .iter()
            .find(|fill| fill.order == order.id)?
            .quantity_w;
        let sign = if order.direction == Direction::Sell {
            1.0
        } else {
            -1.0
        };
        let steps = order.steps.iter().map(|step| {
            let taken = left.clamp(0.0, step.quantity_w as f64);
            left -= taken;
            sign * taken * 1e-6 * step.price.per_mwh()
        });
        Some(steps.sum::<f64>())
    });
    each.sum()
}

/// How a grid came out.
struct Outcome {
    /// Welfare over what serving the loads from above alone would be, of the whole and of the layers, per h.
    whole: f64,
    layers: f64,
    /// Whether every layer and the whole grid, with what all of them awarded, keep their limits.
    kept: bool,
    /// Whether a limit of the area's own network binds.
    in_area: bool,
}

/// Feeders, area, and once more with the area's voltages; then for good.
fn layered(sample: &Sample, whole: &Clearing) -> Outcome {
    let mut feeders = sample.feeders.clone();
    let mut found = None;
    for _ in 0..2 {
        let curves: Vec<Residual> = feeders.iter().map(curve).collect();
        let (clearing, awards) = area(sample, &curves);
        let grid = Grid::new(&sample.area.network).unwrap();
        let node = |of: &Part| grid.index_of_node(of.network.node[0].id).unwrap();
        feeders = sample
            .feeders
            .iter()
            .zip(&awards)
            .map(|(of, award)| {
                at(
                    of,
                    clearing.u[node(of)].norm(),
                    Complex64::new(award.exchange_w as f64, award.q_var as f64),
                )
            })
            .collect();
        found = Some((clearing, awards));
    }
    let (clearing, awards) = found.unwrap();
    let good: Vec<Clearing> = feeders
        .iter()
        .zip(&awards)
        .map(|(of, award)| for_good(of, award))
        .collect();
    let all = together(sample, &clearing, &good);
    let own = cost_of_orders(&sample.area.case, &clearing);
    let below = sample.feeders.iter().zip(&good);
    let below: f64 = below.map(|(part, of)| cost_of_orders(&part.case, of)).sum();
    let mut idle = sample.whole.clone();
    idle.case.orders.clear();
    let idle = cleared(&idle).cost_per_h;
    Outcome {
        whole: idle - whole.cost_per_h,
        in_area: !clearing.binding.is_empty(),
        layers: idle - (own + below + all.cost_per_h),
        kept: is_kept(&clearing) && good.iter().all(is_kept) && is_kept(&all),
    }
}

/// On random grids where limits bind.
#[test]
fn layers_lose_less_than_a_hundredth_of_the_welfare() {
    let mut gaps: Vec<(f64, u64)> = Vec::new();
    let mut in_area = 0;
    for seed in 0.. {
        let sample = sample(seed);
        let whole = cleared(&sample.whole);
        if !is_kept(&whole) || whole.binding.is_empty() {
            continue;
        }
        let of = layered(&sample, &whole);
        assert!(
            of.kept,
            "seed {seed}: layers keep no limits that the whole keeps"
        );
        let gap = (of.whole - of.layers) / of.whole;
        assert!(gap < 0.01, "seed {seed}: {} of {}", of.layers, of.whole);
        gaps.push((gap, seed));
        in_area += u32::from(of.in_area);
        if gaps.len() == 60 {
            break;
        }
    }
    gaps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (of, most) = (
        |share: f64| 100.0 * gaps[(share * 59.0) as usize].0,
        gaps[59],
    );
    println!(
        "{} grids up to seed {}, in {in_area} limits bind in the area: {:.4} % least, {:.4} % median, {:.4} % nine tenths, {:.4} % most (seed {})",
        gaps.len(),
        gaps.iter().map(|of| of.1).max().unwrap(),
        of(0.0),
        of(0.5),
        of(0.9),
        100.0 * most.0,
        most.1
    );
}
