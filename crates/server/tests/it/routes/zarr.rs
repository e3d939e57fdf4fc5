//! `/zarr/v2` and `/zarr/v3`: the tree as stores of Zarr.

use reqwest::Method;
use serde_json::{Value, json};

use crate::sample::{array_structure, node};
use crate::support::TestServer;

/// A 7 by 5 array of little-endian u2 in chunks of 4 by 3, filled with its positions.
async fn counted(server: &TestServer) -> Vec<u8> {
    let structure = json!({
        "data_type": {"endianness": "little", "kind": "u", "itemsize": 2, "dt_units": null},
        "chunks": [[4, 3], [3, 2]], "shape": [7, 5], "dims": ["y", "x"], "resizable": false,
    });
    let mut array = node("a", "array", &structure);
    array["metadata"] = json!({"unit": "mm"});
    server.create("c", &array).await;
    let items: Vec<u8> = (0..35u16).flat_map(u16::to_le_bytes).collect();
    let stored = server.send(Method::PUT, "/api/v1/array/full/c/a", "application/octet-stream", items.clone()).await;
    stored.ok();
    items
}

/// The items of the chunk at `(row, column)` of the grid, filled up with zeros.
fn expected(row: usize, column: usize) -> Vec<u8> {
    let at = |y: usize, x: usize| if y < 7 && x < 5 { (5 * y + x) as u16 } else { 0 };
    let places = (0..4).flat_map(|y| (0..3).map(move |x| (4 * row + y, 3 * column + x)));
    places.flat_map(|(y, x)| at(y, x).to_le_bytes()).collect()
}

async fn prepared() -> TestServer {
    let server = TestServer::start().await;
    server.create("", &json!({"id": "c", "structure_family": "container", "metadata": {"color": "red"}})).await;
    counted(&server).await;
    server
}

#[tokio::test]
async fn descriptions_of_both_versions() {
    let server = prepared().await;
    let array = server.read("/zarr/v3/c/a/zarr.json").await.ok();
    assert_eq!((&array["node_type"], &array["shape"]), (&json!("array"), &json!([7, 5])));
    assert_eq!(array["chunk_grid"]["configuration"]["chunk_shape"], json!([4, 3]));
    assert_eq!((&array["dimension_names"], &array["attributes"]), (&json!(["y", "x"]), &json!({"unit": "mm"})));
    assert_eq!(server.read("/zarr/v3/c/a").await.ok(), array);

    let group = server.read("/zarr/v3/c/zarr.json").await.ok();
    assert_eq!((&group["node_type"], &group["attributes"]), (&json!("group"), &json!({"color": "red"})));
    assert_eq!(group["consolidated_metadata"]["metadata"]["a"], array);
    let root = server.read("/zarr/v3/zarr.json").await.ok();
    let members: Vec<&String> = root["consolidated_metadata"]["metadata"].as_object().unwrap().keys().collect();
    assert_eq!(members, ["c", "c/a"]);

    let old = server.read("/zarr/v2/c/a/.zarray").await.ok();
    assert_eq!((&old["dtype"], &old["chunks"], &old["shape"]), (&json!("<u2"), &json!([4, 3]), &json!([7, 5])));
    assert_eq!(server.read("/zarr/v2/c/a/.zattrs").await.ok(), json!({"unit": "mm", "_ARRAY_DIMENSIONS": ["y", "x"]}));
    assert_eq!(server.read("/zarr/v2/c/.zgroup").await.ok(), json!({"zarr_format": 2}));
    let all = server.read("/zarr/v2/.zmetadata").await.ok();
    assert_eq!(all["metadata"]["c/a/.zarray"], old);
    assert_eq!(all["metadata"]["c/.zattrs"], json!({"color": "red"}));
    server.read("/zarr/v2/c/.zarray").await.refused(404, "is a group");
    server.read("/zarr/v2/c/a/.zgroup").await.refused(404, "is an array");
    server.read("/zarr/v3/c/nothing/zarr.json").await.refused(404, "No such entry");
}

#[tokio::test]
async fn chunks_are_whole_also_at_the_edge() {
    let server = prepared().await;
    for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for path in [format!("/zarr/v3/c/a/c/{row}/{column}"), format!("/zarr/v2/c/a/{row}.{column}")] {
            let chunk = server.read_with(&path, &[("accept-encoding", "gzip, zstd")]).await;
            assert_eq!((chunk.status, chunk.header("content-encoding").as_str()), (200, ""), "{chunk:?}");
            assert_eq!(chunk.header("content-length"), chunk.body.len().to_string());
            assert_eq!(zstd::decode_all(&*chunk.body).unwrap(), expected(row, column), "{path}");
        }
    }
    server.read("/zarr/v3/c/a/c/2/0").await.refused(404, "There is no chunk [2, 0]");
    server.read("/zarr/v3/c/a/c/0").await.refused(400, "inconsistent with the shape");
    server.read("/zarr/v3/c/a/c/a/b").await.refused(404, "No such entry");
    server.read("/zarr/v2/c/a/0.0.0").await.refused(400, "inconsistent with the shape");
    server.read("/zarr/v2/c/a/99999999999999999999.0").await.refused(404, "No such entry");
    server.get("/zarr/v3/c/a/c/0/0").await.refused(401, "read:");
}

#[tokio::test]
async fn parts_of_chunks_and_copies_that_are_current() {
    let server = prepared().await;
    let path = "/zarr/v3/c/a/c/0/0";
    let whole = server.read(path).await;
    let part = server.read_with(path, &[("range", "bytes=2-5")]).await;
    assert_eq!((part.status, part.header("content-range")), (206, format!("bytes 2-5/{}", whole.body.len())));
    assert_eq!(part.body, whole.body[2..6]);
    assert_eq!(server.read_with(path, &[("range", "bytes=9999-")]).await.status, 416);
    for twice in ["/zarr/v3/c/a/c/00/0", "/zarr/v3/c/a/c/0/+0", "/zarr/v2/c/a/0.00", "/zarr/v2/c/a/0."] {
        server.read(twice).await.refused(404, "No such entry");
    }
    let etag = whole.header("etag");
    assert_eq!(server.read_with(path, &[("if-none-match", &etag)]).await.status, 304);
    let bytes = vec![1; 70];
    server.send(Method::PUT, "/api/v1/array/full/c/a", "application/octet-stream", bytes).await.ok();
    let fresh = server.read_with(path, &[("if-none-match", &etag)]).await;
    assert_eq!((fresh.status, zstd::decode_all(&*fresh.body).unwrap()), (200, vec![1; 24]));
}

#[tokio::test]
async fn what_was_never_written_is_not_there() {
    let server = TestServer::start().await;
    server.create("", &node("empty", "array", &array_structure())).await;
    let axes = array_structure()["shape"].as_array().unwrap().len();
    let chunk = format!("/zarr/v3/empty/c/{}", vec!["0"; axes].join("/"));
    server.read(&chunk).await.refused(404, "has not been written");
}

#[tokio::test]
async fn groups_list_their_members() {
    let server = prepared().await;
    for n in 0..3 {
        let container = json!({"id": format!("n {n}"), "structure_family": "container"});
        server.create("c", &container).await;
    }
    let listed = server.read("/zarr/v2/c").await.ok();
    let at = |rest: &str| format!("http://{}/zarr/v2/c/{rest}", server.address);
    assert_eq!(listed, json!([at("a"), at("n%200"), at("n%201"), at("n%202")]));
    assert_eq!(server.read("/zarr/v3/c/n%200").await.ok(), json!([]));
    assert_eq!(server.read("/zarr/v2/c/a").await.ok(), json!({}));
    // A node may have the name of the directory of chunks.
    server.create("c", &json!({"id": "c", "structure_family": "container"})).await;
    assert_eq!(server.read("/zarr/v3/c/c/zarr.json").await.ok()["node_type"], "group");
    let redirect = server.read("/zarr/v3").await;
    assert_eq!(redirect.status, 307, "{redirect:?}");
    assert!(matches!(server.read("/zarr/v3/").await.ok(), Value::Array(_)));
}
