//! Whole requests: paths, parameters, headers and bodies that are nearly right, through all layers of the server.
//!
//! So the parsers of `Accept`, `Accept-Encoding`, `Range`, `If-None-Match` and their like are reached as a stranger
//! reaches them, without a door of their own.

use std::panic::RefUnwindSafe;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{Method, Request, StatusCode};
use bolero::{TypeGenerator, check, produce};
use girih_engine::{CatalogSettings, Engine, Settings};
use girih_model::NodePath;
use girih_server::ServerOptions;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use crate::edits::Edits;
use crate::limits::{SHORT, limited};
use crate::query::Parameter;

const KEY: &str = "secret";
/// Most memory of one request, in bytes; an upload as Arrow may claim a batch of 1 GiB.
const MEMORY: usize = 1280 << 20;
/// The file that is registered.
const FILE: &[u8] = b"0123456789";

/// Requests that are right, most of them.
const SEEDS: [(Method, &str, &str); 26] = [
    (Method::GET, "/api/v1/", ""),
    (Method::GET, "/docs", ""),
    (Method::GET, "/api/v1/metadata/a", ""),
    (Method::GET, "/api/v1/metadata/", ""),
    (Method::GET, "/api/v1/search/", ""),
    (Method::GET, "/api/v1/search-deep/", ""),
    (Method::GET, "/api/v1/distinct/", ""),
    (Method::GET, "/api/v1/revisions/a", ""),
    (Method::GET, "/api/v1/array/full/a", ""),
    (Method::GET, "/api/v1/array/block/a", ""),
    (Method::GET, "/api/v1/table/full/t", ""),
    (Method::GET, "/api/v1/table/partition/t", ""),
    (Method::GET, "/api/v1/array/full/t/n", ""),
    (Method::GET, "/api/v1/container/full/", ""),
    (Method::GET, "/api/v1/asset/bytes/f", ""),
    (Method::GET, "/api/v1/asset/manifest/a", ""),
    (Method::HEAD, "/api/v1/array/full/a", ""),
    (Method::OPTIONS, "/api/v1/array/full/a", ""),
    (Method::POST, "/api/v1/table/full/t", r#"["n"]"#),
    (
        Method::POST,
        "/api/v1/metadata/",
        r#"{"structure_family": "container", "metadata": {"a": 1}, "specs": [{"name": "s"}]}"#,
    ),
    (Method::PUT, "/api/v1/metadata/c", r#"{"metadata": {"a": {"b": [1, null]}}, "specs": []}"#),
    (
        Method::PATCH,
        "/api/v1/metadata/c",
        r#"{"content-type": "application/json-patch+json", "specs": null, "metadata": [{"op": "add", "path": "/a", "value": 1}]}"#,
    ),
    (Method::PUT, "/api/v1/array/full/a", "0123456789abcdef0123456789abcdef"),
    (Method::PATCH, "/api/v1/array/full/a", "0123456789abcdef"),
    (Method::PUT, "/api/v1/table/partition/t", "n,s\r\n1,x\r\n"),
    (
        Method::PUT,
        "/api/v1/data_source/f",
        r#"{"data_source": {"id": 1, "structure_family": "bytes", "structure": {}}}"#,
    ),
];

const PARAMETERS: [(&str, &str); 30] = [
    ("slice", "0:2,::-1"),
    ("block", "0,0"),
    ("expected_shape", "2,2"),
    ("format", "text/csv;header=absent,application/json"),
    ("filename", "x y.csv"),
    ("partition", "0"),
    ("column", "n"),
    ("field", "s"),
    ("id", "1"),
    ("relative_path", "zarr.json"),
    ("fields", "metadata"),
    ("select_metadata", "{a:x.y,b:[*].z|[0]}"),
    ("max_depth", "3"),
    ("omit_links", "true"),
    ("include_data_sources", "true"),
    ("root_path", "true"),
    ("page[offset]", "1"),
    ("page[cursor]", "MQ"),
    ("page[limit]", "2"),
    ("sort", "-a.b,metadata.c,"),
    ("metadata", "a.b"),
    ("counts", "true"),
    ("specs", "true"),
    ("structure_families", "true"),
    ("offset", "1,0"),
    ("shape", "1,4"),
    ("extend", "true"),
    ("drop_revision", "true"),
    ("vmin", "0.5"),
    ("cmap", "viridis"),
];

const HEADERS: [(&str, &str); 22] = [
    ("accept", "application/json;q=0.5, text/*, */*;q=0.1, application/x-msgpack"),
    ("accept", "text/csv;header=absent;charset=\"utf-8\", image/png"),
    ("accept-encoding", "blosc2, zstd, gzip;q=0.5, *;q=0, identity"),
    ("range", "bytes=0-1, 4-5,-2, 8-"),
    ("if-range", "\"0123456789abcdef0123456789abcdef\""),
    ("if-none-match", "W/\"a\", \"b--zstd\", *"),
    ("if-modified-since", "Sun, 22 Nov 2026 11:12:10 GMT"),
    ("authorization", "Apikey secret"),
    ("cookie", "tiled_csrf=t; tiled_api_key=secret; x=\"y\""),
    ("x-csrf", "t"),
    ("host", "example.com:8000"),
    ("x-forwarded-host", "a.example, b.example"),
    ("x-forwarded-proto", "https"),
    ("origin", "https://example.com"),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-csrf, accept"),
    ("user-agent", "python-tiled/0.2.13rc1 (linux)"),
    ("x-tiled-request-id", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ("content-type", "application/octet-stream"),
    ("content-type", "text/csv; charset=utf-8"),
    ("content-encoding", "identity"),
    ("content-length", "32"),
];

const WORDS: [&str; 20] = [
    ",",
    ";",
    "=",
    "\"",
    "\\",
    "*",
    "/",
    "..",
    "%2F",
    "%00",
    "%ff",
    "?",
    "-",
    "q=0.001",
    "NaN",
    "é",
    " ",
    "\t",
    "18446744073709551616",
    "-1",
];

#[derive(Debug, Clone, TypeGenerator)]
struct Input {
    seed: u8,
    path: Option<Edits>,
    /// Without it, a stranger.
    key: bool,
    #[generator(produce::<Vec<(u8, Edits)>>().with().len(0usize..=4))]
    parameters: Vec<(u8, Edits)>,
    #[generator(produce::<Vec<Parameter>>().with().len(0usize..=2))]
    filters: Vec<Parameter>,
    #[generator(produce::<Vec<(u8, Edits)>>().with().len(0usize..=4))]
    headers: Vec<(u8, Edits)>,
    body: Edits,
}

fn pick<T>(list: &[T], number: u8) -> &T {
    &list[usize::from(number) % list.len()]
}

impl Input {
    /// `None` when HTTP itself would not let it through.
    fn request(&self) -> Option<Request<Body>> {
        let (method, path, body) = pick(&SEEDS, self.seed);
        let path = self.path.as_ref().map_or((*path).to_owned(), |edits| edits.text(&[path], &WORDS));
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (number, edits) in &self.parameters {
            let (name, value) = pick(&PARAMETERS, *number);
            pairs.push(((*name).into(), edits.text(&[value], &WORDS)));
        }
        pairs.extend(self.filters.iter().flat_map(Parameter::pairs));
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let mut request = Request::builder().method(method.clone()).uri(format!("{path}?{}", query.join("&")));
        if self.key {
            request = request.header("authorization", format!("Apikey {KEY}"));
        }
        for (number, edits) in &self.headers {
            let (name, value) = pick(&HEADERS, *number);
            if let Ok(value) = HeaderValue::from_bytes(&edits.apply(&[value], &WORDS)) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        request.body(Body::from(self.body.apply(&[body], &WORDS))).ok()
    }
}

struct Server {
    runtime: Runtime,
    router: Router,
    /// Holds the catalog and its data.
    _folder: tempfile::TempDir,
}

/// A request that made it panic is the last one.
impl RefUnwindSafe for Server {}

struct Reply {
    status: StatusCode,
    content_range: Option<String>,
    body: Vec<u8>,
}

impl Server {
    /// With an array `a`, a container `c`, a table `t` and a registered file `f`.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("f.bin"), FILE).unwrap();
        let uri = format!("file://localhost{}", files.join("f.bin").display());
        let catalog = CatalogSettings {
            at: NodePath::root(),
            uri: folder.path().join("catalog.db").to_str().unwrap().into(),
            create: true,
            node: NodePath::root(),
            create_node: false,
            writable: vec![folder.path().join("data")],
            readable: vec![files],
            metadata: None,
            specs: Vec::new(),
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let settings = Settings { catalogs: vec![catalog], ..Default::default() };
        let options = ServerOptions { api_key: Some(KEY.into()), ..ServerOptions::default() };
        let router = girih_server::router(runtime.block_on(Engine::start(settings)).unwrap(), options);
        let server = Self { runtime, router, _folder: folder };
        let array = r#"{"data_type": {"endianness": "little", "kind": "i", "itemsize": 4}, "chunks": [[2], [4]], "shape": [2, 4]}"#;
        let table = crate::bodies::small_table();
        for (endpoint, node) in [
            ("metadata", r#""id": "c", "structure_family": "container""#.to_owned()),
            ("metadata", source("a", "array", array, "")),
            ("metadata", source("t", "table", &table, "")),
            (
                "register",
                source(
                    "f",
                    "bytes",
                    "{}",
                    &format!(
                        r#""mimetype": "application/octet-stream", "management": "external", "assets": [{{"data_uri": "{uri}", "is_directory": false, "parameter": "data_uri", "num": null}}],"#
                    ),
                ),
            ),
        ] {
            let reply = server.ask(server.write(
                Method::POST,
                &format!("/api/v1/{endpoint}/"),
                "application/json",
                &format!("{{{node}}}"),
            ));
            assert_eq!(reply.status, 200, "{node}: {}", String::from_utf8_lossy(&reply.body));
        }
        let csv =
            server.write(Method::PUT, "/api/v1/table/partition/t?partition=0", "text/csv", "n,s\r\n1,x\r\n2,y\r\n");
        assert_eq!(server.ask(csv).status, 200);
        server
    }

    fn write(&self, method: Method, path: &str, media_type: &str, body: &str) -> Request<Body> {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Apikey {KEY}"));
        request.header("content-type", media_type).body(Body::from(body.to_owned())).unwrap()
    }

    /// Sends a request and reads the answer to its end.
    fn ask(&self, mut request: Request<Body>) -> Reply {
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let content_range = parts.headers.get("content-range").map(|value| value.to_str().unwrap().to_owned());
            let body = to_bytes(body, 64 << 20).await.unwrap_or_else(|e| panic!("the body broke off: {e:?} {parts:?}"));
            Reply { status: parts.status, content_range, body: body.to_vec() }
        })
    }
}

/// A node with a data source; `more` ends with a comma.
fn source(id: &str, family: &str, structure: &str, more: &str) -> String {
    format!(
        r#""id": "{id}", "structure_family": "{family}", "data_sources": [{{{more} "structure_family": "{family}", "structure": {structure}}}]"#
    )
}

#[test]
fn any_request() {
    let server = Server::start();
    check!().with_test_time(SHORT).with_type::<Input>().for_each(|input| {
        let Some(request) = input.request() else { return };
        let shown = format!("{} {}", request.method(), request.uri());
        let reply = limited(MEMORY, || server.ask(request));
        assert!(!reply.status.is_server_error(), "{shown}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
    });
}

/// A part of a file is the part that the answer says it is.
#[test]
fn ranges() {
    let server = Server::start();
    let about = server.ask(server.write(Method::GET, "/api/v1/metadata/f?include_data_sources=true", "text/plain", ""));
    let about: serde_json::Value = serde_json::from_slice(&about.body).unwrap();
    let id = about["data"]["attributes"]["data_sources"][0]["assets"][0]["id"].as_i64().unwrap();
    const WORDS: [&str; 9] = [",", "-", "=", "0", "9", "10", "18446744073709551615", "99999999999999999999", " "];
    check!().with_test_time(SHORT).with_type::<Edits>().for_each(|edits| {
        let mut request = server.write(Method::GET, &format!("/api/v1/asset/bytes/f?id={id}"), "text/plain", "");
        let range = edits.apply(&["bytes=2-5", "bytes=-3", "bytes=4-", "bytes=0-0, 8-"], &WORDS);
        let Ok(value) = HeaderValue::from_bytes(&range) else { return };
        request.headers_mut().insert("range", value);
        let reply = limited(64 << 20, || server.ask(request));
        let shown = String::from_utf8_lossy(&range);
        match (reply.status.as_u16(), reply.content_range) {
            (200, None) => assert_eq!(reply.body, FILE, "{shown}"),
            (206, Some(range)) => {
                let (first, last) =
                    range.strip_prefix("bytes ").unwrap().strip_suffix("/10").unwrap().split_once('-').unwrap();
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                assert_eq!(reply.body, FILE[first..=last], "{shown}");
            }
            // Several parts, each with a head of its own.
            (206, None) => assert!(reply.body.starts_with(b"\r\n--") && reply.body.ends_with(b"--\r\n"), "{shown}"),
            (416, Some(range)) => assert_eq!(range, "bytes */10", "{shown}"),
            (status, _) => assert_eq!(status, 400, "{shown}"),
        }
    });
}
