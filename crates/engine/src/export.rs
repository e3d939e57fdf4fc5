//! Data out of the house, in the format of choice.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures::TryStreamExt;
use girih_model::{ArrayStructure, Data, Error, Family, NodePath, Part, Result, Selection, Structure};
use girih_storage::dataset::positions;
use girih_storage::format::{self, Format};
use girih_storage::{Dataset, EncodeOptions, Encoded, variables};
use sha2::{Digest, Sha256};

use crate::access::Permission;
use crate::find::Found;
use crate::read::Opened;
use crate::{Caller, Engine};

/// Media types that the caller would take, best first, as the door has understood `Accept` or `?format=`.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// `?format=`: media types or extensions; the first that the family can be exported to.
    Format(Vec<MediaRange>),
    /// `Accept`, sorted by preference.
    Accept(Vec<MediaRange>),
}

/// `text/csv;header=absent`, `image/*`, `*/*`, or an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange {
    pub name: String,
    pub parameters: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct ExportRequest {
    pub families: Vec<Family>,
    pub selection: Selection,
    /// What the caller believes the result's shape to be.
    pub expected_shape: Option<Vec<u64>>,
    pub wanted: Wanted,
    /// Content codings in which stored bytes may go out untouched.
    pub accept_encoding: Vec<String>,
    /// `vmin`, `vmax`, `cmap`, `log`.
    pub query: BTreeMap<String, String>,
    /// ETags (without quotes) that the caller has; `*` matches all.
    pub if_none_match: Vec<String>,
}

pub enum Exported {
    /// The caller's copy is current.
    NotModified { etag: String },
    Body {
        encoded: Encoded,
        /// Without quotes; absent where it cannot be told cheaply.
        etag: Option<String>,
        /// Set when `encoded` is already in this content coding.
        content_encoding: Option<&'static str>,
    },
}

impl Engine {
    /// Reads and encodes the selected part. The cheap checks (family, shape, media type, size limit, ETag) come before any byte is read.
    pub async fn export(&self, caller: &Caller, path: &NodePath, request: ExportRequest) -> Result<Exported> {
        caller.require(&[Permission::ReadData])?;
        let found = self.find(path).await?;
        found.must_be(&request.families)?;
        if found.family() == Family::Container {
            caller.require(&[Permission::ReadMetadata])?;
            return export_tree(found, path, request).await;
        }
        let opened = found.open().await?;
        let structure = opened.dataset.structure();
        if let Structure::Array(array) = &structure {
            self.check_array(array, &request)?;
        }
        let (format, parameters) = choose(opened.entry.family, &request.wanted)?;
        let etag = opened.version.as_ref().map(|version| etag(version, &opened, &request, format, &parameters));
        if let Some(etag) =
            etag.clone().filter(|etag| request.if_none_match.iter().any(|known| known == etag || known == "*"))
        {
            return Ok(Exported::NotModified { etag });
        }
        if let Some(untouched) = untouched(&*opened.dataset, format, &request).await? {
            let (encoded, coding) = untouched;
            return Ok(Exported::Body { encoded, etag, content_encoding: coding });
        }
        if structure.family() == Family::Table {
            self.check_table(&*opened.dataset, &request.selection).await?;
        }
        let data = opened.dataset.read(&request.selection).await?;
        let options = options(parameters, request.query, opened.entry.metadata, path);
        let encoded = format.encode(data, &options).await?;
        Ok(Exported::Body { encoded, etag, content_encoding: None })
    }

    /// Refuses a selection that does not fit, or that is larger than the configured limit.
    fn check_array(&self, array: &ArrayStructure, request: &ExportRequest) -> Result<()> {
        let shape = positions(array, &request.selection)?.shape();
        if let Some(expected) = &request.expected_shape
            && *expected != shape
        {
            return Err(Error::unprocessable(format!(
                "The expected shape {} does not match the actual shape {} that would result from the requested block and slice.",
                tuple(expected),
                tuple(&shape)
            )));
        }
        let bytes = girih_model::structure::array::nbytes(&array.dtype, &shape);
        match self.inner.options.response_bytesize_limit {
            Some(limit) if bytes.is_none_or(|bytes| bytes > limit) => Err(too_large(limit, "slicing ('?slice=...')")),
            _ => Ok(()),
        }
    }

    /// The rows of a table tell their size only when they are read, so a limit costs reading them twice.
    async fn check_table(&self, dataset: &dyn Dataset, selection: &Selection) -> Result<()> {
        let Some(limit) = self.inner.options.response_bytesize_limit else { return Ok(()) };
        let Data::Table(mut table) = dataset.read(selection).await? else { return Ok(()) };
        let mut bytes = 0;
        while let Some(batch) = table.batches.try_next().await? {
            let sizes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
            bytes += sizes.map(|size| size.unwrap_or(usize::MAX) as u64).fold(0, u64::saturating_add);
            if bytes > limit {
                return Err(too_large(limit, "columns ('?column=...') or partitions"));
            }
        }
        Ok(())
    }

    /// For each family that can be exported: its media types, the default first.
    pub fn formats(&self) -> BTreeMap<Family, Vec<&'static str>> {
        let formats = Family::ALL.into_iter().map(|family| {
            let types: Vec<_> = format::encoders(family).map(|format| format.media_type()).collect();
            (family, types)
        });
        formats.filter(|(_, types)| !types.is_empty()).collect()
    }

    /// For each family: media type to the short names that `?format=` takes.
    pub fn aliases(&self) -> BTreeMap<Family, BTreeMap<&'static str, Vec<&'static str>>> {
        let aliases = Family::ALL.into_iter().map(|family| {
            let named = format::encoders(family).filter(|format| !format.extensions().is_empty());
            (family, named.map(|format| (format.media_type(), format.extensions().to_vec())).collect())
        });
        aliases.filter(|(_, named): &(_, BTreeMap<_, _>)| !named.is_empty()).collect()
    }
}

async fn export_tree(found: Found, path: &NodePath, request: ExportRequest) -> Result<Exported> {
    let chosen = choose(Family::Container, &request.wanted);
    if chosen.is_err()
        && found.is_xarray()
        && let Ok((format, parameters)) = choose(Family::Table, &request.wanted)
    {
        let tree = found.tree(request.selection.fields).await?;
        let options = options(parameters, request.query, tree.metadata.clone(), path);
        let encoded = format.encode(Data::Table(variables::table(tree).await?), &options).await?;
        return Ok(Exported::Body { encoded, etag: None, content_encoding: None });
    }
    let (format, parameters) = chosen?;
    let tree = found.tree(request.selection.fields).await?;
    let options = options(parameters, request.query, tree.metadata.clone(), path);
    Ok(Exported::Body { encoded: format.encode(Data::Tree(tree), &options).await?, etag: None, content_encoding: None })
}

fn too_large(limit: u64, remedy: &str) -> Error {
    Error::malformed(format!("Response would exceed {limit}. Use {remedy} to request smaller chunks."))
}

/// A shape as Python writes it.
fn tuple(shape: &[u64]) -> String {
    match shape {
        [one] => format!("({one},)"),
        many => format!("({})", many.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn options(
    parameters: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    metadata: girih_model::Json,
    path: &NodePath,
) -> EncodeOptions {
    EncodeOptions { parameters, query, metadata, title: path.to_string(), ..EncodeOptions::default() }
}

/// The first wanted media type that this family can be exported to, and its parameters.
fn choose(family: Family, wanted: &Wanted) -> Result<(&'static dyn Format, BTreeMap<String, String>)> {
    let (Wanted::Format(ranges) | Wanted::Accept(ranges)) = wanted;
    for range in ranges {
        let found = match (wanted, range.name.as_str()) {
            (_, "*/*" | "*") => format::encoders(family).next(),
            // Only a picture is meant: the first image format, not just anything.
            (_, name) if name.ends_with("/*") => {
                format::encoders(family).find(|f| f.media_type().starts_with(&name[..name.len() - 1]))
            }
            (Wanted::Format(_), name) => format::encoder(family, name),
            (Wanted::Accept(_), name) => format::encoders(family).find(|f| f.media_type().eq_ignore_ascii_case(name)),
        };
        if let Some(format) = found {
            return Ok((format, range.parameters.clone()));
        }
    }
    let supported: Vec<_> = format::encoders(family).map(|format| format.media_type()).collect();
    let requested: Vec<_> = ranges.iter().map(|range| range.name.as_str()).collect();
    Err(Error::not_acceptable(format!(
        "None of the media types requested by the client are supported. Supported: {}. Requested: {}.",
        supported.join(", "),
        requested.join(", ")
    )))
}

/// A strong validator, made from the version of the data and all that shapes the reply: no byte is read for it.
fn etag(
    version: &str,
    opened: &Opened,
    request: &ExportRequest,
    format: &dyn Format,
    parameters: &BTreeMap<String, String>,
) -> String {
    let selection = &request.selection;
    let mut all = String::new();
    let _ = write!(
        all,
        "{}|{:?}|{:?}|{}|{:?}|{}|{parameters:?}|{:?}",
        version,
        opened.entry.path,
        selection.part,
        selection.slice,
        selection.fields,
        format.media_type(),
        request.query
    );
    Sha256::digest(all.as_bytes()).iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The fast path: stored bytes that are just what the caller wants go out as they are.
async fn untouched(
    dataset: &dyn Dataset,
    format: &dyn Format,
    request: &ExportRequest,
) -> Result<Option<(Encoded, Option<&'static str>)>> {
    if format.media_type() != "application/octet-stream" || !matches!(request.selection.part, Part::Block(_)) {
        return Ok(None);
    }
    let accept: Vec<&str> = request.accept_encoding.iter().map(String::as_str).collect();
    let Some(stored) = dataset.stored(&request.selection, &accept).await? else { return Ok(None) };
    let itemsize = dataset.structure().as_array().map_or(1, |array| array.dtype.itemsize());
    let coding = (stored.encoding != "identity").then_some(stored.encoding);
    let length = Some(stored.bytes.len() as u64);
    let body = Box::pin(futures::stream::once(async move { Ok(stored.bytes) }));
    Ok(Some((Encoded { media_type: format.media_type().into(), length, body, itemsize }, coding)))
}
