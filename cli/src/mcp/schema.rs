//! Schemas as hosts like them: whole, without references, and without what JSON Schema does not know.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// The schema of a result: what is always there is required.
pub(super) fn of_result<T: JsonSchema>() -> Map<String, Value> {
    of::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn of<T: JsonSchema>(mut settings: SchemaSettings) -> Map<String, Value> {
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    // Widths of Rust's integers are no formats to anybody else.
    RecursiveTransform(|schema: &mut Schema| drop(schema.remove("format"))).transform(&mut schema);
    let mut members = match schema.to_value() {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.remove("title");
    members
}

/// The schema of a tool's arguments: what may be left out need not be null.
pub(super) fn of_arguments<T: JsonSchema>() -> Map<String, Value> {
    let mut members = of::<T>(SchemaSettings::draft2020_12());
    members.remove("description");
    members.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(without_null);
    }
    members
}

fn without_null(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    if let Some(Value::Array(kinds)) = property.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = &mut kinds[..] {
            let kind = kind.take();
            property.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(values)) = property.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    // A choice of one thing and null.
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(choice)] = &mut choices[..] {
            let mut choice = std::mem::take(choice);
            property.remove("anyOf");
            choice.append(property);
            *property = choice;
        }
    }
}
