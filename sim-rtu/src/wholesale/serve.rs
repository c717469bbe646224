//! The market on the wire.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use protocols::opcua::{
    message::{Award, Down, Receipt, Refused},
    server::{self, MarketServer, Request, ServerConfig},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Config, Market, Prices, market::Taken};

/// What it was told, a line of JSON each.
const RECEIVED: &str = "received.ndjson";
/// Requests that may wait.
const REQUESTS: usize = 64;

/// Serves until `stop`.
///
/// # Errors
/// It cannot start, or cannot keep what it is told.
pub async fn serve(config: &Config, stop: CancellationToken) -> anyhow::Result<()> {
    let prices = config.price_curve()?;
    let clock = Clock::new(config)?;
    let limits = config.tenant.iter();
    let limits = limits.map(|of| (of.name.clone(), of.import_max_w, of.export_max_w));
    let mut market = Market::new(limits);
    fs::create_dir_all(&config.state)?;
    let mut file = take_up(&config.state.join(RECEIVED), &mut market, &prices, &clock)?;
    let (asks, mut asked) = mpsc::channel(REQUESTS);
    let (tells, mut told) = mpsc::channel(REQUESTS);
    let server = ServerConfig {
        listen: config.listen,
        endpoint: None,
        name: "wholesale".to_owned(),
        pki: config.pki(),
        tenants: tenants(config)?,
        verify: verifier(config)?,
    };
    let server = MarketServer::start(server, asks, tells, stop.clone()).await?;
    tracing::info!(address = %server.address(), "wholesale");
    loop {
        let request = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(audit) = told.recv() => {
                tracing::info!(?audit, "link");
                continue;
            }
            request = asked.recv() => request.context("the server has ended")?,
        };
        let Request::Submit {
            tenant,
            document,
            answer,
        } = request
        else {
            continue;
        };
        let taken = Taken { tenant, document };
        let price = prices.at(clock.second_of_day(taken.document.interval()));
        let result = keep(&mut market, &mut file, &taken, price)?;
        if let Ok((_, Some(award))) = &result {
            server.publish(&taken.tenant, &Down::Award(award.clone()));
        }
        let _ = answer.send(result.map(|(receipt, _)| receipt));
    }
}

/// Decides on a document, and keeps it if it was taken.
fn keep(
    market: &mut Market,
    file: &mut File,
    taken: &Taken,
    price: i64,
) -> anyhow::Result<Result<(Receipt, Option<Award>), Refused>> {
    let result = market.submit(taken, price);
    if let Err(refused) = &result {
        tracing::warn!(tenant = taken.tenant, %refused, "not taken");
        return Ok(result);
    }
    let mut line = serde_json::to_vec(taken)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_data()?;
    Ok(result)
}

/// What was told before a restart.
fn take_up(
    path: &Path,
    market: &mut Market,
    prices: &Prices,
    clock: &Clock,
) -> anyhow::Result<File> {
    if let Ok(file) = File::open(path) {
        for line in BufReader::new(file).lines() {
            // A last line that a power cut has torn was answered to nobody.
            let Ok(taken) = serde_json::from_str::<Taken>(&line?) else {
                continue;
            };
            let price = prices.at(clock.second_of_day(taken.document.interval()));
            let _ = market.submit(&taken, price);
        }
    }
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    file.with_context(|| path.display().to_string())
}

fn tenants(config: &Config) -> anyhow::Result<Vec<server::Tenant>> {
    let each = config.tenant.iter().map(|of| {
        let certificate = of.certificate_sha256.parse().map_err(anyhow::Error::msg)?;
        Ok(server::Tenant {
            name: of.name.clone(),
            user: of.name.clone(),
            certificates: vec![certificate],
        })
    });
    each.collect()
}

fn verifier(config: &Config) -> anyhow::Result<server::Verify> {
    let mut passwords: BTreeMap<String, String> = BTreeMap::new();
    for tenant in &config.tenant {
        let file = &tenant.password_file;
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        passwords.insert(tenant.name.clone(), text.trim_end().to_owned());
    }
    let known = move |user: &str, password: &str| {
        let known = passwords.get(user);
        known.is_some_and(|known| !known.is_empty() && known == password)
    };
    Ok(Arc::new(known))
}

/// Time of day, which may pass faster than the clock.
struct Clock {
    /// First moment, s since 1970, and its second of the day.
    first: (i64, i64),
    speed: f64,
}

impl Clock {
    /// A restart goes on with the day of its first start, which it keeps beside what it was told.
    fn new(config: &Config) -> anyhow::Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = i64::try_from(since.unwrap_or_default().as_secs())?;
        fs::create_dir_all(&config.state)?;
        let file = config.state.join("began");
        let began = fs::read_to_string(&file).ok();
        let began = began.and_then(|text| text.trim().parse().ok());
        let first: i64 = match began {
            Some(first) => first,
            None => {
                fs::write(&file, now.to_string())?;
                now
            }
        };
        let start = config.start_s().map_err(anyhow::Error::msg)?;
        Ok(Self {
            first: (first, start.unwrap_or(first.rem_euclid(86_400))),
            speed: config.speed,
        })
    }

    fn second_of_day(&self, moment: i64) -> i64 {
        let (first, second) = self.first;
        second + ((moment - first) as f64 * self.speed) as i64
    }
}
