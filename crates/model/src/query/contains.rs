//! Nodes with a list that has an element, a text that has a part, or an object that has a key.

use super::{Field, Query};
use crate::filter::{Filter, Test};

pub const CONTAINS: Query = Query {
    name: "contains",
    fields: &[Field::text("key"), Field::json("value")],
    lower: |arguments, _| Ok(Filter::value(arguments.key()?, Test::Contains(arguments.value("value")?.clone()))),
};
