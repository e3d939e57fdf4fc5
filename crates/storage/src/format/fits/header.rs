//! Headers: cards of 80 characters in blocks of 2880 bytes (FITS standard, section 4).

use std::fs::File;
use std::os::unix::fs::FileExt;

use girih_model::{Result, ResultExt};
use serde_json::{Map, Number, Value};

use super::damaged;

pub(super) const BLOCK: u64 = 2880;
const CARD: usize = 80;
/// Longest header, in blocks.
const MAX_BLOCKS: u64 = 4096;

pub(super) struct Header {
    pub(super) cards: Map<String, Value>,
    /// Where the data begin.
    pub(super) end: u64,
}

impl Header {
    /// `None` at the end of the file.
    pub(super) fn read(file: &File, at: u64, size: u64) -> Result<Option<Self>> {
        let mut cards = Map::new();
        let mut last = None;
        for n in 0..MAX_BLOCKS {
            let start = at.saturating_add(n * BLOCK);
            if start.saturating_add(BLOCK) > size {
                // Some writers leave something at the end.
                return if n == 0 { Ok(None) } else { Err(damaged("a header is cut off")) };
            }
            let mut block = [0; BLOCK as usize];
            file.read_exact_at(&mut block, start).internal(|| "reading a header".into())?;
            if at > 0 && n == 0 && !block.starts_with(b"XTENSION") {
                return Ok(None);
            }
            for card in block.chunks_exact(CARD) {
                if card.starts_with(b"END     ") {
                    return Ok(Some(Self { cards, end: start + BLOCK }));
                }
                add(&mut cards, &mut last, &String::from_utf8_lossy(card));
            }
        }
        Err(damaged("a header has no end"))
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.cards.get(name)?.as_i64()
    }

    /// A number that is not negative.
    pub(super) fn count(&self, name: &str) -> Result<u64> {
        let count = self.integer(name).and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| damaged(&format!("a header has no {name}")))
    }

    pub(super) fn real(&self, name: &str) -> Option<f64> {
        self.cards.get(name)?.as_f64()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.cards.get(name)?.as_str().map(str::trim_end)
    }
}

/// Cards that have no value are lines of a text.
fn add(cards: &mut Map<String, Value>, last: &mut Option<String>, card: &str) {
    let Some((keyword, rest)) = card.split_at_checked(8) else { return };
    let keyword = keyword.trim_end();
    if keyword == "CONTINUE"
        && let Some(Value::String(text)) = last.as_ref().and_then(|last| cards.get_mut(last))
        && let Some(Value::String(more)) = value(rest)
    {
        if text.ends_with('&') {
            text.pop();
        }
        text.push_str(&more);
        return;
    }
    let named = match (keyword, rest.strip_prefix("= ")) {
        ("HIERARCH", _) => rest.split_once('=').map(|(name, rest)| (name.trim().to_owned(), rest)),
        ("" | "COMMENT" | "HISTORY", _) | (_, None) => None,
        (keyword, Some(rest)) => Some((keyword.to_owned(), rest)),
    };
    if let Some((name, rest)) = named {
        cards.insert(name.clone(), value(rest).unwrap_or(Value::Null));
        *last = Some(name);
    } else if matches!(keyword, "COMMENT" | "HISTORY") {
        let line = rest.trim_end();
        match cards.entry(keyword).or_insert_with(|| Value::String(String::new())) {
            Value::String(text) if text.is_empty() => text.push_str(line),
            Value::String(text) => {
                text.push('\n');
                text.push_str(line);
            }
            _ => {}
        }
    }
}

/// A text in quotes, `T` or `F`, or a number; what follows a slash is a comment.
fn value(rest: &str) -> Option<Value> {
    let rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('\'') {
        let mut text = String::new();
        let mut chars = inner.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    text.push('\'');
                }
                '\'' => break,
                c => text.push(c),
            }
        }
        return Some(Value::String(text.trim_end().to_owned()));
    }
    let text = rest.split('/').next().unwrap_or_default().trim();
    match text {
        "T" => Some(Value::Bool(true)),
        "F" => Some(Value::Bool(false)),
        "" => None,
        number => match number.parse::<i64>() {
            Ok(integer) => Some(Value::from(integer)),
            Err(_) => {
                let real = number.replace(['D', 'd'], "E").parse().ok().and_then(Number::from_f64);
                Some(real.map_or_else(|| Value::String(number.to_owned()), Value::Number))
            }
        },
    }
}
