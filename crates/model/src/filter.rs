//! The few primitives that the catalog can search by.
//!
//! Every query lowers to these; only `database::search` turns them into SQL. One semantics, whatever
//! the database; [`Filter::matches`] is that semantics in ten lines of plain code, and the property
//! tests hold every database to it.
//!
//! - A [`KeyPath`] addresses a value inside the metadata. A node *has* it when every step exists.
//! - Values are compared as JSON values: numbers as numbers (`2` equals `2.0`), text by code point,
//!   `false < true`. Values of different types are never equal and never ordered.
//! - `null` is a value like any other: present, and equal to `null`.

mod matches;
mod text;
pub mod value;

use std::fmt;

use serde_json::Value;

pub use matches::{Facts, compile, like};
pub use text::{Term, TextQuery, texts};

use crate::error::{Error, Result};
use crate::structure::Family;

/// A condition on a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All must hold; the empty list holds.
    And(Vec<Filter>),
    /// One must hold; the empty list does not.
    Or(Vec<Filter>),
    Not(Box<Filter>),
    /// The node has a value at this path of its metadata, and it passes the test.
    Value {
        at: KeyPath,
        test: Test,
    },
    /// The node's key is one of these.
    KeyIn(Vec<String>),
    /// Words of the metadata's texts.
    Text(TextQuery),
    /// The node has a spec of this name.
    Spec(String),
    Family(Family),
    /// The node carries at least one of these tags.
    AccessTag(Vec<String>),
}

/// What a value must be like.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Present,
    Eq(Value),
    In(Vec<Value>),
    /// Of the same type (number, text or boolean), and in this order to the given value.
    Compare(Order, Value),
    /// SQL pattern on a text: `%` any run, `_` any one character, `\` takes the next one literally. Ignores ASCII case.
    Like(String),
    /// A list that has this element, a text that has this part (ignoring ASCII case), an object that has this key.
    Contains(Value),
    /// A text in which this regular expression finds a match.
    Regex {
        pattern: String,
        case_sensitive: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Lt,
    Le,
    Gt,
    Ge,
}

/// Steps into the metadata: `element.category`. A dot inside a key is written `\.`, a backslash `\\`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPath(pub Vec<String>);

impl KeyPath {
    pub fn parse(text: &str) -> Result<Self> {
        let mut steps = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '.' => steps.push(String::new()),
                // Before any other character a backslash is itself: keys with backslashes stay reachable.
                '\\' => match chars.clone().next() {
                    Some(next @ ('.' | '\\')) => {
                        chars.next();
                        steps.last_mut().expect("never empty").push(next);
                    }
                    _ => steps.last_mut().expect("never empty").push('\\'),
                },
                c => steps.last_mut().expect("never empty").push(c),
            }
        }
        if text.is_empty() {
            return Err(Error::malformed("A query needs a metadata key, such as \"color\" or \"element.symbol\"."));
        }
        Ok(Self(steps))
    }

    /// The value at this path, if every step exists.
    pub fn find<'v>(&self, metadata: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(metadata, |value, step| value.as_object()?.get(step))
    }
}

/// The text form, which [`KeyPath::parse`] reads back.
impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.0.iter().enumerate().for_each(|(depth, step)| Self::append(&mut text, depth, step));
        f.write_str(&text)
    }
}

impl KeyPath {
    /// Adds a step to the text of a path of `depth` steps.
    pub fn append(path: &mut String, depth: usize, step: &str) {
        if depth > 0 {
            path.push('.');
        }
        for c in step.chars() {
            if c == '\\' || c == '.' {
                path.push('\\');
            }
            path.push(c);
        }
    }
}

impl Filter {
    pub fn all() -> Self {
        Self::And(Vec::new())
    }

    pub fn value(at: KeyPath, test: Test) -> Self {
        Self::Value { at, test }
    }

    pub fn negate(self) -> Self {
        Self::Not(Box::new(self))
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::And(mut a), Self::And(b)) => {
                a.extend(b);
                Self::And(a)
            }
            (Self::And(mut a), b) => {
                a.push(b);
                Self::And(a)
            }
            (a, b) => Self::And(vec![a, b]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_paths_reach_keys_with_dots() {
        let metadata = serde_json::json!({"a": {"b": 1}, "a.b": 2, "c\\d": 3, "": {"": 4}});
        for (text, value) in [("a.b", 1), ("a\\.b", 2), ("c\\\\d", 3), ("c\\d", 3), (".", 4)] {
            let path = KeyPath::parse(text).unwrap();
            assert_eq!(path.find(&metadata), Some(&value.into()), "{text}");
            assert_eq!(KeyPath::parse(&path.to_string()).unwrap(), path);
        }
        assert_eq!(KeyPath::parse("a.b.c").unwrap().find(&metadata), None);
    }
}
