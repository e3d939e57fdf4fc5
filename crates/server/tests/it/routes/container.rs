//! `/container/full`: whole trees.

use reqwest::Method;
use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn a_tree_is_exported() {
    let server = TestServer::start().await;
    server.array("a").await;
    server.table("t", &["n,x,s\n1,0.5,r\n"]).await;
    server.container("", "c", json!({"k": 1})).await;
    let path = "/api/v1/container/full/";
    let hdf5 = server.read(path).await;
    assert_eq!((hdf5.status, hdf5.header("content-type").as_str()), (200, "application/x-hdf5"));
    assert!(hdf5.body.starts_with(b"\x89HDF\r\n\x1a\n"));
    let tree = server.read(&format!("{path}?format=json")).await.ok();
    let contents = tree["contents"].as_object().unwrap();
    assert_eq!(contents.keys().collect::<Vec<_>>(), ["a", "t", "c"]);
    assert_eq!(contents["c"]["metadata"], json!({"k": 1}));
    for (query, body) in [("format=json&field=a&field=c", "null"), ("format=json", "[\"a\", \"c\"]")] {
        let some = if body == "null" {
            server.read(&format!("{path}?{query}")).await.ok()
        } else {
            server.send(Method::POST, &format!("{path}?{query}"), "application/json", body).await.ok()
        };
        assert_eq!(some["contents"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "c"], "{query} {body}");
    }
    for format in server.read("/api/v1/").await.ok()["formats"]["container"].as_array().unwrap() {
        let reply = server.read(&format!("{path}?format={}", format.as_str().unwrap())).await;
        assert_eq!(reply.status, 200, "{format}: {reply:?}");
    }
    server.read(&format!("{path}?format=text/csv")).await.refused(406, "application/x-hdf5");
    server.read("/api/v1/container/full/nope").await.refused(404, "No such entry");
    server.send(Method::POST, path, "application/json", "[]").await.refused(422, "empty");
}
