//! An array under another shape with as many items, in C order: how a catalog may describe what a file holds.
//!
//! A region of the new shape is taken as windows of consecutive items. Of each, the file is read as boxes of its own
//! shape, and what is wanted is picked out.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::slice::{Axis, Dim, Fitted, Slice};
use girih_model::{ArrayData, ArrayStructure, Data, Error, Json, Result, Selection, Spec, Structure};

use crate::dataset::{Dataset, positions};
use crate::pool::blocking;

/// Items of a window, in bytes.
const WINDOW: u64 = 4 << 20;

pub(super) struct Reshaped {
    inner: Arc<dyn Dataset>,
    shape: Vec<u64>,
    structure: ArrayStructure,
}

/// The dataset as it is, or under the shape of the structure.
///
/// # Errors
/// `Unprocessable` when that has other items, or another number of them.
pub(super) fn reshaped(inner: Arc<dyn Dataset>, structure: &ArrayStructure) -> Result<Arc<dyn Dataset>> {
    let found = inner.structure();
    let Some(found) = found.as_array() else {
        return Err(Error::unprocessable("The file does not hold an array. Register it again."));
    };
    if found == structure {
        return Ok(inner);
    }
    let items = |shape: &[u64]| shape.iter().try_fold(1u64, |items, len| items.checked_mul(*len));
    if found.dtype.itemsize() != structure.dtype.itemsize()
        || items(&structure.shape).is_none()
        || items(&found.shape) != items(&structure.shape)
    {
        return Err(Error::unprocessable(format!(
            "The file does not have the structure that is registered: it holds an array of the shape {:?} with the dtype {}. Register it again.",
            found.shape, found.dtype
        )));
    }
    let shape = found.shape.clone();
    Ok(Arc::new(Reshaped { inner, shape, structure: structure.clone() }))
}

/// Consecutive items, and which of them are wanted.
struct Window {
    start: u64,
    len: u64,
    /// Positions from the start.
    picked: Vec<u64>,
}

#[async_trait]
impl Dataset for Reshaped {
    fn structure(&self) -> Structure {
        Structure::Array(self.structure.clone())
    }

    fn metadata(&self) -> Json {
        self.inner.metadata()
    }

    fn specs(&self) -> Vec<Spec> {
        self.inner.specs()
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.structure, selection)?;
        let dtype = self.structure.dtype.clone();
        let shape = region.shape();
        let itemsize = dtype.itemsize();
        if shape.contains(&0) || itemsize == 0 {
            return Ok(Data::Array(ArrayData::whole(dtype, shape, Vec::new())));
        }
        if region.is_all(&self.structure.shape) {
            // The same items in the same order.
            let Data::Array(data) = self.inner.read(&Selection::all()).await? else { return Err(no_array()) };
            return Ok(Data::Array(ArrayData { dtype, shape, ..data }));
        }
        let windows = windows(&region, &self.structure.shape, (WINDOW / itemsize as u64).max(1));
        let (inner, inner_shape) = (self.inner.clone(), self.shape.clone());
        let pieces = stream::try_unfold(windows, move |mut windows| {
            let (inner, shape) = (inner.clone(), inner_shape.clone());
            async move {
                let (window, windows) = blocking(move || Ok((windows.next(), windows))).await?;
                let Some(window) = window else { return Ok(None) };
                Ok(Some((take(&*inner, &shape, window, itemsize).await?, windows)))
            }
        });
        let mut pieces = pieces.boxed();
        // What is not there is told before the answer begins.
        let first = pieces.try_next().await?;
        let pieces = stream::iter(first.map(Ok)).chain(pieces).boxed();
        Ok(Data::Array(ArrayData { dtype, shape, pieces }))
    }
}

fn no_array() -> Error {
    Error::unprocessable("The file does not hold an array any more. Register it again.")
}

/// The windows of a region, in its order.
fn windows(region: &Fitted, shape: &[u64], most: u64) -> impl Iterator<Item = Window> + use<> {
    let axes = region.0.clone();
    let mut strides = vec![1u64; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at] * shape[at];
    }
    let total: u64 = axes.iter().map(|axis| axis.count).product();
    let mut next = 0;
    let flat = move |mut number: u64| {
        let mut at = 0;
        for (axis, stride) in axes.iter().zip(&strides).rev() {
            at += axis.at(number % axis.count) * stride;
            number /= axis.count;
        }
        at
    };
    std::iter::from_fn(move || {
        if next == total {
            return None;
        }
        let first = flat(next);
        let (mut low, mut high, mut all) = (first, first, vec![first]);
        next += 1;
        while next < total && (all.len() as u64) < most {
            let at = flat(next);
            let (lower, higher) = (low.min(at), high.max(at));
            if higher - lower >= most {
                break;
            }
            (low, high) = (lower, higher);
            all.push(at);
            next += 1;
        }
        all.iter_mut().for_each(|at| *at -= low);
        Some(Window { start: low, len: high - low + 1, picked: all })
    })
}

async fn take(inner: &dyn Dataset, shape: &[u64], window: Window, itemsize: usize) -> Result<Bytes> {
    let mut items = Vec::with_capacity(window.len as usize * itemsize);
    for part in boxes(window.start, window.start + window.len, shape) {
        let dims = part.iter().map(|axis| {
            let (start, stop) = (axis.start as i64, (axis.start + axis.count) as i64);
            Dim::Range { start: Some(start), stop: Some(stop), step: None }
        });
        let Data::Array(data) = inner.read(&Selection::slice(Slice(dims.collect()))).await? else {
            return Err(no_array());
        };
        items.extend_from_slice(&data.collect(u64::MAX).await?);
    }
    if window.picked.len() as u64 == window.len && window.picked.is_sorted() {
        return Ok(items.into());
    }
    blocking(move || {
        let mut picked = Vec::with_capacity(window.picked.len() * itemsize);
        for at in window.picked {
            picked.extend_from_slice(&items[at as usize * itemsize..][..itemsize]);
        }
        Ok(picked.into())
    })
    .await
}

/// The items from `start` to before `end`, in C order, as boxes.
fn boxes(start: u64, end: u64, shape: &[u64]) -> Vec<Vec<Axis>> {
    let range = |start: u64, end: u64| Axis { start, count: end - start, step: 1, keep: true };
    let Some((len, rest)) = shape.split_first() else { return vec![Vec::new()] };
    let below: u64 = rest.iter().product();
    if rest.is_empty() {
        return vec![vec![range(start, end.min(*len))]];
    }
    let (first, last) = (start / below, (end - 1) / below);
    let inner = |row: u64, from: u64, to: u64| {
        boxes(from, to, rest).into_iter().map(move |part| [vec![range(row, row + 1)], part].concat())
    };
    if first == last && (!start.is_multiple_of(below) || end != (first + 1) * below) {
        return inner(first, start - first * below, end - first * below).collect();
    }
    let mut all = Vec::new();
    let mut whole = first;
    if !start.is_multiple_of(below) {
        all.extend(inner(first, start % below, below));
        whole += 1;
    }
    let whole_end = end / below;
    if whole < whole_end {
        let mut part = vec![range(whole, whole_end)];
        part.extend(rest.iter().map(|len| Axis::all(*len)));
        all.push(part);
    }
    if !end.is_multiple_of(below) {
        all.extend(inner(last, 0, end % below));
    }
    all
}

#[cfg(test)]
mod tests {
    use girih_model::DType;
    use proptest::prelude::*;

    use crate::conformance::{block_on, gather, pick, slices};

    use super::*;

    struct InMemory(Vec<u64>);

    #[async_trait]
    impl Dataset for InMemory {
        fn structure(&self) -> Structure {
            Structure::Array(ArrayStructure::new(DType::of("u2"), self.0.clone()))
        }

        async fn read(&self, selection: &Selection) -> Result<Data> {
            let region = selection.slice.fit(&self.0)?;
            let data = pick(&items(&self.0), &self.0, 2, &region);
            Ok(Data::Array(ArrayData::whole(DType::of("u2"), region.shape(), data)))
        }
    }

    fn items(shape: &[u64]) -> Vec<u8> {
        (0..shape.iter().product::<u64>()).flat_map(|n| (n as u16).to_le_bytes()).collect()
    }

    fn shapes() -> impl Strategy<Value = (Vec<u64>, Slice)> {
        let shape = prop::sample::select(vec![vec![24], vec![4, 6], vec![2, 3, 4], vec![1, 24, 1], vec![6, 2, 2]]);
        shape.prop_flat_map(|shape| (Just(shape.clone()), slices(shape)))
    }

    proptest! {
        #[test]
        fn any_slice_is_that_of_the_array((outer, slice) in shapes(), (inner, _) in shapes(), most in 1u64..30) {
            let structure = ArrayStructure::new(DType::of("u2"), outer.clone());
            let region = slice.fit(&outer).unwrap();
            let expected = pick(&items(&outer), &outer, 2, &region);
            let dataset = reshaped(Arc::new(InMemory(inner.clone())), &structure).unwrap();
            let (shape, got) = block_on(async { gather(dataset.read(&Selection::slice(slice)).await.unwrap()).await });
            prop_assert_eq!(shape, region.shape());
            prop_assert_eq!(&got, &expected);
            if !region.shape().contains(&0) {
                let small = windows(&region, &outer, most).map(|window| {
                    block_on(take(&InMemory(inner.clone()), &inner, window, 2)).unwrap()
                });
                prop_assert_eq!(small.collect::<Vec<_>>().concat(), expected);
            }
        }
    }

    #[test]
    fn only_as_many_items_fit() {
        for (there, wanted) in [(vec![24], vec![5, 5]), (vec![1 << 40, 1 << 40], vec![1 << 41, 1 << 40])] {
            let other = ArrayStructure::new(DType::of("u2"), wanted);
            assert!(reshaped(Arc::new(InMemory(there)), &other).is_err());
        }
    }
}
