//! Our master and our outstation on one wire that loses, doubles and damages frames: every event
//! arrives, in order, and once.

use std::time::Duration;

use proptest::prelude::*;

use super::bench::*;
use crate::{
    dnp3::{
        Flags, Kind, Now, Sample,
        master::{AssociationConfig, Master, MasterEvent},
        outstation::{Class, Outstation, OutstationConfig, PointConfig, UnsolicitedConfig},
    },
    point::Value,
};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Damaged(u8),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => any::<u8>().prop_map(Fate::Damaged),
    ];
    prop::collection::vec(fate, 0..60)
}

struct Wire {
    master: Master,
    outstation: Outstation,
    now: Now,
    fates: std::vec::IntoIter<Fate>,
    received: Vec<u64>,
}

impl Wire {
    fn carry(&mut self, mut frame: Vec<u8>, to_master: bool) {
        // When the bad luck has run out, everything arrives.
        match self.fates.next().unwrap_or(Fate::Arrives) {
            Fate::Lost => return,
            Fate::Damaged(where_) => {
                let at = usize::from(where_) % frame.len();
                frame[at] ^= 0x41;
            }
            Fate::Arrives => {}
        }
        if to_master {
            self.master.handle_input(&frame, self.now);
        } else {
            self.outstation.handle_input(&frame, self.now);
        }
    }

    fn settle(&mut self) {
        loop {
            let down = self.master.poll_transmit();
            let up = self.outstation.poll_transmit();
            if down.is_none() && up.is_none() {
                break;
            }
            if let Some(frame) = down {
                self.carry(frame, false);
            }
            if let Some(frame) = up {
                self.carry(frame, true);
            }
        }
        while let Some(event) = self.master.poll_event() {
            let MasterEvent::Measurements { measurements, .. } = event else {
                continue;
            };
            for measurement in measurements.iter().filter(|m| m.event) {
                if let Value::Counter(count) = measurement.sample.value {
                    self.received.push(count);
                }
            }
        }
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        loop {
            self.settle();
            let dues = [self.master.poll_timeout(), self.outstation.poll_timeout()];
            let due = dues.into_iter().flatten().min();
            let Some(due) = due.filter(|&due| due <= end) else {
                break;
            };
            self.now.mono = due.max(self.now.mono);
            self.master.handle_timeout(self.now);
            self.outstation.handle_timeout(self.now);
        }
        self.now.mono = end;
    }
}

fn wire(confirmed: bool, unsolicited: bool, fates: Vec<Fate>) -> Wire {
    let now = Now {
        mono: Duration::ZERO,
        unix_ms: 1_700_000_000_123,
    };
    let mut association = AssociationConfig {
        unsolicited: [unsolicited; 3],
        events_every: (!unsolicited).then_some(SECOND),
        ..config(1)
    };
    association.link.confirmed = confirmed;
    let mut link = crate::dnp3::link::LinkConfig::new(1, 10);
    link.confirmed = confirmed;
    link.keep_alive = None;
    let config = OutstationConfig {
        unsolicited: Some(UnsolicitedConfig::default()),
        max_fragment: 249,
        ..OutstationConfig::new(link)
    };
    let point = PointConfig::new(Kind::Counter, 0, Some(Class::One));
    let mut outstation = Outstation::new(config, &[point], now).unwrap();
    let mut master = Master::new(&[association], now);
    outstation.connected(now);
    master.connected(now);
    Wire {
        master,
        outstation,
        now,
        fates: fates.into_iter(),
        received: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_event_arrives_in_order(confirmed: bool, unsolicited: bool, fates in fates(), count in 1_u64..60) {
        let mut wire = wire(confirmed, unsolicited, fates);
        for number in 1..=count {
            let sample = Sample {
                value: Value::Counter(number),
                flags: Flags::ONLINE,
                time: None,
            };
            wire.outstation.update(Kind::Counter, 0, sample, wire.now);
            wire.pass(SECOND / 2);
        }
        wire.pass(1000 * SECOND);
        // A solicited response whose confirmation was lost is sent again, as the standard has it:
        // what comes twice comes as a whole and behind itself.
        let mut seen = wire.received.clone();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen, (1..=count).collect::<Vec<_>>());
        let mut newest = 0;
        for &number in &wire.received {
            prop_assert!(number <= newest + 1, "{:?}", wire.received);
            newest = newest.max(number);
        }
    }
}
