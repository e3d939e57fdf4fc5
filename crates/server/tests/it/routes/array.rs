//! `/array/full`, `/array/block`: items in and out.

use std::io::Read;

use reqwest::Method;
use serde_json::{Value, json};

use crate::sample::{array_structure, items, node};
use crate::support::{Reply, TestServer};

const FULL: &str = "/api/v1/array/full/a";
const BLOCK: &str = "/api/v1/array/block/a";
const OCTETS: &str = "application/octet-stream";

fn bytes(items: &[i32]) -> Vec<u8> {
    items.iter().flat_map(|item| item.to_le_bytes()).collect()
}

async fn check(server: &TestServer, path: &str, items: &[i32]) {
    let reply = server.read(path).await;
    assert_eq!((reply.status, reply.header("content-type").as_str()), (200, OCTETS), "{path}: {reply:?}");
    assert_eq!(reply.header("content-length"), (4 * items.len()).to_string(), "{path}");
    assert_eq!(reply.body, bytes(items), "{path}");
}

#[tokio::test]
async fn slices_and_blocks() {
    let server = TestServer::start().await;
    server.array("a").await;
    check(&server, FULL, &[0, 1, 2, 3, 4, 5, 6, 7]).await;
    for (slice, expected) in [
        ("", &[0, 1, 2, 3, 4, 5, 6, 7][..]),
        ("1", &[4, 5, 6, 7]),
        ("-1,-1", &[7]),
        (":,1:3", &[1, 2, 5, 6]),
        ("::-1,::2", &[4, 6, 0, 2]),
        ("...,0", &[0, 4]),
        ("0:0", &[]),
        ("5:9", &[]),
        ("[0, 3]", &[3]),
    ] {
        check(&server, &format!("{FULL}?slice={slice}"), expected).await;
    }
    for (block, expected) in [("0,0", &[0, 1, 2, 4, 5, 6][..]), ("0,1", &[3, 7]), ("0,0&slice=1,::-2", &[6, 4])] {
        check(&server, &format!("{BLOCK}?block={block}"), expected).await;
    }
    for path in [format!("{FULL}?slice=0&expected_shape=4"), format!("{BLOCK}?block=0,1&expected_shape=2,1")] {
        assert_eq!(server.read(&path).await.status, 200, "{path}");
    }
    assert_eq!(server.read(&format!("{FULL}?slice=0,0&expected_shape=scalar")).await.body, bytes(&[0]));
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let server = TestServer::start().await;
    server.array("a").await;
    server.table("t", &["n,x,s\r\n"]).await;
    for (path, status, says) in [
        (format!("{FULL}?slice=2"), 422, "out of bounds for axis 0"),
        (format!("{FULL}?slice=0,0,0"), 422, "the array has 2"),
        (format!("{FULL}?slice=::0"), 422, "cannot be zero"),
        (format!("{FULL}?slice=a"), 422, "Invalid slice part"),
        (format!("{FULL}?expected_shape=4,2"), 422, "(4, 2) does not match the actual shape (2, 4)"),
        (format!("{FULL}?slice=0&expected_shape=scalar"), 422, "() does not match the actual shape (4,)"),
        (format!("{BLOCK}?block=0"), 422, "2 comma-separated"),
        (format!("{BLOCK}?block="), 422, "Requested scalar"),
        (format!("{BLOCK}?block=1,0"), 422, "Block index out of range: axis 0 has 1 blocks"),
        (format!("{BLOCK}?block=0,1&slice=:,1"), 422, "out of bounds"),
        (format!("{BLOCK}?block=0,x"), 422, "block=\"0,x\""),
        (format!("{FULL}?format=nope"), 406, "Requested: nope"),
        ("/api/v1/array/full/nope".into(), 404, "No such entry"),
        ("/api/v1/array/full/t".into(), 404, "table"),
        ("/api/v1/array/full/a/b".into(), 404, "No such entry"),
        ("/api/v1/table/full/a".into(), 404, "array"),
        ("/api/v1/container/full/a".into(), 404, "array"),
    ] {
        server.read(&path).await.refused(status, says);
    }
}

#[tokio::test]
async fn the_caller_chooses_the_format() {
    let server = TestServer::start().await;
    server.array("a").await;
    let nested = "[[0,1,2,3],[4,5,6,7]]";
    let csv = "0,1,2,3\r\n4,5,6,7\r\n";
    for (query, accept, media_type, body) in [
        ("format=json", "", "application/json", nested),
        ("format=application/json", "text/csv", "application/json", nested),
        ("format=csv", "", "text/csv", csv),
        ("format=nope,csv", "", "text/csv", csv),
        ("", "text/csv", "text/csv", csv),
        ("", "TEXT/CSV;q=0.9, application/json;q=0.5", "text/csv", csv),
        ("", "a/b, text/*;q=0.1", "text/csv", csv),
        ("slice=0", "application/json", "application/json", "[0,1,2,3]"),
        ("slice=0,1", "application/json", "application/json", "1"),
    ] {
        let headers: &[(&str, &str)] = if accept.is_empty() { &[] } else { &[("accept", accept)] };
        let reply = server.read_with(&format!("{FULL}?{query}"), headers).await;
        assert!(reply.header("content-type").starts_with(media_type), "{query} {accept}: {reply:?}");
        let (found, expected) = (reply.text().replace([' ', '\r'], ""), body.replace('\r', ""));
        assert_eq!(found.trim_end(), expected.trim_end(), "{query} {accept}");
        assert!(reply.header("vary").contains("Accept"), "{reply:?}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
    for (accept, expected) in
        [("*/*;q=0.8", OCTETS), ("image/*", "image/png"), ("text/html", "text/html; charset=utf-8")]
    {
        assert_eq!(server.read_with(FULL, &[("accept", accept)]).await.header("content-type"), expected, "{accept}");
    }
    for accept in ["a/b", "application/json;q=0", "video/*"] {
        server.read_with(FULL, &[("accept", accept)]).await.refused(
            406,
            "None of the media types requested by the client are supported. Supported: application/octet-stream, ",
        );
    }
    let about = server.read("/api/v1/").await.ok();
    for format in about["formats"]["array"].as_array().unwrap() {
        let reply = server.read(&format!("{FULL}?format={}", format.as_str().unwrap())).await;
        assert_eq!(reply.status, 200, "{format}: {reply:?}");
        assert!(reply.header("content-type").starts_with(format.as_str().unwrap()), "{reply:?}");
    }
    for (media_type, names) in about["aliases"]["array"].as_object().unwrap() {
        for name in names.as_array().unwrap() {
            let reply = server.read(&format!("{FULL}?format={}", name.as_str().unwrap())).await;
            assert!(reply.header("content-type").starts_with(media_type), "{name}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_file_name_is_suggested_when_asked_for() {
    let server = TestServer::start().await;
    server.array("a").await;
    assert_eq!(server.read(FULL).await.header("content-disposition"), "");
    let reply = server.read(&format!("{FULL}?format=csv&filename=x%20y.csv")).await;
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"x y.csv\"");
}

#[tokio::test]
async fn known_data_is_not_sent_again_until_it_changes() {
    let server = TestServer::start().await;
    server.array("a").await;
    let tag = server.read(FULL).await.header("etag");
    let again = server.read_with(FULL, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, tag.clone()));
    assert_eq!(again.header("cache-control"), "private, no-cache, must-revalidate");
    for other in ["slice=0", "format=json", "slice=:,::-1"] {
        let path = format!("{FULL}?{other}");
        assert_eq!(server.read_with(&path, &[("if-none-match", &tag)]).await.status, 200, "{other}");
        assert_ne!(server.read(&path).await.header("etag"), tag, "{other}");
    }
    server.send(Method::PUT, &format!("{BLOCK}?block=0,1"), OCTETS, bytes(&[30, 70])).await.ok();
    assert_eq!(server.read_with(FULL, &[("if-none-match", &tag)]).await.status, 200);
    // What would be refused is refused, whatever the caller has.
    server.read_with(&format!("{FULL}?slice=9"), &[("if-none-match", "*")]).await.refused(422, "out of bounds");
}

#[tokio::test]
async fn bodies_are_compressed_as_the_caller_wishes() {
    let server = TestServer::start().await;
    let structure = json!({
        "data_type": {"endianness": "little", "kind": "i", "itemsize": 4}, "chunks": [[5000, 5000]], "shape": [10_000],
    });
    server.create("", &node("a", "array", &structure)).await;
    let plain: Vec<u8> = (0..10_000).flat_map(|n| (n / 7_i32).to_le_bytes()).collect();
    server.send(Method::PUT, FULL, OCTETS, plain.clone()).await.ok();
    let csv = server.read(&format!("{FULL}?format=csv")).await;
    for (query, accept, coding) in [
        ("", "", ""),
        ("", "br, deflate", ""),
        ("", "gzip;q=0", ""),
        ("", "zstd", "zstd"),
        ("", "gzip", "gzip"),
        ("", "lz4", "lz4"),
        ("", "blosc2, zstd, gzip", "blosc2"),
        ("", "gzip;q=0.9, zstd;q=0.1", "gzip"),
        ("format=csv", "blosc2, zstd, gzip", "zstd"),
        ("format=csv", "gzip", "gzip"),
        ("format=png", "zstd", ""),
        ("slice=0:100", "zstd", ""),
    ] {
        let headers: &[(&str, &str)] = if accept.is_empty() { &[] } else { &[("accept-encoding", accept)] };
        let reply = server.read_with(&format!("{FULL}?{query}"), headers).await;
        assert_eq!((reply.status, reply.header("content-encoding").as_str()), (200, coding), "{query} {accept}");
        assert_eq!(
            reply.header("vary").contains("Accept-Encoding"),
            query != "format=png",
            "{query} {accept}: {reply:?}"
        );
        let unpacked = match coding {
            "zstd" => zstd::decode_all(&*reply.body).unwrap(),
            "lz4" => lz4_flex::block::decompress_size_prepended(&reply.body).unwrap(),
            "gzip" => {
                let mut unpacked = Vec::new();
                flate2::read::GzDecoder::new(&*reply.body).read_to_end(&mut unpacked).unwrap();
                unpacked
            }
            _ => reply.body.clone(),
        };
        match (query, coding) {
            // Nothing here unpacks Blosc2; the acceptance tests do.
            (_, "blosc2") => assert!(reply.body.len() < plain.len() / 2),
            ("", _) => assert_eq!(unpacked, plain, "{accept}"),
            ("format=csv", _) => assert_eq!(unpacked, csv.body, "{accept}"),
            _ => {}
        }
        if !coding.is_empty() {
            assert!(reply.body.len() < plain.len() / 2, "{accept}: {}", reply.body.len());
            let tag = reply.header("etag");
            assert!(tag.ends_with(&format!("--{coding}\"")), "{tag}");
            let headers = [("accept-encoding", accept), ("if-none-match", &tag)];
            assert_eq!(server.read_with(&format!("{FULL}?{query}"), &headers).await.status, 304, "{query} {accept}");
        }
    }
    // A whole block lies in the store as it would be sent.
    let block = server.read_with(&format!("{BLOCK}?block=1"), &[("accept-encoding", "zstd")]).await;
    assert_eq!(block.header("content-encoding"), "zstd");
    assert_eq!(zstd::decode_all(&*block.body).unwrap(), plain[20_000..]);
    let block = server.read_with(&format!("{BLOCK}?block=1"), &[("accept-encoding", "identity")]).await;
    assert_eq!((block.header("content-encoding"), block.body), (String::new(), plain[20_000..].to_vec()));
}

#[tokio::test]
async fn blocks_are_written_one_by_one_and_what_was_not_is_zero() {
    let server = TestServer::start().await;
    server.create("", &node("a", "array", &array_structure())).await;
    check(&server, FULL, &[0; 8]).await;
    let written = server.send(Method::PUT, &format!("{BLOCK}?block=0,1"), OCTETS, bytes(&[3, 7])).await;
    assert_eq!((written.status, written.text()), (200, "null"));
    check(&server, FULL, &[0, 0, 0, 3, 0, 0, 0, 7]).await;
    // Only for watchers.
    server.send(Method::PUT, &format!("{FULL}?persist=false"), OCTETS, items()).await.ok();
    check(&server, FULL, &[0, 0, 0, 3, 0, 0, 0, 7]).await;
}

#[tokio::test]
async fn bodies_that_do_not_fit_change_nothing() {
    let server = TestServer::start().await;
    server.array("a").await;
    for (method, path, content_type, len, status, says) in [
        (
            Method::PUT,
            FULL.to_owned(),
            OCTETS,
            31,
            422,
            "The body has 31 bytes, but shape [2, 4] of dtype <i4 takes 32",
        ),
        (Method::PUT, FULL.into(), OCTETS, 33, 422, "33 bytes"),
        (Method::PUT, FULL.into(), OCTETS, 0, 422, "0 bytes"),
        (Method::PUT, FULL.into(), "text/csv", 32, 415, "application/octet-stream"),
        (Method::PUT, FULL.into(), "x/y", 32, 415, "it is x/y"),
        (Method::PUT, FULL.into(), "image/png", 32, 422, "not a valid PNG"),
        (Method::PUT, format!("{FULL}?persist=false"), OCTETS, 31, 422, "31 bytes"),
        (Method::PUT, format!("{BLOCK}?block=0,1"), OCTETS, 32, 422, "takes 8"),
        (Method::PUT, format!("{BLOCK}?block=0,2"), OCTETS, 8, 422, "out of range"),
        (Method::PUT, BLOCK.into(), OCTETS, 8, 422, "\"block\" is required"),
        (Method::PATCH, format!("{FULL}?offset=1&shape=2,4"), OCTETS, 32, 409, "Use ?extend=true"),
        (Method::PATCH, format!("{FULL}?offset=1&shape=1"), OCTETS, 4, 422, "2 axes"),
        (Method::PATCH, format!("{FULL}?offset=9223372036854775807&shape=1,4&extend=true"), OCTETS, 16, 422, "2^63"),
        (Method::PUT, "/api/v1/table/full/a".into(), "text/csv", 8, 404, "array"),
    ] {
        server.send(method, &path, content_type, vec![9; len]).await.refused(status, says);
    }
    check(&server, FULL, &[0, 1, 2, 3, 4, 5, 6, 7]).await;
    let parameters = server.send(Method::PUT, FULL, "application/octet-stream; charset=x", bytes(&[1; 8])).await;
    assert_eq!(parameters.status, 200);
}

/// Sends the head of a request and the beginning of its body, and goes away.
async fn break_off(server: &TestServer, path: &str, length: Option<usize>, body: &[u8]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let framing = length.map_or("Transfer-Encoding: chunked".into(), |length| format!("Content-Length: {length}"));
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Apikey secret\r\nContent-Type: {OCTETS}\r\n{framing}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    if length.is_none() {
        stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await.unwrap();
    }
    stream.write_all(body).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", rest.escape_ascii());
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_not_seen() {
    let server = TestServer::start().await;
    server.array("a").await;
    for length in [Some(32), None] {
        break_off(&server, FULL, length, &bytes(&[9; 5])).await;
        check(&server, FULL, &[0, 1, 2, 3, 4, 5, 6, 7]).await;
        break_off(&server, &format!("{BLOCK}?block=0,0"), length.map(|_| 24), &bytes(&[9; 3])).await;
        check(&server, FULL, &[0, 1, 2, 3, 4, 5, 6, 7]).await;
    }
}

#[tokio::test]
async fn patches_write_within_and_make_it_grow() {
    let server = TestServer::start().await;
    let structure = json!({
        "data_type": {"endianness": "little", "kind": "i", "itemsize": 4}, "chunks": [[1, 1], [2]], "shape": [2, 2],
    });
    server.create("", &node("a", "array", &structure)).await;
    let patch = async |query: &str, items: &[i32]| -> Value {
        server.send(Method::PATCH, &format!("{FULL}?{query}"), OCTETS, bytes(items)).await.ok()
    };
    assert_eq!(patch("offset=0,1&shape=2,1", &[1, 3]).await["shape"], json!([2, 2]));
    check(&server, FULL, &[0, 1, 0, 3]).await;
    let grown = patch("offset=3&shape=1,2&extend=true", &[6, 7]).await;
    assert_eq!((&grown["shape"], &grown["chunks"]), (&json!([4, 2]), &json!([[1, 1, 1, 1], [2]])));
    check(&server, FULL, &[0, 1, 0, 3, 0, 0, 6, 7]).await;
    let structure = server.read("/api/v1/metadata/a").await.ok()["data"]["attributes"]["structure"].clone();
    assert_eq!(structure, grown);
    // What is within does not shrink it.
    assert_eq!(patch("offset=0,0&shape=1,1&extend=true", &[5]).await["shape"], json!([4, 2]));
    // For watchers only.
    assert_eq!(patch("offset=0,0&shape=1,1&persist=false", &[9]).await["shape"], json!([4, 2]));
    check(&server, &format!("{FULL}?slice=0"), &[5, 1]).await;
}

#[tokio::test]
async fn odd_shapes() {
    let server = TestServer::start().await;
    for (key, shape, chunks, len) in
        [("scalar", json!([]), json!([]), 4), ("empty", json!([0, 3]), json!([[0], [3]]), 0)]
    {
        let dtype = json!({"endianness": "little", "kind": "f", "itemsize": 4});
        let structure = json!({"data_type": dtype, "chunks": chunks, "shape": shape});
        server.create("", &node(key, "array", &structure)).await;
        let path = format!("/api/v1/array/full/{key}");
        server.send(Method::PUT, &path, OCTETS, vec![0; len]).await.ok();
        assert_eq!(server.read(&path).await.body, vec![0; len]);
        for format in ["csv", "json", "html"] {
            assert_eq!(server.read(&format!("{path}?format={format}")).await.status, 200, "{key} {format}");
        }
    }
    assert_eq!(server.read("/api/v1/array/block/scalar?block=").await.body, [0; 4]);
}

#[tokio::test]
async fn big_answers_stream() {
    let server = TestServer::start().await;
    let structure = json!({
        "data_type": {"endianness": "not_applicable", "kind": "u", "itemsize": 1},
        "chunks": [[1 << 20, 1 << 20, 1 << 20, 1 << 20]], "shape": [4 << 20],
    });
    server.create("", &node("a", "array", &structure)).await;
    let body: Vec<u8> = (0..4_u32 << 20).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    server.send(Method::PUT, FULL, OCTETS, body.clone()).await.ok();
    assert!(server.read(FULL).await.body == body);
    let reply = Reply::of(server.owner(Method::GET, &format!("{FULL}?slice=::-1"))).await;
    assert!(reply.body.iter().eq(body.iter().rev()));
}
