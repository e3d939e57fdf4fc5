//! Writing a region, band by band, as the items arrive.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::TryStreamExt;
use girih_model::slice::{Axis, Dim, Fitted};
use girih_model::{ArrayData, ArrayStructure, ByteStream, DType, Error, Part, Result, Selection};

use super::chunk::Store;
use super::grid::regular_chunks;
use super::staging::Staging;
use crate::dataset::{Write, positions};
use crate::format::chunked::Chunks;
use crate::format::chunked::plan::Plan;

/// Where the items go.
pub(super) fn region(structure: &ArrayStructure, selection: &Selection, mode: Write) -> Result<Fitted> {
    let region = match mode {
        Write::Replace => positions(structure, selection)?,
        Write::Extend => beyond(structure, selection)?,
        Write::Append(_) => {
            return Err(Error::unsupported(
                "Rows can be appended to tables. Extend an array by writing beyond its end.",
            ));
        }
    };
    if region.0.iter().any(|axis| axis.step != 1) {
        return Err(Error::unprocessable("Data can only be written to slices without steps."));
    }
    Ok(region)
}

/// A slice that may reach beyond the array.
fn beyond(structure: &ArrayStructure, selection: &Selection) -> Result<Fitted> {
    if selection.part != Part::Whole || selection.fields.is_some() {
        return Err(Error::unprocessable("To extend an array, say where in the whole array the data goes."));
    }
    let shape = &structure.shape;
    let given = selection.slice.0.iter().filter(|dim| **dim != Dim::Ellipsis).count();
    let missing = shape.len().checked_sub(given).ok_or_else(|| {
        Error::unprocessable(format!("The slice has {given} dimensions, but the array has {}.", shape.len()))
    })?;
    let whole = |axis: usize| Axis::all(shape[axis]);
    let mut axes: Vec<Axis> = Vec::with_capacity(shape.len());
    for dim in &selection.slice.0 {
        let plain = |bound: i64| {
            u64::try_from(bound).map_err(|_| {
                Error::unprocessable("To extend an array, give the slice as non-negative numbers: its end may move.")
            })
        };
        match *dim {
            Dim::Ellipsis => (0..missing).for_each(|_| axes.push(whole(axes.len()))),
            Dim::Index(at) => axes.push(Axis { start: plain(at)?, count: 1, step: 1, keep: false }),
            Dim::Range { start, stop, step } => {
                if step.is_some_and(|step| step != 1) {
                    return Err(Error::unprocessable("Data can only be written to slices without steps."));
                }
                let start = start.map_or(Ok(0), plain)?;
                let stop = stop.map_or(Ok(shape[axes.len()]), plain)?;
                axes.push(Axis { start, count: stop.saturating_sub(start), step: 1, keep: true });
            }
        }
    }
    axes.extend((axes.len()..shape.len()).map(whole));
    Ok(Fitted(axes))
}

/// The structure when the region has been written.
///
/// # Errors
/// `Unprocessable` when the array would become too large.
pub(super) fn grown(structure: &ArrayStructure, region: &Fitted, chunk: &[u64]) -> Result<ArrayStructure> {
    let is_empty = region.0.iter().any(|axis| axis.count == 0);
    let ends = region.0.iter().map(|axis| axis.start.saturating_add(axis.count));
    let shape: Vec<u64> = structure.shape.iter().zip(ends).map(|(len, end)| end.max(*len)).collect();
    if is_empty || shape == structure.shape {
        return Ok(structure.clone());
    }
    let chunks = regular_chunks(&shape, chunk);
    let structure = ArrayStructure { shape, chunks, ..structure.clone() };
    structure.check()?;
    Ok(structure)
}

/// Writes `data` to the region, and then the shape to which the array has grown. When it returns, all is durable.
///
/// # Errors
/// `Unprocessable` when the data does not fit, or any error of its stream: then the array is what it was. `Gone`
/// when the array has been deleted meanwhile.
pub(super) async fn write(
    store: &Arc<Store>,
    dtype: &DType,
    region: &Fitted,
    data: ArrayData,
    grown: Option<Vec<u64>>,
) -> Result<()> {
    if data.dtype != *dtype {
        return Err(Error::unprocessable(format!("The array has the dtype {dtype}, but the data has {}.", data.dtype)));
    }
    if data.shape != region.shape() {
        return Err(Error::unprocessable(format!(
            "The data has the shape {:?}, but the part to be written has {:?}.",
            data.shape,
            region.shape()
        )));
    }
    let plan = Plan::new(&region.0, store.grid(), dtype.itemsize());
    let body = Body { pieces: data.pieces, rest: Bytes::new() };
    if plan.first().is_none() {
        return body.finish().await;
    }
    let mut staging = Staging::begin(store.clone(), plan).await?;
    match stage(&mut staging, body).await {
        Ok(()) => staging.publish(grown).await,
        Err(e) => {
            staging.discard().await;
            Err(e)
        }
    }
}

async fn stage(staging: &mut Staging, mut body: Body) -> Result<()> {
    for band in staging.plan().bands() {
        let items = body.take(staging.plan().nbytes(&band)).await?;
        staging.add(&band, items).await?;
    }
    body.finish().await
}

/// The incoming items, in portions of our choice.
struct Body {
    pieces: ByteStream,
    rest: Bytes,
}

impl Body {
    async fn take(&mut self, nbytes: usize) -> Result<Bytes> {
        while self.rest.is_empty() {
            self.rest = self.next().await?;
        }
        if self.rest.len() >= nbytes {
            return Ok(self.rest.split_to(nbytes));
        }
        let mut items = BytesMut::with_capacity(nbytes);
        loop {
            let wanted = nbytes - items.len();
            items.extend_from_slice(&self.rest.split_to(wanted.min(self.rest.len())));
            if items.len() == nbytes {
                return Ok(items.freeze());
            }
            self.rest = self.next().await?;
        }
    }

    async fn next(&mut self) -> Result<Bytes> {
        self.pieces.try_next().await?.ok_or_else(|| {
            Error::unprocessable("The body ends too early: it has fewer bytes than the part that is to be written.")
        })
    }

    async fn finish(mut self) -> Result<()> {
        let mut more = !self.rest.is_empty();
        while !more && let Some(piece) = self.pieces.try_next().await? {
            more = !piece.is_empty();
        }
        if more {
            return Err(Error::unprocessable(
                "The body is too long: it has more bytes than the part that is to be written.",
            ));
        }
        Ok(())
    }
}
