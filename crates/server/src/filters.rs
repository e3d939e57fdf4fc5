//! `filter[…]` parameters of a search.

use girih_model::{Error, Filter, Result};

use crate::query::QueryString;

/// All filters of a query must hold.
pub(crate) fn parse(query: &QueryString) -> Result<Filter> {
    let filters: Vec<_> = query.pairs().iter().filter(|(name, _)| name.starts_with("filter[")).cloned().collect();
    match filters.as_slice() {
        [] => Ok(Filter::all()),
        [(name, _), ..] => Err(Error::malformed(format!("Unknown filter {name:?}."))),
    }
}

/// Names of the queries, for the About page.
pub(crate) fn names() -> Vec<&'static str> {
    Vec::new()
}
