//! Nodes that carry at least one of some access tags.

use super::{Field, Query};
use crate::filter::Filter;

pub const ACCESS_TAGS_FILTER: Query = Query {
    name: "access_tags_filter",
    fields: &[Field::json("tags")],
    lower: |arguments, _| Ok(Filter::AccessTag(arguments.texts("tags")?)),
};
