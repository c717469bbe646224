//! What an outstation has and how it behaves.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use thiserror::Error;

use crate::{
    dnp3::{
        Kind,
        app::{Layout, MAX_FRAGMENT, Variation, find},
        link::{LinkConfig, MAX_ADDRESS},
    },
    tls::Fingerprint,
};

/// A class of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Class 1.
    One = 1,
    /// Class 2.
    Two,
    /// Class 3.
    Three,
}

/// A point of an outstation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PointConfig {
    /// Its kind. [`Kind::BinaryCommand`] and [`Kind::AnalogCommand`] make events of the commands
    /// given to the output with the same index.
    pub kind: Kind,
    /// Its index, unique in its kind.
    pub index: u16,
    /// The class of its events; `None`: it makes none.
    pub class: Option<Class>,
    /// Variation in which its present value is sent, if the master does not ask for another.
    pub static_variation: u8,
    /// Variation in which its events are sent, likewise.
    pub event_variation: u8,
    /// An event is made when the value has moved by more than this since the last one.
    pub dead_band: f64,
}

impl PointConfig {
    /// A point with flags, events with time, analogs in single precision, every change an event.
    #[must_use]
    pub fn new(kind: Kind, index: u16, class: Option<Class>) -> Self {
        let (static_variation, event_variation) = match kind {
            Kind::Binary | Kind::DoubleBit | Kind::BinaryOutput | Kind::BinaryCommand => (2, 2),
            Kind::Counter | Kind::FrozenCounter => (1, 5),
            Kind::Analog => (5, 7),
            Kind::AnalogOutput | Kind::AnalogCommand => (3, 7),
        };
        Self {
            kind,
            index,
            class,
            static_variation,
            event_variation,
            dead_band: 0.0,
        }
    }

    /// With a dead band.
    #[must_use]
    pub fn dead_band(self, dead_band: f64) -> Self {
        Self { dead_band, ..self }
    }
}

/// How unsolicited responses are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsolicitedConfig {
    /// How often an unconfirmed one is repeated.
    pub retries: u8,
    /// How long the events wait after that before a new attempt.
    pub retry_delay: Duration,
    /// How long the first event waits for others to go with it.
    pub hold: Duration,
}

impl Default for UnsolicitedConfig {
    fn default() -> Self {
        Self {
            retries: 3,
            retry_delay: Duration::from_secs(30),
            hold: Duration::from_millis(100),
        }
    }
}

/// What becomes of a request to restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Refused with "function not supported".
    Refused,
    /// Acknowledged with the time until the station is back, and told as an event.
    Allowed {
        /// Until it is back.
        back_in: Duration,
    },
}

/// How an outstation behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct OutstationConfig {
    /// Addresses and link layer.
    pub link: LinkConfig,
    /// Where the master connects from, others are turned away; `None`: from anywhere.
    pub from: Option<IpAddr>,
    /// The certificate that the master shows, where there is TLS; `None`: any that an authority has signed.
    pub certificate: Option<Fingerprint>,
    /// Octets of a response fragment at most, 249 to 2048.
    pub max_fragment: usize,
    /// How long the master may take to confirm.
    pub confirm_timeout: Duration,
    /// How long a select stays.
    pub select_timeout: Duration,
    /// How long the answer to a command may take until it is answered as a hardware error.
    pub control_timeout: Duration,
    /// Commands in one request.
    pub max_controls: usize,
    /// How unsolicited responses are sent; `None`: not at all.
    pub unsolicited: Option<UnsolicitedConfig>,
    /// How often the clock wants to be set by the master; `None`: never.
    pub need_time_every: Option<Duration>,
    /// Events kept of each kind; beyond, the oldest of the kind is lost.
    pub max_events: usize,
    /// What becomes of a request to restart.
    pub restart: RestartPolicy,
}

impl OutstationConfig {
    /// Unsolicited allowed, restart refused, the clock not to be set, 1000 events of each kind.
    #[must_use]
    pub fn new(link: LinkConfig) -> Self {
        Self {
            link,
            from: None,
            certificate: None,
            max_fragment: MAX_FRAGMENT,
            confirm_timeout: Duration::from_secs(5),
            select_timeout: Duration::from_secs(10),
            control_timeout: Duration::from_secs(5),
            max_controls: 16,
            unsolicited: Some(UnsolicitedConfig::default()),
            need_time_every: None,
            max_events: 1000,
            restart: RestartPolicy::Refused,
        }
    }
}

/// What is wrong with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigProblem {
    /// An address that no station may have.
    #[error("address {0} is reserved, the highest is {MAX_ADDRESS}")]
    Address(u16),
    /// Both ends of the link have one address.
    #[error("outstation and master have the same address {0}")]
    SameAddress(u16),
    /// A fragment size out of range.
    #[error("a fragment of {0} octets is not within 249 and {MAX_FRAGMENT}")]
    Fragment(usize),
    /// Two points with one index.
    #[error("{kind} {index} is there twice")]
    Twice {
        /// The points' kind.
        kind: Kind,
        /// Their index.
        index: u16,
    },
    /// A variation that its group does not have.
    #[error("{kind} {index}: there is no g{group}v{variation}")]
    Variation {
        /// The point's kind.
        kind: Kind,
        /// The point's index.
        index: u16,
        /// The object group.
        group: u8,
        /// The variation.
        variation: u8,
    },
    /// A dead band that is negative or no number.
    #[error("{kind} {index}: the dead band is negative or no number")]
    DeadBand {
        /// The point's kind.
        kind: Kind,
        /// The point's index.
        index: u16,
    },
}

/// All that is wrong.
pub(super) fn problems(config: &OutstationConfig, points: &[PointConfig]) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let link = &config.link;
    for address in [link.local, link.remote] {
        if address > MAX_ADDRESS {
            problems.push(ConfigProblem::Address(address));
        }
    }
    if link.local == link.remote {
        problems.push(ConfigProblem::SameAddress(link.local));
    }
    if !(249..=MAX_FRAGMENT).contains(&config.max_fragment) {
        problems.push(ConfigProblem::Fragment(config.max_fragment));
    }
    let mut seen = HashSet::new();
    for point in points {
        let (kind, index) = (point.kind, point.index);
        if !seen.insert((kind, index)) {
            problems.push(ConfigProblem::Twice { kind, index });
        }
        let groups = [
            kind.static_group()
                .map(|group| (group, point.static_variation)),
            Some((kind.event_group(), point.event_variation)),
        ];
        for (group, variation) in groups.into_iter().flatten() {
            if !find(group, variation).is_some_and(is_sendable) {
                problems.push(ConfigProblem::Variation {
                    kind,
                    index,
                    group,
                    variation,
                });
            }
        }
        if point.dead_band.is_nan() || point.dead_band < 0.0 {
            problems.push(ConfigProblem::DeadBand { kind, index });
        }
    }
    problems
}

fn is_sendable(variation: Variation) -> bool {
    matches!(variation.layout, Layout::Packed(_) | Layout::Point { .. })
}
