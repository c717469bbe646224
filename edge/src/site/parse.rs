//! From the text of a site file to a [`Site`], or to everything that is wrong with it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use solver::{
    market::{GridFee, Imbalance, Price, Pricing},
    network::{Id, Network, pgm_json},
};
use toml::{Spanned, de::DeTable};

use super::{
    above,
    area::{self, AreaSite},
    dnp3, iec104,
    model::{Above, Device, Limits, Market, Role, Site},
    phases::NodePhases,
    read::{At, Problem, Source, Table},
    tables::{Context, MAX_PRICE, price, seconds},
    timeline,
};
use crate::store::Retention;

/// A site.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// A substation, with a field and a market of its own.
    Substation(Box<Site>),
    /// A market of the markets below.
    Area(Box<AreaSite>),
}

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

/// Reads a site file, whatever it is of, and the network that it names.
///
/// # Errors
/// Everything that is wrong with either.
pub fn load_any(file: &Path) -> Result<Loaded, Vec<Problem>> {
    // What cannot be read is said by who reads it whole.
    let text = fs::read_to_string(file).unwrap_or_default();
    let (document, _) = DeTable::parse_recoverable(&text);
    let site = document.get_ref().get("site");
    let role = site.and_then(|site| site.get_ref().as_table()?.get("role")?.get_ref().as_str());
    match role {
        Some("area") => parse_area(file, &text).map(|site| Loaded::Area(Box::new(site))),
        _ => load(file).map(|site| Loaded::Substation(Box::new(site))),
    }
}

/// Reads the text of an area's site file; see [`parse`].
///
/// # Errors
/// Everything that is wrong with it or with the network that it names.
pub fn parse_area(file: &Path, text: &str) -> Result<AreaSite, Vec<Problem>> {
    parse_by(file, text, |source, document, directory| {
        let root = Table::new(source, String::new(), 0..0, document.get_ref());
        area::read(&root, directory)
    })
}

/// Reads the text of a site file; `file` is for messages, and what relative paths in it start from.
///
/// # Errors
/// Everything that is wrong with it or with the network that it names.
pub fn parse(file: &Path, text: &str) -> Result<Site, Vec<Problem>> {
    parse_by(file, text, read)
}

fn parse_by<T>(
    file: &Path,
    text: &str,
    read: impl FnOnce(&Source<'_>, &Spanned<DeTable<'_>>, &Path) -> Option<T>,
) -> Result<T, Vec<Problem>> {
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

/// As the file has them: places at control centres are counted from it.
fn in_order(devices: BTreeMap<String, At<Device>>) -> Vec<Device> {
    let mut devices: Vec<At<Device>> = devices.into_values().collect();
    devices.sort_by_key(|at| at.span.start);
    devices.into_iter().map(|at| at.value).collect()
}

/// Everything is read before anything is given up, so that every problem is found.
fn read(source: &Source<'_>, document: &Spanned<DeTable<'_>>, directory: &Path) -> Option<Site> {
    let root = Table::new(source, String::new(), 0..0, document.get_ref());
    let head = root.table("site").map(|t| read_head(&t, directory));
    let Head {
        name,
        role,
        state_dir,
        by_phase,
        network,
    } = head.unwrap_or_default();
    let phases = network.as_ref().filter(|_| by_phase);
    let phases = phases.and_then(|network| node_phases(&root, network));
    let web_listen = root.table("web").and_then(|t| {
        let listen = t.address("listen");
        t.finish();
        listen
    });
    let period = root.table("estimation").and_then(|t| {
        let period = seconds(&t, "period_s", 0.2..=5.0);
        t.finish();
        period
    });
    let limits = root.table("limits").and_then(|t| read_limits(&t));
    let (market, interval_s) = root
        .table("market")
        .map(|t| read_market(&t, period))
        .unwrap_or_default();
    let lease = root
        .table("dispatch")
        .and_then(|t| read_lease(&t, interval_s));
    let history = optional(&root, "history", read_history);
    let context = Context {
        network: network.as_ref(),
        by_phase,
        phases: phases.as_ref(),
    };
    let nodes = context.nodes(&root);
    let devices = context.devices(&root, directory);
    let units = context.units(&root, &devices);
    let loads = context.loads(&root);
    let dnp3 = optional(&root, "dnp3", dnp3::read);
    let iec104 = optional(&root, "iec104", iec104::read);
    let above = optional(&root, "above", |t| {
        read_above(&root, t, market.as_ref(), network.as_ref(), &devices)
    });
    root.finish();
    Some(Site {
        name: name?,
        role: role?,
        state_dir: state_dir?,
        network: network?,
        by_phase,
        web_listen: web_listen?,
        estimation_period: period?,
        limits: limits?,
        market: market?,
        lease: lease?,
        history: history?.unwrap_or(HISTORY),
        nodes,
        devices: in_order(devices),
        units,
        loads,
        dnp3: dnp3?,
        iec104: iec104?,
        above: above?,
    })
}

/// A table that may be missing; nothing where it is there and wrong.
fn optional<T>(
    root: &Table<'_, '_>,
    name: &'static str,
    read: impl FnOnce(&Table<'_, '_>) -> Option<T>,
) -> Option<Option<T>> {
    match root.has(name) {
        true => root.table(name).and_then(|t| read(&t)).map(Some),
        false => Some(None),
    }
}

/// Which phases each node has.
fn node_phases(root: &Table<'_, '_>, network: &Network) -> Option<NodePhases> {
    let report = |problems: Vec<String>| {
        for problem in problems {
            root.problem("site", format!("the network cannot be by phase: {problem}"));
        }
    };
    NodePhases::new(network).map_err(report).ok()
}

fn read_above(
    root: &Table<'_, '_>,
    t: &Table<'_, '_>,
    market: Option<&Market>,
    network: Option<&Network>,
    devices: &BTreeMap<String, At<Device>>,
) -> Option<Above> {
    let gate_s = market.map(|market| market.gate_s);
    let imbalance = market.map(|market| market.imbalance);
    let above = above::read(t, gate_s, imbalance);
    if let Some(network) = network.filter(|network| network.source.len() != 1) {
        let sources = network.source.len();
        let text = format!(
            "wants a network with one source, which is where it meets the grid above; this has {sources}"
        );
        root.problem("above", text);
    }
    if let Some(meter) = above.as_ref().and_then(|of| of.meter.as_ref()) {
        for point in [&meter.import, &meter.export] {
            let device = point.as_str().split_once('/').map_or("", |(of, _)| of);
            if !devices.contains_key(device) {
                t.problem("meter", format!("`{point}`: there is no device `{device}`"));
            }
        }
    }
    above
}

#[derive(Default)]
struct Head {
    name: Option<String>,
    role: Option<Role>,
    state_dir: Option<PathBuf>,
    by_phase: bool,
    network: Option<Network>,
}

fn read_head(table: &Table<'_, '_>, directory: &Path) -> Head {
    let name = table.text("name").map(str::to_owned);
    let role = match table.has("role") {
        true => table.word("role", &[("substation", Role::Substation)]),
        false => Some(Role::Substation),
    };
    let state_dir = table.text("state").map(|text| directory.join(text));
    let by_phase = table.has("by_phase") && table.boolean("by_phase").unwrap_or_default();
    let network = table
        .text("network")
        .and_then(|text| read_network(table, &directory.join(text), by_phase));
    table.finish();
    Head {
        name,
        role,
        state_dir,
        by_phase,
        network,
    }
}

pub(super) fn read_network(table: &Table<'_, '_>, file: &Path, by_phase: bool) -> Option<Network> {
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
        Ok(network) => {
            let mut found = of_phases(&network);
            found.retain(|_| !by_phase);
            for (kind, id) in &found {
                table.problem(
                    "network",
                    format!(
                        "{}: {kind} {id} is by phase; that goes with `by_phase = true` of a substation's `[site]`",
                        file.display()
                    ),
                );
            }
            found.is_empty().then_some(network)
        }
        Err(error) => {
            for problem in error.problems() {
                table.problem("network", format!("{}: {problem}", file.display()));
            }
            None
        }
    }
}

/// What a balanced model of a network does not show: the first of each kind.
fn of_phases(network: &Network) -> Vec<(&'static str, Id)> {
    let partial = network.link.iter().find(|link| !link.phases.is_abc());
    let lines = network.asym_line.first().map(|of| of.id);
    let loads = network.asym_load.first().map(|of| of.id);
    let generators = network.asym_gen.first().map(|of| of.id);
    let regulators = network.step_voltage_regulator.first().map(|of| of.id);
    let kinds = [
        ("asym_line", lines),
        ("link", partial.map(|of| of.id)),
        ("asym_load", loads),
        ("asym_gen", generators),
        ("step_voltage_regulator", regulators),
    ];
    let found = kinds.into_iter();
    found.filter_map(|(kind, id)| Some((kind, id?))).collect()
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
fn read_market(table: &Table<'_, '_>, period: Option<Duration>) -> (Option<Market>, Option<i64>) {
    let currency = read_currency(table);
    let times = timeline::read(table, period);
    let import = price(table, "import_price_per_mwh");
    let export = price(table, "export_price_per_mwh");
    if let (Some(import), Some(export)) = (import, export)
        && export > import
    {
        table.problem(
            "export_price_per_mwh",
            "must not be above import_price_per_mwh: buying to sell would have no end".to_owned(),
        );
    }
    let imbalance = read_imbalance(table, import, export);
    let pricing = match table.has("pricing") {
        true => table.word(
            "pricing",
            &[
                ("nodal", Pricing::Nodal),
                ("uniform", Pricing::Uniform),
                ("pay_as_bid", Pricing::PayAsBid),
            ],
        ),
        false => Some(Pricing::Nodal),
    };
    let grid_fee = match table.has("grid_fee") {
        true => table
            .table("grid_fee")
            .and_then(|table| read_grid_fee(&table)),
        false => Some(GridFee::default()),
    };
    table.finish();
    let whole = || {
        Some(Market {
            imbalance: imbalance?,
            pricing: pricing?,
            grid_fee: grid_fee?,
            currency: currency?.to_owned(),
            interval_s: u32::try_from(times.interval_s?).ok()?,
            gate_s: u32::try_from(times.gate_s?).ok()?,
            horizon: u32::try_from(times.horizon?).ok()?,
            look_ahead_programmes: u32::try_from(times.look_ahead_programmes?).ok()?,
            settle_s: u32::try_from(times.settle_s?).ok()?,
            import_price: import?,
            export_price: export?,
        })
    };
    (whole(), times.interval_s)
}

/// A code of ISO 4217.
pub(super) fn read_currency<'d>(table: &Table<'_, 'd>) -> Option<&'d str> {
    table.text("currency").filter(|text| {
        let fit = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
        if !fit {
            table.problem(
                "currency",
                format!("`{text}` is not a currency code of ISO 4217 such as EUR"),
            );
        }
        fit
    })
}

/// What deviations cost and earn: by default what the grid above takes and gives.
pub(super) fn read_imbalance(
    table: &Table<'_, '_>,
    import: Option<Price>,
    export: Option<Price>,
) -> Option<Imbalance> {
    let or = |key, otherwise| match table.has(key) {
        true => price(table, key),
        false => otherwise,
    };
    let short_price = or("short_price_per_mwh", import)?;
    let long_price = or("long_price_per_mwh", export)?;
    if long_price > short_price {
        table.problem(
            "long_price_per_mwh",
            "must not be above short_price_per_mwh: two could gain by deviating against each other"
                .to_owned(),
        );
    }
    Some(Imbalance {
        short_price,
        long_price,
    })
}

pub(super) fn read_grid_fee(table: &Table<'_, '_>) -> Option<GridFee> {
    let fee = |key| {
        table
            .number(key, 0.0..=MAX_PRICE)
            .map(|fee| Price((fee * 1e6).round() as i64))
    };
    let base = fee("base_per_mwh");
    let per_pu = fee("per_mwh_and_pu");
    let utilisation = table.number("utilisation", 0.0..=100.0);
    let most = match table.has("most_per_mwh") {
        true => fee("most_per_mwh").map(Some),
        false => Some(None),
    };
    table.finish();
    Some(GridFee {
        base: base?,
        per_pu: per_pu?,
        utilisation: utilisation?,
        most: most?,
    })
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

/// Unless the site file says otherwise: fits a disk of a few GB beside everything else.
const HISTORY: Retention = Retention {
    days: 30,
    bytes: 1024 << 20,
};

fn read_history(table: &Table<'_, '_>) -> Option<Retention> {
    let days = table.integer("days", 1..=36_500);
    let megabytes = table.integer("max_mb", 1..=1 << 20);
    table.finish();
    Some(Retention {
        days: u32::try_from(days?).ok()?,
        bytes: u64::try_from(megabytes?).ok()? << 20,
    })
}
