//! Nodes with all of some specs and none of others, by name.

use super::{Field, Query};
use crate::filter::Filter;

pub const SPECS: Query = Query {
    name: "specs",
    fields: &[Field::json("include").optional(), Field::json("exclude").optional()],
    lower: |arguments, budget| {
        let mut names = |field| {
            let names = if arguments.has(field) { arguments.texts(field)? } else { Vec::new() };
            budget.conditions(names.len())?;
            Ok(names)
        };
        let include = names("include")?.into_iter().map(Filter::Spec);
        let exclude = names("exclude")?.into_iter().map(|name| Filter::Spec(name).negate());
        Ok(Filter::And(include.chain(exclude).collect()))
    },
};
