//! What the running loop shows to the outside, and what the outside may ask of it: the only seam
//! between the loop and its servers, web and northbound.

use std::{fmt, sync::Arc};

use protocols::opcua::message::Up;
use solver::market::LedgerEntry;
use tokio::sync::{mpsc, oneshot, watch};

use crate::above;
use crate::cycle::{HoldCommand, Holds, NotSwitched, Refusal, SwitchCommand, SwitchStep};
use crate::feed::Feed;
use crate::links;
use crate::metering;
use crate::participants::{Change, Register};
use crate::store::Ledger;
use crate::table::Snapshot;
use crate::web::api::{
    AboveView, AlarmView, AreaView, BreakerView, DeviceView, DispatchView, ExplanationView,
    HoldView, IntervalView, NetworkState, NetworkView, NewOrder, OrderView, PointView, Problem,
    ReceiptView, Status,
};

/// Who asks for something that goes on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A user, by name.
    User(String),
    /// A participant's program.
    Token {
        /// Of which token.
        id: String,
        /// For whom it speaks; orders of others are not its to touch.
        participant: String,
    },
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Token { id, participant } => write!(f, "token {id} of {participant}"),
        }
    }
}

/// Everything shown, replaced as a whole after each cycle. Parts that did not change are shared.
#[derive(Clone, Debug)]
pub struct Published {
    /// Health and figures.
    pub status: Arc<Status>,
    /// The network as built, and whose its units are.
    pub network: Arc<NetworkView>,
    /// Who takes part.
    pub register: Arc<Register>,
    /// Connections.
    pub devices: Arc<Vec<DeviceView>>,
    /// All points, sorted by id.
    pub points: Arc<Vec<PointView>>,
    /// The estimated state; `None` before the first estimate.
    pub network_state: Option<Arc<NetworkState>>,
    /// Intervals, newest first: open ones, the current one and the recent past.
    pub intervals: Arc<Vec<Arc<IntervalView>>>,
    /// Orders of those intervals, newest first.
    pub orders: Arc<Vec<OrderView>>,
    /// Setpoints in force.
    pub dispatch: Arc<Vec<DispatchView>>,
    /// Alarms, newest first: standing ones and the recent past.
    pub alarms: Arc<Vec<AlarmView>>,
    /// The point table that all this is made from.
    pub snapshot: Arc<Snapshot>,
    /// Units that a control centre or an operator holds.
    pub holds: Arc<Holds>,
    /// The same, as shown.
    pub held: Arc<Vec<HoldView>>,
    /// Breakers that can be operated.
    pub breakers: Arc<Vec<BreakerView>>,
    /// The market above; none: the site has none.
    pub above: Option<Upwards>,
    /// The market of an area; `None`: this is a substation.
    pub area: Option<Arc<AreaView>>,
}

/// The market above, as it is on record.
#[derive(Clone, Debug)]
pub struct Upwards {
    /// As shown.
    pub view: Arc<AboveView>,
    /// What is to be sent, in this order.
    pub outbox: Arc<Vec<Up>>,
}

/// What may be asked about an order, before its gate closes.
#[derive(Debug)]
pub enum OrderAsk {
    /// Take it.
    Place(NewOrder),
    /// Replace the order of this number.
    Amend(u64, NewOrder),
    /// Cancel the order of this number.
    Cancel(u64),
}

/// What may be asked of the loop. Each is answered once it is durable.
#[derive(Debug)]
pub enum Request {
    /// Something about an order.
    Order {
        /// What.
        ask: OrderAsk,
        /// Who asks.
        by: Asker,
        /// The order as it stands now, or why not.
        answer: oneshot::Sender<Result<OrderView, Problem>>,
    },
    /// Change who takes part.
    Register {
        /// What changes.
        change: Change,
        /// Who asks.
        by: Asker,
        /// Where it is on record, if it changed anything; or why not.
        answer: oneshot::Sender<Result<Option<ReceiptView>, Problem>>,
    },
    /// Take values of meters, and what they change in what was settled.
    MeterValues {
        /// They.
        values: Vec<metering::Value>,
        /// Corrections, made of the record by who asks: it is too long a read for the loop to wait.
        corrections: Vec<LedgerEntry>,
        /// Who asks.
        by: Asker,
        /// Where they are on record.
        answer: oneshot::Sender<Result<Option<ReceiptView>, Problem>>,
    },
    /// Say why a unit was awarded what it was.
    Explain {
        /// Start of the interval, UTC, s since 1970.
        interval: i64,
        /// The unit.
        unit: i32,
        /// Why, or why that cannot be said.
        answer: oneshot::Sender<Result<ExplanationView, Problem>>,
    },
    /// Hold a unit for a control centre or an operator, or give it back.
    Command {
        /// What.
        command: HoldCommand,
        /// Only say whether it would be done.
        check: bool,
        /// Done, or why not.
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Operate a breaker.
    Switch {
        /// Which, and how.
        command: SwitchCommand,
        /// Which part of it.
        step: SwitchStep,
        /// Its device has done it, or why not.
        answer: oneshot::Sender<Result<(), NotSwitched>>,
    },
    /// Take what the wire to the market above tells.
    Above {
        /// It.
        event: above::Event,
        /// It is on record, as far as it belongs there.
        answer: oneshot::Sender<()>,
    },
    /// Put on record what is trusted at a link between markets.
    Link {
        /// What.
        event: links::Event,
        /// It is on record.
        answer: oneshot::Sender<Result<(), Problem>>,
    },
    /// Call on a tenant of the area for an exchange.
    Call {
        /// Whom.
        tenant: String,
        /// Start of the interval, UTC, s since 1970.
        interval: i64,
        /// For what, W; none: not any more.
        exchange_w: Option<i64>,
        /// Who asks.
        by: Asker,
        /// Where it is on record, if it changed anything; or why not.
        answer: oneshot::Sender<Result<Option<ReceiptView>, Problem>>,
    },
    /// Note that a person has seen an alarm.
    AcknowledgeAlarm {
        /// Its number.
        id: u64,
        /// Who.
        user: String,
        /// The alarm, or why not.
        answer: oneshot::Sender<Result<AlarmView, Problem>>,
    },
}

/// A server's hold on the running loop.
#[derive(Clone, Debug)]
pub struct Handle {
    /// The record, to read.
    pub ledger: Arc<Ledger>,
    /// What devices report, change by change.
    pub feed: Feed,
    /// The latest state.
    pub published: watch::Receiver<Arc<Published>>,
    /// Requests to the loop.
    pub requests: mpsc::Sender<Request>,
    /// The ends of links between markets.
    pub links: Arc<[links::End]>,
}
