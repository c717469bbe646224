//! The attribute `q` (IEC 61850-7-3, 6.2.1; IEC 61850-8-1, 8.2) and what it means here.

use crate::point::Quality;

bitflags::bitflags! {
    /// Bits of `q`, the first of the wire as the most significant of 16.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Q: u16 {
        /// Validity questionable. The two bits are one number: it has a bit of INVALID.
        const QUESTIONABLE = 0xC000;
        /// Validity invalid.
        const INVALID = 0x4000;
        /// A validity that nothing defines.
        const RESERVED = 0x8000;
        /// Beyond what can be represented.
        const OVERFLOW = 0x2000;
        /// Beyond its range.
        const OUT_OF_RANGE = 0x1000;
        /// Perhaps wrong because a reference is out of calibration.
        const BAD_REFERENCE = 0x0800;
        /// A two-state value that changes too often.
        const OSCILLATORY = 0x0400;
        /// A supervision has found a failure.
        const FAILURE = 0x0200;
        /// Not renewed in time.
        const OLD_DATA = 0x0100;
        /// Against other values.
        const INCONSISTENT = 0x0080;
        /// Not as accurate as it should be.
        const INACCURATE = 0x0040;
        /// Not from the process.
        const SUBSTITUTED = 0x0020;
        /// Of a test.
        const TEST = 0x0010;
        /// An operator has stopped its renewal.
        const OPERATOR_BLOCKED = 0x0008;
    }
}

impl Q {
    /// What it says against the value.
    #[must_use]
    pub fn quality(self) -> Quality {
        let mut quality = match self & Self::QUESTIONABLE {
            Self::QUESTIONABLE => Quality::QUESTIONABLE,
            validity if validity.is_empty() => Quality::GOOD,
            _ => Quality::INVALID,
        };
        let doubts = Self::BAD_REFERENCE
            | Self::OSCILLATORY
            | Self::FAILURE
            | Self::INCONSISTENT
            | Self::INACCURATE;
        for (bits, flag) in [
            (Self::OVERFLOW | Self::OUT_OF_RANGE, Quality::OUT_OF_RANGE),
            (doubts, Quality::QUESTIONABLE),
            (Self::OLD_DATA, Quality::OLD),
            (Self::SUBSTITUTED, Quality::SUBSTITUTED),
            (Self::TEST, Quality::TEST),
            (Self::OPERATOR_BLOCKED, Quality::BLOCKED),
        ] {
            quality.set(flag, quality.contains(flag) || self.intersects(bits));
        }
        quality
    }

    /// What a server shows of a quality.
    #[must_use]
    pub fn from_quality(quality: Quality) -> Self {
        let of = |rows: &[(Quality, Self)]| -> Self {
            let rows = rows.iter().filter(|(flag, _)| quality.intersects(*flag));
            rows.fold(Self::empty(), |bits, (_, bit)| bits | *bit)
        };
        let doubts = of(&[
            (Quality::OUT_OF_RANGE, Self::OUT_OF_RANGE),
            (Quality::OLD | Quality::COMM_LOST, Self::OLD_DATA),
            (Quality::FROZEN | Quality::RESTART, Self::FAILURE),
        ]);
        let invalid = Quality::INVALID | Quality::COMM_LOST | Quality::RESTART;
        let validity = if quality.intersects(invalid) {
            Self::INVALID
        } else if !doubts.is_empty() || quality.contains(Quality::QUESTIONABLE) {
            Self::QUESTIONABLE
        } else {
            Self::empty()
        };
        let details = of(&[
            (Quality::SUBSTITUTED, Self::SUBSTITUTED),
            (Quality::TEST, Self::TEST),
            (Quality::BLOCKED, Self::OPERATOR_BLOCKED),
        ]);
        validity | doubts | details
    }
}
