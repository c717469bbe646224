//! Power-grid-model's JSON `input` data set, read and written, and its `update` data set, read.
//!
//! Format: power-grid-model documentation, "Serialization": rows are objects, or arrays whose
//! attributes are listed once for the component; null stands for an absent value. Whatever is
//! wrong in a file is reported at once; components the format does not have are refused rather than
//! left out.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::model::with_tables;
use super::scenario::{Change, Scenario};
use super::schema::{self, Attribute};
use super::spelling::resembles;
use super::validate::{Check, Component};
use super::{Fault, Id, Network, NetworkError, Problem};

/// Reads a network.
///
/// # Errors
/// The text is not JSON, or everything that is wrong in it: component, id and attribute.
pub fn read(text: &str) -> Result<Network, NetworkError> {
    read_with(text, Reader::default())
}

/// Reads a network for state estimation, which needs neither the kind of a load or generator nor the
/// voltage of a source: a `type` that is absent or none of power-grid-model's is constant power,
/// an absent `u_ref` is 1.
///
/// # Errors
/// As for [`read`].
pub fn read_measured(text: &str) -> Result<Network, NetworkError> {
    let reader = Reader {
        measured: true,
        ..Reader::default()
    };
    read_with(text, reader)
}

fn read_with(text: &str, mut reader: Reader) -> Result<Network, NetworkError> {
    let document = parse(text)?;
    let network = reader.document(&document);
    if reader.problems.is_empty() {
        reader.problems = network.problems();
    }
    if reader.problems.is_empty() {
        return Ok(network);
    }
    Err(NetworkError::Invalid(reader.problems))
}

/// Reads an `update` data set, each scenario a change to `network`, its rows by their ids or, where
/// they have none, in the order of the network's own.
///
/// # Errors
/// The text is not JSON, or everything that is wrong in it: scenario, component, id and attribute.
pub fn read_update(text: &str, network: &Network) -> Result<Vec<Scenario>, NetworkError> {
    let document = parse(text)?;
    let mut reader = Reader::default();
    let scenarios = reader.update(&document, network);
    if reader.problems.is_empty() {
        return Ok(scenarios);
    }
    Err(NetworkError::Invalid(reader.problems))
}

fn parse(text: &str) -> Result<Value, NetworkError> {
    serde_json::from_str(text).map_err(|e| NetworkError::NotJson {
        message: without_place(&e),
        line: e.line(),
        column: e.column(),
    })
}

/// Serde's message without its own "at line … column …".
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

/// Writes a network, one component a line.
#[must_use]
pub fn write(network: &Network) -> String {
    macro_rules! tables {
        ($(($table:ident, $component:ident, $attributes:ident, $doc:literal)),* $(,)?) => {
            [$(table(stringify!($table), &network.$table)),*]
        };
    }
    let tables: Vec<String> = with_tables!(tables).into_iter().flatten().collect();
    let frequency = network
        .system_frequency
        .map_or_else(String::new, |f| format!("\"system_frequency\": {f}, "));
    format!(
        "{{\"version\": \"1.0\", \"type\": \"input\", \"is_batch\": false, {frequency}\"attributes\": {{}},\n \"data\": {{\n{}\n }}\n}}\n",
        tables.join(",\n")
    )
}

fn table<T: Serialize>(name: &str, rows: &[T]) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            let json = serde_json::to_string(row)
                .expect("components hold plain numbers, which always serialise");
            format!("    {json}")
        })
        .collect();
    Some(format!("  \"{name}\": [\n{}\n  ]", rows.join(",\n")))
}

/// Collects problems while reading.
#[derive(Default)]
struct Reader {
    /// What estimation does not need may be absent.
    measured: bool,
    scenario: Option<usize>,
    problems: Vec<Problem>,
}

/// Where the reader is.
#[derive(Clone, Copy)]
struct Place<'a> {
    component: &'a str,
    id: Option<Id>,
    row: Option<usize>,
}

impl Reader {
    fn report(&mut self, place: Place<'_>, attribute: Option<&str>, fault: Fault) {
        self.problems.push(Problem {
            scenario: self.scenario,
            component: place.component.to_owned(),
            id: place.id,
            row: place.row,
            attribute: attribute.map(str::to_owned),
            fault,
        });
    }

    fn report_file(&mut self, attribute: &str, fault: Fault) {
        let place = Place {
            component: "",
            id: None,
            row: None,
        };
        self.report(place, Some(attribute), fault);
    }

    fn document(&mut self, document: &Value) -> Network {
        let mut network = Network::default();
        let Some(file) = document.as_object() else {
            self.report_file("data", wrong_type("an object with `data`", document));
            return network;
        };
        self.header(file, "input", "\"input\"");
        if let Some(batch) = file.get("is_batch")
            && *batch != Value::Bool(false)
        {
            self.report_file("is_batch", wrong_type("false", batch));
        }
        network.system_frequency = self.frequency(file);
        let Some(data) = file.get("data") else {
            self.report_file("data", Fault::Missing);
            return network;
        };
        let Some(data) = data.as_object() else {
            self.report_file("data", wrong_type("an object of component tables", data));
            return network;
        };
        let lists = file.get("attributes").and_then(Value::as_object);
        for (component, rows) in by_name(data) {
            let columns = lists.and_then(|l| l.get(component));
            self.component(&mut network, component, columns, rows);
        }
        network
    }

    fn header(&mut self, file: &Map<String, Value>, kind: &str, quoted: &'static str) {
        match file.get("type") {
            None => self.report_file("type", Fault::Missing),
            Some(Value::String(found)) if found == kind => {}
            Some(other) => self.report_file("type", wrong_type(quoted, other)),
        }
        if let Some(attributes) = file.get("attributes")
            && !attributes.is_object()
        {
            self.report_file("attributes", wrong_type("an object", attributes));
        }
    }

    fn frequency(&mut self, file: &Map<String, Value>) -> Option<f64> {
        let value = file.get("system_frequency")?;
        let frequency = value.as_f64().filter(|f| *f > 0.0);
        if frequency.is_none() {
            let expected = "a frequency in Hz, above zero";
            self.report_file("system_frequency", wrong_type(expected, value));
        }
        frequency
    }

    fn component(
        &mut self,
        network: &mut Network,
        component: &str,
        columns: Option<&Value>,
        rows: &Value,
    ) {
        let Some((place, rows)) = self.table(component, rows) else {
            return;
        };
        macro_rules! read_rows {
            ($(($table:ident, $component:ident, $attributes:ident, $doc:literal)),* $(,)?) => {
                match component {
                    $(stringify!($table) => {
                        network.$table = self.rows(place, schema::$attributes, columns, rows);
                    })*
                    _ => self.unsupported(place, rows.len()),
                }
            };
        }
        with_tables!(read_rows);
    }

    fn table<'a>(
        &mut self,
        component: &'a str,
        rows: &'a Value,
    ) -> Option<(Place<'a>, &'a [Value])> {
        let place = Place {
            component,
            id: None,
            row: None,
        };
        match rows.as_array() {
            Some(rows) => Some((place, rows)),
            None => {
                self.report(place, None, wrong_type("an array of components", rows));
                None
            }
        }
    }

    fn unsupported(&mut self, place: Place<'_>, count: usize) {
        if count > 0 {
            self.report(place, None, Fault::UnsupportedComponent { count });
        }
    }

    fn rows<T: DeserializeOwned>(
        &mut self,
        place: Place<'_>,
        attributes: &[Attribute],
        columns: Option<&Value>,
        rows: &[Value],
    ) -> Vec<T> {
        let mut components = Vec::with_capacity(rows.len());
        for (k, row) in rows.iter().enumerate() {
            let place = Place {
                row: Some(k),
                ..place
            };
            if let Some(row) = self.row_object(place, columns, row)
                && let Some(component) = self.row(place, attributes, row)
            {
                components.push(component);
            }
        }
        components
    }

    /// The row by attribute name, absent values left out.
    fn row_object(
        &mut self,
        place: Place<'_>,
        columns: Option<&Value>,
        row: &Value,
    ) -> Option<Map<String, Value>> {
        let mut object = match row {
            Value::Object(object) => object.clone(),
            Value::Array(values) => {
                let names: Option<Vec<&str>> = columns
                    .and_then(Value::as_array)
                    .and_then(|names| names.iter().map(Value::as_str).collect());
                let Some(names) = names.filter(|n| n.len() == values.len()) else {
                    let expected =
                        "an object, or an array as long as this component's list in `attributes`";
                    self.report(place, None, wrong_type(expected, row));
                    return None;
                };
                let pairs = names.into_iter().zip(values);
                pairs.map(|(n, v)| (n.to_owned(), v.clone())).collect()
            }
            _ => {
                self.report(place, None, wrong_type("an object", row));
                return None;
            }
        };
        object.retain(|_, value| !value.is_null());
        if self.measured {
            schema::complete(place.component, &mut object);
        }
        Some(object)
    }

    fn row<T: DeserializeOwned>(
        &mut self,
        place: Place<'_>,
        attributes: &[Attribute],
        mut row: Map<String, Value>,
    ) -> Option<T> {
        let place = Place {
            id: id_of(&row),
            ..place
        };
        let before = self.problems.len();
        // Power-grid-model writes "not limited" as an infinite rated current.
        if row.get("i_n").and_then(Value::as_str) == Some("inf") {
            row.remove("i_n");
        }
        self.extra(place, attributes, &mut row);
        for attribute in attributes {
            match row.get(attribute.name) {
                None if attribute.is_required(&row) => {
                    self.report(place, Some(attribute.name), Fault::Missing);
                }
                None => {}
                Some(value) => self.attribute(place, attribute, value),
            }
        }
        if self.problems.len() > before {
            return None;
        }
        // An unset tap stands at its nominal position.
        if place.component.ends_with("transformer")
            && !row.contains_key("tap_pos")
            && let Some(nominal) = row.get("tap_nom").cloned()
        {
            row.insert("tap_pos".to_owned(), nominal);
        }
        self.typed(place, row)
    }

    fn typed<T: DeserializeOwned>(
        &mut self,
        place: Place<'_>,
        row: Map<String, Value>,
    ) -> Option<T> {
        match serde_json::from_value(Value::Object(row)) {
            Ok(component) => Some(component),
            Err(error) => {
                let found = error.to_string();
                let expected = "as power-grid-model defines it";
                self.report(place, None, Fault::Type { expected, found });
                None
            }
        }
    }

    /// Drops what power-grid-model calls extra information, attributes of no component, unless
    /// one looks like an attribute that is not given.
    fn extra(&mut self, place: Place<'_>, attributes: &[Attribute], row: &mut Map<String, Value>) {
        let is_known = |name: &str| attributes.iter().any(|a| a.name == name);
        let mut unknown: Vec<String> = row.keys().filter(|n| !is_known(n)).cloned().collect();
        unknown.sort_unstable();
        for name in unknown {
            let mut absent = attributes.iter().filter(|a| !row.contains_key(a.name));
            if let Some(near) = absent.find(|a| resembles(&name, a.name)) {
                let fault = Fault::UnknownAttribute { near: near.name };
                self.report(place, Some(&name), fault);
            }
            row.remove(&name);
        }
    }

    fn attribute(&mut self, place: Place<'_>, attribute: &Attribute, value: &Value) {
        if let Some(expected) = attribute.unlike(value) {
            self.report(place, Some(attribute.name), wrong_type(expected, value));
        }
    }

    fn update(&mut self, document: &Value, network: &Network) -> Vec<Scenario> {
        let Some(file) = document.as_object() else {
            self.report_file("data", wrong_type("an object with `data`", document));
            return Vec::new();
        };
        self.header(file, "update", "\"update\"");
        let lists = file.get("attributes").and_then(Value::as_object);
        let scenarios = match file.get("data") {
            None => {
                self.report_file("data", Fault::Missing);
                return Vec::new();
            }
            // A data set that is no batch is one scenario.
            Some(data @ Value::Object(_)) => std::slice::from_ref(data),
            Some(Value::Array(scenarios)) => scenarios,
            Some(other) => {
                self.report_file("data", wrong_type("an array of scenarios", other));
                return Vec::new();
            }
        };
        let mut check = Check::new(network);
        let mut list = Vec::with_capacity(scenarios.len());
        for (k, tables) in scenarios.iter().enumerate() {
            self.scenario = Some(k);
            let mut changes = Vec::new();
            if let Some(tables) = tables.as_object() {
                for (component, rows) in by_name(tables) {
                    let columns = lists.and_then(|l| l.get(component));
                    self.changes(network, &mut check, component, columns, rows, &mut changes);
                }
            } else {
                self.report_file("data", wrong_type("an object of component tables", tables));
            }
            list.push(Scenario { changes });
        }
        list
    }

    fn changes(
        &mut self,
        network: &Network,
        check: &mut Check,
        component: &str,
        columns: Option<&Value>,
        rows: &Value,
        changes: &mut Vec<Change>,
    ) {
        let Some((place, rows)) = self.table(component, rows) else {
            return;
        };
        macro_rules! read_changes {
            ($(($table:ident, $component:ident, $attributes:ident, $doc:literal)),* $(,)?) => {
                match component {
                    $(stringify!($table) => {
                        let base = &network.$table;
                        let changed =
                            self.changed(place, schema::$attributes, columns, rows, base, check);
                        changes.extend(changed.into_iter().map(|(k, c)| Change::$component(k, Box::new(c))));
                    })*
                    _ => self.unsupported(place, rows.len()),
                }
            };
        }
        with_tables!(read_changes);
    }

    /// Components of one table as an update leaves them, with their rows.
    fn changed<T: Component>(
        &mut self,
        place: Place<'_>,
        attributes: &[Attribute],
        columns: Option<&Value>,
        rows: &[Value],
        base: &[T],
        check: &mut Check,
    ) -> Vec<(usize, T)> {
        let mut changed: Vec<(usize, T)> = Vec::with_capacity(rows.len());
        for (k, row) in rows.iter().enumerate() {
            let place = Place {
                row: Some(k),
                ..place
            };
            let Some(mut row) = self.row_object(place, columns, row) else {
                continue;
            };
            let Some((place, at)) = self.row_of(place, &row, rows.len(), base, check) else {
                continue;
            };
            self.extra(place, attributes, &mut row);
            // A component updated twice keeps both changes.
            let earlier = changed.iter().rposition(|(row, _)| *row == at);
            let from = earlier.map_or(&base[at], |e| &changed[e].1);
            let Some(component) = self.merged(place, attributes, from, row) else {
                continue;
            };
            check.scenario = self.scenario;
            component.check(check);
            self.problems.append(&mut check.problems);
            match earlier {
                Some(e) => changed[e].1 = component,
                None => changed.push((at, component)),
            }
        }
        changed
    }

    /// Which row of the input a row of an update changes.
    fn row_of<'a, T: Component>(
        &mut self,
        place: Place<'a>,
        row: &Map<String, Value>,
        rows: usize,
        base: &[T],
        check: &Check,
    ) -> Option<(Place<'a>, usize)> {
        if !row.contains_key("id") {
            if rows != base.len() {
                let fault = Fault::RowCount {
                    expected: base.len(),
                    found: rows,
                };
                if place.row == Some(0) {
                    self.report(Place { row: None, ..place }, None, fault);
                }
                return None;
            }
            let k = place.row?;
            let id = Some(base[k].id());
            return Some((Place { id, ..place }, k));
        }
        let place = Place {
            id: id_of(row),
            ..place
        };
        let at = place.id.and_then(|id| check.row(place.component, id));
        if at.is_none() {
            self.report(place, Some("id"), Fault::UnknownId);
        }
        Some((place, at?))
    }

    /// A component with the attributes of an update's row in place of its own.
    fn merged<T: Component>(
        &mut self,
        place: Place<'_>,
        attributes: &[Attribute],
        from: &T,
        row: Map<String, Value>,
    ) -> Option<T> {
        let before = self.problems.len();
        let Ok(Value::Object(mut merged)) = serde_json::to_value(from) else {
            return None;
        };
        for (name, mut value) in row {
            let attribute = attributes.iter().find(|a| a.name == name)?;
            if name == "id" {
                continue;
            }
            if !attribute.updatable {
                // Saying again what is so changes nothing.
                if merged.get(&name) != Some(&value) {
                    self.report(place, Some(&name), Fault::NotUpdatable);
                }
                continue;
            }
            if let (Some(new), Some(Value::Array(old))) = (value.as_array_mut(), merged.get(&name))
            {
                // A phase that is null stays as it is.
                for (new, old) in new.iter_mut().zip(old) {
                    if new.is_null() {
                        *new = old.clone();
                    }
                }
            }
            self.attribute(place, attribute, &value);
            merged.insert(name, value);
        }
        if self.problems.len() > before {
            return None;
        }
        self.typed(place, merged)
    }
}

/// Not the file's order: reports are the same however the JSON library keeps its maps.
fn by_name(tables: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut tables: Vec<(&String, &Value)> = tables.iter().collect();
    tables.sort_unstable_by_key(|(component, _)| *component);
    tables
}

fn id_of(row: &Map<String, Value>) -> Option<Id> {
    let id = row.get("id").and_then(Value::as_i64)?;
    Id::try_from(id).ok()
}

fn wrong_type(expected: &'static str, found: &Value) -> Fault {
    let mut found = match found {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(values) => format!("an array of {}", values.len()),
        other => other.to_string(),
    };
    if found.chars().count() > 40 {
        found = found.chars().take(40).chain("…".chars()).collect();
    }
    Fault::Type { expected, found }
}
