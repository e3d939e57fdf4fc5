//! `/metadata`: nodes from birth to death.

use reqwest::Method;
use serde_json::{Value, json};

use crate::sample::{array_structure, items, node};
use crate::support::{Reply, TestServer};

/// A URL without the server's address.
fn local(server: &TestServer, value: &Value) -> Value {
    let text = value.to_string().replace(&format!("http://{}", server.address), "H");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_container_is_created_read_and_deleted() {
    let server = TestServer::start().await;
    let request = json!({"id": "c", "structure_family": "container", "metadata": {"a": 1}, "specs": [{"name": "s"}]});
    let created = server.create("", &request).await;
    let links = json!({
        "self": "H/api/v1/metadata/c", "search": "H/api/v1/search/c",
        "search_deep": "H/api/v1/search-deep/c", "full": "H/api/v1/container/full/c",
    });
    assert_eq!(local(&server, &created), json!({"id": "c", "links": links, "data_sources": []}));
    let read = server.read("/api/v1/metadata/c").await.ok();
    let attributes = json!({
        "ancestors": [], "structure_family": "container", "specs": [{"name": "s", "version": null}],
        "metadata": {"a": 1}, "structure": {"contents": null, "count": 0}, "access_tags": [],
        "sorting": [{"key": "", "direction": 1}], "data_sources": null,
    });
    let resource = json!({"id": "c", "attributes": attributes, "links": links, "meta": null});
    assert_eq!(local(&server, &read), json!({"data": resource, "error": null, "links": null, "meta": {}}));
    let deleted = server.delete("/api/v1/metadata/c").await;
    assert_eq!((deleted.status, deleted.text()), (200, "null"));
    server.read("/api/v1/metadata/c").await.refused(404, "No such entry");
    server.delete("/api/v1/metadata/c").await.refused(404, "No such entry");
}

#[tokio::test]
async fn an_array_says_where_its_data_lies() {
    let server = TestServer::start().await;
    let created = local(&server, &server.create("", &node("a", "array", &array_structure())).await);
    let source = &created["data_sources"][0];
    assert_eq!(source["structure"], array_structure());
    assert_eq!((&source["mimetype"], &source["management"]), (&json!("application/x-zarr"), &json!("writable")));
    let asset = &source["assets"][0];
    let folder = server.folder.path().canonicalize().unwrap();
    assert_eq!(asset["data_uri"], format!("file://localhost{}/data/a", folder.display()));
    assert_eq!((&asset["is_directory"], &asset["parameter"]), (&json!(true), &json!("data_uri")));
    assert_eq!(created["links"]["block"], "H/api/v1/array/block/a?block={0},{1}");

    let read = server.read("/api/v1/metadata/a?include_data_sources=true").await.ok();
    assert_eq!(read["data"]["attributes"]["structure"], array_structure());
    assert_eq!(read["data"]["attributes"]["data_sources"][0], *source);
    assert_eq!(read["data"]["attributes"]["sorting"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_created_is_refused_and_nothing_remains() {
    let server = TestServer::start().await;
    server.array("a").await;
    server.container("", "c", json!({})).await;
    let source = node("x", "array", &array_structure())["data_sources"][0].clone();
    let two = json!({"id": "x", "structure_family": "array", "data_sources": [source, source]});
    let mut foreign = node("x", "array", &array_structure());
    foreign["data_sources"][0]["mimetype"] = "x/y".into();
    let mut external = node("x", "array", &array_structure());
    external["data_sources"][0]["management"] = "external".into();
    let mut mixed = node("x", "array", &array_structure());
    mixed["structure_family"] = "table".into();
    let short =
        json!({"data_type": {"kind": "i", "itemsize": 4, "endianness": "little"}, "chunks": [[1]], "shape": [2]});
    let container = |id: &str| json!({"id": id, "structure_family": "container"});
    for (parent, request, status, says) in [
        ("", container("c"), 409, "The key is taken: there is already an entry at /c."),
        ("", node("c", "array", &array_structure()), 409, "/c"),
        ("nope", container("x"), 404, "No such entry"),
        ("a", container("x"), 405, "Children can only be created in containers."),
        ("", container(".."), 422, "\"..\""),
        ("", container("a/b"), 422, "a/b"),
        ("", container("a\u{7}"), 422, "control"),
        ("", container(&"x".repeat(2000)), 422, "at most 1023"),
        ("", json!({"id": "x", "structure_family": "array"}), 422, "exactly one data source; 0 were given"),
        ("", two, 422, "exactly one data source; 2 were given"),
        ("", foreign, 415, "x/y"),
        ("", external, 422, "POST /register"),
        ("", mixed, 422, "table"),
        ("", node("x", "array", &short), 422, "chunks"),
        ("", node("x", "array", &json!({})), 422, "missing field"),
        ("", node("x", "sparse", &json!({})), 422, "sparse"),
        ("", json!({"id": "x", "structure_family": "container", "access_tags": ["t"]}), 422, "no access policy"),
    ] {
        let reply = server.send_json(Method::POST, &format!("/api/v1/metadata/{parent}"), &request).await;
        reply.refused(status, says);
    }
    server.read("/api/v1/metadata/x").await.refused(404, "No such entry");
    assert!(!server.folder.path().join("data/x").exists());
    assert_eq!(server.read("/api/v1/array/full/a").await.status, 200);
}

#[tokio::test]
async fn keys_may_be_longer_than_the_names_of_files() {
    let server = TestServer::start().await;
    for key in ["x".repeat(300), "é".repeat(511), "x".repeat(301)] {
        server.array(&key).await;
        assert_eq!(server.read(&format!("/api/v1/array/full/{key}")).await.body, items());
    }
}

#[tokio::test]
async fn without_a_key_a_node_gets_one() {
    let server = TestServer::start().await;
    let request = json!({"structure_family": "container"});
    let (first, second) = (server.create("", &request).await, server.create("", &request).await);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["id"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn metadata_is_replaced_in_part_or_whole() {
    let server = TestServer::start().await;
    server.container("", "c", json!({"a": 1, "b": [1]})).await;
    let path = "/api/v1/metadata/c";
    for (body, metadata, specs) in [
        (json!({"metadata": {"x": 1}}), json!({"x": 1}), json!([])),
        (json!({"specs": [{"name": "s", "version": "1"}]}), json!({"x": 1}), json!([{"name": "s", "version": "1"}])),
        (json!({"metadata": null, "specs": null}), json!({"x": 1}), json!([{"name": "s", "version": "1"}])),
        (json!({"metadata": {}, "specs": []}), json!({}), json!([])),
    ] {
        assert_eq!(server.send_json(Method::PUT, path, &body).await.ok(), json!({"id": "c"}));
        let attributes = server.read(path).await.ok()["data"]["attributes"].clone();
        assert_eq!((&attributes["metadata"], &attributes["specs"]), (&metadata, &specs), "{body}");
    }
    for (path, body, status, says) in [
        (path, json!({"metadata": [1]}), 422, "must be a JSON object"),
        (path, json!({"specs": [{"name": "s"}, {"name": "s"}]}), 422, "unique"),
        (path, json!({"access_tags": ["t"]}), 422, "no access policy"),
        ("/api/v1/metadata/nope", json!({"metadata": {}}), 404, "No such entry"),
    ] {
        server.send_json(Method::PUT, path, &body).await.refused(status, says);
    }
}

#[tokio::test]
async fn metadata_is_patched() {
    let server = TestServer::start().await;
    server.container("", "c", json!({"a": 1, "b": {"c": 2}})).await;
    let path = "/api/v1/metadata/c";
    let patch = async |kind: &str, metadata: Value, specs: Value| {
        let body = json!({"content-type": format!("application/{kind}+json"), "metadata": metadata, "specs": specs});
        server.send_json(Method::PATCH, path, &body).await
    };
    for (kind, metadata, specs, expected) in [
        ("merge-patch", json!({"a": null, "b": {"d": 3}}), json!(null), (json!({"b": {"c": 2, "d": 3}}), json!([]))),
        (
            "json-patch",
            json!([{"op": "remove", "path": "/b/c"}, {"op": "add", "path": "/e", "value": [1]}]),
            json!([{"op": "add", "path": "/-", "value": {"name": "s"}}]),
            (json!({"b": {"d": 3}, "e": [1]}), json!([{"name": "s", "version": null}])),
        ),
        ("merge-patch", json!(null), json!([]), (json!({"b": {"d": 3}, "e": [1]}), json!([]))),
    ] {
        assert_eq!(patch(kind, metadata, specs).await.ok(), json!({"id": "c"}));
        let attributes = server.read(path).await.ok()["data"]["attributes"].clone();
        assert_eq!((attributes["metadata"].clone(), attributes["specs"].clone()), expected);
    }
    patch("x", json!({}), json!(null)).await.refused(406, "valid content types: application/json-patch+json");
    patch("json-patch", json!([{"op": "remove", "path": "/nope"}]), json!(null)).await.refused(422, "does not apply");
    patch("json-patch", json!([{"op": "replace", "path": "", "value": 3}]), json!(null)).await.refused(422, "object");
    patch("json-patch", json!({"op": "x"}), json!(null)).await.refused(422, "not a JSON patch");
    patch("merge-patch", json!(null), json!([{"name": "s"}, {"name": "s"}])).await.refused(422, "unique");
    patch("merge-patch", json!([1]), json!(null)).await.refused(422, "object");
    let kept = json!({"content-type": "application/merge-patch+json", "metadata": {"z": 1}});
    assert_eq!(server.send_json(Method::PATCH, path, &kept).await.status, 200, "specs may be left out");
}

#[tokio::test]
async fn deleting_asks_for_what_it_destroys() {
    let server = TestServer::start().await;
    server.container("", "c", json!({})).await;
    server.create("c", &node("a", "array", &array_structure())).await;
    let data = server.folder.path().join("data/c/a");
    assert!(data.exists());
    for (path, says) in [
        ("c", "not empty"),
        ("c?recursive=true", "internally managed"),
        ("c/a", "external_only=False"),
        ("c?external_only=false", "not empty"),
    ] {
        server.delete(&format!("/api/v1/metadata/{path}")).await.refused(409, says);
        assert!(data.exists() && server.read("/api/v1/array/full/c/a").await.status == 200, "{path}");
    }
    assert_eq!(server.delete("/api/v1/metadata/c?recursive=true&external_only=false").await.ok(), json!(null));
    assert!(!data.exists());
    server.read("/api/v1/metadata/c/a").await.refused(404, "No such entry");
    server.create("", &node("c", "array", &array_structure())).await;
}

#[tokio::test]
async fn links_lead_back_whatever_the_key() {
    let server = TestServer::start().await;
    for key in ["sp ace", "é+?#&", "100%", "{0}", "a:b@c", "'\"<>", "%2F"] {
        let created = server.create("", &node(key, "array", &array_structure())).await;
        assert_eq!(created["id"], key);
        for name in ["self", "full", "block"] {
            let link = created["links"][name].as_str().unwrap();
            let link = link.strip_prefix(&format!("http://{}", server.address)).unwrap();
            let reply = server.read(&link.replace("block={0},{1}", "block=0,0")).await;
            assert_eq!(reply.status, 200, "{link}: {reply:?}");
            if name == "self" {
                assert_eq!(
                    (&reply.json()["data"]["id"], &reply.json()["data"]["links"]),
                    (&key.into(), &created["links"])
                );
            }
        }
    }
}

#[tokio::test]
async fn links_are_those_that_the_caller_can_follow() {
    let server = TestServer::with(|options| options.root_path = "/tiled".into()).await;
    server.container("", "c", json!({})).await;
    let link = |reply: Reply| reply.ok()["data"]["links"]["self"].as_str().unwrap().to_owned();
    let plain = format!("http://{}/tiled/api/v1/metadata/c", server.address);
    assert_eq!(link(server.read("/tiled/api/v1/metadata/c").await), plain);
    assert_eq!(link(server.read("/api/v1/metadata/c").await), plain);
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "data.example:8443")];
    let reply = server.read_with("/api/v1/metadata/c", &forwarded).await;
    assert_eq!(link(reply), "https://data.example:8443/tiled/api/v1/metadata/c");
    let reply = server.read("/api/v1/metadata/c?root_path=true").await;
    assert_eq!(reply.ok()["meta"], json!({"root_path": "/tiled"}));

    let wary = TestServer::with(|options| options.trust_forwarded = false).await;
    wary.container("", "c", json!({})).await;
    let reply = wary.read_with("/api/v1/metadata/c", &forwarded).await;
    assert_eq!(link(reply), format!("http://{}/api/v1/metadata/c", wary.address));
    assert_eq!(wary.read("/api/v1/metadata/?root_path=true").await.ok()["meta"], json!({"root_path": "/"}));
}

#[tokio::test]
async fn a_known_answer_is_not_sent_again() {
    let server = TestServer::start().await;
    server.container("", "c", json!({"a": 1})).await;
    let path = "/api/v1/metadata/c";
    let first = server.read(path).await;
    let tag = first.header("etag");
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert!(first.header("vary").contains("Accept"), "{first:?}");
    assert_eq!(first.header("cache-control"), "private, no-cache, must-revalidate");
    for known in [tag.clone(), format!("\"x\", W/{tag}"), tag.trim_matches('"').to_owned(), "*".into()] {
        let again = server.read_with(path, &[("if-none-match", &known)]).await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, tag.clone()), "{known}");
    }
    server.send_json(Method::PUT, path, &json!({"metadata": {"a": 2}})).await.ok();
    assert_eq!(server.read_with(path, &[("if-none-match", &tag)]).await.status, 200);
    let packed = server.read_with(path, &[("accept", "application/x-msgpack")]).await;
    assert_ne!(packed.header("etag"), server.read(path).await.header("etag"));
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let server = TestServer::start().await;
    server.array("a").await;
    for path in ["/api/v1/metadata/a", "/api/v1/array/full/a", "/api/v1/search/", "/api/v1/array/full/a?format=json"] {
        let (get, head) = (server.read(path).await, Reply::of(server.owner(Method::HEAD, path)).await);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["content-type", "content-length", "etag", "vary", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    let head = Reply::of(server.owner(Method::HEAD, "/api/v1/metadata/nope")).await;
    assert_eq!((head.status, head.body.len()), (404, 0));
}

#[tokio::test]
async fn messagepack_says_the_same_as_json() {
    let server = TestServer::start().await;
    server.array("a").await;
    server.table("t", &["n,x,s\r\n1,0.5,a\r\n"]).await;
    let metadata = json!({"n": null, "i": [1, -1, 1.5, u64::MAX], "t": "é", "o": {"": true}});
    server.container("", "c", metadata).await;
    for path in [
        "/api/v1/",
        "/api/v1/metadata/a?include_data_sources=true",
        "/api/v1/metadata/c",
        "/api/v1/search/?include_data_sources=true",
        "/api/v1/distinct/?metadata=t&structure_families=true&specs=true&counts=true",
        "/api/v1/revisions/c",
    ] {
        let packed = server.read_with(path, &[("accept", "application/x-msgpack")]).await;
        assert_eq!(packed.header("content-type"), "application/x-msgpack", "{path}");
        let unpacked: Value = rmp_serde::from_slice(&packed.body).unwrap();
        assert_eq!(unpacked, server.read(path).await.ok(), "{path}");
    }
}

#[tokio::test]
async fn only_what_was_asked_for_is_shown() {
    let server = TestServer::start().await;
    server.container("", "c", json!({"x": {"y": 1}, "z": [1, 2]})).await;
    let read = async |query: &str| server.read(&format!("/api/v1/metadata/c?{query}")).await.ok()["data"].clone();
    let bare = read("fields=").await;
    assert_eq!(bare["attributes"]["structure_family"], Value::Null);
    assert_eq!(bare["links"].as_object().unwrap().keys().collect::<Vec<_>>(), ["self"]);
    let some = read("fields=metadata&fields=count").await["attributes"].clone();
    assert_eq!((&some["metadata"]["z"], &some["structure"]["count"]), (&json!([1, 2]), &json!(0)));
    assert_eq!((&some["specs"], &some["sorting"]), (&Value::Null, &Value::Null));
    assert_eq!(
        read("select_metadata={a:x.y,b:z[1]}").await["attributes"]["metadata"],
        json!({"selected": {"a": 1, "b": 2}})
    );
    assert_eq!(read("omit_links=true").await["links"], Value::Null);
}

#[tokio::test]
async fn old_clients_get_what_they_understand() {
    let server = TestServer::start().await;
    let created = server.array("a").await;
    assert!(created["data_sources"][0]["assets"][0].as_object().unwrap().contains_key("size"));
    let read = async |version: &str| {
        let agent = format!("python-tiled/{version}");
        let path = "/api/v1/metadata/a?include_data_sources=true";
        server.read_with(path, &[("user-agent", &agent)]).await.ok()["data"]["attributes"].clone()
    };
    let has = |value: &Value, key: &str| value.as_object().unwrap().contains_key(key);
    for (version, blob, size, properties) in [
        ("0.2.20", false, true, true),
        ("0.2.18", true, true, true),
        ("0.2.12", true, false, true),
        ("0.2.3", true, false, false),
    ] {
        let attributes = read(version).await;
        let source = &attributes["data_sources"][0];
        assert_eq!(has(&attributes, "access_blob"), blob, "{version}");
        assert_eq!(has(&source["assets"][0], "size"), size, "{version}");
        assert_eq!(has(source, "properties"), properties, "{version}");
    }
}

#[tokio::test]
async fn the_root_is_a_node_like_others() {
    let server = TestServer::start().await;
    server.send_json(Method::PUT, "/api/v1/metadata/", &json!({"metadata": {"color": "blue"}})).await.ok();
    let root = local(&server, &server.read("/api/v1/metadata/").await.ok()["data"]);
    assert_eq!((&root["id"], &root["attributes"]["metadata"]), (&json!(""), &json!({"color": "blue"})));
    assert_eq!(root["links"]["search"], "H/api/v1/search/");
    server.array("a").await;
    server.delete("/api/v1/metadata/").await.refused(409, "not empty");
    assert_eq!(server.delete("/api/v1/metadata/?recursive=true&external_only=false").await.ok(), json!(null));
    assert_eq!(server.read("/api/v1/search/").await.ok()["meta"]["count"], 0);
    assert!(!server.folder.path().join("data/a").exists());
}
