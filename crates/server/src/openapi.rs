//! The OpenAPI 3.1 document, drawn from the route table: what is not in the table cannot be reached, and what is in it
//! is documented. Schemas are in `openapi/schemas.json`.

use serde_json::{Map, Value, json};

use crate::endpoint::{Content, Endpoint, Kind, Needs, Parameter};
use crate::negotiate::MSGPACK;
use crate::routes::{LIBRARY_VERSION, table};

/// The whole document; `openapi.json` at the root of the project is a copy.
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in table() {
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let item = paths.entry(endpoint.path).or_insert_with(|| path_item(&endpoint));
        item[method] = operation(&endpoint);
    }
    paths.insert("/healthz".into(), health());
    let schemas: Value = serde_json::from_str(include_str!("openapi/schemas.json")).expect("a test reads it");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "girih",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("Secure, structured access to scientific data. Speaks the protocol of Tiled {LIBRARY_VERSION}."),
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Error": {
                "description": "What was wrong, and what to do about it",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }},
            "securitySchemes": {
                "ApikeyHeader": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Apikey SECRET"},
                "ApikeyQuery": {"type": "apiKey", "in": "query", "name": "api_key"},
                "ApikeyCookie": {"type": "apiKey", "in": "cookie", "name": "tiled_api_key"},
            },
        },
    })
}

fn path_item(endpoint: &Endpoint) -> Value {
    if !endpoint.path.ends_with("{path}") {
        return json!({});
    }
    json!({"parameters": [{
        "name": "path",
        "in": "path",
        "required": true,
        "description": "Keys from the root down to the node, joined by slashes; empty for the root",
        "schema": {"type": "string"},
    }]})
}

fn operation(endpoint: &Endpoint) -> Value {
    let name: String = endpoint.prefix().trim_start_matches("/api/v1").trim_matches('/').replace(['/', '.', '-'], "_");
    let name = match (endpoint.path, name.as_str()) {
        ("/", _) => "landing",
        (_, "") => "about",
        (_, name) => name,
    };
    let mut operation = json!({
        "operationId": format!("{}_{name}", endpoint.method.as_str().to_ascii_lowercase()),
        "tags": [if endpoint.path.starts_with("/api/") { name.split('_').next().unwrap_or(name) } else { "pages" }],
        "summary": endpoint.summary,
        "parameters": endpoint.parameters.iter().map(parameter).collect::<Vec<_>>(),
    });
    if let Some(body) = content(endpoint.body, false) {
        let required = !matches!(endpoint.body, Content::Optional(_));
        operation["requestBody"] = json!({"required": required, "content": body});
    }
    operation["responses"] = responses(endpoint);
    operation["security"] = match endpoint.needs {
        Needs::Nothing => json!([]),
        Needs::All(scopes) => {
            let scopes: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
            json!([{"ApikeyHeader": scopes}, {"ApikeyQuery": scopes}, {"ApikeyCookie": scopes}])
        }
    };
    if endpoint.deprecated {
        operation["deprecated"] = true.into();
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Text | Kind::Header => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Boolean => json!({"type": "boolean"}),
    };
    json!({
        "name": parameter.name,
        "in": if matches!(parameter.kind, Kind::Header) { "header" } else { "query" },
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema,
    })
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut success = json!({"description": "Success"});
    if let Some(content) = content(endpoint.reply, true) {
        success["content"] = content;
    }
    let mut responses = Map::from_iter([("200".to_owned(), success)]);
    let mut failures = vec!["default"];
    if endpoint.method == "GET" {
        responses
            .insert("304".into(), json!({"description": "The copy that the caller has is current (If-None-Match)"}));
    }
    if endpoint.prefix().ends_with("asset/bytes/") {
        let ranges = json!({"description": "The requested ranges", "content": {
            "application/octet-stream": {"schema": {"$ref": "#/components/schemas/Binary"}},
            "multipart/byteranges": {"schema": {"$ref": "#/components/schemas/Binary"}},
        }});
        responses.insert("206".into(), ranges);
        failures.push("416");
    }
    if endpoint.needs != Needs::Nothing {
        failures.extend(["400", "401", "403", "404", "422"]);
    }
    match endpoint.body {
        Content::None => {}
        Content::Data | Content::Nodes => failures.extend(["409", "413", "415", "507"]),
        Content::Schema(_) | Content::Optional(_) | Content::Media(_) => failures.extend(["409", "413", "415"]),
    }
    if matches!(endpoint.reply, Content::Data) {
        failures.extend(["406", "503"]);
    }
    if endpoint.method == "DELETE" {
        failures.push("409");
    }
    for status in failures {
        responses.insert(status.into(), json!({"$ref": "#/components/responses/Error"}));
    }
    let mut sorted: Vec<_> = responses.into_iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Object(sorted.into_iter().collect())
}

fn content(content: Content, is_reply: bool) -> Option<Value> {
    let reference = |name: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    match content {
        Content::None => None,
        Content::Schema(name) if is_reply && name != "Null" => {
            Some(json!({"application/json": reference(name), MSGPACK: reference(name)}))
        }
        // A line is a node; in the other forms there is a list of them.
        Content::Nodes => Some(json!({
            "application/x-ndjson": reference("BulkNode"),
            "application/json": reference("BulkRequest"),
            "application/x-msgpack": reference("BulkRequest"),
        })),
        Content::Schema(name) | Content::Optional(name) => Some(json!({"application/json": reference(name)})),
        Content::Data => Some(json!({"*/*": reference("Binary")})),
        Content::Media(media_type) if media_type.starts_with("application/octet") => {
            Some(json!({media_type: reference("Binary")}))
        }
        Content::Media("application/json") => Some(json!({"application/json": {"schema": {"type": "object"}}})),
        Content::Media(media_type) => Some(json!({media_type: {"schema": {"type": "string"}}})),
    }
}

fn health() -> Value {
    json!({"get": {
        "operationId": "get_healthz",
        "tags": ["pages"],
        "summary": "Whether the server can work",
        "parameters": [],
        "responses": {
            "200": {"description": "It can", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}},
            "503": {"$ref": "#/components/responses/Error"},
        },
        "security": [],
    }})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All values of `$ref` in a document.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match value {
                Value::String(target) if key == "$ref" => drop(found.insert(target.clone())),
                value => references(value, found),
            }),
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for target in &found {
            assert!(document.pointer(&target[1..]).is_some(), "{target} does not exist");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/schemas/{name}")), "{name} is not used");
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_sentences() {
        let document = document();
        let operations = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
        let mut names = BTreeSet::new();
        for (method, operation) in operations.filter(|(method, _)| *method != "parameters") {
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {operation}");
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "{name} occurs twice");
        }
        assert!(names.len() > 35);
    }
}
