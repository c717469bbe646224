//! Power-grid-model's JSON `input` data set, read and written.
//!
//! Format: power-grid-model documentation, "Serialization": rows are objects, or arrays whose
//! attributes are listed once for the component; null stands for an absent value. Whatever is
//! wrong in a file is reported at once; components that are not computed here are refused rather
//! than left out.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Fault, Id, Network, NetworkError, Problem};

/// An attribute of a component: its name, whether it must be given, whether it is an integer.
struct Attribute {
    name: &'static str,
    required: bool,
    integer: bool,
}

const fn int(name: &'static str) -> Attribute {
    Attribute {
        name,
        required: true,
        integer: true,
    }
}

const fn opt_int(name: &'static str) -> Attribute {
    Attribute {
        name,
        required: false,
        integer: true,
    }
}

const fn real(name: &'static str) -> Attribute {
    Attribute {
        name,
        required: true,
        integer: false,
    }
}

const fn opt_real(name: &'static str) -> Attribute {
    Attribute {
        name,
        required: false,
        integer: false,
    }
}

const NODE: &[Attribute] = &[int("id"), real("u_rated")];

const LINE: &[Attribute] = &[
    int("id"),
    int("from_node"),
    int("to_node"),
    int("from_status"),
    int("to_status"),
    real("r1"),
    real("x1"),
    real("c1"),
    real("tan1"),
    opt_real("r0"),
    opt_real("x0"),
    opt_real("c0"),
    opt_real("tan0"),
    opt_real("i_n"),
];

const TRANSFORMER: &[Attribute] = &[
    int("id"),
    int("from_node"),
    int("to_node"),
    int("from_status"),
    int("to_status"),
    real("u1"),
    real("u2"),
    real("sn"),
    real("uk"),
    real("pk"),
    real("i0"),
    real("p0"),
    opt_real("i0_zero_sequence"),
    opt_real("p0_zero_sequence"),
    int("winding_from"),
    int("winding_to"),
    int("clock"),
    int("tap_side"),
    opt_int("tap_pos"),
    int("tap_min"),
    int("tap_max"),
    opt_int("tap_nom"),
    real("tap_size"),
    opt_real("uk_min"),
    opt_real("uk_max"),
    opt_real("pk_min"),
    opt_real("pk_max"),
    opt_real("r_grounding_from"),
    opt_real("x_grounding_from"),
    opt_real("r_grounding_to"),
    opt_real("x_grounding_to"),
];

const SHUNT: &[Attribute] = &[
    int("id"),
    int("node"),
    int("status"),
    real("g1"),
    real("b1"),
    opt_real("g0"),
    opt_real("b0"),
];

const SOURCE: &[Attribute] = &[
    int("id"),
    int("node"),
    int("status"),
    real("u_ref"),
    opt_real("u_ref_angle"),
    opt_real("sk"),
    opt_real("rx_ratio"),
    opt_real("z01_ratio"),
];

const APPLIANCE: &[Attribute] = &[
    int("id"),
    int("node"),
    int("status"),
    int("type"),
    real("p_specified"),
    real("q_specified"),
];

/// Reads a network.
///
/// # Errors
/// The text is not JSON, or everything that is wrong in it: component, id and attribute.
pub fn read(text: &str) -> Result<Network, NetworkError> {
    let document: Value = serde_json::from_str(text).map_err(|e| NetworkError::NotJson {
        message: without_place(&e),
        line: e.line(),
        column: e.column(),
    })?;
    let mut reader = Reader::default();
    let network = reader.document(&document);
    if reader.problems.is_empty() {
        reader.problems = network.problems();
    }
    if reader.problems.is_empty() {
        return Ok(network);
    }
    Err(NetworkError::Invalid(reader.problems))
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
    let tables = [
        table("node", &network.node),
        table("line", &network.line),
        table("transformer", &network.transformer),
        table("shunt", &network.shunt),
        table("source", &network.source),
        table("sym_load", &network.sym_load),
        table("sym_gen", &network.sym_gen),
    ];
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    format!(
        "{{\"version\": \"1.0\", \"type\": \"input\", \"is_batch\": false, \"attributes\": {{}},\n \"data\": {{\n{}\n }}\n}}\n",
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
        self.header(file);
        let Some(data) = file.get("data") else {
            self.report_file("data", Fault::Missing);
            return network;
        };
        let Some(data) = data.as_object() else {
            self.report_file("data", wrong_type("an object of component tables", data));
            return network;
        };
        let lists = file.get("attributes").and_then(Value::as_object);
        // Not the file's order: reports are the same however the JSON library keeps its maps.
        let mut components: Vec<(&String, &Value)> = data.iter().collect();
        components.sort_unstable_by_key(|(component, _)| *component);
        for (component, rows) in components {
            let columns = lists.and_then(|l| l.get(component));
            self.component(&mut network, component, columns, rows);
        }
        network
    }

    fn header(&mut self, file: &Map<String, Value>) {
        match file.get("type") {
            None => self.report_file("type", Fault::Missing),
            Some(Value::String(kind)) if kind == "input" => {}
            Some(other) => self.report_file("type", wrong_type("\"input\"", other)),
        }
        if let Some(batch) = file.get("is_batch")
            && *batch != Value::Bool(false)
        {
            self.report_file("is_batch", wrong_type("false", batch));
        }
        if let Some(attributes) = file.get("attributes")
            && !attributes.is_object()
        {
            self.report_file("attributes", wrong_type("an object", attributes));
        }
    }

    fn component(
        &mut self,
        network: &mut Network,
        component: &str,
        columns: Option<&Value>,
        rows: &Value,
    ) {
        let place = Place {
            component,
            id: None,
            row: None,
        };
        let Some(rows) = rows.as_array() else {
            self.report(place, None, wrong_type("an array of components", rows));
            return;
        };
        match component {
            "node" => network.node = self.rows(place, NODE, columns, rows),
            "line" => network.line = self.rows(place, LINE, columns, rows),
            "transformer" => network.transformer = self.rows(place, TRANSFORMER, columns, rows),
            "shunt" => network.shunt = self.rows(place, SHUNT, columns, rows),
            "source" => network.source = self.rows(place, SOURCE, columns, rows),
            "sym_load" => network.sym_load = self.rows(place, APPLIANCE, columns, rows),
            "sym_gen" => network.sym_gen = self.rows(place, APPLIANCE, columns, rows),
            _ if rows.is_empty() => {}
            _ => {
                let count = rows.len();
                self.report(place, None, Fault::UnsupportedComponent { count });
            }
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
        Some(object)
    }

    fn row<T: DeserializeOwned>(
        &mut self,
        place: Place<'_>,
        attributes: &[Attribute],
        mut row: Map<String, Value>,
    ) -> Option<T> {
        let id = row.get("id").and_then(Value::as_i64);
        let id = id.and_then(|id| Id::try_from(id).ok());
        let place = Place { id, ..place };
        let before = self.problems.len();
        // Power-grid-model writes "not limited" as an infinite rated current.
        if row.get("i_n").and_then(Value::as_str) == Some("inf") {
            row.remove("i_n");
        }
        let is_known = |name: &str| attributes.iter().any(|a| a.name == name);
        let mut unknown: Vec<&String> = row.keys().filter(|name| !is_known(name)).collect();
        unknown.sort_unstable();
        for name in unknown {
            self.report(place, Some(name), Fault::UnknownAttribute);
        }
        for attribute in attributes {
            match row.get(attribute.name) {
                None if attribute.required => {
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
        if place.component == "transformer"
            && !row.contains_key("tap_pos")
            && let Some(nominal) = row.get("tap_nom").cloned()
        {
            row.insert("tap_pos".to_owned(), nominal);
        }
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

    fn attribute(&mut self, place: Place<'_>, attribute: &Attribute, value: &Value) {
        let name = attribute.name;
        if !attribute.integer {
            if !value.is_number() {
                self.report(place, Some(name), wrong_type("a finite number", value));
            }
            return;
        }
        let Some(number) = value.as_i64() else {
            self.report(place, Some(name), wrong_type("an integer", value));
            return;
        };
        let is_reference = name == "id" || name == "node" || name.ends_with("_node");
        if is_reference && i32::try_from(number).is_err() {
            self.report(place, Some(name), wrong_type("a 32-bit integer", value));
        } else if !is_reference && i8::try_from(number).is_err() {
            self.report(place, Some(name), wrong_type("an 8-bit integer", value));
        } else if name == "type" && !(0..=2).contains(&number) {
            let expected = "0 (power), 1 (impedance) or 2 (current)";
            self.report(place, Some(name), wrong_type(expected, value));
        }
    }
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
