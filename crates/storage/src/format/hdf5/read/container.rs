//! Groups of HDF5 files as containers.

use std::sync::Arc;

use async_trait::async_trait;
use girih_model::structure::ContainerStructure;
use girih_model::{Data, Error, Json, Result, Selection, Spec, Structure};

use super::dataset::{self, Described};
use super::walk::{Kind, Object, Opened};
use super::{attributes, netcdf4};
use crate::dataset::Dataset;
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
        let (source, object, key) = (self.source.clone(), self.object.clone(), key.to_owned());
        if key == "." {
            return Ok(None);
        }
        let (path, mut above) = (format!("{}/{key}", self.path), self.above.to_vec());
        blocking(move || {
            let here = Object { file: Opened::open(object.file.location.clone())?, ..object.clone() };
            let link = if source.is_netcdf { netcdf4::link(&here, &key)? } else { Some(key.clone()) };
            let Some(link) = link else { return Ok(None) };
            let Some(child) = here.at(&link, &source.places)? else { return Ok(None) };
            above.push(object);
            if above.iter().any(|group| group.is(&child)) {
                return Err(Error::gone(format!("The link {key:?} leads back to a group that it lies in.")));
            }
            opened(source, path, child, Arc::new(above)).map(Some)
        })
        .await
    }
}
