//! `/revisions`: how metadata was before.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestServer;

const NODE: &str = "/api/v1/metadata/c";

async fn numbers(server: &TestServer, query: &str) -> Vec<Value> {
    let reply = server.read(&format!("/api/v1/revisions/c{query}")).await.ok();
    reply["data"].as_array().unwrap().iter().map(|revision| revision["revision_number"].clone()).collect()
}

#[tokio::test]
async fn each_change_leaves_what_was_before() {
    let server = TestServer::start().await;
    server.container("", "c", json!({"a": 1})).await;
    assert_eq!(numbers(&server, "").await, [0; 0]);
    server.send_json(Method::PUT, NODE, &json!({"metadata": {"a": 2}, "specs": [{"name": "s"}]})).await.ok();
    let merge = json!({"content-type": "application/merge-patch+json", "metadata": {"a": 3}});
    server.send_json(Method::PATCH, NODE, &merge).await.ok();
    server.send_json(Method::PUT, &format!("{NODE}?drop_revision=true"), &json!({"metadata": {"a": 4}})).await.ok();
    let reply = server.read("/api/v1/revisions/c").await.ok();
    assert_eq!(reply["meta"]["count"], 2);
    let first = &reply["data"][0];
    assert_eq!((&first["revision_number"], &first["attributes"]["metadata"]), (&json!(1), &json!({"a": 1})));
    assert_eq!(first["attributes"]["specs"], json!([]));
    let second = &reply["data"][1];
    assert_eq!((&second["revision_number"], &second["attributes"]["metadata"]), (&json!(2), &json!({"a": 2})));
    assert_eq!(second["attributes"]["specs"], json!([{"name": "s", "version": null}]));
    assert!(second["attributes"]["time_updated"].as_str().unwrap().starts_with("20"));
}

#[tokio::test]
async fn pages_and_forgetting() {
    let server = TestServer::start().await;
    server.container("", "c", json!({})).await;
    for n in 0..5 {
        server.send_json(Method::PUT, NODE, &json!({"metadata": {"n": n}})).await.ok();
    }
    assert_eq!(numbers(&server, "?page[limit]=2").await, [1, 2]);
    assert_eq!(numbers(&server, "?page[limit]=2&page[offset]=4").await, [5]);
    let page = server.read("/api/v1/revisions/c?page[limit]=2&page[offset]=2").await.ok();
    let url = |query: &str| json!(format!("http://{}/api/v1/revisions/c?{query}", server.address));
    assert_eq!(page["links"]["next"], url("page[offset]=4&page[limit]=2"));
    assert_eq!(page["links"]["first"], url("page[limit]=2"));
    assert_eq!(server.delete("/api/v1/revisions/c?number=2").await.ok(), Value::Null);
    assert_eq!(numbers(&server, "").await, [1, 3, 4, 5]);
    server.delete("/api/v1/revisions/c?number=2").await.refused(404, "No revision 2");
    server.delete("/api/v1/revisions/c").await.refused(422, "\"number\" is required");
    server.read("/api/v1/revisions/nope").await.refused(404, "No such entry");
    server.read("/api/v1/revisions/c?page[cursor]=1").await.refused(400, "page[offset]");
}
