//! Virtual datasets: detectors write frames to several files, and one that shows them as a whole.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use girih_model::slice::Axis;
use girih_model::{ArrayStructure, Data, Error, ErrorKind, Result, Selection, Structure};
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::datatype::Datatype;
use hdf5_reader::messages::{dataspace, datatype, fill_value};

use super::super::dtype::Item;
use super::super::storage::damaged;
use super::H5Dataset;
use super::mapping::{self, Mapping, Positions};
use super::raw;
use super::walk::{Kind, Object, Opened};
use crate::dataset::{Dataset, positions};
use crate::format::chunked::copy::{Layout, c_strides, copy};
use crate::format::chunked::recent::Use;
use crate::format::chunked::{self, Chunks, Load};
use crate::place::Places;

/// About the size of what is put together at once, in bytes.
const PIECE: u64 = 4 << 20;

const DATASPACE: u16 = 0x1;
const DATATYPE: u16 = 0x3;
const FILL_VALUE: u16 = 0x5;
const LAYOUT: u16 = 0x8;
const VIRTUAL: u8 = 3;

/// A virtual dataset as its file describes it.
pub(super) struct Described {
    pub(super) datatype: Datatype,
    pub(super) shape: Vec<u64>,
    fill: Option<Vec<u8>>,
    layout: Vec<u8>,
}

impl Described {
    /// `None` for an object of another kind.
    pub(super) fn of(object: &Object) -> Result<Option<Self>> {
        let file = &object.file.hdf5;
        let superblock = file.superblock();
        let (offset, length) = (superblock.offset_size, superblock.length_size);
        let messages = raw::messages(file, object.address)?;
        let find = |kind: u16| messages.iter().find(|message| message.kind == kind);
        let Some(layout) = find(LAYOUT).filter(|layout| layout.body.get(1) == Some(&VIRTUAL)) else { return Ok(None) };
        let needed = |kind: u16, what: &str| {
            let message = find(kind).ok_or_else(|| damaged(format!("a virtual dataset has no {what}")))?;
            if message.is_shared {
                return Err(Error::unsupported(format!("Virtual datasets with a named {what} are not read.")));
            }
            Ok(&message.body)
        };
        let space = needed(DATASPACE, "shape")?;
        let shape = dataspace::parse(&mut Cursor::new(space), offset, length, space.len()).map_err(damaged)?.dims;
        let body = needed(DATATYPE, "type")?;
        let datatype = datatype::parse(&mut Cursor::new(body), body.len()).map_err(damaged)?.datatype;
        let fill = find(FILL_VALUE).and_then(|fill| {
            let parsed = fill_value::parse_new(&mut Cursor::new(&fill.body), offset, length, fill.body.len());
            parsed.ok()?.value
        });
        Ok(Some(Self { datatype, shape, fill, layout: layout.body.clone() }))
    }
}

/// Opens a virtual dataset with the structure that it has.
pub(super) fn open(object: &Object, structure: ArrayStructure, places: &Places) -> Result<Arc<dyn Dataset>> {
    let described = Described::of(object)?.ok_or_else(|| damaged("a virtual dataset is none any more"))?;
    let (Item::Plain(dtype) | Item::Spaces(dtype)) = Item::of(&described.datatype)? else {
        return Err(Error::unsupported("Virtual datasets of texts or compounds with gaps are not read."));
    };
    if dtype.itemsize() != structure.dtype.itemsize() || structure.shape.len() != described.shape.len() {
        return Err(Error::unprocessable(format!(
            "The virtual dataset does not have the structure that is registered: it has the shape {:?} and the dtype {dtype}. Register it again.",
            described.shape
        )));
    }
    let mappings = mapping::of_layout(&object.file.hdf5, &described.layout)?;
    let mappings = mapping::expanded(mappings, &described.shape)?;
    let grid = chunked::stretch(&described.shape, dtype.itemsize(), PIECE);
    let fill = described.fill.filter(|fill| fill.len() == dtype.itemsize());
    let (object, places) = (object.clone(), places.clone());
    Ok(Arc::new(VirtualArray(Arc::new(Virtual { object, places, structure, mappings, grid, fill }))))
}

struct VirtualArray(Arc<Virtual>);

#[async_trait]
impl Dataset for VirtualArray {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let region = positions(&self.0.structure, selection)?;
        Ok(Data::Array(chunked::read(&self.0, &self.0.structure.dtype, region).await?))
    }
}

struct Virtual {
    object: Object,
    places: Places,
    structure: ArrayStructure,
    mappings: Vec<Mapping>,
    grid: Vec<u64>,
    /// What an item is that comes from nowhere; zeros without it.
    fill: Option<Vec<u8>>,
}

impl Chunks for Virtual {
    type Open = Arc<Virtual>;

    fn grid(&self) -> &[u64] {
        &self.grid
    }

    fn open(self: &Arc<Self>) -> Result<Arc<Virtual>> {
        Ok(self.clone())
    }
}

impl Load for Arc<Virtual> {
    fn load(&self, index: &[u64], _: Use) -> Result<Option<Bytes>> {
        let itemsize = self.structure.dtype.itemsize();
        let items = self.grid.iter().product::<u64>() as usize;
        let mut out = match &self.fill {
            Some(fill) => fill.repeat(items),
            None => vec![0; items * itemsize],
        };
        let start: Vec<u64> = index.iter().zip(&self.grid).map(|(n, len)| n * len).collect();
        for mapping in &self.mappings {
            self.place(mapping, &start, &mut out)?;
        }
        Ok(Some(out.into()))
    }
}

impl Virtual {
    /// Copies what a mapping gives to the chunk that begins at `start`.
    fn place(&self, mapping: &Mapping, start: &[u64], out: &mut [u8]) -> Result<()> {
        let shape = &self.structure.shape;
        let target = match &mapping.target {
            Some(axes) if axes.len() == shape.len() => {
                axes.iter().zip(shape).map(|(axis, len)| axis.within(*len)).collect::<Vec<_>>()
            }
            Some(_) => return Err(damaged("a part of a virtual dataset has other axes")),
            None => shape.iter().map(|len| Positions::all(*len)).collect(),
        };
        let wanted: Vec<_> = target
            .iter()
            .zip(start.iter().zip(self.grid.iter().zip(shape)))
            .map(|(axis, (start, (len, size)))| axis.between(*start, (start + len).min(*size)))
            .collect();
        if wanted.iter().any(|range| range.is_empty()) {
            return Ok(());
        }
        let Some(source) = self.source(mapping)? else { return Ok(()) };
        let itemsize = self.structure.dtype.itemsize();
        let from = match &mapping.source {
            Some(axes) if axes.len() == source.structure.shape.len() => {
                axes.iter().zip(&source.structure.shape).map(|(axis, len)| axis.within(*len)).collect::<Vec<_>>()
            }
            Some(_) => return Err(damaged("a part of a virtual dataset has other axes than its source")),
            None => source.structure.shape.iter().map(|len| Positions::all(*len)).collect(),
        };
        let pairs = paired(&target, &from)?;
        // Along each axis of the source: which positions, and how they lie in the chunk.
        let strides = c_strides(&self.grid, itemsize);
        let mut base = 0;
        let mut runs: Vec<Vec<Run>> = Vec::with_capacity(from.len());
        for ((axis, range), (start, stride)) in target.iter().zip(&wanted).zip(start.iter().zip(&strides)) {
            if axis.len() == 1 {
                base += (axis.at(0) - start) as usize * *stride as usize;
            }
            debug_assert!(range.end <= axis.len());
        }
        for (n, axis) in from.iter().enumerate() {
            runs.push(match pairs[n] {
                None => vec![Run { axis: Axis { start: axis.at(0), count: 1, step: 1, keep: true }, at: 0, step: 0 }],
                Some(t) => {
                    stretches(&target[t], axis, wanted[t].clone(), start[t], strides[t], &source.structure.shape, n)
                }
            });
        }
        if runs.iter().any(Vec::is_empty) {
            return Ok(());
        }
        let open = source.open()?;
        let mut choice = vec![0; runs.len()];
        loop {
            let chosen: Vec<&Run> = choice.iter().zip(&runs).map(|(n, runs)| &runs[*n]).collect();
            let axes: Vec<Axis> = chosen.iter().map(|run| run.axis).collect();
            let counts: Vec<u64> = axes.iter().map(|axis| axis.count).collect();
            let items = chunked::gather(&open, &axes, source.grid(), itemsize)?;
            let to = Layout {
                start: base + chosen.iter().map(|run| run.at).sum::<usize>(),
                strides: chosen.iter().map(|run| run.step).collect(),
            };
            let dense = Layout { start: 0, strides: c_strides(&counts, itemsize) };
            copy(out, &to, &items, &dense, &counts, itemsize);
            // The next combination.
            let Some(next) = (0..choice.len()).rev().find(|n| choice[*n] + 1 < runs[*n].len()) else { return Ok(()) };
            choice[next] += 1;
            choice[next + 1..].fill(0);
        }
    }

    /// The dataset that a mapping takes from; `None` when it is not there (yet): then its items have the fill value.
    fn source(&self, mapping: &Mapping) -> Result<Option<Arc<H5Dataset>>> {
        let file = match mapping.file.as_str() {
            "." => self.object.file.clone(),
            name => {
                let location = self.places.beside(&self.object.file.location, name)?;
                match Opened::open(location) {
                    Err(e) if e.kind() == ErrorKind::Gone => return Ok(None),
                    opened => opened?,
                }
            }
        };
        let found = Object::root(file)?.at(&mapping.dataset, &self.places)?;
        let Some(object) = found.filter(|object| object.kind().is_ok_and(|kind| kind == Kind::Dataset)) else {
            return Ok(None);
        };
        if object.is_virtual() {
            return Err(Error::unsupported("Virtual datasets of virtual datasets are not read."));
        }
        let structure = super::dataset::natural(&object)?;
        if structure.dtype.itemsize() != self.structure.dtype.itemsize() {
            return Err(Error::unsupported(format!(
                "A part of the virtual dataset has the dtype {}, and would have to be converted to {}.",
                structure.dtype, self.structure.dtype
            )));
        }
        Ok(Some(Arc::new(H5Dataset::new(&object, structure, &self.places)?)))
    }
}

/// A stretch of an axis of the source, and where it goes, in bytes.
struct Run {
    axis: Axis,
    at: usize,
    step: isize,
}

/// Which axis of the target belongs to each of the source: the axes of more than one position follow one another in both.
fn paired(target: &[Positions], source: &[Positions]) -> Result<Vec<Option<usize>>> {
    let long = |axes: &[Positions]| (0..axes.len()).filter(|n| axes[*n].len() != 1).collect::<Vec<_>>();
    let (targets, sources) = (long(target), long(source));
    let alike = targets.len() == sources.len()
        && targets
            .iter()
            .zip(&sources)
            .all(|(t, s)| target[*t].len() <= source[*s].len() || target[*t].count == u64::MAX);
    if !alike {
        return Err(Error::unsupported(
            "Virtual datasets whose parts have other shapes than their sources are not read.",
        ));
    }
    let mut pairs = vec![None; source.len()];
    for (t, s) in targets.into_iter().zip(sources) {
        pairs[s] = Some(t);
    }
    Ok(pairs)
}

/// The positions `numbers` of both axes, cut where one of them jumps.
fn stretches(
    target: &Positions,
    source: &Positions,
    numbers: std::ops::Range<u64>,
    start: u64,
    stride: isize,
    shape: &[u64],
    axis: usize,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut last: Option<(u64, u64)> = None;
    // A source that is still growing gives what it has.
    let end = numbers.end.min(source.len());
    for n in numbers.start..end {
        let (to, from) = (target.at(n), source.at(n));
        if from >= shape[axis] {
            break;
        }
        if let (Some(run), Some((to_before, from_before))) = (runs.last_mut(), last) {
            let (to_step, from_step) = ((to - to_before) as isize * stride, (from - from_before) as i64);
            if run.axis.count == 1 {
                (run.step, run.axis.step) = (to_step, from_step);
            }
            if (run.step, run.axis.step) == (to_step, from_step) {
                run.axis.count += 1;
                last = Some((to, from));
                continue;
            }
        }
        let at = (to - start) as usize * stride as usize;
        runs.push(Run { axis: Axis { start: from, count: 1, step: 1, keep: true }, at, step: stride });
        last = Some((to, from));
    }
    runs
}
