//! Pages for people.

use crate::support::TestServer;

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_run_nothing_inline() {
    let server = TestServer::start().await;
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
        ("/docs/style.css", "text/css; charset=utf-8"),
        ("/favicon.ico", "image/svg+xml"),
    ] {
        let reply = server.get(path).await;
        assert_eq!((reply.status, reply.header("content-type").as_str()), (200, media_type), "{path}");
        let policy = reply.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        let text = reply.text();
        for foreign in ["src=\"http", "href=\"http", "url(", "@import", "import(", "innerHTML", " style=\"", "<script>"]
        {
            assert!(!text.contains(foreign), "{path} has {foreign}");
        }
    }
}

/// Every file that a page refers to exists.
#[tokio::test]
async fn pages_are_complete() {
    let server = TestServer::start().await;
    for page in ["/", "/docs"] {
        let text = server.get(page).await.text().to_owned();
        let targets: Vec<_> = text.split(['"']).filter(|part| part.contains('/') || part.ends_with(".json")).collect();
        let local = targets.iter().filter(|part| !part.contains([' ', '<', '\n', ':']) && !part.starts_with("image/"));
        for target in local.filter(|target| **target != "api/v1/") {
            assert_eq!(server.get(&format!("/{target}")).await.status, 200, "{page} refers to {target}");
        }
    }
}

#[tokio::test]
async fn the_document_names_this_server() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], format!("http://{}", server.address));
}
