//! What a site file says, checked. Powers of units are generation-positive, of loads load-positive.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use protocols::{
    dnp3::{map::PointMap, master::TimeSync},
    iec104::map::ObjectMap,
    iec61850,
    modbus::{LineConfig, map::RegisterMap},
    opcua::Pki,
    point::{DeviceId, PointId},
    tls::{Fingerprint, TlsFiles},
};
use solver::{
    market::{GridFee, Imbalance, Price, Pricing, Storage, clearing::PhaseName},
    network::{Id, Network, Side},
};

use super::profile::Profile;
use crate::{above::Terms, links::End, store::Retention, table::Promise};

/// A site, complete and consistent with its network.
#[derive(Clone, Debug)]
pub struct Site {
    /// Name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// The network.
    pub network: Network,
    /// Estimate, market and limits are by phase.
    pub by_phase: bool,
    /// Where the appliance keeps its files.
    pub state_dir: PathBuf,
    /// Where the web server listens.
    pub web_listen: SocketAddr,
    /// Time between estimations.
    pub estimation_period: Duration,
    /// Limits of operation.
    pub limits: Limits,
    /// The market.
    pub market: Market,
    /// Lease of a setpoint.
    pub lease: Duration,
    /// How much history is kept.
    pub history: Retention,
    /// Names and places of the network's nodes, in the network's order.
    pub nodes: Vec<NodePlace>,
    /// Southbound connections.
    pub devices: Vec<Device>,
    /// Generators and batteries that take part in the market.
    pub units: Vec<Unit>,
    /// Loads.
    pub loads: Vec<Load>,
    /// The control centre's access by DNP3; none: there is no such port.
    pub dnp3: Option<Dnp3>,
    /// The control centre's access by IEC 60870-5-104; none: there is no such port.
    pub iec104: Option<Iec104>,
    /// The market above; none: there is none.
    pub above: Option<Above>,
}

/// What the appliance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A substation, with a field and a market of its own.
    Substation,
}

impl Above {
    /// Our end of the link.
    #[must_use]
    pub fn end(&self) -> End {
        let pki = self.pki.clone();
        End { link: "above", pki }
    }
}

/// The market above, of which the site is a tenant, by OPC UA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Above {
    /// `opc.tcp://host:port`.
    pub endpoint: String,
    /// The user that it logs in as.
    pub user: String,
    /// File with the user's password.
    pub password_file: PathBuf,
    /// What the market above calls the site.
    pub tenant: String,
    /// Our certificate, and which servers are trusted.
    pub pki: Pki,
    /// On what the exchange rests.
    pub terms: Terms,
    /// The meter of the connection; none: its energy is estimated.
    pub meter: Option<ConnectionMeter>,
    /// Participants that are settled there, where they have the same name; sorted.
    pub aggregators: Vec<String>,
}

/// Counters of the energy at the connection, Wh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionMeter {
    /// Taken from the grid above.
    pub import: PointId,
    /// Given to it.
    pub export: PointId,
}

impl Site {
    /// Every TCP address that the appliance listens on, and what for. A firewall opens these.
    #[must_use]
    pub fn listens(&self) -> Vec<(SocketAddr, &'static str)> {
        let dnp3 = self.dnp3.as_ref().map(|dnp3| (dnp3.listen, "dnp3"));
        let iec104 = self.iec104.as_ref().map(|iec| (iec.listen, "iec104"));
        let web = (self.web_listen, "web");
        [Some(web), dnp3, iec104].into_iter().flatten().collect()
    }
}

/// How control centres poll the appliance by DNP3.
#[derive(Clone, Debug, PartialEq)]
pub struct Dnp3 {
    /// Where the outstation listens.
    pub listen: SocketAddr,
    /// Its address on the link.
    pub address: u16,
    /// Where the feeder as one DER listens, an outstation of its own at the same address on the link; none: it does not.
    pub der: Option<SocketAddr>,
    /// A command ends when it is not renewed for so long.
    pub hold: Duration,
    /// With TLS; every master has a certificate then.
    pub tls: Option<TlsFiles>,
    /// Who may poll.
    pub masters: Vec<Dnp3Master>,
}

/// A control centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnp3Master {
    /// Name, for the record.
    pub name: String,
    /// Its address on the link.
    pub address: u16,
    /// Where it connects from; others are turned away.
    pub ip: IpAddr,
    /// It may command, not only read.
    pub commands: bool,
    /// The certificate that it shows.
    pub certificate: Option<Fingerprint>,
}

/// How control centres reach the appliance by IEC 60870-5-104.
#[derive(Clone, Debug, PartialEq)]
pub struct Iec104 {
    /// Where the station listens.
    pub listen: SocketAddr,
    /// Its common address.
    pub address: u16,
    /// A command ends when it is not renewed for so long.
    pub hold: Duration,
    /// With TLS, by these files.
    pub tls: Option<TlsFiles>,
    /// Who may connect.
    pub masters: Vec<Iec104Master>,
}

/// A control centre: one redundancy group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iec104Master {
    /// Name, for the record.
    pub name: String,
    /// Where it connects from; others are turned away.
    pub ips: Vec<IpAddr>,
    /// The certificate that it shows; with TLS there is one.
    pub certificate: Option<Fingerprint>,
    /// It may command, not only read.
    pub commands: bool,
}

/// Limits of operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Lowest voltage, pu.
    pub u_min_pu: f64,
    /// Highest voltage, pu.
    pub u_max_pu: f64,
    /// Limits shrink by this many standard deviations of the estimate.
    pub sigma_margin: f64,
    /// Ratings shrink by this share besides: loads move between gate closure and delivery.
    pub rating_margin: f64,
}

/// The market's rules that a site chooses.
#[derive(Clone, Debug, PartialEq)]
pub struct Market {
    /// Currency code.
    pub currency: String,
    /// Length of an interval, s.
    pub interval_s: u32,
    /// The gate closes this long before the interval starts, s.
    pub gate_s: u32,
    /// How many intervals beyond the running one take orders, and are looked ahead at for stores and
    /// windows.
    pub horizon: u32,
    /// Most convex programmes to solve in looking ahead.
    pub look_ahead_programmes: u32,
    /// Values of meters from outside have this long after an interval's end before it is settled, s.
    pub settle_s: u32,
    /// Price of energy from the grid above.
    pub import_price: Price,
    /// Price of energy to the grid above.
    pub export_price: Price,
    /// What a shortfall costs and a surplus earns.
    pub imbalance: Imbalance,
    /// At which price awards are traded.
    pub pricing: Pricing,
    /// What the use of the network costs.
    pub grid_fee: GridFee,
}

/// A node's name and place in the diagram.
#[derive(Clone, Debug, PartialEq)]
pub struct NodePlace {
    /// Node.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Right, grid units.
    pub x: f64,
    /// Down, grid units.
    pub y: f64,
}

/// A southbound connection.
#[derive(Clone, Debug)]
pub struct Device {
    /// Name.
    pub id: DeviceId,
    /// Name of the device model: a file in `edge/profiles/`.
    pub profile_name: String,
    /// The device model.
    pub profile: Profile,
    /// Where it is.
    pub place: Place,
    /// With TLS: our files, and the name that its certificate is for.
    pub tls: Option<(TlsFiles, String)>,
    /// How it is asked.
    pub wire: Wire,
    /// Time between polls.
    pub poll: Duration,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// What its bays measure.
    pub bays: Vec<Bay>,
}

impl Device {
    /// What the point table may expect of it.
    #[must_use]
    pub fn promise(&self) -> Promise {
        let integrity = match &self.wire {
            Wire::Dnp3 { outstation, .. } => outstation.integrity,
            Wire::Sunspec { .. }
            | Wire::Modbus { .. }
            | Wire::Iec104 { .. }
            | Wire::Iec61850 { .. } => self.poll,
        };
        Promise {
            by_exception: integrity > self.poll,
            ..Promise::of(self.poll, self.timeout)
        }
    }
}

/// Where a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address.
    Tcp(SocketAddr),
    /// Behind a converter at an address, which passes Modbus RTU's frames on.
    RtuOverTcp(SocketAddr),
    /// On a serial line, with Modbus RTU.
    Line {
        /// The line's name.
        line: String,
        /// The line.
        config: LineConfig,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::RtuOverTcp(address) => address.fmt(f),
            Self::Line { line, .. } => write!(f, "line {line}"),
        }
    }
}

/// How a device is asked: its protocol, what of its model that needs, and which station it is at its
/// address.
#[derive(Clone, Debug)]
pub enum Wire {
    /// SunSpec Modbus.
    Sunspec {
        /// Modbus unit id.
        unit_id: u8,
    },
    /// Modbus.
    Modbus {
        /// Unit id.
        unit_id: u8,
        /// Its registers.
        map: RegisterMap,
    },
    /// DNP3.
    Dnp3 {
        /// How it is asked.
        outstation: Outstation,
        /// Its points.
        map: PointMap,
    },
    /// IEC 60870-5-104, interrogated with each poll.
    Iec104 {
        /// Which station it is.
        rtu: Rtu104,
        /// Its objects.
        map: ObjectMap,
    },
    /// IEC 61850 (MMS): reports, and reads of what they do not carry.
    Iec61850 {
        /// Which IED it is.
        ied: Ied,
        /// Its attributes.
        map: iec61850::ObjectMap,
    },
}

/// An IED that the appliance is a client of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ied {
    /// Its name, which those of its logical devices begin with.
    pub name: String,
}

/// A station of IEC 60870-5-104 that the appliance is the master of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtu104 {
    /// Its common address.
    pub address: u16,
    /// Whether its clock is set with each interrogation.
    pub clock_sync: bool,
}

/// A DNP3 outstation that the appliance is the master of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstation {
    /// Its address on the link.
    pub address: u16,
    /// Ours.
    pub master: u16,
    /// Time between reading everything; with each poll, events are read.
    pub integrity: Duration,
    /// It sends events by itself.
    pub unsolicited: bool,
    /// Events are asked for with their time.
    pub ask_times: bool,
    /// How its clock is set when it asks for it.
    pub time_sync: TimeSync,
}

impl Wire {
    /// The station's number among those at its address.
    #[must_use]
    pub fn station(&self) -> u16 {
        match self {
            Self::Sunspec { unit_id } | Self::Modbus { unit_id, .. } => (*unit_id).into(),
            Self::Dnp3 { outstation, .. } => outstation.address,
            Self::Iec104 { rtu, .. } => rtu.address,
            // There is one IED at an address.
            Self::Iec61850 { .. } => 0,
        }
    }
}

/// What a bay of an RTU measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bay {
    /// Number of the bay, from 1.
    pub number: u8,
    /// What it measures.
    pub of: BayOf,
    /// The bay reports the tap position of its transformer.
    pub tap: bool,
}

/// What a bay measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BayOf {
    /// One end of a branch; powers positive into the branch.
    Branch {
        /// Branch.
        branch: Id,
        /// End.
        side: Side,
    },
    /// Loads together; powers load-positive.
    Loads {
        /// The loads, all at `node`; when there are several, everything at that node.
        loads: Vec<Id>,
        /// Their node.
        node: Id,
    },
}

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// Photovoltaic.
    Pv,
    /// Wind.
    Wind,
    /// Combined heat and power.
    Chp,
    /// Fuel cell.
    FuelCell,
    /// Battery.
    Battery,
}

impl UnitKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pv,
        Self::Wind,
        Self::Chp,
        Self::FuelCell,
        Self::Battery,
    ];

    /// As written in the site file and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pv => "pv",
            Self::Wind => "wind",
            Self::Chp => "chp",
            Self::FuelCell => "fuel_cell",
            Self::Battery => "battery",
        }
    }
}

/// A generator or battery in the market.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Generator of the network.
    pub id: Id,
    /// Node of the network.
    pub node: Id,
    /// Its phase, to ground; none: all phases alike.
    pub phase: Option<PhaseName>,
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: UnitKind,
    /// Device that measures and obeys.
    pub device: DeviceId,
    /// Its owner in the market.
    pub participant: String,
    /// Nameplate active power, W.
    pub p_rated_w: f64,
    /// Nameplate reactive power, var, symmetrical.
    pub q_rated_var: f64,
    /// Its agent sells at this price.
    pub sell_price: Price,
    /// What a battery adds.
    pub battery: Option<Battery>,
    /// What it falls back to when its lease ends, W, generation-positive; no reactive power.
    pub fallback_p_w: f64,
    /// How fast it may move, W/s.
    pub ramp_w_per_s: f64,
    /// Time constant with which its reactive power follows what it is told, s; 0: at once.
    pub q_lag_s: f64,
}

impl Unit {
    /// How its power is shared by the phases.
    #[must_use]
    pub fn shares(&self) -> Shares {
        match self.phase {
            Some(phase) => Shares::of(phase),
            None => Shares::ALIKE,
        }
    }
}

/// Shares of a power in the phases a, b and c; those of active power add up to one, and those of reactive power.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Of active power.
    pub p: [f64; 3],
    /// Of reactive power.
    pub q: [f64; 3],
}

impl Shares {
    /// The same in each.
    pub const ALIKE: Self = Self {
        p: [1.0 / 3.0; 3],
        q: [1.0 / 3.0; 3],
    };

    /// All in one.
    #[must_use]
    pub fn of(phase: PhaseName) -> Self {
        let share = PhaseName::ALL.map(|other| if other == phase { 1.0 } else { 0.0 });
        Self { p: share, q: share }
    }
}

/// What a battery adds to a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Battery {
    /// Its agent buys at this price.
    pub buy_price: Price,
    /// Energy between empty and full, Wh.
    pub energy_wh: f64,
    /// Its agent does not sell below this state of charge, 0 to 1.
    pub soc_min: f64,
    /// Its agent does not buy above this state of charge, 0 to 1.
    pub soc_max: f64,
    /// Its agent offers it as a store, with these terms, instead of selling and buying at prices; the
    /// energies among them are left to the site file's states of charge.
    pub storage: Option<Storage>,
}

/// A load: served whatever it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Load of the network.
    pub id: Id,
    /// Node of the network.
    pub node: Id,
    /// Name.
    pub name: String,
    /// Who pays for it.
    pub participant: String,
    /// Expected active power, W, load-positive.
    pub expected_p_w: f64,
    /// Expected reactive power, var, load-positive.
    pub expected_q_var: f64,
    /// Standard deviation of the expectation, as a share of it.
    pub sigma: f64,
    /// By phase: how its power is shared by the phases.
    pub shares: Shares,
}
