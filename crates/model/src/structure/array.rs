//! Structure of an N-dimensional array of items of one dtype, cut into chunks.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::slice::{Axis, MAX_DIMS};

/// Most chunks along one axis that a client is told about one by one.
const MAX_CHUNKS_PER_AXIS: u64 = 10_000_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct ArrayStructure {
    #[serde(rename = "data_type")]
    pub dtype: DType,
    /// Lengths of the chunks, axis by axis.
    pub chunks: Vec<Chunks>,
    pub shape: Vec<u64>,
    /// Names of the axes.
    #[serde(default)]
    pub dims: Option<Vec<String>>,
    #[serde(default)]
    pub resizable: Resizable,
}

/// Of all axes at once, or axis by axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Resizable {
    All(bool),
    Axes(Vec<bool>),
}

impl Default for Resizable {
    fn default() -> Self {
        Self::All(false)
    }
}

/// Most chunks along an axis that a file is said to have.
const MAX_LISTED: u64 = 1 << 16;

/// Lengths of the chunks along one axis, in runs of equal lengths: a stack of a million frames is
/// one run. The protocol lists every length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunks {
    /// `(length, how many)`; neighbours differ in length, no run is empty.
    runs: Vec<(u64, u64)>,
}

impl Chunks {
    /// Chunks of `chunk` each, the last one shorter if need be. A zero-length axis has one chunk of length zero.
    pub fn regular(len: u64, chunk: u64) -> Self {
        let chunk = chunk.max(1);
        let mut chunks = Self::default();
        chunks.push(chunk, len / chunk);
        let rest = len % chunk;
        if rest > 0 || len == 0 {
            chunks.push(rest, 1);
        }
        chunks
    }

    /// Chunks of `chunk` each, as a file has them. Of more than [`MAX_LISTED`], several are described as one: the protocol
    /// lists every length.
    pub fn listed(len: u64, chunk: u64) -> Self {
        let chunk = chunk.max(1);
        Self::regular(len, chunk.saturating_mul(len.div_ceil(chunk).div_ceil(MAX_LISTED)))
    }

    pub fn push(&mut self, len: u64, times: u64) {
        if times == 0 {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if last.0 == len => last.1 += times,
            _ => self.runs.push((len, times)),
        }
    }

    pub fn lengths(&self) -> impl Iterator<Item = u64> {
        self.runs
            .iter()
            .flat_map(|(len, times)| std::iter::repeat_n(*len, usize::try_from(*times).unwrap_or(usize::MAX)))
    }

    /// Number of chunks.
    pub fn count(&self) -> u64 {
        self.runs.iter().map(|(_, times)| times).sum()
    }

    /// Length of the axis, unless it overflows.
    pub fn total(&self) -> Option<u64> {
        self.runs.iter().try_fold(0u64, |sum, (len, times)| sum.checked_add(len.checked_mul(*times)?))
    }

    /// Length of the longest chunk.
    pub fn longest(&self) -> u64 {
        self.runs.iter().map(|(len, _)| *len).max().unwrap_or(0)
    }

    /// Start and length of the n-th chunk.
    pub fn extent(&self, mut n: u64) -> Option<(u64, u64)> {
        let mut start = 0;
        for (len, times) in &self.runs {
            if n < *times {
                return Some((start + n * len, *len));
            }
            n -= times;
            start += len * times;
        }
        None
    }

    pub fn runs(&self) -> &[(u64, u64)] {
        &self.runs
    }

    pub fn from_runs(runs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut chunks = Self::default();
        runs.into_iter().for_each(|(len, times)| chunks.push(len, times));
        chunks
    }
}

impl FromIterator<u64> for Chunks {
    fn from_iter<I: IntoIterator<Item = u64>>(lengths: I) -> Self {
        Self::from_runs(lengths.into_iter().map(|len| (len, 1)))
    }
}

impl Serialize for Chunks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut list = serializer.serialize_seq(Some(self.count() as usize))?;
        for len in self.lengths() {
            list.serialize_element(&len)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Chunks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lengths;
        impl<'de> serde::de::Visitor<'de> for Lengths {
            type Value = Chunks;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of chunk lengths")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Chunks, A::Error> {
                let mut chunks = Chunks::default();
                while let Some(len) = list.next_element()? {
                    chunks.push(len, 1);
                }
                Ok(chunks)
            }
        }
        deserializer.deserialize_seq(Lengths)
    }
}

impl ArrayStructure {
    /// An array in chunks of about 4 MiB: whole rows where they fit.
    pub fn new(dtype: DType, shape: Vec<u64>) -> Self {
        let chunks = shape.iter().map(|len| Chunks::regular(*len, (*len).max(1))).collect();
        Self { dtype, chunks, shape, dims: None, resizable: Resizable::default() }
    }

    /// Refuses a structure whose parts contradict each other.
    pub fn check(&self) -> Result<()> {
        let fault = |what: String| Err(Error::unprocessable(format!("Invalid array structure: {what}")));
        if self.shape.len() > MAX_DIMS {
            return fault(format!("it has {} dimensions; at most {MAX_DIMS} are supported.", self.shape.len()));
        }
        if self.chunks.len() != self.shape.len() {
            return fault(format!("shape has {} axes, but chunks has {}.", self.shape.len(), self.chunks.len()));
        }
        for (axis, (chunks, len)) in self.chunks.iter().zip(&self.shape).enumerate() {
            if chunks.total() != Some(*len) {
                return fault(format!("the chunks of axis {axis} do not add up to its length {len}."));
            }
            if chunks.count() > MAX_CHUNKS_PER_AXIS {
                return fault(format!(
                    "axis {axis} has {} chunks; at most {MAX_CHUNKS_PER_AXIS} are supported.",
                    chunks.count()
                ));
            }
        }
        if let Some(dims) = &self.dims
            && dims.len() != self.shape.len()
        {
            return fault(format!("it has {} axes, but {} names of dims.", self.shape.len(), dims.len()));
        }
        if let Resizable::Axes(axes) = &self.resizable
            && axes.len() != self.shape.len()
        {
            return fault(format!("it has {} axes, but \"resizable\" lists {}.", self.shape.len(), axes.len()));
        }
        if self.nbytes().is_none() {
            return fault("it is larger than 2^63 bytes.".into());
        }
        Ok(())
    }

    /// Bytes of the whole array, unless there are more than 2^63.
    pub fn nbytes(&self) -> Option<u64> {
        nbytes(&self.dtype, &self.shape)
    }

    /// Position and shape of a block, as one axis each.
    pub fn block(&self, block: &[u64]) -> Result<Vec<Axis>> {
        if block.len() != self.shape.len() {
            return Err(Error::unprocessable(if block.is_empty() {
                format!("Requested scalar but shape is {:?}", self.shape)
            } else {
                format!(
                    "Block parameter must have {} comma-separated parameters, one for each axis of the array.",
                    self.shape.len()
                )
            }));
        }
        let axes = self.chunks.iter().zip(block).enumerate().map(|(axis, (chunks, n))| {
            let (start, count) = chunks.extent(*n).ok_or_else(|| {
                Error::unprocessable(format!(
                    "Block index out of range: axis {axis} has {} blocks, but block {n} was requested.",
                    chunks.count()
                ))
            })?;
            Ok(Axis { start, count, step: 1, keep: true })
        });
        axes.collect()
    }
}

/// Bytes of an array of this dtype and shape, unless there are more than 2^63.
pub fn nbytes(dtype: &DType, shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    let items = shape.iter().try_fold(1u64, |n, len| n.checked_mul(*len))?;
    items.checked_mul(dtype.itemsize() as u64).filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// The form in the catalog: chunks as runs.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    data_type: DType,
    runs: Vec<Vec<(u64, u64)>>,
    shape: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dims: Option<Vec<String>>,
    #[serde(default)]
    resizable: Resizable,
}

impl From<&ArrayStructure> for Stored {
    fn from(array: &ArrayStructure) -> Self {
        Self {
            data_type: array.dtype.clone(),
            runs: array.chunks.iter().map(|chunks| chunks.runs.clone()).collect(),
            shape: array.shape.clone(),
            dims: array.dims.clone(),
            resizable: array.resizable.clone(),
        }
    }
}

impl From<Stored> for ArrayStructure {
    fn from(stored: Stored) -> Self {
        Self {
            dtype: stored.data_type,
            chunks: stored.runs.into_iter().map(Chunks::from_runs).collect(),
            shape: stored.shape,
            dims: stored.dims,
            resizable: stored.resizable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::{Family, Structure};

    const JSON: &str = r#"{"data_type":{"endianness":"little","kind":"i","itemsize":4,"dt_units":null},"chunks":[[3,1],[4]],"shape":[4,4],"dims":["y","x"],"resizable":false}"#;

    #[test]
    fn protocol_json_survives() {
        let structure = Structure::parse(Family::Array, JSON).unwrap();
        assert_eq!(serde_json::to_string(&structure).unwrap(), JSON);
        assert_eq!(Structure::from_stored(Family::Array, &structure.to_stored()).unwrap(), structure);
    }

    #[test]
    fn many_equal_chunks_are_stored_as_one_run() {
        let mut array = ArrayStructure::new(DType::of("u2"), vec![30_000, 512]);
        array.chunks[0] = Chunks::regular(30_000, 1);
        assert!(Structure::Array(array.clone()).to_stored().len() < 200);
        assert_eq!(array.chunks[0].extent(29_999), Some((29_999, 1)));
        assert_eq!(array.chunks[0].extent(30_000), None);
    }

    #[test]
    fn blocks_have_positions() {
        let Structure::Array(array) = Structure::parse(Family::Array, JSON).unwrap() else { panic!() };
        let axes = array.block(&[1, 0]).unwrap();
        assert_eq!((axes[0].start, axes[0].count, axes[1].count), (3, 1, 4));
        for bad in [&[][..], &[0], &[2, 0], &[0, 0, 0]] {
            assert!(array.block(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for (from, to) in [
            ("[3,1]", "[3,2]"),
            ("[4,4]", "[4]"),
            ("[4,4]", "[4,99999999999999999]"),
            (r#"["y","x"]"#, r#"["y"]"#),
            ("false", "[true]"),
        ] {
            assert!(Structure::parse(Family::Array, &JSON.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn zero_length_axes_have_one_empty_chunk() {
        assert_eq!(Chunks::regular(0, 5).lengths().collect::<Vec<_>>(), [0]);
        assert_eq!(Chunks::regular(7, 3).lengths().collect::<Vec<_>>(), [3, 3, 1]);
        assert_eq!(Chunks::listed(7, 3), Chunks::regular(7, 3));
        assert_eq!(Chunks::listed(u64::MAX, 1).runs(), [(1 << 48, (1 << 16) - 1), ((1 << 48) - 1, 1)]);
    }
}
