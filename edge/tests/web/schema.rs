//! Whether JSON is as an OpenAPI schema says: the part of JSON Schema that utoipa writes.

use serde_json::Value;

/// Every way in which `value` is not as `schema` says.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return faults(document, document.pointer(pointer).unwrap(), value, at);
    }
    if let Some(any) = schema["oneOf"].as_array() {
        let fits = |schema| faults(document, schema, value, at).is_empty();
        let fits = any.iter().any(fits);
        return if fits {
            vec![]
        } else {
            vec![format!("{at}: {value} is none of {any:?}")]
        };
    }
    let mut found = vec![];
    if !types(&schema["type"]).iter().any(|kind| is(value, kind)) && !schema["type"].is_null() {
        found.push(format!("{at}: {value} is not {}", schema["type"]));
    }
    if let Some(names) = schema["enum"]
        .as_array()
        .filter(|names| !names.contains(value))
    {
        found.push(format!("{at}: {value} is none of {names:?}"));
    }
    for (i, entry) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(faults(
            document,
            &schema["items"],
            entry,
            &format!("{at}[{i}]"),
        ));
    }
    let Some(properties) = schema["properties"].as_object() else {
        return found;
    };
    for (name, entry) in value.as_object().into_iter().flatten() {
        match properties.get(name) {
            Some(schema) => found.extend(faults(document, schema, entry, &format!("{at}.{name}"))),
            None => found.push(format!("{at}.{name} is not documented")),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            found.push(format!("{at}.{name} is missing"));
        }
    }
    found
}

fn types(kind: &Value) -> Vec<&str> {
    match kind {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}
