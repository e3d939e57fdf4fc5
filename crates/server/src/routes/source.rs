//! Data sources: where a node's data lies.

use axum::body::Body;
use girih_model::selection::parse_numbers;
use girih_model::wire::PutDataSourceRequest;
use girih_model::{Error, Result};

use crate::ask::Ask;
use crate::error::Reply;
use crate::{body, envelope};

pub(super) async fn replace(ask: Ask, body: Body) -> Reply {
    let path = ask.path()?;
    let query = ask.query();
    // For watchers, which there are none of yet; but nonsense is nonsense.
    let number = |name| query.one(name).map(|text| parse_numbers(name, text)).transpose();
    let (shape, offset): (Result<_>, Result<_>) = (number("patch_shape"), number("patch_offset"));
    if shape?.is_some() != offset?.is_some() {
        return Err(Error::malformed(
            "The query parameters patch_shape and patch_offset go together; either all or none must be specified.",
        )
        .into());
    }
    let request: PutDataSourceRequest = body::json(&ask, body).await?;
    let source = request.data_source.check()?;
    if source.id.is_none() {
        return Err(Error::unprocessable("The data source needs an \"id\": which one is to be replaced?").into());
    }
    ask.engine().put_data_source(ask.caller(), &path, source).await?;
    envelope::null()
}
