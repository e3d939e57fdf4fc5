//! The queries of the protocol and how each lowers to [`Filter`]. To add one: write
//! `query/<name>.rs`, add its line to [`QUERIES`].
//!
//! In a URL a query is `filter[<name>][condition][<field>]=<value>`; repeating all fields of a filter
//! adds another instance, paired by position, and all must hold. In JSON, as in the conditions of
//! `and`, `or` and `not`, it is `{"<name>": {"<field>": <value>}}`.
