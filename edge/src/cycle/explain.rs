//! Why a unit was awarded what it was: the clearing's own account in the site's names, and what each
//! limit rests on.

use std::collections::BTreeMap;

use solver::{
    market::{
        Auction, Direction,
        clearing::{
            Award, Binding, Case, Clearing, Explanation, Limit, Names, Relief, Verdict, explain,
            price_parts,
        },
    },
    network::{Grid, Id, Side},
};

use super::{book::Outcome, step::Cycle};
use crate::{
    clock::rfc3339_s,
    site::{BayOf, Site},
    web::api::{ExplanationView, LimitPartView, PricePartsView, Problem, ReliefView, StepView},
};

impl Cycle {
    /// Why a unit was awarded what it was in an interval.
    ///
    /// # Errors
    /// There is no such clearing or unit.
    pub fn explain(&self, interval: i64, unit: Id) -> Result<ExplanationView, Problem> {
        let found = self.book.intervals.get(&interval);
        let Some(Outcome::Cleared(cleared)) = found.map(|of| &of.outcome) else {
            let start = rfc3339_s(interval);
            let message = format!("the interval that starts at {start} is not cleared");
            return Err(refuse(message, "an interval that is cleared and kept here"));
        };
        // From the record, so that it is the same after a restart.
        let grid = self.networks.grid(&cleared.gate.network);
        let explained = Explained {
            auction: &cleared.gate.auction,
            clearing: &cleared.clearing,
            without_calls: &cleared.without_calls,
        };
        explained.why(Some(&self.site), grid.as_ref(), interval, unit)
    }
}

/// A clearing to be explained, as it is on record.
pub(crate) struct Explained<'a> {
    /// What was cleared.
    pub(crate) auction: &'a Auction,
    /// The result.
    pub(crate) clearing: &'a Clearing,
    /// What called units would have been awarded without the calls.
    pub(crate) without_calls: &'a [Award],
}

impl Explained<'_> {
    /// Why a unit was awarded what it was, in the site's names; by numbers where it is not known.
    ///
    /// # Errors
    /// The network is not known, or the unit took no part.
    pub(crate) fn why(
        &self,
        site: Option<&Site>,
        grid: Option<&Grid>,
        interval: i64,
        unit: Id,
    ) -> Result<ExplanationView, Problem> {
        let (start, case) = (rfc3339_s(interval), &self.auction.case);
        let parts = grid.and_then(|grid| {
            let parts = price_parts(grid, case, self.clearing).ok()?;
            Some((parts, grid))
        });
        let Some((parts, grid)) = parts else {
            let message = format!("the network of the interval that starts at {start} is not kept");
            return Err(refuse(message, "a later interval"));
        };
        let mut names = match site {
            Some(site) => names(site, grid, case, self.clearing),
            None => Names::default(),
        };
        let calls = self.auction.calls.as_ref();
        let sentence = calls.and_then(|calls| calls.sentence(unit, self.without_calls));
        names.called = sentence.map(|text| (unit, text)).into_iter().collect();
        let explained = explain(case, self.clearing, &parts, unit, &names);
        let explained = explained.ok_or_else(|| {
            let message =
                format!("unit {unit} took no part in the interval that starts at {start}");
            refuse(message, "a unit that took part")
        })?;
        Ok(view(start, explained))
    }
}

fn refuse(message: String, accepted: &str) -> Problem {
    Problem {
        error: "not_explained".to_owned(),
        message,
        accepted: Some(accepted.to_owned()),
    }
}

/// The site's names, and what each limit that binds rests on.
fn names(site: &Site, grid: &Grid, case: &Case, clearing: &Clearing) -> Names {
    let nodes = site.nodes.iter().map(|node| (node.id, node.name.clone()));
    let units = site.units.iter().map(|unit| (unit.id, unit.name.clone()));
    let limits = clearing.binding.iter();
    Names {
        element: nodes.chain(units).collect(),
        behind: limits
            .filter_map(|of| Some((of.limit, of.phase, behind(site, grid, case, of)?)))
            .collect(),
        called: BTreeMap::new(),
    }
}

fn behind(site: &Site, grid: &Grid, case: &Case, binding: &Binding) -> Option<String> {
    let voltage = |node: Id, given: f64, kept: f64| {
        format!(
            "{given} pu of the site file, drawn in by {:.5} pu since the estimate is not certain; {}",
            (given - kept).abs(),
            measured(site, |of| is_at_node(grid, of, node))
        )
    };
    match binding.limit {
        Limit::UMax { node } => Some(voltage(node, site.limits.u_max_pu, binding.bound)),
        Limit::UMin { node } => Some(voltage(node, site.limits.u_min_pu, binding.bound)),
        Limit::Current { branch, .. } | Limit::Apparent { branch, .. } => {
            let of = case.limits.branches.iter().find(|of| of.branch == branch)?;
            Some(format!(
                "{:.2} % of its rating, the rest being margin and the estimate's uncertainty; {}",
                100.0 * of.loading_max,
                measured(
                    site,
                    |of| matches!(of, BayOf::Branch { branch: own, .. } if *own == branch)
                )
            ))
        }
        Limit::Import { .. } | Limit::Export { .. } => None,
    }
}

/// A bay at a branch's end, or of loads, measures the voltage there too.
fn is_at_node(grid: &Grid, bay: &BayOf, node: Id) -> bool {
    match bay {
        BayOf::Loads { node: own, .. } => *own == node,
        BayOf::Branch { branch, side } => grid.index_of_branch(*branch).is_some_and(|k| {
            let of = &grid.branches[k];
            let end = match side {
                Side::From => of.from,
                Side::To => of.to,
            };
            grid.node_id[end] == node
        }),
    }
}

fn measured(site: &Site, wanted: impl Fn(&BayOf) -> bool) -> String {
    let devices = site.devices.iter().flat_map(|device| {
        let bays = device.bays.iter().filter(|bay| wanted(&bay.of));
        bays.map(move |bay| format!("{} bay {}", device.id, bay.number))
    });
    let devices: Vec<String> = devices.collect();
    if devices.is_empty() {
        "no bay measures it".to_owned()
    } else {
        format!("measured by {}", devices.join(", "))
    }
}

fn view(interval: String, of: Explanation) -> ExplanationView {
    let relief = |of: Relief| ReliefView {
        unit: of.unit,
        worth_per_h: of.worth_per_h,
    };
    let steps = of.orders.iter().flat_map(|order| {
        order.steps.iter().map(|step| StepView {
            order: order.order.0,
            direction: match order.direction {
                Direction::Sell => "sell".to_owned(),
                Direction::Buy => "buy".to_owned(),
            },
            quantity_w: step.quantity_w,
            taken_w: step.taken_w,
            limit_per_mwh: step.limit_per_mwh,
            verdict: verdict(step.verdict).to_owned(),
        })
    });
    ExplanationView {
        interval,
        unit: of.unit,
        node: of.node,
        p_w: of.award.p_w,
        q_var: of.award.q_var,
        steps: steps.collect(),
        price: PricePartsView {
            per_mwh: of.price.p_per_mwh(),
            energy_per_mwh: of.price.energy_per_mwh,
            loss_per_mwh: of.price.loss_p_per_mwh,
            rest_per_mwh: of.price.rest_p_per_mwh,
        },
        limits: of
            .limits
            .into_iter()
            .map(|of| LimitPartView {
                text: of.text,
                bound: of.binding.bound,
                value: of.binding.value,
                per_mwh: of.p_per_mwh,
                share: of.share,
                relief: relief(of.relief),
                behind: of.behind,
            })
            .collect(),
        own_relief: of.own_relief.into_iter().map(relief).collect(),
        text: of.text,
    }
}

fn verdict(of: Verdict) -> &'static str {
    match of {
        Verdict::Taken => "taken",
        Verdict::SetsThePrice => "sets_the_price",
        Verdict::OutOfTheMoney => "out_of_the_money",
        Verdict::BeyondCapability => "beyond_capability",
        Verdict::Called => "called",
        Verdict::Scheduled => "scheduled",
        Verdict::Undecided => "undecided",
    }
}
