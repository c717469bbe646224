//! References to what an IED has, as IEC 61850-7-2 writes them: `LD0/MMXU1.TotW.mag.f[MX]`.

use std::{fmt, str::FromStr};

use iec61850_model::FC;
use serde::Deserialize;

/// A data object or attribute of an IED, with its functional constraint where it needs one. The logical device
/// is named without the IED's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Reference {
    ld: String,
    ln: String,
    /// Data object and what is below it; never empty.
    path: Vec<String>,
    fc: Option<FC>,
}

/// Longest name of a logical device that MMS carries, the IED's name included (IEC 61850-8-1, 14.2).
const MAX_DOMAIN: usize = 64;

impl Reference {
    /// Its functional constraint.
    #[must_use]
    pub(super) fn fc(&self) -> Option<FC> {
        self.fc
    }

    /// What MMS calls its logical device.
    #[must_use]
    pub(super) fn domain(&self, ied: &str) -> String {
        format!("{ied}{}", self.ld)
    }

    /// Logical node and data object, or the first so many names: `MMXU1.TotW`.
    pub(super) fn object(&self) -> String {
        format!("{}.{}", self.ln, self.path[0])
    }

    /// What MMS calls it in its logical device: `MMXU1$MX$TotW$mag$f`. Without a functional constraint it has
    /// none.
    pub(super) fn item(&self) -> Option<String> {
        let fc = self.fc?;
        Some(format!("{}${fc}${}", self.ln, self.path.join("$")))
    }

    /// The names from the data object down.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no reference such as LD0/MMXU1.TotW.mag.f[MX]");
        let (whole, fc) = match text.strip_suffix(']') {
            Some(rest) => {
                let (whole, fc) = rest.split_once('[').ok_or_else(wrong)?;
                let fc =
                    FC::parse(fc).map_err(|_| format!("`{fc}` is no functional constraint"))?;
                if matches!(fc, FC::All | FC::None) {
                    return Err(wrong());
                }
                (whole, Some(fc))
            }
            None => (text, None),
        };
        let (ld, rest) = whole.split_once('/').ok_or_else(wrong)?;
        let mut names = rest.split('.').map(str::to_owned);
        let ln = names.next().unwrap_or_default();
        let path: Vec<String> = names.collect();
        let fit = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !name.is_empty() && name.len() <= MAX_DOMAIN && name.chars().all(fits)
        };
        if path.is_empty() || ![ld, &ln].into_iter().all(fit) || !path.iter().all(|n| fit(n)) {
            return Err(wrong());
        }
        let ld = ld.to_owned();
        Ok(Self { ld, ln, path, fc })
    }
}

impl TryFrom<String> for Reference {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.ld, self.ln, self.path.join("."))?;
        match self.fc {
            Some(fc) => write!(f, "[{fc}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_the_standard_writes_them() {
        let text = "LD0/MMXU1.PhV.phsA.cVal.mag.f[MX]";
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.to_string(), text);
        assert_eq!(reference.domain("BAY1"), "BAY1LD0");
        let item = reference.item().unwrap();
        assert_eq!(item, "MMXU1$MX$PhV$phsA$cVal$mag$f");
        assert_eq!(reference.object(), "MMXU1.PhV");
        let control: Reference = "LD0/CSWI1.Pos".parse().unwrap();
        assert_eq!(control.item(), None);
        assert_eq!(control.to_string(), "LD0/CSWI1.Pos");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "/",
            "LD0",
            "LD0/",
            "LD0/MMXU1",
            "LD0/MMXU1.",
            "/MMXU1.TotW[MX]",
            "LD0/.TotW[MX]",
            "LD0/MMXU1.TotW[XX]",
            "LD0/MMXU1.TotW[MX",
            "LD0/MMXU1.TotW]",
            "LD0/MMXU1.Tot W[MX]",
            "LD0/MMXU1.TotW$mag[MX]",
            "LD0/MMXU1.TotW[**]",
            "LD0/A/B.C[MX]",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
