//! Data sources: where a node's data lies.

use axum::body::Body;
use girih_model::Error;
use girih_model::event::Patch;
use girih_model::selection::parse_numbers;
use girih_model::wire::PutDataSourceRequest;

use crate::ask::Ask;
use crate::error::Reply;
use crate::{body, envelope};

pub(super) async fn replace(ask: Ask, body: Body) -> Reply {
    let path = ask.path()?;
    let query = ask.query();
    // What is new, for those who watch.
    let number = |name| query.one(name).map(|text| parse_numbers(name, text)).transpose();
    let patch = match (number("patch_shape")?, number("patch_offset")?) {
        (Some(shape), Some(offset)) => Some(Patch { offset, shape }),
        (None, None) => None,
        _ => {
            return Err(Error::malformed(
                "The query parameters patch_shape and patch_offset go together; either all or none must be specified.",
            )
            .into());
        }
    };
    let request: PutDataSourceRequest = body::json(&ask, body).await?;
    let source = request.data_source.check()?;
    if source.id.is_none() {
        return Err(Error::unprocessable("The data source needs an \"id\": which one is to be replaced?").into());
    }
    ask.engine().put_data_source(ask.caller(), &path, source, patch).await?;
    envelope::null()
}
