//! Nodes that have, or do not have, a key.

use super::{Field, Query};
use crate::filter::{Filter, Test};

pub const KEYPRESENT: Query = Query {
    name: "keypresent",
    fields: &[Field::text("key"), Field::bool("exists").optional()],
    lower: |arguments, _| {
        let present = Filter::value(arguments.key()?, Test::Present);
        let wanted = !arguments.has("exists") || arguments.bool("exists")?;
        Ok(if wanted { present } else { present.negate() })
    },
};
