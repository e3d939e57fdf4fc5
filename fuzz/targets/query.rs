//! `?filter[…]`: whatever is read as a filter can be asked of any node.

use bolero::{TypeGenerator, check, produce};
use girih_model::filter::{Facts, KeyPath};
use girih_model::query::{self, QUERIES};
use girih_model::{Error, Family, Result, Spec};
use serde_json::{Value, json};

use crate::edits::Edits;
use crate::limits::{SHORT, blames_the_caller, limited};

/// A parameter: mostly a field of a query, and a value like those that such fields have.
#[derive(Debug, Clone, TypeGenerator)]
pub(crate) struct Parameter {
    query: u8,
    field: u8,
    /// Rarely, the name is changed.
    name: Option<Edits>,
    value: Edits,
    /// All fields of the query get a value, so that it is complete.
    others: Option<Edits>,
}

const VALUES: [&str; 21] = [
    "a.b",
    "a",
    "\"red\"",
    "5",
    "-1.5e3",
    "null",
    "[1, \"a\", null, 2.5]",
    "[\"k\", \"foo\"]",
    "{\"a\": {\"b\": [1]}}",
    "lt",
    "ge",
    "true",
    "^a(b|c)*[[:alpha:]]+$",
    "(a{1,99}){1,99}",
    "%a_\\%",
    "quick \"brown fox\" -lazy",
    "array",
    "[{\"eq\": {\"key\": \"a\", \"value\": 1}}, {\"not\": {\"query\": {\"keypresent\": {\"key\": \"a\", \"exists\": true}}}}]",
    "[{\"or\": {\"queries\": [{\"and\": {\"queries\": []}}]}}]",
    "{\"regex\": {\"key\": \"a\", \"pattern\": \"(\"}}",
    "18446744073709551616",
];

const WORDS: [&str; 20] = [
    "\"",
    "\\",
    ".",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "%",
    "_",
    "*",
    "(",
    "null",
    "1e999",
    "-0.0",
    "é",
    "\u{0}",
    "{\"not\": {\"query\": ",
    "[[[[[[[[[[[[[[[[",
];

impl Parameter {
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let query = &QUERIES[usize::from(self.query) % QUERIES.len()];
        let chosen = usize::from(self.field) % query.fields.len();
        let name = |field: &str| format!("filter[{}][condition][{field}]", query.name);
        let mut pairs = Vec::new();
        for (n, field) in query.fields.iter().enumerate() {
            if n == chosen {
                let edited = self.name.as_ref().filter(|_| self.field.is_multiple_of(8));
                let name = edited.map_or(name(field.name), |edits| edits.text(&[&name(field.name)], &WORDS));
                pairs.push((name, self.value.text(&VALUES, &WORDS)));
            } else if let Some(edits) = &self.others {
                pairs.push((name(field.name), edits.text(&VALUES, &WORDS)));
            }
        }
        pairs
    }
}

fn metadata() -> Vec<Value> {
    vec![
        json!({}),
        json!({"a": {"b": "red"}, "c": [1, "a", null, {"d": 2.5}]}),
        json!({"a": 5, "t": "the quick brown fox", "n": null, "big": u64::MAX, "small": i64::MIN, "": {"": "x"}}),
        json!({"a": "abc", "a.b": -1500, "x": 1e308}),
    ]
}

/// Reads the parameters and asks every node.
fn ask(pairs: &[(String, String)]) -> Result<usize, Error> {
    let filter = query::parse(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    let specs = [Spec { name: "foo".into(), version: Some("1".into()) }];
    let mut hits = 0;
    for metadata in metadata() {
        let facts = Facts { key: "k", metadata: &metadata, specs: &specs, family: Family::Array };
        hits += usize::from(filter.matches(&facts)?);
    }
    Ok(hits)
}

#[test]
fn filters() {
    let generator = produce::<Vec<Parameter>>().with().len(0usize..=4);
    check!().with_test_time(SHORT).with_generator(generator).for_each(|parameters| {
        let pairs: Vec<_> = parameters.iter().flat_map(Parameter::pairs).collect();
        if let Err(error) = limited(64 << 20, || ask(&pairs)) {
            blames_the_caller(&error);
        }
    });
}

#[test]
fn key_paths() {
    check!().with_test_time(SHORT).with_type::<Edits>().for_each(|edits| {
        let text = edits.text(&["a.b", "a\\.b", "\\\\", ".", "element.symbol.x"], &WORDS);
        match KeyPath::parse(&text) {
            Ok(path) => {
                for metadata in metadata() {
                    assert!(path.find(&metadata).is_none_or(|found| found != &metadata), "a path has steps");
                }
                assert_eq!(KeyPath::parse(&path.to_string()).unwrap(), path, "{text:?}");
            }
            Err(error) => {
                blames_the_caller(&error);
                assert!(text.is_empty(), "{text:?}");
            }
        }
    });
}
