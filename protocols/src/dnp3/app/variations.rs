//! Every object variation that we read or write (Annex A), in one table: what it is called and how
//! it is laid out. Codec, outstation, master and the device profile all read this table.

/// How the objects of a variation are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Only ever a header: any variation, or a class.
    HeaderOnly,
    /// So many bits per object, packed, least significant first.
    Packed(u8),
    /// A flag octet where there is one, a number, a time where there is one.
    Point {
        /// Whether the flag octet is there.
        flags: bool,
        /// The number behind it.
        number: Number,
        /// The time behind that.
        stamp: Stamp,
    },
    /// Control relay output block, 11 octets.
    Crob,
    /// A number and a command status.
    Setpoint(Number),
    /// A dead band.
    DeadBand(Number),
    /// Milliseconds since 1970, 48 bits.
    Time,
    /// A time, an interval of 32 bits and its unit, 11 octets; skipped.
    IndexedTime,
    /// 16 bits: seconds (variation 1) or milliseconds (variation 2).
    Delay,
    /// As many octets as the variation's number says.
    Octets,
}

/// How a number is carried, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// In bit 7 of the flag octet.
    State,
    /// In bits 6 and 7 of the flag octet.
    DoubleState,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 64 bits.
    F64,
}

/// How a time is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Not at all.
    None,
    /// Milliseconds since 1970, 48 bits.
    Absolute,
    /// Milliseconds since the last common time of occurrence (g51), 16 bits.
    Relative,
}

impl Number {
    /// Octets beside the flag octet.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::State | Self::DoubleState => 0,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// One object variation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variation {
    /// Object group.
    pub group: u8,
    /// Number within the group; 0 for octet strings, whose number is their length.
    pub variation: u8,
    /// Layout of one object.
    pub layout: Layout,
    /// Name as in Annex A, shortened.
    pub name: &'static str,
}

impl Variation {
    /// Octets of one object; `None` where objects share octets or have none.
    #[must_use]
    pub const fn size(&self) -> Option<usize> {
        Some(match self.layout {
            Layout::HeaderOnly | Layout::Packed(_) => return None,
            Layout::Point {
                flags,
                number,
                stamp,
            } => {
                let time = match stamp {
                    Stamp::None => 0,
                    Stamp::Absolute => 6,
                    Stamp::Relative => 2,
                };
                flags as usize + number.size() + time
            }
            Layout::Crob | Layout::IndexedTime => 11,
            Layout::Setpoint(number) => number.size() + 1,
            Layout::DeadBand(number) => number.size(),
            Layout::Time => 6,
            Layout::Delay => 2,
            Layout::Octets => self.variation as usize,
        })
    }

    /// Whether its objects carry flags, or need none.
    #[must_use]
    pub(crate) const fn has_flags(&self) -> bool {
        !matches!(
            self.layout,
            Layout::Packed(_) | Layout::Point { flags: false, .. }
        )
    }
}

/// The table, ordered by group and variation.
#[rustfmt::skip]
pub const VARIATIONS: &[Variation] = {
    use Layout::{Crob, DeadBand, Delay, HeaderOnly, IndexedTime, Octets, Packed, Setpoint, Time};
    use Number::{DoubleState, F32, F64, I16, I32, State, U16, U32};
    use Stamp::{Absolute, None, Relative};
    const fn v(group: u8, variation: u8, layout: Layout, name: &'static str) -> Variation {
        Variation {
            group,
            variation,
            layout,
            name,
        }
    }
    const fn point(number: Number, stamp: Stamp) -> Layout {
        let flags = true;
        Layout::Point {
            flags,
            number,
            stamp,
        }
    }
    const fn bare(number: Number) -> Layout {
        let flags = false;
        Layout::Point {
            flags,
            number,
            stamp: None,
        }
    }
    &[
        v(1, 0, HeaderOnly, "binary input, any variation"),
        v(1, 1, Packed(1), "binary input, packed"),
        v(1, 2, point(State, None), "binary input, with flags"),
        v(2, 0, HeaderOnly, "binary input event, any variation"),
        v(2, 1, point(State, None), "binary input event"),
        v(2, 2, point(State, Absolute), "binary input event, absolute time"),
        v(2, 3, point(State, Relative), "binary input event, relative time"),
        v(3, 0, HeaderOnly, "double-bit input, any variation"),
        v(3, 1, Packed(2), "double-bit input, packed"),
        v(3, 2, point(DoubleState, None), "double-bit input, with flags"),
        v(4, 0, HeaderOnly, "double-bit input event, any variation"),
        v(4, 1, point(DoubleState, None), "double-bit input event"),
        v(4, 2, point(DoubleState, Absolute), "double-bit input event, absolute time"),
        v(4, 3, point(DoubleState, Relative), "double-bit input event, relative time"),
        v(10, 0, HeaderOnly, "binary output, any variation"),
        v(10, 1, Packed(1), "binary output, packed"),
        v(10, 2, point(State, None), "binary output, with flags"),
        v(11, 0, HeaderOnly, "binary output event, any variation"),
        v(11, 1, point(State, None), "binary output event"),
        v(11, 2, point(State, Absolute), "binary output event, with time"),
        v(12, 1, Crob, "control relay output block"),
        v(13, 0, HeaderOnly, "binary output command event, any variation"),
        v(13, 1, point(State, None), "binary output command event"),
        v(13, 2, point(State, Absolute), "binary output command event, with time"),
        v(20, 0, HeaderOnly, "counter, any variation"),
        v(20, 1, point(U32, None), "counter, 32 bits with flag"),
        v(20, 2, point(U16, None), "counter, 16 bits with flag"),
        v(20, 5, bare(U32), "counter, 32 bits"),
        v(20, 6, bare(U16), "counter, 16 bits"),
        v(21, 0, HeaderOnly, "frozen counter, any variation"),
        v(21, 1, point(U32, None), "frozen counter, 32 bits with flag"),
        v(21, 2, point(U16, None), "frozen counter, 16 bits with flag"),
        v(21, 5, point(U32, Absolute), "frozen counter, 32 bits with flag and time"),
        v(21, 6, point(U16, Absolute), "frozen counter, 16 bits with flag and time"),
        v(21, 9, bare(U32), "frozen counter, 32 bits"),
        v(21, 10, bare(U16), "frozen counter, 16 bits"),
        v(22, 0, HeaderOnly, "counter event, any variation"),
        v(22, 1, point(U32, None), "counter event, 32 bits with flag"),
        v(22, 2, point(U16, None), "counter event, 16 bits with flag"),
        v(22, 5, point(U32, Absolute), "counter event, 32 bits with flag and time"),
        v(22, 6, point(U16, Absolute), "counter event, 16 bits with flag and time"),
        v(23, 0, HeaderOnly, "frozen counter event, any variation"),
        v(23, 1, point(U32, None), "frozen counter event, 32 bits with flag"),
        v(23, 2, point(U16, None), "frozen counter event, 16 bits with flag"),
        v(23, 5, point(U32, Absolute), "frozen counter event, 32 bits with flag and time"),
        v(23, 6, point(U16, Absolute), "frozen counter event, 16 bits with flag and time"),
        v(30, 0, HeaderOnly, "analog input, any variation"),
        v(30, 1, point(I32, None), "analog input, 32 bits with flag"),
        v(30, 2, point(I16, None), "analog input, 16 bits with flag"),
        v(30, 3, bare(I32), "analog input, 32 bits"),
        v(30, 4, bare(I16), "analog input, 16 bits"),
        v(30, 5, point(F32, None), "analog input, single precision with flag"),
        v(30, 6, point(F64, None), "analog input, double precision with flag"),
        v(32, 0, HeaderOnly, "analog input event, any variation"),
        v(32, 1, point(I32, None), "analog input event, 32 bits"),
        v(32, 2, point(I16, None), "analog input event, 16 bits"),
        v(32, 3, point(I32, Absolute), "analog input event, 32 bits with time"),
        v(32, 4, point(I16, Absolute), "analog input event, 16 bits with time"),
        v(32, 5, point(F32, None), "analog input event, single precision"),
        v(32, 6, point(F64, None), "analog input event, double precision"),
        v(32, 7, point(F32, Absolute), "analog input event, single precision with time"),
        v(32, 8, point(F64, Absolute), "analog input event, double precision with time"),
        v(34, 0, HeaderOnly, "analog input dead band, any variation"),
        v(34, 1, DeadBand(U16), "analog input dead band, 16 bits"),
        v(34, 2, DeadBand(U32), "analog input dead band, 32 bits"),
        v(34, 3, DeadBand(F32), "analog input dead band, single precision"),
        v(40, 0, HeaderOnly, "analog output status, any variation"),
        v(40, 1, point(I32, None), "analog output status, 32 bits with flag"),
        v(40, 2, point(I16, None), "analog output status, 16 bits with flag"),
        v(40, 3, point(F32, None), "analog output status, single precision with flag"),
        v(40, 4, point(F64, None), "analog output status, double precision with flag"),
        v(41, 1, Setpoint(I32), "analog output, 32 bits"),
        v(41, 2, Setpoint(I16), "analog output, 16 bits"),
        v(41, 3, Setpoint(F32), "analog output, single precision"),
        v(41, 4, Setpoint(F64), "analog output, double precision"),
        v(42, 0, HeaderOnly, "analog output event, any variation"),
        v(42, 1, point(I32, None), "analog output event, 32 bits"),
        v(42, 2, point(I16, None), "analog output event, 16 bits"),
        v(42, 3, point(I32, Absolute), "analog output event, 32 bits with time"),
        v(42, 4, point(I16, Absolute), "analog output event, 16 bits with time"),
        v(42, 5, point(F32, None), "analog output event, single precision"),
        v(42, 6, point(F64, None), "analog output event, double precision"),
        v(42, 7, point(F32, Absolute), "analog output event, single precision with time"),
        v(42, 8, point(F64, Absolute), "analog output event, double precision with time"),
        v(43, 0, HeaderOnly, "analog output command event, any variation"),
        v(43, 1, point(I32, None), "analog output command event, 32 bits"),
        v(43, 2, point(I16, None), "analog output command event, 16 bits"),
        v(43, 3, point(I32, Absolute), "analog output command event, 32 bits with time"),
        v(43, 4, point(I16, Absolute), "analog output command event, 16 bits with time"),
        v(43, 5, point(F32, None), "analog output command event, single precision"),
        v(43, 6, point(F64, None), "analog output command event, double precision"),
        v(43, 7, point(F32, Absolute), "analog output command event, single precision with time"),
        v(43, 8, point(F64, Absolute), "analog output command event, double precision with time"),
        v(50, 1, Time, "time and date"),
        v(50, 3, Time, "time and date at last recorded time"),
        v(50, 4, IndexedTime, "indexed time and interval"),
        v(51, 1, Time, "common time of occurrence, synchronised"),
        v(51, 2, Time, "common time of occurrence, unsynchronised"),
        v(52, 1, Delay, "time delay, coarse (s)"),
        v(52, 2, Delay, "time delay, fine (ms)"),
        v(60, 1, HeaderOnly, "class 0 data"),
        v(60, 2, HeaderOnly, "class 1 data"),
        v(60, 3, HeaderOnly, "class 2 data"),
        v(60, 4, HeaderOnly, "class 3 data"),
        v(80, 1, Packed(1), "internal indications"),
        v(110, 0, Octets, "octet string"),
        v(111, 0, Octets, "octet string event"),
    ]
};

/// The variation, if we know it. Octet strings come with their length as `variation`.
pub(crate) fn find(group: u8, variation: u8) -> Option<Variation> {
    let number = if matches!(group, 110 | 111) {
        0
    } else {
        variation
    };
    let row = VARIATIONS
        .binary_search_by_key(&(group, number), |row| (row.group, row.variation))
        .ok()?;
    Some(Variation {
        variation,
        ..VARIATIONS[row]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_and_sizes_are_annex_a_s() {
        assert!(VARIATIONS.is_sorted_by_key(|row| (row.group, row.variation)));
        for (group, variation, size) in [
            (1, 2, 1),
            (2, 2, 7),
            (2, 3, 3),
            (4, 2, 7),
            (11, 2, 7),
            (12, 1, 11),
            (13, 2, 7),
            (20, 1, 5),
            (20, 6, 2),
            (21, 5, 11),
            (21, 6, 9),
            (22, 6, 9),
            (30, 1, 5),
            (30, 2, 3),
            (30, 3, 4),
            (30, 4, 2),
            (30, 5, 5),
            (30, 6, 9),
            (32, 3, 11),
            (32, 7, 11),
            (32, 8, 15),
            (40, 4, 9),
            (41, 1, 5),
            (41, 2, 3),
            (41, 4, 9),
            (43, 8, 15),
            (50, 1, 6),
            (52, 2, 2),
            (110, 13, 13),
            (111, 1, 1),
        ] {
            let found = find(group, variation).unwrap();
            assert_eq!(found.size(), Some(size), "g{group}v{variation}");
        }
        assert_eq!(find(30, 7), None);
        assert_eq!(find(70, 1), None);
    }
}
