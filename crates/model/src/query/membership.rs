//! Nodes with one, or none, of several values.

use super::{Arguments, Budget, Field, Query};
use crate::error::Result;
use crate::filter::{Filter, Test};

pub const IN: Query = Query { name: "in", fields: &[Field::text("key"), Field::json("value")], lower: among };

/// The key must be present; `null` is a value.
pub const NOTIN: Query = Query {
    name: "notin",
    fields: &[Field::text("key"), Field::json("value")],
    lower: |arguments, budget| {
        let present = Filter::value(arguments.key()?, Test::Present);
        Ok(present.and(among(arguments, budget)?.negate()))
    },
};

fn among(arguments: &Arguments, budget: &mut Budget) -> Result<Filter> {
    let values = arguments.list("value")?;
    budget.values(values.len())?;
    Ok(Filter::value(arguments.key()?, Test::In(values.to_vec())))
}
