//! What holds for every address: methods, redirects, ids, prefixes, odd paths.

use reqwest::Method;

use crate::support::{KEY, Reply, TestServer};

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = TestServer::start().await;
    for path in ["/docs", "/openapi.json", "/favicon.ico"] {
        let (get, head) = (server.get(path).await, Reply::of(server.ask(Method::HEAD, path)).await);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{path}");
        assert_eq!(head.header("etag"), get.header("etag"), "{path}");
    }
}

#[tokio::test]
async fn options_and_405_say_what_would_work() {
    let server = TestServer::start().await;
    for (path, allow) in [
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/api/v1/", "GET, HEAD, OPTIONS"),
        ("/api/v1/array/full/a/b", "GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/api/v1/metadata/", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        ("/api/v1/asset/a", "DELETE, OPTIONS"),
        ("/api/v1/asset/bytes/a", "DELETE, GET, HEAD, OPTIONS"),
    ] {
        let reply = Reply::of(server.ask(Method::OPTIONS, path)).await;
        assert_eq!((reply.status, reply.header("allow").as_str()), (204, allow), "{path}");
        let reply = Reply::of(server.ask(Method::from_bytes(b"BREW").unwrap(), path)).await;
        assert_eq!((reply.status, reply.header("allow").as_str()), (405, allow), "{path}");
        assert_eq!(reply.detail(), "Method Not Allowed");
    }
}

#[tokio::test]
async fn addresses_without_their_slash_are_led_there() {
    let server = TestServer::start().await;
    for (from, to) in [
        ("/api/v1", "/api/v1/"),
        ("/api/v1/metadata", "/api/v1/metadata/"),
        ("/api/v1/search?page[limit]=1", "/api/v1/search/?page[limit]=1"),
        ("/api/v1/docs", "/docs"),
    ] {
        let reply = server.get(from).await;
        assert_eq!(reply.status, 307, "{from}");
        assert_eq!(reply.header("location"), format!("http://{}{to}", server.address));
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let server = TestServer::start().await;
    for path in ["/api", "/nope", "/api/v1/nope", "/api/v1//metadata/a", "/api/v2/", "/docs/x"] {
        let reply = server.get(path).await;
        assert_eq!((reply.status, reply.detail().as_str()), (404, "Not Found"), "{path}");
    }
    for path in ["/api/v1/awkward/full/a", "/api/v1/auth/whoami", "/api/graphql", "/ui/"] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.detail().contains("does not support"), "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn odd_paths_are_refused_clearly() {
    let server = TestServer::start().await;
    for (path, status, says) in [
        ("/api/v1/metadata/a%2Fb", 422, "contains a slash"),
        ("/api/v1/metadata/a/%ff", 400, "not percent-encoded UTF-8"),
        ("/api/v1/metadata/a%00b", 422, "control character"),
        ("/api/v1/search/a?page[limit]=%ff", 400, "not percent-encoded UTF-8"),
        ("/api/v1/search/a?page[limit]=301", 422, "from 0 to 300"),
        ("/api/v1/search/a?fields=x", 422, "Choose from metadata, structure_family"),
        ("/api/v1/search/a?sort=a&sort=a", 400, "Duplicate sorting key: a"),
        ("/api/v1/search-deep/a?sort=a", 400, "Sorting is not supported for deep search."),
        ("/api/v1/search-deep/a?max_depth=65", 422, "from 1 to 64"),
        ("/api/v1/metadata/a?max_depth=6", 422, "from 0 to 5"),
        ("/api/v1/metadata/a?select_metadata=x.[", 400, "Malformed 'select_metadata' parameter raised JMESPathError"),
        ("/api/v1/array/full/a?slice=x", 422, "Invalid slice part"),
        ("/api/v1/array/block/a", 422, "\"block\" is required"),
        ("/api/v1/array/full/a?expected_shape=x", 422, "expected_shape"),
        ("/api/v1/array/full/a?format=", 406, "format= is empty"),
        ("/api/v1/table/partition/a?partition=-1", 422, "partition"),
        ("/api/v1/table/full/a?column=a&field=b", 400, "'column'"),
        ("/api/v1/asset/bytes/a?id=x", 422, "not an integer"),
    ] {
        let reply = Reply::of(server.owner(Method::GET, path)).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert!(reply.detail().contains(says), "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn each_answer_has_an_id_and_says_how_long_it_took() {
    let server = TestServer::start().await;
    let reply = server.get("/nope").await;
    assert_eq!(reply.header("x-tiled-request-id").len(), 16);
    assert!(reply.header("server-timing").contains("app;dur="));
    let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    let reply = Reply::of(server.ask(Method::GET, "/docs").header("x-tiled-request-id", uuid)).await;
    assert_eq!(reply.header("x-tiled-request-id"), uuid);
}

#[tokio::test]
async fn a_mounted_server_answers_with_and_without_its_prefix() {
    let server = TestServer::with(|options| options.root_path = "tiled/".into()).await;
    for path in ["/tiled/docs", "/docs", "/tiled/healthz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let location = server.get("/tiled/api/v1").await.header("location");
    assert_eq!(location, format!("http://{}/tiled/api/v1/", server.address));
    let proxied =
        server.ask(Method::GET, "/api/v1").header("x-forwarded-proto", "https").header("x-forwarded-host", "foo.com");
    let reply = Reply::of(proxied).await;
    assert_eq!(reply.header("location"), "https://foo.com/tiled/api/v1/");
    assert!(reply.header("set-cookie").ends_with("; Secure"));
}

#[tokio::test]
async fn links_are_not_made_of_what_is_no_host() {
    let server = TestServer::start().await;
    let reply = Reply::of(server.ask(Method::GET, "/docs").header("host", "a\"><b")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.detail().contains("Host"));
}

#[tokio::test]
async fn clients_that_are_too_old_are_told_so() {
    let server = TestServer::start().await;
    let reply = Reply::of(server.ask(Method::GET, "/api/v1/").header("user-agent", "python-tiled/0.1.0a50")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.detail().contains("Version 0.1.0a104 or higher is needed"));
}

#[tokio::test]
async fn health_needs_nothing_and_metrics_count() {
    let server = TestServer::start().await;
    let reply = server.get("/healthz").await;
    assert_eq!((reply.status, reply.text()), (200, "{\"status\":\"ready\"}"));
    assert_eq!(reply.header("set-cookie"), "");
    assert_eq!(Reply::of(server.ask(Method::GET, "/healthz").header("authorization", "x")).await.status, 200);
    server.get("/docs").await;
    let reply = server.get(&format!("/api/v1/metrics?api_key={KEY}")).await;
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let line = "tiled_request_duration_seconds_count{method=\"GET\",code=\"200\",endpoint=\"docs\"} 1";
    assert!(reply.text().contains(line), "{}", reply.text());
}
