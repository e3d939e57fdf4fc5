//! Items of compounds as files have them, with gaps between their fields. NumPy hides the gaps, and we leave them out.

use girih_model::{Error, Result};

/// Most pieces that an item is put together of.
const MAX_RUNS: usize = 1 << 16;

/// From where in an item its bytes come: where each run begins, and its length, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Runs(Vec<(usize, usize)>);

impl Runs {
    /// Bytes that follow those before. Runs that touch are one.
    ///
    /// # Errors
    /// `Unsupported` when there are too many.
    pub(super) fn push(&mut self, at: usize, len: usize) -> Result<()> {
        match self.0.last_mut() {
            Some((start, before)) if start.checked_add(*before) == Some(at) => *before = before.saturating_add(len),
            _ => self.0.push((at, len)),
        }
        if self.0.len() > MAX_RUNS {
            return Err(Error::unsupported("Datasets of compounds of so many parts are not read."));
        }
        Ok(())
    }

    /// `count` parts of `size` bytes each, which have these runs.
    pub(super) fn repeat(&mut self, part: &Self, at: usize, size: usize, count: usize) -> Result<()> {
        if part.are_all(size) {
            return self.push(at, count.saturating_mul(size));
        }
        for n in 0..count {
            for (start, len) in &part.0 {
                let before = n.saturating_mul(size).saturating_add(*start);
                self.push(at.saturating_add(before), *len)?;
            }
        }
        Ok(())
    }

    /// Whether nothing is left out of an item of so many bytes.
    pub(super) fn are_all(&self, size: usize) -> bool {
        self.0 == [(0, size)]
    }

    /// Items of `size` bytes each, without the gaps.
    pub(super) fn pack(&self, items: &[u8], size: usize) -> Vec<u8> {
        let mut packed = Vec::with_capacity(items.len());
        for item in items.chunks_exact(size.max(1)) {
            self.0.iter().for_each(|(start, len)| packed.extend_from_slice(&item[*start..start + len]));
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_left_out() {
        let (mut inner, mut outer) = (Runs::default(), Runs::default());
        inner.push(0, 1).unwrap();
        inner.push(2, 1).unwrap();
        outer.push(0, 1).unwrap();
        outer.push(1, 1).unwrap();
        outer.repeat(&inner, 3, 4, 2).unwrap();
        assert_eq!(outer, Runs(vec![(0, 2), (3, 1), (5, 1), (7, 1), (9, 1)]));
        assert!(!outer.are_all(11));
        let items: Vec<u8> = (0..22).collect();
        assert_eq!(outer.pack(&items, 11), [0, 1, 3, 5, 7, 9, 11, 12, 14, 16, 18, 20]);
        assert!(outer.repeat(&inner, 20, 4, MAX_RUNS).is_err());
    }
}
