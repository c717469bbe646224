//! Which reads fetch a set of registers: neighbours share a request, since on most devices a request
//! costs a round trip however many registers it asks for. Pure.

use super::mbap::{MAX_READ_BITS, MAX_READ_REGISTERS, Table};

/// A run of elements of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Table.
    pub table: Table,
    /// First element.
    pub address: u16,
    /// Number of elements.
    pub count: u16,
}

/// One request and what it fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What to ask for.
    pub span: Span,
    /// Indices of the wanted spans inside it.
    pub wanted: Vec<usize>,
}

impl Span {
    /// First address after it; 65536 at the end of the table.
    #[must_use]
    pub fn end(self) -> u32 {
        u32::from(self.address) + u32::from(self.count)
    }

    /// Most elements that one request may read.
    #[must_use]
    pub fn limit(self) -> u16 {
        if self.table.is_bits() {
            MAX_READ_BITS
        } else {
            MAX_READ_REGISTERS
        }
    }
}

/// The fewest reads that fetch every span of `wanted` whole, reading at most `max_gap` unwanted
/// elements between two wanted ones. A span longer than a request may be gets a read of its own,
/// which will fail: the caller refuses such spans beforehand.
#[must_use]
pub fn plan(wanted: &[Span], max_gap: u16) -> Vec<Read> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&index| wanted[index]);
    let mut reads: Vec<Read> = Vec::new();
    for index in order {
        let span = wanted[index];
        if let Some(read) = reads.last_mut()
            && let Some(count) = joined(read.span, span, max_gap)
        {
            read.span.count = count;
            read.wanted.push(index);
            continue;
        }
        reads.push(Read {
            span,
            wanted: vec![index],
        });
    }
    reads
}

/// Length of `read` when it takes in `span` too (which begins no earlier), if it may.
fn joined(read: Span, span: Span, max_gap: u16) -> Option<u16> {
    let near = u32::from(span.address) <= read.end() + u32::from(max_gap);
    let count = read.end().max(span.end()) - u32::from(read.address);
    (read.table == span.table && near && count <= u32::from(read.limit())).then_some(count as u16)
}
