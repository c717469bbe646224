//! What a controlled station has, and how it behaves.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use crate::{
    iec104::{BROADCAST, ControlKind, Kind, LinkConfig, MAX_IOA},
    tls::Fingerprint,
};

/// A point in monitor direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PointConfig {
    /// Its address, 1 to 16777215.
    pub ioa: u32,
    /// Its kind.
    pub kind: Kind,
    /// The group it can be interrogated with, 1 to 16, a counter's 1 to 4; none: with all others only.
    pub group: Option<u8>,
    /// A change is sent when the value has moved by more than this since the last one.
    pub dead_band: f64,
}

impl PointConfig {
    /// In no group, every change sent.
    #[must_use]
    pub fn new(ioa: u32, kind: Kind) -> Self {
        Self {
            ioa,
            kind,
            group: None,
            dead_band: 0.0,
        }
    }
}

/// Whether a command has to be selected first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectMode {
    /// It may be.
    Optional,
    /// It has to be.
    Required,
}

/// An object that can be commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandConfig {
    /// Its address, which may be a point's too.
    pub ioa: u32,
    /// Kind of the command.
    pub kind: ControlKind,
    /// Whether it has to be selected first.
    pub select: SelectMode,
}

/// A master: one redundancy group of connections.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// Where it connects from; empty: from anywhere.
    pub from: Vec<IpAddr>,
    /// The certificate that it has to show under TLS; none: any that is good.
    pub certificate: Option<Fingerprint>,
    /// Windows and timers of its connections.
    pub link: LinkConfig,
    /// Events kept for it; beyond, the oldest that is not under way is lost.
    pub max_events: usize,
    /// Connections at a time. One more takes the place of the oldest that is not in use.
    pub max_connections: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            from: Vec::new(),
            certificate: None,
            link: LinkConfig::default(),
            max_events: 10_000,
            max_connections: 4,
        }
    }
}

/// A station.
#[derive(Clone, Debug, PartialEq)]
pub struct StationConfig {
    /// Its common address, 1 to 65534.
    pub address: u16,
    /// Its points.
    pub points: Vec<PointConfig>,
    /// What can be commanded.
    pub commands: Vec<CommandConfig>,
    /// Its masters.
    pub groups: Vec<GroupConfig>,
    /// Address of a single point by which a master is told that events for it were lost; it goes off
    /// with the next station interrogation. None: nothing tells.
    pub lost_events: Option<u32>,
    /// How long a selection stays.
    pub select_timeout: Duration,
    /// How long the answer to a command may take until it is refused.
    pub control_timeout: Duration,
    /// A command with a time is not carried out when that is further from now; none: whatever it is.
    pub max_command_age: Option<Duration>,
    /// Whether a clock synchronisation is confirmed (and told), or refused.
    pub clock_sync: bool,
    /// Whether a reset of the process is confirmed (and told), or refused.
    pub reset: bool,
}

impl StationConfig {
    /// Without points, commands and masters; commands at most 30 s old; neither clock nor reset.
    #[must_use]
    pub fn new(address: u16) -> Self {
        Self {
            address,
            points: Vec::new(),
            commands: Vec::new(),
            groups: Vec::new(),
            lost_events: None,
            select_timeout: Duration::from_secs(10),
            control_timeout: Duration::from_secs(5),
            max_command_age: Some(Duration::from_secs(30)),
            clock_sync: false,
            reset: false,
        }
    }

    /// All that is wrong, one phrase each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.address == 0 || self.address == BROADCAST {
            problems.push(format!("common address {} is reserved", self.address));
        }
        let mut seen: BTreeSet<u32> = self.lost_events.into_iter().collect();
        for ioa in &seen {
            address(*ioa, &mut problems);
        }
        for point in &self.points {
            address(point.ioa, &mut problems);
            if !seen.insert(point.ioa) {
                problems.push(format!("point {} is there twice", point.ioa));
            }
            let groups = 1..=if point.kind == Kind::Counter { 4 } else { 16 };
            if point.group.is_some_and(|group| !groups.contains(&group)) {
                problems.push(format!("point {}: there is no such group", point.ioa));
            }
            if point.dead_band.is_nan() || point.dead_band < 0.0 {
                problems.push(format!("point {}: a dead band below zero", point.ioa));
            }
        }
        let mut seen = BTreeSet::new();
        for command in &self.commands {
            address(command.ioa, &mut problems);
            if !seen.insert((command.ioa, command.kind)) {
                problems.push(format!("command {} is there twice", command.ioa));
            }
        }
        for (number, group) in self.groups.iter().enumerate() {
            let mut wrong = group.link.problems();
            if group.max_events == 0 || group.max_connections == 0 {
                wrong.push("no room for events or connections");
            }
            problems.extend(wrong.iter().map(|wrong| format!("group {number}: {wrong}")));
        }
        problems
    }
}

fn address(ioa: u32, problems: &mut Vec<String>) {
    if ioa == 0 || ioa > MAX_IOA {
        problems.push(format!("address {ioa} is not 1 to {MAX_IOA}"));
    }
}
