//! What it is told to be.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use protocols::{opcua::Pki, tls::Fingerprint};
use serde::Deserialize;

use super::Prices;

/// A configuration file, TOML.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where tenants connect.
    pub listen: SocketAddr,
    /// Folder of certificates, relative to the file.
    pub pki: PathBuf,
    /// Folder of what it was told, relative to the file.
    pub state: PathBuf,
    /// Prices by time of day, CSV, relative to the file.
    pub prices: PathBuf,
    /// Time of day of its first moment, `hh:mm`; by default the clock's, UTC.
    pub starts_at: Option<String>,
    /// So many times faster than the clock a day passes.
    #[serde(default = "one")]
    pub speed: f64,
    /// Its tenants.
    pub tenant: Vec<Tenant>,
}

fn one() -> f64 {
    1.0
}

/// One of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Name, and user.
    pub name: String,
    /// File with its password, relative to the configuration's.
    pub password_file: PathBuf,
    /// SHA-256 of its certificate.
    pub certificate_sha256: String,
    /// Most that it can take, W.
    pub import_max_w: i64,
    /// Most that it can give, W.
    pub export_max_w: i64,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}: {reason}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Config {
    /// Reads it; its paths are then whole.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::File {
            file: file.to_owned(),
            reason,
        };
        let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let beside = file.parent().unwrap_or(Path::new("."));
        for path in [&mut config.pki, &mut config.state, &mut config.prices] {
            *path = beside.join(&*path);
        }
        for tenant in &mut config.tenant {
            tenant.password_file = beside.join(&tenant.password_file);
            let parsed: Result<Fingerprint, String> = tenant.certificate_sha256.parse();
            parsed.map_err(|error| wrong(format!("tenant {}: {error}", tenant.name)))?;
            if tenant.import_max_w < 0 || tenant.export_max_w < 0 {
                return Err(wrong(format!("tenant {}: limits below 0", tenant.name)));
            }
        }
        if !(0.0..=100_000.0).contains(&config.speed) {
            return Err(wrong(format!("speed {} is none", config.speed)));
        }
        config.start_s().map_err(wrong)?;
        Ok(config)
    }

    /// Where its certificates are.
    #[must_use]
    pub fn pki(&self) -> Pki {
        Pki {
            folder: self.pki.clone(),
        }
    }

    /// Its prices.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is none.
    pub fn price_curve(&self) -> Result<Prices, ConfigError> {
        let wrong = |reason: String| ConfigError::File {
            file: self.prices.clone(),
            reason,
        };
        let text = fs::read_to_string(&self.prices).map_err(|error| wrong(error.to_string()))?;
        Prices::parse(&text).map_err(wrong)
    }

    /// Second of the day of its first moment; none: the clock's.
    pub(super) fn start_s(&self) -> Result<Option<i64>, String> {
        let Some(text) = &self.starts_at else {
            return Ok(None);
        };
        let second = super::market::second_of_day(text);
        second
            .map(Some)
            .ok_or_else(|| format!("`{text}` is no time of day such as 11:30"))
    }
}
