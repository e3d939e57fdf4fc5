//! What comes in and goes out: sizes, types, compression.

use std::io::Read;
use std::time::Duration;

use reqwest::Method;

use crate::support::{Reply, TestServer};

#[tokio::test]
async fn json_bodies_are_bounded_and_looked_at() {
    let server = TestServer::start().await;
    let deep = format!(
        r#"{{"structure_family": "container", "metadata": {{"a": {}{}}}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let huge = format!(r#"{{"structure_family": "container", "x": "{}"}}"#, "x".repeat(33 << 20));
    let container = r#"{"structure_family": "container", "#;
    for (content_type, body, status, says) in [
        ("application/json", "{".to_owned(), 400, "not valid JSON"),
        ("application/json", String::new(), 400, "not valid JSON"),
        ("application/json", "[]".into(), 422, "does not fit"),
        ("application/json", "{}".into(), 422, "structure_family"),
        ("application/json", r#"{"structure_family": "composite"}"#.into(), 422, "composite"),
        ("application/json", format!("{container}\"metadata\": []}}"), 422, "must be a JSON object"),
        ("application/json", format!("{container}\"metadata\": {{\"a\": 1e999}}}}"), 422, "metadata"),
        (
            "application/json",
            format!("{container}\"specs\": [{{\"name\": \"a\"}}, {{\"name\": \"a\"}}]}}"),
            422,
            "unique",
        ),
        ("application/json", format!("{container}\"specs\": [\"a\"]}}"), 422, "does not fit"),
        ("application/json", deep, 422, "recursion limit"),
        ("application/json", huge, 413, "at most 33554432 bytes"),
        ("text/plain", "{}".into(), 415, "application/json"),
    ] {
        let request = server.owner(Method::POST, "/api/v1/metadata/").header("content-type", content_type).body(body);
        let reply = Reply::of(request).await;
        assert_eq!(reply.status, status, "{says}: {reply:?}");
        assert!(reply.detail().contains(says), "{says}: {reply:?}");
    }
}

#[tokio::test]
async fn data_needs_a_type_and_must_not_be_too_much() {
    let server = TestServer::with(|options| options.max_body_bytes = 1000).await;
    let put = || server.owner(Method::PUT, "/api/v1/array/full/a");
    let reply = Reply::of(put().body("x")).await;
    assert_eq!(reply.status, 415);
    assert!(reply.detail().contains("Content-Type"));
    let put = || put().header("content-type", "application/octet-stream");
    let reply = Reply::of(put().body(vec![0; 1001])).await;
    assert_eq!(reply.status, 413);
    assert!(reply.detail().contains("at most 1000 bytes"));
    let reply = Reply::of(put().header("content-encoding", "gzip").body("x")).await;
    assert_eq!(reply.status, 415);
    let patch = |query: &str| {
        let path = format!("/api/v1/array/full/a?{query}");
        server.owner(Method::PATCH, &path).header("content-type", "application/octet-stream").body("x")
    };
    for (query, status, says) in [
        ("shape=1", 422, "\"offset\" is required"),
        ("offset=0&shape=scalar", 422, "shape"),
        ("offset=0,0&shape=1", 422, "offset has 2 numbers"),
        ("offset=0&shape=1&extend=true&persist=false", 400, "extend=True and persist=False"),
    ] {
        let reply = Reply::of(patch(query)).await;
        assert_eq!(reply.status, status, "{query}: {reply:?}");
        assert!(reply.detail().contains(says), "{query}: {reply:?}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::with(|options| options.request_timeout = Some(Duration::from_millis(100))).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head =
        "POST /api/v1/metadata/ HTTP/1.1\r\nHost: h\r\nAuthorization: Apikey secret\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = vec![0; 12];
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply, b"HTTP/1.1 408");
}

#[tokio::test]
async fn overlong_queries_are_refused() {
    let server = TestServer::start().await;
    let reply = server.get(&format!("/api/v1/search/?x={}", "x".repeat(40_000))).await;
    assert_eq!(reply.status, 414);
    assert!(reply.detail().contains("at most 32768 bytes"));
}

#[tokio::test]
async fn bodies_are_compressed_for_those_who_can_unpack_them() {
    let server = TestServer::start().await;
    let plain = server.get("/openapi.json").await;
    assert_eq!(
        (plain.header("content-encoding"), plain.header("vary")),
        (String::new(), "Accept-Encoding, Origin".into())
    );
    for (accept, coding) in
        [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0.1, gzip;q=0.2", "gzip"), ("br", ""), ("gzip;q=0", "")]
    {
        let get = || server.ask(Method::GET, "/openapi.json").header("accept-encoding", accept);
        let reply = Reply::of(get()).await;
        assert_eq!(reply.header("content-encoding"), coding, "{accept}");
        let body = match coding {
            "gzip" => {
                let mut text = Vec::new();
                flate2::read::GzDecoder::new(&*reply.body).read_to_end(&mut text).unwrap();
                text
            }
            "zstd" => zstd::decode_all(&*reply.body).unwrap(),
            _ => reply.body.clone(),
        };
        assert_eq!(body, plain.body, "{accept}");
        assert_eq!(coding.is_empty(), reply.header("etag") == plain.header("etag"), "{accept}");
        let again = Reply::of(get().header("if-none-match", reply.header("etag"))).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{accept}");
    }
    let small = Reply::of(server.ask(Method::GET, "/healthz").header("accept-encoding", "gzip")).await;
    assert_eq!(small.header("content-encoding"), "");
}
