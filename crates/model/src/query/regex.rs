//! Nodes with a text in which a regular expression finds a match.

use super::{Field, Query};
use crate::filter::{Filter, Test, compile};

/// The syntax is that of the Rust crate `regex`: Perl's without look-around and back references, so that
/// matching takes time linear in the text.
pub const REGEX: Query = Query {
    name: "regex",
    fields: &[Field::text("key"), Field::text("pattern"), Field::bool("case_sensitive").optional()],
    lower: |arguments, _| {
        let pattern = arguments.text("pattern")?.to_owned();
        let case_sensitive = !arguments.has("case_sensitive") || arguments.bool("case_sensitive")?;
        compile(&pattern, case_sensitive)?;
        Ok(Filter::value(arguments.key()?, Test::Regex { pattern, case_sensitive }))
    },
};
