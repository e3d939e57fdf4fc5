//! One media type and all we can do with it.
//!
//! An adapter, a serializer, a deserializer and an extension-to-MIME entry are four faces of one
//! thing, so one file has them all. To add a format: write `format/<name>.rs` with its tests, put a
//! sample into `testdata/`, add one line to [`FORMATS`]; the conformance suite and the table in the
//! user guide follow from what it declares.

pub mod arrow_file;
pub mod parquet;
pub(crate) mod partition;
pub mod zarr;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use girih_model::{Asset, ByteStream, Data, DataSource, Error, Family, Json, Result, Spec, Structure};
use serde_json::{Map, Value};

use crate::dataset::Dataset;
use crate::place::{Location, Places};

mod blob;
mod blosc;
mod chunked;
pub(crate) mod conversion;
pub mod csv;
mod fits;
mod gaps;
mod guard;
pub mod hdf5;
pub mod html;
mod jpeg_stream;
pub mod json;
pub mod json_seq;
mod netcdf;
pub mod npy;
mod npz;
pub mod octet_stream;
pub mod png;
mod raster;
mod reshaped;
mod sequence;
mod shuffle;
mod spreadsheet;
pub mod tiff;
pub mod xls;
pub mod xlsx;

/// What it cannot do keeps the default, which refuses.
#[async_trait]
pub trait Format: Send + Sync {
    /// The media type, without parameters unless they are part of its identity.
    fn media_type(&self) -> &'static str;

    /// File-name extensions, and names for `?format=`; the preferred one first, without dots.
    fn extensions(&self) -> &'static [&'static str] {
        &[]
    }

    /// Endings of the names of files (and directories) of this media type, without the first dot.
    fn suffixes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether its assets are a list, even of one.
    fn lists_files(&self) -> bool {
        false
    }

    /// The media type of a sequence of such files, each of which is a frame.
    fn sequence(&self) -> Option<&'static str> {
        None
    }

    /// Families that [`Format::encode`] takes.
    fn encodes(&self) -> &'static [Family] {
        &[]
    }

    /// Families that [`Format::decode`] gives.
    fn decodes(&self) -> &'static [Family] {
        &[]
    }

    /// Families that [`Format::open`] gives.
    fn opens(&self) -> &'static [Family] {
        &[]
    }

    /// Families that [`Format::create`] makes room for.
    fn creates(&self) -> &'static [Family] {
        &[]
    }

    /// Turns data into a body of this media type, streaming where the format allows it.
    ///
    /// # Errors
    /// `NotAcceptable` when this data does not fit the format; the message says why and what to do.
    async fn encode(&self, data: Data, _options: &EncodeOptions) -> Result<Encoded> {
        Err(self.cannot_encode(data.family()))
    }

    /// Reads a body of this media type. `structure` is what the data must look like (for an array:
    /// the shape and dtype of the part that is being written).
    ///
    /// # Errors
    /// `Unprocessable` when the body is damaged or does not fit the structure.
    async fn decode(&self, _body: ByteStream, structure: &Structure) -> Result<Data> {
        Err(self.cannot_decode(structure.family()))
    }

    /// Finds out what is in files of this media type, so that they can be registered. Reads no more than it must.
    ///
    /// # Errors
    /// `Unprocessable` when they are not what the media type says, `Unsupported` when this kind is not read.
    async fn inspect(&self, _files: &Files, _places: &Places) -> Result<Inspected> {
        Err(Error::unsupported(format!("Files of the media type {} cannot be registered.", self.media_type())))
    }

    /// Opens a data source of this media type for reading and, if it is ours, for writing.
    async fn open(&self, _source: &DataSource, _places: &Places) -> Result<Arc<dyn Dataset>> {
        Err(Error::unsupported(format!("Data sources of the media type {} cannot be read.", self.media_type())))
    }

    /// Makes room for new data of this structure at `location`; returns the assets. Nothing has been written yet,
    /// but reading what was not written gives zeros (arrays) or no rows (tables).
    async fn create(&self, _location: &Location, _structure: &Structure) -> Result<Vec<Asset>> {
        Err(Error::unsupported_media_type(format!("The media type {} cannot be written.", self.media_type())))
    }

    /// The error for a family that [`Format::encodes`] does not list.
    fn cannot_encode(&self, family: Family) -> Error {
        Error::not_acceptable(format!("{} cannot hold data of the family {family}.", self.media_type()))
    }

    /// The error for a family that [`Format::decodes`] does not list.
    fn cannot_decode(&self, family: Family) -> Error {
        Error::unsupported_media_type(format!(
            "Bodies of the media type {} cannot be read as data of the family {family}.",
            self.media_type()
        ))
    }
}

/// Files that are to become a node.
#[derive(Debug, Clone)]
pub struct Files {
    /// With its parameters.
    pub media_type: String,
    /// Arguments of the format, as in a data source.
    pub parameters: Map<String, Value>,
    /// With their names and places in lists, as in a data source.
    pub assets: Vec<Asset>,
}

impl Files {
    /// In their order.
    ///
    /// # Errors
    /// Those of [`Places::locate`]; `Unprocessable` when there are none.
    pub(crate) fn locate(&self, places: &Places) -> Result<Vec<Location>> {
        of_source(&self.assets, places)
    }

    /// The one file that there is.
    pub(crate) fn locate_one(&self, places: &Places) -> Result<Location> {
        match self.locate(places)?.as_slice() {
            [one] => Ok(one.clone()),
            all => Err(Error::unprocessable(format!(
                "{} files were given, but data of the media type {} lies in one.",
                all.len(),
                self.media_type
            ))),
        }
    }
}

/// The files of a data source, in their order: those that are given to the format by a name. Others are only kept in mind,
/// such as the files that a virtual dataset is made of.
pub(crate) fn of_source(assets: &[Asset], places: &Places) -> Result<Vec<Location>> {
    let is_named = assets.iter().any(|asset| asset.parameter.is_some());
    let mut assets: Vec<&Asset> = assets.iter().filter(|asset| !is_named || asset.parameter.is_some()).collect();
    assets.sort_by_key(|asset| asset.num);
    if assets.is_empty() {
        return Err(Error::unprocessable("There are no files: a data source needs at least one asset."));
    }
    assets.into_iter().map(|asset| places.locate(&asset.data_uri)).collect()
}

/// What is in files.
#[derive(Debug, Clone)]
pub struct Inspected {
    pub structure: Structure,
    /// What the files say of themselves: a JSON object.
    pub metadata: Json,
    pub specs: Vec<Spec>,
}

impl From<Structure> for Inspected {
    fn from(structure: Structure) -> Self {
        Self { structure, metadata: Json::object(), specs: Vec::new() }
    }
}

/// A body on its way out.
pub struct Encoded {
    /// With parameters, as it goes into `Content-Type`.
    pub media_type: String,
    /// Bytes, when known beforehand.
    pub length: Option<u64>,
    pub body: ByteStream,
    /// Bytes of one array item, which helps a compressor to shuffle; 1 when meaningless.
    pub itemsize: usize,
}

/// What a caller may say about how data is encoded.
#[derive(Debug, Clone)]
pub struct EncodeOptions {
    /// Parameters of the requested media type, such as `header=absent`.
    pub parameters: BTreeMap<String, String>,
    /// Query parameters of the request that only some encoders know: `vmin`, `vmax`, `cmap`, `log`.
    pub query: BTreeMap<String, String>,
    /// Metadata of the node.
    pub metadata: Json,
    /// Path of the node, for titles.
    pub title: String,
    /// Most bytes that an encoder which needs the whole may hold.
    pub memory_limit: u64,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            parameters: BTreeMap::new(),
            query: BTreeMap::new(),
            metadata: Json::object(),
            title: String::new(),
            memory_limit: 256 << 20,
        }
    }
}

/// Every format. The first one that encodes a family is that family's default.
pub static FORMATS: &[&dyn Format] = &[
    &zarr::Zarr,
    &octet_stream::OctetStream,
    &arrow_file::ArrowFile,
    &parquet::Parquet,
    &hdf5::Hdf5,
    &netcdf::NetCdf,
    &fits::Fits,
    &json::Json,
    &json_seq::JsonSeq,
    &csv::CSV,
    &csv::CSV_UNREGISTERED,
    &csv::PLAIN,
    &csv::SEVERAL,
    &csv::CsvArrays,
    &csv::TABS,
    &npy::Npy,
    &sequence::NPY,
    &npz::Npz,
    &png::Png,
    &sequence::PNG,
    &raster::Jpeg,
    &sequence::JPEG,
    &tiff::Tiff,
    &sequence::TIFF,
    &html::Html,
    &xlsx::Xlsx,
    &xls::Xls,
];

/// The format of this media type; parameters count only where they are part of a format's identity.
pub fn by_media_type(media_type: &str) -> Option<&'static dyn Format> {
    // Spaces around the parameters mean nothing (RFC 9110, 8.3.1).
    let parts: Vec<&str> = media_type.split(';').map(str::trim).collect();
    let find = |wanted: &str| FORMATS.iter().copied().find(|format| format.media_type().eq_ignore_ascii_case(wanted));
    find(&parts.join(";")).or_else(|| find(parts.first()?))
}

/// The media type of the files with this name, by the longest of its endings that is known: of `a.tar.gz`, `tar.gz` comes
/// before `gz`.
pub fn media_type_of(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let endings = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
    endings.into_iter().find_map(|ending| {
        FORMATS.iter().find(|format| format.suffixes().contains(&ending)).map(|format| format.media_type())
    })
}

/// The media type of a sequence of files of this one.
pub fn sequence_of(media_type: &str) -> Option<&'static str> {
    by_media_type(media_type).and_then(|format| format.sequence())
}

/// The format that encodes this family and has this media type or extension.
pub fn encoder(family: Family, name: &str) -> Option<&'static dyn Format> {
    encoders(family)
        .find(|format| format.media_type().eq_ignore_ascii_case(name) || format.extensions().contains(&name))
}

/// All formats that this family can be exported to, the default first.
pub fn encoders(family: Family) -> impl Iterator<Item = &'static dyn Format> {
    FORMATS.iter().copied().filter(move |format| format.encodes().contains(&family))
}
