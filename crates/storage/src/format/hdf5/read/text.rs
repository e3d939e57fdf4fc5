//! Texts of any length: items refer to them in the global heap of the file. As the reference does, they are given as
//! bytes of a fixed length that all fit in.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::slice::Axis;
use girih_model::{ArrayStructure, DType, Data, Error, Result, Selection, Slice, Structure};
use moka::sync::Cache;

use super::super::storage::damaged;
use super::H5Dataset;
use super::walk::{Object, Opened};
use crate::dataset::{Dataset, positions};
use crate::format::chunked::copy::{Layout, c_strides, copy};
use crate::format::chunked::plan::Plan;
use crate::format::chunked::recent::Use;
use crate::format::chunked::{self, Chunks, Load};
use crate::format::guard::guarded;
use crate::place::file::Stamp;
use crate::place::{Location, Places};

/// Most items that are looked through for the longest.
const MAX_ITEMS: u64 = 64 << 20;
/// Texts that are read as one, in bytes: a chunk of references stands for more where texts are long.
const PIECE: u64 = 16 << 20;
/// Longest text, in bytes.
const MAX_LENGTH: usize = 1 << 20;
/// Datasets whose longest text is remembered.
const REMEMBERED: u64 = 4096;

static LONGEST: LazyLock<Cache<(Stamp, u64), usize>> =
    LazyLock::new(|| Cache::builder().max_capacity(REMEMBERED).build());

/// References as they lie in the file.
fn references(object: &Object, shape: &[u64]) -> Result<Arc<H5Dataset>> {
    let size = 8 + usize::from(object.file.hdf5.superblock().offset_size);
    let structure = ArrayStructure::new(DType::of(&format!("V{size}")), shape.to_vec());
    // They refer to the file itself: no other has them.
    let places = Places::default();
    Ok(Arc::new(H5Dataset::new(object, structure, &places)?))
}

/// Bytes of the longest text: references begin with the length. May block.
pub(super) fn longest(object: &Object, shape: &[u64]) -> Result<usize> {
    let items = shape.iter().try_fold(1u64, |items, len| items.checked_mul(*len));
    if items.is_none_or(|items| items > MAX_ITEMS) {
        return Err(Error::unsupported(format!("Datasets of more than {MAX_ITEMS} texts are not read.")));
    }
    let key = Stamp::of(&object.file.location.open_file()?).map(|stamp| (stamp, object.address));
    if let Some(longest) = key.as_ref().and_then(|key| LONGEST.get(key)) {
        return Ok(longest);
    }
    let dataset = references(object, shape)?;
    let open = dataset.open()?;
    let (region, size) = (Slice::all().fit(shape)?, dataset.structure.dtype.itemsize());
    let plan = Arc::new(Plan::new(&region.0, dataset.grid(), size));
    let mut longest = 1;
    for band in plan.bands() {
        for visit in plan.visits(&band) {
            let Some(chunk) = open.load(&visit.chunk, Use::Whole)? else { continue };
            for reference in chunk.chunks_exact(size) {
                let len = reference.first_chunk::<4>().map_or(0, |len| u32::from_le_bytes(*len) as usize);
                longest = longest.max(len);
            }
        }
    }
    if longest > MAX_LENGTH {
        return Err(Error::unsupported(format!("Texts of more than {MAX_LENGTH} bytes in an array are not read.")));
    }
    if let Some(key) = key {
        LONGEST.insert(key, longest);
    }
    Ok(longest)
}

/// Opens datasets of texts that continue each other.
pub(super) fn open(objects: Vec<Object>, structure: ArrayStructure) -> Result<Arc<dyn Dataset>> {
    let mut parts = Vec::with_capacity(objects.len());
    let mut before = 0u64;
    for object in &objects {
        let shape = super::dataset::shape_of(object)?;
        let references = references(object, &shape)?;
        let rows = shape.first().copied().unwrap_or(1);
        parts.push(Part { references, location: object.file.location.clone(), before });
        before = rows.checked_add(before).ok_or_else(|| damaged("its texts are more than any array has"))?;
    }
    let whole = match parts.as_slice() {
        [one] if one.references.grid().len() == structure.shape.len() => one.references.grid().to_vec(),
        // Rows come from one file or another.
        [first, ..] => {
            let others = first.references.grid().get(1..).unwrap_or_default();
            std::iter::once(1).chain(others.iter().copied()).collect()
        }
        [] => Vec::new(),
    };
    let grid = chunked::stretch(&whole, structure.dtype.itemsize(), PIECE);
    Ok(Arc::new(TextArray(Arc::new(Texts { parts, structure, grid }))))
}

struct TextArray(Arc<Texts>);

#[async_trait]
impl Dataset for TextArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

struct Texts {
    parts: Vec<Part>,
    structure: ArrayStructure,
    grid: Vec<u64>,
}

struct Part {
    references: Arc<H5Dataset>,
    location: Location,
    /// Positions of the first axis before this part.
    before: u64,
}

impl Chunks for Texts {
    type Open = Arc<Texts>;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Arc<Texts>> {
        Ok(self.clone())
    }
}

impl Load for Arc<Texts> {
    fn load(&self, index: &[u64], _: Use) -> Result<Option<Bytes>> {
        let Some(first) = index.first().zip(self.grid.first()).map_or(Some(0), |(n, len)| n.checked_mul(*len)) else {
            return Ok(None);
        };
        let after = self.parts.partition_point(|part| part.before <= first);
        let Some(part) = after.checked_sub(1).and_then(|n| self.parts.get(n)) else { return Ok(None) };
        let mut axes = Vec::with_capacity(self.grid.len());
        for (axis, ((n, len), size)) in index.iter().zip(&self.grid).zip(&part.references.structure.shape).enumerate() {
            let start =
                n.checked_mul(*len).and_then(|start| start.checked_sub(if axis == 0 { part.before } else { 0 }));
            // What is beyond the end was never written.
            let Some(start) = start.filter(|start| start < size) else { return Ok(None) };
            axes.push(Axis { start, count: (*len).min(size - start), step: 1, keep: true });
        }
        let len = self.structure.dtype.itemsize();
        let (texts, nbytes) = (part.texts(&axes, len)?, chunked::chunk_bytes(&self.grid, len)?);
        if texts.len() == nbytes {
            return Ok(Some(texts.into()));
        }
        // At the end of an axis there are fewer.
        let counts: Vec<u64> = axes.iter().map(|axis| axis.count).collect();
        let at = |shape: &[u64]| Layout { start: 0, strides: c_strides(shape, len) };
        let mut items = vec![0; nbytes];
        copy(&mut items, &at(&self.grid), &texts, &at(&counts), &counts, len);
        Ok(Some(items.into()))
    }
}

impl Part {
    /// The texts of a region, each `len` bytes.
    fn texts(&self, axes: &[Axis], len: usize) -> Result<Vec<u8>> {
        let size = self.references.structure.dtype.itemsize();
        let references = chunked::gather(&self.references.open()?, axes, self.references.grid(), size)?;
        let root = Opened::open(self.location.clone())?.hdf5.root_group().map_err(damaged)?;
        let mut items = Vec::with_capacity((references.len() / size).saturating_mul(len));
        for reference in references.chunks_exact(size) {
            let end = items.len() + len;
            if reference.iter().any(|byte| *byte != 0) {
                let text = guarded(|| root.resolve_vlen_reference_bytes(reference, 1).map_err(damaged));
                let text = text.unwrap_or_else(|| Err(damaged("a text contradicts itself")))?;
                items.extend_from_slice(&text[..text.len().min(len)]);
            }
            items.resize(end, 0);
        }
        Ok(items)
    }
}
