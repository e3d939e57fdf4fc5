//! `/table/full`, `/table/partition`: rows in and out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::writer::FileWriter;
use girih_model::TableStructure;
use reqwest::Method;
use serde_json::{Value, json};

use crate::sample::{node, table_structure};
use crate::support::TestServer;

const FULL: &str = "/api/v1/table/full/t";
const PARTITION: &str = "/api/v1/table/partition/t";
const FIRST: &str = "n,x,s\r\n1,0.5,a\r\n2,1.5,b\r\n";
const SECOND: &str = "n,x,s\r\n3,,\"c,d\"\r\n";

async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.table("t", &[FIRST, SECOND]).await;
    server
}

async fn csv(server: &TestServer, path: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let reply = server.read(&format!("{path}{separator}format=csv")).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.text().replace('\r', "")
}

#[tokio::test]
async fn whole_tables_partitions_and_columns() {
    let server = server().await;
    for (path, expected) in [
        (FULL.to_owned(), "n,x,s\n1,0.5,a\n2,1.5,b\n3,,\"c,d\"\n"),
        (format!("{PARTITION}?partition=0"), "n,x,s\n1,0.5,a\n2,1.5,b\n"),
        (format!("{PARTITION}?partition=1"), "n,x,s\n3,,\"c,d\"\n"),
        (format!("{FULL}?column=s&column=n"), "s,n\na,1\nb,2\n\"c,d\",3\n"),
        (format!("{PARTITION}?partition=1&column=n"), "n\n3\n"),
        (format!("{PARTITION}?partition=1&field=n"), "n\n3\n"),
        (format!("{FULL}?format=csv;header=absent&column=n"), "1\n2\n3\n"),
    ] {
        if path.contains("header=absent") {
            assert_eq!(server.read(&path).await.text().replace('\r', ""), expected);
        } else {
            assert_eq!(csv(&server, &path).await, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn columns_can_be_named_in_the_body() {
    let server = server().await;
    for (path, body, expected) in [
        (FULL.to_owned(), "[\"n\"]", "n\n1\n2\n3\n"),
        (format!("{PARTITION}?partition=1"), "[\"s\", \"n\"]", "s,n\n\"c,d\",3\n"),
        (format!("{PARTITION}?partition=1"), "null", "n,x,s\n3,,\"c,d\"\n"),
        (format!("{PARTITION}?partition=1"), "", "n,x,s\n3,,\"c,d\"\n"),
    ] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let reply = server.send(Method::POST, &format!("{path}{separator}format=csv"), "application/json", body).await;
        assert_eq!((reply.status, reply.text().replace('\r', "")), (200, expected.into()), "{path} {body}");
    }
    server.send(Method::POST, FULL, "application/json", "[]").await.refused(422, "The list of names is empty");
    server.send(Method::POST, FULL, "application/json", "[\"zz\"]").await.refused(400, "zz");
    server.send(Method::POST, FULL, "application/json", "{}").await.refused(422, "does not fit");
}

#[tokio::test]
async fn what_does_not_exist_is_refused() {
    let server = server().await;
    for (path, status, says) in [
        (format!("{FULL}?column=zz"), 400, "zz"),
        (format!("{FULL}?column=n&column=zz"), 400, "zz"),
        (format!("{PARTITION}?partition=0&column=zz"), 400, "zz"),
        (format!("{PARTITION}?partition=2"), 400, "Partition out of range"),
        (PARTITION.into(), 422, "\"partition\" is required"),
        (format!("{PARTITION}?partition=x"), 422, "not an integer"),
        (format!("{FULL}?format=nope"), 406, "Supported: application/vnd.apache.arrow.file"),
        (format!("{FULL}/zz"), 404, "No such entry"),
        ("/api/v1/array/full/t".into(), 404, "table"),
    ] {
        server.read(&path).await.refused(status, says);
    }
}

#[tokio::test]
async fn every_format_is_what_it_says() {
    let server = server().await;
    let about = server.read("/api/v1/").await.ok();
    for format in about["formats"]["table"].as_array().unwrap() {
        let format = format.as_str().unwrap();
        let reply = server.read(&format!("{FULL}?format={format}")).await;
        assert_eq!(reply.status, 200, "{format}: {reply:?}");
        assert!(reply.header("content-type").starts_with(format), "{reply:?}");
    }
    let arrow = server.read(FULL).await;
    assert_eq!(arrow.header("content-type"), "application/vnd.apache.arrow.file");
    assert!(arrow.body.starts_with(b"ARROW1") && arrow.body.ends_with(b"ARROW1"));
    let json = server.read(&format!("{FULL}?format=json")).await.ok();
    assert_eq!(json, json!({"n": [1, 2, 3], "x": [0.5, 1.5, null], "s": ["a", "b", "c,d"]}));
}

#[tokio::test]
async fn a_column_is_an_array() {
    let server = server().await;
    let node = server.read("/api/v1/metadata/t/n").await.ok()["data"].clone();
    let attributes = &node["attributes"];
    assert_eq!((&node["id"], &attributes["ancestors"]), (&json!("n"), &json!(["t"])));
    assert_eq!((&attributes["structure_family"], &attributes["structure"]["shape"]), (&json!("array"), &json!([3])));
    assert_eq!(server.read("/api/v1/array/full/t/n?format=json").await.ok(), json!([1, 2, 3]));
    assert_eq!(server.read("/api/v1/array/full/t/n?slice=::-2&format=json").await.ok(), json!([3, 1]));
    server.delete("/api/v1/metadata/t/n").await.refused(405, "not support");
    server.send_json(Method::PUT, "/api/v1/metadata/t/n", &json!({"metadata": {}})).await.refused(405, "not support");
    let write = server.send(Method::PUT, "/api/v1/array/full/t/n", "application/octet-stream", vec![0; 24]).await;
    write.refused(405, "not support");
}

#[tokio::test]
async fn what_one_format_gives_another_takes() {
    let server = server().await;
    for format in ["application/vnd.apache.arrow.file", "application/x-parquet", "text/csv"] {
        let body = server.read(&format!("{PARTITION}?partition=1&format={format}")).await.body;
        let written = server.send(Method::PUT, &format!("{PARTITION}?partition=0"), format, body).await;
        assert_eq!((written.status, written.text()), (200, "null"), "{format}: {written:?}");
        assert_eq!(csv(&server, FULL).await, "n,x,s\n3,,\"c,d\"\n3,,\"c,d\"\n", "{format}");
    }
}

#[tokio::test]
async fn rows_are_appended() {
    let server = server().await;
    let tag = server.read(FULL).await.header("etag");
    for n in 3..6 {
        let row = format!("n,x,s\n{n},,z\n");
        let reply = server.send(Method::PATCH, &format!("{PARTITION}?partition=0"), "text/csv", row).await;
        assert_eq!((reply.status, reply.text()), (200, "null"), "{reply:?}");
    }
    assert_eq!(csv(&server, &format!("{PARTITION}?partition=0&column=n")).await, "n\n1\n2\n3\n4\n5\n");
    assert_eq!(csv(&server, &format!("{PARTITION}?partition=1&column=n")).await, "n\n3\n");
    assert_eq!(server.read_with(FULL, &[("if-none-match", &tag)]).await.status, 200);
    assert_eq!(server.read("/api/v1/array/full/t/n?format=json").await.ok(), json!([1, 2, 3, 4, 5, 3]));
}

#[tokio::test]
async fn bodies_that_do_not_fit_change_nothing() {
    let server = server().await;
    let before = csv(&server, FULL).await;
    for method in [Method::PUT, Method::PATCH] {
        for (query, content_type, body, status, says) in [
            ("?partition=0", "text/csv", "n,x\n1,2\n", 422, "2 fields, but the table has 3 columns"),
            ("?partition=0", "text/csv", "n,x,s,n\n1,2,3,4\n", 422, "4 fields"),
            ("?partition=0", "text/csv", "n,x,n\n1,2,3\n", 422, "\"n\""),
            ("?partition=0", "text/csv", "n,x,y\n1,2,3\n", 422, "not a value of the type Int64"),
            ("?partition=0", "text/csv", "n,x,s\nred,2,3\n", 422, "\"n\""),
            ("?partition=0", "text/csv", "n,x,s\n1,2,3\n1,2\n", 422, "2 fields"),
            ("?partition=0", "text/csv", "n,x,s\n1,2,\"3\n", 422, "quote"),
            ("?partition=0", "application/x-parquet", "PAR1", 422, "not a Parquet file"),
            ("?partition=0", "application/vnd.apache.arrow.file", "ARROW1", 422, "not a valid Arrow file"),
            ("?partition=0", "application/octet-stream", "x", 415, "must be one of"),
            ("?partition=0", "application/json", "{}", 415, "must be one of"),
            ("?partition=2", "text/csv", FIRST, 400, "Partition out of range"),
            ("", "text/csv", FIRST, 422, "\"partition\" is required"),
        ] {
            server.send(method.clone(), &format!("{PARTITION}{query}"), content_type, body).await.refused(status, says);
        }
    }
    server.send(Method::PUT, FULL, "text/csv", FIRST).await.refused(422, "2 partitions");
    assert_eq!(csv(&server, FULL).await, before);
}

#[tokio::test]
async fn a_table_in_one_piece_is_written_at_once() {
    let server = TestServer::start().await;
    server.table("t", &[FIRST]).await;
    for (path, body, expected) in [
        (FULL.to_owned(), SECOND, "n,x,s\n3,,\"c,d\"\n"),
        ("/api/v1/node/full/t".into(), FIRST, "n,x,s\n1,0.5,a\n2,1.5,b\n"),
        (format!("{FULL}?persist=false"), SECOND, "n,x,s\n1,0.5,a\n2,1.5,b\n"),
    ] {
        assert_eq!(server.send(Method::PUT, &path, "text/csv", body).await.ok(), Value::Null);
        assert_eq!(csv(&server, FULL).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_new_table_has_no_rows() {
    let server = TestServer::start().await;
    for mimetype in ["application/x-parquet", "application/vnd.apache.arrow.file"] {
        let mut request = node("t", "table", &table_structure(2));
        request["data_sources"][0]["mimetype"] = mimetype.into();
        let created = server.create("", &request).await;
        assert_eq!(created["data_sources"][0]["mimetype"], mimetype);
        assert_eq!(csv(&server, FULL).await, "n,x,s\n");
        server.send(Method::PUT, &format!("{PARTITION}?partition=1"), "text/csv", SECOND).await.ok();
        assert_eq!(csv(&server, FULL).await, "n,x,s\n3,,\"c,d\"\n");
        server.delete("/api/v1/metadata/t?external_only=false").await.ok();
    }
}

#[tokio::test]
async fn a_write_that_is_repeated_with_its_key_is_done_once() {
    let server = server().await;
    let append = async |partition: u8, key: &str| {
        let path = format!("{PARTITION}?partition={partition}");
        let request = server.owner(Method::PATCH, &path).header("content-type", "text/csv");
        let reply =
            crate::support::Reply::of(request.header("idempotency-key", key).body("n,x,s\r\n9,9.5,z\r\n")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    append(1, "one").await;
    append(1, "one").await;
    assert_eq!(csv(&server, &format!("{FULL}?column=n")).await, "n\n1\n2\n3\n9\n");
    append(0, "one").await;
    append(1, "two").await;
    assert_eq!(csv(&server, &format!("{FULL}?column=n")).await, "n\n1\n2\n9\n3\n9\n9\n");
    tokio::join!(append(1, "three"), append(1, "three"));
    assert_eq!(csv(&server, &format!("{PARTITION}?partition=1&column=n")).await, "n\n3\n9\n9\n9\n");
    let request = server.owner(Method::PATCH, &format!("{PARTITION}?partition=1")).header("content-type", "text/csv");
    let long = "x".repeat(256);
    crate::support::Reply::of(request.header("idempotency-key", long).body(SECOND))
        .await
        .refused(400, "Idempotency-Key");
}

/// As Dask makes them: an empty table tells the names of the columns, the first rows what they hold.
#[tokio::test]
async fn partitions_of_columns_without_a_type_are_written_side_by_side() {
    let server = TestServer::start().await;
    let fields = vec![Field::new("n", DataType::Int64, true), Field::new("s", DataType::Null, true)];
    let structure = serde_json::to_value(TableStructure::new(Arc::new(Schema::new(fields)), 8)).unwrap();
    server.create("", &node("t", "table", &structure)).await;
    let rows = |n: i64| {
        let columns: [(&str, ArrayRef); 2] =
            [("n", Arc::new(Int64Array::from(vec![n]))), ("s", Arc::new(StringArray::from(vec![format!("text {n}")])))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let writes = (0..8).map(|n| {
        let (server, path) = (&server, format!("{PARTITION}?partition={n}"));
        async move { server.send(Method::PUT, &path, "application/vnd.apache.arrow.file", rows(n)).await }
    });
    for reply in futures::future::join_all(writes).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let all: String = (0..8).map(|n| format!("{n},text {n}\n")).collect();
    assert_eq!(csv(&server, FULL).await, format!("n,s\n{all}"));
}
