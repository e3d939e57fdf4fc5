//! Conditions made of conditions.

use super::{Field, Query};
use crate::filter::Filter;

pub const AND: Query = Query {
    name: "and",
    fields: &[Field::json("queries")],
    lower: |arguments, budget| Ok(Filter::And(arguments.inner(arguments.list("queries")?, budget)?)),
};

pub const OR: Query = Query {
    name: "or",
    fields: &[Field::json("queries")],
    lower: |arguments, budget| Ok(Filter::Or(arguments.inner(arguments.list("queries")?, budget)?)),
};

pub const NOT: Query = Query {
    name: "not",
    fields: &[Field::json("query")],
    lower: |arguments, budget| {
        let query = std::slice::from_ref(arguments.value("query")?);
        Ok(Filter::And(arguments.inner(query, budget)?).negate())
    },
};
