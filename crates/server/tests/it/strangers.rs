//! Every endpoint refuses a caller without credentials.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::support::{Reply, TestServer};

/// What everybody may see. This list may only shrink.
const OPEN: [&str; 8] = [
    "GET /",
    "GET /api/v1/",
    "GET /docs",
    "GET /docs/docs.js",
    "GET /docs/style.css",
    "GET /favicon.ico",
    "GET /healthz",
    "GET /openapi.json",
];

#[tokio::test]
async fn every_endpoint_refuses_a_stranger() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").await.json();
    let mut open = BTreeSet::new();
    let mut refused = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (name, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes()).unwrap();
            let scopes = operation["security"][0]["ApikeyHeader"].as_array();
            let Some(scopes) = scopes else {
                open.insert(format!("{method} {path}"));
                continue;
            };
            let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str().unwrap()).collect();
            for path in [path.replace("{path}", ""), path.replace("{path}", "a/b"), path.replace("{path}", "%ff?x=%ff")]
            {
                if path.contains("%ff?") {
                    // What cannot be read is refused as such; nothing is looked up.
                    let reply = Reply::of(server.ask(method.clone(), &path)).await;
                    assert!([400, 401].contains(&reply.status), "{method} {path}: {reply:?}");
                    continue;
                }
                let reply = Reply::of(server.ask(method.clone(), &path).body("nonsense")).await;
                assert_eq!(reply.status, 401, "{method} {path}: {reply:?}");
                assert!(reply.detail().starts_with("Not enough permissions. Requires scopes ["), "{reply:?}");
                assert_eq!(reply.header("www-authenticate"), format!("Bearer scope=\"{}\"", scopes.join(" ")));
                assert_eq!(reply.header("x-tiled-root"), format!("http://{}/api/v1", server.address));
                refused += 1;
            }
        }
    }
    assert_eq!(open.iter().map(String::as_str).collect::<Vec<_>>(), OPEN);
    assert!(refused > 60, "{refused}");
}

#[tokio::test]
async fn where_anonymous_reading_is_allowed_writing_is_not() {
    let server = TestServer::with(|options| options.allow_anonymous = true).await;
    for (method, path) in [
        (Method::POST, "/api/v1/metadata/"),
        (Method::DELETE, "/api/v1/metadata/a"),
        (Method::PUT, "/api/v1/array/full/a"),
        (Method::PATCH, "/api/v1/table/partition/a?partition=0"),
        (Method::POST, "/api/v1/register/a"),
        (Method::DELETE, "/api/v1/asset/a?id=1"),
        (Method::GET, "/api/v1/metrics"),
    ] {
        let reply = Reply::of(server.ask(method.clone(), path)).await;
        assert_eq!(reply.status, 401, "{method} {path}: {reply:?}");
    }
}
