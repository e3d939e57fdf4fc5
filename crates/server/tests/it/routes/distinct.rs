//! `/distinct`: which values there are.

use serde_json::{Value, json};

use crate::support::TestServer;

async fn server() -> TestServer {
    let server = TestServer::start().await;
    for (n, metadata) in
        [json!({"c": "red", "o": {"p": 1}}), json!({"c": "red"}), json!({"c": 2}), json!({"c": null}), json!({})]
            .into_iter()
            .enumerate()
    {
        server.container("", &format!("c{n}"), metadata).await;
    }
    server.array("arr").await;
    server.create("c0", &json!({"id": "x", "structure_family": "container", "metadata": {"c": "deep"}})).await;
    server
}

/// `[(value, count), …]`, by the value's text.
fn buckets(list: &Value) -> Vec<(String, Value)> {
    let mut buckets: Vec<_> =
        list.as_array().unwrap().iter().map(|bucket| (bucket["value"].to_string(), bucket["count"].clone())).collect();
    buckets.sort_by(|a, b| a.0.cmp(&b.0));
    buckets
}

#[tokio::test]
async fn values_families_and_specs_are_counted() {
    let server = server().await;
    let path = "/api/v1/distinct/?metadata=c&metadata=o.p&structure_families=true&specs=true&counts=true";
    let found = server.read(path).await.ok();
    let pairs = |pairs: &[(&str, u64)]| pairs.iter().map(|(v, n)| (v.to_string(), json!(n))).collect::<Vec<_>>();
    assert_eq!(buckets(&found["metadata"]["c"]), pairs(&[("\"red\"", 2), ("2", 1), ("null", 3)]));
    assert_eq!(buckets(&found["metadata"]["o.p"]), pairs(&[("1", 1), ("null", 5)]));
    assert_eq!(buckets(&found["structure_families"]), pairs(&[("\"array\"", 1), ("\"container\"", 5)]));
    assert_eq!(buckets(&found["specs"]), pairs(&[("[]", 6)]));
}

#[tokio::test]
async fn only_what_was_asked_for_is_looked_at() {
    let server = server().await;
    let found = server.read("/api/v1/distinct/?metadata=c").await.ok();
    assert_eq!((&found["structure_families"], &found["specs"]), (&Value::Null, &Value::Null));
    assert!(buckets(&found["metadata"]["c"]).iter().all(|(_, count)| count.is_null()));
    let filter = "filter[eq][condition][key]=c&filter[eq][condition][value]=\"red\"";
    let found = server.read(&format!("/api/v1/distinct/?metadata=o.p&{filter}&counts=true")).await.ok();
    assert_eq!(buckets(&found["metadata"]["o.p"]), [("1".into(), json!(1)), ("null".into(), json!(1))]);
    let below = server.read("/api/v1/distinct/c0?metadata=c").await.ok();
    assert_eq!(buckets(&below["metadata"]["c"]), [("\"deep\"".into(), Value::Null)]);
}

#[tokio::test]
async fn nonsense_is_refused() {
    let server = server().await;
    let many = "metadata=a&".repeat(33);
    for (path, status, says) in [
        ("arr?metadata=c", 404, "array"),
        ("nope?metadata=c", 404, "No such entry"),
        ("?metadata=", 400, "metadata key"),
        ("?counts=maybe", 422, "boolean"),
        (&format!("?{many}"), 422, "At most 32"),
    ] {
        server.read(&format!("/api/v1/distinct/{path}")).await.refused(status, says);
    }
}
