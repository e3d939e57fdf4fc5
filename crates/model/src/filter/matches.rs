//! What every filter means, in plain code. Databases answer from indexes; this is what they must answer.

use std::cmp::Ordering;

use regex::RegexBuilder;
use serde_json::Value;

use super::{Filter, Order, Test, texts, value};
use crate::error::{Error, Result, ResultExt};
use crate::node::Spec;
use crate::structure::Family;

/// Largest compiled regular expression, in bytes.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub key: &'a str,
    pub metadata: &'a Value,
    pub specs: &'a [Spec],
    pub family: Family,
}

impl Filter {
    /// # Errors
    /// `Malformed` when a regular expression is invalid.
    pub fn matches(&self, node: &Facts<'_>) -> Result<bool> {
        Ok(match self {
            Self::And(all) => {
                for filter in all {
                    if !filter.matches(node)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Or(any) => {
                for filter in any {
                    if filter.matches(node)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(filter) => !filter.matches(node)?,
            Self::Value { at, test } => match at.find(node.metadata) {
                Some(found) => test.passes(found)?,
                None => false,
            },
            Self::KeyIn(keys) => keys.iter().any(|key| key == node.key),
            Self::Text(query) => query.matches(&texts(node.metadata)),
            Self::Spec(name) => node.specs.iter().any(|spec| spec.name == *name),
            Self::Family(family) => node.family == *family,
            // Without an access policy no node carries a tag.
            Self::AccessTag(_) => false,
        })
    }
}

impl Test {
    /// # Errors
    /// `Malformed` when a regular expression is invalid.
    pub fn passes(&self, found: &Value) -> Result<bool> {
        Ok(match self {
            Self::Present => true,
            Self::Eq(wanted) => value::equal(found, wanted),
            Self::In(wanted) => wanted.iter().any(|wanted| value::equal(found, wanted)),
            Self::Compare(order, bound) => value::compare(found, bound).is_some_and(|ordering| order.allows(ordering)),
            Self::Like(pattern) => found.as_str().is_some_and(|text| like(pattern, text)),
            Self::Contains(part) => match (found, part) {
                (Value::Array(items), part) => items.iter().any(|item| value::equal(item, part)),
                (Value::String(text), Value::String(part)) => {
                    text.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
                }
                (Value::Object(fields), Value::String(key)) => fields.contains_key(key),
                _ => false,
            },
            Self::Regex { pattern, case_sensitive } => match found.as_str() {
                Some(text) => compile(pattern, *case_sensitive)?.is_match(text),
                None => false,
            },
        })
    }
}

impl Order {
    pub fn allows(self, ordering: Ordering) -> bool {
        match self {
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}

/// Matching takes time linear in the text, whatever the pattern.
pub fn compile(pattern: &str, case_sensitive: bool) -> Result<regex::Regex> {
    RegexBuilder::new(pattern)
        .case_insensitive(!case_sensitive)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
        .or_error(|e| Error::malformed(format!("The regular expression {pattern:?} is not valid: {e}")))
}

/// SQL's LIKE with `\` as escape, ignoring ASCII case.
pub fn like(pattern: &str, text: &str) -> bool {
    enum Part {
        One(char),
        AnyOne,
        AnyRun,
    }
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => Part::AnyRun,
            '_' => Part::AnyOne,
            '\\' => Part::One(chars.next().unwrap_or('\\')),
            c => Part::One(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // Greedy, with a step back to the last run: quadratic at worst.
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match parts.get(p) {
            Some(Part::AnyRun) => {
                back = Some((p, t));
                p += 1;
                continue;
            }
            Some(Part::AnyOne) => true,
            Some(Part::One(c)) => c.eq_ignore_ascii_case(&text[t]),
            None => false,
        };
        if step {
            (p, t) = (p + 1, t + 1);
        } else if let Some((run, from)) = back {
            back = Some((run, from + 1));
            (p, t) = (run + 1, from + 1);
        } else {
            return false;
        }
    }
    parts[p..].iter().all(|part| matches!(part, Part::AnyRun))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn like_is_sqls() {
        for (pattern, text, hit) in [
            ("re%", "Red", true),
            ("%e_", "red", true),
            ("%e_", "blue", false),
            ("100\\%", "100%", true),
            ("100\\%", "1000", false),
            ("%a%b%c", "xxaxxbxxbxc", true),
            ("", "", true),
            ("%", "", true),
            ("_", "", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(like(pattern, text), hit, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn contains_looks_into_lists_texts_and_objects() {
        let check = |found: Value, part: Value, hit| assert_eq!(Test::Contains(part).passes(&found).unwrap(), hit);
        check(json!(["a", 1]), json!("a"), true);
        check(json!(["a", 1]), json!(1.0), true);
        check(json!(["ab"]), json!("a"), false);
        check(json!("The Fox"), json!("fox"), true);
        check(json!({"x": 1}), json!("x"), true);
        check(json!(10), json!(1), false);
    }
}
