//! How long messages say that they are: the library keeps what comes until a message is whole, up to the 4 GB that its
//! header may claim (async-opcua-core 0.19), before it looks who sends it.

use std::io;

/// The longest chunk of a message: both ends say in their hellos that they take 65,535 octets.
pub(super) const LONGEST: usize = 64 * 1024;

/// Follows the headers of messages through what is read of a connection.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    head: [u8; 8],
    /// Octets of the header that are there.
    have: usize,
    /// Octets of the message that are to come.
    left: usize,
}

impl Lengths {
    /// Takes what was read.
    ///
    /// # Errors
    /// A message is longer than [`LONGEST`], or shorter than its header.
    pub(super) fn take(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(octets.len());
                octets = octets.get(passed..).unwrap_or_default();
                self.left -= passed;
                continue;
            }
            let more = (self.head.len() - self.have).min(octets.len());
            let (of_head, rest) = octets.split_at(more);
            self.head[self.have..self.have + more].copy_from_slice(of_head);
            self.have += more;
            octets = rest;
            if self.have == self.head.len() {
                self.left = self.length()? - self.head.len();
                self.have = 0;
            }
        }
        Ok(())
    }

    fn length(&self) -> io::Result<usize> {
        let length = [self.head[4], self.head[5], self.head[6], self.head[7]];
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if (self.head.len()..=LONGEST).contains(&length) {
            return Ok(length);
        }
        let what = format!("a message of {length} octets, where 8 to {LONGEST} are taken");
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut message = b"MSGF".to_vec();
        message.extend(length.to_le_bytes());
        message.resize(usize::try_from(length.min(1_000)).unwrap().max(8), 0xff);
        message
    }

    /// However what comes is cut into pieces, the same is found.
    #[test]
    fn a_message_that_is_too_long_is_found_wherever_it_begins() {
        let good = [message(8), message(9), message(1_000), message(16)].concat();
        for (last, fits) in [
            (65_536, true),
            (65_537, false),
            (7, false),
            (u32::MAX, false),
        ] {
            let all = [&good[..], &message(last)].concat();
            for piece in [1, 3, 8, 1_000, all.len()] {
                let mut lengths = Lengths::default();
                let taken: io::Result<Vec<()>> =
                    all.chunks(piece).map(|part| lengths.take(part)).collect();
                assert_eq!(taken.is_ok(), fits, "{last} by {piece}");
            }
        }
    }
}
