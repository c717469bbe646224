//! The example site on a bench: no sockets, no clock. A power flow stands in for the feeder, and
//! the point table is fed with what its meters would read, exactly.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "every test binary uses a part of this"
)]

#[path = "phases.rs"]
mod phases;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use edge::{
    cycle::{Cycle, Input, Output},
    published::Asker,
    site::{self, BayOf, Site},
    store::Record,
    table::{Promise, Table},
};
use protocols::{
    device::DeviceState,
    point::{
        Action, ActivePower, CommandStatus, DeviceId, PointId, Quality, Timestamp, Update, Value,
    },
};
use solver::{
    network::{Grid, Id, S_BASE_VA, Side},
    powerflow::{Options, PowerFlow, flows},
};

pub(crate) const US: i64 = 1_000_000;
/// The start of an interval, s since 1970.
pub(crate) const START: i64 = 1_800_000_000;

/// Who asks for what the tests ask for.
pub(crate) fn ada() -> Asker {
    Asker::User("ada".to_owned())
}

pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml")
}

/// The example, with intervals long enough that a test's orders stay open, and with nobody at its
/// devices' addresses: a closed port of ours.
pub(crate) fn silent(state_dir: &Path) -> Site {
    let mut site = site::load(&example()).unwrap();
    let nobody: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap();
    for device in &mut site.devices {
        device.place = site::Place::Tcp(nobody);
    }
    site.market.interval_s = 900;
    site.state_dir = state_dir.to_owned();
    site.estimation_period = Duration::from_millis(200);
    site
}

/// What to do to a point before it reaches the table.
pub(crate) type Lie = Box<dyn Fn(f64) -> f64>;

pub(crate) struct Bench {
    pub(crate) site: Arc<Site>,
    pub(crate) cycle: Cycle,
    table: Table,
    grid: Grid,
    pub(crate) now_us: i64,
    /// What each unit delivers, W and var, generation-positive.
    pub(crate) units: BTreeMap<Id, (f64, f64)>,
    /// Read back from each unit.
    told: BTreeMap<Id, (ActivePower, f64)>,
    done: Vec<(u64, CommandStatus)>,
    pub(crate) offline: BTreeSet<String>,
    pub(crate) lies: BTreeMap<String, Lie>,
    /// Devices that acknowledge but do nothing.
    pub(crate) deaf: BTreeSet<String>,
    energy_wh: BTreeMap<Id, f64>,
    ticks: u64,
    load_factor: f64,
    pub(crate) u_max: f64,
    pub(crate) loading_max: f64,
}

fn table(site: &Site, cycle: &Cycle, now_us: i64) -> Table {
    let devices = site.devices.iter();
    let promises = devices.map(|d| (d.id.clone(), Promise::of(d.poll, d.timeout)));
    Table::new(promises, cycle.noisy(), now_us)
}

impl Bench {
    /// All loads at this multiple of what the site file expects.
    pub(crate) fn scale_loads(&mut self, factor: f64) {
        self.load_factor = factor;
        for load in &self.site.loads {
            let (p, q) = (load.expected_p_w, load.expected_q_var);
            phases::set(
                &mut self.grid,
                load.id,
                (factor * p, factor * q),
                &load.shares,
            );
        }
    }

    /// At the stressed noon: every generator at nameplate, batteries charging.
    pub(crate) fn new() -> Self {
        Self::starting_at(START * US)
    }

    pub(crate) fn starting_at(now_us: i64) -> Self {
        Self::of(site::load(&example()).unwrap(), now_us)
    }

    pub(crate) fn of(site: Site, now_us: i64) -> Self {
        let site = Arc::new(site);
        let cycle = Cycle::new(Arc::clone(&site), now_us, || 0).unwrap();
        let table = table(&site, &cycle, now_us);
        let mut grid = Grid::new(&site.network).unwrap();
        for load in &site.loads {
            let power = (load.expected_p_w, load.expected_q_var);
            phases::set(&mut grid, load.id, power, &load.shares);
        }
        let noon = |u: &site::Unit| match u.battery {
            Some(_) => -u.p_rated_w,
            None => u.p_rated_w,
        };
        Self {
            units: site.units.iter().map(|u| (u.id, (noon(u), 0.0))).collect(),
            cycle,
            table,
            grid,
            now_us,
            told: BTreeMap::new(),
            done: Vec::new(),
            offline: BTreeSet::new(),
            lies: BTreeMap::new(),
            deaf: BTreeSet::new(),
            energy_wh: site.units.iter().map(|u| (u.id, 1e6)).collect(),
            ticks: 0,
            load_factor: 1.0,
            u_max: 0.0,
            loading_max: 0.0,
            site,
        }
    }

    /// The appliance starts again, from its record; the feeder is as it was.
    pub(crate) fn restart(&mut self, records: &[Record]) {
        self.cycle = Cycle::new(Arc::clone(&self.site), self.now_us, || 0).unwrap();
        for record in records {
            self.cycle.restore(record);
        }
        self.table = table(&self.site, &self.cycle, self.now_us);
        self.done.clear();
    }

    /// One second: meters are read, the cycle steps, devices obey at once.
    pub(crate) fn tick(&mut self) -> Output {
        self.read_meters();
        let output = self.step();
        for (device, command) in &output.commands {
            let unit = self.site.units.iter().find(|u| u.device == *device);
            let unit = unit.unwrap();
            self.done.push((command.id, CommandStatus::Done));
            if let (Action::Der(setpoint), false) =
                (command.action, self.deaf.contains(device.as_str()))
            {
                let most = unit.p_rated_w;
                let p = match setpoint.p {
                    ActivePower::Limit(w) => w.min(most),
                    ActivePower::Set(w) => w,
                };
                let q = self.units.get(&unit.id).map_or(0.0, |(_, q)| *q);
                self.units.insert(unit.id, (p, q));
                self.told.insert(unit.id, (setpoint.p, setpoint.q_var));
            }
        }
        for (id, (_, told)) in &self.told {
            let mut units = self.site.units.iter();
            let lag_s = units.find(|u| u.id == *id).unwrap().q_lag_s;
            let (_, q) = self.units.get_mut(id).unwrap();
            *q += (told - *q)
                * if lag_s > 0.0 {
                    1.0 - (-1.0 / lag_s).exp()
                } else {
                    1.0
                };
        }
        for (id, (p, _)) in &self.units {
            *self.energy_wh.entry(*id).or_default() += p.max(0.0) / 3600.0;
        }
        self.now_us += US;
        output
    }

    /// The cycle's step on whatever the table holds.
    pub(crate) fn step(&mut self) -> Output {
        let snapshot = self.table.snapshot(self.now_us);
        self.cycle.step(Input {
            snapshot,
            done: std::mem::take(&mut self.done),
            rss_bytes: 0,
        })
    }

    /// Ticks until the moment `s` seconds after [`START`]; the last output.
    pub(crate) fn until(&mut self, s: i64) -> Output {
        let mut last = None;
        while self.now_us <= (START + s) * US {
            last = Some(self.tick());
        }
        last.unwrap()
    }

    /// Everything that devices say in a second in which they answer.
    pub(crate) fn read_meters(&mut self) {
        self.ticks += 1;
        for unit in &self.site.units {
            let power = self.units[&unit.id];
            phases::set(&mut self.grid, unit.id, power, &unit.shares());
        }
        if self.site.by_phase {
            self.read_meters_by_phase();
            return;
        }
        let mut flow = PowerFlow::new(&self.grid);
        let solution = flow
            .run(&self.grid, &[], None, &Options::default())
            .unwrap();
        let flows = flows(&self.grid, &solution.u);
        self.u_max = solution.u.iter().map(|u| u.norm()).fold(0.0, f64::max);
        self.loading_max = flows.branches.iter().map(|b| b.loading).fold(0.0, f64::max);
        let site = Arc::clone(&self.site);
        let volts = |node: Id| {
            let k = self.grid.index_of_node(node).unwrap();
            solution.u[k].norm() * self.grid.u_rated[k]
        };
        let mut readings: Vec<(DeviceId, String, Value)> = Vec::new();
        for device in &site.devices {
            let mut say = |name: String, value| readings.push((device.id.clone(), name, value));
            for bay in &device.bays {
                let k = bay.number;
                let (u, s, i) = match &bay.of {
                    BayOf::Branch { branch, side } => {
                        let at = self.grid.index_of_branch(*branch).unwrap();
                        let (b, f) = (&self.grid.branches[at], &flows.branches[at]);
                        let (node, s, i) = match side {
                            Side::From => (b.from, f.s_from, f.i_from_a),
                            Side::To => (b.to, f.s_to, f.i_to_a),
                        };
                        (volts(self.grid.node_id[node]), s * S_BASE_VA, i)
                    }
                    BayOf::Loads { loads, node } => {
                        let of = site.loads.iter().filter(|l| loads.contains(&l.id));
                        let s = of.fold(num_complex::Complex64::ZERO, |sum, l| {
                            sum + self.load_factor
                                * num_complex::Complex64::new(l.expected_p_w, l.expected_q_var)
                        });
                        (volts(*node), s, s.norm() / volts(*node) / 3_f64.sqrt())
                    }
                };
                say(format!("bay{k}_u"), Value::Analog(u));
                say(format!("bay{k}_p"), Value::Analog(s.re));
                say(format!("bay{k}_q"), Value::Analog(s.im));
                say(format!("bay{k}_i"), Value::Analog(i));
                say(format!("bay{k}_closed"), Value::Binary(true));
                say(format!("bay{k}_open"), Value::Binary(false));
                if bay.tap {
                    say(format!("bay{k}_tap"), Value::Analog(0.0));
                }
            }
            let Some(unit) = site.units.iter().find(|u| u.device == device.id) else {
                continue;
            };
            say("u".to_owned(), Value::Analog(volts(unit.node)));
        }
        readings.extend(self.read_units());
        self.feed(readings);
    }

    fn read_meters_by_phase(&mut self) {
        let solved = phases::solve(&self.grid);
        self.u_max = solved.u.iter().flatten().copied().fold(0.0, f64::max);
        let mut readings = phases::readings(&self.site, &self.grid, &solved);
        readings.extend(self.read_units());
        self.feed(readings);
    }

    /// The feeder as its meters saw it last, by phase.
    pub(crate) fn phases(&self) -> phases::Solved {
        phases::solve(&self.grid)
    }

    /// What units say of themselves.
    fn read_units(&self) -> Vec<(DeviceId, String, Value)> {
        let mut readings: Vec<(DeviceId, String, Value)> = Vec::new();
        for unit in &self.site.units {
            let mut say =
                |name: &str, value| readings.push((unit.device.clone(), name.to_owned(), value));
            let (p, q) = self.units[&unit.id];
            say("p", Value::Analog(p));
            say("q", Value::Analog(q));
            let wh = self.energy_wh[&unit.id];
            say("energy", Value::Counter(wh as u64));
            if unit.battery.is_some() {
                say("soc", Value::Analog(0.6));
            }
            if let Some((p, q)) = self.told.get(&unit.id) {
                let (name, w) = match p {
                    ActivePower::Limit(w) => ("p_limit", *w),
                    ActivePower::Set(w) => ("p_set", *w),
                };
                say(name, Value::Analog(w));
                say("q_set", Value::Analog(*q));
            }
        }
        readings
    }

    fn feed(&mut self, readings: Vec<(DeviceId, String, Value)>) {
        for device in &self.site.devices {
            let state = if self.offline.contains(device.id.as_str()) {
                DeviceState::Offline {
                    error: "no route".to_owned(),
                    retry_in: Duration::from_secs(1),
                }
            } else {
                DeviceState::Online
            };
            self.table.state(&device.id, state, self.now_us);
        }
        for (device, name, value) in readings {
            if self.offline.contains(device.as_str()) {
                continue;
            }
            let point = PointId::new(&device, &name);
            let value = match (value, self.lies.get(point.as_str())) {
                (Value::Analog(x), Some(lie)) => Value::Analog(lie(x)),
                // Far below any meter's noise, so that no honest reading repeats exactly.
                (Value::Analog(x), None) => Value::Analog(x * (1.0 + 1e-9 * self.ticks as f64)),
                (value, _) => value,
            };
            let update = Update {
                point,
                value,
                quality: Quality::GOOD,
                time: Timestamp::received(self.now_us - 200_000),
            };
            self.table
                .update(&device, vec![update], self.now_us - 200_000);
        }
    }
}
