//! What every format that stores data must do, tested once for all of them: what was written, in
//! whatever parts, reads back in whatever parts, as if it had been sliced in memory.

mod arrays;
mod samples;
mod tables;

use std::sync::Arc;

use futures::TryStreamExt;
use girih_model::node::Management;
use girih_model::slice::{Axis, Dim, Fitted, Slice};
use girih_model::{Asset, Data, DataSource, NodePath, Structure};
use proptest::prelude::*;

use crate::dataset::Dataset;
use crate::place::{Directory, Places};
use crate::{Storage, StorageOptions};

/// A storage in a temporary directory.
pub(crate) struct Room {
    pub directory: tempfile::TempDir,
    pub storage: Storage,
}

impl Room {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::new(vec![Directory::open(directory.path(), true).unwrap()], vec![]);
        Self { directory, storage: Storage::new(StorageOptions { places }) }
    }

    pub(crate) async fn create(&self, structure: &Structure, media_type: &str) -> DataSource {
        let path = NodePath::parse("a/b").unwrap();
        let (mimetype, assets) = self.storage.create(&path, structure, Some(media_type)).await.unwrap();
        source(structure.clone(), mimetype, assets)
    }

    pub(crate) async fn open(&self, source: &DataSource) -> Arc<dyn Dataset> {
        self.storage.open(source).await.unwrap()
    }
}

pub(crate) fn source(structure: Structure, mimetype: String, assets: Vec<Asset>) -> DataSource {
    DataSource {
        id: None,
        structure,
        mimetype,
        parameters: Default::default(),
        properties: Default::default(),
        management: Management::Writable,
        assets,
    }
}

/// Slicing in memory, as simply as can be.
pub(crate) fn pick(items: &[u8], shape: &[u64], itemsize: usize, region: &Fitted) -> Vec<u8> {
    let mut picked = Vec::new();
    for_each_position(&region.0, &mut |position| {
        let at = position.iter().zip(shape).fold(0, |at, (n, len)| at * *len as usize + *n as usize) * itemsize;
        picked.extend_from_slice(&items[at..at + itemsize]);
    });
    picked
}

/// The opposite: puts items into their places.
pub(crate) fn put(items: &mut [u8], shape: &[u64], itemsize: usize, region: &Fitted, new: &[u8]) {
    let mut new = new.chunks_exact(itemsize);
    for_each_position(&region.0, &mut |position| {
        let at = position.iter().zip(shape).fold(0, |at, (n, len)| at * *len as usize + *n as usize) * itemsize;
        items[at..at + itemsize].copy_from_slice(new.next().unwrap());
    });
}

fn for_each_position(axes: &[Axis], visit: &mut dyn FnMut(&[u64])) {
    fn walk(axes: &[Axis], position: &mut Vec<u64>, visit: &mut dyn FnMut(&[u64])) {
        let Some((axis, rest)) = axes.split_first() else { return visit(position) };
        for n in 0..axis.count {
            position.push(axis.at(n));
            walk(rest, position, visit);
            position.pop();
        }
    }
    walk(axes, &mut Vec::new(), visit);
}

/// Any slice that fits an array of this shape.
pub(crate) fn slices(shape: Vec<u64>) -> impl Strategy<Value = Slice> {
    let dims: Vec<_> = shape.into_iter().map(|len| dim(len as i64)).collect();
    (dims, any::<prop::sample::Index>(), 0u8..3).prop_map(|(mut dims, at, shortened)| {
        match shortened {
            // Leave some axes to an ellipsis, or to the end.
            1 if !dims.is_empty() => {
                let at = at.index(dims.len());
                dims[at] = Dim::Ellipsis;
            }
            2 => dims.truncate(at.index(dims.len() + 1)),
            _ => {}
        }
        Slice(dims)
    })
}

fn dim(len: i64) -> BoxedStrategy<Dim> {
    let bound = move || prop::option::of(-len - 2..len + 3);
    let step = prop::option::of(prop_oneof![1i64..4, -3i64..0]);
    let range = (bound(), bound(), step).prop_map(|(start, stop, step)| Dim::Range { start, stop, step });
    if len == 0 { range.boxed() } else { prop_oneof![3 => range, 1 => (-len..len).prop_map(Dim::Index)].boxed() }
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// All pieces of an array, which must be as many bytes as its shape says.
pub(crate) async fn gather(data: Data) -> (Vec<u64>, Vec<u8>) {
    let Data::Array(array) = data else { panic!("not an array") };
    let expected = array.nbytes();
    let pieces: Vec<bytes::Bytes> = array.pieces.try_collect().await.unwrap();
    let bytes = pieces.concat();
    assert_eq!(bytes.len() as u64, expected);
    (array.shape, bytes)
}
