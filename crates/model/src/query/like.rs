//! Nodes with a text of a pattern.

use super::{Field, Query};
use crate::filter::{Filter, Test};

pub const LIKE: Query = Query {
    name: "like",
    fields: &[Field::text("key"), Field::json("pattern")],
    lower: |arguments, _| Ok(Filter::value(arguments.key()?, Test::Like(arguments.text("pattern")?.to_owned()))),
};
