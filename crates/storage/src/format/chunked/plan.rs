//! In which pieces a region of an array is read or written, and which chunks each piece touches.
//!
//! A region goes through memory in *bands*: stretches of it that are contiguous in C order, cut
//! along one axis where chunks end, so that each chunk is touched once where memory allows.

use std::ops::Range;
use std::sync::Arc;

use girih_model::slice::Axis;

use super::copy::{Layout, c_strides};

/// What a band should measure, and what it may, in bytes.
const TARGET: u64 = 4 << 20;
const LIMIT: u64 = 64 << 20;
/// Most chunks that a band touches.
const MAX_VISITS: u64 = 16 << 10;

/// A region of an array and the grid below it. A 0-d array is planned as one of shape `(1,)`.
#[derive(Debug)]
pub(in crate::format) struct Plan {
    region: Vec<Axis>,
    chunk: Vec<u64>,
    itemsize: usize,
    /// Bands lie within one position of the axes before this one, and have all of those after it.
    split: usize,
    /// Most positions of the split axis in a band.
    max_rows: u64,
    target_rows: u64,
    /// Most chunks along the split axis in a band.
    max_runs: u64,
}

/// A contiguous stretch of the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) struct Band {
    /// Position within the region, of the axes up to the split axis.
    at: Vec<u64>,
    /// Positions of the split axis.
    rows: u64,
}

/// What a band has to do with one chunk.
#[derive(Debug)]
pub(in crate::format) struct Visit {
    /// Number of the chunk along each axis.
    pub chunk: Vec<u64>,
    pub counts: Vec<u64>,
    pub in_chunk: Layout,
    pub in_band: Layout,
    /// Every item of the chunk is in the band.
    pub whole: bool,
}

/// The positions of one axis that lie in one chunk.
#[derive(Debug, Clone, Copy)]
struct Segment {
    chunk: u64,
    /// Offset in the chunk.
    start: u64,
    step: i64,
    count: u64,
    /// Offset in the band.
    at: u64,
}

impl Plan {
    pub(in crate::format) fn new(region: &[Axis], chunk: &[u64], itemsize: usize) -> Self {
        // A chunk that is large enough is a band by itself, and goes out as it is.
        let nbytes = chunk.iter().fold(itemsize as u64, |bytes, len| bytes.saturating_mul(*len));
        let target = if (TARGET / 4..TARGET).contains(&nbytes) { nbytes } else { TARGET };
        Self::within(region, chunk, itemsize, target, LIMIT)
    }

    fn within(region: &[Axis], chunk: &[u64], itemsize: usize, target: u64, limit: u64) -> Self {
        let (region, chunk) =
            if region.is_empty() { (vec![Axis::all(1)], vec![1]) } else { (region.to_vec(), chunk.to_vec()) };
        // Bytes and chunks below one position of each axis.
        let mut below = vec![itemsize.max(1) as u64; region.len()];
        let mut visits = vec![1; region.len()];
        for axis in (0..region.len() - 1).rev() {
            let inner = &region[axis + 1];
            let per_chunk = (chunk[axis + 1] / inner.step.unsigned_abs()).max(1);
            below[axis] = below[axis + 1].saturating_mul(inner.count.max(1));
            visits[axis] = u64::saturating_mul(visits[axis + 1], inner.count / per_chunk + 1);
        }
        let fits = |axis: &usize| below[*axis] <= limit && visits[*axis] <= MAX_VISITS;
        let split = (0..region.len()).find(fits).unwrap_or(region.len() - 1);
        let max_rows = (limit / below[split]).max(1);
        let target_rows = target.div_ceil(below[split]).max(1);
        let max_runs = (MAX_VISITS / visits[split]).max(1);
        Self { region, chunk, itemsize, split, max_rows, target_rows, max_runs }
    }

    /// The first band in C order; an empty region has none.
    pub(in crate::format) fn first(&self) -> Option<Band> {
        let empty = self.itemsize == 0 || self.region.iter().any(|axis| axis.count == 0);
        (!empty).then(|| Band { at: vec![0; self.split + 1], rows: self.rows(0) })
    }

    /// The band that follows.
    pub(in crate::format) fn after(&self, band: &Band) -> Option<Band> {
        let mut at = band.at.clone();
        at[self.split] += band.rows;
        if at[self.split] >= self.region[self.split].count {
            at[self.split] = 0;
            if !advance(&mut at[..self.split], |axis| self.region[axis].count as usize) {
                return None;
            }
        }
        let rows = self.rows(at[self.split]);
        Some(Band { at, rows })
    }

    /// All bands, in C order.
    pub(in crate::format) fn bands(self: &Arc<Self>) -> impl Iterator<Item = Band> + Send + use<> {
        let plan = self.clone();
        std::iter::successors(self.first(), move |band| plan.after(band))
    }

    /// Bytes of an item.
    pub(in crate::format) fn itemsize(&self) -> usize {
        self.itemsize
    }

    /// Numbers of the chunks that the region (without steps) touches, axis by axis.
    pub(in crate::format) fn touched(&self) -> Vec<Range<u64>> {
        let axes = self.region.iter().zip(&self.chunk);
        axes.map(|(axis, len)| axis.start / len..(axis.start + axis.count).div_ceil(*len)).collect()
    }

    /// Whether every item of a chunk lies in the region (without steps).
    pub(in crate::format) fn covers(&self, chunk: &[u64]) -> bool {
        let mut axes = self.region.iter().zip(&self.chunk).zip(chunk);
        axes.all(|((axis, len), n)| axis.start <= n * len && axis.start + axis.count >= (n + 1) * len)
    }

    /// Bytes of a band.
    pub(in crate::format) fn nbytes(&self, band: &Band) -> usize {
        self.shape(band).iter().map(|n| *n as usize).product::<usize>() * self.itemsize
    }

    fn shape(&self, band: &Band) -> Vec<u64> {
        let axes = self.region.iter().enumerate();
        let count = |(n, axis): (usize, &Axis)| match n.cmp(&self.split) {
            std::cmp::Ordering::Less => 1,
            std::cmp::Ordering::Equal => band.rows,
            std::cmp::Ordering::Greater => axis.count,
        };
        axes.map(count).collect()
    }

    pub(in crate::format) fn visits(&self, band: &Band) -> Vec<Visit> {
        let shape = self.shape(band);
        let segments: Vec<Vec<Segment>> =
            (0..shape.len()).map(|n| self.segments(n, band.at.get(n).copied().unwrap_or(0), shape[n])).collect();
        let (band_strides, chunk_strides) = (c_strides(&shape, self.itemsize), c_strides(&self.chunk, self.itemsize));
        let mut visits = Vec::with_capacity(segments.iter().map(Vec::len).product());
        let mut index = vec![0; shape.len()];
        loop {
            let here = || segments.iter().zip(&index).map(|(segments, n)| &segments[*n]);
            let offset = |of: fn(&Segment) -> u64, strides: &[isize]| -> usize {
                here().zip(strides).map(|(segment, stride)| of(segment) as usize * *stride as usize).sum()
            };
            visits.push(Visit {
                chunk: here().map(|segment| segment.chunk).collect(),
                counts: here().map(|segment| segment.count).collect(),
                in_chunk: Layout {
                    start: offset(|segment| segment.start, &chunk_strides),
                    strides: here().zip(&chunk_strides).map(|(s, stride)| s.step as isize * stride).collect(),
                },
                in_band: Layout { start: offset(|segment| segment.at, &band_strides), strides: band_strides.clone() },
                whole: here().zip(&self.chunk).all(|(s, len)| s.count == *len),
            });
            if !advance(&mut index, |axis| segments[axis].len()) {
                return visits;
            }
        }
    }

    /// Cuts `count` positions of an axis, from the `from`-th on, where chunks end.
    fn segments(&self, n: usize, from: u64, count: u64) -> Vec<Segment> {
        let axis = &self.region[n];
        let mut segments = Vec::new();
        let mut at = 0;
        while at < count {
            let position = axis.at(from + at);
            let len = self.run(n, from + at).min(count - at);
            segments.push(Segment {
                chunk: position / self.chunk[n],
                start: position % self.chunk[n],
                step: axis.step,
                count: len,
                at,
            });
            at += len;
        }
        segments
    }

    /// How many positions from the `from`-th on lie in the same chunk.
    fn run(&self, n: usize, from: u64) -> u64 {
        let axis = &self.region[n];
        let within = axis.at(from) % self.chunk[n];
        let room = if axis.step > 0 { self.chunk[n] - 1 - within } else { within };
        (room / axis.step.unsigned_abs() + 1).min(axis.count - from)
    }

    /// How many positions of the split axis the band that begins at `from` has.
    fn rows(&self, from: u64) -> u64 {
        let left = self.region[self.split].count - from;
        let (mut rows, mut runs) = (0, 0);
        while rows < left && rows < self.target_rows && runs < self.max_runs {
            let run = self.run(self.split, from + rows);
            if rows + run > self.max_rows {
                break;
            }
            rows += run;
            runs += 1;
        }
        // Not even one chunk's worth fits.
        if rows == 0 { left.min(self.max_rows) } else { rows }
    }
}

impl Visit {
    /// Its items lie in the chunk as in the band: one after another.
    pub(in crate::format) fn is_straight(&self) -> bool {
        let axes = self.counts.iter().zip(&self.in_chunk.strides).zip(&self.in_band.strides);
        axes.into_iter().all(|((count, chunk), band)| *count == 1 || chunk == band)
    }
}

/// Counts up in C order; false after the last.
fn advance<N: Copy + PartialEq + std::ops::AddAssign + TryInto<usize> + From<u8>>(
    index: &mut [N],
    len: impl Fn(usize) -> usize,
) -> bool {
    for axis in (0..index.len()).rev() {
        index[axis] += N::from(1);
        if index[axis].try_into().is_ok_and(|n| n < len(axis)) {
            return true;
        }
        index[axis] = N::from(0);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bands as `(at, rows)`, and how often a chunk is visited.
    fn check(shape: &[u64], chunk: &[u64], itemsize: usize, bands: usize, visits: usize) {
        let region: Vec<Axis> = shape.iter().map(|len| Axis::all(*len)).collect();
        let plan = Arc::new(Plan::new(&region, chunk, itemsize));
        let all: Vec<Band> = plan.bands().collect();
        assert_eq!(all.len(), bands);
        assert!(all.iter().all(|band| plan.nbytes(band) as u64 <= LIMIT));
        let total: usize = all.iter().map(|band| plan.nbytes(band)).sum();
        assert_eq!(total, shape.iter().product::<u64>() as usize * itemsize);
        assert_eq!(all.iter().map(|band| plan.visits(band).len()).sum::<usize>(), visits);
    }

    #[test]
    fn bands_end_where_chunks_end() {
        check(&[], &[], 8, 1, 1);
        check(&[0, 5], &[1, 5], 8, 0, 0);
        check(&[10], &[3], 8, 1, 4);
        // Frames of half a megabyte: eight to a band.
        check(&[100, 512, 512], &[1, 512, 512], 2, 13, 100);
        // A row of chunks is a band: each chunk once.
        check(&[3000, 1000], &[1000, 500], 8, 3, 6);
        // A row of chunks is too large (800 MB): chunks are visited more than once, but memory is bounded.
        check(&[100, 1000, 1000], &[100, 100, 100], 8, 13, 1300);
        check(&[1 << 28], &[1 << 19], 1, 64, 512);
        // A chunk of a megabyte or more is a band.
        check(&[1 << 28], &[1 << 20], 1, 256, 256);
        // Each item in a chunk of its own.
        check(&[100_000], &[1], 1, 7, 100_000);
        check(&[2, 50_000], &[1, 1], 1, 8, 100_000);
    }

    #[test]
    fn steps_and_backward_steps_find_their_chunks() {
        let region = [Axis { start: 9, count: 4, step: -3, keep: true }]; // 9 6 3 0
        let plan = Plan::new(&region, &[4], 1);
        let band = plan.first().unwrap();
        let seen: Vec<_> =
            plan.visits(&band).iter().map(|v| (v.chunk[0], v.in_chunk.start, v.counts[0], v.in_band.start)).collect();
        assert_eq!(seen, [(2, 1, 1, 0), (1, 2, 1, 1), (0, 3, 2, 2)]);
    }

    use proptest::prelude::*;

    use super::super::copy::copy;
    use crate::conformance::{pick, slices};

    proptest! {
        /// However little memory there is: the bands, one after another, are the region.
        #[test]
        fn bands_follow_each_other_without_gaps(
            (shape, slice) in prop::collection::vec(0u64..7, 0..4).prop_flat_map(|shape| (Just(shape.clone()), slices(shape))),
            chunk in prop::collection::vec(1u64..5, 4),
            itemsize in 1usize..5,
            (target, limit) in (1u64..40, 1u64..80),
        ) {
            let items: Vec<u8> = (0..shape.iter().product::<u64>() as usize * itemsize).map(|n| n as u8).collect();
            let fitted = slice.fit(&shape).unwrap();
            let expected = pick(&items, &shape, itemsize, &fitted);
            let chunk = &chunk[..shape.len()];
            let plan = Arc::new(Plan::within(&fitted.0, chunk, itemsize, target, limit));
            let mut got = Vec::new();
            for band in plan.bands() {
                let mut part = vec![0; plan.nbytes(&band)];
                let mut filled = 0;
                for visit in plan.visits(&band) {
                    // The chunk, cut out of the whole array by hand.
                    let grid: Vec<u64> = if chunk.is_empty() { vec![1] } else { chunk.to_vec() };
                    let whole: Vec<u64> = if shape.is_empty() { vec![1] } else { shape.clone() };
                    let axes = visit.chunk.iter().zip(&grid).zip(&whole).map(|((n, len), end)| Axis {
                        start: n * len,
                        count: (*len).min(end - n * len),
                        step: 1,
                        keep: true,
                    });
                    let axes = girih_model::slice::Fitted(axes.collect());
                    let inside = pick(&items, &whole, itemsize, &axes);
                    let mut stored = vec![0; grid.iter().product::<u64>() as usize * itemsize];
                    let at = |shape: &[u64]| Layout { start: 0, strides: c_strides(shape, itemsize) };
                    copy(&mut stored, &at(&grid), &inside, &at(&axes.shape()), &axes.shape(), itemsize);
                    copy(&mut part, &visit.in_band, &stored, &visit.in_chunk, &visit.counts, itemsize);
                    filled += visit.counts.iter().product::<u64>() as usize * itemsize;
                }
                prop_assert_eq!(filled, part.len());
                got.extend(part);
            }
            prop_assert_eq!(got, expected);
        }
    }
}
