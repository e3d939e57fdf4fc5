//! Full-text queries, in the manner of web search.

use serde_json::Value;

use crate::error::{Error, Result};

/// Most terms of one query.
const MAX_TERMS: usize = 64;

/// All words must occur in the metadata's texts, as whole words, ignoring case and accents;
/// `"a phrase"`, `this OR that`, `-not`, `prefix*`. Keys and numbers do not count. A query without
/// any word finds nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextQuery {
    /// One of these must hold; of each, all terms.
    pub any: Vec<Vec<Term>>,
}

/// Words that follow one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// In lower case; never empty.
    pub words: Vec<String>,
    /// The last word may go on.
    pub prefix: bool,
    /// Must not occur.
    pub negated: bool,
}

impl TextQuery {
    pub fn parse(text: &str) -> Result<Self> {
        let mut any = vec![Vec::new()];
        let mut terms = 0;
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (negated, body) = match rest.strip_prefix('-') {
                Some(body) if !body.starts_with(char::is_whitespace) => (true, body),
                _ => (false, rest),
            };
            let (piece, after) = match body.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => body.split_at(body.find(char::is_whitespace).unwrap_or(body.len())),
            };
            if piece == "OR" && !negated && !body.starts_with('"') {
                any.push(Vec::new());
            } else {
                let words: Vec<String> = words(piece).collect();
                let prefix = piece.ends_with('*') || after.starts_with('*');
                if !words.is_empty() {
                    terms += 1;
                    any.last_mut().expect("never empty").push(Term { words, prefix, negated });
                }
            }
            if terms > MAX_TERMS {
                return Err(Error::malformed(format!("A text query can have at most {MAX_TERMS} terms.")));
            }
            rest = after.trim_start_matches('*').trim_start();
        }
        any.retain(|all| !all.is_empty());
        Ok(Self { any })
    }

    /// Whether texts with these words pass; each text is a list of words in lower case.
    pub fn matches(&self, texts: &[Vec<String>]) -> bool {
        self.any.iter().any(|all| all.iter().all(|term| term.passes(texts)))
    }
}

impl Term {
    fn passes(&self, texts: &[Vec<String>]) -> bool {
        self.occurs(texts) != self.negated
    }

    /// Whether it stands in one of these texts, each a list of words in lower case.
    pub fn occurs(&self, texts: &[Vec<String>]) -> bool {
        texts.iter().any(|text| text.windows(self.words.len()).any(|here| self.is(here)))
    }

    fn is(&self, here: &[String]) -> bool {
        let last = self.words.len() - 1;
        here[..last] == self.words[..last]
            && if self.prefix { here[last].starts_with(&self.words[last]) } else { here[last] == self.words[last] }
    }
}

/// The words of all texts in metadata, at any depth: what a query is about.
pub fn texts(metadata: &Value) -> Vec<Vec<String>> {
    let mut texts = Vec::new();
    collect(metadata, &mut texts);
    texts
}

fn collect(value: &Value, texts: &mut Vec<Vec<String>>) {
    match value {
        Value::String(text) => texts.push(words(text).collect()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Words are runs of letters and digits.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, hits: [bool; 3]) {
        let texts = ["the quick brown fox", "lazy dog", "Fox-trot jumped"];
        let query = TextQuery::parse(query).unwrap();
        let got = texts.map(|text| query.matches(&[words(text).collect()]));
        assert_eq!(got, hits, "{query:?}");
    }

    #[test]
    fn websearch_syntax() {
        check("fox", [true, false, true]);
        check("Fox", [true, false, true]);
        check("qui", [false; 3]);
        check("qui*", [true, false, false]);
        check("quick brown", [true, false, false]);
        check("quick dog", [false; 3]);
        check("quick OR dog", [true, true, false]);
        check("\"quick brown\"", [true, false, false]);
        check("\"brown quick\"", [false; 3]);
        check("fox -quick", [false, false, true]);
        check("-fox", [false, true, false]);
        check("fox-trot", [false, false, true]);
        check("fox & quick", [true, false, false]);
        check("", [false; 3]);
        check("!?&|", [false; 3]);
        check("\"unclosed quick", [false; 3]);
    }
}
