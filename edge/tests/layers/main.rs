//! An area and three substations on a wire that loses, doubles, delays and reorders, with machines that are
//! killed at any moment and clocks that differ: every interval closes on time, nothing is lost or doubled,
//! and both ends have the same account of it. All of it is drawn from a seed.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

mod area;
mod substation;
mod wire;

use std::collections::BTreeMap;

use edge::{above::Entry, clock::US, store::Hash};
use protocols::opcua::message::{Basis, Total, Up};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use substation::{AWARD_S, GATE_S, LENGTH_S, Substation};

use area::AreaSide;
use wire::{Message, Wire};

/// Start of the first interval.
const START: i64 = 1_800_000_000;
/// Between two looks at everything, s.
const TICK_S: i64 = 20;

/// What is drawn at each look.
#[derive(Clone, Copy)]
struct Chances {
    /// A substation's wire is cut, for up to three intervals.
    cut: f64,
    /// A substation is killed and starts again at once.
    killed: f64,
    /// The area is.
    area_killed: f64,
}

struct World {
    area: AreaSide,
    substations: Vec<(Substation, Wire)>,
    chance: StdRng,
    restarts: u32,
    cuts: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        // Clocks of seconds apart.
        let clocks = [("north", -4 * US), ("south", 3 * US), ("west", 0)];
        let substations = clocks.into_iter().zip(1..).map(|((name, clock_us), k)| {
            let substation = Substation::new(name, seed.wrapping_mul(31) + k, clock_us);
            (substation, Wire::new(seed ^ (k << 32)))
        });
        Self {
            area: AreaSide::new(),
            substations: substations.collect(),
            chance: StdRng::seed_from_u64(seed),
            restarts: 0,
            cuts: 0,
        }
    }

    fn look(&mut self, now_us: i64, chances: Chances) {
        if self.chance.random_bool(chances.area_killed) {
            self.area.restart(now_us);
            self.restarts += 1;
        }
        self.area.step(now_us);
        for (substation, wire) in &mut self.substations {
            if self.chance.random_bool(chances.cut) {
                wire.cut(now_us + self.chance.random_range(1..3 * i64::from(LENGTH_S)) * US);
                self.cuts += 1;
            }
            if self.chance.random_bool(chances.killed) {
                substation.restart();
                wire.reset();
                self.restarts += 1;
            }
            substation.step(now_us);
            for up in substation.outbox() {
                wire.send(Message::Up(up), now_us);
            }
            for award in self.area.awards(&substation.name, now_us) {
                wire.send(Message::Award(award), now_us);
            }
            for message in wire.arrived(now_us) {
                match message {
                    Message::Up(up) => {
                        if let Some(answer) = self.area.submit(&substation.name, up, now_us) {
                            wire.send(answer, now_us);
                        }
                    }
                    down => substation.hear(down.event(), now_us),
                }
            }
        }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
struct Tally {
    closed: usize,
    by_award: usize,
    late_awards: usize,
    lost: usize,
    doubled: usize,
    differing: usize,
    late: usize,
}

fn tally(world: &World, intervals: i64) -> Tally {
    let mut tally = Tally::default();
    let area = world.area.accounts();
    let length = i64::from(LENGTH_S);
    for (substation, _) in &world.substations {
        // All of its record, nothing forgotten.
        let mut tenant = substation.tenant.clone();
        for entry in &substation.records {
            tenant.apply(entry);
        }
        let mut written: BTreeMap<(i64, &str, u32), usize> = BTreeMap::new();
        for entry in &substation.records {
            let (what, sequence) = match entry {
                Entry::Offered { offer, .. } => ("offered", offer.sequence),
                Entry::Closed { closing, .. } => ("closed", closing.sequence),
                Entry::Totalled { total, .. } => ("totalled", total.sequence),
                _ => continue,
            };
            let key = (entry.interval(), what, sequence);
            *written.entry(key).or_default() += 1;
        }
        tally.doubled += written.values().filter(|&&times| times > 1).count();
        for k in 1..=intervals {
            let start = START + k * length;
            let cleared: Vec<_> = substation
                .cleared
                .iter()
                .filter(|of| of.0 == start)
                .collect();
            tally.doubled += cleared.len().saturating_sub(1);
            tally.late += usize::from(
                cleared
                    .first()
                    .is_none_or(|(_, at_us)| at_us + substation.clock_us > start * US),
            );
            let of = tenant.interval(start);
            let Some(account) = of.and_then(|of| of.account(tenant.name())) else {
                tally.lost += 1;
                continue;
            };
            tally.closed += 1;
            tally.by_award += usize::from(account.closing.basis == Basis::Award);
            let awards = of.iter().flat_map(|of| &of.awards);
            tally.late_awards += awards.filter(|(_, unused)| unused.is_some()).count();
            match area.get(&(start, substation.name.clone())) {
                None => tally.lost += 1,
                Some(theirs) => {
                    tally.doubled += usize::from(theirs.submitted > 1 || theirs.settled != 1);
                    let agreed = of.and_then(|of| of.differs(tenant.name())) == Some(false);
                    tally.differing +=
                        usize::from(theirs.hash != Hash(account.sha256()) || !agreed);
                }
            }
        }
    }
    tally
}

/// What the aggregator has come to in the substations by what each said last: energy, Wh, and money, micro-currency; and
/// how many intervals were corrected.
fn aggregated(world: &World) -> (i64, i64, usize) {
    let (mut wh, mut amount, mut corrected) = (0, 0, 0);
    for (substation, _) in &world.substations {
        let mut last: BTreeMap<i64, &Total> = BTreeMap::new();
        for entry in &substation.records {
            if let Entry::Totalled { total, .. } = entry {
                last.insert(total.interval, total);
            }
        }
        for total in last.values() {
            wh += total
                .aggregators
                .iter()
                .map(|of| of.delivered_wh)
                .sum::<i64>();
            amount += total.aggregators.iter().map(|of| of.amount).sum::<i64>();
            corrected += usize::from(total.sequence > 1);
        }
    }
    (wh, amount, corrected)
}

fn run(seed: u64, intervals: i64, chances: Chances) -> (World, Tally) {
    let mut world = World::new(seed);
    let length = i64::from(LENGTH_S);
    let end = START + (intervals + 1) * length;
    let mut now = START;
    while now < end {
        world.look(now * US, chances);
        now += TICK_S;
    }
    // Then all is well for a while, and what is left over goes up.
    let quiet = Chances {
        cut: 0.0,
        killed: 0.0,
        area_killed: 0.0,
    };
    while now < end + 12 * length {
        world.look(now * US, quiet);
        now += TICK_S;
    }
    let tally = tally(&world, intervals);
    (world, tally)
}

/// Issue 7, "what it must show", 4.
#[test]
fn a_thousand_intervals_with_cuts_and_restarts_lose_and_double_nothing() {
    const INTERVALS: i64 = 1_000;
    let chances = Chances {
        cut: 0.002,
        killed: 0.002,
        area_killed: 0.0005,
    };
    let (world, tally) = run(7, INTERVALS, chances);
    println!(
        "{} restarts, {} cuts: {tally:?}",
        world.restarts, world.cuts
    );
    assert_eq!((tally.lost, tally.doubled), (0, 0), "{tally:?}");
    assert_eq!((tally.differing, tally.late), (0, 0), "{tally:?}");
    let all = 3 * usize::try_from(INTERVALS).unwrap();
    assert_eq!(tally.closed, all);
    // Both ways of closing have been tried, and so has an award after the tenant's word.
    assert!(
        tally.by_award > all / 2 && tally.by_award < all,
        "{tally:?}"
    );
    assert!(tally.late_awards > 10, "{tally:?}");
    assert!(world.restarts > 100 && world.cuts > 100);
    // The aggregator is settled once: the area's account is what the substations say, corrections included.
    let (wh, amount, corrected) = aggregated(&world);
    println!("aggregator: {wh} Wh, {amount} micro-currency, {corrected} intervals corrected");
    assert!(wh != 0 && amount != 0 && corrected > 300);
    assert_eq!(world.area.aggregated(), (wh, amount));
    assert!(i64::from(AWARD_S) < GATE_S);
}

/// On a good wire nobody falls back.
#[test]
fn on_a_good_wire_every_interval_is_closed_by_its_award() {
    let good = Chances {
        cut: 0.0,
        killed: 0.0,
        area_killed: 0.0,
    };
    let mut world = World::new(3);
    for (_, wire) in &mut world.substations {
        wire.good();
    }
    let mut now = START;
    while now < START + 12 * i64::from(LENGTH_S) {
        world.look(now * US, good);
        now += TICK_S;
    }
    let tally = tally(&world, 8);
    assert_eq!(
        (tally.lost, tally.doubled, tally.differing, tally.late),
        (0, 0, 0, 0),
        "{tally:?}"
    );
    assert_eq!((tally.closed, tally.by_award), (24, 24), "{tally:?}");
}

/// What stands between two looks is a document of each kind at most.
#[test]
fn an_outbox_is_rebuilt_from_the_record() {
    let mut substation = Substation::new("north", 5, 0);
    let length = i64::from(LENGTH_S);
    let mut now = START;
    while now < START + 6 * length {
        substation.step(now * US);
        let before: Vec<Up> = substation.outbox();
        substation.restart();
        assert_eq!(substation.outbox(), before, "{now}");
        now += TICK_S;
    }
    // Nobody answered: six closings, four totals, and no offer that is overtaken.
    let count = |what: fn(&Up) -> bool| substation.outbox().iter().filter(|up| what(up)).count();
    let closings = count(|up| matches!(up, Up::Closing(_)));
    let totals = count(|up| matches!(up, Up::Total(_)));
    assert_eq!((closings, totals, substation.outbox().len()), (6, 4, 10));
}
