//! Tables: whole, by partition, by column. Containers are read alike: their fields are children.

use axum::body::Body;
use girih_engine::write::WriteMode;
use girih_model::{Error, Family, Result, Selection};

use crate::ask::Ask;
use crate::error::Reply;
use crate::{body, data, envelope};

const TABLE: &[Family] = &[Family::Table];
const CONTAINER: &[Family] = &[Family::Container];
const EITHER: &[Family] = &[Family::Container, Family::Table];

pub(super) async fn read(ask: Ask, _: Body) -> Reply {
    let fields = columns(&ask)?;
    data::export(&ask, TABLE, Selection { fields, ..Selection::all() }).await
}

/// Like `read`, for more columns than fit into a URL.
pub(super) async fn read_by_body(ask: Ask, body: Body) -> Reply {
    let fields = body::names(&ask, body).await?;
    data::export(&ask, TABLE, Selection { fields, ..Selection::all() }).await
}

pub(super) async fn read_partition(ask: Ask, _: Body) -> Reply {
    let fields = columns(&ask)?;
    let selection = Selection { fields, ..partition(&ask)? };
    data::export(&ask, TABLE, selection).await
}

pub(super) async fn read_partition_by_body(ask: Ask, body: Body) -> Reply {
    let selection = partition(&ask)?;
    let fields = body::names(&ask, body).await?;
    data::export(&ask, TABLE, Selection { fields, ..selection }).await
}

pub(super) async fn write(ask: Ask, body: Body) -> Reply {
    data::store(&ask, body, TABLE, Selection::all(), WriteMode::Replace, None).await?;
    envelope::null()
}

pub(super) async fn write_partition(ask: Ask, body: Body) -> Reply {
    data::store(&ask, body, TABLE, partition(&ask)?, WriteMode::Replace, None).await?;
    envelope::null()
}

pub(super) async fn append_partition(ask: Ask, body: Body) -> Reply {
    data::store(&ask, body, TABLE, partition(&ask)?, WriteMode::Append, None).await?;
    envelope::null()
}

pub(super) async fn read_container(ask: Ask, _: Body) -> Reply {
    let fields = ask.query().list("field");
    data::export(&ask, CONTAINER, Selection { fields, ..Selection::all() }).await
}

pub(super) async fn read_container_by_body(ask: Ask, body: Body) -> Reply {
    let fields = body::names(&ask, body).await?;
    data::export(&ask, CONTAINER, Selection { fields, ..Selection::all() }).await
}

pub(super) async fn read_node(ask: Ask, _: Body) -> Reply {
    let fields = ask.query().list("field");
    data::export(&ask, EITHER, Selection { fields, ..Selection::all() }).await
}

/// `column`, or its former name `field`.
fn columns(ask: &Ask) -> Result<Option<Vec<String>>> {
    let query = ask.query();
    match (query.list("column"), query.list("field")) {
        (Some(_), Some(_)) => Err(Error::malformed(
            "Cannot accept both 'column' and 'field' query parameters. Use 'column'; 'field' is deprecated.",
        )),
        (columns, fields) => Ok(columns.or(fields)),
    }
}

fn partition(ask: &Ask) -> Result<Selection> {
    ask.query().required("partition")?;
    let number = ask.query().integer("partition", 0..=u64::MAX)?.unwrap_or_default();
    Ok(Selection::partition(number))
}
