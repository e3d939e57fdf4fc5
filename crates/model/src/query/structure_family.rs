//! Nodes of a structure family.

use super::{Field, Query};
use crate::filter::Filter;

pub const STRUCTURE_FAMILY: Query = Query {
    name: "structure_family",
    fields: &[Field::text("value")],
    lower: |arguments, _| Ok(Filter::Family(arguments.text("value")?.parse()?)),
};
