//! Nodes that tests begin with.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use girih_model::TableStructure;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestServer;

/// The items of the array that [`TestServer::array`] makes: 0 to 7 as little-endian 32-bit integers.
pub(crate) fn items() -> Vec<u8> {
    (0..8_i32).flat_map(i32::to_le_bytes).collect()
}

/// Two rows and four columns of `int32`, in chunks `[[2], [3, 1]]`.
pub(crate) fn array_structure() -> Value {
    json!({
        "data_type": {"endianness": "little", "kind": "i", "itemsize": 4, "dt_units": null},
        "chunks": [[2], [3, 1]], "shape": [2, 4], "dims": ["y", "x"], "resizable": false,
    })
}

/// Columns `n` (integers), `x` (numbers) and `s` (texts).
pub(crate) fn table_structure(npartitions: u64) -> Value {
    let fields = vec![
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
    ];
    serde_json::to_value(TableStructure::new(Arc::new(Schema::new(fields)), npartitions)).unwrap()
}

/// A request for a node with one data source.
pub(crate) fn node(key: &str, family: &str, structure: &Value) -> Value {
    let source = json!({"structure_family": family, "structure": structure});
    json!({"id": key, "structure_family": family, "data_sources": [source]})
}

/// A request that registers a file.
pub(crate) fn registration(key: &str, mimetype: &str, family: &str, structure: &Value, uri: &str) -> Value {
    let mut request = node(key, family, structure);
    let source = &mut request["data_sources"][0];
    source["mimetype"] = mimetype.into();
    source["management"] = "external".into();
    source["assets"] = json!([{"data_uri": uri, "is_directory": false, "parameter": "data_uri", "num": null}]);
    request
}

impl TestServer {
    pub(crate) async fn create(&self, parent: &str, request: &Value) -> Value {
        self.send_json(Method::POST, &format!("/api/v1/metadata/{parent}"), request).await.ok()
    }

    /// A container; its metadata is an object.
    pub(crate) async fn container(&self, parent: &str, key: &str, metadata: Value) {
        self.create(parent, &json!({"id": key, "structure_family": "container", "metadata": metadata})).await;
    }

    /// The array of [`array_structure`] at the root, written.
    pub(crate) async fn array(&self, key: &str) -> Value {
        let created = self.create("", &node(key, "array", &array_structure())).await;
        let path = format!("/api/v1/array/full/{key}");
        let written = self.send(Method::PUT, &path, "application/octet-stream", items()).await;
        assert_eq!((written.status, written.text()), (200, "null"));
        created
    }

    /// The table of [`table_structure`] at the root, its partitions written.
    pub(crate) async fn table(&self, key: &str, partitions: &[&str]) -> Value {
        let created = self.create("", &node(key, "table", &table_structure(partitions.len() as u64))).await;
        for (number, csv) in partitions.iter().enumerate() {
            let path = format!("/api/v1/table/partition/{key}?partition={number}");
            let written = self.send(Method::PUT, &path, "text/csv", csv.to_string()).await;
            assert_eq!((written.status, written.text()), (200, "null"), "{written:?}");
        }
        created
    }

    /// Writes a file that can be registered; returns its place and URI.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> (PathBuf, String) {
        let path = self.folder.path().join("files").join(name);
        std::fs::write(&path, content).unwrap();
        let uri = format!("file://localhost{}", path.display());
        (path, uri)
    }

    /// Registers a plain file at the root; returns the number of its asset.
    pub(crate) async fn registered(&self, key: &str, content: &[u8]) -> i64 {
        let (_, uri) = self.file(key, content);
        let request = registration(key, "application/octet-stream", "bytes", &json!({}), &uri);
        let created = self.send_json(Method::POST, "/api/v1/register/", &request).await.ok();
        created["data_sources"][0]["assets"][0]["id"].as_i64().unwrap()
    }
}
