//! Nodes with, or with anything but, one value.

use super::{Arguments, Field, Query};
use crate::error::Result;
use crate::filter::{Filter, Test};

pub const EQ: Query =
    Query { name: "eq", fields: &[Field::text("key"), Field::json("value")], lower: |arguments, _| equal(arguments) };

/// The key must be present; `null` is a value.
pub const NOTEQ: Query = Query {
    name: "noteq",
    fields: &[Field::text("key"), Field::json("value")],
    lower: |arguments, _| {
        let present = Filter::value(arguments.key()?, Test::Present);
        Ok(present.and(equal(arguments)?.negate()))
    },
};

fn equal(arguments: &Arguments) -> Result<Filter> {
    Ok(Filter::value(arguments.key()?, Test::Eq(arguments.value("value")?.clone())))
}
