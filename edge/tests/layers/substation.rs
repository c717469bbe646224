//! A substation without field and estimate: what its loads and its sun are is drawn from a seed, for each of
//! the day's hours; all else is the appliance's own: a real feeder, its curve, its clearing, the machine of the
//! market above.

use std::collections::BTreeMap;

use edge::{
    above::{Entry, Event, Fallback, Tenant, Terms, passed},
    clock::US,
};
use protocols::opcua::message::{Offer, State, Total, Up};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use solver::{
    market::{
        Capability, Direction, Imbalance, Money, Order, OrderId, Party, Price, Settlement,
        StatementLine, StatementReason, Step, Terms as OrderTerms, Unit,
        clearing::{Case, Controls, Interface, LimitSet, NodePower, Options, Status, clear},
    },
    network::{Grid, Id, pgm_json},
};

/// Who holds orders in two of them.
pub(crate) const AGGREGATOR: &str = "flex-co";
/// Where it does.
pub(crate) const AGGREGATED: [&str; 2] = ["north", "south"];
/// Length of an interval, s.
pub(crate) const LENGTH_S: u32 = 900;
/// Its gate closes so long before its start, s; later than that the area's.
pub(crate) const GATE_S: i64 = 300;
/// Awards are waited for until so long before it.
pub(crate) const AWARD_S: u32 = 120;
/// Meters have so long after its end.
const SETTLE_S: i64 = 60;

const SOURCE: Id = 5;
const SUN: Id = 10;
const STORE: Id = 11;

/// 20 kV: the connection at node 1, everything at node 2, behind a line of 2 Ω and 60 A.
const NETWORK: &str = r#"{"version":"1.0","type":"input","is_batch":false,"attributes":{},"data":{
    "node":[{"id":1,"u_rated":20000},{"id":2,"u_rated":20000}],
    "line":[{"id":3,"from_node":1,"to_node":2,"from_status":1,"to_status":1,"r1":2,"x1":1,"c1":0,"tan1":0,"i_n":60}],
    "source":[{"id":5,"node":1,"status":1,"u_ref":1.0}]}}"#;

/// See the module.
pub(crate) struct Substation {
    pub(crate) name: String,
    pub(crate) tenant: Tenant,
    /// What a restart is built from.
    pub(crate) records: Vec<Entry>,
    grid: Grid,
    seed: u64,
    /// What is offered in each of the draws: it is computed once.
    offers: BTreeMap<i64, Offer>,
    /// What its clock shows more than the true one, µs.
    pub(crate) clock_us: i64,
    /// Starts of the intervals that were cleared for good, and when by the true clock.
    pub(crate) cleared: Vec<(i64, i64)>,
}

fn terms() -> Terms {
    Terms {
        award_s: AWARD_S,
        fallback: Fallback::LastAward,
        schedule: Vec::new(),
        spread: Price(10_000_000),
        imbalance: Imbalance {
            short_price: Price(150_000_000),
            long_price: Price(10_000_000),
        },
    }
}

/// Which draw an interval is of.
fn draw(start: i64) -> i64 {
    start.div_euclid(LENGTH_S.into()).rem_euclid(24)
}

impl Substation {
    pub(crate) fn new(name: &str, seed: u64, clock_us: i64) -> Self {
        Self {
            name: name.to_owned(),
            tenant: Tenant::new(name.to_owned(), terms()),
            records: Vec::new(),
            grid: Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap(),
            seed,
            offers: BTreeMap::new(),
            clock_us,
            cleared: Vec::new(),
        }
    }

    /// Nothing but the record is left, the end of it as it is read back from disk.
    pub(crate) fn restart(&mut self) {
        self.tenant = Tenant::new(self.name.clone(), terms());
        let (before, last) = self.records.split_at(self.records.len().saturating_sub(50));
        for entry in before {
            self.tenant.apply(entry);
        }
        for entry in last {
            let json = serde_json::to_string(entry).unwrap();
            self.tenant.apply(&serde_json::from_str(&json).unwrap());
        }
    }

    fn keep(&mut self, entry: Option<Entry>) -> bool {
        let Some(entry) = entry else { return false };
        self.tenant.apply(&entry);
        self.records.push(entry);
        true
    }

    pub(crate) fn hear(&mut self, event: Event, true_us: i64) {
        let now_us = true_us + self.clock_us;
        let entry = match event {
            Event::Down(down) => self.tenant.received(down, now_us),
            Event::Answer { up, answer } => self.tenant.answered(&up, answer, now_us),
            _ => None,
        };
        self.keep(entry);
    }

    /// What is due by its own clock, as the appliance's step does it.
    pub(crate) fn step(&mut self, true_us: i64) {
        let now_us = true_us + self.clock_us;
        let length = i64::from(LENGTH_S);
        let next = (now_us / US).div_euclid(length) * length + length;
        if now_us >= (next - GATE_S) * US {
            self.close(next, now_us, true_us);
        }
        let due = self.tenant.unmetered();
        let due: Vec<i64> = due
            .filter(|(_, end)| now_us >= (end + SETTLE_S) * US)
            .map(|(start, _)| start)
            .collect();
        for start in due {
            let closed = self
                .tenant
                .interval(start)
                .unwrap()
                .closing
                .clone()
                .unwrap();
            // What flowed is about what was agreed.
            let mut chance = self.chance(start, 1);
            let metered = chance.random_bool(0.9).then(|| {
                let off = chance.random_range(-500..=500);
                (
                    closed.exchange_w * length / 3600 + off,
                    chance.random_bool(0.1),
                )
            });
            let aggregators = passed::of(&self.settled(start, 2));
            let entry = self.tenant.totalled(start, metered, aggregators, now_us);
            self.keep(entry);
        }
        self.correct(now_us);
        self.tenant.forget_before(next - 20 * length);
    }

    /// A meter is read anew an interval later, of one in five intervals: once.
    fn correct(&mut self, now_us: i64) {
        let length = i64::from(LENGTH_S);
        let over = |start: i64| now_us >= (start + 2 * length + SETTLE_S) * US;
        let first = |total: &Total| total.sequence == 1;
        let known = self.tenant.intervals();
        let due = known.filter(|(start, of)| over(*start) && of.total.as_ref().is_some_and(first));
        let due: Vec<i64> = due.map(|(start, _)| start).collect();
        for start in due {
            if self.chance(start, 4).random_bool(0.2) {
                let correction = self.settled(start, 3);
                let entry = self.tenant.corrected(start, &correction, now_us);
                self.keep(entry);
            }
        }
    }

    /// What the aggregator comes to here, by a draw; in west it has nothing.
    fn settled(&self, start: i64, draw: u64) -> Option<Settlement> {
        let mut chance = self.chance(start, draw);
        let party = Party::Participant(AGGREGATOR.to_owned());
        let line = StatementLine {
            reason: StatementReason::Long,
            counterparty: Party::Network,
            unit: Some(STORE),
            node: 2,
            energy_wh: chance.random_range(-9_000..=9_000),
            reactive_varh: 0,
            price: Price(0),
            received: Money(chance.random_range(-500_000..=500_000)),
            quality: None,
        };
        let mut settlement = Settlement {
            interval: start,
            statements: Vec::new(),
        };
        settlement.credit(&party, vec![line]);
        settlement.pass_up(&[AGGREGATOR.to_owned()]);
        AGGREGATED.contains(&&*self.name).then_some(settlement)
    }

    fn close(&mut self, start: i64, now_us: i64, true_us: i64) {
        let known = self.tenant.interval(start);
        if known.is_some_and(|of| of.closing.is_some()) {
            return;
        }
        let mut case = self.case(start);
        if known.is_none_or(|of| of.offer.is_none()) {
            let offer = self.offer(start, &case);
            let entry = self.tenant.offered(offer, now_us);
            self.keep(entry);
        }
        let site = case.interface[0];
        let entry = self.tenant.decide(start, LENGTH_S, now_us, &site);
        let Some(Entry::Closed { interface, .. }) = &entry else {
            return;
        };
        case.interface.clone_from(interface);
        assert!(self.keep(entry));
        let cleared = clear(&self.grid, &case, &Options::default()).unwrap();
        let kept = !matches!(cleared.status, Status::LeastViolation { .. });
        assert!(kept, "{:?}", cleared.status);
        self.cleared.push((start, true_us));
    }

    fn chance(&self, start: i64, what: u64) -> StdRng {
        StdRng::seed_from_u64(
            self.seed ^ start.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ what,
        )
    }

    fn offer(&mut self, start: i64, case: &Case) -> Offer {
        let grid = &self.grid;
        let of_draw = self.offers.entry(draw(start)).or_insert_with(|| {
            let options = Options::default();
            edge::above::offer(grid, case, None, &options, (start, 1), State::default()).unwrap()
        });
        Offer {
            interval: start,
            ..of_draw.clone()
        }
    }

    /// Loads of 0.1 to 0.9 MW, a sun of up to 1 MW that sells at 5 to 20, a unit that buys and sells 0.3 MW.
    fn case(&self, start: i64) -> Case {
        let mut chance = self.chance(draw(start), 0);
        let load_w: f64 = chance.random_range(100_000.0..900_000.0);
        let sun_w: f64 = chance.random_range(0.0..1_000_000.0);
        let unit = |id, p_min_w, p_max_w| Unit {
            id,
            participant: format!("owner of {id}"),
            node: 2,
            capability: Capability {
                p_min_w,
                p_max_w,
                q_max_var: 100_000.0,
                s_max_va: None,
            },
            dispatchable: true,
        };
        let order = |id, unit, direction, quantity_w: f64, euros: i64| Order {
            id: OrderId(id),
            client_id: id.to_string(),
            participant: format!("owner of {unit}"),
            unit,
            interval: start,
            direction,
            steps: vec![Step {
                quantity_w: quantity_w as i64 + 1,
                price: Price(euros * 1_000_000),
            }],
            terms: OrderTerms::default(),
        };
        let sun_price = chance.random_range(5..20);
        let store_price = chance.random_range(45..90);
        Case {
            duration_s: LENGTH_S,
            fixed: vec![NodePower {
                node: 2,
                p_w: -load_w,
                q_var: -0.2 * load_w,
                owner: None,
            }],
            units: vec![
                unit(SUN, 0.0, sun_w + 1.0),
                unit(STORE, -300_001.0, 300_001.0),
            ],
            orders: vec![
                order(1, SUN, Direction::Sell, sun_w, sun_price),
                order(2, STORE, Direction::Sell, 300_000.0, store_price),
                order(3, STORE, Direction::Buy, 300_000.0, store_price - 20),
            ],
            limits: LimitSet {
                u_min_pu: 0.95,
                u_max_pu: 1.05,
                nodes: Vec::new(),
                branches: Vec::new(),
            },
            interface: vec![Interface {
                source: SOURCE,
                import_price: Price(100_000_000),
                export_price: Price(30_000_000),
                import_max_w: None,
                export_max_w: None,
                scheduled: None,
                u_pu: None,
            }],
            controls: Controls::default(),
            by_phase: None,
            voltages: Vec::new(),
            start: None,
        }
    }

    /// What is to be sent.
    pub(crate) fn outbox(&self) -> Vec<Up> {
        self.tenant.outbox(16)
    }
}
