//! A wire that loses, doubles, delays and so reorders.

use edge::{above::Event, clock::US, store::Hash};
use protocols::opcua::message::{Award, Down, Refused, Up};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// What is on it.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// Up: a document.
    Up(Up),
    /// Down: an award.
    Award(Award),
    /// Down: the answer to a document.
    Answer(Up, Result<Option<Hash>, Refused>),
}

impl Message {
    /// As the tenant hears it.
    pub(crate) fn event(self) -> Event {
        match self {
            Self::Award(award) => Event::Down(Down::Award(award)),
            Self::Answer(up, answer) => Event::Answer { up, answer },
            Self::Up(up) => panic!("{up:?} went the wrong way"),
        }
    }
}

pub(crate) struct Wire {
    chance: StdRng,
    /// On the way, and when each arrives.
    under_way: Vec<(i64, Message)>,
    cut_until_us: i64,
    lost: f64,
    doubled: f64,
    delay_s: i64,
}

impl Wire {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: StdRng::seed_from_u64(seed),
            under_way: Vec::new(),
            cut_until_us: i64::MIN,
            lost: 0.3,
            doubled: 0.2,
            delay_s: 90,
        }
    }

    /// As wires are on most days.
    pub(crate) fn good(&mut self) {
        (self.lost, self.doubled, self.delay_s) = (0.0, 0.0, 1);
    }

    /// What is on the way is gone, and so is what is sent until then.
    pub(crate) fn cut(&mut self, until_us: i64) {
        self.cut_until_us = until_us;
        self.reset();
    }

    pub(crate) fn reset(&mut self) {
        self.under_way.clear();
    }

    pub(crate) fn send(&mut self, message: Message, now_us: i64) {
        if now_us < self.cut_until_us || self.chance.random_bool(self.lost) {
            return;
        }
        let times = 1 + usize::from(self.chance.random_bool(self.doubled));
        for _ in 0..times {
            let arrives = now_us + self.chance.random_range(0..=self.delay_s) * US;
            self.under_way.push((arrives, message.clone()));
        }
    }

    /// What has arrived, in no order that anybody sent it in.
    pub(crate) fn arrived(&mut self, now_us: i64) -> Vec<Message> {
        let under_way = std::mem::take(&mut self.under_way);
        let (mut arrived, left): (Vec<_>, Vec<_>) = under_way
            .into_iter()
            .partition(|(at_us, _)| *at_us <= now_us);
        self.under_way = left;
        arrived.sort_by_key(|(at_us, _)| *at_us);
        arrived.into_iter().map(|(_, message)| message).collect()
    }
}
