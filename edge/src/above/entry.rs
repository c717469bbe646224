//! What goes on record.

use std::fmt;

use protocols::opcua::message::{Award, Closing, Offer, Refused, Total, Up};
use serde::{Deserialize, Serialize};
use solver::market::clearing::Interface;

use crate::store::Hash;

/// One entry of the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The gate has closed: this goes up.
    Offered {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// It.
        offer: Offer,
    },
    /// An award came down.
    Awarded {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// It.
        award: Award,
        /// Why nothing comes of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unused: Option<String>,
    },
    /// With what the interval is cleared for good.
    Closed {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// It.
        closing: Closing,
        /// Length of the interval, s.
        length_s: u32,
        /// The exchange's terms: they take the place of those that the gate closed with.
        interface: Vec<Interface>,
    },
    /// What was metered.
    Totalled {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// It.
        total: Total,
    },
    /// The layer above has answered a document: it is not sent again.
    Answered {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// Start of the interval.
        interval: i64,
        /// Which document.
        document: Document,
        /// Its number.
        sequence: u32,
        /// Why it was not taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<Refused>,
        /// What the layer above makes the interval's account of, with a total.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<Hash>,
    },
}

/// A kind of document that goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    /// Offer.
    Offer,
    /// Closing.
    Closing,
    /// Total.
    Total,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offer => "offer",
            Self::Closing => "closing",
            Self::Total => "total",
        })
    }
}

impl Document {
    /// Of a document.
    #[must_use]
    pub fn of(up: &Up) -> Self {
        match up {
            Up::Offer(_) => Self::Offer,
            Up::Closing(_) => Self::Closing,
            Up::Total(_) => Self::Total,
        }
    }
}

impl Entry {
    /// Start of the interval that it is about.
    #[must_use]
    pub fn interval(&self) -> i64 {
        match self {
            Self::Offered { offer, .. } => offer.interval,
            Self::Awarded { award, .. } => award.interval,
            Self::Closed { closing, .. } => closing.interval,
            Self::Totalled { total, .. } => total.interval,
            Self::Answered { interval, .. } => *interval,
        }
    }
}
