//! Which part of a node's data is meant: one form for every structure family.

use crate::error::{Error, Result};
use crate::slice::Slice;

/// A product, not a sum: `slice` lies within `part`, `fields` are names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    pub part: Part,
    pub slice: Slice,
    /// Columns of a table, children of a container; `None` means all.
    pub fields: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Part {
    #[default]
    Whole,
    /// A block of an array, one number per axis; empty for a 0-d array.
    Block(Vec<u64>),
    /// A partition of a table.
    Partition(u64),
}

impl Selection {
    pub fn all() -> Self {
        Self::default()
    }

    pub fn slice(slice: Slice) -> Self {
        Self { slice, ..Self::default() }
    }

    pub fn block(block: Vec<u64>) -> Self {
        Self { part: Part::Block(block), ..Self::default() }
    }

    pub fn partition(number: u64) -> Self {
        Self { part: Part::Partition(number), ..Self::default() }
    }

    pub fn is_all(&self) -> bool {
        self.part == Part::Whole && self.slice.is_all() && self.fields.is_none()
    }
}

/// Reads `0,1,2`: the numbers of a block, or a shape. Empty text is the empty list.
pub fn parse_numbers(name: &str, text: &str) -> Result<Vec<u64>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = text.split(',').map(|n| n.trim().parse().ok());
    numbers.collect::<Option<Vec<u64>>>().filter(|n| n.len() <= crate::slice::MAX_DIMS).ok_or_else(|| {
        Error::unprocessable(format!("{name}={text:?} is not a list of non-negative integers joined by commas."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(parse_numbers("block", "0,1, 2").unwrap(), [0, 1, 2]);
        assert!(parse_numbers("block", "").unwrap().is_empty());
        for text in [",", "-1", "1,,2", "x", "99999999999999999999"] {
            assert!(parse_numbers("block", text).is_err(), "{text:?}");
        }
    }
}
