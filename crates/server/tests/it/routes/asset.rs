//! `/asset`: raw files, and nothing but those that belong to the node.

use serde_json::{Value, json};

use crate::sample::registration;
use crate::support::TestServer;
use reqwest::Method;

const CONTENT: &[u8] = b"0123456789";

/// A server with a registered file `f`, and the path of its asset.
async fn server() -> (TestServer, String, i64) {
    let server = TestServer::start().await;
    let id = server.registered("f", CONTENT).await;
    (server, format!("/api/v1/asset/bytes/f?id={id}"), id)
}

/// The number of the only asset of a node.
async fn asset(server: &TestServer, key: &str) -> i64 {
    let node = server.read(&format!("/api/v1/metadata/{key}?include_data_sources=true")).await.ok();
    node["data"]["attributes"]["data_sources"][0]["assets"][0]["id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_file_is_sent_as_it_is() {
    let (server, path, _) = server().await;
    let reply = server.read(&path).await;
    assert_eq!((reply.status, &*reply.body), (200, CONTENT));
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    assert_eq!(reply.header("accept-ranges"), "bytes");
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"f\"");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert!(reply.header("last-modified").ends_with("GMT"));
    let again = server.read_with(&path, &[("if-none-match", &reply.header("etag"))]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[tokio::test]
async fn parts_of_a_file() {
    let (server, path, _) = server().await;
    let whole = server.read(&path).await;
    let (tag, modified) = (whole.header("etag"), whole.header("last-modified"));
    for (range, status, content_range, body) in [
        ("bytes=2-3", 206, "bytes 2-3/10", "23"),
        ("bytes=-2", 206, "bytes 8-9/10", "89"),
        ("bytes=8-", 206, "bytes 8-9/10", "89"),
        ("bytes=8-99", 206, "bytes 8-9/10", "89"),
        ("bytes=10-", 416, "bytes */10", ""),
    ] {
        let reply = server.read_with(&path, &[("range", range), ("accept-encoding", "zstd")]).await;
        assert_eq!((reply.status, reply.header("content-range").as_str()), (status, content_range), "{range}");
        assert_eq!(reply.header("content-encoding"), "", "{range}");
        if status == 206 {
            assert_eq!((reply.text(), reply.header("etag")), (body, tag.clone()), "{range}");
        }
    }
    server.read_with(&path, &[("range", "bytes=x")]).await.refused(400, "Malformed range header");
    let unknown = server.read_with(&path, &[("range", "lines=1-2")]).await;
    assert_eq!((unknown.status, unknown.text()), (200, "0123456789"));
    for (name, value, status) in [
        ("if-match", tag.as_str(), 206),
        ("if-match", "\"old\"", 412),
        ("if-unmodified-since", modified.as_str(), 206),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 412),
    ] {
        let reply = server.read_with(&path, &[("range", "bytes=0-1"), (name, value)]).await;
        assert_eq!((reply.status, reply.header("etag")), (status, tag.clone()), "{name}: {value}");
    }
    for (if_range, status) in [(tag.as_str(), 206), (modified.as_str(), 206), ("\"old\"", 200), ("W/\"x\"", 200)] {
        let reply = server.read_with(&path, &[("range", "bytes=0-1"), ("if-range", if_range)]).await;
        assert_eq!(reply.status, status, "{if_range}");
    }
    let parts = server.read_with(&path, &[("range", "bytes=0-1,8-9")]).await;
    assert_eq!(parts.status, 206);
    assert!(parts.header("content-type").starts_with("multipart/byteranges; boundary="));
}

#[tokio::test]
async fn a_directory_lists_its_files_by_relative_paths() {
    let (server, _, file) = server().await;
    server.array("a").await;
    let id = asset(&server, "a").await;
    let manifest = server.read(&format!("/api/v1/asset/manifest/a?id={id}")).await.ok();
    let names: Vec<&str> = manifest["manifest"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, ["c/0/0", "c/0/1", "zarr.json"]);
    for name in names {
        let reply = server.read(&format!("/api/v1/asset/bytes/a?id={id}&relative_path={name}")).await;
        let stored = std::fs::read(server.folder.path().join("data/a").join(name)).unwrap();
        assert_eq!((reply.status, reply.body), (200, stored), "{name}");
    }
    server.read(&format!("/api/v1/asset/bytes/a?id={id}")).await.refused(400, "Must specify relative path");
    server.read(&format!("/api/v1/asset/manifest/f?id={file}")).await.refused(400, "There is no manifest.");
    let path = format!("/api/v1/asset/bytes/f?id={file}&relative_path=x");
    server.read(&path).await.refused(400, "not a directory");
}

#[tokio::test]
async fn nothing_outside_is_reached() {
    let (server, ..) = server().await;
    server.array("a").await;
    let id = asset(&server, "a").await;
    let root = server.folder.path();
    std::fs::write(root.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(root.join("secret"), root.join("data/a/link")).unwrap();
    std::os::unix::fs::symlink(root, root.join("data/a/out")).unwrap();
    for relative in [
        "..",
        "../../secret",
        "c/../../../secret",
        "/etc/hostname",
        "link",
        "out/secret",
        "c",
        ".",
        "nope",
        "c//0",
        "a%00b",
        "..%2F..%2Fsecret",
    ] {
        let reply = server.read(&format!("/api/v1/asset/bytes/a?id={id}&relative_path={relative}")).await;
        assert!([400, 403, 404, 410, 422].contains(&reply.status), "{relative}: {reply:?}");
        assert!(!reply.text().contains("secret\"") || reply.status != 200, "{relative}: {reply:?}");
        assert!(!reply.detail().contains(root.to_str().unwrap()), "{relative}: {reply:?}");
    }
    let manifest = server.read(&format!("/api/v1/asset/manifest/a?id={id}")).await.ok();
    assert!(!manifest.to_string().contains("secret"), "{manifest}");
}

#[tokio::test]
async fn assets_belong_to_their_node() {
    let (server, _, id) = server().await;
    let other = server.registered("g", b"other").await;
    assert_ne!(id, other);
    for path in [format!("/api/v1/asset/bytes/f?id={other}"), "/api/v1/asset/bytes/f?id=999".into()] {
        server.read(&path).await.refused(404, "This node exists but it does not have an Asset with id");
    }
    server.read("/api/v1/asset/bytes/nope?id=1").await.refused(404, "No such entry");
    server.read("/api/v1/asset/bytes/f").await.refused(422, "\"id\" is required");
}

#[tokio::test]
async fn what_has_gone_is_gone() {
    let (server, path, _) = server().await;
    std::fs::remove_file(server.folder.path().join("files/f")).unwrap();
    let reply = server.read(&path).await;
    assert_eq!(reply.status, 410, "{reply:?}");
    assert!(!reply.detail().contains(server.folder.path().to_str().unwrap()), "{reply:?}");
}

#[tokio::test]
async fn deleting_spares_files_that_are_not_ours() {
    let (server, _, id) = server().await;
    server.array("a").await;
    let ours = asset(&server, "a").await;
    server.delete(&format!("/api/v1/asset/a?id={ours}")).await.refused(409, "external_only=False");
    let deleted = server.delete(&format!("/api/v1/asset/a?id={ours}&external_only=false")).await.ok();
    assert_eq!(deleted, json!({"asset_deleted": true, "data_deleted": true}));
    assert!(!server.folder.path().join("data/a").exists());
    let deleted = server.delete(&format!("/api/v1/asset/f?id={id}")).await.ok();
    assert_eq!(deleted["asset_deleted"], true);
    assert!(server.folder.path().join("files/f").exists());
    server.delete(&format!("/api/v1/asset/f?id={id}")).await.refused(404, "does not have an Asset");
}

#[tokio::test]
async fn a_file_registered_twice_is_one_asset() {
    let (server, _, id) = server().await;
    let uri = format!("file://localhost{}", server.folder.path().join("files/f").display());
    let request = registration("again", "application/octet-stream", "bytes", &json!({}), &uri);
    server.send_json(Method::POST, "/api/v1/register/", &request).await.ok();
    assert_eq!(asset(&server, "again").await, id);
    let deleted: Value = server.delete(&format!("/api/v1/asset/f?id={id}")).await.ok();
    assert_eq!(deleted["asset_deleted"], false, "the other node still uses it");
    assert_eq!(server.read(&format!("/api/v1/asset/bytes/again?id={id}")).await.body, CONTENT);
}
