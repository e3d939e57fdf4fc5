//! Keys, cookies, other sites.

use reqwest::Method;

use crate::support::{KEY, Reply, TestServer};

#[tokio::test]
async fn a_key_opens_the_door_and_a_wrong_one_does_not() {
    let server = TestServer::start().await;
    let metrics = "/api/v1/metrics";
    assert_eq!(Reply::of(server.owner(Method::GET, metrics)).await.status, 200);
    for header in ["Apikey wrong", "apikey Secret", "Bearer x"] {
        let reply = Reply::of(server.ask(Method::GET, metrics).header("authorization", header)).await;
        assert_eq!(reply.status, 401, "{header}");
        assert!(["Invalid API key", "Could not validate credentials"].contains(&reply.detail().as_str()));
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        assert!(reply.header("x-tiled-root").ends_with("/api/v1"));
    }
    let reply = Reply::of(server.ask(Method::GET, metrics).header("authorization", "secret")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.detail().starts_with("Authorization header must include the authorization type"));
    // Not even where nothing is needed: a caller should learn that the key is wrong.
    assert_eq!(server.get("/api/v1/?api_key=wrong").await.status, 401);
}

#[tokio::test]
async fn a_valid_key_in_the_url_is_remembered_in_a_cookie() {
    let server = TestServer::start().await;
    let reply = server.get(&format!("/?api_key={KEY}")).await;
    assert_eq!(reply.status, 200);
    let cookies = reply.header("set-cookie");
    assert!(cookies.contains("tiled_api_key=secret; HttpOnly; Path=/; SameSite=lax"), "{cookies}");
    for path in ["/?api_key=wrong", "/", "/docs?api_key=wrong"] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(!reply.header("set-cookie").contains("tiled_api_key"), "{reply:?}");
    }
}

#[tokio::test]
async fn everybody_gets_a_token_once() {
    let server = TestServer::start().await;
    let first = server.get("/docs").await.header("set-cookie");
    let second = server.get("/docs").await.header("set-cookie");
    assert!(first.starts_with("tiled_csrf=") && first.ends_with("; HttpOnly; Path=/; SameSite=lax"), "{first}");
    assert_ne!(first, second);
    let again = Reply::of(server.ask(Method::GET, "/docs").header("cookie", "tiled_csrf=known")).await;
    assert_eq!(again.header("set-cookie"), "");
    // Errors too: a client reads the cookie from whatever answer comes first.
    assert!(server.get("/api/v1/metadata/").await.header("set-cookie").contains("tiled_csrf="));
}

#[tokio::test]
async fn a_cookie_alone_cannot_write() {
    let server = TestServer::start().await;
    let path = "/api/v1/data_source/a?patch_shape=1";
    let ask = |cookie: &'static str| server.ask(Method::PUT, path).header("cookie", cookie).body("{}");
    let reply = Reply::of(ask("tiled_api_key=secret; tiled_csrf=t")).await;
    assert_eq!((reply.status, reply.detail().as_str()), (403, "Expected csrf query parameter or x-csrf header"));
    let reply = Reply::of(ask("tiled_api_key=secret; tiled_csrf=t").header("x-csrf", "u")).await;
    assert_eq!((reply.status, reply.detail().as_str()), (403, "Double-submit CSRF tokens do not match"));
    let reply = Reply::of(ask("tiled_api_key=secret")).await;
    assert_eq!((reply.status, reply.detail().as_str()), (403, "Expected tiled_csrf_token cookie"));
    // Past the door, the request itself is looked at.
    let reply = Reply::of(ask("tiled_api_key=secret; tiled_csrf=t").header("x-csrf", "t")).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.detail().contains("patch_offset"));
}

#[tokio::test]
async fn only_listed_sites_may_look_in() {
    let server = TestServer::with(|options| options.allow_origins = vec!["https://example.com".into()]).await;
    let preflight = |origin: &'static str| {
        server
            .ask(Method::OPTIONS, "/api/v1/")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "x-csrf")
    };
    let reply = Reply::of(preflight("https://example.com")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), "https://example.com");
    assert_eq!(reply.header("access-control-allow-credentials"), "true");
    assert_eq!(reply.header("access-control-allow-headers"), "x-csrf");
    assert!(reply.header("access-control-allow-methods").contains("PUT"));
    let reply = Reply::of(preflight("https://evil.example")).await;
    assert_eq!((reply.status, reply.text()), (400, "Disallowed CORS origin"));

    let from = |origin: &'static str| server.ask(Method::GET, "/api/v1/metadata/").header("origin", origin);
    let reply = Reply::of(from("https://example.com")).await;
    assert_eq!(reply.status, 401, "an error, which the page must be able to read");
    assert_eq!(reply.header("access-control-allow-origin"), "https://example.com");
    assert!(reply.header("access-control-expose-headers").contains("X-Tiled-Request-ID"));
    let reply = Reply::of(from("https://evil.example")).await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
    assert!(reply.header("vary").contains("Origin"));
}

#[tokio::test]
async fn any_site_means_without_the_visitors_credentials() {
    let server = TestServer::with(|options| options.allow_origins = vec!["*".into()]).await;
    let reply = Reply::of(server.ask(Method::GET, "/docs").header("origin", "https://a.example")).await;
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("access-control-allow-credentials"), "");
}
