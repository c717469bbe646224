//! What a measurement measures and where, in the words of power-grid-model's JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use solver::{
    estimation::{EstimationError, Kind, Phase, Readings, Suggestion, Winding},
    network::{Id, Network, Side},
};

/// The component table of every id.
pub(super) type Tables = BTreeMap<Id, &'static str>;

pub(super) fn tables(network: &Network) -> Tables {
    let mut tables = Tables::new();
    macro_rules! add {
        ($($table:ident),* $(,)?) => {
            $(tables.extend(network.$table.iter().map(|c| (c.id, stringify!($table))));)*
        };
    }
    add!(
        node,
        line,
        asym_line,
        link,
        generic_branch,
        transformer,
        three_winding_transformer,
        shunt,
        source,
        sym_load,
        sym_gen,
        asym_load,
        asym_gen,
        sym_voltage_sensor,
        asym_voltage_sensor,
        sym_power_sensor,
        asym_power_sensor,
        sym_current_sensor,
        asym_current_sensor,
    );
    tables
}

/// The places of a network's measurements.
pub(super) struct Places<'a> {
    tables: &'a Tables,
    readings: &'a Readings,
}

impl<'a> Places<'a> {
    pub(super) fn new(tables: &'a Tables, readings: &'a Readings) -> Self {
        Self { tables, readings }
    }

    pub(super) fn table(&self, id: Id) -> &'static str {
        self.tables.get(&id).copied().unwrap_or("component")
    }

    pub(super) fn count(&self) -> usize {
        self.readings.sensors().len()
    }

    /// A measurement: its sensor, and what that measures.
    pub(super) fn measurement(&self, index: usize, phase: Phase) -> Map<String, Value> {
        let id = self.readings.sensors()[index];
        let mut map = Map::new();
        map.insert("sensor".into(), id.into());
        map.insert("sensor_type".into(), self.table(id).into());
        self.add_place(&mut map, self.readings.kind(index), phase);
        map
    }

    /// Where something could be measured.
    pub(super) fn suggestion(&self, suggestion: &Suggestion) -> Map<String, Value> {
        let mut map = Map::new();
        self.add_place(&mut map, suggestion.kind, suggestion.phase);
        map
    }

    fn add_place(&self, map: &mut Map<String, Value>, kind: Kind, phase: Phase) {
        let (quantity, id, terminal) = place(kind);
        map.insert("quantity".into(), quantity.into());
        map.insert("object".into(), id.into());
        map.insert("object_type".into(), self.table(id).into());
        if let Some(terminal) = terminal {
            map.insert("terminal".into(), terminal.into());
        }
        if let Some(phase) = phase_name(phase) {
            map.insert("phase".into(), phase.into());
        }
    }

    /// What is wrong with a measurement, with its sensor.
    pub(super) fn problem(&self, scenario: Option<usize>, error: &EstimationError) -> String {
        let at = scenario.map_or_else(String::new, |k| format!("scenario {k}: "));
        let index = match *error {
            EstimationError::UnknownComponent { index, .. }
            | EstimationError::Sigma { index, .. }
            | EstimationError::SinglePhase { index, .. } => index,
            _ => return format!("{at}{error}"),
        };
        let sensor = self.readings.sensors()[index];
        format!("{at}{} {sensor}: {error}", self.table(sensor))
    }
}

pub(super) fn phase_name(phase: Phase) -> Option<&'static str> {
    match phase {
        Phase::Sym => None,
        Phase::A => Some("a"),
        Phase::B => Some("b"),
        Phase::C => Some("c"),
    }
}

/// Quantity, component, and side of it.
fn place(kind: Kind) -> (&'static str, Id, Option<&'static str>) {
    let side = |side| match side {
        Side::From => Some("from"),
        Side::To => Some("to"),
    };
    let winding = |winding| match winding {
        Winding::One => Some("1"),
        Winding::Two => Some("2"),
        Winding::Three => Some("3"),
    };
    match kind {
        Kind::Voltage { node } => ("u", node, None),
        Kind::VoltageAngle { node } => ("u_angle", node, None),
        Kind::VoltageAlong { node, .. } => ("u", node, None),
        Kind::BranchP { branch, side: s } => ("p", branch, side(s)),
        Kind::BranchQ { branch, side: s } => ("q", branch, side(s)),
        Kind::BranchCurrent { branch, side: s }
        | Kind::CurrentAlong {
            branch, side: s, ..
        } => ("i", branch, side(s)),
        Kind::WindingP {
            transformer,
            winding: w,
        } => ("p", transformer, winding(w)),
        Kind::WindingQ {
            transformer,
            winding: w,
        } => ("q", transformer, winding(w)),
        Kind::WindingCurrentAlong {
            transformer,
            winding: w,
            ..
        } => ("i", transformer, winding(w)),
        Kind::ShuntP { shunt } => ("p", shunt, None),
        Kind::ShuntQ { shunt } => ("q", shunt, None),
        Kind::ApplianceP { appliance } => ("p", appliance, None),
        Kind::ApplianceQ { appliance } => ("q", appliance, None),
        Kind::SourceP { source } => ("p", source, None),
        Kind::SourceQ { source } => ("q", source, None),
        Kind::NodeP { node } => ("p", node, None),
        Kind::NodeQ { node } => ("q", node, None),
    }
}

/// A place in words: `p, q at line 3, from side, phases a, b`.
pub(super) fn in_words(place: &Value) -> String {
    let text = |name: &str| place[name].as_str();
    let list = |name: &str| match &place[name] {
        Value::Array(values) => {
            let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            Some(values.join(", "))
        }
        value => value.as_str().map(str::to_owned),
    };
    let mut words = format!(
        "{} at {} {}",
        list("quantity").unwrap_or_default(),
        text("object_type").unwrap_or_default(),
        place["object"]
    );
    if let Some(terminal) = text("terminal") {
        words += &format!(", side {terminal}");
    }
    if let Some(phases) = list("phase") {
        words += &format!(", phase {phases}");
    }
    words
}

/// A place with its quantities and phases.
type Group = (Map<String, Value>, Vec<Value>, Vec<Value>);

/// Suggestions for the same place as one: quantities and phases as lists.
pub(super) fn grouped(places: &Places<'_>, suggestions: &[Suggestion]) -> Vec<Value> {
    let mut groups: Vec<Group> = Vec::new();
    for suggestion in suggestions {
        let mut place = places.suggestion(suggestion);
        let quantity = place.remove("quantity").unwrap_or_default();
        let phase = place.remove("phase");
        let found = groups.iter().position(|group| group.0 == place);
        let at = found.unwrap_or_else(|| {
            groups.push((place, Vec::new(), Vec::new()));
            groups.len() - 1
        });
        let (_, quantities, phases) = &mut groups[at];
        if !quantities.contains(&quantity) {
            quantities.push(quantity);
        }
        phases.extend(phase.filter(|phase| !phases.contains(phase)));
    }
    let group = |(mut place, quantities, phases): Group| {
        place.insert("quantity".into(), json!(quantities));
        if !phases.is_empty() {
            place.insert("phase".into(), json!(phases));
        }
        Value::Object(place)
    };
    groups.into_iter().map(group).collect()
}
