//! From the text of a site file to a [`Site`], or to everything that is wrong with it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use protocols::point::DeviceId;
use solver::{
    market::Price,
    network::{Id, Network, Side, pgm_json},
};
use toml::{Spanned, de::DeTable};

use super::{
    model::{Battery, Bay, BayOf, Device, Limits, Load, Market, NodePlace, Site, Unit, UnitKind},
    profile::{self, Profile},
    read::{At, Problem, Source, Table},
};

/// Widest power, W or var; keeps a slip of a few zeros from passing.
const MAX_POWER: f64 = 1e10;
/// Widest price, currency per MWh.
const MAX_PRICE: f64 = 100_000.0;

/// Reads a site file and the network that it names.
///
/// # Errors
/// Everything that is wrong with either.
pub fn load(file: &Path) -> Result<Site, Vec<Problem>> {
    let text = fs::read_to_string(file).map_err(|error| {
        vec![Problem {
            file: file.to_owned(),
            place: None,
            path: String::new(),
            message: format!("cannot be read: {error}"),
        }]
    })?;
    parse(file, &text)
}

/// Reads the text of a site file; `file` is for messages, and what relative paths in it start from.
///
/// # Errors
/// Everything that is wrong with it or with the network that it names.
pub fn parse(file: &Path, text: &str) -> Result<Site, Vec<Problem>> {
    let source = Source::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        source.problem(error.span(), "", format!("not TOML: {}", error.message()));
    }
    if !errors.is_empty() {
        return Err(source.into_problems());
    }
    let site = read(&source, &document, file.parent().unwrap_or(Path::new("")));
    let problems = source.into_problems();
    match site {
        Some(site) if problems.is_empty() => Ok(site),
        _ => Err(problems),
    }
}

/// Everything is read before anything is given up, so that every problem is found.
fn read(source: &Source<'_>, document: &Spanned<DeTable<'_>>, directory: &Path) -> Option<Site> {
    let root = Table::new(source, String::new(), 0..0, document.get_ref());
    let head = root.table("site").map(|t| read_head(&t, directory));
    let (name, state_dir, network) = head.unwrap_or_default();
    let web_listen = root.table("web").and_then(|t| {
        let listen = t.address("listen");
        t.finish();
        listen
    });
    let period = root.table("estimation").and_then(|t| {
        let period = seconds(&t, "period_s", 0.2..=60.0);
        t.finish();
        period
    });
    let limits = root.table("limits").and_then(|t| read_limits(&t));
    let (market, interval_s) = root
        .table("market")
        .map(|t| read_market(&t))
        .unwrap_or_default();
    let lease = root
        .table("dispatch")
        .and_then(|t| read_lease(&t, interval_s));
    let context = Context {
        network: network.as_ref(),
    };
    let nodes = context.nodes(&root);
    let devices = context.devices(&root);
    let units = context.units(&root, &devices);
    let loads = context.loads(&root);
    root.finish();
    Some(Site {
        name: name?,
        state_dir: state_dir?,
        network: network?,
        web_listen: web_listen?,
        estimation_period: period?,
        limits: limits?,
        market: market?,
        lease: lease?,
        nodes,
        devices: devices.into_values().map(|at| at.value).collect(),
        units,
        loads,
    })
}

type Head = (Option<String>, Option<PathBuf>, Option<Network>);

fn read_head(table: &Table<'_, '_>, directory: &Path) -> Head {
    let name = table.text("name").map(str::to_owned);
    let state = table.text("state").map(|text| directory.join(text));
    let network = table
        .text("network")
        .and_then(|text| read_network(table, &directory.join(text)));
    table.finish();
    (name, state, network)
}

fn read_network(table: &Table<'_, '_>, file: &Path) -> Option<Network> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            table.problem(
                "network",
                format!("{} cannot be read: {error}", file.display()),
            );
            return None;
        }
    };
    match pgm_json::read(&text) {
        Ok(network) => Some(network),
        Err(error) => {
            for problem in error.problems() {
                table.problem("network", format!("{}: {problem}", file.display()));
            }
            None
        }
    }
}

fn read_limits(table: &Table<'_, '_>) -> Option<Limits> {
    let u_min_pu = table.number("u_min_pu", 0.5..=1.0);
    let u_max_pu = table.number("u_max_pu", 1.0..=1.5);
    let sigma_margin = table.number("sigma_margin", 0.0..=10.0);
    let rating_margin_pct = table.number("rating_margin_pct", 0.0..=50.0);
    table.finish();
    Some(Limits {
        u_min_pu: u_min_pu?,
        u_max_pu: u_max_pu?,
        sigma_margin: sigma_margin?,
        rating_margin: rating_margin_pct? / 100.0,
    })
}

/// The market, and the length of its interval, which is known even where something else is wrong.
fn read_market(table: &Table<'_, '_>) -> (Option<Market>, Option<i64>) {
    let currency = table.text("currency").filter(|text| {
        let fit = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
        if !fit {
            table.problem(
                "currency",
                format!("`{text}` is not a currency code of ISO 4217 such as EUR"),
            );
        }
        fit
    });
    let interval = table.integer("interval_s", 5..=3600);
    let gate = table.integer("gate_s", 1..=3600);
    let import = price(table, "import_price_per_mwh");
    let export = price(table, "export_price_per_mwh");
    if let (Some(interval), Some(gate)) = (interval, gate) {
        if 86_400 % interval != 0 {
            table.problem(
                "interval_s",
                format!("{interval} s do not divide a day of 86400 s"),
            );
        }
        if gate >= interval {
            table.problem(
                "gate_s",
                format!("must be below interval_s, which is {interval}"),
            );
        }
    }
    if let (Some(import), Some(export)) = (import, export)
        && export > import
    {
        table.problem(
            "export_price_per_mwh",
            "must not be above import_price_per_mwh: buying to sell would have no end".to_owned(),
        );
    }
    table.finish();
    let whole = || {
        Some(Market {
            currency: currency?.to_owned(),
            interval_s: u32::try_from(interval?).ok()?,
            gate_s: u32::try_from(gate?).ok()?,
            import_price: import?,
            export_price: export?,
        })
    };
    (whole(), interval)
}

fn read_lease(table: &Table<'_, '_>, interval_s: Option<i64>) -> Option<Duration> {
    let lease_s = table.integer("lease_s", 2..=7200);
    table.finish();
    let lease_s = lease_s?;
    // Else every device would fall back between two intervals.
    if let Some(interval_s) = interval_s
        && lease_s <= interval_s
    {
        table.problem(
            "lease_s",
            format!(
                "must be above market.interval_s, which is {interval_s}: the setpoint of the next interval has to come before it ends"
            ),
        );
    }
    u64::try_from(lease_s).ok().map(Duration::from_secs)
}

fn price(table: &Table<'_, '_>, key: &'static str) -> Option<Price> {
    table
        .number(key, -MAX_PRICE..=MAX_PRICE)
        .map(|p| Price((p * 1e6).round() as i64))
}

fn seconds(
    table: &Table<'_, '_>,
    key: &'static str,
    range: std::ops::RangeInclusive<f64>,
) -> Option<Duration> {
    table.number(key, range).map(Duration::from_secs_f64)
}

/// What tables are checked against. Without a network its checks are left out; that it cannot be
/// read is a problem of its own.
struct Context<'n> {
    network: Option<&'n Network>,
}

impl Context<'_> {
    fn nodes(&self, root: &Table<'_, '_>) -> Vec<NodePlace> {
        let mut places: BTreeMap<Id, NodePlace> = BTreeMap::new();
        for table in root.tables("node") {
            let id = table.id("id");
            let name = table.text("name");
            let x = table.number("x", -1e4..=1e4);
            let y = table.number("y", -1e4..=1e4);
            table.finish();
            let Some(id) = id else { continue };
            if self
                .network
                .is_some_and(|n| n.node.iter().all(|node| node.id != id))
            {
                table.problem("id", format!("the network has no node {id}"));
            }
            if places.contains_key(&id) {
                table.problem("id", format!("node {id} is there twice"));
            }
            if let (Some(name), Some(x), Some(y)) = (name, x, y) {
                let name = name.to_owned();
                places.insert(id, NodePlace { id, name, x, y });
            }
        }
        let Some(network) = self.network else {
            return Vec::new();
        };
        let mut ordered = Vec::new();
        for node in &network.node {
            match places.remove(&node.id) {
                Some(place) => ordered.push(place),
                None => root.problem(
                    "node",
                    format!("node {} of the network has no [[node]] table", node.id),
                ),
            }
        }
        ordered
    }

    fn devices(&self, root: &Table<'_, '_>) -> BTreeMap<String, At<Device>> {
        let mut devices = BTreeMap::new();
        let mut addresses: BTreeMap<(String, u8), String> = BTreeMap::new();
        for table in root.tables("device") {
            let Some(device) = self.device(&table) else {
                continue;
            };
            let id = device.id.as_str().to_owned();
            let link = (device.address.to_string(), device.unit_id);
            if let Some(other) = addresses.insert(link, id.clone()) {
                table.problem(
                    "address",
                    format!(
                        "{} with unit_id {} is device `{other}` already",
                        device.address, device.unit_id
                    ),
                );
            }
            match devices.entry(id) {
                Entry::Occupied(entry) => {
                    table.problem("id", format!("device `{}` is there twice", entry.key()));
                }
                Entry::Vacant(entry) => {
                    entry.insert(table.at("id", device));
                }
            }
        }
        if !root.has("device") {
            root.problem("device", "there is no [[device]]".to_owned());
        }
        devices
    }

    fn device(&self, table: &Table<'_, '_>) -> Option<Device> {
        let id = table.name("id");
        let profile_name = table.text("profile");
        let address = table.address("address");
        let unit_id = table.integer("unit_id", 0..=255);
        let poll = seconds(table, "poll_s", 0.1..=3600.0);
        let timeout = seconds(table, "timeout_s", 0.05..=60.0);
        let profile = profile_name.and_then(|name| match profile::find(name) {
            Ok(profile) => Some(profile),
            Err(error) => {
                table.problem("profile", error);
                None
            }
        });
        let bays = self.bays(table, profile.as_ref());
        table.finish();
        Some(Device {
            id: DeviceId::new(id?),
            profile_name: profile_name?.to_owned(),
            profile: profile?,
            address: address?,
            unit_id: u8::try_from(unit_id?).ok()?,
            poll: poll?,
            timeout: timeout?,
            bays,
        })
    }

    fn bays(&self, device: &Table<'_, '_>, profile: Option<&Profile>) -> Vec<Bay> {
        let mut bays: Vec<Bay> = Vec::new();
        for table in device.tables("bays") {
            let number = table.integer("bay", 1..=255);
            let of = self.bay_of(&table);
            let tap = table.has("tap") && table.boolean("tap").unwrap_or_default();
            table.finish();
            let Some(number) = number.and_then(|n| u8::try_from(n).ok()) else {
                continue;
            };
            if profile.is_some_and(|p| !p.has_point(&format!("bay{number}_p"))) {
                table.problem("bay", format!("the profile has no point bay{number}_p"));
            }
            if bays.iter().any(|bay| bay.number == number) {
                table.problem("bay", format!("bay {number} is there twice"));
            }
            let Some(of) = of else { continue };
            if tap && !self.is_transformer(&of) {
                table.problem("tap", "only a transformer has a tap position".to_owned());
            }
            bays.push(Bay { number, of, tap });
        }
        bays
    }

    fn bay_of(&self, table: &Table<'_, '_>) -> Option<BayOf> {
        let loads = table.ids("loads");
        if table.has("loads") {
            for key in ["branch", "side"] {
                if table.has(key) {
                    table.problem(key, "a bay measures a branch or loads, not both".to_owned());
                }
            }
            return self.load_bay(table, &loads);
        }
        let branch = table.id("branch");
        let side = table.word("side", &[("from", Side::From), ("to", Side::To)]);
        let branch = branch?;
        if let Some(n) = self.network
            && n.line.iter().all(|l| l.id != branch)
            && n.transformer.iter().all(|t| t.id != branch)
        {
            table.problem(
                "branch",
                format!("the network has no line or transformer {branch}"),
            );
        }
        Some(BayOf::Branch {
            branch,
            side: side?,
        })
    }

    fn load_bay(&self, table: &Table<'_, '_>, loads: &[At<Id>]) -> Option<BayOf> {
        let network = self.network?;
        let mut ids = Vec::new();
        let mut node = None;
        for at in loads {
            let Some(load) = network.sym_load.iter().find(|l| l.id == at.value) else {
                table.source.problem(
                    Some(at.span.clone()),
                    &at.path,
                    format!("the network has no load {}", at.value),
                );
                continue;
            };
            if *node.get_or_insert(load.node) != load.node {
                table.source.problem(
                    Some(at.span.clone()),
                    &at.path,
                    format!("load {} is at another node than the first", at.value),
                );
            }
            ids.push(load.id);
        }
        let Some(node) = node else {
            table.problem("loads", "names no load of the network".to_owned());
            return None;
        };
        let at_node = network.sym_load.iter().filter(|l| l.node == node).count()
            + network.sym_gen.iter().filter(|g| g.node == node).count();
        if ids.len() > 1 && ids.len() != at_node {
            table.problem(
                "loads",
                format!(
                    "a bay that measures several loads must measure all {at_node} loads and generators at node {node}"
                ),
            );
        }
        Some(BayOf::Loads { loads: ids, node })
    }

    fn is_transformer(&self, of: &BayOf) -> bool {
        let (BayOf::Branch { branch, .. }, Some(network)) = (of, self.network) else {
            return false;
        };
        network.transformer.iter().any(|t| t.id == *branch)
    }

    fn units(&self, root: &Table<'_, '_>, devices: &BTreeMap<String, At<Device>>) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        let mut missing: Vec<Id> = self
            .network
            .map(|n| n.sym_gen.iter().map(|g| g.id).collect())
            .unwrap_or_default();
        for table in root.tables("unit") {
            let id = table.id("id");
            missing.retain(|m| Some(*m) != id);
            let Some(unit) = self.unit(&table, id, devices) else {
                continue;
            };
            if units.iter().any(|other| other.id == unit.id) {
                table.problem("id", format!("unit {} is there twice", unit.id));
            }
            if let Some(other) = units.iter().find(|other| other.device == unit.device) {
                table.problem(
                    "device",
                    format!("device `{}` is unit {} already", unit.device, other.id),
                );
            }
            units.push(unit);
        }
        for id in missing {
            root.problem(
                "unit",
                format!("generator {id} of the network has no [[unit]] table"),
            );
        }
        units
    }

    fn unit(
        &self,
        table: &Table<'_, '_>,
        id: Option<Id>,
        devices: &BTreeMap<String, At<Device>>,
    ) -> Option<Unit> {
        let kind = table.word(
            "kind",
            &[
                ("pv", UnitKind::Pv),
                ("wind", UnitKind::Wind),
                ("chp", UnitKind::Chp),
                ("fuel_cell", UnitKind::FuelCell),
                ("battery", UnitKind::Battery),
            ],
        );
        let name = table.text("name");
        let device = table.name("device");
        let participant = table.text("participant");
        let p_rated_w = table.number("p_rated_w", 1.0..=MAX_POWER);
        let q_rated_var = table.number("q_rated_var", 0.0..=MAX_POWER);
        let sell_price = price(table, "sell_price_per_mwh");
        let fallback_p_w = table.number("fallback_p_w", -MAX_POWER..=MAX_POWER);
        let ramp_w_per_s = table.number("ramp_w_per_s", 1.0..=MAX_POWER);
        let is_battery = kind == Some(UnitKind::Battery);
        let battery = is_battery.then(|| read_battery(table, sell_price));
        table.finish();
        if let Some(device) = device {
            check_device(table, device, devices);
        }
        if let (Some(p), Some(fallback)) = (p_rated_w, fallback_p_w) {
            let lowest = if is_battery { -p } else { 0.0 };
            if !(lowest..=p).contains(&fallback) {
                table.problem("fallback_p_w", format!("must be from {lowest} to {p}"));
            }
        }
        let id = id?;
        let node = match self.network {
            Some(network) => {
                let found = network.sym_gen.iter().find(|g| g.id == id);
                if found.is_none() {
                    table.problem("id", format!("the network has no generator {id}"));
                }
                found?.node
            }
            None => return None,
        };
        Some(Unit {
            id,
            node,
            name: name?.to_owned(),
            kind: kind?,
            device: DeviceId::new(device?),
            participant: participant?.to_owned(),
            p_rated_w: p_rated_w?,
            q_rated_var: q_rated_var?,
            sell_price: sell_price?,
            battery: match battery {
                Some(battery) => Some(battery?),
                None => None,
            },
            fallback_p_w: fallback_p_w?,
            ramp_w_per_s: ramp_w_per_s?,
        })
    }

    fn loads(&self, root: &Table<'_, '_>) -> Vec<Load> {
        let mut loads: Vec<Load> = Vec::new();
        let mut missing: Vec<Id> = self
            .network
            .map(|n| n.sym_load.iter().map(|l| l.id).collect())
            .unwrap_or_default();
        for table in root.tables("load") {
            let id = table.id("id");
            missing.retain(|m| Some(*m) != id);
            let Some(load) = self.load(&table, id) else {
                continue;
            };
            if loads.iter().any(|other| other.id == load.id) {
                table.problem("id", format!("load {} is there twice", load.id));
            }
            loads.push(load);
        }
        for id in missing {
            root.problem(
                "load",
                format!("load {id} of the network has no [[load]] table"),
            );
        }
        loads
    }

    fn load(&self, table: &Table<'_, '_>, id: Option<Id>) -> Option<Load> {
        let name = table.text("name");
        let participant = table.text("participant");
        let expected_p_w = table.number("expected_p_w", -MAX_POWER..=MAX_POWER);
        let expected_q_var = table.number("expected_q_var", -MAX_POWER..=MAX_POWER);
        let sigma_pct = table.number("sigma_pct", 1.0..=300.0);
        table.finish();
        let id = id?;
        let found = self.network?.sym_load.iter().find(|l| l.id == id);
        if found.is_none() {
            table.problem("id", format!("the network has no load {id}"));
        }
        Some(Load {
            id,
            node: found?.node,
            name: name?.to_owned(),
            participant: participant?.to_owned(),
            expected_p_w: expected_p_w?,
            expected_q_var: expected_q_var?,
            sigma: sigma_pct? / 100.0,
        })
    }
}

fn read_battery(table: &Table<'_, '_>, sell_price: Option<Price>) -> Option<Battery> {
    let buy_price = price(table, "buy_price_per_mwh");
    let energy_wh = table.number("energy_wh", 1.0..=MAX_POWER);
    if let (Some(buy), Some(sell)) = (buy_price, sell_price)
        && buy > sell
    {
        table.problem(
            "buy_price_per_mwh",
            "must not be above sell_price_per_mwh: it would trade with itself".to_owned(),
        );
    }
    Some(Battery {
        buy_price: buy_price?,
        energy_wh: energy_wh?,
    })
}

fn check_device(table: &Table<'_, '_>, device: &str, devices: &BTreeMap<String, At<Device>>) {
    match devices.get(device) {
        None => table.problem("device", format!("there is no usable device `{device}`")),
        Some(at) if !at.value.profile.is_der() => table.problem(
            "device",
            format!(
                "device `{device}` has profile `{}`, which takes no setpoints",
                at.value.profile_name
            ),
        ),
        Some(_) => {}
    }
}
