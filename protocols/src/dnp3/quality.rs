//! How a point's quality is said in flags, and back: a value never looks better than it is.
//!
//! | quality | binary, double-bit, counter | analog |
//! |---|---|---|
//! | good | ONLINE | ONLINE |
//! | invalid, blocked, test | not ONLINE | not ONLINE |
//! | questionable, frozen | not ONLINE | ONLINE, REFERENCE_ERR |
//! | out of range | not ONLINE | ONLINE, OVER_RANGE |
//! | old, communication lost | COMM_LOST, not ONLINE | the same |
//! | substituted | LOCAL_FORCED | LOCAL_FORCED |
//! | restart | RESTART, not ONLINE | the same |
//!
//! Back: not ONLINE without another reason is invalid; CHATTER, DISCONTINUITY and REFERENCE_ERR are
//! questionable; forced, wherever, is substituted.

use super::{Flags, Kind};
use crate::point::Quality;

impl Flags {
    /// The flags that say `quality` of a point of `kind`.
    #[must_use]
    pub fn from_quality(kind: Kind, quality: Quality) -> Self {
        let analog = kind.is_analog();
        let mut flags = Self::ONLINE;
        for one in quality.iter() {
            match one {
                Quality::QUESTIONABLE | Quality::FROZEN if analog => flags |= Self::REFERENCE_ERR,
                Quality::OUT_OF_RANGE if analog => flags |= Self::OVER_RANGE,
                Quality::SUBSTITUTED => flags |= Self::LOCAL_FORCED,
                _ => {}
            }
        }
        let lost = Quality::OLD | Quality::COMM_LOST;
        let mut offline = Quality::INVALID | Quality::BLOCKED | Quality::TEST | Quality::RESTART;
        offline |= lost;
        if !analog {
            offline |= Quality::QUESTIONABLE | Quality::FROZEN | Quality::OUT_OF_RANGE;
        }
        flags.set(Self::ONLINE, !quality.intersects(offline));
        flags.set(Self::COMM_LOST, quality.intersects(lost));
        flags.set(Self::RESTART, quality.contains(Quality::RESTART));
        flags
    }

    /// What these flags say of a point of `kind`.
    #[must_use]
    pub fn quality(self, kind: Kind) -> Quality {
        let mut quality = Quality::GOOD;
        quality.set(Quality::RESTART, self.contains(Self::RESTART));
        quality.set(Quality::COMM_LOST, self.contains(Self::COMM_LOST));
        if !self.contains(Self::ONLINE) && quality.is_good() {
            quality |= Quality::INVALID;
        }
        let forced = Self::LOCAL_FORCED | Self::REMOTE_FORCED;
        quality.set(Quality::SUBSTITUTED, self.intersects(forced));
        if kind.is_analog() {
            quality.set(Quality::OUT_OF_RANGE, self.contains(Self::OVER_RANGE));
            quality.set(Quality::QUESTIONABLE, self.contains(Self::REFERENCE_ERR));
        } else {
            let jumped = kind.is_counter() && self.contains(Self::DISCONTINUITY);
            let chatters = kind.is_input() && self.contains(Self::CHATTER);
            quality.set(Quality::QUESTIONABLE, jumped || chatters);
        }
        quality
    }
}

impl Kind {
    fn is_analog(self) -> bool {
        matches!(
            self,
            Self::Analog | Self::AnalogOutput | Self::AnalogCommand
        )
    }

    fn is_counter(self) -> bool {
        matches!(self, Self::Counter | Self::FrozenCounter)
    }

    fn is_input(self) -> bool {
        matches!(self, Self::Binary | Self::DoubleBit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        let cases = [
            (Kind::Analog, Quality::GOOD, 0x01, Quality::GOOD),
            (Kind::Analog, Quality::INVALID, 0x00, Quality::INVALID),
            (
                Kind::Analog,
                Quality::QUESTIONABLE,
                0x41,
                Quality::QUESTIONABLE,
            ),
            (Kind::Analog, Quality::FROZEN, 0x41, Quality::QUESTIONABLE),
            (
                Kind::Analog,
                Quality::OUT_OF_RANGE,
                0x21,
                Quality::OUT_OF_RANGE,
            ),
            (Kind::Analog, Quality::OLD, 0x04, Quality::COMM_LOST),
            (
                Kind::Analog,
                Quality::SUBSTITUTED,
                0x11,
                Quality::SUBSTITUTED,
            ),
            (Kind::Binary, Quality::GOOD, 0x01, Quality::GOOD),
            (Kind::Binary, Quality::QUESTIONABLE, 0x00, Quality::INVALID),
            (Kind::Binary, Quality::COMM_LOST, 0x04, Quality::COMM_LOST),
            (Kind::Counter, Quality::OUT_OF_RANGE, 0x00, Quality::INVALID),
            (Kind::DoubleBit, Quality::RESTART, 0x02, Quality::RESTART),
            (Kind::DoubleBit, Quality::TEST, 0x00, Quality::INVALID),
        ];
        for (kind, quality, flags, back) in cases {
            let said = Flags::from_quality(kind, quality);
            assert_eq!(said.bits(), flags, "{kind} {quality:?}");
            assert_eq!(said.quality(kind), back, "{kind} {quality:?}");
        }
    }

    #[test]
    fn nothing_bad_looks_good() {
        for kind in Kind::ALL {
            for bits in 1..1 << 10 {
                let quality = Quality::from_bits_retain(bits);
                let flags = Flags::from_quality(kind, quality);
                assert_ne!(flags, Flags::ONLINE, "{kind} {quality:?}");
                assert_ne!(flags.quality(kind), Quality::GOOD, "{kind} {quality:?}");
            }
        }
    }

    #[test]
    fn what_others_set_is_understood() {
        let chatter = Flags::ONLINE | Flags::CHATTER;
        assert_eq!(chatter.quality(Kind::Binary), Quality::QUESTIONABLE);
        assert_eq!(chatter.quality(Kind::Counter), Quality::GOOD);
        let forced = Flags::ONLINE | Flags::REMOTE_FORCED;
        assert_eq!(forced.quality(Kind::Counter), Quality::SUBSTITUTED);
        let jumped = Flags::ONLINE | Flags::DISCONTINUITY;
        assert_eq!(jumped.quality(Kind::Counter), Quality::QUESTIONABLE);
    }
}
