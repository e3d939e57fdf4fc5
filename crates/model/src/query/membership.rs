//! Nodes with one, or none, of several values.

use super::{Arguments, Field, Query};
use crate::error::Result;
use crate::filter::{Filter, Test};

pub const IN: Query =
    Query { name: "in", fields: &[Field::text("key"), Field::json("value")], lower: |arguments, _| among(arguments) };

/// The key must be present; `null` is a value.
pub const NOTIN: Query = Query {
    name: "notin",
    fields: &[Field::text("key"), Field::json("value")],
    lower: |arguments, _| {
        let present = Filter::value(arguments.key()?, Test::Present);
        Ok(present.and(among(arguments)?.negate()))
    },
};

fn among(arguments: &Arguments) -> Result<Filter> {
    Ok(Filter::value(arguments.key()?, Test::In(arguments.list("value")?.to_vec())))
}
