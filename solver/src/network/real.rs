//! Numbers that may be infinite, which power-grid-model writes as `"inf"` and `"-inf"`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A JSON number, or one of the two words.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Real {
    Number(f64),
    Word(String),
}

/// The infinity a word stands for.
pub(super) fn infinity(word: &str) -> Option<f64> {
    match word {
        "inf" | "+inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    match Option::<Real>::deserialize(d)? {
        None => Ok(None),
        Some(Real::Number(value)) => Ok(Some(value)),
        Some(Real::Word(word)) => infinity(&word)
            .map(Some)
            .ok_or_else(|| D::Error::custom(format!("\"{word}\" is no number"))),
    }
}

pub(super) fn serialize<S: Serializer>(value: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
    let word = |w: &str| Real::Word(w.to_owned());
    value
        .map(|v| match v {
            f64::INFINITY => word("inf"),
            f64::NEG_INFINITY => word("-inf"),
            _ => Real::Number(v),
        })
        .serialize(s)
}
