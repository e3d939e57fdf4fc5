//! `/register`: nodes whose data lies in files that exist.

use reqwest::Method;
use serde_json::json;

use crate::sample::{array_structure, node, registration, table_structure};
use crate::support::TestServer;

#[tokio::test]
async fn a_registered_table_is_read_and_never_written() {
    let server = TestServer::start().await;
    server.table("t", &["n,x,s\n1,0.5,a\n"]).await;
    let parquet = server.read("/api/v1/table/full/t?format=application/x-parquet").await.body;
    let (path, uri) = server.file("t.parquet", &parquet);
    let mut request = registration("r", "application/x-parquet", "table", &table_structure(1), &uri);
    request["data_sources"][0]["assets"][0]["parameter"] = "data_uris".into();
    request["data_sources"][0]["assets"][0]["num"] = 0.into();
    let created = server.send_json(Method::POST, "/api/v1/register/", &request).await.ok();
    assert_eq!(created["data_sources"][0]["management"], "external");
    assert_eq!(server.read("/api/v1/table/full/r?format=json").await.ok(), json!({"n": [1], "x": [0.5], "s": ["a"]}));
    let put = server.send(Method::PUT, "/api/v1/table/full/r", "text/csv", "n,x,s\n2,,\n").await;
    put.refused(405, "never written");
    let patch = server.send(Method::PATCH, "/api/v1/table/partition/r?partition=0", "text/csv", "n,x,s\n2,,\n").await;
    patch.refused(405, "never written");
    server.delete("/api/v1/metadata/r").await.ok();
    assert_eq!(std::fs::read(path).unwrap(), parquet);
}

#[tokio::test]
async fn only_what_may_be_read_can_be_registered() {
    let server = TestServer::start().await;
    let root = server.folder.path().to_owned();
    let (_, good) = server.file("f", b"x");
    std::fs::write(root.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(root.join("secret"), root.join("files/link")).unwrap();
    std::os::unix::fs::symlink(&root, root.join("files/out")).unwrap();
    let uri = |path: &str| format!("file://localhost{}/{path}", root.display());
    let bytes = |uri: &str| registration("x", "application/octet-stream", "bytes", &json!({}), uri);
    for (request, statuses) in [
        (bytes(&uri("secret")), &[403][..]),
        (bytes("file://localhost/etc/hostname"), &[403]),
        (bytes("file:///etc/hostname"), &[403]),
        (bytes(&uri("files/../secret")), &[403, 422]),
        (bytes(&uri("files/%2e%2e/secret")), &[403, 422]),
        (bytes(&uri("files/link")), &[403]),
        (bytes(&uri("files/out/secret")), &[403]),
        (bytes("https://example.com/f"), &[422]),
        (bytes("s3://bucket/f"), &[422]),
        (bytes("duckdb:///x"), &[422]),
        (bytes("file://elsewhere/f"), &[422]),
        (bytes("f"), &[422]),
        (bytes(""), &[422]),
        (registration("x", "x/y", "bytes", &json!({}), &good), &[415]),
        (registration("x", "application/x-parquet", "array", &array_structure(), &good), &[415]),
        (node("x", "array", &array_structure()), &[422]),
    ] {
        let reply = server.send_json(Method::POST, "/api/v1/register/", &request).await;
        let shown = &request["data_sources"][0]["assets"];
        assert!(statuses.contains(&reply.status), "{shown}: {reply:?}");
        assert!(!reply.detail().is_empty());
        assert_eq!(server.read("/api/v1/metadata/x").await.status, 404, "{shown}");
    }
    let reply = server.send_json(Method::POST, "/api/v1/register/", &bytes(&good)).await;
    assert_eq!(reply.ok()["id"], "x");
    server.send_json(Method::POST, "/api/v1/register/", &bytes(&good)).await.refused(409, "taken");
}

#[tokio::test]
async fn where_a_link_leads_counts_when_it_is_registered_and_when_it_is_read() {
    let server = TestServer::start().await;
    let root = server.folder.path().to_owned();
    server.file("f", b"x");
    std::fs::create_dir(root.join("elsewhere")).unwrap();
    std::fs::write(root.join("elsewhere/f"), "secret").unwrap();
    std::os::unix::fs::symlink(root.join("files"), root.join("link")).unwrap();
    let uri = format!("file://localhost{}/link/f", root.display());
    let request = registration("f", "application/octet-stream", "bytes", &json!({}), &uri);
    let created = server.send_json(Method::POST, "/api/v1/register/", &request).await.ok();
    let asset = &created["data_sources"][0]["assets"][0];
    assert_eq!(asset["data_uri"], uri);
    let path = format!("/api/v1/asset/bytes/f?id={}", asset["id"]);
    assert_eq!(&server.read(&path).await.body[..], b"x");
    std::fs::remove_file(root.join("link")).unwrap();
    std::os::unix::fs::symlink(root.join("elsewhere"), root.join("link")).unwrap();
    assert_eq!(server.read(&path).await.status, 403);
}

#[tokio::test]
async fn a_container_in_a_file_gets_no_children() {
    let server = TestServer::start().await;
    server.container("", "c", json!({})).await;
    let file = server.read("/api/v1/container/full/?format=h5").await.body;
    let (_, uri) = server.file("f.h5", &file);
    let request = registration("f", "application/x-hdf5", "container", &json!({"keys": []}), &uri);
    server.send_json(Method::POST, "/api/v1/register/", &request).await.ok();
    let child = json!({"id": "x", "structure_family": "container"});
    for path in ["f", "f/c"] {
        for route in ["metadata", "bulk"] {
            let body = if route == "bulk" { json!([child]) } else { child.clone() };
            let reply = server.send_json(Method::POST, &format!("/api/v1/{route}/{path}"), &body).await;
            reply.refused(405, "the content of a file");
        }
    }
}

#[tokio::test]
async fn a_file_that_was_exchanged_for_a_link_is_not_followed() {
    let server = TestServer::start().await;
    let id = server.registered("f", b"x").await;
    let root = server.folder.path();
    std::fs::write(root.join("secret"), "secret").unwrap();
    std::fs::remove_file(root.join("files/f")).unwrap();
    std::os::unix::fs::symlink(root.join("secret"), root.join("files/f")).unwrap();
    let reply = server.read(&format!("/api/v1/asset/bytes/f?id={id}")).await;
    assert!([403, 410].contains(&reply.status), "{reply:?}");
}

#[tokio::test]
async fn damaged_files_tell_nothing_of_where_they_lie() {
    let server = TestServer::start().await;
    let (path, uri) = server.file("t.parquet", b"PAR1 this is none PAR1");
    let mut request = registration("r", "application/x-parquet", "table", &table_structure(1), &uri);
    request["data_sources"][0]["assets"][0]["parameter"] = "data_uris".into();
    request["data_sources"][0]["assets"][0]["num"] = 0.into();
    server.send_json(Method::POST, "/api/v1/register/", &request).await.ok();
    // It may still be written.
    assert_eq!(server.read("/api/v1/table/full/r").await.status, 503);
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(90);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
    let reply = server.read("/api/v1/table/full/r").await;
    assert_eq!(reply.status, 422);
    assert!(!reply.detail().contains(server.folder.path().to_str().unwrap()), "{reply:?}");
    assert_eq!(server.read("/api/v1/metadata/r").await.status, 200);
}

#[tokio::test]
async fn a_registered_file_that_changed_is_read_anew() {
    let server = TestServer::start().await;
    let file = server.folder.path().join("files/a.npy");
    let npy = |value: u8| {
        let header = format!("{:<117}\n", "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }");
        [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), &[value, value]].concat()
    };
    std::fs::write(&file, npy(1)).unwrap();
    let structure = json!({
        "data_type": {"endianness": "not_applicable", "kind": "u", "itemsize": 1, "dt_units": null},
        "chunks": [[2]], "shape": [2], "dims": null, "resizable": false,
    });
    let uri = format!("file://localhost{}", file.display());
    let node = json!({"id": "a", "structure_family": "array", "data_sources": [{
        "structure_family": "array", "structure": structure, "mimetype": "application/x-npy", "management": "external",
        "assets": [{"data_uri": uri, "is_directory": false, "parameter": "data_uri"}],
    }]});
    server.send_json(Method::POST, "/api/v1/register/", &node).await.ok();
    for path in ["/api/v1/array/full/a?format=application/octet-stream", "/zarr/v3/a/c/0"] {
        std::fs::write(&file, npy(1)).unwrap();
        let first = server.read(path).await;
        assert_eq!(first.status, 200, "{first:?}");
        std::fs::write(&file, npy(2)).unwrap();
        let again = server.read_with(path, &[("if-none-match", &first.header("etag"))]).await;
        assert_eq!(again.status, 200, "{path}");
        assert_ne!(again.body, first.body);
    }
}
