//! NumPy's basic slicing: `1:10:2, -1, ..., ::-1`.

use std::fmt;

use crate::error::{Error, Result};

/// More dimensions than any array can have (NumPy allows 64).
pub const MAX_DIMS: usize = 64;

/// A slice as it was asked for; the empty list means everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slice(pub Vec<Dim>);

/// What is wanted of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// One position, which removes the axis; negative counts from the end.
    Index(i64),
    Range {
        start: Option<i64>,
        stop: Option<i64>,
        step: Option<i64>,
    },
    /// As many whole axes as are missing.
    Ellipsis,
}

impl Dim {
    pub const ALL: Self = Self::Range { start: None, stop: None, step: None };
}

/// A slice fitted to a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted(pub Vec<Axis>);

/// The positions `start, start + step, …` (`count` of them) of one axis; all lie within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    pub start: u64,
    pub count: u64,
    /// Never zero.
    pub step: i64,
    /// False for an index: the axis does not appear in the result.
    pub keep: bool,
}

impl Axis {
    pub fn all(len: u64) -> Self {
        Self { start: 0, count: len, step: 1, keep: true }
    }

    /// The n-th position.
    pub fn at(&self, n: u64) -> u64 {
        debug_assert!(n < self.count);
        self.start.wrapping_add_signed(self.step.wrapping_mul(n as i64))
    }
}

impl Fitted {
    /// Shape of the result: the axes that are kept.
    pub fn shape(&self) -> Vec<u64> {
        self.0.iter().filter(|axis| axis.keep).map(|axis| axis.count).collect()
    }

    pub fn is_all(&self, shape: &[u64]) -> bool {
        self.0.len() == shape.len() && self.0.iter().zip(shape).all(|(axis, len)| *axis == Axis::all(*len))
    }
}

impl Slice {
    pub fn all() -> Self {
        Self::default()
    }

    /// Reads the text form: dimensions joined by commas, with or without spaces and brackets.
    pub fn parse(text: &str) -> Result<Self> {
        let inner = text.trim();
        let inner = inner.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(inner);
        if inner.trim().is_empty() {
            return Ok(Self::all());
        }
        let mut dims = Vec::new();
        for part in inner.split(',') {
            if dims.len() >= MAX_DIMS {
                return Err(Error::unprocessable(format!("A slice can have at most {MAX_DIMS} dimensions.")));
            }
            dims.push(parse_dim(part.trim()).ok_or_else(|| {
                Error::unprocessable(format!(
                    "Invalid slice part: {part:?}. A dimension is an integer, start:stop, start:stop:step or \"...\"; they are joined by commas."
                ))
            })?);
        }
        if dims.iter().filter(|dim| **dim == Dim::Ellipsis).count() > 1 {
            return Err(Error::unprocessable("A slice can have only one \"...\"."));
        }
        Ok(Self(dims))
    }

    pub fn is_all(&self) -> bool {
        self.0.iter().all(|dim| matches!(dim, Dim::Ellipsis) || *dim == Dim::ALL)
    }

    /// Fits the slice to `shape` by NumPy's rules: bounds are clipped, indices must be within.
    pub fn fit(&self, shape: &[u64]) -> Result<Fitted> {
        let given = self.0.iter().filter(|dim| **dim != Dim::Ellipsis).count();
        if given > shape.len() {
            return Err(Error::unprocessable(format!(
                "The slice has {given} dimensions, but the array has {} (shape {shape:?}).",
                shape.len()
            )));
        }
        let missing = shape.len() - given;
        let mut axes = Vec::with_capacity(shape.len());
        for dim in &self.0 {
            if *dim == Dim::Ellipsis {
                let here = axes.len();
                axes.extend(shape[here..here + missing].iter().map(|len| Axis::all(*len)));
            } else {
                axes.push(fit_dim(*dim, shape[axes.len()], axes.len())?);
            }
        }
        let here = axes.len();
        axes.extend(shape[here..].iter().map(|len| Axis::all(*len)));
        Ok(Fitted(axes))
    }
}

fn parse_dim(text: &str) -> Option<Dim> {
    if text == "..." {
        return Some(Dim::Ellipsis);
    }
    let mut parts = text.split(':').map(str::trim);
    let first = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    let bound =
        |text: &str| -> Option<Option<i64>> { if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) } };
    match rest.as_slice() {
        [] => first.parse().ok().map(Dim::Index),
        [stop] => Some(Dim::Range { start: bound(first)?, stop: bound(stop)?, step: None }),
        [stop, step] => Some(Dim::Range { start: bound(first)?, stop: bound(stop)?, step: bound(step)? }),
        _ => None,
    }
}

fn fit_dim(dim: Dim, len: u64, axis: usize) -> Result<Axis> {
    let size = i64::try_from(len).map_err(|_| Error::unprocessable("The array is too long to be sliced."))?;
    match dim {
        Dim::Ellipsis => unreachable!("expanded by the caller"),
        Dim::Index(index) => {
            let at = if index < 0 { index.checked_add(size) } else { Some(index) };
            match at {
                Some(at) if (0..size).contains(&at) => Ok(Axis { start: at as u64, count: 1, step: 1, keep: false }),
                _ => Err(Error::unprocessable(format!(
                    "Index {index} is out of bounds for axis {axis} with size {len}."
                ))),
            }
        }
        Dim::Range { start, stop, step } => {
            let step = step.unwrap_or(1);
            if step == 0 {
                return Err(Error::unprocessable(format!("The slice step of axis {axis} cannot be zero.")));
            }
            // Python's slice.indices(): where a bound may come to lie depends on the direction.
            let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
            let clip = |bound: i64| if bound < 0 { bound.saturating_add(size).max(low) } else { bound.min(high) };
            let (from, to) = if step > 0 { (low, high) } else { (high, low) };
            let (from, to) = (start.map_or(from, clip), stop.map_or(to, clip));
            let distance = if step > 0 { to - from } else { from - to };
            let count = if distance <= 0 { 0 } else { 1 + (distance as u64 - 1) / step.unsigned_abs() };
            let axis = if count == 0 {
                Axis { start: 0, count, step: 1, keep: true }
            } else {
                // A single position has no direction: the same selection is the same value.
                Axis { start: from as u64, count, step: if count == 1 { 1 } else { step }, keep: true }
            };
            Ok(axis)
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, dim) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            match dim {
                Dim::Ellipsis => f.write_str("...")?,
                Dim::Index(index) => write!(f, "{index}")?,
                Dim::Range { start, stop, step } => {
                    let show = |bound: &Option<i64>| bound.map_or(String::new(), |b| b.to_string());
                    write!(f, "{}:{}", show(start), show(stop))?;
                    if let Some(step) = step {
                        write!(f, ":{step}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions(text: &str, len: u64) -> Vec<u64> {
        let fitted = Slice::parse(text).unwrap().fit(&[len]).unwrap();
        (0..fitted.0[0].count).map(|n| fitted.0[0].at(n)).collect()
    }

    #[test]
    fn python_examples() {
        assert_eq!(positions("::-1", 4), [3, 2, 1, 0]);
        assert_eq!(positions("-3:-1", 5), [2, 3]);
        assert_eq!(positions("10:2:-3", 8), [7, 4]);
        assert_eq!(positions("::5", 12), [0, 5, 10]);
        assert_eq!(positions("5:2", 8), [0u64; 0]);
        assert_eq!(positions("", 2), [0, 1]);
        assert_eq!(positions("::-1", 0), [0u64; 0]);
        assert_eq!(positions("-9223372036854775808:9223372036854775807:9223372036854775807", 3), [0]);
        assert_eq!(positions("::-9223372036854775808", 3), [2]);
    }

    #[test]
    fn ellipsis_and_indices() {
        let fitted = Slice::parse("0, ..., ::2").unwrap().fit(&[3, 4, 5]).unwrap();
        assert_eq!(fitted.shape(), [4, 3]);
        assert_eq!(Slice::parse("-1").unwrap().fit(&[3, 4]).unwrap().shape(), [4]);
        assert!(Slice::parse("...").unwrap().fit(&[]).unwrap().shape().is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [",", "1,", "a", "1.5", "1:2:3:4", "..., ...", "(1)", "1 2", "99999999999999999999"] {
            assert!(Slice::parse(text).is_err(), "{text:?}");
        }
        for (text, shape) in [("3", &[3u64][..]), ("-4", &[3]), ("::0", &[3]), ("0,0", &[3]), ("0", &[])] {
            assert!(Slice::parse(text).unwrap().fit(shape).is_err(), "{text:?} of {shape:?}");
        }
    }

    /// Python's rule, spelled out: walk from start by step while before stop.
    fn naive(start: Option<i64>, stop: Option<i64>, step: i64, len: i64) -> Vec<u64> {
        let wrap = |b: i64| if b < 0 { b + len } else { b };
        let inside = |i: &i64| (0..len).contains(i);
        let mut all: Vec<i64> = (0..len).collect();
        if step < 0 {
            all.reverse();
        }
        let first = start.map(wrap);
        let last = stop.map(wrap);
        let after = |i: i64, bound: i64| if step > 0 { i >= bound } else { i <= bound };
        let begin = all.iter().copied().find(|i| first.is_none_or(|f| after(*i, f)));
        let mut out = Vec::new();
        let mut at = begin;
        while let Some(i) = at.filter(inside) {
            if last.is_some_and(|l| after(i, l)) {
                break;
            }
            out.push(i as u64);
            at = i.checked_add(step);
        }
        out
    }

    proptest! {
        #[test]
        fn ranges_follow_python(start in prop::option::of(-9i64..9), stop in prop::option::of(-9i64..9),
                                step in prop_oneof![-4i64..=-1, 1i64..=4], len in 0i64..7) {
            let slice = Slice(vec![Dim::Range { start, stop, step: Some(step) }]);
            let axis = slice.fit(&[len as u64]).unwrap().0[0];
            let got: Vec<u64> = (0..axis.count).map(|n| axis.at(n)).collect();
            prop_assert_eq!(got, naive(start, stop, step, len));
            prop_assert_eq!(Slice::parse(&slice.to_string()).unwrap(), slice);
        }

        #[test]
        fn parsing_never_panics(text in "[-0-9:., ]{0,20}", shape in prop::collection::vec(0u64..5, 0..4)) {
            if let Ok(slice) = Slice::parse(&text) {
                let _ = slice.fit(&shape);
            }
        }
    }
}
