//! Layers of the market against one clearing of the whole grid: what is lost by passing curves up and awards
//! down, and whether all limits of the whole are kept.

mod grids;

use grids::{Area as Kind, Part, Sample, sample};
use solver::{
    market::{
        Direction, GridFee, Price,
        clearing::{
            Case, Clearing, Interface, Options, Scheduled, ScheduledReactive, Status, clear,
        },
        layers::{Area, Corner, Residual, ResidualOptions, Tenant, TenantAward, residual},
    },
    network::{Grid, Id},
};

use crate::parts;

/// What a feeder's deviation from its award costs, per MWh of either direction and per Mvarh.
const SPREAD: i64 = 20_000_000;
const REACTIVE: Price = Price(2_000_000);

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

/// A feeder behind a voltage that the area plans.
fn behind(feeder: &Part, award: &TenantAward) -> Part {
    let mut part = feeder.clone();
    part.case.interface[0].u_pu = award.u_pu;
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
        voltage: of.voltage.clone(),
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
            let of = parts::fixed(unit.node, award.p_w, award.q_var);
            whole.case.fixed.push(of);
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
        let feeders_now = sample.feeders.iter().zip(&awards);
        feeders = feeders_now.map(|(of, award)| behind(of, award)).collect();
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

/// A grid, by its seed: what its layers lose, whether limits are kept, whether any of the area's own network bind.
#[derive(Debug)]
struct Compared {
    seed: u64,
    lost: f64,
    kept: bool,
    in_area: bool,
}

/// The first random grids on which limits bind.
fn compared(kind: Kind, grids: usize) -> Vec<Compared> {
    let compare = |seed: u64| {
        let sample = sample(seed, kind);
        let whole = cleared(&sample.whole);
        if !is_kept(&whole) || whole.binding.is_empty() {
            return None;
        }
        let of = layered(&sample, &whole);
        Some(Compared {
            seed,
            lost: (of.whole - of.layers) / of.whole,
            kept: of.kept,
            in_area: of.in_area,
        })
    };
    (0..).filter_map(compare).take(grids).collect()
}

fn summary<'a>(of: impl Iterator<Item = &'a Compared>) -> String {
    let mut of: Vec<&Compared> = of.collect();
    of.sort_by(|a, b| a.lost.total_cmp(&b.lost));
    let at = |share: f64| 100.0 * of[(share * (of.len() - 1) as f64) as usize].lost;
    format!(
        "{} grids up to seed {:?}; lost {:.4} % least, {:.4} % median, {:.4} % nine tenths, {:.4} % most",
        of.len(),
        of.iter().map(|of| of.seed).max(),
        at(0.0),
        at(0.5),
        at(0.9),
        at(1.0),
    )
}

fn is_wrong(of: &&Compared) -> bool {
    !of.kept || of.lost >= 0.01
}

#[test]
fn layers_lose_less_than_a_hundredth_of_the_welfare() {
    let of = compared(Kind::Stronger, 60);
    println!("{}", summary(of.iter()));
    for of in of.iter().filter(|of| of.lost > 0.003 || !of.kept) {
        println!("{of:?}");
    }
    let wrong: Vec<&Compared> = of.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Where the area's own network is the bottleneck.
#[test]
fn so_do_they_where_limits_bind_in_the_area() {
    let of = compared(Kind::Weaker, 45);
    println!("{}", summary(of.iter()));
    for of in of.iter().filter(|of| of.lost > 0.003 || !of.kept) {
        println!("{of:?}");
    }
    let wrong: Vec<&Compared> = of.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let in_area = of.iter().filter(|of| of.in_area).count();
    assert!(in_area >= 20, "{in_area}");
}

/// Where the highest voltage binds behind one connection, and others could lower it, too.
#[test]
fn and_in_areas_of_either_kind() {
    let of = compared(Kind::Drawn, 60);
    println!("{}", summary(of.iter()));
    for of in of.iter().filter(|of| of.lost > 0.002 || !of.kept) {
        println!("{of:?}");
    }
    let wrong: Vec<&Compared> = of.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
