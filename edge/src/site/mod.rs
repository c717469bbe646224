//! `site.toml` -> [`Site`]: what is where on a site, checked against its network. Every problem is
//! reported at once with its place in the file; no default hides a typo (invariant 9).
//!
//! [`fallback`] answers by power flow whether the state all devices fall back to is within limits.

mod above;
mod area;
mod branches;
mod breakers;
mod dnp3;
pub mod fallback;
mod iec104;
mod iec61850;
mod line;
mod model;
mod parse;
mod phases;
pub mod profile;
mod read;
mod tables;
mod timeline;
mod tls;

pub use area::{Access, AreaSite, Serve};
pub(crate) use branches::{Built, built};
pub use breakers::Breaker;
pub use model::{
    Above, Battery, Bay, BayOf, ConnectionMeter, Device, Dnp3, Dnp3Master, Iec104, Iec104Master,
    Limits, Load, Market, NodePlace, Outstation, Place, Role, Rtu104, Shares, Site, Unit, UnitKind,
    Wire,
};
pub use parse::{Loaded, load, load_any, parse, parse_area};
pub use read::Problem;
pub(crate) use read::is_name;
