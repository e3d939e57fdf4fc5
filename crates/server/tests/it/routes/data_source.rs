//! `/data_source`: the description of where data lies.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestServer;

const PATH: &str = "/api/v1/data_source/f";

/// The data source of a node, as it is told.
async fn source(server: &TestServer, key: &str) -> Value {
    let node = server.read(&format!("/api/v1/metadata/{key}?include_data_sources=true")).await.ok();
    node["data"]["attributes"]["data_sources"][0].clone()
}

#[tokio::test]
async fn a_description_is_replaced() {
    let server = TestServer::start().await;
    server.registered("f", b"x").await;
    let mut new = source(&server, "f").await;
    new["properties"] = json!({"beamline": 7});
    let reply = server.send_json(Method::PUT, PATH, &json!({"data_source": new})).await;
    assert_eq!((reply.status, reply.text()), (200, "null"));
    assert_eq!(source(&server, "f").await["properties"], json!({"beamline": 7}));
    let path = format!("{PATH}?patch_shape=1,2&patch_offset=0,0");
    server.send_json(Method::PUT, &path, &json!({"data_source": new})).await.ok();
}

#[tokio::test]
async fn only_the_nodes_own_and_only_what_may_be_read() {
    let server = TestServer::start().await;
    server.registered("f", b"x").await;
    server.registered("g", b"y").await;
    server.array("a").await;
    let mine = source(&server, "f").await;
    let (foreign, ours) = (source(&server, "g").await, source(&server, "a").await);
    let change = |source: &Value, name: &str, value: Value| {
        let mut source = source.clone();
        source[name] = value;
        source
    };
    let asset = |uri: &str| json!([{"data_uri": uri, "is_directory": false, "parameter": "data_uri", "num": null}]);
    for (path, new, status, says) in [
        (PATH, foreign.clone(), 404, "No data_source"),
        (PATH, change(&mine, "id", json!(999)), 404, "No data_source 999 on this node."),
        (PATH, change(&mine, "id", Value::Null), 422, "\"id\""),
        (PATH, change(&mine, "assets", asset("file://localhost/etc/hostname")), 403, ""),
        (PATH, change(&mine, "assets", asset("https://example.com/x")), 422, ""),
        (PATH, change(&mine, "mimetype", json!("x/y")), 415, "x/y"),
        (PATH, change(&mine, "management", json!("writable")), 409, "externally managed"),
        (PATH, change(&mine, "structure_family", json!("table")), 422, ""),
        ("/api/v1/data_source/a", change(&ours, "assets", mine["assets"].clone()), 409, "can be changed here"),
        ("/api/v1/data_source/a", change(&ours, "management", json!("external")), 409, "can be changed here"),
        (
            "/api/v1/data_source/a",
            change(
                &ours,
                "structure",
                json!({"data_type": {"kind": "f", "itemsize": 4, "endianness": "little"}, "shape": [1], "chunks": [[1]]}),
            ),
            409,
            "can be changed here",
        ),
        ("/api/v1/data_source/nope", mine.clone(), 404, "No such entry"),
        (&format!("{PATH}?patch_shape=1"), mine.clone(), 400, "patch_offset"),
        (&format!("{PATH}?patch_shape=x&patch_offset=0"), mine.clone(), 422, "patch_shape"),
    ] {
        server.send_json(Method::PUT, path, &json!({"data_source": new})).await.refused(status, says);
    }
    server.send_json(Method::PUT, PATH, &json!({})).await.refused(422, "data_source");
    assert_eq!((source(&server, "f").await, source(&server, "g").await), (mine, foreign));
    assert_eq!(server.read("/api/v1/array/full/a").await.status, 200);
}
