//! Nodes whose texts hold some words.

use super::{Field, Query};
use crate::filter::{Filter, TextQuery};

pub const FULLTEXT: Query = Query {
    name: "fulltext",
    fields: &[Field::text("text")],
    lower: |arguments, budget| {
        let query = TextQuery::parse(arguments.text("text")?)?;
        budget.conditions(query.any.iter().map(Vec::len).sum())?;
        Ok(Filter::Text(query))
    },
};
