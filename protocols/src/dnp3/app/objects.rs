//! Object headers (clause 4.2.2.7): group, variation, qualifier, range, and the objects behind
//! them. Lengths are checked against what is there before anything is taken.

use thiserror::Error;

use super::variations::{Layout, Variation, find};

/// What is wrong with an object header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum ParseError {
    #[error("the fragment ends within an object")]
    Truncated,
    #[error("unknown object g{group}v{variation}")]
    UnknownObject { group: u8, variation: u8 },
    #[error("qualifier {0:#04x} is not supported here")]
    Qualifier(u8),
    #[error("the range ends before it begins")]
    Range,
}

/// Which objects a header means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    All,
    Span { start: u32, stop: u32 },
    Count(u32),
}

/// A header and the octets of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectHeader<'a> {
    pub(crate) variation: Variation,
    pub(crate) qualifier: u8,
    pub(crate) range: Range,
    /// Octets of the index before each object: 0, 1, 2 or 4.
    prefix: usize,
    /// Where its objects begin among the fragment's.
    offset: usize,
    data: &'a [u8],
}

/// One object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// Bits of a packed one.
    Packed(u8),
    Octets(&'a [u8]),
}

/// The headers of a fragment, up to the first that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Headers<'a> {
    rest: &'a [u8],
    /// Octets taken so far.
    taken: usize,
    /// Whether objects follow the headers; in a read they do not.
    objects: bool,
}

impl<'a> Headers<'a> {
    /// Of a read: indices may follow a header, objects do not.
    pub(crate) fn of_read(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            taken: 0,
            objects: false,
        }
    }

    /// Of any other fragment.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            taken: 0,
            objects: true,
        }
    }

    fn take(&mut self, octets: usize) -> Result<&'a [u8], ParseError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(octets)
            .ok_or(ParseError::Truncated)?;
        self.rest = rest;
        self.taken += octets;
        Ok(taken)
    }

    fn number(&mut self, octets: usize) -> Result<u32, ParseError> {
        Ok(little_endian(self.take(octets)?))
    }

    fn header(&mut self) -> Result<ObjectHeader<'a>, ParseError> {
        let [group, variation, qualifier] = *self.take(3)? else {
            return Err(ParseError::Truncated);
        };
        let found = match find(group, variation) {
            // A read may ask for octet strings of any length.
            Some(found) if found.layout == Layout::Octets && variation == 0 && self.objects => None,
            found => found,
        };
        let variation = found.ok_or(ParseError::UnknownObject { group, variation })?;
        let prefix = match qualifier >> 4 {
            0 => 0,
            1 => 1,
            2 => 2,
            3 => 4,
            _ => return Err(ParseError::Qualifier(qualifier)),
        };
        let width = |code: u8| 1_usize << code;
        let range = match (qualifier & 0x0F, prefix) {
            (code @ 0..=2, 0) => {
                let start = self.number(width(code))?;
                let stop = self.number(width(code))?;
                if stop < start {
                    return Err(ParseError::Range);
                }
                Range::Span { start, stop }
            }
            (6, 0) => Range::All,
            (code @ 7..=9, _) => Range::Count(self.number(width(code - 7))?),
            _ => return Err(ParseError::Qualifier(qualifier)),
        };
        let data = self.objects_of(&variation, qualifier, range, prefix)?;
        Ok(ObjectHeader {
            variation,
            qualifier,
            range,
            prefix,
            offset: self.taken - data.len(),
            data,
        })
    }

    fn objects_of(
        &mut self,
        variation: &Variation,
        qualifier: u8,
        range: Range,
        prefix: usize,
    ) -> Result<&'a [u8], ParseError> {
        let count = match range {
            Range::All => 0,
            // Up to 2³², which 64 bits hold.
            Range::Span { start, stop } => u64::from(stop) - u64::from(start) + 1,
            Range::Count(count) => count.into(),
        };
        let octets = if !self.objects {
            count * prefix as u64 * u64::from(prefix > 0)
        } else {
            match (variation.layout, variation.size()) {
                (Layout::Packed(_), _) if prefix > 0 => {
                    return Err(ParseError::Qualifier(qualifier));
                }
                (Layout::Packed(bits), _) => (count * u64::from(bits)).div_ceil(8),
                (_, size) => count * (prefix + size.unwrap_or(0)) as u64,
            }
        };
        let octets = usize::try_from(octets).map_err(|_| ParseError::Truncated)?;
        self.take(octets)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<ObjectHeader<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let header = self.header();
        if header.is_err() {
            self.rest = &[];
        }
        Some(header)
    }
}

fn little_endian(octets: &[u8]) -> u32 {
    let shift_in = |number: u32, &octet: &u8| number << 8 | u32::from(octet);
    octets.iter().rev().fold(0, shift_in)
}

impl<'a> ObjectHeader<'a> {
    /// Group and variation.
    pub(crate) fn id(&self) -> (u8, u8) {
        (self.variation.group, self.variation.variation)
    }

    /// Where each object ends among the octets of the fragment's objects; not for packed ones.
    pub(crate) fn ends(&self) -> impl Iterator<Item = usize> + use<> {
        let step = self.variation.size().map_or(0, |size| self.prefix + size);
        let count = self.data.len().checked_div(step).unwrap_or(0);
        let offset = self.offset;
        (1..=count).map(move |number| offset + number * step)
    }

    /// In a read: the indices behind the header.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + use<'a> {
        let chunks = (self.prefix > 0).then(|| self.data.chunks_exact(self.prefix));
        chunks.into_iter().flatten().map(little_endian)
    }

    /// The objects with their indices; without prefix and range these count from 0.
    pub(crate) fn items(&self) -> impl Iterator<Item = (u32, Item<'a>)> + use<'a> {
        let start = match self.range {
            Range::Span { start, .. } => start,
            Range::All | Range::Count(_) => 0,
        };
        let (packed, size) = match (self.variation.layout, self.variation.size()) {
            (Layout::Packed(bits), _) => (self.packed(bits, start), 0),
            (_, size) => (None, size.unwrap_or(0)),
        };
        let (data, prefix) = (self.data, self.prefix);
        // A header that has no objects has no items, however high it counts.
        let step = if packed.is_some() { 0 } else { prefix + size };
        let chunks = (step > 0).then(|| data.chunks_exact(step));
        let octets =
            chunks
                .into_iter()
                .flatten()
                .zip(start..=u32::MAX)
                .map(move |(object, position)| {
                    let (index, object) = object.split_at(prefix);
                    let index = if prefix > 0 {
                        little_endian(index)
                    } else {
                        position
                    };
                    (index, Item::Octets(object))
                });
        packed.into_iter().flatten().chain(octets)
    }

    fn packed(
        &self,
        bits: u8,
        start: u32,
    ) -> Option<impl Iterator<Item = (u32, Item<'a>)> + use<'a>> {
        let count = match self.range {
            Range::All => 0,
            Range::Span { start, stop } => (stop - start).saturating_add(1),
            Range::Count(count) => count,
        };
        let per_octet = 8 / u32::from(bits);
        let data = self.data;
        Some((0..count).map_while(move |position| {
            let octet = data.get((position / per_octet) as usize)?;
            let shift = (position % per_octet) * u32::from(bits);
            let item = Item::Packed(octet >> shift & ((1 << bits) - 1));
            Some((start.checked_add(position)?, item))
        }))
    }
}

#[cfg(test)]
mod tests;
