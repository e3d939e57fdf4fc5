//! Arrays: whole, by slice, by block.

use axum::body::Body;
use girih_engine::write::{ArrayPatch, WriteMode};
use girih_model::selection::{Part, parse_numbers};
use girih_model::{Error, Family, Result, Selection, Slice};

use crate::ask::Ask;
use crate::error::Reply;
use crate::{data, envelope};

/// Sparse arrays share these endpoints.
const FAMILIES: &[Family] = &[Family::Array, Family::Sparse];

pub(super) async fn read(ask: Ask, _: Body) -> Reply {
    let selection = Selection { slice: slice(&ask)?, ..Selection::all() };
    data::export(&ask, FAMILIES, selection).await
}

pub(super) async fn read_block(ask: Ask, _: Body) -> Reply {
    let selection = Selection { slice: slice(&ask)?, ..block(&ask)? };
    data::export(&ask, FAMILIES, selection).await
}

pub(super) async fn write(ask: Ask, body: Body) -> Reply {
    data::store(&ask, body, FAMILIES, Selection::all(), WriteMode::Replace, None).await?;
    envelope::null()
}

pub(super) async fn write_block(ask: Ask, body: Body) -> Reply {
    data::store(&ask, body, FAMILIES, block(&ask)?, WriteMode::Replace, None).await?;
    envelope::null()
}

/// Writes at an offset, and lets the array grow if asked to; answers with the structure afterwards.
pub(super) async fn patch(ask: Ask, body: Body) -> Reply {
    let query = ask.query();
    let extend = query.boolean("extend", false)?;
    if extend && !query.boolean("persist", true)? {
        return Err(Error::malformed(
            "Cannot PATCH an array with both parameters extend=True and persist=False. To extend the array, its data must be stored.",
        )
        .into());
    }
    let patch = ArrayPatch {
        offset: parse_numbers("offset", query.required("offset")?)?,
        shape: parse_numbers("shape", query.required("shape")?)?,
    };
    if patch.offset.len() > patch.shape.len() {
        return Err(Error::unprocessable(format!(
            "offset has {} numbers, but shape only {}.",
            patch.offset.len(),
            patch.shape.len()
        ))
        .into());
    }
    let mode = if extend { WriteMode::Extend } else { WriteMode::Replace };
    let structure = data::store(&ask, body, FAMILIES, Selection::all(), mode, Some(patch)).await?;
    envelope::reply(&ask, &structure)
}

fn slice(ask: &Ask) -> Result<Slice> {
    ask.query().one("slice").map_or_else(|| Ok(Slice::all()), Slice::parse)
}

fn block(ask: &Ask) -> Result<Selection> {
    let block = parse_numbers("block", ask.query().required("block")?)?;
    Ok(Selection { part: Part::Block(block), ..Selection::all() })
}
