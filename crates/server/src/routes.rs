//! Every route on one page. To add one: write its handler in `routes/<topic>.rs` and its line here; the
//! documentation, OPTIONS, HEAD and 405 follow, and nothing is reachable without the scopes named here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use girih_engine::Permission::{
    CreateNode, DeleteNode, DeleteRevision, Metrics, ReadData, ReadMetadata, Register, WriteData, WriteMetadata,
};

use crate::App;
use crate::ask::Visit;
use crate::endpoint::Content::{Data, Media, Nodes, Optional, Schema};
use crate::endpoint::{Endpoint, Needs, method_router};
use crate::error::detail;

mod about;
mod array;
mod asset;
mod bulk;
mod metadata;
mod metrics;
mod pages;
pub(crate) mod parameters;
mod revisions;
mod search;
mod source;
mod stream;
mod table;
mod zarr;

use parameters as p;

pub(crate) use about::LIBRARY_VERSION;
pub(crate) use stream::MAX_WATCHERS;

/// First segments of all our paths.
pub(crate) const TOP: [&str; 6] = ["api", "docs", "favicon.ico", "healthz", "openapi.json", "zarr"];

/// Parts of the protocol that are still to come.
const NOT_YET: [&str; 6] =
    ["/api/v1/awkward/", "/api/v1/ragged/", "/api/v1/webhooks/", "/api/v1/auth/", "/api/graphql", "/ui"];

#[rustfmt::skip]
pub(crate) fn table() -> Vec<Endpoint> {
    const NOBODY: Needs = Needs::Nothing;
    const METADATA: Needs = Needs::All(&[ReadMetadata]);
    const DATA: Needs = Needs::All(&[ReadData]);
    const STORE: Needs = Needs::All(&[WriteData]);
    const EDIT: Needs = Needs::All(&[WriteMetadata]);
    macro_rules! endpoint {
        ($method:ident $path:literal $needs:expr, $handler:expr, $says:literal) => {
            Endpoint::new(Method::$method, $path, $needs, $handler).says($says)
        };
    }
    vec![
        endpoint!(GET    "/" NOBODY, pages::landing, "A page for people who come with a browser").gives(Media("text/html")),
        endpoint!(GET    "/docs" NOBODY, pages::docs, "This documentation, to read").gives(Media("text/html")),
        endpoint!(GET    "/docs/docs.js" NOBODY, pages::script, "Script of the documentation").gives(Media("text/javascript")),
        endpoint!(GET    "/docs/style.css" NOBODY, pages::style, "Style of the pages").gives(Media("text/css")),
        endpoint!(GET    "/openapi.json" NOBODY, pages::openapi, "This documentation, for programs").gives(Media("application/json")),
        endpoint!(GET    "/favicon.ico" NOBODY, pages::favicon, "The icon").gives(Media("image/svg+xml")),

        endpoint!(GET    "/api/v1/" NOBODY, about::about, "What this server is and can do").gives(Schema("About")),

        endpoint!(GET    "/api/v1/metadata/{path}" METADATA, metadata::read, "Describe a node").query(p::NODE).gives(Schema("NodeResponse")),
        endpoint!(POST   "/api/v1/metadata/{path}" Needs::All(&[WriteMetadata, CreateNode]), metadata::create, "Create a node below this one").takes(Schema("PostMetadataRequest")).gives(Schema("CreatedNode")),
        endpoint!(PUT    "/api/v1/metadata/{path}" EDIT, metadata::replace, "Replace metadata, specs or access tags").query(p::UPDATE).takes(Schema("PutMetadataRequest")).gives(Schema("UpdatedNode")),
        endpoint!(PATCH  "/api/v1/metadata/{path}" EDIT, metadata::patch, "Change metadata, specs or access tags by a patch").query(p::UPDATE).takes(Schema("PatchMetadataRequest")).gives(Schema("UpdatedNode")),
        endpoint!(DELETE "/api/v1/metadata/{path}" Needs::All(&[DeleteNode, DeleteRevision]), metadata::delete, "Delete a node").query(p::DELETE).gives(Schema("Null")),
        endpoint!(POST   "/api/v1/bulk/{path}" Needs::All(&[WriteMetadata, CreateNode]), bulk::create, "Create many nodes below this one, in one transaction").query(p::BULK).takes(Nodes).gives(Schema("BulkResponse")),
        endpoint!(POST   "/api/v1/register/{path}" Needs::All(&[WriteMetadata, CreateNode, Register]), metadata::register, "Create a node whose data lies in existing files").takes(Schema("PostMetadataRequest")).gives(Schema("CreatedNode")),
        endpoint!(PUT    "/api/v1/data_source/{path}" Needs::All(&[WriteMetadata, Register]), source::replace, "Replace the description of a data source").query(p::DATA_SOURCE).takes(Schema("PutDataSourceRequest")).gives(Schema("Null")),

        endpoint!(GET    "/api/v1/search/{path}" METADATA, search::children, "List or search the children of a container").query(p::SEARCH).gives(Schema("NodesResponse")),
        endpoint!(GET    "/api/v1/search-deep/{path}" METADATA, search::descendants, "Search all that lies below a container").query(p::SEARCH_DEEP).gives(Schema("NodesResponse")),
        endpoint!(GET    "/api/v1/distinct/{path}" METADATA, search::distinct, "Distinct values among the children of a container").query(p::DISTINCT).gives(Schema("DistinctResponse")),
        endpoint!(GET    "/api/v1/revisions/{path}" METADATA, revisions::list, "How metadata and specs were before").query(p::REVISIONS).gives(Schema("RevisionsResponse")),
        endpoint!(DELETE "/api/v1/revisions/{path}" Needs::All(&[DeleteRevision]), revisions::delete, "Forget a revision").query(p::REVISION).gives(Schema("Null")),

        endpoint!(GET    "/api/v1/array/full/{path}" DATA, array::read, "Read an array, or a slice of it").query(p::ARRAY).gives(Data),
        endpoint!(PUT    "/api/v1/array/full/{path}" STORE, array::write, "Write a whole array").query(p::PERSIST).takes(Data).gives(Schema("Null")),
        endpoint!(PATCH  "/api/v1/array/full/{path}" STORE, array::patch, "Write a part of an array, which may grow").query(p::PATCH).takes(Data).gives(Schema("ArrayStructure")),
        endpoint!(GET    "/api/v1/array/block/{path}" DATA, array::read_block, "Read a block (chunk) of an array, or a slice of the block").query(p::BLOCK).gives(Data),
        endpoint!(PUT    "/api/v1/array/block/{path}" STORE, array::write_block, "Write a block (chunk) of an array").query(p::WRITE_BLOCK).takes(Data).gives(Schema("Null")),

        endpoint!(GET    "/api/v1/table/full/{path}" DATA, table::read, "Read a table, or some of its columns").query(p::TABLE).gives(Data),
        endpoint!(POST   "/api/v1/table/full/{path}" DATA, table::read_by_body, "Read a table; for more columns than fit into a URL").query(p::FORMAT).takes(Optional("Names")).gives(Data),
        endpoint!(PUT    "/api/v1/table/full/{path}" STORE, table::write, "Write a whole table").query(p::PERSIST).takes(Data).gives(Schema("Null")),
        endpoint!(GET    "/api/v1/table/partition/{path}" DATA, table::read_partition, "Read a partition of a table").query(p::READ_PARTITION).gives(Data),
        endpoint!(POST   "/api/v1/table/partition/{path}" DATA, table::read_partition_by_body, "Read a partition; for more columns than fit into a URL").query(p::PARTITION_FORMAT).takes(Optional("Names")).gives(Data),
        endpoint!(PUT    "/api/v1/table/partition/{path}" STORE, table::write_partition, "Write a partition of a table").query(p::PARTITION).takes(Data).gives(Schema("Null")),
        endpoint!(PATCH  "/api/v1/table/partition/{path}" STORE, table::append_partition, "Add rows to a partition of a table").query(p::PARTITION).takes(Data).gives(Schema("Null")),

        endpoint!(GET    "/api/v1/container/full/{path}" DATA, table::read_container, "Export a container and what lies below it").query(p::CONTAINER).gives(Data),
        endpoint!(POST   "/api/v1/container/full/{path}" DATA, table::read_container_by_body, "Export a container; for more children than fit into a URL").query(p::FORMAT).takes(Optional("Names")).gives(Data),
        endpoint!(GET    "/api/v1/node/full/{path}" DATA, table::read_node, "Export a container or a table").query(p::CONTAINER).gives(Data).deprecated(),
        endpoint!(PUT    "/api/v1/node/full/{path}" STORE, table::write, "Write a whole table").query(p::PERSIST).takes(Data).gives(Schema("Null")).deprecated(),

        endpoint!(GET    "/api/v1/asset/list/{path}" METADATA, asset::list, "List the assets of a node, page by page").query(p::ASSETS).gives(Schema("AssetsResponse")),
        endpoint!(GET    "/api/v1/asset/bytes/{path}" DATA, asset::bytes, "Download a raw file, or ranges of it").query(p::ASSET_BYTES).gives(Media("application/octet-stream")),
        endpoint!(GET    "/api/v1/asset/manifest/{path}" DATA, asset::manifest, "List the files of a directory").query(p::ASSET).gives(Schema("Manifest")),
        endpoint!(DELETE "/api/v1/asset/{path}" Needs::All(&[DeleteNode]), asset::delete, "Delete an asset").query(p::DELETE_ASSET).gives(Schema("AssetDeleted")),

        endpoint!(GET    "/api/v1/stream/single/{path}" Needs::All(&[ReadMetadata, ReadData]), stream::watch, "Watch a node: a WebSocket").query(p::STREAM).gives(Media("application/json")).socket(),
        endpoint!(DELETE "/api/v1/stream/close/{path}" STORE, stream::close, "End the stream of a node").gives(Schema("Null")),

        endpoint!(GET    "/zarr/v2/{path}" METADATA, zarr::version_2, "The tree as a store of Zarr 2: documents and chunks").gives(Media("application/octet-stream")),
        endpoint!(GET    "/zarr/v3/{path}" METADATA, zarr::version_3, "The tree as a store of Zarr 3: documents and chunks").gives(Media("application/octet-stream")),

        endpoint!(GET    "/api/v1/metrics" Needs::All(&[Metrics]), metrics::render, "Numbers for Prometheus").gives(Media("text/plain")),
    ]
}

pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut paths: BTreeMap<&'static str, Vec<Arc<Endpoint>>> = BTreeMap::new();
    for endpoint in table() {
        paths.entry(endpoint.path).or_default().push(Arc::new(endpoint));
    }
    let inherited = paths.clone();
    let mut router = Router::new();
    for (path, mut endpoints) in paths {
        // `DELETE /asset/{path}` also means nodes whose path begins with "bytes".
        for endpoint in inherited.values().flatten().filter(|other| other.covers(path)) {
            if endpoints.iter().all(|known| known.method != endpoint.method) {
                endpoints.push(endpoint.clone());
            }
        }
        let methods = method_router(app, endpoints);
        match path.strip_suffix("{path}") {
            // A wildcard takes at least one character; the root node has none.
            Some(prefix) => {
                router = router.route(prefix, methods.clone()).route(&format!("{prefix}{{*path}}"), methods);
                router = router.route(prefix.trim_end_matches('/'), any(add_slash));
            }
            None => router = router.route(path, methods),
        }
    }
    let health = app.clone();
    router
        .route("/healthz", any(move || async move { about::health(&health).await }))
        .route("/api/v1", any(add_slash))
        .route("/api/v1/docs", any(to_docs))
        .route("/docs/", any(to_docs))
        .fallback(unknown)
}

/// The address that was meant.
async fn add_slash(Extension(visit): Extension<Arc<Visit>>, uri: Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    redirect(format!("{}{}/{query}", visit.base.root(), uri.path()))
}

async fn to_docs(Extension(visit): Extension<Arc<Visit>>) -> Response {
    redirect(format!("{}/docs", visit.base.root()))
}

fn redirect(to: String) -> Response {
    match HeaderValue::try_from(to) {
        Ok(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Err(_) => detail(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn unknown(uri: Uri) -> Response {
    let path = uri.path();
    match NOT_YET.iter().find(|prefix| path.starts_with(**prefix) || path == prefix.trim_end_matches('/')) {
        Some(prefix) => detail(
            StatusCode::NOT_FOUND,
            &format!("This server does not support {:?} yet.", prefix.trim_end_matches('/')),
        ),
        None => detail(StatusCode::NOT_FOUND, "Not Found"),
    }
}
