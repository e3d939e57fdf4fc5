//! `/search`, `/search-deep`: lists, filters, orders, pages.

use serde_json::{Value, json};

use crate::support::TestServer;

/// Containers `c0` to `c4` with metadata, `deep` with a child of its own, and an array.
async fn server() -> TestServer {
    let server = TestServer::start().await;
    for (n, color) in ["red", "blue", "red", "green", "blue"].into_iter().enumerate() {
        server.container("", &format!("c{n}"), json!({"n": n, "color": color, "a.b": n % 2 == 0})).await;
    }
    server.container("", "deep", json!({})).await;
    server.container("deep", "child", json!({"n": 9, "color": "red"})).await;
    server.array("arr").await;
    server
}

fn keys(reply: &Value) -> Vec<&str> {
    reply["data"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect()
}

async fn check(server: &TestServer, query: &str, expected: &[&str]) {
    let reply = server.read(&format!("/api/v1/search/?{query}")).await.ok();
    assert_eq!(keys(&reply), expected, "{query}");
}

#[tokio::test]
async fn children_are_listed_and_searched() {
    let server = server().await;
    check(&server, "", &["c0", "c1", "c2", "c3", "c4", "deep", "arr"]).await;
    let eq = |key: &str, value: &str| format!("filter[eq][condition][key]={key}&filter[eq][condition][value]={value}");
    check(&server, &eq("color", "\"red\""), &["c0", "c2"]).await;
    check(&server, &eq("n", "2.0"), &["c2"]).await;
    check(&server, &eq("a%5C.b", "false"), &["c1", "c3"]).await;
    check(&server, &format!("{}&{}", eq("color", "\"red\""), eq("n", "0")), &["c0"]).await;
    let comparison = "filter[comparison][condition]";
    check(&server, &format!("{comparison}[operator]=ge&{comparison}[key]=n&{comparison}[value]=3"), &["c3", "c4"])
        .await;
    check(&server, "filter[structure_family][condition][value]=array", &["arr"]).await;
    check(&server, "filter[keys_filter][condition][keys]=[\"c1\",\"nope\"]", &["c1"]).await;
    check(&server, "filter[fulltext][condition][text]=GREEN", &["c3"]).await;
    check(&server, &eq("color", "\"nope\""), &[]).await;
    for (query, status, says) in [
        ("filter[nope][condition][key]=a", 400, "There is no query \"nope\""),
        ("filter[eq][condition][key]=a", 400, "needs all its fields"),
        ("filter[eq][condition][key]=a&filter[eq][condition][value]=red", 400, "Texts need quotes"),
        ("filter[regex][condition][key]=color&filter[regex][condition][pattern]=(", 400, "regular expression"),
        ("sort=color,n", 422, "repeat the parameter"),
        ("sort=n&sort=-n", 400, "Duplicate sorting key: n"),
        ("page[cursor]=x", 400, "does not belong to this sort order"),
        ("page[cursor]=1&page[offset]=1", 400, "Cannot specify both"),
    ] {
        server.read(&format!("/api/v1/search/?{query}")).await.refused(status, says);
    }
    server.read("/api/v1/search/nope").await.refused(404, "No such entry");
    server.read("/api/v1/search/arr").await.refused(404, "array");
}

#[tokio::test]
async fn children_are_sorted() {
    let server = server().await;
    for (sort, expected) in [
        ("n", ["c0", "c1", "c2", "c3", "c4", "deep", "arr"]),
        ("-n", ["c4", "c3", "c2", "c1", "c0", "deep", "arr"]),
        ("color&sort=-n", ["c4", "c1", "c3", "c2", "c0", "deep", "arr"]),
        ("-metadata.color", ["c0", "c2", "c3", "c1", "c4", "deep", "arr"]),
        ("-", ["arr", "deep", "c4", "c3", "c2", "c1", "c0"]),
        ("id", ["arr", "c0", "c1", "c2", "c3", "c4", "deep"]),
    ] {
        check(&server, &format!("sort={sort}"), &expected).await;
    }
}

/// Follows `next` from page to page.
async fn walk(server: &TestServer, start: &str) -> Vec<String> {
    let (mut found, mut url) = (Vec::new(), start.to_owned());
    loop {
        let page = server.read(&url).await.ok();
        found.extend(keys(&page).into_iter().map(String::from));
        let links = &page["links"];
        assert!(links["self"].as_str().unwrap().contains("page[limit]=2"), "{links}");
        let Some(next) = links["next"].as_str() else { return found };
        assert!(found.len() < 20, "{found:?}");
        url = next.strip_prefix(&format!("http://{}", server.address)).unwrap().to_owned();
    }
}

#[tokio::test]
async fn pages_follow_each_other_and_keep_what_was_asked() {
    let server = server().await;
    let all = ["c0", "c1", "c2", "c3", "c4", "deep", "arr"];
    assert_eq!(walk(&server, "/api/v1/search/?page[limit]=2").await, all);
    assert_eq!(walk(&server, "/api/v1/search/?page[limit]=2&page[offset]=3").await, all[3..]);
    let sorted = ["c4", "c3", "c2", "c1", "c0", "deep", "arr"];
    assert_eq!(walk(&server, "/api/v1/search/?page[limit]=2&sort=-n").await, sorted);
    assert_eq!(walk(&server, "/api/v1/search/?page[limit]=2&sort=-n&page[offset]=3").await, sorted[3..]);
    let filter = "filter[in][condition][key]=color&filter[in][condition][value]=[\"red\",\"blue\"]";
    assert_eq!(
        walk(&server, &format!("/api/v1/search/?page[limit]=2&sort=-n&{filter}")).await,
        ["c4", "c2", "c1", "c0"]
    );
    assert_eq!(walk(&server, &format!("/api/v1/search/?page[limit]=2&{filter}")).await, ["c0", "c1", "c2", "c4"]);
    let deep = walk(&server, "/api/v1/search-deep/?page[limit]=2").await;
    assert_eq!(deep, ["c0", "c1", "c2", "c3", "c4", "deep", "child", "arr"]);
}

/// Old clients look for an offset there; the cursor is what keeps deep pages cheap, and exact while others write.
#[tokio::test]
async fn sorted_pages_go_on_by_cursor_and_tell_the_offset() {
    let server = server().await;
    let next = |page: &Value| {
        let link = page["links"]["next"].as_str().unwrap();
        link.strip_prefix(&format!("http://{}", server.address)).unwrap().to_owned()
    };
    let page = server.read("/api/v1/search/?page[limit]=2&sort=n").await.ok();
    let second = next(&page);
    assert!(second.contains("page[offset]=2") && second.contains("page[cursor]="), "{second}");
    assert_eq!(keys(&server.read(&second).await.ok()), ["c2", "c3"]);
    let by_offset = server.read("/api/v1/search/?page[limit]=2&sort=n&page[offset]=2").await.ok();
    assert_eq!(keys(&by_offset), ["c2", "c3"]);
    let by_cursor = second.replace("page[offset]=2&", "");
    let page = server.read(&by_cursor).await.ok();
    assert_eq!(keys(&page), ["c2", "c3"]);
    assert!(!next(&page).contains("page[offset]"), "{page}");
}

#[tokio::test]
async fn counts_cost_no_page() {
    let server = server().await;
    for (query, count, shown) in
        [("", 7, 7), ("page[limit]=0", 7, 0), ("fields=count", 7, 0), ("page[offset]=99", 7, 0)]
    {
        let reply = server.read(&format!("/api/v1/search/?{query}")).await.ok();
        assert_eq!((&reply["meta"]["count"], keys(&reply).len()), (&json!(count), shown), "{query}");
        assert_eq!(reply["links"]["next"], Value::Null, "{query}");
    }
}

#[tokio::test]
async fn descendants_are_found_to_a_depth() {
    let server = server().await;
    let filter = "filter[eq][condition][key]=color&filter[eq][condition][value]=\"red\"";
    let deep = server.read(&format!("/api/v1/search-deep/?{filter}")).await.ok();
    assert_eq!(keys(&deep), ["c0", "c2", "child"]);
    assert_eq!(deep["data"][2]["attributes"]["ancestors"], json!(["deep"]));
    let shallow = server.read(&format!("/api/v1/search-deep/?{filter}&max_depth=1")).await.ok();
    assert_eq!(keys(&shallow), ["c0", "c2"]);
    let below = server.read("/api/v1/search-deep/deep").await.ok();
    assert_eq!((keys(&below), &below["meta"]["count"]), (vec!["child"], &json!(1)));
}

#[tokio::test]
async fn entries_are_shown_as_asked() {
    let server = server().await;
    let reply =
        server.read("/api/v1/search/?fields=metadata&select_metadata=n&omit_links=true&page[limit]=1").await.ok();
    let node = &reply["data"][0];
    assert_eq!(node["attributes"]["metadata"], json!({"selected": 0}));
    assert_eq!((&node["links"], &node["attributes"]["specs"]), (&Value::Null, &Value::Null));
    let reply = server.read("/api/v1/search/?include_data_sources=true").await.ok();
    assert_eq!(reply["data"][6]["attributes"]["data_sources"][0]["mimetype"], "application/x-zarr");
    assert_eq!(reply["data"][0]["attributes"]["data_sources"], json!([]));
}
