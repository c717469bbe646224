//! A device model as tables of references: which attribute means what. One TOML file per device model
//! deserialises into an [`ObjectMap`], and a site's own tables make one too; nothing here knows a site.

use std::collections::HashSet;

use iec61850_model::FC;
use serde::Deserialize;

use super::Reference;

/// Points and commands of an IED.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectMap {
    /// Report control blocks to enable, each `LD0/LLN0.BR.name` (buffered) or `LD0/LLN0.RP.name`. What they do not
    /// carry is read with each poll.
    #[serde(default)]
    pub reports: Vec<Reference>,
    /// What it tells, in any order.
    #[serde(rename = "point", default)]
    pub points: Vec<PointSpec>,
    /// What it takes.
    #[serde(rename = "command", default)]
    pub commands: Vec<CommandSpec>,
}

/// What an attribute is taken as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number: floating point, integer or enumeration.
    Analog,
    /// A register that counts up, such as `actVal` of a BCR.
    Counter,
    /// A Boolean.
    Binary,
    /// A position of two contacts, such as `stVal` of a DPC.
    Double,
    /// Of such a position, the contact that is made when closed.
    Closed,
    /// Of such a position, the contact that is made when open.
    Open,
}

impl Kind {
    /// All of them, as written in files.
    pub const ALL: [(&'static str, Self); 6] = [
        ("analog", Self::Analog),
        ("counter", Self::Counter),
        ("binary", Self::Binary),
        ("double", Self::Double),
        ("closed", Self::Closed),
        ("open", Self::Open),
    ];
}

/// One point: `value = raw * scale + offset`, in `unit`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointSpec {
    /// Name, unique among the points; the point's id is `device/name`.
    pub name: String,
    /// The attribute that holds its value. Quality and time are those beside it or above.
    #[serde(rename = "ref")]
    pub reference: Reference,
    /// What it is taken as.
    #[serde(default = "analog")]
    pub kind: Kind,
    /// Units per raw unit; of numbers only.
    #[serde(default = "one")]
    pub scale: f64,
    /// Value at raw zero; of analog points only.
    #[serde(default)]
    pub offset: f64,
    /// Unit of the value, for people; SI unless the profile says otherwise, e.g. `V`, `W`.
    #[serde(default)]
    pub unit: String,
}

/// One command, written as the point of its name; numbers are scaled as a point's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// Name, unique among the commands; the point it is written to is `device/name`.
    pub name: String,
    /// A controllable data object, such as `LD0/CSWI1.Pos`; or, with a functional constraint, an attribute to
    /// set, such as `LD0/DGEN1.WLim.setMag.f[SP]`.
    #[serde(rename = "ref")]
    pub reference: Reference,
    /// Units per raw unit; of numbers only.
    #[serde(default = "one")]
    pub scale: f64,
    /// Value at raw zero; of numbers only.
    #[serde(default)]
    pub offset: f64,
    /// Whether the IED shall check its interlocking.
    #[serde(default)]
    pub interlock_check: bool,
    /// Whether the IED shall check that both sides are in step.
    #[serde(default)]
    pub synchro_check: bool,
    /// Unit of the value, for people.
    #[serde(default)]
    pub unit: String,
}

fn analog() -> Kind {
    Kind::Analog
}

fn one() -> f64 {
    1.0
}

impl ObjectMap {
    /// Everything that is wrong with the map, one sentence each, naming the point.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let rows = self.points.iter().map(|p| (&p.name, p.scale, p.offset));
        check("point", rows, &mut problems);
        let rows = self.commands.iter().map(|c| (&c.name, c.scale, c.offset));
        check("command", rows, &mut problems);
        for point in &self.points {
            let plain = point.scale == 1.0 && point.offset == 0.0;
            let wrong = match point.kind {
                Kind::Analog => None,
                Kind::Counter => (point.scale < 0.0 || point.offset != 0.0)
                    .then_some("a counter has no offset and no negative scale"),
                _ => (!plain).then_some("only numbers are scaled"),
            };
            let name = &point.name;
            problems.extend(wrong.map(|wrong| format!("point {name:?}: {wrong}")));
            if point.reference.fc().is_none() || point.reference.path().len() < 2 {
                problems.push(format!(
                    "point {name:?}: `{}` names no attribute with its functional constraint",
                    point.reference
                ));
            }
        }
        for command in &self.commands {
            let fit = match command.reference.fc() {
                None => command.reference.path().len() == 1,
                Some(fc) => matches!(fc, FC::Sp | FC::Sv | FC::Cf | FC::Se),
            };
            if !fit {
                problems.push(format!(
                    "command {:?}: `{}` is neither a controllable object, such as LD0/CSWI1.Pos, nor an attribute to set",
                    command.name, command.reference
                ));
            }
        }
        let mut seen = HashSet::new();
        for report in &self.reports {
            let block = report.fc().is_none()
                && matches!(report.path(), [kind, _] if kind == "BR" || kind == "RP");
            if !block || !seen.insert(report) {
                problems.push(format!(
                    "report `{report}` is no control block such as LD0/LLN0.BR.name, or there twice"
                ));
            }
        }
        problems
    }
}

fn check<'a>(
    what: &str,
    rows: impl Iterator<Item = (&'a String, f64, f64)>,
    problems: &mut Vec<String>,
) {
    let mut names = HashSet::new();
    for (name, scale, offset) in rows {
        let mut say = |text: &str| problems.push(format!("{what} {name:?}: {text}"));
        if name.is_empty() || name.contains('/') {
            say("a name has at least one character and no slash");
        }
        if !names.insert(name) {
            say("the name is used twice");
        }
        if !scale.is_finite() || scale == 0.0 || !offset.is_finite() {
            say("scale must be finite and not zero, offset finite");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        toml::from_str::<ObjectMap>(text).unwrap().problems()
    }

    #[test]
    fn a_whole_map_has_no_problems() {
        let text = r#"
            reports = ["LD0/LLN0.BR.brcbA01", "LD0/LLN0.RP.urcbB01"]
            point = [
              { name = "p", ref = "LD0/MMXU1.TotW.mag.f[MX]", unit = "W", scale = 1000.0 },
              { name = "closed", ref = "LD0/XCBR1.Pos.stVal[ST]", kind = "closed" },
              { name = "e", ref = "LD0/MMTR1.SupWh.actVal[ST]", kind = "counter", scale = 10 },
            ]
            command = [
              { name = "breaker", ref = "LD0/CSWI1.Pos", interlock_check = true },
              { name = "limit", ref = "LD0/DGEN1.WLim.setMag.f[SP]" },
            ]"#;
        assert_eq!(problems(text), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_named() {
        let text = r#"
            reports = ["LD0/LLN0.XX.brcbA01", "LD0/LLN0.BR.b", "LD0/LLN0.BR.b"]
            point = [
              { name = "a", ref = "LD0/MMXU1.TotW.mag.f" },
              { name = "a", ref = "LD0/MMXU1.TotW.mag.f[MX]", scale = 0.0 },
              { name = "c", ref = "LD0/XCBR1.Pos.stVal[ST]", kind = "double", scale = 2.0 },
              { name = "d/e", ref = "LD0/MMTR1.SupWh.actVal[ST]", kind = "counter", offset = 1.0 },
            ]
            command = [
              { name = "breaker", ref = "LD0/CSWI1.Pos.Oper" },
              { name = "limit", ref = "LD0/DGEN1.WLim.setMag.f[MX]" },
            ]"#;
        let problems = problems(text);
        assert_eq!(problems.len(), 10, "{problems:#?}");
    }
}
