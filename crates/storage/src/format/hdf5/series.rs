//! A dataset that goes over several files, one after another along its first axis, as detectors write long runs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::{ArrayStructure, Data, Error, Result, Selection, Structure};

use super::read::{H5Dataset, OpenDataset};
use crate::dataset::{Dataset, positions};
use crate::format::chunked::recent::Use;
use crate::format::chunked::{self, Chunks, Load};
use crate::place::{Location, Places};

pub(super) struct Series(Arc<Parts>);

struct Parts {
    structure: ArrayStructure,
    parts: Vec<Part>,
    /// One position of the first axis, and of the others what the files have.
    grid: Vec<u64>,
}

struct Part {
    dataset: Arc<H5Dataset>,
    /// Positions of the first axis before this part.
    before: u64,
}

impl Series {
    /// # Errors
    /// `Unprocessable` when a file does not fit, or all together are shorter than the structure.
    pub(super) fn new(files: Vec<(Location, String)>, structure: ArrayStructure, places: &Places) -> Result<Self> {
        let Some((wanted, others)) = structure.shape.split_first() else {
            return Err(Error::unprocessable("A dataset without axes lies in one file."));
        };
        let (mut before, mut parts) = (0u64, Vec::with_capacity(files.len()));
        for (file, path) in files {
            let (len, dataset) = H5Dataset::part(file, &path, &structure.dtype, others, places)?;
            parts.push(Part { dataset: Arc::new(dataset), before });
            before = before.saturating_add(len);
        }
        if before < *wanted {
            return Err(Error::unprocessable(format!(
                "The files have {before} positions of the first axis together, but {wanted} are registered. Register them again."
            )));
        }
        let first = parts.first().ok_or_else(|| Error::unprocessable("A dataset has at least one file."))?;
        let grid = std::iter::once(1).chain(first.dataset.grid()[1..].iter().copied()).collect();
        if let Some(odd) = parts.iter().find(|part| part.dataset.grid()[1..] != first.dataset.grid()[1..]) {
            return Err(Error::unsupported(format!(
                "The files of the dataset have different chunks: {:?} and {:?}.",
                first.dataset.grid(),
                odd.dataset.grid()
            )));
        }
        Ok(Self(Arc::new(Parts { structure, parts, grid })))
    }
}

#[async_trait]
impl Dataset for Series {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

impl Chunks for Parts {
    type Open = Arc<Parts>;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Arc<Parts>> {
        Ok(self.clone())
    }
}

impl Load for Arc<Parts> {
    fn load(&self, index: &[u64], wanted: Use) -> Result<Option<Bytes>> {
        let Some((position, others)) = index.split_first() else { return Ok(None) };
        let after = self.parts.partition_point(|part| part.before <= *position);
        let Some(part) = after.checked_sub(1).and_then(|n| self.parts.get(n)) else { return Ok(None) };
        let open: OpenDataset = part.dataset.open()?;
        let (within, rows) = (position - part.before, part.dataset.grid()[0]);
        let inner: Vec<u64> = std::iter::once(within / rows).chain(others.iter().copied()).collect();
        let wanted = if rows == 1 { wanted } else { Use::Part };
        let Some(chunk) = open.load(&inner, wanted)? else { return Ok(None) };
        let row = chunk.len() / rows as usize;
        Ok(Some(chunk.slice((within % rows) as usize * row..).slice(..row)))
    }
}
