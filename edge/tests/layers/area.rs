//! The area's side: the appliance's own machine, and its record.

use std::{collections::BTreeMap, sync::Arc};

use edge::{
    area::{Aggregator, Entry, Market, Setup, Tenant},
    store::{Hash, Record},
};
use protocols::opcua::message::{Award, Refused, Up};
use solver::{
    market::{Imbalance, LedgerEntry, Party, Price, Product, Rulebook, clearing::LimitSet},
    network::pgm_json,
};

use super::{
    Message,
    substation::{AGGREGATED, AGGREGATOR, LENGTH_S},
};

/// 20 kV: the grid above at node 1, a tenant behind each line of 100 A.
const NETWORK: &str = r#"{"version":"1.0","type":"input","is_batch":false,"attributes":{},"data":{
    "node":[{"id":1,"u_rated":20000},{"id":2,"u_rated":20000},{"id":3,"u_rated":20000},{"id":4,"u_rated":20000}],
    "line":[
      {"id":5,"from_node":1,"to_node":2,"from_status":1,"to_status":1,"r1":1,"x1":0.5,"c1":0,"tan1":0,"i_n":100},
      {"id":6,"from_node":1,"to_node":3,"from_status":1,"to_status":1,"r1":1,"x1":0.5,"c1":0,"tan1":0,"i_n":100},
      {"id":7,"from_node":1,"to_node":4,"from_status":1,"to_status":1,"r1":1,"x1":0.5,"c1":0,"tan1":0,"i_n":100}],
    "source":[{"id":8,"node":1,"status":1,"u_ref":1.0}]}}"#;

fn setup() -> Setup {
    let tenant = |name: &str, node| Tenant {
        name: name.to_owned(),
        unit: 100 + node,
        node,
        import_max_w: 3_000_000,
        export_max_w: 3_000_000,
    };
    Setup {
        network: pgm_json::read(NETWORK).unwrap(),
        product: Product {
            length_s: LENGTH_S,
            gate_lead_s: 210,
            publish_lead_s: 200,
            settle_delay_s: 60,
            horizon: 4,
        },
        tenants: vec![tenant("north", 2), tenant("south", 3), tenant("west", 4)],
        participants: Vec::new(),
        aggregators: vec![Aggregator {
            name: AGGREGATOR.to_owned(),
            tenants: AGGREGATED.map(str::to_owned).to_vec(),
        }],
        limits: LimitSet {
            u_min_pu: 0.9,
            u_max_pu: 1.1,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        source: 8,
        import_price: Price(100_000_000),
        export_price: Price(40_000_000),
        import_max_w: None,
        export_max_w: None,
        rulebook: Rulebook {
            imbalance: Imbalance {
                short_price: Price(150_000_000),
                long_price: Price(10_000_000),
            },
            ..Rulebook::default()
        },
        patience_s: 3600,
        above: None,
    }
}

/// A tenant's interval as the area's record has it.
#[derive(Debug)]
pub(crate) struct Theirs {
    /// Most times that a document of one kind and number was taken.
    pub(crate) submitted: usize,
    /// Times that it was settled.
    pub(crate) settled: usize,
    pub(crate) hash: Hash,
}

pub(crate) struct AreaSide {
    market: Market,
    records: Vec<Record>,
}

impl AreaSide {
    pub(crate) fn new() -> Self {
        Self {
            market: Market::new(Arc::new(setup())).unwrap(),
            records: Vec::new(),
        }
    }

    /// Nothing but the record is left.
    pub(crate) fn restart(&mut self, now_us: i64) {
        let setup = Arc::clone(self.market.setup());
        self.market = Market::new(setup).unwrap();
        for record in &self.records {
            self.market.restore(record);
        }
        self.market.resume(now_us);
    }

    pub(crate) fn step(&mut self, now_us: i64) {
        self.records.extend(self.market.step(now_us).records);
    }

    pub(crate) fn awards(&self, tenant: &str, now_us: i64) -> Vec<Award> {
        let open = self.market.open_awards(now_us);
        open.filter(|(of, _)| of == tenant)
            .map(|(_, award)| award)
            .collect()
    }

    pub(crate) fn submit(&mut self, tenant: &str, up: Up, now_us: i64) -> Option<Message> {
        let answer = match self.market.submit(tenant, up.clone(), now_us) {
            Ok((records, receipt)) => {
                self.records.extend(records);
                Ok(receipt.account.as_deref().and_then(Hash::parse))
            }
            // It is sent again.
            Err(Refused::Unavailable { .. }) => return None,
            Err(refused) => Err(refused),
        };
        Some(Message::Answer(up, answer))
    }

    /// What the aggregator has delivered and received by all settlements and corrections, Wh and micro-currency.
    pub(crate) fn aggregated(&self) -> (i64, i64) {
        let mut sums = (0, 0);
        for record in &self.records {
            let Record::Market(
                LedgerEntry::Settled(of) | LedgerEntry::Resettled { correction: of, .. },
            ) = record
            else {
                continue;
            };
            assert_eq!(of.sum().0, 0);
            for statement in &of.statements {
                if statement.party == Party::Participant(AGGREGATOR.to_owned()) {
                    let lines = statement.lines.iter();
                    sums.0 += lines.map(|line| line.energy_wh).sum::<i64>();
                    sums.1 += statement.balance.0;
                }
            }
        }
        sums
    }

    pub(crate) fn accounts(&self) -> BTreeMap<(i64, String), Theirs> {
        let mut accounts: BTreeMap<(i64, String), Theirs> = BTreeMap::new();
        let mut taken: BTreeMap<(i64, String, String), usize> = BTreeMap::new();
        let mut settled: BTreeMap<(i64, String), usize> = BTreeMap::new();
        for record in &self.records {
            match record {
                Record::Area(Entry::Submitted {
                    tenant, document, ..
                }) => {
                    let what = serde_json::to_string(document).unwrap();
                    let key = (document.interval(), tenant.clone(), what);
                    *taken.entry(key).or_default() += 1;
                }
                Record::Market(LedgerEntry::Settled(of)) => {
                    for statement in &of.statements {
                        if let Party::Participant(name) = &statement.party {
                            *settled.entry((of.interval, name.clone())).or_default() += 1;
                        }
                    }
                }
                Record::Area(Entry::Accounted {
                    interval,
                    tenant,
                    hash,
                    ..
                }) => {
                    let theirs = Theirs {
                        submitted: 0,
                        settled: 0,
                        hash: *hash,
                    };
                    accounts.insert((*interval, tenant.clone()), theirs);
                }
                _ => {}
            }
        }
        for ((interval, tenant, _), times) in taken {
            if let Some(of) = accounts.get_mut(&(interval, tenant)) {
                of.submitted = of.submitted.max(times);
            }
        }
        for (key, times) in settled {
            if let Some(of) = accounts.get_mut(&key) {
                of.settled = times;
            }
        }
        accounts
    }
}
