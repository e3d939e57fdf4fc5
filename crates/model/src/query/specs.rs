//! Nodes with all of some specs and none of others, by name.

use super::{Field, Query};
use crate::filter::Filter;

pub const SPECS: Query = Query {
    name: "specs",
    fields: &[Field::json("include").optional(), Field::json("exclude").optional()],
    lower: |arguments, _| {
        let names = |field| if arguments.has(field) { arguments.texts(field) } else { Ok(Vec::new()) };
        let include = names("include")?.into_iter().map(Filter::Spec);
        let exclude = names("exclude")?.into_iter().map(|name| Filter::Spec(name).negate());
        Ok(Filter::And(include.chain(exclude).collect()))
    },
};
