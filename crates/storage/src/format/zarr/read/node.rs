//! What the metadata of a directory say: `zarr.json`, or `.zarray`, `.zgroup` and `.zattrs`.

use std::sync::Arc;

use girih_model::{Error, Result, ResultExt};
use serde_json::{Map, Value, json};

use super::array::ZarrArray;
use super::codec::Pipeline;
use super::dtype::{self, Typed};
use super::group::ZarrGroup;
use crate::dataset::Dataset;
use crate::place::Location;

/// Longest file of metadata, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Most axes of an array.
const MAX_AXES: usize = 64;

pub(super) enum Node {
    Group {
        /// As the reference shows it.
        metadata: Value,
        /// Of all that lies below, by path; consolidated.
        members: Option<Map<String, Value>>,
    },
    Array(Box<Described>),
}

/// An array.
pub(super) struct Described {
    pub(super) shape: Vec<u64>,
    pub(super) chunk: Vec<u64>,
    pub(super) typed: Typed,
    /// An item of what was never written.
    pub(super) fill: Vec<u8>,
    pub(super) pipeline: Pipeline,
    pub(super) keys: Keys,
    pub(super) dims: Option<Vec<String>>,
    pub(super) attributes: Value,
}

/// What the files of chunks are called.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) prefix: &'static str,
    pub(super) separator: &'static str,
}

impl Keys {
    pub(super) fn of(&self, index: &[u64]) -> String {
        let numbers: Vec<String> = index.iter().map(u64::to_string).collect();
        match (self.prefix, numbers.is_empty()) {
            ("", true) => "0".to_owned(),
            ("", false) => numbers.join(self.separator),
            (prefix, true) => prefix.to_owned(),
            (prefix, false) => format!("{prefix}{}{}", self.separator, numbers.join(self.separator)),
        }
    }
}

pub(super) fn damaged(what: &str, why: impl std::fmt::Display) -> Error {
    Error::damaged(format!("The {what} of the Zarr directory cannot be read: {why}."))
}

fn read(directory: &Location, name: &str) -> Result<Option<Value>> {
    let Some(text) = directory.child(name)?.read_all(MAX_BYTES)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).or_error(|e| damaged(name, e))
}

impl Node {
    /// `None` when the directory is no node.
    pub(super) fn load(directory: &Location) -> Result<Option<Self>> {
        if let Some(json) = read(directory, "zarr.json")? {
            return Self::of_v3(json).map(Some);
        }
        let attributes = |name: &str| Ok(read(directory, name)?.unwrap_or_else(|| json!({})));
        if let Some(array) = read(directory, ".zarray")? {
            return Self::of_v2(&array, attributes(".zattrs")?).map(Some);
        }
        let Some(group) = read(directory, ".zgroup")? else { return Ok(None) };
        let all = read(directory, ".zmetadata")?;
        let members = all.and_then(|all| all.get("metadata").and_then(Value::as_object).map(consolidated));
        let format = group.get("zarr_format").cloned().unwrap_or(json!(2));
        let metadata = json!({"attributes": attributes(".zattrs")?, "zarr_format": format, "node_type": "group"});
        Ok(Some(Self::Group { metadata, members }))
    }

    /// A member as its group describes it.
    pub(super) fn of_member(json: &Value) -> Result<Self> {
        match json.get("zarr_format").and_then(Value::as_u64) {
            Some(3) => Self::of_v3(json.clone()),
            _ => {
                let attributes = json.get("attributes").cloned().unwrap_or_else(|| json!({}));
                match json.get("shape") {
                    Some(_) => Self::of_v2(json, attributes),
                    None => Ok(Self::Group {
                        metadata: json!({"attributes": attributes, "zarr_format": 2, "node_type": "group"}),
                        members: None,
                    }),
                }
            }
        }
    }

    pub(super) fn open(self, directory: Location) -> Result<Arc<dyn Dataset>> {
        Ok(match self {
            Self::Group { metadata, members } => Arc::new(ZarrGroup::new(directory, metadata, members)?),
            Self::Array(described) => Arc::new(ZarrArray::new(directory, *described)?),
        })
    }

    fn of_v3(json: Value) -> Result<Self> {
        if json.get("zarr_format") != Some(&json!(3)) {
            return Err(damaged("zarr.json", "its zarr_format is not 3"));
        }
        if json.get("node_type") == Some(&json!("group")) {
            let mut metadata = json;
            let members = metadata.as_object_mut().and_then(|group| group.remove("consolidated_metadata"));
            let members = members.and_then(|all| all.get("metadata").and_then(Value::as_object).cloned());
            return Ok(Self::Group { metadata, members });
        }
        let grid = &json["chunk_grid"];
        if grid["name"] != "regular" {
            return Err(Error::unsupported(format!("Zarr arrays with this chunk grid are not read: {grid}")));
        }
        let shape = lengths(&json["shape"]).ok_or_else(|| damaged("zarr.json", "it has no shape"))?;
        let chunk = lengths(&grid["configuration"]["chunk_shape"])
            .ok_or_else(|| damaged("zarr.json", "its chunks have no shape"))?;
        check(&shape, &chunk)?;
        let name = &json["data_type"];
        let mut typed = dtype::of_v3(name)?;
        let fill = dtype::fill(&json["fill_value"], &typed)?;
        let pipeline = Pipeline::of_v3(&json["codecs"], &chunk, &mut typed)?;
        let encoding = &json["chunk_key_encoding"];
        let separator = match encoding["configuration"]["separator"].as_str() {
            Some(".") => ".",
            Some("/") => "/",
            None if encoding["name"] == "v2" => ".",
            None => "/",
            Some(other) => return Err(damaged("zarr.json", format!("its keys are separated by {other:?}"))),
        };
        let prefix = if encoding["name"] == "v2" { "" } else { "c" };
        let names = json["dimension_names"].as_array();
        let dims = names.and_then(|names| names.iter().map(|name| name.as_str().map(String::from)).collect());
        let attributes = json.get("attributes").cloned().unwrap_or_else(|| json!({}));
        let keys = Keys { prefix, separator };
        Ok(Self::Array(Box::new(Described { shape, chunk, typed, fill, pipeline, keys, dims, attributes })))
    }

    fn of_v2(json: &Value, attributes: Value) -> Result<Self> {
        let shape = lengths(&json["shape"]).ok_or_else(|| damaged(".zarray", "it has no shape"))?;
        let chunk = lengths(&json["chunks"]).ok_or_else(|| damaged(".zarray", "its chunks have no shape"))?;
        check(&shape, &chunk)?;
        let typed = dtype::of_v2(&json["dtype"])?;
        let fill = dtype::fill(&json["fill_value"], &typed)?;
        let pipeline = Pipeline::of_v2(json, shape.len(), &typed)?;
        let separator = if json["dimension_separator"] == "/" { "/" } else { "." };
        let names = attributes["_ARRAY_DIMENSIONS"].as_array();
        let dims: Option<Vec<String>> =
            names.and_then(|names| names.iter().map(|name| name.as_str().map(String::from)).collect());
        let dims = dims.filter(|dims| dims.len() == shape.len());
        let keys = Keys { prefix: "", separator };
        Ok(Self::Array(Box::new(Described { shape, chunk, typed, fill, pipeline, keys, dims, attributes })))
    }
}

fn lengths(value: &Value) -> Option<Vec<u64>> {
    value.as_array()?.iter().map(Value::as_u64).collect()
}

fn check(shape: &[u64], chunk: &[u64]) -> Result<()> {
    let fits = shape.len() == chunk.len() && shape.len() <= MAX_AXES && !chunk.contains(&0);
    if fits {
        Ok(())
    } else {
        Err(damaged("metadata", format!("chunks of the shape {chunk:?} do not fit the shape {shape:?}")))
    }
}

/// `a/.zarray` and `a/.zattrs` as one member `a`.
fn consolidated(files: &Map<String, Value>) -> Map<String, Value> {
    let mut members = Map::new();
    for (path, json) in files {
        let (name, file) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            continue;
        }
        let member = members.entry(name).or_insert_with(|| json!({}));
        match (file, member.as_object_mut(), json.as_object()) {
            (".zattrs", Some(member), _) => drop(member.insert("attributes".to_owned(), json.clone())),
            (".zarray" | ".zgroup", Some(member), Some(json)) => {
                member.extend(json.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            _ => {}
        }
    }
    members
}
