//! `/node/full`: the former name of `/container/full` and `/table/full`.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn it_reads_containers_and_tables() {
    let server = TestServer::start().await;
    server.array("a").await;
    server.table("t", &["n,x,s\n1,0.5,r\n"]).await;
    assert_eq!(server.read("/api/v1/node/full/t?format=json&field=n").await.ok(), json!({"n": [1]}));
    for query in ["format=json", "format=csv", "format=application/x-parquet"] {
        let (old, new) = (format!("/api/v1/node/full/t?{query}"), format!("/api/v1/table/full/t?{query}"));
        assert_eq!(server.read(&old).await.body, server.read(&new).await.body, "{query}");
    }
    let tree = server.read("/api/v1/node/full/?format=json").await.ok();
    assert_eq!(tree, server.read("/api/v1/container/full/?format=json").await.ok());
    server.read("/api/v1/node/full/a").await.refused(404, "array");
}
