//! `/bulk`: many nodes at once.

use reqwest::Method;
use serde_json::{Value, json};

use crate::sample::{array_structure, node, registration};
use crate::support::{Reply, TestServer};

fn container(key: &str, metadata: Value) -> Value {
    json!({"id": key, "structure_family": "container", "metadata": metadata})
}

async fn send(server: &TestServer, path: &str, media_type: &str, nodes: &[Value]) -> Reply {
    let body: Vec<u8> = match media_type {
        "application/x-ndjson" => nodes.iter().map(|node| format!("{node}\n")).collect::<String>().into(),
        "application/json" => json!(nodes).to_string().into(),
        _ => rmp_serde::to_vec_named(nodes).unwrap(),
    };
    server.send(Method::POST, &format!("/api/v1/bulk/{path}"), media_type, body).await
}

const MEDIA_TYPES: [&str; 3] = ["application/x-ndjson", "application/json", "application/x-msgpack"];

#[tokio::test]
async fn trees_are_made_in_every_form_and_made_again_without_harm() {
    for media_type in MEDIA_TYPES {
        let server = TestServer::start().await;
        server.create("", &container("c", json!({}))).await;
        let inner = json!({"parent": "run", "id": "image", "structure_family": "array",
            "data_sources": [{"structure_family": "array", "structure": array_structure()}]});
        let nodes = [container("run", json!({"color": "red", "n": 1.5})), inner, container("later", json!({}))];
        let reply = send(&server, "c", media_type, &nodes).await.ok();
        assert_eq!(reply["data"], json!({"created": 3, "unchanged": 0, "failed": 0, "errors": []}), "{media_type}");
        let again = send(&server, "c", media_type, &nodes).await.ok();
        assert_eq!(again["data"], json!({"created": 0, "unchanged": 3, "failed": 0, "errors": []}));

        let children = server.read("/api/v1/search/c").await.ok();
        let ids: Vec<_> = children["data"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
        assert_eq!(ids, ["run", "later"]);
        let bytes = server.read("/api/v1/array/full/c/run/image?format=application/octet-stream").await;
        assert_eq!(bytes.status, 200, "a new array is zeros: {bytes:?}");
        let found =
            server.read("/api/v1/search/c?filter[eq][condition][key]=color&filter[eq][condition][value]=%22red%22");
        assert_eq!(found.await.ok()["meta"]["count"], 1);
        assert_eq!(std::fs::read_dir(server.folder.path().join("data/c/run")).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn each_line_is_told_what_is_wrong_with_it() {
    let server = TestServer::start().await;
    server.create("", &container("taken", json!({"a": 1}))).await;
    let body = [
        container("good", json!({})).to_string(),
        String::new(),
        "{\"id\": ".into(),
        container("", json!({})).to_string(),
        container("taken", json!({"a": 2})).to_string(),
        container("slash/ed", json!({})).to_string(),
        json!({"id": "x", "parent": "nowhere", "structure_family": "container"}).to_string(),
        json!({"id": "y", "structure_family": "array"}).to_string(),
        json!({"id": "z", "structure_family": "container", "metadata": [1]}).to_string(),
        container("best", json!({})).to_string(),
    ];
    let ask = async |query: &str| {
        let path = format!("/api/v1/bulk/{query}");
        server.send(Method::POST, &path, "application/x-ndjson", body.join("\n")).await
    };
    let strict = ask("?all_or_nothing=true").await;
    assert_eq!((strict.status, &strict.json()["data"]["created"]), (400, &json!(0)), "{strict:?}");
    server.read("/api/v1/metadata/good").await.refused(404, "No such entry");

    let reply = ask("").await.ok();
    assert_eq!((&reply["data"]["created"], &reply["data"]["failed"]), (&json!(2), &json!(7)));
    let errors = reply["data"]["errors"].as_array().unwrap();
    let told: Vec<_> = errors.iter().map(|e| (e["line"].as_u64().unwrap(), e["status"].as_u64().unwrap())).collect();
    assert_eq!(told, [(3, 400), (4, 422), (5, 409), (6, 422), (7, 404), (8, 422), (9, 422)], "{errors:?}");
    assert_eq!(errors[2]["id"], "taken");
    assert_eq!(server.read("/api/v1/metadata/").await.ok()["data"]["attributes"]["structure"]["count"], 3);
}

#[tokio::test]
async fn what_fails_leaves_no_storage_behind() {
    let server = TestServer::start().await;
    let array = node("a", "array", &array_structure());
    let reply = send(&server, "?all_or_nothing=true", MEDIA_TYPES[0], &[array.clone(), container("", json!({}))]).await;
    assert_eq!(reply.status, 422, "{reply:?}");
    let mut other = array.clone();
    other["metadata"] = json!({"other": true});
    send(&server, "", MEDIA_TYPES[0], std::slice::from_ref(&array)).await.ok();
    assert_eq!(send(&server, "", MEDIA_TYPES[0], &[other, array]).await.ok()["data"]["failed"], 1);
    let left: Vec<_> = std::fs::read_dir(server.folder.path().join("data")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn what_is_no_bulk_is_refused() {
    let server = TestServer::start().await;
    server.create("", &node("a", "array", &array_structure())).await;
    let path = "/api/v1/bulk/";
    server.send(Method::POST, path, "text/csv", "x").await.refused(415, "application/x-ndjson");
    server.send(Method::POST, path, "application/json", "{}").await.refused(422, "does not fit");
    server.send(Method::POST, path, "application/x-msgpack", "\u{7}").await.refused(400, "MessagePack");
    server.send(Method::POST, path, "application/x-ndjson", "\n".repeat(100_001)).await.refused(413, "at most 100000");
    let lines = ["x"; 100_001].join("\n");
    server.send(Method::POST, path, "application/x-ndjson", lines).await.refused(413, "at most 100000");
    let long = format!("{{\"id\": \"ok\", \"structure_family\": \"container\"}}\n{}", "x".repeat((16 << 20) + 1));
    server.send(Method::POST, path, "application/x-ndjson", long).await.refused(413, "Line 2 has more than");
    server.read("/api/v1/metadata/ok").await.refused(404, "No such entry");
    send(&server, "a", MEDIA_TYPES[0], &[container("x", json!({}))])
        .await
        .refused(405, "only be created in containers");
    send(&server, "nowhere", MEDIA_TYPES[0], &[container("x", json!({}))]).await.refused(404, "No such entry");
    let reply = server.send(Method::POST, path, "application/x-ndjson", "").await.ok();
    assert_eq!(reply["data"]["created"], 0);
}

#[tokio::test]
async fn more_than_one_batch() {
    let server = TestServer::start().await;
    let nodes: Vec<_> = (0..2500).map(|n| container(&format!("k{n}"), json!({"n": n}))).collect();
    assert_eq!(send(&server, "", MEDIA_TYPES[0], &nodes).await.ok()["data"]["created"], 2500);
    assert_eq!(server.read("/api/v1/metadata/").await.ok()["data"]["attributes"]["structure"]["count"], 2500);
    let last = server.read("/api/v1/search/?page[limit]=1&sort=-").await.ok();
    assert_eq!(last["data"][0]["id"], "k2499");
}

#[tokio::test]
async fn registered_files_count_as_content() {
    let server = TestServer::start().await;
    let (_, one) = server.file("one", b"1");
    let (_, two) = server.file("two", b"2");
    let file = |uri: &str| registration("f", "application/octet-stream", "bytes", &json!({}), uri);
    let counts = async |uri: &str| {
        let data = send(&server, "", MEDIA_TYPES[0], &[file(uri)]).await.ok()["data"].clone();
        (data["created"].clone(), data["unchanged"].clone(), data["errors"][0]["status"].clone())
    };
    assert_eq!(counts(&one).await, (json!(1), json!(0), Value::Null));
    assert_eq!(counts(&one).await, (json!(0), json!(1), Value::Null));
    assert_eq!(counts(&two).await, (json!(0), json!(0), json!(409)), "another file");
    assert_eq!(
        send(&server, "", MEDIA_TYPES[0], &[container("g", json!({})), file(&one)]).await.ok()["data"]["unchanged"],
        1
    );
}

#[tokio::test]
async fn more_than_one_batch_with_data() {
    let server = TestServer::start().await;
    let (_, uri) = server.file("f", b"1");
    let nodes: Vec<_> = (0..1500)
        .map(|n| match n % 3 {
            0 => container(&format!("k{n}"), json!({"text": "x".repeat(n)})),
            _ => registration(&format!("k{n}"), "application/octet-stream", "bytes", &json!({}), &uri),
        })
        .collect();
    assert_eq!(send(&server, "", MEDIA_TYPES[0], &nodes).await.ok()["data"]["created"], 1500);
    assert_eq!(send(&server, "", MEDIA_TYPES[0], &nodes).await.ok()["data"]["unchanged"], 1500);
}
