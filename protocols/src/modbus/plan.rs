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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(address: u16, count: u16) -> Span {
        Span {
            table: Table::Holding,
            address,
            count,
        }
    }

    #[test]
    fn neighbours_share_a_read_and_gaps_part_them() {
        let wanted = [
            span(20, 2),
            span(0, 2),
            span(4, 1),
            span(9, 2),
            span(200, 1),
        ];
        let spans = |max_gap| -> Vec<_> {
            let reads = plan(&wanted, max_gap);
            reads
                .iter()
                .map(|r| (r.span.address, r.span.count))
                .collect()
        };
        assert_eq!(spans(0), [(0, 2), (4, 1), (9, 2), (20, 2), (200, 1)]);
        assert_eq!(spans(4), [(0, 11), (20, 2), (200, 1)]);
        assert_eq!(spans(9), [(0, 22), (200, 1)]);
        // However large the tolerance, a request asks for 125 registers at most.
        assert_eq!(spans(u16::MAX), [(0, 22), (200, 1)]);
    }

    #[test]
    fn the_end_of_the_table_is_reached() {
        let reads = plan(&[span(0xFFFE, 2), span(0xFFFC, 1)], 8);
        assert_eq!(reads[0].span, span(0xFFFC, 4));
        assert_eq!(reads[0].span.end(), 0x1_0000);
    }

    fn any_span() -> impl Strategy<Value = Span> {
        let table = prop_oneof![
            Just(Table::Coil),
            Just(Table::Discrete),
            Just(Table::Input),
            Just(Table::Holding)
        ];
        (table, 0u16..600, 1u16..=4).prop_map(|(table, address, count)| Span {
            table,
            address,
            count,
        })
    }

    /// Fewest reads, by trying every way to cut the sorted spans of one table.
    fn fewest(mut spans: Vec<Span>, max_gap: u16) -> usize {
        spans.sort();
        let mut best = vec![0];
        for end in 1..=spans.len() {
            let cheapest = (0..end).filter_map(|start| {
                let run = &spans[start..end];
                let first = run[0];
                let mut reach = first.end();
                for span in run {
                    if u32::from(span.address) > reach + u32::from(max_gap) {
                        return None;
                    }
                    reach = reach.max(span.end());
                }
                let fits = reach - u32::from(first.address) <= u32::from(first.limit());
                fits.then_some(best[start] + 1)
            });
            best.push(cheapest.min().unwrap());
        }
        best[spans.len()]
    }

    proptest! {
        #[test]
        fn every_span_is_read_once_within_limits_and_in_the_fewest_reads(
            wanted in prop::collection::vec(any_span(), 0..60),
            max_gap in 0u16..20,
        ) {
            let reads = plan(&wanted, max_gap);
            let mut seen: Vec<usize> = reads.iter().flat_map(|r| r.wanted.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..wanted.len()).collect::<Vec<_>>());
            for read in &reads {
                prop_assert!(read.span.count <= read.span.limit());
                for &index in &read.wanted {
                    prop_assert_eq!(wanted[index].table, read.span.table);
                    prop_assert!(wanted[index].address >= read.span.address);
                    prop_assert!(wanted[index].end() <= read.span.end());
                }
            }
            for table in [Table::Coil, Table::Discrete, Table::Input, Table::Holding] {
                let spans: Vec<_> = wanted.iter().copied().filter(|s| s.table == table).collect();
                let planned = reads.iter().filter(|r| r.span.table == table).count();
                prop_assert_eq!(planned, fewest(spans, max_gap));
            }
        }
    }
}
