//! What can be wrong with a network. Every problem is reported, not only the first.

use std::fmt;

use thiserror::Error;

use super::Id;

/// One thing wrong with a network, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Scenario of a batch, counted from 0; none in an input.
    pub scenario: Option<usize>,
    /// Component table, named as in PGM's JSON; empty when it concerns the whole file.
    pub component: String,
    /// Id of the component, where it has a readable one.
    pub id: Option<Id>,
    /// Place in its table, counted from 0.
    pub row: Option<usize>,
    /// Attribute, where it concerns one.
    pub attribute: Option<String>,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scenario) = self.scenario {
            write!(f, "scenario {scenario}: ")?;
        }
        let component = match self.component.as_str() {
            "" => "file",
            name => name,
        };
        match (self.id, self.row) {
            (Some(id), _) => write!(f, "{component} {id}")?,
            (None, Some(row)) => write!(f, "{component} in row {row}")?,
            (None, None) => write!(f, "{component}")?,
        }
        if let Some(attribute) = &self.attribute {
            write!(f, ", `{attribute}`")?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Fault {
    /// A required attribute is absent or null.
    #[error("is missing")]
    Missing,
    /// An attribute the component does not have.
    #[error("is no attribute of this component; is it misspelt for `{near}`?")]
    UnknownAttribute {
        /// The attribute it resembles.
        near: &'static str,
    },
    /// A component this program does not compute.
    #[error("is not supported ({count} in the file)")]
    UnsupportedComponent {
        /// How many of them there are.
        count: usize,
    },
    /// An update of something the input does not have.
    #[error("is not in the input")]
    UnknownId,
    /// Rows of an update without ids, which are then those of the input, but not as many.
    #[error("has {found} rows without ids for {expected} in the input")]
    RowCount {
        /// Rows of the input.
        expected: usize,
        /// Rows of the update.
        found: usize,
    },
    /// An attribute only the input sets.
    #[error("can't be changed by an update")]
    NotUpdatable,
    /// A component that has no zero sequence.
    #[error("has no zero-sequence data and can't be computed by phase")]
    NoZeroSequence,
    /// A reference to nothing of the kind it must be.
    #[error("{object} is no {expected}")]
    UnknownObject {
        /// The id referred to.
        object: Id,
        /// What it must be.
        expected: &'static str,
    },
    /// A second regulator of the same thing.
    #[error("{object} is already regulated by {other}")]
    RegulatedTwice {
        /// What is regulated.
        object: Id,
        /// The first regulator.
        other: Id,
    },
    /// An id that is already taken.
    #[error("is already used by {other}")]
    DuplicateId {
        /// Component table of the first use.
        other: String,
    },
    /// A node that does not exist.
    #[error("there is no node {node}")]
    UnknownNode {
        /// The id referred to.
        node: Id,
    },
    /// Another JSON type, or a number outside the type's range.
    #[error("must be {expected}, is {found}")]
    Type {
        /// What is required.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A choice that does not go with what else is given.
    #[error("can't be: {reason}")]
    Unfit {
        /// Why.
        reason: String,
    },
    /// A value no real component has.
    #[error("value {value} is impossible: {reason}")]
    Impossible {
        /// The value.
        value: f64,
        /// Why it cannot be.
        reason: String,
    },
}

/// A network that can't be read or can't be.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum NetworkError {
    /// The text is not JSON.
    #[error("not JSON: {message} (line {line}, column {column})")]
    NotJson {
        /// What the parser found.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Everything that is wrong with its content.
    #[error("{} in the network: {}", count(.0), list(.0))]
    Invalid(Vec<Problem>),
}

impl NetworkError {
    /// Every problem, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::NotJson { .. } => vec![self.to_string()],
            Self::Invalid(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// A change to a grid that can't be made; nothing was changed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum UpdateError {
    /// No such component.
    #[error("there is no {kind} {id} in the network")]
    UnknownId {
        /// What was looked for.
        kind: &'static str,
        /// The id.
        id: Id,
    },
    /// The tap changer does not reach that position.
    #[error("transformer {id} has taps {low} to {high}, not {pos}")]
    TapOutOfRange {
        /// Transformer.
        id: Id,
        /// Position asked for.
        pos: i8,
        /// Lowest position.
        low: i8,
        /// Highest position.
        high: i8,
    },
    /// A value that is not a number, infinite or not above zero where it must be.
    #[error("{attribute} of component {id} can't be {value}")]
    Impossible {
        /// Component.
        id: Id,
        /// Which value.
        attribute: &'static str,
        /// The value.
        value: f64,
    },
}
