//! Intervals with their prices, awards and settlements; orders.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::Receipt;

/// A market interval.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct IntervalView {
    /// Start.
    pub start: String,
    /// End.
    pub end: String,
    /// When its gate closes or closed.
    pub gate_closure: String,
    /// `open`, `gate_closed`, `cleared`, `delivering`, `delivered`, `settled`, `failed` or `void`.
    pub phase: String,
    /// `optimal`, `feasible`, `least_violation`, or `null` before clearing.
    pub status: Option<String>,
    /// Why it failed or is void, or what cannot be met.
    pub message: Option<String>,
    /// Orders taking part.
    pub orders: u32,
    /// Operating cost of the cleared dispatch (import at the import price, units at their orders), per hour.
    pub cost_per_h: Option<f64>,
    /// Power from the grid above, import-positive, W.
    pub import_w: Option<f64>,
    /// Reactive power from the grid above, import-positive, var.
    pub import_var: Option<f64>,
    /// Price at each node.
    pub prices: Vec<PriceView>,
    /// By phase: price of power in each live phase of each node. A node's price is that of power shared
    /// alike by its phases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phase_prices: Vec<PhasePriceView>,
    /// Limits that bind.
    pub binding: Vec<BindingView>,
    /// What each unit shall do.
    pub awards: Vec<AwardView>,
    /// The independent power flow of the result.
    pub ac_check: Option<AcCheckView>,
    /// What looking ahead for stores and windows found; `null`: there were none.
    pub ahead: Option<AheadView>,
    /// Duration of the clearing, microseconds.
    pub took_us: Option<u64>,
    /// Who sold what to whom.
    pub contracts: Vec<ContractView>,
    /// Reactive power that the network bought.
    pub reactive: Vec<ReactiveView>,
    /// Calls that bound a unit, and what was paid for them.
    pub calls: Vec<CallView>,
    /// Who paid whom, once settled.
    pub settlement: Vec<SettlementView>,
    /// What was settled otherwise since, to be added: meters that say something else now.
    pub corrections: Vec<SettlementView>,
}

/// Price at a node: cost of one more unit of load there.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PriceView {
    /// Node id.
    pub node: i32,
    /// Active power, per MWh.
    pub p_per_mwh: f64,
    /// Reactive power, per Mvarh.
    pub q_per_mvarh: f64,
}

/// Price of power in a phase of a node.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PhasePriceView {
    /// Node id.
    pub node: i32,
    /// `a`, `b` or `c`.
    pub phase: String,
    /// Active power, per MWh.
    pub p_per_mwh: f64,
    /// Reactive power, per Mvarh.
    pub q_per_mvarh: f64,
}

/// A limit that binds.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BindingView {
    /// `u_max`, `u_min`, `current`, `apparent`, `import`, `export`.
    pub kind: String,
    /// Id of the node, branch or source.
    pub element: i32,
    /// By phase: `a`, `b` or `c`, if it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// In words.
    pub text: String,
    /// The limit: pu, A, VA or W.
    pub bound: f64,
    /// The value, same unit.
    pub value: f64,
    /// Saving per hour and unit of relief.
    pub shadow_price: f64,
}

/// What a unit shall do in an interval.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AwardView {
    /// Unit id.
    pub unit: i32,
    /// Active power, generation-positive, W.
    pub p_w: f64,
    /// Reactive power, generation-positive, var.
    pub q_var: f64,
    /// Offered for sale, W.
    pub offered_w: f64,
    /// Bid for, W.
    pub bid_w: f64,
    /// Energy contracted, generation-positive, Wh.
    pub energy_wh: i64,
}

/// What the independent power flow says of a clearing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AcCheckView {
    /// Within every limit.
    pub ok: bool,
    /// Lowest voltage, pu.
    pub u_min_pu: f64,
    /// Highest voltage, pu.
    pub u_max_pu: f64,
    /// Highest loading, 1 is full.
    pub loading_max: f64,
    /// Difference of the grid exchange between market model and power flow, W.
    pub gap_w: f64,
    /// Times limits were tightened until it held.
    pub tightened: u32,
}

/// What looking ahead found. The interval itself is the first; only that binds.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AheadView {
    /// Intervals that were looked at, this one included.
    pub intervals: u32,
    /// Whether the budget of programmes ended the search. With one interval: it was not enough to
    /// clear each once, and this one was cleared by itself.
    pub out_of_budget: bool,
    /// Improvement that the search still promised, currency.
    pub gap: f64,
    /// Stores and windows.
    pub schedules: Vec<ScheduleView>,
}

/// What a store or window does when, as far as is in view.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ScheduleView {
    /// Number of the order.
    pub order: u64,
    /// Unit.
    pub unit: i32,
    /// Power in each interval, generation-positive, W.
    pub p_w: Vec<f64>,
    /// Energy in the store at each interval's end, Wh; none for a window.
    pub energy_wh: Vec<f64>,
    /// What one more MWh in the store at each interval's end would be worth; none for a window.
    pub value_per_mwh: Vec<f64>,
}

/// Who sold what to whom. All money goes through the network's account.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ContractView {
    /// Account of who delivers.
    pub seller: String,
    /// Its unit, if one.
    pub seller_unit: Option<i32>,
    /// Its node.
    pub seller_node: i32,
    /// Account of who takes.
    pub buyer: String,
    /// Its unit, if one.
    pub buyer_unit: Option<i32>,
    /// Its node.
    pub buyer_node: i32,
    /// Energy, Wh.
    pub energy_wh: i64,
    /// What the seller receives, per MWh.
    pub seller_price_per_mwh: f64,
    /// What the buyer pays, per MWh.
    pub buyer_price_per_mwh: f64,
    /// What the seller receives, micro-currency.
    pub received_micro: i64,
    /// What the buyer pays, micro-currency, without grid fee.
    pub paid_micro: i64,
    /// Grid fee, micro-currency.
    pub fee_micro: i64,
    /// Electrical distance, pu on 1 MVA; `null` for losses.
    pub distance_pu: Option<f64>,
    /// Agreed between the two.
    pub bilateral: bool,
    /// With the grid above: on what the exchange rests that it is part of: `award`, `last_award`, `schedule`
    /// or `zero`; `null`: there is no market above.
    pub basis: Option<String>,
}

/// Reactive power that the network bought of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReactiveView {
    /// Account of who gives it.
    pub account: String,
    /// Unit.
    pub unit: Option<i32>,
    /// Node.
    pub node: i32,
    /// Injected, varh; negative where absorbed.
    pub varh: i64,
    /// What it is paid, per Mvarh of either direction.
    pub price_per_mvarh: f64,
    /// What it receives, micro-currency.
    pub received_micro: i64,
}

/// What the DSO pays for a call that bound a unit.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CallView {
    /// Number of the call.
    pub order: u64,
    /// Who called, and pays.
    pub caller: String,
    /// Account of the unit's owner.
    pub account: String,
    /// Unit.
    pub unit: Option<i32>,
    /// Node.
    pub node: i32,
    /// What it delivers by the call less what it would have delivered without, Wh.
    pub energy_wh: i64,
    /// Paid per MWh of that, whichever way it goes.
    pub compensation_per_mwh: f64,
    /// What the owner receives, micro-currency.
    pub received_micro: i64,
}

/// One line of a settlement.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SettlementView {
    /// Participant, or `upstream`, or `network`.
    pub account: String,
    /// Unit, if one.
    pub unit: Option<i32>,
    /// Contracted energy, generation-positive, Wh.
    pub contracted_wh: i64,
    /// Metered energy, generation-positive, Wh.
    pub metered_wh: i64,
    /// `metered`, `replaced`, `estimated` or `missing`.
    pub quality: String,
    /// Reactive power that was ordered, injected, varh; negative where absorbed.
    pub reactive_varh: i64,
    /// What the account receives (negative: pays), micro-currency.
    pub amount_micro: i64,
}

/// An order to be placed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "client_id": "a1", "node": 3, "unit": 93, "participant": "prosumers",
    "interval": "2026-06-21T12:00:10Z", "direction": "sell",
    "steps": [{ "quantity_w": 50000, "price_per_mwh": 20.0 }]
}))]
pub struct NewOrder {
    /// The sender's own id for it; sending the same one again changes nothing.
    pub client_id: String,
    /// Node of the flexibility.
    pub node: i32,
    /// Unit, where the participant has more than one at the node.
    pub unit: Option<i32>,
    /// Participant it is placed for.
    pub participant: String,
    /// Start of the interval, RFC 3339.
    pub interval: String,
    /// `sell` or `buy`.
    pub direction: String,
    /// The curve; none for storage.
    #[serde(default)]
    pub steps: Vec<OrderStep>,
    /// What the curve is of; by default active power.
    #[serde(default)]
    pub kind: OrderKind,
    /// Must-run (`sell`) or must-serve (`buy`): taken whatever the price; what is said of prices does
    /// not count.
    #[serde(default)]
    pub must: bool,
    /// Trades with this participant only, who has to name this one.
    #[serde(default)]
    pub counterparty: Option<String>,
}

/// What an order is of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderKind {
    /// Mean active power over the interval.
    #[default]
    Energy,
    /// Reactive power: quantities in var, prices per Mvarh. `sell` injects, `buy` absorbs; the unit
    /// is paid at least its price for either.
    Reactive,
    /// A store, to be used in this interval with those after it in view; `sell`, without steps. What
    /// it holds, and the power it is able to, is the battery's own to say when the gate closes.
    Storage {
        /// Least energy in it at any interval's end, Wh.
        energy_min_wh: i64,
        /// Most energy in it at any interval's end, Wh.
        energy_max_wh: i64,
        /// Stored of what is taken from the grid, above 0 to 1.
        charge_efficiency: f64,
        /// Given to the grid of what is taken out of store, above 0 to 1.
        discharge_efficiency: f64,
        /// Cost of wear, per MWh given to the grid.
        wear_per_mwh: f64,
        /// What a MWh left in it after the last interval in view is worth.
        end_value_per_mwh: f64,
    },
    /// Energy at any time from this interval on, with one step: the most power, and the price.
    Window {
        /// End of the last interval, RFC 3339.
        end: String,
        /// Energy over all of them, Wh; all of it or less, never more.
        energy_wh: i64,
    },
    /// A call by the DSO of anybody's unit: a cap, a floor, or both, which may be the same; `sell`, without
    /// steps. It is not traded but kept, and what it changes is paid for.
    Call {
        /// Least power, generation-positive, W.
        #[serde(default)]
        p_min_w: Option<i64>,
        /// Most power, generation-positive, W.
        #[serde(default)]
        p_max_w: Option<i64>,
        /// Paid to the unit's owner for each MWh that it delivers more, or less, than without.
        compensation_per_mwh: f64,
        /// End of the last interval, RFC 3339; by default it is for one.
        #[serde(default)]
        end: Option<String>,
    },
}

/// One step of an order's curve.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderStep {
    /// Power added by this step, W; of reactive power, var.
    pub quantity_w: i64,
    /// Limit price, per MWh; of reactive power, per Mvarh.
    pub price_per_mwh: f64,
}

/// An accepted order.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 41, "client_id": "a1", "participant": "prosumers", "unit": 93, "node": 3,
    "interval": "2026-06-21T12:00:10Z", "direction": "sell",
    "steps": [{ "quantity_w": 50000, "price_per_mwh": 20.0 }], "kind": { "of": "energy" }, "must": false,
    "counterparty": null, "placed_by": "api",
    "state": "accepted", "awarded_w": null, "taken_wh": null,
    "receipt": {
        "record": 1207,
        "hash": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }
}))]
pub struct OrderView {
    /// Number given on acceptance.
    pub id: u64,
    /// The sender's id.
    pub client_id: String,
    /// Participant.
    pub participant: String,
    /// Unit.
    pub unit: i32,
    /// Node.
    pub node: i32,
    /// Start of the interval.
    pub interval: String,
    /// `sell` or `buy`.
    pub direction: String,
    /// The curve.
    pub steps: Vec<OrderStep>,
    /// What the curve is of.
    pub kind: OrderKind,
    /// Taken whatever the price.
    pub must: bool,
    /// Who alone it trades with.
    pub counterparty: Option<String>,
    /// `api` or `agent`.
    pub placed_by: String,
    /// `accepted`, `cancelled`, `awarded`, `partly_awarded`, `not_awarded`.
    pub state: String,
    /// Power awarded, W, of a store negative where it charges; of reactive power, var; of a window, in
    /// the interval cleared last; of a call, what its unit was awarded then.
    pub awarded_w: Option<f64>,
    /// Of a window: energy awarded up to now, Wh.
    pub taken_wh: Option<i64>,
    /// In the answer to placing or cancelling: where that is on record.
    pub receipt: Option<ReceiptView>,
}

/// Proof that something is on record: the signed chain of the ledger contains this hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReceiptView {
    /// Number of the record in the ledger.
    pub record: u64,
    /// SHA-256 of the chain up to and with it, hexadecimal.
    pub hash: String,
}

/// Who signs the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LedgerKey {
    /// Ed25519 (RFC 8032), hexadecimal.
    pub public_key: String,
}

impl From<Receipt> for ReceiptView {
    fn from(receipt: Receipt) -> Self {
        Self {
            record: receipt.number,
            hash: receipt.hash.to_string(),
        }
    }
}
