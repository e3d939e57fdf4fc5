//! Nodes whose texts hold some words.

use super::{Field, Query};
use crate::filter::{Filter, TextQuery};

pub const FULLTEXT: Query = Query {
    name: "fulltext",
    fields: &[Field::text("text")],
    lower: |arguments, _| Ok(Filter::Text(TextQuery::parse(arguments.text("text")?)?)),
};
