//! Datasets of HDF5 files as the files describe them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_model::dtype::{Endianness, Kind, ScalarType};
use girih_model::structure::array::{Chunks, nbytes};
use girih_model::{ArrayData, ArrayStructure, DType, Data, Error, Json, Result, Selection, Spec, Structure};
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::dataspace::DataspaceType;
use hdf5_reader::messages::layout::DataLayout;

use super::super::dtype::{Item, check};
use super::super::series::Series;
use super::super::storage::damaged;
use super::container::Source;
use super::walk::Object;
use super::{H5Array, H5Dataset, attributes, netcdf4, text, virtual_dataset};
use crate::dataset::{Dataset, positions};
use crate::format::chunked;
use crate::format::reshaped::reshaped;
use crate::place::Places;

/// A dataset: its structure over all files, and its attributes in the first.
pub(super) struct Described {
    pub(super) structure: ArrayStructure,
    pub(super) metadata: Json,
    specs: Vec<Spec>,
    objects: Vec<Object>,
    /// There is more of it than was written.
    is_padded: bool,
}

/// What a file says of its part of a dataset.
struct Shape {
    item: Item,
    /// `None` for a null dataspace.
    shape: Option<Vec<u64>>,
    chunk: Option<Vec<u64>>,
}

impl Described {
    /// # Errors
    /// `Unsupported` for items that no array can hold, `Unprocessable` when the files do not fit together.
    pub(super) fn of(source: &Source, path: &str, object: &Object) -> Result<Self> {
        let mut objects = vec![object.clone()];
        for file in source.files.iter().skip(1) {
            objects.push(source.object_in(file, path)?);
        }
        let structure = structure_of(&objects)?;
        Ok(Self { structure, metadata: attributes::of(object), specs: Vec::new(), objects, is_padded: false })
    }

    /// A variable of netCDF: its dimensions have names, and a scalar has none.
    pub(super) fn of_variable(object: &Object, name: &str) -> Result<Self> {
        let (natural, shape) = (natural(object)?, shape_of(object)?);
        let (dims, lengths) = netcdf4::dims(object, name, &shape, &grows(object));
        let specs = netcdf4::specs(name, &dims);
        let is_padded = lengths != shape;
        let structure = match lengths == natural.shape {
            true => natural,
            false => chunked::unchunked(natural.dtype, lengths),
        };
        let structure = ArrayStructure { dims: Some(dims), ..structure };
        let metadata = netcdf4::metadata(object);
        Ok(Self { structure, metadata, specs, objects: vec![object.clone()], is_padded })
    }
}

impl Shape {
    fn of(object: &Object) -> Result<Self> {
        if object.is_virtual()
            && let Some(found) = virtual_dataset::Described::of(object)?
        {
            return Ok(Self { item: Item::of(&found.datatype)?, shape: Some(found.shape), chunk: None });
        }
        let header = object.header()?;
        let (mut item, mut shape, mut chunk) = (None, None, None);
        // What is not read is told before anything of it is shown.
        if let Ok(raw) = object.raw_datatype() {
            check(&raw)?;
        }
        for message in &header.messages {
            match message {
                HdfMessage::Datatype(message) => item = Some(Item::of(&message.datatype)?),
                HdfMessage::Dataspace(space) => {
                    shape = Some(match space.dataspace_type {
                        DataspaceType::Null => None,
                        _ => Some(space.dims.clone()),
                    });
                }
                HdfMessage::DataLayout(message) => {
                    if let DataLayout::Chunked { dims, .. } = &message.layout {
                        chunk = Some(dims.iter().map(|len| u64::from(*len)).collect::<Vec<_>>());
                    }
                }
                _ => {}
            }
        }
        let shape = shape.ok_or_else(|| damaged("a dataset has no shape"))?;
        let axes = shape.as_ref().map_or(0, Vec::len);
        // Some versions count the size of an item as an axis.
        let chunk = chunk.and_then(|chunk: Vec<u64>| chunk.get(..axes).map(<[u64]>::to_vec));
        Ok(Self { item: item.ok_or_else(|| damaged("a dataset has no type"))?, shape, chunk })
    }

    /// One item on its own, or none at all.
    fn is_hollow(&self) -> bool {
        self.shape.as_ref().is_none_or(|shape| shape.is_empty() || shape.contains(&0))
    }
}

/// Which axes have no end.
fn grows(object: &Object) -> Vec<bool> {
    let messages = object.header().map(|header| header.messages.clone()).unwrap_or_default();
    let most = messages.into_iter().find_map(|message| match message {
        HdfMessage::Dataspace(space) => space.max_dims,
        _ => None,
    });
    most.unwrap_or_default().into_iter().map(|most| most == u64::MAX).collect()
}

/// The shape of a dataset in its file.
pub(super) fn shape_of(object: &Object) -> Result<Vec<u64>> {
    Ok(Shape::of(object)?.shape.unwrap_or_else(|| vec![0]))
}

/// The structure of a dataset.
pub(super) fn natural(object: &Object) -> Result<ArrayStructure> {
    structure_of(std::slice::from_ref(object))
}

/// The structure of datasets that continue each other.
fn structure_of(objects: &[Object]) -> Result<ArrayStructure> {
    let shapes = objects.iter().map(Shape::of).collect::<Result<Vec<_>>>()?;
    let mut dtypes = Vec::with_capacity(shapes.len());
    for (shape, object) in shapes.iter().zip(objects) {
        dtypes.push(match &shape.item {
            Item::Plain(dtype) | Item::Gaps(dtype, _) | Item::Spaces(dtype) => dtype.clone(),
            // As the reference has it: a fixed length that all fit in, and nothing instead of lists.
            Item::Text => bytes(text::longest(object, shape.shape.as_deref().unwrap_or(&[0]))?)?,
            Item::List => bytes(1)?,
        });
    }
    let is_text = shapes.iter().any(|shape| matches!(shape.item, Item::Text));
    let longest = dtypes.iter().max_by_key(|dtype| dtype.itemsize()).filter(|_| is_text).cloned();
    let first = longest.or_else(|| dtypes.first().cloned());
    let dtype = first.ok_or_else(|| Error::unprocessable("A dataset lies in at least one file."))?;
    if let Some(odd) = dtypes.iter().find(|odd| **odd != dtype && !is_text) {
        return Err(Error::unprocessable(format!("The files have different dtypes: {dtype} and {odd}.")));
    }
    structure(&shapes, dtype)
}

fn bytes(len: usize) -> Result<DType> {
    ScalarType::new(Kind::Bytes, len, Endianness::NotApplicable, None).map(DType::Scalar)
}

/// Scalars and what is empty are stacked, all else continues along the first axis.
fn structure(shapes: &[Shape], dtype: DType) -> Result<ArrayStructure> {
    let first = shapes.first().ok_or_else(|| Error::unprocessable("A dataset lies in at least one file."))?;
    let files = shapes.len() as u64;
    if shapes.iter().all(Shape::is_hollow) {
        let shape = first.shape.clone().unwrap_or_else(|| vec![0]);
        return Ok(ArrayStructure::new(dtype, [vec![files], shape].concat()));
    }
    let known: Vec<_> = shapes.iter().filter_map(|shape| Some((shape.shape.as_ref()?, shape))).collect();
    let others = known[0].0.get(1..).unwrap_or_default();
    if known.len() < shapes.len() || known.iter().any(|(shape, _)| shape.is_empty() || shape[1..] != *others) {
        return Err(Error::unprocessable("The files have different shapes, not only along the first axis."));
    }
    let chunk = |at: usize, shape: &Shape, len: u64| match &shape.chunk {
        Some(chunk) => chunk[at].clamp(1, len.max(1)),
        None => whole(shape, &dtype, at, len),
    };
    let mut rows = Vec::new();
    for (shape, described) in &known {
        rows.extend_from_slice(Chunks::listed(shape[0], chunk(0, described, shape[0])).runs());
    }
    let mut chunks = vec![Chunks::from_runs(rows)];
    for (at, len) in others.iter().enumerate() {
        let smallest = known.iter().map(|(_, shape)| chunk(at + 1, shape, *len)).min().unwrap_or(*len);
        chunks.push(Chunks::listed(*len, smallest));
    }
    let len = known.iter().try_fold(0u64, |len, (shape, _)| len.checked_add(shape[0]));
    let len = len.ok_or_else(|| damaged("its datasets are longer together than any array"))?;
    let others = others.to_vec();
    Ok(ArrayStructure { chunks, ..ArrayStructure::new(dtype, [vec![len], others].concat()) })
}

/// What has no chunks is one, unless that would be too large to be sent.
fn whole(shape: &Shape, dtype: &DType, at: usize, len: u64) -> u64 {
    let structure = chunked::unchunked(dtype.clone(), shape.shape.clone().unwrap_or_default());
    structure.chunks.get(at).map_or(len, Chunks::longest)
}

/// Opens a dataset with the structure that its files have. May block.
pub(super) fn open(described: Described, places: &Places) -> Result<Arc<dyn Dataset>> {
    let Described { structure, metadata, specs, objects, is_padded } = described;
    let dataset = match is_padded {
        true => padded(objects, structure, places)?,
        false => with_structure(objects, structure, places)?,
    };
    Ok(Arc::new(WithAttributes { dataset, metadata, specs }))
}

/// Opens a dataset that has the fill value where the structure goes beyond it.
fn padded(objects: Vec<Object>, structure: ArrayStructure, places: &Places) -> Result<Arc<dyn Dataset>> {
    if objects.iter().any(|object| Shape::of(object).is_ok_and(|shape| shape.item == Item::Text)) {
        return text::open(objects, structure);
    }
    let object = objects.first().ok_or_else(|| Error::unprocessable("A dataset lies in at least one file."))?;
    let dataset = H5Dataset::new(object, structure, places)?;
    Ok(Arc::new(H5Array(Arc::new(H5Dataset { is_padded: true, ..dataset }))))
}

/// Opens datasets that are to have this structure together.
pub(super) fn with_structure(
    objects: Vec<Object>,
    structure: ArrayStructure,
    places: &Places,
) -> Result<Arc<dyn Dataset>> {
    if structure.nbytes() == Some(0) {
        return Ok(Arc::new(Hollow(structure)));
    }
    // A growing dataset may be shorter, or longer, than it was registered; all else is another shape of the same items.
    if let Ok(natural) = structure_of(&objects)
        && !structure.shape.is_empty()
        && (natural.shape.len() != structure.shape.len() || natural.shape[1..] != structure.shape[1..])
    {
        return reshaped(with_structure(objects, natural, places)?, &structure);
    }
    if let Some(object) = objects.iter().find(|object| object.is_virtual()) {
        if objects.len() > 1 {
            return Err(Error::unsupported("Virtual datasets are not read from several files. Register each alone."));
        }
        return virtual_dataset::open(object, structure, places);
    }
    let items: Vec<Item> = objects.iter().filter_map(|object| Some(Shape::of(object).ok()?.item)).collect();
    let is = |item: &Item| items.contains(item);
    if is(&Item::Text) {
        return text::open(objects, structure);
    }
    Ok(match objects.as_slice() {
        _ if is(&Item::List) => Arc::new(Hollow(structure)),
        [object] => Arc::new(H5Array(Arc::new(H5Dataset::new(object, structure, places)?))),
        _ => {
            let files = objects.into_iter().map(|object| (object.file.location.clone(), object.path));
            Arc::new(Series::new(files.collect(), structure, places)?)
        }
    })
}

struct WithAttributes {
    dataset: Arc<dyn Dataset>,
    metadata: Json,
    specs: Vec<Spec>,
}

#[async_trait]
impl Dataset for WithAttributes {
    fn structure(&self) -> Structure {
        self.dataset.structure()
    }

    fn metadata(&self) -> Json {
        self.metadata.clone()
    }

    fn specs(&self) -> Vec<Spec> {
        self.specs.clone()
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        self.dataset.read(selection).await
    }
}

/// An array without a value: of nothing, or of what no array holds.
struct Hollow(ArrayStructure);

#[async_trait]
impl Dataset for Hollow {
    fn structure(&self) -> Structure {
        Structure::Array(self.0.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let shape = positions(&self.0, selection)?.shape();
        let dtype = self.0.dtype.clone();
        let mut left = nbytes(&dtype, &shape).ok_or_else(|| damaged("an array is larger than any file"))?;
        let pieces = std::iter::from_fn(move || {
            let len = left.min(ZEROS.len() as u64);
            left -= len;
            (len > 0).then(|| Ok(Bytes::from_static(&ZEROS[..len as usize])))
        });
        Ok(Data::Array(ArrayData { dtype, shape, pieces: stream::iter(pieces).boxed() }))
    }
}
