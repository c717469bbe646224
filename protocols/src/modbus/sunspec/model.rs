//! What a SunSpec model is made of (SunSpec Information Model Specification, chapter "Data types"):
//! points of fixed type at fixed offsets, some of them scaled by ten to the power of another point.

/// Definition of a model, its repeating groups left out.
#[derive(Debug)]
pub struct Model {
    /// Model id.
    pub id: u16,
    /// Length of the fixed block in registers, without `ID` and `L`: the least a device may state.
    pub length: u16,
    /// Points in ascending order of offset, without `ID` and `L`.
    pub points: &'static [Point],
}

/// Definition of a point.
#[derive(Debug)]
pub struct Point {
    /// Registers from the model's `ID` register.
    pub offset: u16,
    /// Name in the model definition; members of a group as `group.point`.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Name of the scale factor point of the same model; empty: unscaled.
    pub scale: &'static str,
    /// Whether a client may write it.
    pub writable: bool,
}

/// Type of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `uint16`.
    U16,
    /// `int16`.
    I16,
    /// `uint32`.
    U32,
    /// `int32`.
    I32,
    /// `uint64`.
    U64,
    /// `acc32`: counts up and wraps; zero when not implemented.
    Acc32,
    /// `acc64`: counts up and wraps; zero when not implemented.
    Acc64,
    /// `enum16`.
    Enum16,
    /// `bitfield16`.
    Bits16,
    /// `bitfield32`.
    Bits32,
    /// `float32`, in the unit of the definition.
    F32,
    /// `sunssf`: exponent of ten, -10 to 10.
    Sf,
    /// `string` of so many registers, two characters each, padded with zeros.
    Str(u16),
    /// Filler.
    Pad,
}

/// A point that a client may only read.
pub(super) const fn ro(offset: u16, name: &'static str, kind: Kind, scale: &'static str) -> Point {
    Point {
        offset,
        name,
        kind,
        scale,
        writable: false,
    }
}

/// A point that a client may write.
pub(super) const fn rw(offset: u16, name: &'static str, kind: Kind, scale: &'static str) -> Point {
    Point {
        offset,
        name,
        kind,
        scale,
        writable: true,
    }
}

impl Model {
    /// The definition of point `name`.
    #[must_use]
    pub fn point(&self, name: &str) -> Option<&'static Point> {
        self.points.iter().find(|point| point.name == name)
    }
}

impl Kind {
    /// Registers it takes.
    #[must_use]
    pub const fn size(self) -> u16 {
        match self {
            Self::U16 | Self::I16 | Self::Enum16 | Self::Bits16 | Self::Sf | Self::Pad => 1,
            Self::U32 | Self::I32 | Self::Acc32 | Self::Bits32 | Self::F32 => 2,
            Self::U64 | Self::Acc64 => 4,
            Self::Str(size) => size,
        }
    }

    /// The bits that mean "not implemented", right-aligned. An accumulator's zero means it too but
    /// is read as zero, since a device's first watt-hour must not look like a change of its abilities.
    #[must_use]
    pub const fn not_implemented(self) -> u64 {
        match self {
            Self::U16 | Self::Enum16 | Self::Bits16 => 0xFFFF,
            Self::I16 | Self::Sf | Self::Pad => 0x8000,
            Self::U32 | Self::Bits32 => 0xFFFF_FFFF,
            Self::I32 => 0x8000_0000,
            Self::U64 => u64::MAX,
            Self::F32 => 0x7FC0_0000,
            Self::Acc32 | Self::Acc64 | Self::Str(_) => 0,
        }
    }

    /// The integer in `registers` (as many as [`Self::size`], at most four); `None`: not implemented,
    /// or no integer.
    #[must_use]
    pub fn decode(self, registers: &[u16]) -> Option<i128> {
        let bits = registers
            .iter()
            .fold(0u64, |bits, &register| bits << 16 | u64::from(register));
        match self {
            Self::Str(_) | Self::Pad | Self::F32 => None,
            Self::Acc32 | Self::Acc64 => Some(i128::from(bits)),
            _ if bits == self.not_implemented() => None,
            // Truncation to the type's width is what makes the sign.
            Self::I16 | Self::Sf => Some(i128::from(bits as u16 as i16)),
            Self::I32 => Some(i128::from(bits as u32 as i32)),
            _ => Some(i128::from(bits)),
        }
    }

    /// Bits of `raw`, right-aligned; `None` when it does not fit or would read "not implemented".
    #[must_use]
    pub fn encode(self, raw: i128) -> Option<u64> {
        let range = match self {
            Self::U16 | Self::Enum16 | Self::Bits16 => 0..=0xFFFE,
            Self::I16 => -0x7FFF..=0x7FFF,
            Self::Sf => -10..=10,
            Self::U32 | Self::Bits32 => 0..=0xFFFF_FFFE,
            Self::I32 => -0x7FFF_FFFF..=0x7FFF_FFFF,
            Self::U64 => 0..=i128::from(u64::MAX - 1),
            Self::Acc32 => 0..=i128::from(u32::MAX),
            Self::Acc64 => 0..=i128::from(i64::MAX),
            Self::Str(_) | Self::Pad | Self::F32 => return None,
        };
        if !range.contains(&raw) {
            return None;
        }
        let mask = u64::MAX >> (64 - 16 * self.size());
        Some(raw as u64 & mask)
    }
}

/// `bits` as `size` registers, high word first.
pub(super) fn words(bits: u64, size: u16) -> impl Iterator<Item = u16> {
    (0..size)
        .rev()
        .map(move |word| (bits >> (16 * word)) as u16)
}
