//! How a point's quality is said in a quality descriptor (IEC 60870-5-101 clause 7.2.6.1 to 7.2.6.4
//! and 7.2.6.9), and back: a value never looks better than it is.
//!
//! | quality | indications, steps, bitstrings | measured values | counters |
//! |---|---|---|---|
//! | good | none | none | none |
//! | invalid, test | IV | IV | IV |
//! | questionable, frozen | IV | IV | IV |
//! | restart | NT, IV | NT, IV | IV |
//! | out of range | IV | OV | IV |
//! | old, communication lost | NT | NT | IV |
//! | substituted | SB | SB | IV |
//! | blocked | BL | BL | IV |
//!
//! Back: IV is invalid, NT old, OV out of range, SB substituted, BL blocked; a counter that was
//! adjusted (CA) is questionable, one that has overflowed (CY) is as good as any.

use super::element::Kind;
use crate::point::Quality;

bitflags::bitflags! {
    /// A quality descriptor without state bits.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Qds: u8 {
        /// Overflow: beyond what can be measured or carried.
        const OV = 1;
        /// Counters: has overflowed since it was last read.
        const CY = 1 << 5;
        /// Counters: was adjusted since it was last read.
        const CA = 1 << 6;
        /// Blocked for transmission; the value is from before.
        const BL = 1 << 4;
        /// Substituted by an operator or a program.
        const SB = 1 << 5;
        /// Not topical: not updated in its time.
        const NT = 1 << 6;
        /// Invalid.
        const IV = 1 << 7;
    }
}

impl Qds {
    /// The bits that a kind's descriptor has.
    pub(super) fn of(kind: Kind) -> Self {
        let common = Self::BL | Self::SB | Self::NT | Self::IV;
        match kind {
            Kind::Single | Kind::Double => common,
            Kind::Counter => Self::CY | Self::CA | Self::IV,
            _ => common | Self::OV,
        }
    }

    /// The descriptor that says `quality` of a value of `kind`.
    #[must_use]
    pub fn from_quality(kind: Kind, quality: Quality) -> Self {
        if kind == Kind::Counter {
            return if quality.is_good() {
                Self::empty()
            } else {
                Self::IV
            };
        }
        let mut descriptor = Self::empty();
        for one in quality.iter() {
            descriptor |= match one {
                Quality::OLD | Quality::COMM_LOST => Self::NT,
                Quality::RESTART => Self::NT | Self::IV,
                Quality::OUT_OF_RANGE if kind.is_measured() => Self::OV,
                Quality::SUBSTITUTED => Self::SB,
                Quality::BLOCKED => Self::BL,
                _ => Self::IV,
            };
        }
        descriptor
    }

    /// What this descriptor says of a value of `kind`.
    #[must_use]
    pub fn quality(self, kind: Kind) -> Quality {
        let mut quality = Quality::GOOD;
        quality.set(Quality::INVALID, self.contains(Self::IV));
        if kind == Kind::Counter {
            quality.set(Quality::QUESTIONABLE, self.contains(Self::CA));
            return quality;
        }
        quality.set(Quality::OLD, self.contains(Self::NT));
        quality.set(Quality::SUBSTITUTED, self.contains(Self::SB));
        quality.set(Quality::BLOCKED, self.contains(Self::BL));
        quality.set(Quality::OUT_OF_RANGE, self.contains(Self::OV));
        quality
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        let old = Quality::OLD;
        let restart = Quality::OLD | Quality::INVALID;
        let rows = [
            (Quality::GOOD, [0x00, 0x00, 0x00], Quality::GOOD),
            (Quality::INVALID, [0x80, 0x80, 0x80], Quality::INVALID),
            (Quality::TEST, [0x80, 0x80, 0x80], Quality::INVALID),
            (Quality::QUESTIONABLE, [0x80, 0x80, 0x80], Quality::INVALID),
            (Quality::FROZEN, [0x80, 0x80, 0x80], Quality::INVALID),
            (Quality::RESTART, [0xC0, 0xC0, 0x80], restart),
            (
                Quality::OUT_OF_RANGE,
                [0x80, 0x01, 0x80],
                Quality::OUT_OF_RANGE,
            ),
            (Quality::OLD, [0x40, 0x40, 0x80], old),
            (Quality::COMM_LOST, [0x40, 0x40, 0x80], old),
            (
                Quality::SUBSTITUTED,
                [0x20, 0x20, 0x80],
                Quality::SUBSTITUTED,
            ),
            (Quality::BLOCKED, [0x10, 0x10, 0x80], Quality::BLOCKED),
        ];
        for (quality, octets, back) in rows {
            for (kind, octet) in [Kind::Single, Kind::Float, Kind::Counter]
                .into_iter()
                .zip(octets)
            {
                let said = Qds::from_quality(kind, quality);
                assert_eq!(said.bits(), octet, "{kind:?} {quality:?}");
                assert!(Qds::of(kind).contains(said), "{kind:?} {quality:?}");
                if kind == Kind::Float {
                    assert_eq!(said.quality(kind), back, "{quality:?}");
                }
            }
        }
        assert_eq!(Qds::CA.quality(Kind::Counter), Quality::QUESTIONABLE);
        assert_eq!(Qds::CY.quality(Kind::Counter), Quality::GOOD);
    }

    #[test]
    fn nothing_bad_looks_good() {
        for kind in Kind::ALL {
            for bits in 1..1 << 10 {
                let quality = Quality::from_bits_retain(bits);
                let said = Qds::from_quality(kind, quality);
                assert_ne!(said, Qds::empty(), "{kind:?} {quality:?}");
                assert_ne!(said.quality(kind), Quality::GOOD, "{kind:?} {quality:?}");
                assert!(Qds::of(kind).contains(said), "{kind:?} {quality:?}");
            }
        }
    }
}
