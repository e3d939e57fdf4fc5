//! Nodes by their keys.

use super::{Field, Query};
use crate::filter::Filter;

pub const LOOKUP: Query = Query {
    name: "lookup",
    fields: &[Field::text("key")],
    lower: |arguments, _| Ok(Filter::KeyIn(vec![arguments.text("key")?.to_owned()])),
};

pub const KEYS_FILTER: Query = Query {
    name: "keys_filter",
    fields: &[Field::json("keys")],
    lower: |arguments, budget| {
        let keys = arguments.texts("keys")?;
        budget.values(keys.len())?;
        Ok(Filter::KeyIn(keys))
    },
};
