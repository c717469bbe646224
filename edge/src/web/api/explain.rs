//! Why a unit was awarded what it was.

use serde::Serialize;
use utoipa::ToSchema;

/// Why a unit was awarded what it was in an interval.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExplanationView {
    /// Start of the interval.
    pub interval: String,
    /// Unit id.
    pub unit: i32,
    /// Its node.
    pub node: i32,
    /// Active power awarded, generation-positive, W.
    pub p_w: f64,
    /// Reactive power awarded, generation-positive, var.
    pub q_var: f64,
    /// Price of active power at its node, and what it is made of.
    pub price: PricePartsView,
    /// Each step of its orders.
    pub steps: Vec<StepView>,
    /// Limits that bind, the one that weighs most on the price here first.
    pub limits: Vec<LimitPartView>,
    /// What more of the unit itself would be worth, where it is at its own limit.
    pub own_relief: Vec<ReliefView>,
    /// All of that in sentences.
    pub text: Vec<String>,
}

/// What a price of active power is made of; the parts and those of the limits add up to it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PricePartsView {
    /// The price.
    pub per_mwh: f64,
    /// Energy at the sources.
    pub energy_per_mwh: f64,
    /// Marginal losses.
    pub loss_per_mwh: f64,
    /// What no part explains: the search's tolerance, or what prices were cut by.
    pub rest_per_mwh: f64,
}

/// One step of an order.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StepView {
    /// Number of the order.
    pub order: u64,
    /// `sell` or `buy`.
    pub direction: String,
    /// Asked, W; of reactive power, var.
    pub quantity_w: i64,
    /// Taken, W; of reactive power, var.
    pub taken_w: f64,
    /// Limit price, per MWh or Mvarh.
    pub limit_per_mwh: f64,
    /// `taken`, `sets_the_price`, `out_of_the_money`, `beyond_capability`, `called`, `scheduled` or
    /// `undecided`.
    pub verdict: String,
}

/// What a little more room is worth to everybody together.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReliefView {
    /// `mpu` (a thousandth of rated voltage), `A`, `kVA`, `kW` or `kvar`.
    pub unit: String,
    /// Worth of one such unit more, per hour.
    pub worth_per_h: f64,
}

/// A limit that binds, as the unit sees it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LimitPartView {
    /// In words.
    pub text: String,
    /// The limit: pu, A, VA or W.
    pub bound: f64,
    /// The value, same unit.
    pub value: f64,
    /// Its part of the price here.
    pub per_mwh: f64,
    /// Its part of all that limits make of the price here, 0 to 1.
    pub share: f64,
    /// What one more unit of it would be worth.
    pub relief: ReliefView,
    /// What it rests on: ratings, margins, measurements.
    pub behind: Option<String>,
}
