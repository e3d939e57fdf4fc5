//! netCDF-4: HDF5 whose datasets share named dimensions ("The NetCDF-4/HDF5 Format" in the NetCDF User's Guide; "HDF5
//! Dimension Scale Specification"). Clients of xarray see them as they see classic files: values as they are stored, and
//! attributes apart from what only says how the file is laid out.

use std::sync::Arc;

use girih_model::{Json, Result, Spec};
use hdf5_reader::reference::resolve_object_reference;
use serde_json::{Value, json};

use super::attributes::{self, Attribute};
use super::dataset::shape_of;
use super::links::Target;
use super::walk::{Kind, Members, Object};
use crate::format::guard::guarded;

/// An attribute of the root.
const MARK: &str = "_NCProperties";
/// How the name begins of a variable that is called as a dimension and is not its coordinate.
const NO_COORDINATE: &str = "_nc4_non_coord_";
/// How the text `NAME` begins of a dimension that has no coordinate.
const NO_VARIABLE: &str = "This is a netCDF dimension but not a netCDF variable";
const HIDDEN: [&str; 8] =
    ["CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict", MARK];

/// Whether a file says that it is netCDF-4.
pub(super) fn is_one(root: &Object) -> bool {
    attributes::all(root).iter().any(|attribute| attribute.name == MARK)
}

pub(super) fn metadata(object: &Object) -> Json {
    let mut shown = attributes::shown(object);
    shown.retain(|name, _| !HIDDEN.contains(&name.as_str()));
    for value in shown.values_mut() {
        // netCDF has no attributes but lists.
        if let Value::Array(list) = value
            && list.len() == 1
            && !list[0].is_array()
        {
            *value = list.remove(0);
        }
    }
    Json::from_value(&json!({ "attrs": shown }))
}

/// The names of variables and groups, and whether there are only variables: no client of xarray knows what to do with more.
pub(super) fn keys(group: &Object) -> Result<(Vec<String>, Vec<Spec>)> {
    let (mut keys, mut is_dataset) = (Vec::new(), true);
    for link in &group.members()?.links {
        let kind = match &link.target {
            Target::Object(address) => {
                let object = group.member(&link.name, *address);
                match object.kind().ok() {
                    Some(Kind::Dataset) if is_bare(&object) => Some(Kind::Other),
                    kind => kind,
                }
            }
            _ => None,
        };
        if kind != Some(Kind::Other) {
            is_dataset &= kind == Some(Kind::Dataset);
            keys.push(link.name.strip_prefix(NO_COORDINATE).unwrap_or(&link.name).to_owned());
        }
    }
    Ok((keys, if is_dataset { vec![spec("xarray_dataset")] } else { Vec::new() }))
}

/// The name that a variable or group has in the file; `None` for a dimension without a coordinate.
pub(super) fn link(group: &Object, members: &Members, key: &str) -> Option<String> {
    let apart = format!("{NO_COORDINATE}{key}");
    if members.find(&apart).is_some() {
        return Some(apart);
    }
    let is_bare = match members.find(key).map(|link| &link.target) {
        Some(Target::Object(address)) => is_bare(&group.member(key, *address)),
        _ => false,
    };
    (!is_bare).then(|| key.to_owned())
}

/// A dimension without a coordinate.
fn is_bare(object: &Object) -> bool {
    let name = |attribute: &Attribute| Some(attribute.name == "NAME" && text(attribute)?.starts_with(NO_VARIABLE));
    attributes::all(object).iter().any(|attribute| name(attribute) == Some(true))
}

fn text(attribute: &Attribute) -> Option<String> {
    attributes::value_of(attribute)?.as_str().map(str::to_owned)
}

fn spec(name: &str) -> Spec {
    Spec { name: name.into(), version: None }
}

/// What a variable is for xarray.
pub(super) fn specs(name: &str, dims: &[String]) -> Vec<Spec> {
    vec![spec(if dims == [name] { "xarray_coord" } else { "xarray_data_var" })]
}

/// A dimension that has a name.
struct Dimension {
    name: String,
    scale: Object,
}

/// The names of a variable's dimensions; those without one are called by their length. And how long they are: along an axis
/// that grows, a variable may have less.
pub(super) fn dims(variable: &Object, name: &str, shape: &[u64], grows: &[bool]) -> (Vec<String>, Vec<u64>) {
    let (mut dims, mut lengths): (Vec<String>, _) = (Vec::with_capacity(shape.len()), shape.to_vec());
    let mut named = guarded(|| named(variable, name)).unwrap_or_default().into_iter();
    for (axis, len) in lengths.iter_mut().enumerate() {
        let Some(dimension) = named.next().flatten() else {
            let mut phony =
                (0..).map(|n| if n == 0 { format!("phony_dim_{len}") } else { format!("phony_dim_{len}_{n}") });
            dims.extend(phony.find(|dim| !dims.contains(dim)));
            continue;
        };
        if grows.get(axis) == Some(&true) {
            let scale = shape_of(&dimension.scale).ok().and_then(|shape| shape.first().copied());
            *len = scale.map_or(*len, |scale| scale.max(*len));
        }
        dims.push(dimension.name);
    }
    (dims, lengths)
}

/// As far as the file names them: by the scales that are attached to each axis, or by the numbers of dimensions. What is a
/// scale itself has none attached.
fn named(variable: &Object, name: &str) -> Vec<Option<Dimension>> {
    let all = attributes::all(variable);
    let find = |name: &str| all.iter().find(|attribute| attribute.name == name);
    let groups = groups(variable);
    if let Some(list) = find("DIMENSION_LIST") {
        let at = |address: u64| {
            let of = |(group, members): &(Object, Arc<Members>)| {
                let name = members.name_of(address)?;
                Some(Dimension { name: name.to_owned(), scale: group.member(name, address) })
            };
            groups.iter().find_map(of)
        };
        return references(variable, list).into_iter().map(|address| at(address?)).collect();
    }
    let is_scale = is_scale(&all);
    match find("_Netcdf4Coordinates").and_then(attributes::value_of) {
        // A coordinate of several axes, the first of them its own.
        Some(Value::Array(numbers)) if numbers.len() > 1 || !is_scale => {
            let scales: Vec<_> = groups.iter().flat_map(|(group, members)| scales(group, members)).collect();
            let of = |number: &Value| {
                let (_, scale) = scales.iter().find(|(known, _)| known == number)?;
                Some(Dimension { name: scale.path.rsplit('/').next()?.to_owned(), scale: scale.clone() })
            };
            numbers.iter().map(of).collect()
        }
        _ if is_scale => vec![Some(Dimension { name: name.to_owned(), scale: variable.clone() })],
        _ => Vec::new(),
    }
}

fn is_scale(all: &[Attribute]) -> bool {
    all.iter()
        .any(|attribute| attribute.name == "CLASS" && text(attribute).is_some_and(|class| class == "DIMENSION_SCALE"))
}

/// The group that something lies in, and those above.
fn groups(object: &Object) -> Vec<(Object, Arc<Members>)> {
    let mut groups = Vec::new();
    let mut here = Object::root(object.file.clone()).ok();
    for name in object.path.split('/').filter(|name| !name.is_empty()) {
        let Some((group, members)) = here.and_then(|group| Some((group.clone(), group.members().ok()?))) else { break };
        here = match members.find(name).map(|link| &link.target) {
            Some(Target::Object(address)) => Some(group.member(name, *address)),
            _ => None,
        };
        groups.insert(0, (group, members));
    }
    groups
}

/// The first of the objects that each item of a list of lists refers to.
fn references(object: &Object, list: &Attribute) -> Vec<Option<u64>> {
    let hdf5 = &object.file.hdf5;
    let size = hdf5.superblock().offset_size;
    let Ok(root) = hdf5.root_group() else { return Vec::new() };
    let first = |reference: &[u8]| {
        let objects = root.resolve_vlen_reference_bytes(reference, size.into()).ok()?;
        resolve_object_reference(&objects, size).ok()
    };
    let items = list.items.as_deref().unwrap_or_default();
    items.chunks_exact(4 + usize::from(size) + 4).map(first).collect()
}

/// The numbers and scales of the dimensions of a group.
fn scales(group: &Object, members: &Members) -> Vec<(Value, Object)> {
    let numbered = |scale: Object| {
        let all = attributes::all(&scale);
        let number = all.iter().find(|attribute| attribute.name == "_Netcdf4Dimid").filter(|_| is_scale(&all));
        let number = number.and_then(attributes::value_of)?;
        Some((number.get(0).cloned().unwrap_or(number), scale))
    };
    let links = members.links.iter().filter_map(|link| match link.target {
        Target::Object(address) => numbered(group.member(&link.name, address)),
        _ => None,
    });
    links.collect()
}
