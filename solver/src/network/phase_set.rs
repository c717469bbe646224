//! Which phases a component has, and between what it is connected: attributes beyond
//! power-grid-model's format, in which everything has the phases a, b, c and stands in wye.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names of the phases, in the order of [`Phases`](super::Phases).
const NAMES: [char; 3] = ['a', 'b', 'c'];

/// Which of the phases a, b, c.
pub type PhaseMask = [bool; 3];

/// One, two or three different phases, in the order they were given: `"abc"`, `"b"`, `"ca"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhaseSet {
    /// Indices; those beyond `len` are zero.
    list: [u8; 3],
    len: u8,
}

impl PhaseSet {
    /// All three.
    pub const ABC: Self = Self {
        list: [0, 1, 2],
        len: 3,
    };

    /// Their indices, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let list = self.list;
        (0..usize::from(self.len)).map(move |k| usize::from(list[k]))
    }

    /// How many there are: 1 to 3.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.len)
    }

    /// By phase.
    #[must_use]
    pub fn mask(&self) -> PhaseMask {
        let mut mask = [false; 3];
        self.iter().for_each(|p| mask[p] = true);
        mask
    }

    /// Whether all three are there, in whatever order.
    #[must_use]
    pub fn is_abc(&self) -> bool {
        self.len == 3
    }
}

impl Default for PhaseSet {
    fn default() -> Self {
        Self::ABC
    }
}

impl FromStr for PhaseSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "phases are one to three of a, b, c, each once, such as \"ac\"".to_owned();
        let mut set = Self {
            list: [0; 3],
            len: 0,
        };
        for name in text.chars() {
            let p = NAMES.iter().position(|n| *n == name).ok_or_else(wrong)?;
            if set.mask()[p] {
                return Err(wrong());
            }
            set.list[set.count()] = u8::try_from(p).map_err(|_| wrong())?;
            set.len += 1;
        }
        if set.len == 0 { Err(wrong()) } else { Ok(set) }
    }
}

impl TryFrom<String> for PhaseSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PhaseSet> for String {
    fn from(set: PhaseSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for PhaseSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|p| write!(f, "{}", NAMES[p]))
    }
}

/// Between what something is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// Phases to ground.
    #[default]
    Wye,
    /// Phase to phase: the legs ab, bc, ca.
    Delta,
}

impl Connection {
    /// Whether it is wye.
    #[must_use]
    pub fn is_wye(&self) -> bool {
        *self == Self::Wye
    }
}

/// Phases of the delta's legs ab, bc, ca: from, to.
pub const LEGS: [(usize, usize); 3] = [(0, 1), (1, 2), (2, 0)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_as_they_are_written() {
        for text in ["a", "b", "c", "ab", "cb", "ca", "abc"] {
            let set: PhaseSet = text.parse().unwrap();
            assert_eq!((set.to_string().as_str(), set.count()), (text, text.len()));
        }
        for wrong in ["", "d", "aa", "abca", "ABC", "a b"] {
            assert!(wrong.parse::<PhaseSet>().is_err(), "{wrong}");
        }
        assert_eq!(
            "ca".parse::<PhaseSet>().unwrap().mask(),
            [true, false, true]
        );
    }
}
