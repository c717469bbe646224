//! Who takes part, while the loop runs: decided first, on record next, taken over last, as orders are.

use std::sync::Arc;

use solver::market::{Contracts, Order, Party};

use super::{
    book::PlacedBy,
    step::{Cycle, market_unit},
    view,
};
use crate::{
    clock::rfc3339_s, participants::Change, published::Asker, store::Record, web::api::Problem,
};

impl Cycle {
    /// Decides on a change of who takes part; nothing changes yet. No record: it is so already.
    ///
    /// # Errors
    /// Why it may not be.
    pub fn decide_change(
        &self,
        change: Change,
        by: &Asker,
        now_us: i64,
    ) -> Result<Option<Record>, Problem> {
        self.register.check(&change, now_us)?;
        if !self.register.changes(&change) {
            return Ok(None);
        }
        match &change {
            Change::Assigned { participant, units } => {
                self.nothing_ordered(now_us, false, |order| {
                    units.contains(&order.unit) && order.participant != *participant
                })?;
            }
            Change::ParticipantRemoved { name } => {
                self.nothing_ordered(now_us, true, |order| order.participant == *name)?;
                self.nothing_owed(name)?;
            }
            _ => {}
        }
        Ok(Some(Record::Registered {
            at_us: now_us,
            by: by.to_string(),
            change,
        }))
    }

    /// Whoever gave an order for a unit answers for it: while one stands, the unit stays whose it is.
    /// A call stays with the unit, whoever owns it, but not without who called.
    fn nothing_ordered(
        &self,
        now_us: i64,
        calls: bool,
        about: impl Fn(&Order) -> bool,
    ) -> Result<(), Problem> {
        let product = &self.book.product;
        let standing = self.book.orders.values().find(|placed| {
            let open = now_us < product.end_us(placed.last());
            let counts = calls || placed.call().is_none();
            let stands = placed.by == PlacedBy::Api && !placed.cancelled && open;
            stands && counts && about(&placed.order)
        });
        let Some(placed) = standing else {
            return Ok(());
        };
        let order = &placed.order;
        Err(Problem {
            error: "standing_order".to_owned(),
            message: format!(
                "order {} of `{}` for unit {} in the interval of {} stands",
                order.id,
                order.participant,
                order.unit,
                rfc3339_s(order.interval)
            ),
            accepted: Some("the same once it is cancelled, or the interval has ended".to_owned()),
        })
    }

    /// Nothing is contracted with a participant that is not delivered and settled.
    fn nothing_owed(&self, name: &str) -> Result<(), Problem> {
        let own = |party: &Party| matches!(party, Party::Participant(of) if of == name);
        let mut owed = self
            .book
            .intervals
            .values()
            .filter(|of| of.owed().is_some());
        let with = owed.find(|of| {
            let contracts = of.contracts.iter();
            contracts.flat_map(Contracts::parties).any(own)
        });
        let Some(interval) = with else {
            return Ok(());
        };
        Err(Problem {
            error: "contracted".to_owned(),
            message: format!(
                "`{name}` has contracts in the interval of {}, which is not settled",
                rfc3339_s(interval.start)
            ),
            accepted: Some("the same once it is".to_owned()),
        })
    }

    /// Takes over a change that is on record.
    pub fn settle_change(&mut self, change: &Change, at_us: i64) {
        Arc::make_mut(&mut self.register).apply(change, at_us);
        match change {
            Change::Participant { .. } | Change::ParticipantRemoved { .. } => {
                self.registry.callers = self.register.callers();
            }
            Change::DerRemoved { unit } if !self.register.units.contains_key(unit) => {
                self.registry.units.remove(unit);
            }
            Change::Assigned { .. } => self.hand_over(),
            Change::Der(der) => {
                if let Some(unit) = self.register.units.get(&der.unit) {
                    let unit = view::market_member(unit);
                    self.registry.units.insert(unit.id, unit);
                }
            }
            _ => {}
        }
    }

    /// Units and loads are whose the register says.
    fn hand_over(&mut self) {
        let register = Arc::clone(&self.register);
        let owner = |id: i32| register.units.get(&id).map(|of| of.der.participant.clone());
        let site = Arc::make_mut(&mut self.site);
        for unit in &mut site.units {
            if let Some(owner) = owner(unit.id) {
                unit.participant = owner;
            }
        }
        for load in &mut site.loads {
            if let Some(owner) = owner(load.id) {
                load.participant = owner;
            }
        }
        self.network = Arc::new(view::network(site));
        let units = site.units.iter().map(market_unit);
        let ours: Vec<_> = units.collect();
        let without_device = register.units.values().filter(|of| !of.of_site);
        let all = without_device.map(view::market_member).chain(ours);
        self.registry.units = all.map(|unit| (unit.id, unit)).collect();
    }

    /// A participant's program may touch its own orders only.
    ///
    /// # Errors
    /// The order is another's.
    pub fn may_touch(&self, order: u64, by: &Asker) -> Result<(), Problem> {
        let Asker::Token { participant, .. } = by else {
            return Ok(());
        };
        match self.book.orders.get(&order) {
            Some(placed) if placed.order.participant != *participant => Err(not_yours(
                participant,
                &format!("order {order} is another's"),
            )),
            _ => Ok(()),
        }
    }
}

/// What a participant's program asks for is another's.
#[must_use]
pub fn not_yours(participant: &str, message: &str) -> Problem {
    Problem {
        error: "not_yours".to_owned(),
        message: message.to_owned(),
        accepted: Some(format!("what is of `{participant}`, whose token this is")),
    }
}
