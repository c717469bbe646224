//! The site file of an area (`role = "area"`): its grid, the markets below as its tenants, who takes part in
//! it directly, and what it exchanges with the grid above. It has no field: no devices, units or loads.

mod aggregators;

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use argon2::PasswordHash;
use protocols::{opcua::Pki, tls::Fingerprint};
use solver::{
    market::{
        Capability, Direction, Order, OrderId, Price, Product, Rulebook, Step, Terms, Unit,
        clearing::LimitSet,
    },
    network::{Id, Network},
};

use super::{
    above,
    model::Above,
    parse::{read_currency, read_grid_fee, read_imbalance, read_network},
    read::Table,
    tables::{MAX_POWER, price},
};
use crate::area::{Aggregator, Participant, Setup, Tenant};

/// A tenant's exchange stays within this, W: far beyond any connection.
const EXCHANGE_MOST: i64 = 10_000_000_000;
/// The result is due this long after the gate at most: half of what is left until the start.
const GATE_S: std::ops::RangeInclusive<i64> = 2..=3600;

/// What the site file of an area says, checked.
#[derive(Clone, Debug)]
pub struct AreaSite {
    /// Name.
    pub name: String,
    /// Where it keeps its files.
    pub state_dir: PathBuf,
    /// Where HTTP is served.
    pub web_listen: SocketAddr,
    /// Currency code.
    pub currency: String,
    /// The market.
    pub setup: Setup,
    /// Where its tenants connect.
    pub serve: Serve,
    /// The market above; none: there is none.
    pub above: Option<Above>,
    /// How each tenant comes, in the order of the market's tenants.
    pub access: Vec<Access>,
}

/// The OPC UA server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How it is reached from outside; none: as it listens.
    pub endpoint: Option<String>,
    /// Its certificate and whom it trusts.
    pub pki: Pki,
}

/// How a tenant comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// As which user.
    pub user: String,
    /// Its password, hashed (PHC string, Argon2).
    pub password_hash: String,
    /// Its certificates, by SHA-256.
    pub certificates: Vec<Fingerprint>,
}

/// Everything is read before anything is given up, so that every problem is found.
pub(super) fn read(root: &Table<'_, '_>, directory: &Path) -> Option<AreaSite> {
    let head = root.table("site").map(|table| read_head(&table, directory));
    let (name, state_dir, network) = head.unwrap_or_default();
    let web_listen = root.table("web").and_then(|table| {
        let listen = table.address("listen");
        table.finish();
        listen
    });
    let limits = root.table("limits").and_then(|table| read_limits(&table));
    let market = root
        .table("market")
        .and_then(|table| read_market(&table, network.as_ref()));
    let serve = root.table("serve").and_then(|table| read_serve(&table));
    let mut taken = network.as_ref().map(ids).unwrap_or_default();
    let tenants = read_tenants(root, network.as_ref(), &mut taken);
    let (access, tenants): (Vec<Access>, Vec<Tenant>) = tenants.into_iter().unzip();
    let participants = read_participants(root, network.as_ref(), &mut taken);
    let aggregators = aggregators::read(root, &tenants, &participants);
    let above = read_above(root, market.as_ref(), (&aggregators, &participants));
    root.finish();
    let above = above?;
    let mut market = market?;
    if let Some(above) = &above {
        market.rulebook.settled_above.clone_from(&above.aggregators);
    }
    Some(AreaSite {
        name: name?,
        state_dir: state_dir?,
        web_listen: web_listen?,
        currency: market.currency,
        serve: serve?,
        access,
        setup: Setup {
            network: network?,
            product: market.product,
            tenants,
            participants,
            aggregators,
            limits: limits?,
            source: market.source,
            import_price: market.import_price,
            export_price: market.export_price,
            import_max_w: market.import_max_w,
            export_max_w: market.export_max_w,
            rulebook: market.rulebook,
            patience_s: market.patience_s,
            above: above
                .as_ref()
                .map(|of| (of.tenant.clone(), of.terms.clone())),
        },
        above,
    })
}

/// The market above, if there is one; `None` if it is wrong.
fn read_above(
    root: &Table<'_, '_>,
    market: Option<&Market>,
    (aggregators, participants): (&[Aggregator], &[Participant]),
) -> Option<Option<Above>> {
    if !root.has("above") {
        return Some(None);
    }
    let gate_s = market.map(|market| market.product.gate_lead_s);
    let imbalance = market.map(|market| market.rulebook.imbalance);
    let table = root.table("above")?;
    let above = above::read(&table, gate_s, imbalance)?;
    if above.meter.is_some() {
        let text = "an area reads no meter: its total is made up of its tenants'";
        table.problem("meter", text.to_owned());
    }
    aggregators::check_above(&table, &above.aggregators, aggregators, participants);
    Some(Some(above))
}

type Head = (Option<String>, Option<PathBuf>, Option<Network>);

fn read_head(table: &Table<'_, '_>, directory: &Path) -> Head {
    let name = table.text("name").map(str::to_owned);
    // It is what brought us here.
    table.has("role");
    let state = table.text("state").map(|text| directory.join(text));
    let network = table
        .text("network")
        .and_then(|text| read_network(table, &directory.join(text), false));
    table.finish();
    (name, state, network)
}

fn read_limits(table: &Table<'_, '_>) -> Option<LimitSet> {
    let u_min_pu = table.number("u_min_pu", 0.5..=1.0);
    let u_max_pu = table.number("u_max_pu", 1.0..=1.5);
    table.finish();
    Some(LimitSet {
        u_min_pu: u_min_pu?,
        u_max_pu: u_max_pu?,
        nodes: Vec::new(),
        branches: Vec::new(),
    })
}

struct Market {
    currency: String,
    product: Product,
    source: Id,
    import_price: Price,
    export_price: Price,
    import_max_w: Option<f64>,
    export_max_w: Option<f64>,
    rulebook: Rulebook,
    patience_s: u32,
}

/// Length of an interval, and its gate.
fn read_product(table: &Table<'_, '_>) -> Option<Product> {
    let interval_s = match table.has("interval_s") {
        true => table.integer("interval_s", 5..=3600),
        false => Some(900),
    };
    if let Some(interval_s) = interval_s
        && 86_400 % interval_s != 0
    {
        let text = "must divide a day, 86400 s".to_owned();
        table.problem("interval_s", text);
    }
    let gate_s = table.integer("gate_s", GATE_S);
    if let (Some(gate), Some(interval)) = (gate_s, interval_s)
        && gate >= interval
    {
        let text = format!("must be below interval_s, which is {interval}");
        table.problem("gate_s", text);
    }
    let gate = u32::try_from(gate_s?).ok()?;
    Some(Product {
        length_s: u32::try_from(interval_s?).ok()?,
        gate_lead_s: gate,
        publish_lead_s: gate / 2,
        settle_delay_s: 2,
        horizon: 2,
    })
}

fn read_market(table: &Table<'_, '_>, network: Option<&Network>) -> Option<Market> {
    let currency = read_currency(table);
    let product = read_product(table);
    let source = table.id("source");
    if let (Some(id), Some(network)) = (source, network)
        && network.source.iter().all(|source| source.id != id)
    {
        table.problem("source", format!("the network has no source {id}"));
    }
    let import_price = price(table, "import_price_per_mwh");
    let export_price = price(table, "export_price_per_mwh");
    if let (Some(import), Some(export)) = (import_price, export_price)
        && export > import
    {
        let text = "must not be above import_price_per_mwh: buying to sell would have no end";
        table.problem("export_price_per_mwh", text.to_owned());
    }
    let limit = |key| match table.has(key) {
        true => table.number(key, 0.0..=MAX_POWER).map(Some),
        false => Some(None),
    };
    let (import_max_w, export_max_w) = (limit("import_max_w"), limit("export_max_w"));
    let imbalance = read_imbalance(table, import_price, export_price);
    let grid_fee = match table.has("grid_fee") {
        true => table
            .table("grid_fee")
            .and_then(|table| read_grid_fee(&table)),
        false => Some(Default::default()),
    };
    let patience_s = match table.has("patience_s") {
        true => table.integer("patience_s", 0..=604_800),
        false => Some(3600),
    };
    table.finish();
    Some(Market {
        currency: currency?.to_owned(),
        product: product?,
        source: source?,
        import_price: import_price?,
        export_price: export_price?,
        import_max_w: import_max_w?,
        export_max_w: export_max_w?,
        rulebook: Rulebook {
            imbalance: imbalance?,
            grid_fee: grid_fee?,
            ..Rulebook::default()
        },
        patience_s: u32::try_from(patience_s?).ok()?,
    })
}

fn read_serve(table: &Table<'_, '_>) -> Option<Serve> {
    let listen = table.address("listen");
    let endpoint = match table.has("endpoint") {
        true => table.text("endpoint").map(|text| Some(text.to_owned())),
        false => Some(None),
    };
    let folder = table.text("pki").map(|text| table.source.beside(text));
    table.finish();
    Some(Serve {
        listen: listen?,
        endpoint: endpoint?,
        pki: Pki { folder: folder? },
    })
}

/// Every number that means something in the network.
fn ids(network: &Network) -> BTreeSet<Id> {
    let json = solver::network::pgm_json::write(network);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    let kinds = document["data"].as_object().into_iter().flatten();
    let each = kinds.flat_map(|(_, list)| list.as_array().into_iter().flatten());
    let ids = each.filter_map(|of| Id::try_from(of["id"].as_i64()?).ok());
    ids.collect()
}

/// A unit's number and node: the one of nothing else, the other of the network.
fn place(
    table: &Table<'_, '_>,
    network: Option<&Network>,
    taken: &mut BTreeSet<Id>,
) -> Option<(Id, Id)> {
    let (unit, node) = (table.id("unit"), table.id("node"));
    if let (Some(node), Some(network)) = (node, network)
        && network.node.iter().all(|known| known.id != node)
    {
        table.problem("node", format!("the network has no node {node}"));
    }
    if let Some(unit) = unit
        && !taken.insert(unit)
    {
        let text = format!("{unit} is the number of something else already");
        table.problem("unit", text);
    }
    Some((unit?, node?))
}

fn read_tenants(
    root: &Table<'_, '_>,
    network: Option<&Network>,
    taken: &mut BTreeSet<Id>,
) -> Vec<(Access, Tenant)> {
    let mut tenants: Vec<(Access, Tenant)> = Vec::new();
    for table in root.tables("tenant") {
        let name = table.name("name");
        let user = match table.has("user") {
            true => table.name("user"),
            false => name,
        };
        let password_hash = read_hash(&table);
        let certificates = read_certificates(&table);
        let place = place(&table, network, taken);
        let import_max_w = table.integer("import_max_w", 0..=EXCHANGE_MOST);
        let export_max_w = table.integer("export_max_w", 0..=EXCHANGE_MOST);
        table.finish();
        for (access, tenant) in &tenants {
            if Some(&*tenant.name) == name {
                table.problem("name", format!("tenant `{}` is there twice", tenant.name));
            }
            if Some(&*access.user) == user {
                let text = format!("user `{}` is tenant `{}` already", access.user, tenant.name);
                table.problem("user", text);
            }
            let shared = certificates
                .iter()
                .any(|of| access.certificates.contains(of));
            if shared {
                let text = format!("one of them is of tenant `{}` already", tenant.name);
                table.problem("certificates_sha256", text);
            }
        }
        let read = || {
            let (unit, node) = place?;
            let tenant = Tenant {
                name: name?.to_owned(),
                unit,
                node,
                import_max_w: import_max_w?,
                export_max_w: export_max_w?,
            };
            let access = Access {
                user: user?.to_owned(),
                password_hash: password_hash?,
                certificates,
            };
            Some((access, tenant))
        };
        tenants.extend(read());
    }
    if !root.has("tenant") {
        root.problem("tenant", "there is no [[tenant]]".to_owned());
    }
    tenants
}

fn read_hash(table: &Table<'_, '_>) -> Option<String> {
    let file = table.source.beside(table.text("password_hash_file")?);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text.trim().to_owned(),
        Err(error) => {
            let text = format!("{} cannot be read: {error}", file.display());
            table.problem("password_hash_file", text);
            return None;
        }
    };
    if PasswordHash::new(&text).is_err() {
        let text = format!(
            "{} has no password hash: `busbar hash-password` makes one",
            file.display()
        );
        table.problem("password_hash_file", text);
        return None;
    }
    Some(text)
}

fn read_certificates(table: &Table<'_, '_>) -> Vec<Fingerprint> {
    let mut certificates: Vec<Fingerprint> = Vec::new();
    for text in table.texts("certificates_sha256") {
        match text.parse() {
            Ok(of) => certificates.push(of),
            Err(error) => table.problem("certificates_sha256", error),
        }
    }
    if certificates.is_empty() {
        let text = "names no certificate: SHA-256 of one or more".to_owned();
        table.problem("certificates_sha256", text);
    }
    certificates
}

fn read_participants(
    root: &Table<'_, '_>,
    network: Option<&Network>,
    taken: &mut BTreeSet<Id>,
) -> Vec<Participant> {
    let mut participants = Vec::new();
    let mut next = 1;
    for table in root.tables("participant") {
        let name = table.text("name");
        let place = place(&table, network, taken);
        let p_min_w = table.number("p_min_w", -MAX_POWER..=0.0);
        let p_max_w = table.number("p_max_w", 0.0..=MAX_POWER);
        let q_max_var = table.number("q_max_var", 0.0..=MAX_POWER);
        let sell = steps(&table, "sell", Direction::Sell);
        let buy = steps(&table, "buy", Direction::Buy);
        table.finish();
        if sell.is_empty() && buy.is_empty() {
            let text = "has neither [[participant.sell]] nor [[participant.buy]]".to_owned();
            table.problem("name", text);
        }
        let (Some(name), Some((id, node)), Some(p_min_w), Some(p_max_w), Some(q_max_var)) =
            (name, place, p_min_w, p_max_w, q_max_var)
        else {
            continue;
        };
        let mut orders = Vec::new();
        for (direction, steps) in [(Direction::Sell, sell), (Direction::Buy, buy)] {
            if steps.is_empty() {
                continue;
            }
            orders.push(Order {
                id: OrderId(next),
                client_id: format!("{name}-{next}"),
                participant: name.to_owned(),
                unit: id,
                interval: 0,
                direction,
                steps,
                terms: Terms::default(),
            });
            next += 1;
        }
        let unit = Unit {
            id,
            participant: name.to_owned(),
            node,
            capability: Capability {
                p_min_w,
                p_max_w,
                q_max_var,
                s_max_va: None,
            },
            dispatchable: true,
        };
        participants.push(Participant { unit, orders });
    }
    participants
}

/// A curve: prices rise to sell, fall to buy.
fn steps(parent: &Table<'_, '_>, key: &'static str, direction: Direction) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for table in parent.tables(key) {
        let quantity_w = table.integer("quantity_w", 1..=EXCHANGE_MOST);
        let price = price(&table, "price_per_mwh");
        table.finish();
        let (Some(quantity_w), Some(price)) = (quantity_w, price) else {
            continue;
        };
        let wrong = steps.last().is_some_and(|before| match direction {
            Direction::Sell => price < before.price,
            Direction::Buy => price > before.price,
        });
        if wrong {
            let text = "prices must rise to sell and fall to buy".to_owned();
            table.problem("price_per_mwh", text);
        }
        steps.push(Step { quantity_w, price });
    }
    steps
}

#[cfg(test)]
mod tests;
