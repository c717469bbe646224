//! What the targets share: a session's input as steps, frames around what would never pass a check by chance,
//! and time that goes only when it is told to.

pub mod dnp3;
pub mod modbus;

use std::time::Duration;

pub use libfuzzer_sys::fuzz_target;
use protocols::dnp3::Now;

/// One step of a session, out of an octet that says what, one that says how many octets follow, and these.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// What to do; the target says what that is.
    pub kind: u8,
    pub octets: &'a [u8],
}

impl Step<'_> {
    /// The octet at a place, zero behind the last.
    pub fn at(&self, place: usize) -> u8 {
        self.octets.get(place).copied().unwrap_or_default()
    }

    /// Two octets, low first.
    pub fn number(&self, place: usize) -> u16 {
        u16::from_le_bytes([self.at(place), self.at(place + 1)])
    }

    /// From none to some twenty hours.
    pub fn time(&self) -> Duration {
        Duration::from_millis(u64::from(self.at(0)) << (self.at(1) % 19))
    }
}

/// The steps of an input. A kind of 80h and more has eight times as many octets.
pub fn steps(mut input: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let [kind, count, rest @ ..] = input else {
            return None;
        };
        let count = usize::from(*count) << if kind & 0x80 == 0 { 0 } else { 3 };
        let (octets, rest) = rest.split_at(count.min(rest.len()));
        input = rest;
        let kind = kind & 0x7F;
        Some(Step { kind, octets })
    })
}

/// The first moment.
pub fn begin() -> Now {
    Now {
        mono: Duration::from_secs(100),
        unix_ms: 1_700_000_000_123,
    }
}

/// Lets time pass, with a call at each moment that a session asks for, of which there are at most `MOST` a
/// minute: who asks for more is a session that hangs.
pub fn pass<S>(
    session: &mut S,
    now: &mut Now,
    wait: Duration,
    due: impl Fn(&S) -> Option<Duration>,
    call: impl Fn(&mut S, Now),
) {
    const MOST: u64 = 600;
    let begun = *now;
    let end = begun.mono + wait;
    let most = (wait.as_secs() / 60 + 1) * MOST;
    let mut calls = 0;
    while let Some(next) = due(session).filter(|next| *next <= end) {
        now.mono = next.max(now.mono);
        now.unix_ms = begun.unix_ms + (now.mono - begun.mono).as_millis() as u64;
        call(session, *now);
        calls += 1;
        assert!(calls <= most, "a session that asks for time without end");
    }
    now.mono = end;
    now.unix_ms = begun.unix_ms + wait.as_millis() as u64;
}
