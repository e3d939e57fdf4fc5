//! Groups of HDF5 files as containers.

use std::sync::Arc;

use async_trait::async_trait;
use girih_model::structure::ContainerStructure;
use girih_model::{Data, Error, Json, Result, Selection, Spec, Structure};

use super::dataset::{self, Described};
use super::walk::{Kind, Members, Object, Opened};
use super::{attributes, netcdf4};
use crate::dataset::{Child, Dataset};
use crate::place::{Location, Places};
use crate::pool::blocking;

/// The files of a data source: the tree is that of the first, and datasets go over all of them.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) files: Arc<Vec<Location>>,
    pub(super) places: Places,
    /// One file of netCDF-4.
    pub(super) is_netcdf: bool,
}

impl Source {
    /// The object at a path of the first file.
    pub(super) fn object(&self, path: &str) -> Result<Object> {
        let first = self.files.first();
        self.object_in(first.ok_or_else(|| Error::unprocessable("An HDF5 data source has at least one file."))?, path)
    }

    pub(super) fn object_in(&self, file: &Location, path: &str) -> Result<Object> {
        let found = Object::root(Opened::open(file.clone())?)?.at(path, &self.places)?;
        found.ok_or_else(|| {
            Error::gone(format!("The file has no {path:?}. Register it again."))
                .context(format!("reading {}", file.absolute().display()))
        })
    }

    /// The objects at a path of all files.
    pub(super) fn objects(&self, path: &str) -> Result<Vec<Object>> {
        self.files.iter().map(|file| self.object_in(file, path)).collect()
    }
}

pub(super) struct H5Group {
    source: Source,
    /// As it was asked for, from the root of the first file.
    path: String,
    object: Object,
    /// Groups that this one lies in: a link back to one of them would have no end.
    above: Arc<Vec<Object>>,
    metadata: Json,
    keys: Vec<String>,
    specs: Vec<Spec>,
}

impl H5Group {
    fn new(source: Source, path: String, object: Object, above: Arc<Vec<Object>>) -> Result<Self> {
        let (keys, specs) = keys(&source, &object)?;
        let metadata = if source.is_netcdf { netcdf4::metadata(&object) } else { attributes::of(&object) };
        Ok(Self { source, path, object, above, metadata, keys, specs })
    }
}

/// The names of what a group has, and the conventions that it follows.
fn keys(source: &Source, group: &Object) -> Result<(Vec<String>, Vec<Spec>)> {
    if source.is_netcdf {
        return netcdf4::keys(group);
    }
    Ok((group.members()?.links.iter().map(|link| link.name.clone()).collect(), Vec::new()))
}

/// Opens whatever is at a path. May block.
pub(super) fn open(source: &Source, path: &str) -> Result<Arc<dyn Dataset>> {
    let object = source.object(path)?;
    let is_netcdf = source.is_netcdf || source.files.len() == 1 && netcdf4::is_one(&Object::root(object.file.clone())?);
    opened(Source { is_netcdf, ..source.clone() }, path.to_owned(), object, Arc::default())
}

fn opened(source: Source, path: String, object: Object, above: Arc<Vec<Object>>) -> Result<Arc<dyn Dataset>> {
    match object.kind()? {
        Kind::Group => Ok(Arc::new(H5Group::new(source, path, object, above)?)),
        Kind::Dataset if source.is_netcdf => {
            let name = path.rsplit('/').next().unwrap_or_default();
            dataset::open(Described::of_variable(&object, name)?, &source.places)
        }
        Kind::Dataset => dataset::open(Described::of(&source, &path, &object)?, &source.places),
        Kind::Other => Err(Error::unsupported(format!("{path:?} is a datatype with a name, not data."))),
    }
}

/// What a group has under several keys: the file is opened once for them, and the group walked once. May block.
fn members(
    source: &Source,
    path: &str,
    group: &Object,
    above: &Arc<Vec<Object>>,
    keys: &[String],
) -> Result<Vec<Child>> {
    // It may have grown.
    let now = Object { file: Opened::open(group.file.location.clone())?, ..group.clone() };
    let members = now.members()?;
    Ok(keys.iter().map(|key| member(source, path, &now, &members, above, key)).collect())
}

fn member(
    source: &Source,
    path: &str,
    group: &Object,
    members: &Members,
    above: &Arc<Vec<Object>>,
    key: &str,
) -> Child {
    let name = if source.is_netcdf { netcdf4::link(group, members, key) } else { Some(key.to_owned()) };
    let Some(link) = name.and_then(|name| members.find(&name)) else { return Ok(None) };
    let child = group.linked(link, &source.places)?;
    if above.iter().any(|group| group.is(&child)) {
        return Err(Error::gone(format!("The link {key:?} leads back to a group that it lies in.")));
    }
    opened(source.clone(), format!("{path}/{key}"), child, above.clone()).map(Some)
}

#[async_trait]
impl Dataset for H5Group {
    fn structure(&self) -> Structure {
        Structure::Container(ContainerStructure { keys: self.keys.clone() })
    }

    fn metadata(&self) -> Json {
        self.metadata.clone()
    }

    fn specs(&self) -> Vec<Spec> {
        self.specs.clone()
    }

    async fn read(&self, _: &Selection) -> Result<Data> {
        Err(Error::unsupported("A group of a file is not read as one. Read its children."))
    }

    async fn keys(&self) -> Result<Vec<String>> {
        let (source, object) = (self.source.clone(), self.object.clone());
        // It may have grown.
        blocking(move || {
            let now = Object { file: Opened::open(object.file.location.clone())?, ..object };
            Ok(keys(&source, &now)?.0)
        })
        .await
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        self.children(&[key.to_owned()]).await?.pop().unwrap_or(Ok(None))
    }

    async fn children(&self, keys: &[String]) -> Result<Vec<Child>> {
        let (source, path, object) = (self.source.clone(), self.path.clone(), self.object.clone());
        let above: Vec<_> = self.above.iter().cloned().chain([object.clone()]).collect();
        let keys = keys.to_owned();
        blocking(move || members(&source, &path, &object, &Arc::new(above), &keys)).await
    }
}

#[cfg(test)]
mod tests {
    use futures::future::FutureExt;
    use futures::stream::{self, StreamExt};
    use girih_model::data::TreeData;
    use girih_model::{ArrayData, ArrayStructure, DType, Family, TreeEntry};

    use super::*;
    use crate::format::conversion::gather;
    use crate::format::hdf5::Hdf5;
    use crate::format::{EncodeOptions, Format};
    use crate::place::Directory;

    fn array(n: usize) -> Result<TreeEntry> {
        let structure = ArrayStructure::new(DType::of("u1"), vec![1]);
        let read = || {
            let data = Data::Array(ArrayData::whole(DType::of("u1"), vec![1], vec![7]));
            async { Ok(data) }.boxed()
        };
        Ok(TreeEntry {
            keys: vec![format!("{n:05}")],
            family: Family::Array,
            metadata: Json::parse("{\"a\": 1}").unwrap(),
            specs: Vec::new(),
            structure: Some(Structure::Array(structure)),
            read: Some(Arc::new(read)),
        })
    }

    /// Calls that have read, of this thread.
    fn reads() -> usize {
        let counted = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        counted.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
    }

    /// Calls that read it takes to open some of the children of a group.
    async fn cost(children: usize, opened: usize) -> usize {
        let temp = tempfile::tempdir().unwrap();
        let entries = stream::iter((0..children).map(array)).boxed();
        let tree = Data::Tree(TreeData { metadata: Json::object(), entries });
        let encoded = Hdf5.encode(tree, &EncodeOptions::default()).await.unwrap();
        std::fs::write(temp.path().join("x.h5"), gather(encoded.body).await.unwrap()).unwrap();
        let file = Directory::open(temp.path(), false).unwrap().root().child("x.h5").unwrap();
        let source = Source { files: Arc::new(vec![file]), places: Places::default(), is_netcdf: false };
        let group = source.object("").unwrap();
        let (keys, _) = keys(&source, &group).unwrap();
        let before = reads();
        let found = members(&source, "", &group, &Arc::default(), &keys[..opened]).unwrap();
        assert!(found.into_iter().all(|child| child.unwrap().unwrap().structure().as_array().is_some()));
        reads() - before
    }

    #[tokio::test]
    async fn a_group_is_walked_once_for_all_of_its_children() {
        let each = |all: usize, one: usize| (all - one) as f64 / 10.0;
        let large = each(cost(3000, 11).await, cost(3000, 1).await);
        let small = each(cost(20, 11).await, cost(20, 1).await);
        assert!(large < small + 1.0, "{large} reads for each child of many, {small} of few");
    }
}
